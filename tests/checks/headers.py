#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What every public header owes: the guard, the inline namespace, no compiler macro outside config.hpp, nothing that
ends the process or writes to its output.

  headers.py              print every breach, exit 1 if there is one
  headers.py --self-test  plant each kind in a copy and see it found
"""

import re

import check

CONFIG = "include/nkv/base/config.hpp"
CONDITION = re.compile(r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b(.*)$", re.M)
NAMESPACE = re.compile(r"^[ \t]*namespace[ \t]+nkv\b[^{;]*", re.M)
DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.M)
WORD = re.compile(r"[A-Za-z_]\w*")

# A library returns a status; it neither ends the process nor writes where nobody asked it to. The core in addition has
# neither exceptions nor memory of its own.
QUALIFIED = "abort|terminate|exit|_exit|quick_exit|printf|puts|perror|syslog"
ANYWHERE = re.compile(
    # Bare, only where no member is meant: a command is called Abort, and a controller has a function of that name.
    rf"(?:\bstd::|(?<![\w>])::)(?:{QUALIFIED})\s*\(|"
    r"(?<![\w.>:] )(?<![\w.>:])(?:abort|terminate|__trap)\s*\(\s*\)|"
    r"(?<![\w.>:] )(?<![\w.>:])(?:printf|puts|perror|syslog|assert|_exit)\s*\(|"
    r"\bstd::(?:cout|cerr|clog)\b|\b__builtin_trap\b"
)
CORE = re.compile(
    r"\b(?:throw|try|catch|dynamic_cast|typeid|virtual|delete)\b|\b(?:malloc|calloc)\b(?=\s*\()|\bnew\b(?!\s*\()"
)
DELETED = re.compile(r"=\s*delete\b")


def line(text, position):
    return text.count("\n", 0, position) + 1


def findings(root):
    for top in ("include", "host/nkv"):
        for path in sorted((root / top).rglob("*.hpp")):
            name = path.relative_to(root).as_posix()
            raw = path.read_text()
            text = check.code(raw)
            if not raw.startswith("// SPDX-License-Identifier: BSD-3-Clause\n#pragma once\n"):
                yield f"{name}:1: the first two lines are not the license and #pragma once"
            for match in NAMESPACE.finditer(text):
                if not re.fullmatch(r"\s*namespace nkv::inline NKV_ABI(::\w+)*\s*", match.group()):
                    yield f"{name}:{line(text, match.start())}: {match.group().strip()} is not nkv::inline NKV_ABI"
            for match in DEFINE.finditer(text):
                if not match.group(1).startswith("NKV_"):
                    yield f"{name}:{line(text, match.start())}: defines the macro {match.group(1)}"
            if top == "include" and name != CONFIG:
                for match in CONDITION.finditer(text):
                    for word in WORD.findall(match.group(1)):
                        if word not in ("defined", "__has_include") and not word.startswith("NKV_"):
                            yield f"{name}:{line(text, match.start())}: looks at {word}; only config.hpp does"
            for match in ANYWHERE.finditer(text):
                yield f"{name}:{line(text, match.start())}: {match.group().strip(' (')} in a library header"
            if top == "include":
                body = DELETED.sub("", text)
                for match in CORE.finditer(body):
                    yield f"{name}:{line(body, match.start())}: {match.group()} in the core"


SQE = "include/nkv/spec/sqe.hpp"
MUTATIONS = [
    check.append("a compiler macro", SQE, "#if defined(__GNUC__)\n#endif\n", "looks at __GNUC__"),
    check.append(
        "a compiler macro in an elif", SQE, "#if NKV_CUDA\n#elif __clang__ > 3\n#endif\n", "looks at __clang__"
    ),
    check.append("a name outside the inline namespace", SQE, "namespace nkv {}\n", "is not nkv::inline NKV_ABI"),
    check.append("a macro without the prefix", SQE, "#define PLANTED 1\n", "defines the macro PLANTED"),
    check.append("abort", SQE, "inline void f() { std::abort(); }\n", "std::abort in a library header"),
    check.append("a bare abort", SQE, "inline void f() { abort(); }\n", "abort() in a library header"),
    check.append("assert", SQE, "inline void f(int x) { assert(x); }\n", "assert in a library header"),
    check.append("printf", SQE, 'inline void f() { printf("x"); }\n', "printf in a library header"),
    check.append("throw", SQE, "inline void f() { throw 1; }\n", "throw in the core"),
    check.append("a virtual function", SQE, "struct f { virtual void g() = 0; };\n", "virtual in the core"),
    check.append("an allocation", SQE, "inline int* f() { return new int; }\n", "new in the core"),
    check.create(
        "no guard", "include/nkv/base/planted.hpp", "// SPDX-License-Identifier: BSD-3-Clause\n", "#pragma once"
    ),
]

if __name__ == "__main__":
    check.main(__doc__, findings, MUTATIONS)
