#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What nkv declares of a GPU's driver, against the vendor's own headers.

driver_interface.py cuda|hip              compile driver_interface.cpp; exits 77 where the headers are not
driver_interface.py cuda|hip --self-test  plant wrong declarations in a copy and see each one refused

hsa_amd_portable_export_dmabuf alone is not compared: headers from before ROCm 5.5 do not have it.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import compilers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

PLANTED = {
    "cuda": [
        ("(*cuDeviceGet)(int*, int)", "(*cuDeviceGet)(int*)"),
        ("(*cuMemAlloc_v2)(unsigned long long*, std::size_t)", "(*cuMemAlloc_v2)(unsigned long long*, unsigned)"),
        ("attribute_dma_buf = 124", "attribute_dma_buf = 123"),
        ("(void*, unsigned long long, std::uint32_t, unsigned)", "(void*, unsigned long long, std::uint64_t, unsigned)"),
    ],
    "hip": [
        ("(*hipFree)(void*)", "(*hipFree)(int)"),
        ("malloc_fine_grained = 1", "malloc_fine_grained = 2"),
        ("(*hipStreamWriteValue32)(void*, void*, std::uint32_t", "(*hipStreamWriteValue32)(void*, void*, std::uint64_t"),
    ],
}


def headers(language):
    """The folder of the vendor's header, or None."""
    if language == "hip":
        folders = [pathlib.Path("/usr/include"), pathlib.Path("/opt/rocm/include")]
        name = "hip/hip_runtime_api.h"
    else:
        nvcc = compilers.nvcc()
        folders = [pathlib.Path(nvcc).resolve().parents[1] / "include"] if nvcc else []
        name = "cuda.h"
    return next((folder for folder in folders if (folder / name).exists()), None)


def compiles(language, vendor, host):
    command = ["g++", "-std=c++20", "-fsyntax-only", f"-DNKV_CHECK_{language.upper()}", f"-I{ROOT / 'include'}"]
    command += [f"-I{host}", "-idirafter", str(vendor), str(HERE / "driver_interface.cpp")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    return done.returncode == 0, done.stdout


def self_test(language, vendor):
    for right, wrong in PLANTED[language]:
        with tempfile.TemporaryDirectory() as folder:
            host = pathlib.Path(folder) / "host"
            shutil.copytree(ROOT / "host", host)
            header = host / f"nkv/host/memory/{language}_driver.hpp"
            text = header.read_text()
            if text.count(right) != 1:
                print(f"{header.name} does not say {right} once")
                return 1
            header.write_text(text.replace(right, wrong))
            passed, output = compiles(language, vendor, host)
            if passed or "static assertion failed" not in output:
                print(f"{wrong} is not refused\n{output}")
                return 1
    print(f"{len(PLANTED[language])} wrong declarations refused")
    return 0


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in PLANTED:
        print(__doc__.strip())
        return 2
    language = sys.argv[1]
    vendor = headers(language)
    if vendor is None:
        print(f"skipped: no header of {language} is installed")
        return 77
    if sys.argv[2:] == ["--self-test"]:
        return self_test(language, vendor)
    passed, output = compiles(language, vendor, ROOT / "host")
    print(output, end="")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
