#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The text of the tree: license lines, no leftovers, no paths of one machine, links that lead somewhere.

text.py              print every breach, exit 1 if there is one
text.py --self-test  plant each kind in a copy and see it found
"""

import re

import check

SOURCES = {".hpp", ".cpp", ".cu", ".cuh", ".py", ".sh"}
TEXTS = SOURCES | {".md", ".txt", ".cmake", ".in", ".json", ".yml", ""}
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")  # leftovers: these words, here
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def texts(root):
    for top in check.TOP:
        path = root / top
        for found in sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []:
            if found.is_file() and found.suffix in TEXTS and "__pycache__" not in found.parts:
                yield found


def findings(root):
    for path in texts(root):
        name = path.relative_to(root).as_posix()
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # bytes for a test, not text
        lines = text.split("\n")
        if path.suffix in SOURCES and not any("SPDX-License-Identifier: BSD-3-Clause" in l for l in lines[:2]):
            yield f"{name}:1: no SPDX line"
        if text and not text.endswith("\n"):
            yield f"{name}: no newline at the end"
        for number, content in enumerate(lines, 1):
            if LEFTOVER.search(content) and "leftovers" not in content:
                yield f"{name}:{number}: {LEFTOVER.search(content).group()}"
            if MACHINE.search(content):
                yield f"{name}:{number}: the path of one machine"
            if content != content.rstrip():
                yield f"{name}:{number}: blanks at the end"
            if "\t" in content and path.suffix in SOURCES:
                yield f"{name}:{number}: a tab"
            if path.suffix == ".md":
                for target in LINK.findall(content):
                    if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                        yield f"{name}:{number}: links to {target}, which is not there"


SQE = "include/nkv/spec/sqe.hpp"
MUTATIONS = [
    check.append("a leftover", SQE, "// TO" + "DO: later\n", "TO" + "DO"),
    check.append("a path of one machine", SQE, "// see /ho" + "me/someone\n", "the path of one machine"),
    check.append("blanks at the end", SQE, "// x \n", "blanks at the end"),
    check.append("no newline", SQE, "// x", "no newline at the end"),
    check.append("a tab", SQE, "//\tx\n", "a tab"),
    check.create("no license line", "include/nkv/base/planted.hpp", "#pragma once\n", "no SPDX line"),
    check.create("a dead link", "host/nkv/target/PLANTED.md", "[x](GONE.md)\n", "links to GONE.md"),
]

if __name__ == "__main__":
    check.main(__doc__, findings, MUTATIONS)
