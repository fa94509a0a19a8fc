#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernels of the examples, compiled for a GPU from the sources that run on host threads.

examples.py cuda|hip   exits 77 where no compiler is

CUDA: nvcc for sm_90 down to machine code, without a stack frame or spills. HIP: clang and hipcc for gfx90a. Compiled, not
run: nothing here says that they work on a GPU.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import compilers

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDES = [f"-I{ROOT / top}" for top in ("include", "device")]


def kernels():
    """{source: names of its kernels}"""
    found = {}
    for source in sorted((ROOT / "examples").glob("*.cpp")):
        if names := re.findall(r"^EXAMPLE_KERNEL void (\w+)\(", source.read_text(), re.M):
            found[source] = names
    return found


def jobs(language):
    """[(compiler, command but for output and source, how the kernel's end looks in what it says or makes)]"""
    nvcc, clang, hipcc = compilers.nvcc(), compilers.clang(), compilers.hipcc()
    out = []
    if language == "cuda" and nvcc:
        out.append(("nvcc sm_90", [nvcc, "-std=c++20", "-x", "cu", "-arch=sm_90", "-cubin", "-Werror", "all-warnings",
                                   "-Xptxas", "-v", *INCLUDES],
                    r"Function properties for {}\n\s*0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"))
    amd = ["--offload-arch=gfx90a", "-std=c++20", "-Wall", "-Wextra", "-Werror", "--cuda-device-only", "-S", *INCLUDES]
    if language == "hip" and clang:
        out.append(("clang gfx90a", [clang, "-x", "hip", "-O2", "-nogpuinc", "-nogpulib", *amd], r"\.amdhsa_kernel {}\n"))
    if language == "hip" and hipcc:
        out.append(("hipcc gfx90a", [hipcc, "-x", "hip", "-O2", "-Wno-unused-command-line-argument", *amd],
                    r"\.amdhsa_kernel {}\n"))
    return out


def main():
    if sys.argv[1:] not in (["cuda"], ["hip"]):
        print(__doc__.strip())
        return 2
    compiled_by = jobs(sys.argv[1])
    if not compiled_by:
        print(f"skipped: there is no compiler for {sys.argv[1]}")
        return 77
    good = bad = 0
    with tempfile.TemporaryDirectory(prefix="nkv-examples-") as folder:
        made = pathlib.Path(folder) / "made"
        for source, names in kernels().items():
            for what, command, wanted in compiled_by:
                done = subprocess.run([*command, "-o", made, source], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True)
                text = done.stdout
                if done.returncode == 0 and "-S" in command:
                    text += made.read_text()
                for name in names:
                    if done.returncode == 0 and re.search(wanted.format(name), text):
                        good += 1
                    else:
                        bad += 1
                        print(f"--- {source.name}, {name}, {what}\n{done.stdout[:20000]}")
    print(f"{good} compilations of a kernel, by {', '.join(what for what, _, _ in compiled_by)}; {bad} failed; none was run")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
