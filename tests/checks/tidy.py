#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""clang-tidy-19 over the umbrellas and the programs.

tidy.py              print what it finds, exit 1 if anything; 77 where clang-tidy-19 is absent
tidy.py --self-test  plant a badly named function and a defect and see both found
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import check

TOOL = "clang-tidy-19"
UMBRELLAS = {
    "include/nkv/nkv.hpp": "nkv/nkv.hpp",
    "host/nkv/host/host.hpp": "nkv/host/host.hpp",
    "host/nkv/target/target.hpp": "nkv/target/target.hpp",
}
DIAGNOSTIC = re.compile(r"^(\S+?):(\d+):\d+: (?:error|warning): (.*)$", re.M)


def tidy(root, sources):
    flags = ["-std=c++20", f"-I{root}/include", f"-I{root}/host", f"-I{root}/host/tools"]

    def one(source):
        command = [TOOL, "--quiet", f"--config-file={root}/.clang-tidy", str(source), "--", *flags]
        return subprocess.run(command, capture_output=True, text=True)

    seen = set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(one, sources):
            found = DIAGNOSTIC.findall(done.stdout)
            for path, number, what in found:
                name = path.removeprefix(f"{root}/")
                if (finding := f"{name}:{number}: {what}") not in seen:
                    seen.add(finding)
                    yield finding
            if done.returncode != 0 and not found:
                yield f"{TOOL} failed: {done.stdout.strip()} {done.stderr.strip()}"


def findings(root):
    sources = []
    with tempfile.TemporaryDirectory(prefix="nkv-tidy-") as folder:
        # A program's sources as one: what they include is looked at once, which is most of the work.
        for program in sorted({p.parent for p in (root / "host/tools").rglob("*.cpp")}):
            source = pathlib.Path(folder) / f"{program.name}.cpp"
            source.write_text("".join(f'#include "{p}"\n' for p in sorted(program.glob("*.cpp"))))
            sources.append(source)
        for path, include in UMBRELLAS.items():
            if not (root / path).exists():
                yield f"{path} is missing"
                continue
            source = pathlib.Path(folder) / (include.replace("/", "_") + ".cpp")
            source.write_text(f"#include <{include}>\n")
            sources.append(source)
        yield from tidy(root, sources)


PLANTED = [
    ("a name out of style", "inline void PlantedName() {}\n", "readability-identifier-naming"),
    (
        "a use after move",
        "#include <string>\n#include <utility>\ninline auto planted(std::string s) {\n"
        "  std::string t = std::move(s);\n  return t + s;\n}\n",
        "bugprone-use-after-move",
    ),
]


def self_test():
    missed = 0
    with tempfile.TemporaryDirectory(prefix="nkv-tidy-") as folder:
        root = pathlib.Path(folder)
        shutil.copy2(check.ROOT / ".clang-tidy", root)
        header = root / "include/nkv/base/planted.hpp"
        header.parent.mkdir(parents=True)
        source = root / "planted.cpp"
        source.write_text("#include <nkv/base/planted.hpp>\n")
        for what, text, expected in PLANTED:
            header.write_text("#pragma once\n" + text)
            found = list(tidy(root, [source]))
            seen = any(expected in finding for finding in found)
            print(f"{'found ' if seen else 'MISSED'}  {what}", *([] if seen else found), sep="\n        ")
            missed += not seen
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} planted violations found")
    return missed != 0


if __name__ == "__main__":
    if not shutil.which(TOOL):
        print(f"skipped: {TOOL} is not installed")
        sys.exit(77)
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    check.main(__doc__, findings, [])
