#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""`nkv-bench spine` runs every load for a moment and reports all of it, with numbers that fit together.

spine.py NKV-BENCH    run it over both transports and check the JSON and the table
spine.py --self-test  spoil a good report in each way that is looked for and see that found
"""

import copy
import json
import math
import pathlib
import subprocess
import sys
import tempfile

KIB, MIB = 1 << 10, 1 << 20
TRANSPORTS = ("vfio-user", "inproc")

# What no machine leaves out; the others are there where the machine can count them.
NUMBERS = """operations_per_s bandwidth_gb_per_s latency_avg_ns latency_p50_ns latency_p90_ns latency_p99_ns
allocations_per_op sq_doorbells_per_op cq_doorbells_per_op staged_bytes_per_op round_trip_floor_ns
latency_p50_in_round_trips latency_p50_in_round_trips_low latency_p50_in_round_trips_high skeleton_operations_per_s
skeleton_latency_p50_ns ratio_to_skeleton ratio_to_skeleton_low ratio_to_skeleton_high""".split()
POSITIVE = """operations_per_s latency_avg_ns latency_p50_ns latency_p99_ns round_trip_floor_ns
skeleton_operations_per_s ratio_to_skeleton latency_p50_in_round_trips""".split()
COUNTED = ("syscalls_per_op", "yields_per_op", "wakes_per_op")
OF_COPY = ("memcpy_gb_per_s", "ratio_to_memcpy", "ratio_to_memcpy_low", "ratio_to_memcpy_high")
ORIGIN = ("commit", "date_utc", "arguments", "compiler", "compiler_flags", "processors_used", "machine", "goals")


def wanted_rows():
    """(operation, block, depth, set, touched, calls) of every row of one transport."""
    for working_set in (MIB, 256 * MIB):
        for depth in (1, 32, 128):
            yield "exist", 4 * KIB, depth, working_set, False, "tickets"
            for operation in ("retrieve", "store"):
                for touched in (False, True):
                    yield operation, 4 * KIB, depth, working_set, touched, "tickets"
        for operation in ("retrieve", "store"):
            for touched in (False, True):
                yield operation, 128 * KIB, 8, working_set, touched, "tickets"
    for operation in ("retrieve", "store"):
        for touched in (False, True):
            yield operation, 64 * MIB, 1, 256 * MIB, touched, "tickets"
    for operation in ("exist", "retrieve"):
        yield operation, 4 * KIB, 1, MIB, False, "blocking"
        yield operation, 4 * KIB, 32, MIB, False, "batch"


def finite(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def row_findings(row):
    for column in NUMBERS + [c for c in OF_COPY if row["block_size_bytes"] == 64 * MIB]:
        if not finite(row.get(column)) or row[column] < 0:
            yield f"{column} is {row.get(column)}"
            return
    for column in POSITIVE:
        if row[column] <= 0:
            yield f"{column} is {row[column]}"
    for column in COUNTED:
        if row.get(column) is not None and not finite(row[column]):
            yield f"{column} is {row[column]}"
    if row["allocations_per_op"] != 0:
        yield f"{row['allocations_per_op']} allocations an operation"
    if row["staged_bytes_per_op"] != 0:
        yield f"{row['staged_bytes_per_op']} bytes staged an operation"
    if row["syscalls_per_op"] not in (None, 0):
        yield f"{row['syscalls_per_op']} system calls an operation"
    # A batch rings once for all; alone, every operation does.
    if row["call_style"] == "batch" and not 0 < row["sq_doorbells_per_op"] < 1:
        yield f"{row['sq_doorbells_per_op']} doorbells an operation in batches"
    if row["batch_size"] == 1 and row["sq_doorbells_per_op"] != 1:
        yield f"{row['sq_doorbells_per_op']} doorbells an operation one at a time"
    if not row["latency_p50_ns"] <= row["latency_p99_ns"] or not row["latency_p90_ns"] <= row["latency_p99_ns"]:
        yield "the percentiles do not rise"
    moved = 0 if row["operation"] == "exist" else row["block_size_bytes"]
    if not math.isclose(row["bandwidth_gb_per_s"], row["operations_per_s"] * moved / 1e9, rel_tol=1e-6, abs_tol=1e-12):
        yield "bandwidth, rate and size do not fit together"
    if not row["ratio_to_skeleton_low"] <= row["ratio_to_skeleton"] <= row["ratio_to_skeleton_high"]:
        yield "a ratio lies outside of its quartiles"
    if row["windows"] < 1:
        yield "no window"


def findings(report, transports):
    for field in ORIGIN:
        if not report.get(field):
            yield f"{field} is not there"
    rows = {}
    for row in report["rows"]:
        name = tuple(
            row[c] for c in ("operation", "block_size_bytes", "batch_size", "working_set_bytes", "touched", "call_style")
        )
        if (row["transport"], name) in rows:
            yield f"{row['name']} is there twice"
        rows[row["transport"], name] = row
        for finding in row_findings(row):
            yield f"{row['name']}: {finding}"
    wanted = {(t, row) for t in transports for row in wanted_rows()}
    for t, row in sorted(wanted - rows.keys()):
        yield f"{t}: no row {row}"
    for t, row in sorted(rows.keys() - wanted):
        yield f"{t}: a row {row} that nobody asked for"
    if not finite(report["floors"]["clock_read_ns"]):
        yield "no cost of the clock"
    for floor in ("round_trip_ns", "memcpy_64mib_gb_per_s"):
        if not report["floors"].get(floor, {}).get("median", 0) > 0:
            yield f"no floor {floor}"
    idle = report.get("idle", {})
    if not 0 < idle.get("first_exist_p50_ns", 0) <= idle.get("first_exist_p99_ns", 0):
        yield "no first operation after a rest"
    if not 0 <= idle.get("processor_percent", -1) <= 100:
        yield f"a target at rest uses {idle.get('processor_percent')} % of a processor"
    counts = report["instructions"]
    if "skipped" in counts:
        if not counts["skipped"]:
            yield "instructions skipped without a reason"
        return
    seen = {(c["operation"], c["batch_size"]) for c in counts["rows"]}
    if seen != {(o, b) for o in ("exist", "retrieve", "store") for b in (1, 32)}:
        yield f"instructions of {sorted(seen)}"
    for c in counts["rows"]:
        # Not fewer than it takes to store 64 bytes and to read 16.
        if not (c["submit_instructions"] > 8 and c["complete_instructions"] > 4):
            yield f"{c['operation']}: {c['submit_instructions']} + {c['complete_instructions']} instructions"
        if not math.isclose(c["instructions_per_op"], c["submit_instructions"] + c["complete_instructions"]):
            yield f"{c['operation']}: the instructions do not add up"
    if not counts["empty_poll_instructions"] > 0:
        yield "no instructions of an empty poll"


def run(program):
    with tempfile.TemporaryDirectory(prefix="nkv-bench-") as folder:
        path = pathlib.Path(folder) / "spine.json"
        command = [program, "spine", "--quick", "--transport", "both", "--json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
        if done.returncode != 0:
            yield f"exit status {done.returncode}: {done.stderr.strip()}"
            return
        report = json.loads(path.read_text())
    yield from findings(report, TRANSPORTS)
    for word in ("Floors:", "vfio-user:", "inproc:", "retrieve", "64 MiB", "of skeleton", "At rest", "goal"):
        if word not in done.stdout:
            yield f"the table does not say {word}"
    if "skipped" in report["instructions"]:
        print(f"instructions: skipped, {report['instructions']['skipped']}")
    print(f"{len(report['rows'])} rows in {report['duration_s']:.1f} s")


def good_report():
    rows = []
    for transport in TRANSPORTS:
        for operation, block, depth, working_set, touched, calls in wanted_rows():
            row = {c: 1.0 for c in NUMBERS + list(OF_COPY)}
            row.update({c: 0 for c in ("allocations_per_op", "staged_bytes_per_op") + COUNTED})
            row.update(
                name=f"{transport}/{operation}",
                transport=transport,
                operation=operation,
                block_size_bytes=block,
                batch_size=depth,
                working_set_bytes=working_set,
                touched=touched,
                call_style=calls,
                operations_per_s=1e9,
                bandwidth_gb_per_s=0.0 if operation == "exist" else float(block),
                sq_doorbells_per_op=1 / depth,
                windows=1,
            )
            rows.append(row)
    counts = [
        {
            "operation": o,
            "batch_size": b,
            "submit_instructions": 90,
            "complete_instructions": 30,
            "instructions_per_op": 120,
        }
        for o in ("exist", "retrieve", "store")
        for b in (1, 32)
    ]
    report = {field: "x" for field in ORIGIN}
    report["floors"] = {
        "clock_read_ns": 20.0,
        "round_trip_ns": {"median": 120.0},
        "memcpy_64mib_gb_per_s": {"median": 9.0},
    }
    report["rows"] = rows
    report["idle"] = {"processor_percent": 0.1, "first_exist_p50_ns": 90e3, "first_exist_p99_ns": 150e3}
    report["instructions"] = {"empty_poll_instructions": 20, "rows": counts}
    return report


def spoiled(column, value, row=0):
    def spoil(report):
        report["rows"][row][column] = value

    return spoil


def batch_row():
    return next(i for i, row in enumerate(good_report()["rows"]) if row["call_style"] == "batch")


MUTATIONS = [
    ("a row is missing", lambda r: r["rows"].pop(), "no row"),
    ("a row is there twice", lambda r: r["rows"].append(copy.deepcopy(r["rows"][0])), "twice"),
    ("a row too many", lambda r: r["rows"].append({**r["rows"][0], "batch_size": 7}), "nobody asked for"),
    ("no commit", lambda r: r.pop("commit"), "commit is not there"),
    ("no floor", lambda r: r["floors"].pop("round_trip_ns"), "no floor round_trip_ns"),
    ("no rest", lambda r: r.pop("idle"), "no first operation"),
    ("a rest of more than a processor", lambda r: r["idle"].update(processor_percent=120), "at rest uses"),
    ("a missing number", spoiled("ratio_to_skeleton", None), "ratio_to_skeleton is None"),
    ("a number that is none", spoiled("latency_p50_ns", float("nan")), "latency_p50_ns is nan"),
    ("a rate of nothing", spoiled("operations_per_s", 0), "operations_per_s is 0"),
    ("an allocation", spoiled("allocations_per_op", 0.001), "allocations an operation"),
    ("a system call", spoiled("syscalls_per_op", 0.5), "system calls an operation"),
    ("a copy", spoiled("staged_bytes_per_op", 4096), "bytes staged"),
    ("a doorbell for each of a batch", spoiled("sq_doorbells_per_op", 1, batch_row()), "doorbells an operation in"),
    ("two doorbells for one", spoiled("sq_doorbells_per_op", 2), "doorbells an operation one at a time"),
    ("a p99 below the p90", spoiled("latency_p90_ns", 2), "percentiles do not rise"),
    ("a bandwidth of something else", spoiled("bandwidth_gb_per_s", 1, 1), "do not fit together"),
    ("quartiles of something else", spoiled("ratio_to_skeleton_low", 1.5), "outside of its quartiles"),
    ("no instructions", lambda r: r["instructions"]["rows"].clear(), "instructions of []"),
    ("a skip without a reason", lambda r: r.update(instructions={"skipped": ""}), "without a reason"),
    (
        "an operation of no instructions",
        lambda r: r["instructions"]["rows"][0].update(submit_instructions=0, instructions_per_op=30),
        "0 + 30 instructions",
    ),
]


def self_test():
    missed = len(list(findings(good_report(), TRANSPORTS)))
    if missed:
        print("MISSED  a good report is not found good", *findings(good_report(), TRANSPORTS), sep="\n        ")
    for what, spoil, expected in MUTATIONS:
        report = good_report()
        spoil(report)
        found = list(findings(report, TRANSPORTS))
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
    found = list(run(sys.argv[1]))
    print(*found, sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
