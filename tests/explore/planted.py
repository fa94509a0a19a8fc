#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The explorer finds each of these errors of order, planted one at a time into a copy of one queue header.

planted.py             all of them, two at a time
planted.py --list      their names
planted.py NAME...     these

A mutant is the named case of queue_test.cpp, compiled with the changed header in front of the tree's; without a change
the cases pass, which nkv.unit.explore.queue shows. Exit 1 unless each mutant compiles, and its case fails with one of
the words that stand beside it. The compiler: CXX (default g++).
"""

import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

SUBMISSION, COMPLETION, CIDS = "submission_queue.hpp", "completion_queue.hpp", "cid_table.hpp"
ONE_CID = "shared, depth 2: two clients for one CID"
ONE_TICKET = "shared, depth 2: of two with one ticket one has the outcome"
TWO = "shared, depth 4: two clients"
STEP = "shared, depth 2: in one step, and another client"
STEPS = "shared, depth 4: in one step, two clients"
CANCEL = "shared, depth 2: a cancelled command's CID comes back with its completion"
ALONE = "exclusive, depth 4: three outstanding, completed in any order, torn"

RACE_SQE = ["data race: SQE"]
Planted = collections.namedtuple("Planted", "name header changes case found")
PLANTED = [
    Planted("mark_acquire_dropped", SUBMISSION,
            [("std::uint32_t more = Atomics::load_acquire(&mark", "std::uint32_t more = Atomics::load_relaxed(&mark")],
            TWO, RACE_SQE),
    Planted("mark_in_two_steps", SUBMISSION,
            [("if (Atomics::exchange(&mark, count, scope_) != lead_is_yours) return;",
              """if (Atomics::load_acquire(&mark, scope_) != lead_is_yours) {
        Atomics::store_release(&mark, count, scope_);
        return;
      }""")], TWO, ["nobody can go on"]),
    Planted("doorbell_relaxed", "doorbell.hpp",
            [("Atomics::store_release(word,", "Atomics::store_relaxed(word,")], ALONE, RACE_SQE),
    Planted("published_before_it_is_written", SUBMISSION,
            [("""      write_at(mine.position, command, cid);
      publish(mine, 1, doorbell, false);""", """      publish(mine, 1, doorbell, false);
      write_at(mine.position, command, cid);""")], TWO, RACE_SQE),
    # Rung when the lead was given up, and so perhaps after the next one's.
    Planted("tail_backwards", SUBMISSION,
            [("        if (rings) ring_to(doorbell, end);\n", ""),
             ("0u - done, scope_) - done;", "0u - done, scope_) - done;\n        if (rings) ring_to(doorbell, end);")],
            TWO, ["data race: sq_rung", "the tail moved"]),
    Planted("leading_by_two", SUBMISSION,
            [("return {before >> position_shift, (before & (busy_mask | asked)) == 0};",
              "return {before >> position_shift, true};")], TWO, ["data race: sq_rung"]),
    # A turn that is taken between the two is lost.
    Planted("given_up_in_two_steps", SUBMISSION,
            [("const std::uint32_t left = Atomics::fetch_add(&counters_->sq_next, 0u - done, scope_) - done;",
              """const std::uint32_t left = Atomics::load_acquire(&counters_->sq_next, scope_) - done;
        Atomics::store_release(&counters_->sq_next, left, scope_);""")], TWO,
            ["nobody can go on", "data race: SQE", "fetched"]),
    Planted("lead_left_to_nobody", SUBMISSION,
            [("if ((left & (busy_mask | asked)) == 0) [[likely]]", "if ((left & asked) == 0) [[likely]]")], TWO,
            ["nobody can go on"]),
    Planted("lead_left_at_a_mark", SUBMISSION,
            [("if (more == 0) return;", "return;")], TWO, ["nobody can go on"]),
    Planted("not_asked", SUBMISSION, [("if ((left & asked) != 0) {", "if (false) {")], TWO, ["nobody can go on"]),
    Planted("rung_again", SUBMISSION,
            [("return ((end ^ Atomics::load_plain(&counters_->sq_rung)) & position_mask) != 0;", "return true;")], TWO,
            ["a tail was rung twice"]),
    Planted("phase_acquire_dropped", COMPLETION,
            [("Atomics::load_acquire(&slot.dw[3]", "Atomics::load_relaxed(&slot.dw[3]")], ALONE,
            ["not the command's own", "data race: buffer", "nobody can go on"]),
    Planted("dw0_before_phase", COMPLETION,
            [("const std::uint32_t first =", "const std::uint32_t dw0 = Atomics::load_relaxed(&slot.dw[0], system_scope);\n"
              "    const std::uint32_t first ="),
             ("entry.dw, system_scope);", "entry.dw, system_scope);\n    entry.dw[0] = dw0;")], ALONE, ["not the command's own DW0"]),
    Planted("phase_dword_not_read_again", COMPLETION,
            [("const std::uint32_t first =", "const std::uint32_t dw3 = Atomics::load_relaxed(&slot.dw[3], system_scope);\n"
              "    const std::uint32_t first ="),
             ("entry.dw, system_scope);", "entry.dw, system_scope);\n    entry.dw[3] = dw3;")], ALONE, ["not the command's own", "nobody can go on"]),
    Planted("reaping_given_back_relaxed", COMPLETION,
            [("Atomics::store_release(&counters_->reaping", "Atomics::store_relaxed(&counters_->reaping")], TWO,
            ["data race: cq_head"]),
    Planted("reaping_by_two", COMPLETION,
            [("if (Atomics::exchange(&counters_->reaping, std::uint32_t{1}, scope_) != 0) return 0;", "")], TWO,
            ["data race: cq_head"]),
    Planted("record_acquire_dropped", CIDS,
            [("const std::uint32_t seen = Atomics::load_acquire(&r.word, scope_);",
              "const std::uint32_t seen = Atomics::load_relaxed(&r.word, scope_);")], TWO,
            ["data race: record"]),
    Planted("record_after_its_state", CIDS,
            [("""      Atomics::store_plain(&r.dw0, entry.dw0());
