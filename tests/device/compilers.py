#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Where the compilers for GPUs are; the one place that knows.

compilers.py nvcc    print the nvcc that the tests take; exits 1 where there is none
compilers.py hipcc   the same of hipcc
compilers.py wheels  print the folder of the nvcc that .ci/setup.sh brings where there is no other

NKV_NVCC names an nvcc to take instead; the word `wheels` means the one of .ci/setup.sh and no other.
"""

import glob
import os
import pathlib
import shutil
import sys


def find(*names):
    for name in names:
        if path := shutil.which(name):
            return path
    return None


def wheels():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    # A folder a version: another pin is another compiler.
    return pathlib.Path(cache) / "nkv" / "cuda-13.0.88"


def nvcc():
    wanted = os.environ.get("NKV_NVCC", "")
    own = str(wheels() / "nvidia" / "cu13" / "bin" / "nvcc")
    if wanted:
        return find(own if wanted == "wheels" else wanted)
    return find("nvcc", "/usr/local/cuda/bin/nvcc", *sorted(glob.glob("/usr/local/cuda-*/bin/nvcc"), reverse=True), own)


def clang():
    return find("clang++-19", "clang++")


def hipcc():
    return find("hipcc")


def main():
    if sys.argv[1:] == ["wheels"]:
        print(wheels())
        return 0
    if sys.argv[1:] in (["nvcc"], ["hipcc"]):
        path = nvcc() if sys.argv[1] == "nvcc" else hipcc()
        if path:
            print(path)
        return 0 if path else 1
    print(__doc__.strip())
    return 2


if __name__ == "__main__":
    sys.exit(main())
