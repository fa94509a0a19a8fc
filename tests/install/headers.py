#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""headers.py EXPECTED INCLUDE: the headers installed under INCLUDE are those that the file EXPECTED names."""

import pathlib
import sys


def main():
    expected = set(pathlib.Path(sys.argv[1]).read_text().split())
    include = pathlib.Path(sys.argv[2])
    installed = {path.relative_to(include).as_posix() for path in include.rglob("*") if path.is_file()}
    for name in sorted(expected - installed):
        print(f"not installed: {name}")
    for name in sorted(installed - expected):
        print(f"installed, but not listed: {name}")
    print(f"{len(installed)} headers installed")
    return 1 if installed != expected or not installed else 0


if __name__ == "__main__":
    sys.exit(main())
