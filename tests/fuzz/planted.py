#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each fuzzer finds a fault that is planted: a protective line of a header changed, in a copy of the tree.

planted.py [--list] [--one] [--runs N] [--file PART] [FUZZER...]

Copies the headers, makes one change at a time, builds the fuzzer over the copy and runs it for at most N inputs (below),
until it finds a fault. Exits 1 where one finds none, or where a line to be changed is not in the tree any more. All of
them take several minutes; --one makes one change alone, another one each day; --file makes those in headers whose path
holds PART.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import run

TARGET = "host/nkv/target"
VFIO_USER = "host/nkv/host/vfio_user"

# (fuzzer, file, the line, what stands there instead)
PLANTED = [
    ("endpoint", "host/nkv/host/endpoint.hpp", "if (value == 0 || value > 65535) return fail(digits, why);", ""),
    ("endpoint", "host/nkv/host/endpoint.hpp",
     'return "trtype:VFIOUSER traddr:" + path + " subnqn:" + subsystem_nqn;', 'return "vfio-user:" + path;'),
    ("list_page", "include/nkv/kv/list_page.hpp",
     "if (length > page_.size() - at_ - 2) return fail(client_status::truncated);", ""),
    ("list_page", "include/nkv/kv/list_page.hpp", "at_ += step < rest ? step : rest;", "at_ += step;"),
    ("config", f"{TARGET}/config_object.hpp", "if (!number || *number < least || *number > most) {",
     "if (!number || *number > most) {"),
    ("config", f"{TARGET}/config.hpp", "if (!names.insert(options.subsystems[i].options.subnqn).second)",
     "names.insert(options.subsystems[i].options.subnqn); if (false)"),
    ("config", f"{VFIO_USER}/json_number.hpp", "if (value > (~std::uint64_t{0} - digit) / 10) return std::nullopt;",
     ""),
    ("command", f"{TARGET}/dma_map.hpp", "return offset < r.length_bytes && length_bytes <= r.length_bytes - offset;",
     "static_cast<void>(length_bytes); return offset < r.length_bytes;"),
    ("command", f"{TARGET}/dma_map.hpp", "return ((bits & 1u) == 0 || r.readable) && ((bits & 2u) == 0 || r.writable);",
     "return ((bits & 1u) == 0 || r.readable);"),
    ("vfio_user_target", f"{TARGET}/vfio_user/connection.hpp",
     "if (request.offset > msix_table_bytes || request.count > msix_table_bytes - request.offset) return EINVAL;",
     "if (request.offset > msix_table_bytes) return EINVAL;"),
    ("vfio_user_target", f"{TARGET}/vfio_user/connection.hpp", "head.message_id = asked.message_id;",
     "head.message_id = 1;"),
    ("vfio_user_transport", f"{VFIO_USER}/socket.hpp",
     "if (head.message_bytes < sizeof(head) || head.message_bytes - sizeof(head) > payload.size()) {",
     "if (head.message_bytes < sizeof(head)) {"),
    ("vfio_user_transport", f"{VFIO_USER}/vfio_user_transport.hpp",
     "if (doorbells_.length_bytes < sizeof(std::uint32_t) ||", "if ("),
    ("vfio_user_transport", f"{VFIO_USER}/vfio_user_transport.hpp",
     "call.reply().size() != sizeof(reply) + into.size()) {", "false) {"),
    ("vfio_user_transport", f"{VFIO_USER}/vfio_user_transport.hpp",
     "if (!head.is_reply() || head.message_id != id_ ||", "if (!head.is_reply() ||"),
    ("identify", "include/nkv/spec/identify.hpp",
     "if (type == 0 || length == 0 || at + 4 + length > identify_bytes) break;",
     "if (type == 0 || length == 0) break;"),
]

FLAGS = ("-std=c++20 -O1 -g1 -w -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined "
         "-fno-sanitize-recover=all").split()


def plant(tree, file, line, instead):
    path = tree / file
    text = path.read_text()
    if text.count(line) < 1:
        return f"{file} has no line {line!r}"
    path.write_text(text.replace(line, instead))
    return None


def find(fuzzer, file, line, instead, runs):
    """@return what is wrong, or None"""
    with tempfile.TemporaryDirectory() as scratch:
        tree = pathlib.Path(scratch)
        for folder in ("include", "host/nkv", "tests/support", "tests/fuzz"):
            shutil.copytree(run.ROOT / folder, tree / folder)
        wrong = plant(tree, file, line, instead)
        if wrong:
            return wrong
        executable = tree / "fuzzer"
        begin = time.monotonic()
        built = subprocess.run(["clang++-19", *FLAGS, *(f"-I{tree / d}" for d in ("include", "host", "tests")),
                                str(tree / f"tests/fuzz/{fuzzer}_fuzz.cpp"), "-o", str(executable), "-lfmt"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            return f"does not build\n{built.stdout[-3000:]}"
        build_s = time.monotonic() - begin
        text, status, spent = run.fuzz(executable, runs, 0, 1, tree / "found")
        inputs = run.last(r"^stat::number_of_executed_units:\s+(\d+)", text)
        how = run.last(r"^(?:does not hold: .*|SUMMARY: .*|runtime error: .*)$", text, "")
        if status == 0 or not how:
            return f"not found in {inputs} inputs"
        how = run.last(r"^(does not hold: .*|SUMMARY: (?!libFuzzer).*)$", text, how).replace(str(tree) + "/", "")
        print(f"{fuzzer}: {file}: {line.strip()}\n    found: {how[:150]} ({inputs} inputs, {spent:.1f} s; built in "
              f"{build_s:.0f} s)", flush=True)
    return None


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--one", action="store_true")
    parser.add_argument("--runs", type=int, default=500000)
    parser.add_argument("--file", default="")
    parser.add_argument("fuzzers", nargs="*", metavar="FUZZER")
    arguments = parser.parse_args()
    chosen = [p for p in PLANTED if (not arguments.fuzzers or p[0] in arguments.fuzzers) and arguments.file in p[1]]
    if missing := set(arguments.fuzzers or run.SHORT) - {p[0] for p in PLANTED}:
        print(f"nothing is planted for {', '.join(sorted(missing))}")
        return 1
    if arguments.one and chosen:
        chosen = [chosen[int(time.time() // 86400) % len(chosen)]]
    bad = 0
    for fuzzer, file, line, instead in chosen:
        if arguments.list:
            print(f"{fuzzer}: {file}: {line}")
            continue
        if wrong := find(fuzzer, file, line, instead, arguments.runs):
            bad += 1
            print(f"{fuzzer}: {file}: {line}\n    FAILED: {wrong}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} planted faults " + ("listed" if arguments.list else "found"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
