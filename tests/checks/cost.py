#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What an umbrella costs a translation unit.

  cost.py COMPILER              print lines and CPU seconds per umbrella; exit 1 where the lines exceed the budget
  cost.py COMPILER --self-test  plant a heavy include and see the budget refuse it

The budget is in preprocessed lines, which do not depend on the machine or its neighbours. The time is printed: the
best of three, in CPU seconds of the compiler's front end.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import check

# Lines after preprocessing, without blank lines and line markers.
BUDGETS = {"nkv/nkv.hpp": 9000}
MEASURED_ONLY = ["nkv/host/host.hpp", "nkv/target/target.hpp"]


def command(compiler, root):
    return [compiler, "-std=c++20", f"-I{root}/include", f"-I{root}/host", "-x", "c++"]


def lines(compiler, root, text):
    preprocess = [*command(compiler, root), "-E", "-P", "-"]
    done = subprocess.run(preprocess, input=text, stdout=subprocess.PIPE, text=True, check=True)
    return sum(1 for line in done.stdout.splitlines() if line.strip())


def seconds(compiler, root, text):
    best = None
    with tempfile.TemporaryDirectory(prefix="nkv-cost-") as folder:
        source = pathlib.Path(folder) / "cost.cpp"
        source.write_text(text)
        for _ in range(3):
            before = os.times()
            subprocess.run([*command(compiler, root), "-fsyntax-only", str(source)], check=True)
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            best = spent if best is None else min(best, spent)
    return best


def over(compiler, root, header, budget, extra=""):
    return lines(compiler, root, f"#include <{header}>\n{extra}") > budget


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--self-test"]):
        print(__doc__.strip())
        return 2
    compiler = sys.argv[1]
    if sys.argv[2:]:
        missed = [h for h, budget in BUDGETS.items() if not over(compiler, check.ROOT, h, budget, "#include <regex>\n")]
        print(*(f"MISSED  <regex> planted in {h}" for h in missed), sep="\n")
        print(f"{len(BUDGETS) - len(missed)} of {len(BUDGETS)} planted includes refused")
        return len(missed) != 0
    failed = 0
    for header in [*BUDGETS, *MEASURED_ONLY]:
        if not any((check.ROOT / top / header).exists() for top in ("include", "host")):
            print(f"<{header}>  is missing")
            failed += 1
            continue
        text = f"#include <{header}>\n"
        count = lines(compiler, check.ROOT, text)
        budget = BUDGETS.get(header)
        verdict = "" if budget is None else f" of {budget}" + (": over budget" if count > budget else "")
        print(f"<{header}>  {seconds(compiler, check.ROOT, text):.2f} s CPU, {count} lines{verdict}")
        failed += budget is not None and count > budget
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
