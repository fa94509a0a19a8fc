#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""summary.py RESULTS SECONDS [LABEL...]: what ./tests/run prints at its end; summary.py --self-test: its own proof.

RESULTS holds a JUnit file NUMBER.PRESET.xml per run of ctest, and `steps` with a line NAME, SECONDS, OUTCOME per
configure and build. Prints each suite's share of the time, how many passed in each preset, the skips with their reasons
and the failures; the last line is the count. Exits 1 where something failed or nothing passed.
"""

import collections
import contextlib
import io
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

SKIP = re.compile(r"^skipped: (.*)$", re.M)
PARTLY = re.compile(r"^(\d+) of (\d+) test cases skipped$", re.M)


def summarise(results, seconds, labels):
    failed, skipped, partly = [], [], []
    suites, passed = collections.Counter(), collections.Counter()

    steps = results / "steps"
    for line in steps.read_text().splitlines() if steps.exists() else []:
        name, spent, outcome = line.split("\t")
        suites[name] += float(spent)
        if outcome != "passed":
            failed.append(name)

    for path in sorted(results.glob("*.xml"), key=lambda p: int(p.name.split(".")[0])):
        preset = path.name.split(".")[1]
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            name = case.get("name")
            output = case.findtext("system-out") or ""
            suite = ".".join(name.split(".")[:3] if name.startswith("nkv.unit.") else name.split(".")[:2])
            suites[f"{preset}: {suite}"] += float(case.get("time") or 0)
            status = case.get("status")
            if status == "run":
                passed[preset] += 1
                if name.startswith("nkv.unit.support."):
                    continue  # skips in order to show that a skip is counted
                partly += [f"{preset}: {name}: {found.group()}" for found in PARTLY.finditer(output)]
                partly += [f"{preset}: {name}: {reason}" for reason in sorted(set(SKIP.findall(output)))]
            elif status in ("notrun", "disabled"):
                reason = case.find("skipped")
                why = SKIP.findall(output) or [reason.get("message") if reason is not None else "not run"]
                if status == "notrun" and "SKIP_RETURN_CODE" in (reason.get("message") if reason is not None else ""):
                    skipped.append(f"{preset}: {name}: {why[0]}")
                else:
                    # Never started (the executable is missing, a fixture failed): that is no skip.
                    failed.append(f"{preset}: {name}: {why[0]}")
            else:
                failed.append(f"{preset}: {name}")

    print("\n=== time")
    total = sum(suites.values()) or 1
    small = 0
    for suite, spent in suites.most_common():
        if spent / total >= 0.005:
            print(f"{spent:8.1f} s {100 * spent / total:5.1f} %  {suite}")
        else:
            small += spent
    print(f"{small:8.1f} s {100 * small / total:5.1f} %  all others")
    print(f"{seconds:8.1f} s          by the clock")
    if passed:
        print("\n=== passed", *(f"{preset}: {count} passed" for preset, count in passed.items()), sep="\n")
    for title, lines in (("skipped", skipped), ("skipped within a test that passed", partly), ("failed", failed)):
        if lines:
            print(f"\n=== {title}", *lines, sep="\n")
    if not passed and not failed and not skipped:
        print(f"\nno test carries the label {' '.join(labels)}")
    print(f"\n{sum(passed.values())} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or not (passed or skipped) else 0


# One test of each fate, and what the summary has to make of it.
FATES = """
add_test(pass {sh} -c "exit 0")
add_test(partly {sh} -c "echo 'skipped: a reason'; echo '1 of 2 test cases skipped'")
add_test(fail {sh} -c "exit 1")
add_test(skip {sh} -c "echo 'skipped: another reason'; exit 77")
add_test(absent ./absent)
add_test(slow {sh} -c "sleep 9")
add_test(crash {sh} -c "kill -SEGV $$")
set_tests_properties(skip PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties(slow PROPERTIES TIMEOUT 0.2)
"""
EXPECTED = [
    "\nhost: 2 passed\n",
    "host: skip: another reason",
    "host: partly: a reason",
    "host: fail\n",
    "host: absent",
    "host: slow\n",
    "host: crash\n",
    "host: build\n",
    "\n2 passed, 5 failed, 1 skipped\n",
]


def self_test():
    with tempfile.TemporaryDirectory(prefix="nkv-summary-") as name:
        folder = pathlib.Path(name)
        (folder / "CTestTestfile.cmake").write_text(FATES.format(sh="/bin/sh"))
        (folder / "results").mkdir()
        (folder / "results/steps").write_text("host: configure\t1\tpassed\nhost: build\t2\tfailed\n")
        ctest = ["ctest", "--test-dir", name, "--output-junit", f"{name}/results/1.host.xml"]
        subprocess.run(ctest, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            code = summarise(folder / "results", 3.0, [])
            (folder / "empty").mkdir()
            empty = summarise(folder / "empty", 0.0, ["rados"])
    missing = [repr(line) for line in EXPECTED if line not in text.getvalue()]
    if missing or code == 0 or empty == 0:
        print(text.getvalue(), "missing:", *missing, f"exit {code}, of nothing {empty}", sep="\n")
        return 1
    print(f"{len(EXPECTED)} of {len(EXPECTED)} lines as expected")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    sys.exit(summarise(pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
