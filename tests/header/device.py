#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every header of the core and the device side, alone and twice, as CUDA or HIP; and, as CUDA, the examples that are
kernels.

  device.py cuda|hip              compile; exits 77 where there is no compiler for it
  device.py cuda|hip --self-test  plant headers that must not pass and see each one refused

CUDA: nvcc with every warning an error and without --expt-relaxed-constexpr, so that what a kernel may call is marked as
such. HIP: clang's own HIP mode without ROCm, a device pass and a host pass.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/device"))
import compilers  # noqa: E402


def headers():
    text = (ROOT / "cmake/nkv_headers.cmake").read_text()
    blocks = re.findall(r"^set\(NKV_(?:CORE|DEVICE)_HEADERS\n(.*?)^\)", text, re.S | re.M)
    return [re.sub(r"^(include|device)/", "", line) for block in blocks for line in block.split()]


def cuda():
    nvcc = compilers.nvcc()
    if not nvcc:
        return None, "nvcc is not installed"
    flags = ["-std=c++20", "-arch=sm_80", "-Werror", "all-warnings", "-Xcompiler", "-Wall,-Wextra"]
    # The device pass alone, for a quarter of the time: the kernels of tests/device/ go through both.
    return [[nvcc, *flags, "-x", "cu", "-ptx", "-o", os.devnull]], None


def hip():
    clang = compilers.clang()
    if not clang:
        return None, "clang++-19 is not installed"
    flags = ["-x", "hip", "-std=c++20", "--offload-arch=gfx90a", "-nogpuinc", "-nogpulib", "-fsyntax-only"]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    return [
        [clang, *flags, *warnings, "--cuda-device-only"],
        [clang, *flags, *warnings, "--cuda-host-only"],
    ], None


def compile_all(commands, sources, include):
    """[(source, output)] of those that do not compile."""

    def one(job):
        command, source = job
        done = subprocess.run(
            [*command, *(f"-I{folder}" for folder in include), str(source)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return source, done.returncode, done.stdout

    jobs = [(command, source) for source in sources for command in commands]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [(source, output) for source, code, output in pool.map(one, jobs) if code != 0]


def source_for(folder, header, use=""):
    path = folder / (header.replace("/", "_") + ".cpp")
    path.write_text(f"#include <{header}>\n#include <{header}>\n{use}")
    return path


# What is planted, the header, what follows its includes, and what the compiler says (None: it has to compile).
PLANTED = [
    (
        "a sound header",
        "#pragma once\n#include <nkv/base/status.hpp>\n"
        "NKV_HD inline bool planted(int i) { return nkv::status().ok() && i != 0; }\n",
        "KERNEL void kernel(bool* out) { *out = planted(1); }\n",
        None,
    ),
    (
        "a host function called where a kernel may come",
        "#pragma once\n#include <nkv/base/config.hpp>\n#include <cstdlib>\n"
        "NKV_HD inline int planted(const char* s) { return std::atoi(s); }\n",
        "KERNEL void kernel(int* out) { *out = planted(nullptr); }\n",
        r"__host__ function",
    ),
    ("a header without a guard", "inline int planted() { return 1; }\n", "", "redefinition|already been defined"),
    (
        "a header without an include that it needs",
        "#pragma once\ninline int planted(std::optional<int> i) { return *i; }\n",
        "",
        "optional|namespace",
    ),
]
KERNEL = """
#if defined(__CUDACC__)
#define KERNEL __global__
#else
#define KERNEL __attribute__((global))
#endif
"""


def self_test(commands):
    missed = 0
    with tempfile.TemporaryDirectory(prefix="nkv-device-") as name:
        folder = pathlib.Path(name)
        for index, (what, text, use, expected) in enumerate(PLANTED):
            header = f"planted_{index}.hpp"
            (folder / header).write_text(text)
            failures = compile_all(commands, [source_for(folder, header, KERNEL + use)], [ROOT / "include", folder])
            if expected is None:
                good, verdict = not failures, "accepted"
            else:
                good, verdict = any(re.search(expected, output) for _, output in failures), "refused"
            print(f"{verdict if good else 'MISSED'}  {what}")
            if not good:
                print(*(output for _, output in failures), sep="\n")
            missed += not good
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} planted headers judged rightly")
    return missed != 0


def main():
    modes = {"cuda": cuda, "hip": hip}
    if len(sys.argv) < 2 or sys.argv[1] not in modes or sys.argv[2:] not in ([], ["--self-test"]):
        print(__doc__.strip())
        return 2
    commands, missing = modes[sys.argv[1]]()
    if missing:
        print(f"skipped: {missing}")
        return 77
    if sys.argv[2:]:
        return self_test(commands)
    with tempfile.TemporaryDirectory(prefix="nkv-device-") as name:
        sources = [source_for(pathlib.Path(name), header) for header in headers()]
        if sys.argv[1] == "cuda":  # what a kernel of a user's is made of is not there for clang without ROCm
            sources += sorted((ROOT / "examples").glob("*.cu"))
        failures = compile_all(commands, sources, [ROOT / "include", ROOT / "device"])
    for source, output in failures:
        print(f"--- {source.name}\n{output}")
    print(f"{len(sources) - len({s for s, _ in failures})} of {len(sources)} sources compile as {sys.argv[1]}")
    return 1 if failures or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
