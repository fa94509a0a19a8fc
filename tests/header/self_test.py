#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plants bad headers in a project of their own and sees the header test of cmake/nkv_header_tests.cmake refuse each.

self_test.py COMPILER
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What is planted, the header, and what the build says (None: it has to pass).
PLANTED = [
    ("a sound header", "#pragma once\n#include <cstdint>\ninline std::uint32_t planted() { return 1; }\n", None),
    ("a header without a guard", "inline int planted() { return 1; }\n", "redefinition"),
    ("a missing include", "#pragma once\ninline std::string planted() { return {}; }\n", "string"),
    (
        "a function that is not inline",
        "#pragma once\nint planted() { return 1; }\n",
        "multiple definition|duplicate symbol",
    ),
    ("a variable that is not inline", "#pragma once\nint planted = 1;\n", "multiple definition|duplicate symbol"),
]

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(planted LANGUAGES CXX)
enable_testing()
list(APPEND CMAKE_MODULE_PATH {root}/cmake)
include(nkv_own_target)
include(nkv_header_tests)
function(nkv_add_check)
  cmake_parse_arguments(PARSE_ARGV 0 arg "SERIAL" "NAME;TIMEOUT" "LABELS;COMMAND")
  add_test(NAME ${{arg_NAME}} COMMAND ${{arg_COMMAND}})
endfunction()
file(MAKE_DIRECTORY ${{CMAKE_CURRENT_SOURCE_DIR}}/tests/header)
file(COPY {root}/tests/header/main.cpp DESTINATION ${{CMAKE_CURRENT_SOURCE_DIR}}/tests/header)
"""
TARGET = """
add_library(planted_{i} INTERFACE)
target_sources(planted_{i} INTERFACE FILE_SET HEADERS BASE_DIRS include FILES include/planted_{i}.hpp)
nkv_add_header_tests(planted_{i} NAME {i})
"""


def main():
    compiler = sys.argv[1]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="nkv-header-") as name:
        folder = pathlib.Path(name)
        (folder / "include").mkdir()
        project = PROJECT.format(root=ROOT)
        for i, (_, text, _) in enumerate(PLANTED):
            (folder / f"include/planted_{i}.hpp").write_text(text)
            project += TARGET.format(i=i)
        (folder / "CMakeLists.txt").write_text(project)
        configure = ["cmake", "-S", name, "-B", f"{name}/build", "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={compiler}"]
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
        for i, (what, _, expected) in enumerate(PLANTED):
            command = ["ctest", "--test-dir", f"{name}/build", "-R", rf"^nkv\.header\.{i}$", "--output-on-failure"]
            done = subprocess.run([*command, "--no-tests=error"], capture_output=True, text=True)
            if expected is None:
                good, verdict = done.returncode == 0, "accepted"
            else:
                good, verdict = done.returncode != 0 and re.search(expected, done.stdout), "refused"
            print(f"{verdict if good else 'MISSED'}  {what}")
            if not good:
                print(done.stdout)
                missed += 1
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} planted headers judged rightly")
    return missed != 0


if __name__ == "__main__":
    sys.exit(main())
