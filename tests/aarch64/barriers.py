#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The instructions that order memory accesses on arm64, between the accesses that they order.

barriers.py COMPILER              compile for arm64, disassemble, print every function that is not as it should be
barriers.py COMPILER --self-test  weaken one access at a time in a copy of its header and see that reported

COMPILER is a g++ for aarch64 with its binutils beside it; CLANGXX (default clang++-19) is the other compiler. Where an
order matters, running the tests does not show it missing: neither an emulator on x86 nor most arm64 processors reorder
what they may.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# A function's accesses, without those to the stack, in the order of its instructions:
#   load, store      no order; a store counts once for each 32-bit word
#   release          stlr: after all before it
#   acquire          ldar: before all after it, and after every release before it
#   acquire_pc       ldapr: before all after it
#   rmw              a read-modify-write that acquires and releases: swpal and its like, the compiler's helper for it
#                    (__aarch64_swp4_acq_rel), or ldaxr and stlxr
#   dmb-DOMAIN       all before it before all after it
#   ret, call
LOADS, STORES = r"(?:load )*", r"(?:(?:load |store ))*"
ACQUIRE = r"(?:acquire|acquire_pc) "
# At least the 16 dwords of an SQE.
ENTRY = rf"(?:{LOADS}store ){{16,}}{LOADS}"
# A device's BAR may lie behind it, and that is outside the domain that stlr speaks of; and loads are ordered too, which
# an oshst would not do.
MAPPED = rf"dmb-osh {LOADS}release "
# The doorbell is released to the target's acquire; then the load of the word that says whether it sleeps, which must
# not pass that store, as an acquire_pc might.
HOST = rf"rmw {LOADS}acquire "

PRIMITIVES = {
    "store_release": r"^store release ret $",
    "load_acquire": rf"^{ACQUIRE}load ret $",
    "exchange": r"^store rmw load ret $",
    "fetch_add": r"^store rmw load ret $",
    "fetch_or": r"^store rmw load ret $",
    "fetch_and": r"^store rmw load ret $",
    "compare_exchange": r"^store rmw load ret $",
    # SQE stores before the doorbell store; CQE loads before the doorbell store.
    "mapped_sq_tail": rf"^{LOADS}store {LOADS}{MAPPED}ret $",
    "mapped_cq_head": rf"^load {LOADS}{MAPPED}ret $",
    # The same, and the doorbell store before the load of that word.
    "host_sq_tail": rf"^{LOADS}store {LOADS}{HOST}",
    "host_cq_head": rf"^load {LOADS}{HOST}",
    "submit_exclusive": rf"^{ENTRY}{MAPPED}ret $",
    # SQE stores before the mark; the mark before the doorbell; the doorbell before the lead is given up.
    "mark_shared": rf"^{LOADS}{ENTRY}{LOADS}rmw ",
    "lead_shared": rf"^{LOADS}{ACQUIRE}.*{STORES}{MAPPED}{LOADS}rmw ",
    # The phase before the four dwords, and those before the head doorbell.
    "next_completion": rf"^{LOADS}{ACQUIRE}(?:load )?(?:ret )?(?:(?:store )*load ){{4,}}(?:(?:load|store|ret) )*{MAPPED}",
}
TARGET = {
    # The doorbell before the SQE that it announces.
    "target::controller::poll_queue(": ACQUIRE,
    # Value and CQE before the dword of the phase.
    "target::controller::complete(": r"store store store release ",
    # "I sleep" before the last look at the doorbells.
    "target::poller::sleep(": r"rmw .*release dmb-ish call ",
}

# What the compiler may make of a read-modify-write: a helper that looks at the processor, a pair, one instruction.
OUTLINED, PAIR, SINGLE = [], ["-mno-outline-atomics"], ["-march=armv8.1-a"]


class Compiler:
    def __init__(self, command, *flags):
        self.command = [command, "-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", *flags]
        self.name = " ".join([os.path.basename(command), *flags])


def variants(gcc):
    clang = os.environ.get("CLANGXX", "clang++-19")
    # The clang of armv8.3 takes ldapr for an acquire.
    return [Compiler(gcc, *flags) for flags in (OUTLINED, PAIR, SINGLE)] + [
        Compiler(clang, "--target=aarch64-linux-gnu", *flags) for flags in (PAIR, ["-march=armv8.3-a"])
    ]


def tool(gcc, name):
    return re.sub(r"g\+\+(-[0-9]+)?$", name, gcc)


def words(register):
    return {"w": 1, "s": 1, "x": 2, "d": 2, "q": 4}.get(register[:1], 1)


