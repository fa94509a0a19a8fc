#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A header includes only its own step or an earlier one, in full and in angle brackets.

layers.py              print every include that goes upwards, exit 1 if there is one
layers.py --self-test  plant such includes in a copy and see them found
"""

import re

import check

# The steps in the order of the data. Each is a list of folders or files; those on one line are siblings, which do not
# include each other. Everything under include/ and host/nkv/ belongs to exactly one of them: the longest match.
STEPS = [
    ["nkv/base/"],
    ["nkv/spec/"],
    ["nkv/kv/"],
    ["nkv/command/"],
    ["nkv/queue/"],
    ["nkv/client/"],
    ["nkv/nkv.hpp"],
    ["nkv/device/detail/"],
    ["nkv/device/"],
    ["nkv/device/device.hpp"],
    ["nkv/host/result.hpp", "nkv/host/clock.hpp", "nkv/host/unique_fd.hpp"],
    ["nkv/host/memory_transport.hpp", "nkv/host/deadline_lock.hpp"],
    ["nkv/host/doorbell.hpp"],
    ["nkv/host/memory/"],
    ["nkv/host/inproc/", "nkv/host/vfio_user/"],
    ["nkv/host/controller/"],
    ["nkv/host/"],
    ["nkv/host/host.hpp"],
    ["nkv/target/"],
    ["nkv/target/target.hpp"],
]

# What the core may include of the standard library: no operating system, no allocation, nothing whose functions a
# kernel may not call (<bit>, <array>, <span>, <algorithm>).
CORE_STANDARD = {
    "climits",
    "compare",
    "concepts",
    "cstddef",
    "cstdint",
    "limits",
    "type_traits",
    "version",
}
# <bit> behind functions that a kernel may call.
EXCEPT = {"include/nkv/base/bits.hpp": {"bit"}}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def step(header):
    best = None
    for rank, siblings in enumerate(STEPS):
        for prefix in siblings:
            matches = header.startswith(prefix) if prefix.endswith("/") else header == prefix
            if matches and (best is None or len(prefix) > len(best[1])):
                best = (rank, prefix)
    return best


def findings(root):
    for top in ("include", "host/nkv"):
        for path in sorted((root / top).rglob("*.hpp")):
            name = path.relative_to(root).as_posix()
            own = path.relative_to(root / top.split("/")[0]).as_posix()
            mine = step(own)
            if mine is None:
                yield f"{name} belongs to no step of tests/checks/layers.py"
                continue
            for bracket, included in INCLUDE.findall(path.read_text()):
                if bracket == '"':
                    yield f'{name} includes "{included}": public headers are included in full, in angle brackets'
                elif included.startswith("nkv/"):
                    theirs = step(included)
                    if not (root / "include" / included).exists() and not (root / "host" / included).exists():
                        yield f"{name} includes <{included}>, which is not in the tree"
                    if theirs is None or theirs[0] > mine[0]:
                        yield f"{name} includes <{included}> of a later step"
                    elif theirs[0] == mine[0] and theirs[1] != mine[1]:
                        yield f"{name} includes <{included}> of a sibling"
                elif top == "include" and included not in CORE_STANDARD | EXCEPT.get(name, set()):
                    yield f"{name} includes <{included}>, which is not for the core"


MUTATIONS = [
    check.append("base includes spec", "include/nkv/base/span.hpp", "#include <nkv/spec/sqe.hpp>\n", "of a later step"),
    check.append(
        "the core includes the host side",
        "include/nkv/spec/sqe.hpp",
        "#include <nkv/host/clock.hpp>\n",
        "of a later step",
    ),
    check.append(
        "the core includes the operating system",
        "include/nkv/spec/sqe.hpp",
        "# include <unistd.h>\n",
        "is not for the core",
    ),
    check.append(
        "the core includes an allocating header",
        "include/nkv/spec/sqe.hpp",
        "#include <vector>\n",
        "is not for the core",
    ),
    check.append("a relative include", "include/nkv/spec/sqe.hpp", '#include "cqe.hpp"\n', "in angle brackets"),
    check.create(
        "a host header includes the target",
        "host/nkv/host/memory/planted.hpp",
        "#include <nkv/target/target.hpp>\n",
        "of a later step",
    ),
    check.create(
        "a transport includes another",
        "host/nkv/host/inproc/planted.hpp",
        "#include <nkv/host/vfio_user/client.hpp>\n",
        "of a sibling",
    ),
    check.create("a header outside every step", "host/nkv/planted/planted.hpp", "", "belongs to no step"),
    check.create(
        "an include of what is not there",
        "include/nkv/base/planted.hpp",
        "#include <nkv/base/gone.hpp>\n",
        "not in the tree",
    ),
]

if __name__ == "__main__":
    check.main(__doc__, findings, MUTATIONS)
