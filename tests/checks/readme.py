#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The program in the README is examples/hello.cpp, which the tests run, and the kernel examples/fetch_blocks.cu, which
they compile.

readme.py              compare, exit 1 where they differ
readme.py --self-test  change either in a copy and see it found
"""

import re

import check

BLOCK = re.compile(r"^```cpp\n(.*?)^```$", re.S | re.M)
ORDER = re.compile(r'constexpr const char\* table = R"\((.*?)\)"', re.S)
EXAMPLES = ("examples/hello.cpp", "examples/fetch_blocks.cu")


def findings(root):
    blocks = BLOCK.findall((root / "README.md").read_text())
    for what, block, example in zip(("program", "kernel"), (*blocks, None, None), EXAMPLES):
        if block != (root / example).read_text().split("\n", 1)[1]:
            yield f"README.md: its {what} is not {example}"
    tested = (root / "tests/unit/host/memory/ordering_test.cpp").read_text()
    if ORDER.search(tested).group(1) not in (root / "README.md").read_text():
        yield "README.md: its table of what is ordered is not that of ordering_test.cpp"


MUTATIONS = [
    check.append("the example goes on without the README", "examples/hello.cpp", "// more\n", "is not examples/hello.cpp"),
    check.append("the kernel does", "examples/fetch_blocks.cu", "// more\n", "is not examples/fetch_blocks.cu"),
    check.replace("a combination is ordered in the README alone", "README.md",
                  "| GPU memory | host memory | refused", "| GPU memory | host memory | ordered",
                  "is not that of ordering_test.cpp"),
]

if __name__ == "__main__":
    check.main(__doc__, findings, MUTATIONS)