def access(mnemonic, operands):
    """The accesses of one instruction."""
    if mnemonic in ("ret", "br"):
        return ["ret"]
    if mnemonic in ("bl", "blr"):
        helper = re.search(r"<__aarch64_(swp|cas|ldadd|ldset|ldclr)\d+_(\w+)>", operands)
        return ["call" if not helper else "rmw" if helper.group(2) == "acq_rel" else f"rmw-{helper.group(2)}"]
    if mnemonic in ("dmb", "dsb"):
        return [f"{mnemonic}-{operands}"]
    if re.fullmatch(r"(swp|cas|ldadd|ldset|ldclr)(a?l?)", mnemonic):
        return ["rmw" if mnemonic.endswith("al") else f"rmw-{mnemonic}"]
    if re.fullmatch(r"(ldaxr|ldxr|stlxr|stxr)", mnemonic):
        return [mnemonic]
    if re.fullmatch(r"stlu?r[bh]?", mnemonic):
        return ["release"]
    if re.fullmatch(r"ldar[bh]?", mnemonic):
        return ["acquire"]
    if re.fullmatch(r"ldapu?r[bh]?", mnemonic):
        return ["acquire_pc"]
    if not re.match(r"(ld|st)", mnemonic) or "[sp" in operands:
        return []
    return ["load"] if mnemonic.startswith("ld") else ["store"] * (words(operands) * (2 if mnemonic == "stp" else 1))


def functions(objdump, made):
    """What each function of an object does, by its name."""
    text = subprocess.run([objdump, "-dC", "-r", "--no-show-raw-insn", str(made)], capture_output=True, text=True,
                          check=True).stdout
    found, at = {}, None
    # The target of a call stands in the line after it.
    text = re.sub(r"\n\s+[0-9a-f]+: R_AARCH64_CALL26\s+(\S+)", r" <\1>", text)
    for line in text.splitlines():
        head = re.fullmatch(r"[0-9a-f]+ <(.*)>:", line)
        if head:
            at = found.setdefault(head.group(1), [])
        instruction = re.fullmatch(r"\s*[0-9a-f]+:\s+(\S+)\s*(.*?)\s*(?://.*)?", line)
        if instruction and at is not None:
            at += access(*instruction.groups())
    return {name: re.sub(r"ldaxr stlxr ", "rmw ", " ".join(did) + " ") for name, did in found.items()}


def findings(gcc, compilers, source, orders, overlay=()):
    """What is not as it should be: (function, what it does instead)."""
    includes = [f"-I{d}" for d in (*overlay, ROOT / "include", ROOT / "host")]
    for compiler in compilers:
        with tempfile.TemporaryDirectory(prefix="nkv-barriers-") as folder:
            made = pathlib.Path(folder) / "made.o"
            subprocess.run([*compiler.command, "-DFMT_HEADER_ONLY", *includes, "-c", str(HERE / source), "-o", str(made)],
                           check=True)
            there = functions(tool(gcc, "objdump"), made)
        for wanted, order in orders.items():
            does = [did for name, did in there.items() if wanted == name or ("(" in wanted and wanted in name)]
            if not any(re.search(order, did) for did in does):
                yield wanted, f"{wanted}: {compiler.name}: {' / '.join(does) or 'is not there'}; wanted: {order}"


def helpers(gcc):
    """The helpers of OUTLINED, which are in the compiler's library."""
    library = subprocess.run([gcc, "-print-libgcc-file-name"], capture_output=True, text=True, check=True).stdout.strip()
    there = functions(tool(gcc, "objdump"), library)
    for kind in ("swp", "cas", "ldadd", "ldset", "ldclr"):
        name = f"__aarch64_{kind}4_acq_rel"
        if not re.search(r"^load rmw ret rmw ret ", there.get(name, "")):
            yield name, f"{name}: {there.get(name, 'is not there')}"


