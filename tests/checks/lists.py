#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The explicit file lists of the build equal the tree, and every header has a test file that mirrors it.

lists.py              compare, print every difference, exit 1 if there is one
lists.py --update     write the lists from the tree
lists.py --self-test  plant each kind of difference in a copy and see it found
"""

import pathlib
import re
import sys

import check

HEADERS = "cmake/nkv_headers.cmake"
UNIT = "tests/unit/CMakeLists.txt"
COMPILE_FAIL = "tests/compile_fail/CMakeLists.txt"
FUZZ = "tests/fuzz/CMakeLists.txt"
TOOLS = "host/tools/CMakeLists.txt"

# Headers without a test file of their own: the reason, or the test file that tests it too (and includes it).
NO_TEST = {
    "include/nkv/nkv.hpp": "umbrella",
    "device/nkv/device/device.hpp": "umbrella",
    "device/nkv/device/detail/cuda.hpp": "runs on a GPU alone; compiled by tests/header/device.py",
    "device/nkv/device/detail/hip.hpp": "runs on a GPU alone; compiled by tests/header/device.py",
    "device/nkv/device/detail/host.hpp": "what it does is seen through world.hpp's users",
    "device/nkv/device/world.hpp": "chooses among detail/",
    "host/nkv/host/host.hpp": "umbrella",
    "host/nkv/target/target.hpp": "umbrella",
    "host/nkv/target/execute/builtin_runtime.hpp": "tests/execute/execute_test.cpp",
    "host/nkv/target/execute/module_loader.hpp": "tests/execute/execute_test.cpp",
    "host/nkv/target/execute/program_source.hpp": "tests/execute/execute_test.cpp",
    "host/nkv/target/execute/runtime_library.hpp": "tests/execute/execute_test.cpp",
    "host/nkv/target/execute/wasm_runtime.hpp": "tests/execute/execute_test.cpp",
    "host/nkv/target/execute/wasmtime_library.hpp": "tests/execute/execute_test.cpp",
    "host/nkv/target/execute/execute_limits.hpp": "tests/unit/target/execute/execute_service_test.cpp",
    "host/nkv/target/execute/execute_runtime.hpp": "tests/unit/target/execute/execute_service_test.cpp",
    "host/nkv/target/execute/execution.hpp": "tests/unit/target/execute/execute_service_test.cpp",
    "host/nkv/target/execute/program.hpp": "tests/unit/target/execute/execute_service_test.cpp",
    "host/nkv/target/execute/execute_binding.hpp": "tests/unit/target/execute/execute_service_test.cpp",
    "host/nkv/target/rados/rados_cluster.hpp": "tests/rados/rados_store_test.cpp",
    "host/nkv/target/rados/rados_store.hpp": "tests/rados/rados_store_test.cpp",
    "host/nkv/host/memory_transport.hpp": "tests/unit/host/doorbell_test.cpp",
    "host/nkv/host/memory/gpu_driver.hpp": "tests/unit/host/memory/cuda_driver_test.cpp",
    "host/nkv/host/memory/gpu_mapping.hpp": "tests/unit/host/memory/pinned_memory_test.cpp",
    "host/nkv/host/memory/shared_library.hpp": "tests/unit/host/memory/cuda_driver_test.cpp",
    "host/nkv/host/controller/controller_options.hpp": "tests/unit/host/controller/controller_test.cpp",
}


def files(root, top, pattern, base=""):
    return sorted(p.relative_to(root / base).as_posix() for p in (root / top).rglob(pattern))


def headers(root, top):
    return files(root, top, "*.hpp")


def wanted(root):
    """{(file, variable): entries} as the tree has them."""
    return {
        (HEADERS, "NKV_CORE_HEADERS"): headers(root, "include"),
        (HEADERS, "NKV_DEVICE_HEADERS"): headers(root, "device"),
        (HEADERS, "NKV_HOST_HEADERS"): headers(root, "host/nkv/host"),
        (HEADERS, "NKV_TARGET_HEADERS"): headers(root, "host/nkv/target"),
        (UNIT, "NKV_UNIT_TESTS"): files(root, "tests/unit", "*_test.cpp", "tests/unit"),
        (COMPILE_FAIL, "NKV_COMPILE_FAIL"): files(root, "tests/compile_fail", "*.cpp", "tests/compile_fail"),
        (FUZZ, "NKV_FUZZERS"): files(root, "tests/fuzz", "*_fuzz.cpp", "tests/fuzz"),
        (TOOLS, "NKV_PROGRAM_COMMON"): files(root, "host/tools/common", "*.cpp", "host/tools"),
        (TOOLS, "NKV_PROGRAM_NKV"): files(root, "host/tools/nkv", "*.cpp", "host/tools"),
        (TOOLS, "NKV_PROGRAM_NKV_TARGET"): files(root, "host/tools/nkv-target", "*.cpp", "host/tools"),
    }


def pattern(variable):
    return re.compile(r"(^set\(" + variable + r"\n)(.*?)(^\))", re.S | re.M)


def listed(root, file, variable):
    found = pattern(variable).search((root / file).read_text())
    return found.group(2).split() if found else []


def mirror(header):
    """The test file of a header: its own include path without nkv/, .hpp replaced."""
    path = re.sub(r"^(include|host|device)/nkv/", "", header)
    return "tests/unit/" + re.sub(r"\.hpp$", "_test.cpp", path)


def findings(root):
    for (file, variable), entries in wanted(root).items():
        have = listed(root, file, variable)
        for entry in sorted(set(entries) - set(have)):
            yield f"{file}: {variable} lacks {entry}"
        for entry in sorted(set(have) - set(entries)):
            yield f"{file}: {variable} names {entry}, which is not in the tree"
        if len(have) != len(set(have)):
            yield f"{file}: {variable} names an entry twice"
    for path in sorted(root.glob("tests/**/*_test.cpp")):
        name = path.relative_to(root).as_posix()
        if name.startswith("tests/unit/"):
            continue
        cmake = path.parent / "CMakeLists.txt"
        if path.parent.name == "support":
            cmake = root / "tests/CMakeLists.txt"
        if not cmake.exists() or path.name not in cmake.read_text():
            yield f"{name} is in no CMakeLists.txt beside it"
    for header in headers(root, "include") + headers(root, "host/nkv") + headers(root, "device/nkv"):
        if header not in NO_TEST and not (root / mirror(header)).exists():
            yield f"{header} has no test file {mirror(header)}"
    for header, instead in NO_TEST.items():
        if not (root / header).exists():
            yield f"tests/checks/lists.py: NO_TEST names {header}, which is not in the tree"
        elif instead.startswith("tests/"):
            include = re.sub(r"^(include|host|device)/", "", header)
            test = root / instead
            if not test.exists() or f"#include <{include}>" not in test.read_text():
                yield f"{instead} does not include <{include}>, which it is said to test"


def update(root):
    for (file, variable), entries in wanted(root).items():
        path = root / file
        text = path.read_text()
        body = "".join(f"    {entry}\n" for entry in entries)
        new = pattern(variable).sub(lambda m: m.group(1) + body + m.group(3), text)
        if new != text:
            path.write_text(new)
            print(f"{file}: {variable} written, {len(entries)} entries")


MUTATIONS = [
    check.create(
        "a header that is not listed",
        "include/nkv/base/planted.hpp",
        "#pragma once\n",
        "lacks include/nkv/base/planted.hpp",
    ),
    check.create(
        "a header without a test file",
        "host/nkv/host/planted.hpp",
        "#pragma once\n",
        "has no test file tests/unit/host/planted_test.cpp",
    ),
    check.create(
        "a unit test that is not listed", "tests/unit/base/planted_test.cpp", "", "lacks base/planted_test.cpp"
    ),
    check.create(
        "a test elsewhere that no CMakeLists.txt names",
        "tests/install/planted_test.cpp",
        "",
        "planted_test.cpp is in no CMakeLists.txt",
    ),
    check.create("a compile_fail source that is not listed", "tests/compile_fail/planted.cpp", "", "lacks planted.cpp"),
    check.create("a program's source that is not listed", "host/tools/nkv/planted.cpp", "", "lacks nkv/planted.cpp"),
    check.remove("a listed header that is gone", "include/nkv/base/scope.hpp", "names include/nkv/base/scope.hpp"),
]

if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update(check.ROOT)
    else:
        check.main(__doc__, findings, MUTATIONS)
