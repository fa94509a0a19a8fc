#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs fuzzers for a bounded number of inputs, from their own seeds.

run.py [--runs N] [--seconds S] [--seed S] [--corpus DIR] [--build DIR] [FUZZER...]

For each fuzzer (all of them without a name): the number of inputs, their rate, the coverage (edges, features) and what
was reached of the expected set. Exits 1 where a run ended early by a fault, or something expected was not reached; the
input at fault is kept beneath --build and named.

  cmake --preset host-fuzz && cmake --build --preset host-fuzz
  tests/fuzz/run.py --runs 1000000                      a longer run
  build/host-fuzz/tests/fuzz/nkv_fuzz_endpoint FILE     one input again

--short      as CTest does: so many inputs as all fuzzers together run in about a minute
--seconds S  ends each fuzzer after this time, whatever --runs says
--corpus DIR keeps what each fuzzer finds worth keeping in DIR/FUZZER, and begins with what is there
"""

import argparse
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Inputs of a short run.
SHORT = {
    "command": 30000,
    "config": 40000,
    "endpoint": 200000,
    "identify": 8000,
    "list_page": 300000,
    "vfio_user_target": 20000,
    "vfio_user_transport": 40000,
}

ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:quarantine_size_mb=16:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def fuzz(executable, runs, seconds, seed, artifacts, corpus=None, most_seconds=3600):
    """One run. @return what it printed, its exit status and its time."""
    with tempfile.TemporaryDirectory() as scratch:
        seeds = pathlib.Path(scratch) / "seeds"
        seeds.mkdir()
        subprocess.run([executable, f"--write-seeds={seeds}"], check=True, timeout=60)
        folders = [corpus or pathlib.Path(scratch) / "corpus", seeds]
        folders[0].mkdir(parents=True, exist_ok=True)
        artifacts.mkdir(parents=True, exist_ok=True)
        command = [executable, f"-runs={runs}", f"-seed={seed}", "-timeout=25", "-rss_limit_mb=3072"]
        command += ["-print_final_stats=1", f"-artifact_prefix={artifacts}/", "-detect_leaks=1"]
        command += [f"-max_total_time={seconds}"] if seconds else []
        begin = time.monotonic()
        try:
            done = subprocess.run(command + folders, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env={**os.environ, **ENVIRONMENT}, timeout=most_seconds, errors="replace", text=True)
            text, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            text, status = (late.stdout or b"").decode(errors="replace"), 124
        return text, status, time.monotonic() - begin


def last(pattern, text, default="?"):
    found = re.findall(pattern, text, re.M)
    return found[-1] if found else default


def report(name, text, status, spent, seed):
    """A line for the run. @return whether it was good"""
    inputs = int(last(r"^stat::number_of_executed_units:\s+(\d+)", text, "0"))
    edges, features = last(r"cov: (\d+) ft: (\d+)", text, ("?", "?"))
    reached = last(r"^reached: (.*)$", text, "nothing said")
    print(f"{name}: {inputs} runs in {spent:.1f} s ({inputs / max(spent, 0.001):.0f}/s), seed {seed}, "
          f"coverage {edges} edges {features} features, reached: {reached}", flush=True)
    if status == 0 and inputs and reached != "nothing said":
        return True
    lines = [line for line in text.splitlines() if not line.startswith("#") or "cov:" not in line]
    print("\n".join(lines[-60:]))
    print(f"{name}: failed, exit status {status}", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=1000000)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/host-fuzz")
    parser.add_argument("fuzzers", nargs="*", metavar="FUZZER")
    arguments = parser.parse_args()
    good = True
    for name in arguments.fuzzers or sorted(SHORT):
        executable = arguments.build / "tests/fuzz" / f"nkv_fuzz_{name}"
        if name not in SHORT or not executable.exists():
            print(f"{name}: no such fuzzer, or {executable} is not built", file=sys.stderr)
            return 2
        # Another one each time: what a short run does not see today it may see tomorrow. It is printed.
        seed = arguments.seed or random.randrange(1, 1 << 31)
        text, status, spent = fuzz(executable, SHORT[name] if arguments.short else arguments.runs, arguments.seconds,
                                   seed, arguments.build / "fuzz-findings" / name,
                                   arguments.corpus and arguments.corpus / name)
        good = report(name, text, status, spent, seed) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
