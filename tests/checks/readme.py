#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The program in the README is examples/hello.cpp, which the tests run.

readme.py              compare, exit 1 where they differ
readme.py --self-test  change either in a copy and see it found
"""

import re

import check

BLOCK = re.compile(r"^```cpp\n(.*?)^```$", re.S | re.M)


def findings(root):
    block = BLOCK.search((root / "README.md").read_text())
    if not block:
        yield "README.md: no program"
        return
    program = (root / "examples/hello.cpp").read_text().split("\n", 1)[1]
    if block.group(1) != program:
        yield "README.md: its first program is not examples/hello.cpp"


MUTATIONS = [
    check.append("the example goes on without the README", "examples/hello.cpp", "// more\n", "is not examples/hello.cpp"),
]

if __name__ == "__main__":
    check.main(__doc__, findings, MUTATIONS)
