#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compiles sources that must not compile and compares what the compiler says.

  run.py COMPILER FILE...     each file; exit 1 if one compiles or fails for another reason
  run.py COMPILER --self-test judge planted files

A file names with `// expect-error: REGEX` what each compiler must say; more than one such line: all of them. The lines
between `#ifdef FAIL` and `#endif` are the misuse: without them the file must compile, so that it fails for no other
reason.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECT = re.compile(r"^// expect-error: (.*)$", re.M)


def compile_one(compiler, path, *more):
    flags = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror=unused-result"]
    command = [compiler, *flags, f"-I{ROOT}/include", f"-I{ROOT}/host", *more, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


def judge(compiler, path):
    """The reason why the file does not do its job, or None."""
    text = path.read_text()
    expected = EXPECT.findall(text)
    if not expected:
        return "no expect-error line"
    if "#ifdef FAIL" not in text:
        return "no #ifdef FAIL"
    code, output = compile_one(compiler, path)
    if code != 0:
        return f"does not compile without the misuse:\n{output}"
    code, output = compile_one(compiler, path, "-DFAIL")
    if code == 0:
        return "compiles with the misuse"
    errors = "\n".join(line for line in output.splitlines() if "error:" in line or "note:" in line)
    for regex in expected:
        if not re.search(regex, errors):
            return f"the compiler does not say /{regex}/:\n{output}"
    return None


PLANTED = [
    ("// expect-error: static assertion\n#ifdef FAIL\nstatic_assert(sizeof(int) == 1);\n#endif\n", None),
    ("// expect-error: x\n#ifdef FAIL\nint ok;\n#endif\n", "compiles with the misuse"),
    ("// expect-error: other words\n#ifdef FAIL\nstatic_assert(sizeof(int) == 1);\n#endif\n", "does not say"),
    (
        "// expect-error: static assertion\nstatic_assert(sizeof(int) == 1);\n#ifdef FAIL\n#endif\n",
        "without the misuse",
    ),
    ("#ifdef FAIL\nstatic_assert(sizeof(int) == 1);\n#endif\n", "no expect-error line"),
]


def self_test(compiler):
    missed = 0
    with tempfile.TemporaryDirectory(prefix="nkv-compile-fail-") as folder:
        path = pathlib.Path(folder) / "planted.cpp"
        for text, expected in PLANTED:
            path.write_text(text)
            verdict = judge(compiler, path)
            good = verdict is None if expected is None else verdict is not None and expected in verdict
            print(f"{'as expected' if good else 'MISSED'}: {expected or 'sound'}")
            missed += not good
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} planted files judged rightly")
    return missed != 0


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip())
        return 2
    compiler, files = sys.argv[1], sys.argv[2:]
    if files == ["--self-test"]:
        return self_test(compiler)
    failed = 0
    for name in files:
        verdict = judge(compiler, pathlib.Path(name))
        print(f"{pathlib.Path(name).name}: {verdict or 'refused as expected'}")
        failed += verdict is not None
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