ATOMIC, DOORBELL, HOST_DOORBELL = "include/nkv/base/atomic.hpp", "include/nkv/queue/doorbell.hpp", "host/nkv/host/doorbell.hpp"
SUBMISSION, COMPLETION = "include/nkv/queue/submission_queue.hpp", "include/nkv/queue/completion_queue.hpp"
POLLER, CONTROLLER = "host/nkv/target/poller.hpp", "host/nkv/target/controller.hpp"
# Header, what is there, what it becomes, the function that shows it.
WEAKER = [
    (ATOMIC, "__atomic_store_n(p, value, __ATOMIC_RELEASE)", "__atomic_store_n(p, value, __ATOMIC_RELAXED)",
     "store_release"),
    (ATOMIC, "__atomic_load_n(p, __ATOMIC_ACQUIRE)", "__atomic_load_n(p, __ATOMIC_RELAXED)", "load_acquire"),
    (ATOMIC, "__atomic_exchange_n(p, value, __ATOMIC_ACQ_REL)", "__atomic_exchange_n(p, value, __ATOMIC_ACQUIRE)",
     "exchange"),
    (ATOMIC, "__atomic_fetch_add(p, value, __ATOMIC_ACQ_REL)", "__atomic_fetch_add(p, value, __ATOMIC_RELEASE)",
     "fetch_add"),
    (ATOMIC, "__atomic_fetch_or(p, value, __ATOMIC_ACQ_REL)", "__atomic_fetch_or(p, value, __ATOMIC_ACQUIRE)",
     "fetch_or"),
    (ATOMIC, "__atomic_fetch_and(p, value, __ATOMIC_ACQ_REL)", "__atomic_fetch_and(p, value, __ATOMIC_RELEASE)",
     "fetch_and"),
    (ATOMIC, "desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);\n#endif",
     "desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);\n#endif", "compare_exchange"),
    (DOORBELL, '__asm__ volatile("dmb osh" ::: "memory");', "", "mapped_sq_tail"),
    (DOORBELL, "dmb osh", "dmb ish", "submit_exclusive"),
    (DOORBELL, "dmb osh", "dmb oshst", "mapped_cq_head"),
    (HOST_DOORBELL, "__atomic_exchange_n(word, value, __ATOMIC_SEQ_CST)",
     "__atomic_exchange_n(word, value, __ATOMIC_RELAXED)", "host_sq_tail"),
    (HOST_DOORBELL, "__atomic_exchange_n(word, value, __ATOMIC_SEQ_CST)",
     "__atomic_store_n(word, value, __ATOMIC_RELAXED)", "host_cq_head"),
    (HOST_DOORBELL, "__atomic_load_n(asleep_, __ATOMIC_SEQ_CST)", "__atomic_load_n(asleep_, __ATOMIC_ACQUIRE)",
     "host_sq_tail"),
    (SUBMISSION, "more = Atomics::load_acquire(&mark", "more = Atomics::load_relaxed(&mark", "lead_shared"),
    (COMPLETION, "Atomics::load_acquire(&slot.dw[3]", "Atomics::load_relaxed(&slot.dw[3]", "next_completion"),
    (POLLER, '__asm__ volatile("dmb ish" ::: "memory");', "", "target::poller::sleep("),
    (CONTROLLER, "native_atomics::store_release(at + 3", "native_atomics::store_relaxed(at + 3",
     "target::controller::complete("),
    (CONTROLLER, "native_atomics::load_acquire(doorbells_ + index", "native_atomics::load_relaxed(doorbells_ + index",
     "target::controller::poll_queue("),
]


def self_test(gcc):
    missed = 0
    for header, old, new, function in WEAKER:
        text = (ROOT / header).read_text()
        source, orders = ("barriers.cpp", PRIMITIVES) if function in PRIMITIVES else ("barriers_target.cpp", TARGET)
        with tempfile.TemporaryDirectory(prefix="nkv-barriers-") as overlay:
            weak = pathlib.Path(overlay) / pathlib.Path(*pathlib.Path(header).parts[1:])
            weak.parent.mkdir(parents=True)
            weak.write_text(text.replace(old, new))
            compilers = variants(gcc) if source == "barriers.cpp" else variants(gcc)[:1]
            found = old in text and any(
                f == function for f, _ in findings(gcc, compilers, source, {function: orders[function]}, [overlay]))
        print(f"{'found ' if found else 'MISSED'}  {function}: {header}: {old} -> {new or 'nothing'}")
        missed += not found
    print(f"{len(WEAKER) - missed} of {len(WEAKER)} weakened accesses found")
    return missed != 0


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--self-test"]):
        print(__doc__.strip())
        return 2
    gcc = sys.argv[1]
    if sys.argv[2:]:
        return self_test(gcc)
    found = [
        *findings(gcc, variants(gcc), "barriers.cpp", PRIMITIVES),
        *findings(gcc, variants(gcc)[:1], "barriers_target.cpp", TARGET),
        *helpers(gcc),
    ]
    for _, text in found:
        print(text)
    print(f"{len(found)} findings" if found else f"{len(PRIMITIVES) + len(TARGET)} functions as they should be")
    return len(found) != 0


if __name__ == "__main__":
    sys.exit(main())
