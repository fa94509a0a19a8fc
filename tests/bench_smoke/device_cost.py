#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""`nkv-bench device-cost` measures every kernel and reports all of it, with numbers that fit together.

device_cost.py NKV-BENCH    run the short variation and check the JSON and the table; exits 77 without the compilers
device_cost.py --self-test  spoil a good report in each way that is looked for and see that found

Whether a goal is reached is not asserted: that it is worked out from the figures is.
"""

import copy
import json
import math
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "device"))

import compilers  # noqa: E402

GPU = "gfx942"
BASELINE = "BaM-like baseline Retrieve"
EXCLUSIVE, SHARED = "exclusive Retrieve", "shared Retrieve"
WARP, BLOCK = "shared Retrieve, a warp together", "block_shared Retrieve, a block together"
COMPLETE = [EXCLUSIVE, "exclusive Exist", "exclusive Store", "exclusive Retrieve, doorbell in a BAR",
            "exclusive Retrieve, a deadline made for each", SHARED, "shared Exist", "shared Store", WARP, BLOCK]
PARTIAL = [f"{EXCLUSIVE} without {step}" for step in ("deadline", "decoding", "occupancy check and CID", "any check")]
PUBLISHED = "published, not measured here"
CONTENDED = [SHARED, WARP, BLOCK, BASELINE]

EXECUTED = """ptx_executed_per_op ptx_executed_per_op_mean_of_64 ptx_static_instructions registers stack_bytes spill_bytes
atomics_per_op fences_system_per_op fences_device_per_op fences_block_per_op loads_per_op stores_per_op
sq_doorbells_per_op cq_doorbells_per_op""".split()
OF_GPU = [f"{GPU}_{c}" for c in "instructions waits vgprs sgprs scratch_bytes spilled_vgprs spilled_sgprs".split()]
OF_32 = [f"{c}_32_threads" for c in "ptx_executed_per_op sq_doorbells_per_op cq_doorbells_per_op".split()]
ORIGIN = ("commit", "date_utc", "arguments", "compiler", "compiler_flags", "machine", "device_compilers", "goals")

# Where BaM's own code came to 303 and 933.
BANDS = {"ptx_executed_per_op": (200, 340), "ptx_executed_per_op_32_threads": (600, 1200)}


def finite(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def wanted_goals(rows):
    """(goal, what it comes to): the figure, or None where it was not measured."""
    def of(name, column):
        return rows[name][column]

    def total(column):
        return sum(rows[name][column] for name in COMPLETE)

    return [
        ("exclusive Retrieve: PTX executed", of(EXCLUSIVE, "ptx_executed_per_op"), 96),
        ("exclusive Retrieve: atomics", of(EXCLUSIVE, "atomics_per_op"), 0),
        ("exclusive Retrieve: fences of the system's scope", of(EXCLUSIVE, "fences_system_per_op"), 1),
        ("shared Retrieve: PTX executed", of(SHARED, "ptx_executed_per_op"), 200),
        ("shared Retrieve: atomics", of(SHARED, "atomics_per_op"), 4),
        ("shared, a warp together, 32 threads: SQ doorbells an operation", of(WARP, "sq_doorbells_per_op_32_threads"),
         0.04),
        ("block_shared, a block together, 32 threads: SQ doorbells an operation",
         of(BLOCK, "sq_doorbells_per_op_32_threads"), 0.04),
        ("shared, each thread alone, 256 threads: PTX of the baseline's", None, 0.4),
        ("shared, a warp together, 256 threads: PTX of the baseline's", None, 0.4),
        ("block_shared, a block together, 256 threads: PTX of the baseline's", None, 0.15),
        ("sm_90, all rows: bytes of stack", total("stack_bytes"), 0),
        ("sm_90, all rows: bytes spilled", total("spill_bytes"), 0),
        (f"{GPU}, all rows: bytes of scratch", total(f"{GPU}_scratch_bytes"), 0),
        (f"{GPU}, all rows: VGPRs spilled", total(f"{GPU}_spilled_vgprs"), 0),
        (f"{GPU}, all rows: SGPRs spilled, into VGPRs", total(f"{GPU}_spilled_sgprs"), 0),
    ]


def row_findings(row):
    name = row["name"]
    columns = list(EXECUTED)
    if row["source"] != "baseline":
        columns += OF_GPU
    if name in CONTENDED:
        columns += OF_32
    for column in columns:
        if not finite(row.get(column)) or row[column] < 0:
            yield f"{column} is {row.get(column)}"
            return
    # A command is four stores of 16 bytes at least, and one doorbell where nobody else sends.
    if row["ptx_executed_per_op"] < 30 or row["ptx_static_instructions"] < 30 or row["stores_per_op"] < 5:
        yield "too few instructions for an operation"
    if row["ptx_executed_per_op"] != round(row["ptx_executed_per_op"]):
        yield "a part of an instruction was executed"
    if row["sq_doorbells_per_op"] != 1:
        yield f"{row['sq_doorbells_per_op']} SQ doorbells an operation of one thread"
    if not 0 < row["cq_doorbells_per_op"] <= 1:
        yield f"{row['cq_doorbells_per_op']} CQ doorbells an operation of one thread"
    if not 0 < row["registers"] <= 255:
        yield f"{row['registers']} registers"
    if row["source"] != "baseline" and row[f"{GPU}_instructions"] < row[f"{GPU}_waits"]:
        yield "more waits than instructions"
    if name in CONTENDED and not 1 / 33 < row["sq_doorbells_per_op_32_threads"] <= 1:
        yield f"{row['sq_doorbells_per_op_32_threads']} SQ doorbells an operation of 32 threads"
    if "missing" in row:
        yield f"missing: {row['missing']}"


def findings(report):
    for field in ORIGIN:
        if not report.get(field):
            yield f"{field} is not there"
    for name, compiler in report["device_compilers"].items():
        if not compiler.get("version") or not compiler.get("flags"):
            yield f"{name}: no version or no flags"
    rows = {}
    for row in report["rows"]:
        if row["name"] in rows:
            yield f"{row['name']} is there twice"
        rows[row["name"]] = row
    wanted = {name: "complete" for name in COMPLETE} | {name: "partial" for name in PARTIAL} | {BASELINE: "baseline"}
    for name, row in rows.items():
        if row["source"] == PUBLISHED:
            if not row.get("cited") or not finite(row.get("ptx_executed_per_op")):
                yield f"{name}: published without a source or a figure"
        elif wanted.get(name) != row["source"]:
            yield f"{name}: a row that nobody asked for"
        else:
            yield from (f"{name}: {finding}" for finding in row_findings(row))
    missing = [name for name in wanted if name not in rows]
    yield from (f"no row {name}" for name in missing)
    if not any(row["source"] == PUBLISHED for row in rows.values()):
        yield "nothing published beside them"
    if missing or any(not finite(rows[n].get(c)) for n in COMPLETE for c in EXECUTED + OF_GPU):
        return
    for column, (low, high) in BANDS.items():
        if not low <= rows[BASELINE][column] <= high:
            yield f"the baseline's {column} is {rows[BASELINE][column]}, not {low} to {high}"

    goals = {goal["goal"]: goal for goal in report["goals"]}
    for text, figure, at_most in wanted_goals(rows):
        goal = goals.pop(text, None)
        if goal is None:
            yield f"no goal {text}"
        elif goal["at_most"] != at_most or goal["measured"] != figure:
            yield f"the goal {text} says {goal['measured']} of {goal['at_most']}, not {figure} of {at_most}"
        elif goal["reached"] != (figure is not None and figure <= at_most):
            yield f"the goal {text} is worked out wrongly"
    yield from (f"a goal {text} that nobody set" for text in goals)

    steps = {(step["row"], step["step"]): step["ptx_executed_per_op"] for step in report["steps"]}
    for name in PARTIAL:
        row, step = name.split(" without ")
        if steps.get((row, step)) != rows[row]["ptx_executed_per_op"] - rows[name]["ptx_executed_per_op"]:
            yield f"the step {step} of {row} does not fit its rows"


def run(program):
    with tempfile.TemporaryDirectory(prefix="nkv-bench-") as folder:
        path = pathlib.Path(folder) / "device-cost.json"
        done = subprocess.run([program, "device-cost", "--quick", "--json", str(path)], capture_output=True, text=True,
                              timeout=200)
        if done.returncode != 0:
            yield f"exit status {done.returncode}: {done.stderr.strip()}"
            return
        report = json.loads(path.read_text())
    yield from findings(report)
    for word in [row["name"] for row in report["rows"]] + [goal["goal"] for goal in report["goals"]] + [PUBLISHED]:
        if word not in done.stdout:
            yield f"the table does not say {word}"
    print(f"{len(report['rows'])} rows in {report['duration_s']:.1f} s")


def good_report():
    rows = []
    for name in COMPLETE + PARTIAL + [BASELINE]:
        row = {c: 0 for c in EXECUTED + OF_GPU + OF_32}
        row.update(name=name, source="complete" if name in COMPLETE else "partial" if name in PARTIAL else "baseline",
                   ptx_executed_per_op=250, ptx_static_instructions=300, stores_per_op=9, sq_doorbells_per_op=1,
                   cq_doorbells_per_op=0.1, registers=32, sq_doorbells_per_op_32_threads=0.1,
                   ptx_executed_per_op_32_threads=800)
        row[f"{GPU}_instructions"] = 500
        rows.append(row)
    by_name = {row["name"]: row for row in rows}
    rows.append({"name": "BaM", "source": PUBLISHED, "cited": "a paper", "ptx_executed_per_op": 303})
    report = {field: "x" for field in ORIGIN}
    report["device_compilers"] = {"nvcc": {"version": "13", "flags": "-O3"}}
    report["rows"] = rows
    report["goals"] = [{"goal": text, "at_most": at_most, "measured": figure,
                        "reached": figure is not None and figure <= at_most}
                       for text, figure, at_most in wanted_goals(by_name)]
    report["steps"] = [dict(zip(("row", "step"), name.split(" without ")), ptx_executed_per_op=0) for name in PARTIAL]
    return report


def spoiled(column, value, name=SHARED):
    def spoil(report):
        next(row for row in report["rows"] if row["name"] == name)[column] = value

    return spoil


def goal_spoiled(column, value, which=0):
    def spoil(report):
        report["goals"][which][column] = value

    return spoil


MUTATIONS = [
    ("a row is missing", lambda r: r["rows"].pop(0), "no row exclusive Retrieve"),
    ("a row is there twice", lambda r: r["rows"].append(copy.deepcopy(r["rows"][0])), "twice"),
    ("a row too many", lambda r: r["rows"].append({**r["rows"][0], "name": "x"}), "nobody asked for"),
    ("nothing published", lambda r: r["rows"].pop(), "nothing published"),
    ("published by nobody", spoiled("cited", "", "BaM"), "without a source"),
    ("no commit", lambda r: r.pop("commit"), "commit is not there"),
    ("a compiler of no version", lambda r: r["device_compilers"]["nvcc"].pop("version"), "no version"),
    ("a missing number", spoiled("registers", None), "registers is None"),
    ("a number that is none", spoiled("atomics_per_op", float("nan")), "atomics_per_op is nan"),
    ("no AMD", spoiled(f"{GPU}_vgprs", None), "vgprs is None"),
    ("an operation of no instructions", spoiled("ptx_executed_per_op", 0), "too few instructions"),
    ("half an instruction", spoiled("ptx_executed_per_op", 250.5), "a part of an instruction"),
    ("an operation without a doorbell", spoiled("sq_doorbells_per_op", 0), "0 SQ doorbells"),
    ("a CQ that is never given back", spoiled("cq_doorbells_per_op", 0), "0 CQ doorbells"),
    ("fewer doorbells than warps", spoiled("sq_doorbells_per_op_32_threads", 0.02), "of 32 threads"),
    ("a row with a reason", spoiled("missing", "no compiler"), "missing: no compiler"),
    ("a baseline for nothing", spoiled("ptx_executed_per_op", 150, BASELINE), "the baseline's"),
    ("a baseline that is too dear", spoiled("ptx_executed_per_op_32_threads", 9999, BASELINE), "the baseline's"),
    ("a goal reached by word alone", goal_spoiled("reached", True), "worked out wrongly"),
    ("a goal of another figure", goal_spoiled("measured", 95), "says 95"),
    ("a goal that moved", goal_spoiled("at_most", 300), "of 300"),
    ("a goal not measured but there", goal_spoiled("measured", 0.3, 7), "says 0.3"),
    ("a goal is missing", lambda r: r["goals"].pop(), "no goal"),
    ("a goal too many", lambda r: r["goals"].append({"goal": "x"}), "nobody set"),
    ("a step of something else", lambda r: r["steps"][0].update(ptx_executed_per_op=5), "does not fit its rows"),
    ("stack that no goal sees", spoiled("stack_bytes", 8), "bytes of stack says 0"),
]


def self_test():
    missed = len(list(findings(good_report())))
    if missed:
        print("MISSED  a good report is not found good", *findings(good_report()), sep="\n        ")
    for what, spoil, expected in MUTATIONS:
        report = good_report()
        spoil(report)
        found = list(findings(report))
        seen = any(expected in finding for finding in found)
        print(f"{'found ' if seen else 'MISSED'}  {what}", *([] if seen else found), sep="\n        ")
        missed += not seen
    print(f"{len(MUTATIONS)} ways to spoil a report, {missed} missed")
    return missed != 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    for what, path in (("nvcc", compilers.nvcc()), ("clang", compilers.clang())):
        if not path:
            print(f"skipped: {what} is not installed")
            return 77
    found = list(run(sys.argv[1]))
    print(*found, sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
