#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compiles kernels to PTX for some architectures and runs a test program with each.

run.py PROGRAM ARCHITECTURE,... KERNELS.cu...

The program finds NAME.ptx of each NAME.cu in the folder that NKV_PTX_FOLDER names. Exits 77 where there is no nvcc.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "device"))

import compilers  # noqa: E402


def main():
    if len(sys.argv) < 4:
        print(__doc__.strip())
        return 2
    program, architectures, sources = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
    nvcc = compilers.nvcc()
    if not nvcc:
        print("skipped: nvcc is not installed")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory(prefix="nkv-ptx-") as name:
        for architecture in architectures:
            folder = pathlib.Path(name) / architecture
            folder.mkdir()
            flags = ["-std=c++20", f"-arch={architecture}", "-ptx", "-Werror", "all-warnings"]
            for source in sources:
                out = folder / (pathlib.Path(source).stem + ".ptx")
                include = [f"-I{ROOT / folder}" for folder in ("include", "device", "tests/ptx/kernels")]
                subprocess.run([nvcc, *flags, *include, "-o", str(out), source], check=True, timeout=240)
            print(f"--- {architecture}", flush=True)
            environment = dict(os.environ, NKV_PTX_FOLDER=str(folder))
            failed += subprocess.run([program], env=environment, timeout=240).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
