#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""rados.py NKV-BENCH: `nkv-bench rados` measures beside a throwaway cluster and reports rows, goals and what they are
worked out from; exits 77 without Ceph. Whether a goal is reached is not asserted."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

COMMON = pathlib.Path(__file__).resolve().parents[2] / "examples" / "common"
ROWS = ["store/4 KiB/depth1", "retrieve/4 KiB/depth16", "retrieve/4 MiB/depth16"]


def wrong(result, engine):
    """@return what does not fit together"""
    names = [row["name"] for row in result["rows"]]
    # A filter is a part of a name.
    if any(name not in names for name in ROWS):
        return f"rows {names}"
    for row in result["rows"]:
        numbers = [v for k, v in row.items() if k.endswith("_ns") and k != "added_latency_p50_ns"]
        numbers += [row["nkv_operations_per_s"], row["librados_operations_per_s"], row["rados_bench_operations_per_s"]]
        if min(numbers) <= 0 or row["nkv_latency_p50_ns"] > row["nkv_latency_p99_ns"]:
            return f"{row}"
        if abs(row["ratio_to_librados"] * row["librados_operations_per_s"] / row["nkv_operations_per_s"] - 1) > 1e-6:
            return f"the ratio of {row}"
    beside = result["beside"]
    if beside["cache_hit_4KiB_p50_ns"] >= beside["cold_retrieve_4KiB_p50_ns"]:
        return f"a hit takes as long as a read of the cluster: {beside}"
    if ("endless_modules_killed" in beside) != engine:
        return f"endless modules: {beside}"
    if len(result["goals"]) < len(ROWS) + 3 or any(not isinstance(g["reached"], bool) for g in result["goals"]):
        return f"{result['goals']}"
    return "" if result["origin"] else "no origin"


def main():
    bench = sys.argv[1]
    library = subprocess.run(
        [sys.executable, COMMON / "wasmtime.py", "library"], stdout=subprocess.PIPE, text=True, check=False
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="nkv-") as folder:
        report = pathlib.Path(folder) / "result.json"
        words = [sys.executable, COMMON / "ceph_cluster.py", bench, "rados", "--quick", "--json", str(report)]
        for name in ROWS + ["cache", "endless"]:
            words += ["--filter", name]
        done = subprocess.run(words, env=dict(os.environ, NKV_WASMTIME=library), check=False)
        if done.returncode != 0:
            return done.returncode
        if why := wrong(json.loads(report.read_text()), bool(library)):
            print(why)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
