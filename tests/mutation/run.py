#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Removes one protective line at a time and asks that the named assertion fails for it.

run.py NAME...         these mutations
run.py --all           every mutation
run.py --part K/N      the K-th of N parts, 1 to N; and whether every entry of the list names text that is there
run.py --rotate N      the same, the part whose turn it is: by the number of commits, or by the day where there is no git tree
run.py --list          their names
run.py --self-test     plant a mutation of each kind that must be reported and see it reported

mutations.txt says what a mutation is. A mutant is the tree with one line of one header changed; of its tests only the
named one is built and run, first without the mutation. Exit 1 unless each mutant compiles and its test case fails with
the text that the list names. The compilers: CXX (default g++), and CLANGXX (default clang++-19) for ThreadSanitizer.
"""

import collections
import datetime
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIST = HERE / "mutations.txt"

ONCE = ["header", "after", "original", "mutant", "test", "case", "sanitizer", "hangs", "shown"]
NEEDED = ["header", "original", "mutant", "test", "case", "fails"]

KILLED, NOT_SHOWN = "killed", "not shown"
NOT_FOUND, NOT_UNIQUE = "text not found", "text not unique"
NOT_COMPILED, SURVIVED, ELSEWHERE = "does not compile", "survived", "failed elsewhere"
BASELINE = "the test fails without it"

Mutation = collections.namedtuple("Mutation", ["name", "fails", *ONCE])


def parse(text):
    """The mutations of a list, in its order. ValueError for what is no list."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        if not re.fullmatch(r"\[[a-z0-9_.]+\]", lines[0]):
            raise ValueError(f"no [name]: {lines[0]}")
        name = lines[0][1:-1]
        entry = {key: None for key in ONCE}
        fails = []
        for line in lines[1:]:
            match = re.fullmatch(r"([a-z]+):(?: (.*))?", line)
            if not match or (match.group(1) not in entry and match.group(1) != "fails"):
                raise ValueError(f"{name}: not understood: {line}")
            key, value = match.group(1), match.group(2) or ""
            if key == "fails":
                fails.append(value)
            elif entry[key] is not None:
                raise ValueError(f"{name}: {key} twice")
            else:
                entry[key] = value
        missing = [k for k in NEEDED if (k == "fails" and not fails) or (k != "fails" and entry[k] is None)]
        if entry["hangs"] is not None and missing == ["fails"]:
            missing = []
        if missing and entry["shown"] is None:
            raise ValueError(f"{name}: without {', '.join(missing)}")
        found.append(Mutation(name=name, fails=fails, **entry))
    names = [m.name for m in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: twice")
    return found


class Workshop:
    """Builds and runs tests of one tree in a scratch folder."""

    def __init__(self, root, scratch):
        self.root, self.scratch = root, pathlib.Path(scratch)
        self.mains, self.baselines = {}, {}
        self.model_gpu = None

    def _compiler(self, sanitizer):
        if sanitizer == "thread":
            return [os.environ.get("CLANGXX", "clang++-19"), "-fsanitize=thread", "-g1", "-O1"]
        return [os.environ.get("CXX", "g++"), "-O0"]

    def _command(self, sanitizer, includes, *rest):
        tree = [f"-I{i}" for i in includes] + [f"-I{self.root}/{d}" for d in ("include", "host", "device", "tests")]
        # Assertions that are calls save a fifth of the time, and -O0 as much again.
        return [*self._compiler(sanitizer), "-std=c++20", "-DDOCTEST_CONFIG_SUPER_FAST_ASSERTS", "-DFMT_HEADER_ONLY", *tree, *rest]

    def _main(self, sanitizer):
        if sanitizer not in self.mains:
            made = self.scratch / f"main.{sanitizer or 'plain'}.o"
            command = self._command(sanitizer, [], "-c", f"{ROOT}/tests/support/main.cpp", "-o", str(made))
            command.insert(-4, f"-I{ROOT}/tests")
            subprocess.run(command, check=True)
            self.mains[sanitizer] = made
        return self.mains[sanitizer]

    def _model_gpu(self):
        """The library that plays a GPU's driver, for the tests that load it."""
        if self.model_gpu is None:
            self.model_gpu = self.scratch / "libmodel_gpu.so"
            source = f"{ROOT}/tests/support/model_gpu.cpp"
            subprocess.run([*self._command(None, [], "-fPIC", "-shared", source), "-o", str(self.model_gpu)], check=True)
        return self.model_gpu

    def build(self, m, overlay, name):
        """The test's program, or what the compiler says."""
        program = self.scratch / name
        source = self.root / "tests" / "unit" / m.test
        command = self._command(m.sanitizer, overlay, str(source), str(self._main(m.sanitizer)), "-pthread", "-o",
                                str(program))
        if "support/modelled_gpu.hpp" in source.read_text():
            command.append(f'-DNKV_MODEL_GPU="{self._model_gpu()}"')
        done = subprocess.run(command, capture_output=True, text=True)
        return (program, "") if done.returncode == 0 else (None, done.stderr)

    def run(self, m, program, seconds=60):
        """The exit status (None: ended by us) and what was printed."""
        # A comma separates filters; whatever the case is instantiated with follows its name.
        case = m.case.replace(",", "?") + "*"
        environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1")
        command = [str(program), f"--test-case={case}", "--no-colors=1"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds,
                                  env=environment, cwd=self.scratch)
        except subprocess.TimeoutExpired as e:
            return None, (e.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout + done.stderr

    def baseline(self, m):
        """Why the named case is no test of anything without a mutation, or None."""
        key = (m.test, m.sanitizer)
        if key not in self.baselines:
            self.baselines[key] = self.build(m, [], f"baseline{len(self.baselines)}")
        program, output = self.baselines[key]
        if program is None:
            return output
        code, output = self.run(m, program)
        return None if code == 0 else output or "no end"


def failures(output):
    """What is said of each assertion that failed, or of a race."""
    return re.findall(r"^.*(?:ERROR:|WARNING: ThreadSanitizer:)(?:.|\n)*?(?=\n\n|\Z)", output, re.M)


def find(root, m):
    """(the header's text, where the original stands in it, None), or what is wrong with the entry in the last place."""
    header = root / m.header
    text = header.read_text() if header.is_file() else ""
    # With `after`, that is what must be unique, and the first place behind it is meant.
    unique = m.after or m.original
    if unique not in text or (m.after and m.original not in text[text.index(m.after) :]):
        return text, None, (NOT_FOUND, f"{m.header}: {unique if unique not in text else m.original}")
    if text.count(unique) != 1:
        return text, None, (NOT_UNIQUE, f"{m.header}: {unique}")
    return text, text.index(m.original, text.index(unique)), None


def judge(shop, m):
    """(verdict, what else there is to say)"""
    text, at, wrong = find(shop.root, m)
    if wrong:
        return wrong
    changed_text = text[:at] + m.mutant + text[at + len(m.original) :]
    if m.shown is not None:
        return NOT_SHOWN, m.shown
    wrong = shop.baseline(m)
    if wrong is not None:
        return BASELINE, wrong
    with tempfile.TemporaryDirectory(dir=shop.scratch) as overlay:
        # The mutated header alone, in front of the tree: the include roots are include/, host/ and device/.
        changed = pathlib.Path(overlay) / pathlib.Path(*pathlib.Path(m.header).parts[1:])
        changed.parent.mkdir(parents=True)
        changed.write_text(changed_text)
        program, output = shop.build(m, [overlay], "mutant")
    if program is None:
        return NOT_COMPILED, "\n".join(output.splitlines()[:10])
    # What a mutant that never ends would say takes this long to see, so that few are of that kind.
    code, output = shop.run(m, program, seconds=5 if m.hangs else 60)
    if code == 0:
        return SURVIVED, ""
    if m.hangs and code is None:
        return KILLED, ""
    # A signal ends the test without a word.
    end = "it did not end" if code is None else f"it ended with {code}"
    said = failures(output) or [end]
    if all(any(wanted in one for one in said) for wanted in m.fails):
        return KILLED, ""
    return ELSEWHERE, end + "\n" + "\n".join(said)[:1500]


def report(root, chosen):
    """Judges the chosen mutations and prints a line for each. Returns whether all did as the list says."""
    begin, count, bad = time.monotonic(), collections.Counter(), []
    with tempfile.TemporaryDirectory(prefix="nkv-mutation-") as scratch:
        shop = Workshop(root, scratch)
        # Those of one test beside each other share its build without a mutation.
        for m in sorted(chosen, key=lambda m: (m.test or "", m.sanitizer or "")):
            start = time.monotonic()
            verdict, detail = judge(shop, m)
            print(f"{verdict:<26} {m.name}  {time.monotonic() - start:.1f} s", flush=True)
            if verdict == NOT_SHOWN:
                print(f"    {detail}")
            elif verdict != KILLED:
                bad.append(m.name)
                print("".join(f"    {line}\n" for line in detail.splitlines()), end="")
            count[verdict] += 1
    total = sum(count.values()) - count[NOT_SHOWN]
    print(f"{count[KILLED]} of {total} mutants killed, {count[NOT_SHOWN]} not shown, {time.monotonic() - begin:.0f} s")
    if bad:
        print("not as the list says: " + " ".join(bad))
    return not bad and count[KILLED] != 0


def part(mutations, k, n):
    """The k-th of n parts; together they are all. Each has some of the dear tests, so that none takes much longer."""
    ordered = sorted((m for m in mutations if m.shown is None), key=lambda m: (m.test, m.sanitizer or ""))
    return ordered[k - 1 :: n] + [m for m in mutations if m.shown is not None]


def turn(n):
    done = subprocess.run(["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    number = int(done.stdout) if done.returncode == 0 else datetime.date.today().timetuple().tm_yday
    return number % n + 1


PLANTED_HEADER = """#pragma once
// A comment.
inline bool small(int x) {
  if (x < 0) return false;
  if (x == 7) return true;
  return x < 10;
}
"""
PLANTED_TEST = """#include <nkv/planted.hpp>
#include <doctest/doctest.h>
TEST_CASE("small: below zero, and ten") {
  CHECK_FALSE(small(-1));
  CHECK_FALSE(small(10));
}
TEST_CASE("wrong at any time") { CHECK(small(10)); }
"""
PLANTED = [
    (KILLED, "if (x < 0) return false;", "", "small: below zero, and ten", "small(-1)"),
    (SURVIVED, "// A comment.", "// Another.", "small: below zero, and ten", "small(-1)"),
    (SURVIVED, "if (x == 7) return true;", "", "small: below zero, and ten", "small(-1)"),
    (ELSEWHERE, "return x < 10;", "return x < 11;", "small: below zero, and ten", "small(-1)"),
    (ELSEWHERE, "return x < 10;", "for (;;) {}", "small: below zero, and ten", "small(10)"),
    (NOT_COMPILED, "return x < 10;", "return x <;", "small: below zero, and ten", "small(10)"),
    (NOT_FOUND, "if (x > 1000)", "", "small: below zero, and ten", "small(-1)"),
    (NOT_UNIQUE, "return ", "return !", "small: below zero, and ten", "small(-1)"),
    (BASELINE, "return x < 10;", "return x < 11;", "wrong at any time", "small(10)"),
    (BASELINE, "return x < 10;", "return x < 11;", "no such case", "small(10)"),
]


def self_test():
    missed = 0

    def expect(what, good):
        nonlocal missed
        print(f"{'as expected' if good else 'MISSED'}: {what}")
        missed += not good

    with tempfile.TemporaryDirectory(prefix="nkv-mutation-") as folder:
        root = pathlib.Path(folder) / "tree"
        for path, text in [("include/nkv/planted.hpp", PLANTED_HEADER), ("tests/unit/planted_test.cpp", PLANTED_TEST)]:
            (root / path).parent.mkdir(parents=True)
            (root / path).write_text(text)
        scratch = pathlib.Path(folder) / "scratch"
        scratch.mkdir()
        shop = Workshop(root, scratch)
        whole = shop.run
        shop.run = lambda m, program, seconds=2: whole(m, program, min(seconds, 2))
        for verdict, original, mutant, case, fails in PLANTED:
            m = Mutation("planted", [fails], "include/nkv/planted.hpp", None, original, mutant, "planted_test.cpp", case,
                         None, None, None)
            got, _ = judge(shop, m)
            expect(f"{verdict}: {original} -> {mutant or 'nothing'}", got == verdict)
        endless = m._replace(mutant="for (;;) {}", case="small: below zero, and ten", hangs="yes")
        expect("killed: it never ends", judge(shop, endless)[0] == KILLED)
        second = m._replace(after="if (x == 7)", original="return ", mutant="return !", case="small: below zero, and ten")
        expect("survived: the place behind another text", judge(shop, second)[0] == SURVIVED)
        expect(NOT_FOUND, judge(shop, second._replace(after="x < 10"))[0] == NOT_FOUND)
        expect(NOT_SHOWN, judge(shop, m._replace(shown="because")) == (NOT_SHOWN, "because"))
    good = "[a]\nheader: h\noriginal: o\nmutant:\ntest: t\ncase: c\nfails: f\n"
    for what, text in [
        ("a list", good),
        ("a name twice", good + "\n" + good),
        ("an unknown key", good + "colour: red\n"),
        ("a key twice", good + "test: t\n"),
        ("a key missing", good.replace("fails: f\n", "")),
        ("no name", good.replace("[a]\n", "")),
    ]:
        try:
            parse(text)
            understood = True
        except ValueError:
            understood = False
        expect(f"{what}: {'understood' if understood else 'refused'}", understood == (what == "a list"))
    mutations = [m for m in parse(LIST.read_text()) if m.shown is None]
    for n in (1, 3, 7, 1000):
        parts = [m.name for k in range(1, n + 1) for m in part(mutations, k, n)]
        expect(f"{n} parts are all", sorted(parts) == sorted(m.name for m in mutations))
    expect("the turn is one of the parts", 1 <= turn(5) <= 5)
    return missed == 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        return not self_test()
    mutations = parse(LIST.read_text())
    if arguments == ["--list"]:
        print("\n".join(m.name for m in mutations))
        return 0
    if arguments == ["--all"]:
        chosen = mutations
    elif len(arguments) == 2 and arguments[0] in ("--part", "--rotate"):
        k, n = (turn(int(arguments[1])), int(arguments[1])) if arguments[0] == "--rotate" else map(
            int, arguments[1].split("/"))
        chosen = part(mutations, k, n)
        print(f"part {k} of {n}")
        # Entries of the other parts too, since the text that they name may have changed since their turn.
        stale = [(m.name, *wrong) for m in mutations if (wrong := find(ROOT, m)[2])]
        for entry in stale:
            print(": ".join(entry))
        if stale:
            return 1
    else:
        known = {m.name: m for m in mutations}
        unknown = [a for a in arguments if a not in known]
        if not arguments or unknown:
            print(__doc__.strip() if not unknown else f"no mutation {' '.join(unknown)}")
            return 2
        chosen = [known[a] for a in arguments]
    return not report(ROOT, chosen)


if __name__ == "__main__":
    sys.exit(main())
