#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Where wasmtime's library is that .ci/setup.sh brings; the one place that knows.

wasmtime.py folder   print the folder that its wheel goes into
wasmtime.py library  print the path of the library; exits 1 where it is not there
"""

import glob
import os
import pathlib
import sys


def folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    # A folder a version.
    return pathlib.Path(cache) / "nkv" / "wasmtime-48.0.0"


def library():
    found = sorted(glob.glob(str(folder() / "wasmtime" / "linux-*" / "_libwasmtime.so")))
    return found[0] if found else None


def main():
    if sys.argv[1:] == ["folder"]:
        print(folder())
        return 0
    if sys.argv[1:] == ["library"]:
        path = library()
        if path:
            print(path)
        return 0 if path else 1
    print(__doc__.strip())
    return 2


if __name__ == "__main__":
    sys.exit(main())