""", ""), ("word(generation, cid_state::done), scope_)) return true;",
           "word(generation, cid_state::done), scope_)) {\n          Atomics::store_plain(&r.dw0, entry.dw0());\n"
           "          return true;\n        }")], TWO, ["data race: record", "not the command's own DW0"]),
    Planted("taken_by_two", CIDS,
            [("if (!c.status.is_client() && !consume(t)) return {client_status::stale_ticket, 0};",
              "if (!c.status.is_client()) static_cast<void>(consume(t));")], ONE_TICKET, ["given to 2"]),
    Planted("generation_not_compared", CIDS,
            [("if (seen == word(t.generation, cid_state::done)) return result_of(r);",
              "if (state_of(seen) == cid_state::done) return result_of(r);"),
             ("std::uint32_t expected = word(t.generation, cid_state::done);",
              "std::uint32_t expected = Atomics::load_relaxed(&records_[t.index].word, scope_);")], ONE_CID,
            ["an outcome is given twice", "data race: record"]),
    # The next command fills the ring, which a controller that has fetched neither reads as empty.
    Planted("cancelled_is_free", CIDS,
            [("word(t.generation, cid_state::abandoned),\n                                    scope_))\n"
              "        return true;",
              "word(t.generation + 1, cid_state::free),\n                                    scope_)) {\n"
              "        put_back(t.index);\n        return true;\n      }")], CANCEL,
            ["data race: scratch", "data race: buffer", "nobody can go on"]),
    Planted("late_completion_relaxed", CIDS,
            [("Atomics::store_release(&records_[index].word, word(generation + 1",
              "Atomics::store_relaxed(&records_[index].word, word(generation + 1")], CANCEL, ["data race: buffer"]),
    Planted("quiesced_acquire_dropped", CIDS,
            [("const std::uint32_t seen = Atomics::load_acquire(&records_[t.index].word",
              "const std::uint32_t seen = Atomics::load_relaxed(&records_[t.index].word")], CANCEL,
            ["data race: buffer"]),
    Planted("spare_relaxed", CIDS,
            [("Atomics::store_release(&counters_->spare_cid", "Atomics::store_relaxed(&counters_->spare_cid")], STEP,
            ["data race: scratch", "not the command's own"]),
    Planted("spare_taken_by_two", CIDS,
            [("return Atomics::exchange(&counters_->spare_cid, ticket::none, scope_);",
              """const std::uint32_t spare = Atomics::load_acquire(&counters_->spare_cid, scope_);
    Atomics::store_relaxed(&counters_->spare_cid, ticket::none, scope_);
    return spare;""")], STEP, ["outstanding already", "data race", "more commands", "the tail moved", "rung twice"]),
    Planted("spare_over_another", CIDS,
            [("if (Atomics::load_relaxed(&counters_->spare_cid, scope_) != ticket::none) {", "if (false) {")], STEPS,
            ["CIDs are in use"]),
    Planted("as_many_as_entries", "queue_shape.hpp",
            [("cids() const noexcept { return sq_entries - 1; }", "cids() const noexcept { return sq_entries; }")],
            ONE_CID, ["a tail was rung twice", "the tail moved", "more commands than may be outstanding",
                      "nobody can go on"]),
]


def command(*rest):
    return [os.environ.get("CXX", "g++"), "-std=c++20", "-O1", "-w", "-DDOCTEST_CONFIG_SUPER_FAST_ASSERTS", *rest]


def build(scratch, name, overlay):
    """The program, or None and what the compiler says."""
    program = scratch / name
    done = subprocess.run(command(*overlay, f"-I{ROOT}/tests", f"-I{ROOT}/include", str(HERE / "queue_test.cpp"),
                                  str(scratch / "main.o"), "-o", str(program)), capture_output=True, text=True)
    return (program, "") if done.returncode == 0 else (None, done.stderr[:1500])


def run(program, case):
    """Whether the case passed, and what was printed. Commas separate filters in doctest."""
    try:
        done = subprocess.run([str(program), "--no-colors=1", f"--test-case={case.replace(',', '?')}"],
                              capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return False, "no end"
    return done.returncode == 0, done.stdout + done.stderr


def judge(scratch, planted):
    """What is wrong, or None, and what the explorer said."""
    text = (ROOT / "include/nkv/queue" / planted.header).read_text()
    for original, instead in planted.changes:
        if text.count(original) != 1:
            return f"in {planted.header} {text.count(original)} times: {original}", ""
        text = text.replace(original, instead)
    overlay = scratch / planted.name
    (overlay / "nkv/queue").mkdir(parents=True)
    (overlay / "nkv/queue" / planted.header).write_text(text)
    program, output = build(scratch, planted.name + ".run", [f"-I{overlay}"])
    if program is None:
        return f"does not compile: {output}", ""
    passed, output = run(program, planted.case)
    if passed:
        return "not found", ""
    said = [line.split("logged: ")[1] for line in output.splitlines() if "logged: " in line]
    if not any(word in line for line in said for word in planted.found):
        return f"failed otherwise: {said or output[-1500:]}", ""
    return None, said[0]


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        print("\n".join(p.name for p in PLANTED))
        return 0
    unknown = set(arguments) - {p.name for p in PLANTED}
    if unknown:
        print(__doc__.strip() if any(u.startswith("-") for u in unknown) else f"nothing is planted as {unknown}")
        return 2
    chosen = [p for p in PLANTED if not arguments or p.name in arguments]
    begin, bad = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="nkv-explore-") as folder, \
            concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        scratch = pathlib.Path(folder)
        subprocess.run(command("-c", f"-I{ROOT}/tests", f"{ROOT}/tests/support/main.cpp", "-o", f"{scratch}/main.o"),
                       check=True)
        for planted, (wrong, said) in zip(chosen, pool.map(lambda p: judge(scratch, p), chosen)):
            print(f"{planted.name:<32} " + (f"FAILED: {wrong}" if wrong else f"found: {said}"), flush=True)
            bad += wrong is not None
    print(f"{len(chosen) - bad} of {len(chosen)} planted errors found, {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
