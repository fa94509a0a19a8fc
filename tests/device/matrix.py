#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every template that a kernel may use, compiled for every architecture that is supported.

matrix.py cuda|hip   compile the kernels of this folder; exits 77 where no compiler is

CUDA: nvcc with every warning an error, without --expt-relaxed-constexpr. HIP: clang's own HIP mode without ROCm, and
hipcc with its own headers for what it knows. A template says nothing about a device before a kernel instantiates it, so
what counts is kernels: every one of the sources has to come out of every compilation.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import compilers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INCLUDES = [f"-I{ROOT / top}" for top in ("include", "device")]

CUDA = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
HIP = ["gfx90a", "gfx942", "gfx1030", "gfx1100", "gfx1151", "gfx1200"]
HIPCC = ["gfx90a", "gfx1030"]
# The core's long templates differ between architectures in nothing that the device's do not: the first and the last.
LONG = ["client.cu", "sharded.cu"]


def sources():
    return sorted(HERE.glob("*.cu"))


def names(long):
    """Of the sources, with the long ones or without."""
    return [source.name for source in sources() if long or source.name not in LONG]


def kernels(source):
    """How many kernels a source has."""
    return len(re.findall(r"^NKV_KERNEL void \w+\(", source.read_text(), re.M))


def cuda():
    """[(compiler and architectures, command up to what is made, how a kernel looks in what it says, how often it does,
    the sources)]"""
    nvcc = compilers.nvcc()
    # Optimising takes many times as long and says nothing about what compiles; instructions.py compiles as users do.
    flags = ["-std=c++20", "-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra", "-Xcicc", "-O1", "-Xptxas", "-O0,-v"]
    # No header asks which NVIDIA architecture it is compiled for, so one front end serves all: that of the oldest.
    jobs = []
    for archs, which in ((CUDA, names(long=False)), ([CUDA[0], CUDA[-1]], LONG)):
        code = ",".join(archs)
        gencode = ["-gencode", f"arch={archs[0].replace('sm', 'compute')},code=[{code}]"]
        jobs.append((f"nvcc {code}", [nvcc, *flags, *gencode, *INCLUDES, "-c"], r"Compiling entry function", len(archs),
                     which))
    return jobs if nvcc else []


def hip():
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "--cuda-device-only", *INCLUDES, "-S"]
    clang, hipcc = compilers.clang(), compilers.hipcc()
    jobs = []
    if clang:
        jobs += [(f"clang {arch}", [clang, "-x", "hip", "-O0", "-nogpuinc", "-nogpulib", f"--offload-arch={arch}", *flags],
                  r"^\s*\.amdhsa_kernel ", 1, names(long=arch in (HIP[0], HIP[-1]))) for arch in HIP]
    if hipcc:
        jobs += [(f"hipcc {arch}", [hipcc, "-O0", "-Wno-unused-command-line-argument", f"--offload-arch={arch}", *flags],
                  r"^\s*\.amdhsa_kernel ", 1, names(long=False)) for arch in HIPCC]
    return jobs


def compile_one(job):
    (what, command, kernel, times, _), source, folder = job
    made = folder / f"{source.stem}-{abs(hash(what))}"
    begin = time.monotonic()
    done = subprocess.run([*command, "-o", str(made), str(source)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    said = done.stdout
    text = said if "-c" in command or done.returncode != 0 else made.read_text()
    return what, source, done.returncode, said, len(re.findall(kernel, text, re.M)), times, time.monotonic() - begin


def main():
    modes = {"cuda": cuda, "hip": hip}
    if len(sys.argv) != 2 or sys.argv[1] not in modes:
        print(__doc__.strip())
        return 2
    compiled_by = modes[sys.argv[1]]()
    if not compiled_by:
        print(f"skipped: there is no compiler for {sys.argv[1]}")
        return 77
    wanted = {source: kernels(source) for source in sources()}
    bad = made = 0
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="nkv-matrix-") as name:
        jobs = [(by, source, pathlib.Path(name)) for by in compiled_by for source in wanted if source.name in by[-1]]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for what, source, code, said, found, times, took in pool.map(compile_one, jobs):
                made += found if code == 0 else 0
                seconds[what] = seconds.get(what, 0) + took
                if code != 0:
                    bad += 1
                    print(f"--- {source.name}, {what}\n{said[:20000]}")
                elif found != wanted[source] * times or not found:
                    bad += 1
                    print(f"--- {source.name}, {what}: {found} kernels of {wanted[source] * times}")
    for what, took in seconds.items():
        print(f"{what}: {took:.1f} s")
    if sys.argv[1] == "hip" and not compilers.hipcc():
        print("hipcc is not installed: clang alone compiled")
    print(f"{sum(wanted.values())} kernels of {len(wanted)} sources: {made} compiled, {bad} compilations failed")
    return 1 if bad or not made else 0


if __name__ == "__main__":
    sys.exit(main())
