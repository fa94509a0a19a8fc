#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every C++ source is as clang-format-19 writes it.

format.py              print every file that is not, exit 1 if there is one; 77 where clang-format-19 is absent
format.py --update     rewrite them
format.py --self-test  plant an unformatted line in a copy and see it found
"""

import re
import shutil
import subprocess
import sys

import check

TOOL = "clang-format-19"
SUFFIXES = {".hpp", ".cpp", ".cu", ".cuh"}


def sources(root):
    tops = ("include", "host", "device", "tests", "examples", "bench")
    return sorted(p for top in tops for p in (root / top).rglob("*") if p.suffix in SUFFIXES)


def findings(root):
    paths = [p.relative_to(root).as_posix() for p in sources(root)]
    done = subprocess.run([TOOL, "--dry-run", "-Werror", *paths], cwd=root, capture_output=True, text=True)
    seen = set()
    for match in re.finditer(r"^(\S+?):(\d+):\d+: error: code should be clang-formatted", done.stderr, re.M):
        if match.group(1) not in seen:
            seen.add(match.group(1))
            yield f"{match.group(1)}:{match.group(2)}: not as {TOOL} writes it"
    if done.returncode != 0 and not seen:
        yield f"{TOOL} failed: {done.stderr.strip()}"


MUTATIONS = [
    check.append("an unformatted line", "include/nkv/base/span.hpp", "int   planted ( int x )  ;\n", "span.hpp"),
    check.create("an unformatted new file", "tests/unit/base/planted_test.cpp", "int   planted;\n", "planted_test.cpp"),
]

if __name__ == "__main__":
    if not shutil.which(TOOL):
        print(f"skipped: {TOOL} is not installed")
        sys.exit(77)
    if sys.argv[1:] == ["--update"]:
        sys.exit(subprocess.run([TOOL, "-i", *map(str, sources(check.ROOT))]).returncode)
    check.main(__doc__, findings, MUTATIONS)
