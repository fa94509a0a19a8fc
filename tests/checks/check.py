# SPDX-License-Identifier: BSD-3-Clause
"""What the checks of the source tree share: running over the tree, and the proof by planted violations that they can
fail.

A check is a function root -> iterable of findings, one line of text each. Its mutations say what to plant in a copy of
the tree and which finding that must bring.
"""

import pathlib
import re
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = [
    "include",
    "host",
    "device",
    "cmake",
    "tests",
    "examples",
    "bench",
    ".ci",
    "CMakeLists.txt",
    "CMakePresets.json",
    "README.md",
    ".clang-format",
    ".clang-tidy",
]


class Mutation:
    def __init__(self, what, apply, expected):
        self.what = what
        self.apply = apply
        self.expected = expected


def create(what, path, text, expected):
    """Plant a new file."""

    def apply(root):
        target = root / path
        if target.exists():
            raise RuntimeError(f"{path} exists already")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    return Mutation(what, apply, expected)


def append(what, path, text, expected):
    """Plant text at the end of a file that exists."""

    def apply(root):
        target = root / path
        target.write_text(target.read_text() + text)

    return Mutation(what, apply, expected)


def remove(what, path, expected):
    """Take a file away."""
    return Mutation(what, lambda root: (root / path).unlink(), expected)


def replace(what, path, old, new, expected):
    """Plant a change in a file that exists."""

    def apply(root):
        target = root / path
        text = target.read_text()
        if old not in text:
            raise RuntimeError(f"{path} does not contain {old!r}")
        target.write_text(text.replace(old, new, 1))

    return Mutation(what, apply, expected)


def code(text):
    """C++ without its comments and the contents of its string literals; line numbers stay."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)

    def blank(match):
        found = match.group()
        return '""' if found.startswith('"') else "\n" * found.count("\n") + " "

    return token.sub(blank, text)


def copy_tree(destination):
    for top in TOP:
        source = ROOT / top
        if source.is_dir():
            shutil.copytree(source, destination / top, symlinks=True)
        elif source.exists():
            shutil.copy2(source, destination / top)


def self_test(findings, mutations):
    failed = 0
    with tempfile.TemporaryDirectory(prefix="nkv-check-") as folder:
        pristine = pathlib.Path(folder) / "pristine"
        pristine.mkdir()
        copy_tree(pristine)
        before = set(findings(pristine))
        for mutation in mutations:
            mutant = pathlib.Path(folder) / "mutant"
            shutil.copytree(pristine, mutant, symlinks=True)
            mutation.apply(mutant)
            new = [finding for finding in findings(mutant) if finding not in before]
            seen = any(mutation.expected in finding for finding in new)
            print(f"{'found ' if seen else 'MISSED'}  {mutation.what}")
            if not seen:
                failed += 1
                print(f"        expected: {mutation.expected}", *(f"        reported: {f}" for f in new), sep="\n")
            shutil.rmtree(mutant)
    print(f"{len(mutations) - failed} of {len(mutations)} planted violations found")
    return 1 if failed or not mutations else 0


def main(usage, findings, mutations):
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test(findings, mutations))
    if sys.argv[1:]:
        print(usage.strip())
        sys.exit(2)
    count = 0
    for finding in findings(ROOT):
        print(finding)
        count += 1
    print(f"{count} findings" if count else "nothing found")
    sys.exit(1 if count else 0)
