#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the compilers make of the hot paths of a kernel: the kernels of instructions.cu, read as PTX and as AMDGCN.

instructions.py cuda|hip              compile, print every kernel that is not as it should be; exits 77 without a compiler
instructions.py cuda|hip --self-test  break one rule at a time in the compiled text and see that reported
instructions.py cuda|hip --print      the accesses of each kernel as the rules see them

Orders that matter do not show in a run: few GPUs reorder what they may. So they are read from the instructions. The
rules, for every path through a kernel's branches:
  entry     an SQE is four stores of 16 bytes to one place, next to each other: no wait, no other access between them
  release   between the last of them and the doorbell one release of system scope, and never the dearer fence.sc
  doorbell  of the right kind: to a BAR by st.mmio, to shared memory by a relaxed store of system scope
  phase     DW0 of a completion is read after an acquire that comes after the read of its phase
  lean      no stack, no spills, no calls, no divisions, few registers
  time      deadlines by the clock that every multiprocessor shares
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import compilers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCE = HERE / "instructions.cu"
INCLUDES = [f"-I{ROOT / top}" for top in ("include", "device")]
MOST_REGISTERS = 40

# A kernel's name says what is in it: send, wait or both; exclusive, block or shared; mapped or bar.
SENDS, WAITS = ("send", "retrieve"), ("wait", "retrieve")


class Event:
    """One instruction, as far as the rules look.

    kind: load, store, atomic, release, acquire, sc, wait, jump, end, call, divide, time, clock, other
    """

    def __init__(self, kind, text, place=None, width=0, system=False, order="", mmio=False, to=None, always=False):
        self.kind, self.text, self.place, self.width = kind, text, place, width
        self.system, self.order, self.mmio, self.to, self.always = system, order, mmio, to, always

    def accesses(self):
        return self.kind in ("load", "store", "atomic")


class Kernel:
    def __init__(self, name):
        self.name, self.events, self.labels, self.facts = name, [], {}, {}

    def next(self, at):
        """The events that may follow."""
        e = self.events[at]
        if e.kind == "jump":
            if e.to not in self.labels:
                raise ValueError(f"{self.name}: where does this go? {e.text}")
            yield self.labels[e.to]
        if e.kind != "end" and not (e.kind == "jump" and e.always) and at + 1 < len(self.events):
            yield at + 1

    def walk(self, start, state, step):
        """Every path from before `start`: step(event, state) is the state after it, or None where the path is done."""
        seen, todo = set(), [(start, state)]
        while todo:
            at, state = todo.pop()
            if (at, state) in seen:
                continue
            seen.add((at, state))
            after = step(self.events[at], state)
            if after is not None:
                todo += [(n, after) for n in self.next(at)]


# ---- PTX ----


class Values:
    """Registers that are written once, as sums: two ways to compute an address are one place."""

    def __init__(self, instructions):
        self.made = {}
        for op, operands in instructions:
            if operands and operands[0].startswith("%") and not re.match(r"(st|bra|red)\b", op):
                self.made[operands[0]] = None if operands[0] in self.made else (op, operands[1:])
        self.known = {}

    def of(self, name):
        """{atom: factor}, the constant under None."""
        if re.fullmatch(r"-?\d+", name):
            return {None: int(name)}
        if name not in self.known:
            self.known[name] = {name: 1}  # while it is being worked out, and where it cannot be
            made = self.made.get(name)
            if made:
                self.known[name] = self.compute(name, *made)
        return self.known[name]

    def compute(self, name, op, operands):
        value = [self.of(o) for o in operands]
        if re.match(r"(cvta|mov\.[bu]64|cvt\.u64\.u32)", op) and len(value) == 1:
            return value[0]
        if re.match(r"add\.(s|u)64", op):
            return self.add(*value)
        scale = {"mul.wide.u32": lambda c: c, "mul.lo.s64": lambda c: c, "shl.b64": lambda c: 1 << c}.get(op)
        if scale and set(value[1]) <= {None}:
            return {k: v * scale(value[1].get(None, 0)) for k, v in value[0].items()}
        if re.match(r"(mad\.wide\.u32|mad\.lo\.s64)", op) and set(value[1]) <= {None}:
            return self.add({k: v * value[1].get(None, 0) for k, v in value[0].items()}, value[2])
        if re.match(r"(and|or|xor|not|shl|shr|sub|add|mul|mad|bfe)\.", op):
            return {f"{op} {[sorted(v.items(), key=str) for v in value]}": 1}
        return {name: 1}

    @staticmethod
    def add(a, b):
        total = dict(a)
        for k, v in b.items():
            total[k] = total.get(k, 0) + v
        return {k: v for k, v in total.items() if v or k is None}

    def place(self, operand):
        base, _, offset = operand.strip("[]").replace(" ", "").partition("+")
        value = dict(self.of(base))
        constant = value.pop(None, 0) + int(offset or 0)
        return frozenset(value.items()), constant


def ptx_width(op):
    bits = int(re.findall(r"\.[bsuf](\d+)", op)[-1])
    lanes = re.search(r"\.v(\d)", op)
    return bits // 8 * (int(lanes.group(1)) if lanes else 1)


def ptx_event(op, operands, values, predicated):
    text = f"{op} {', '.join(operands)}"
    system = ".sys" in op
    if op.startswith("bra"):
        return Event("jump", text, to=operands[0], always=not predicated)
    if re.match(r"(ret|exit|trap)\b", op):
        # One that is predicated may fall through.
        return Event("end" if not predicated else "other", text)
    if op.startswith("call") or op.startswith("brx"):
        return Event("call", text)
    if op.startswith(("div.", "rem.")):
        return Event("divide", text)
    if any("%globaltimer" in o for o in operands):
        return Event("time", text)
    if any("%clock" in o for o in operands):
        return Event("clock", text)
    if op.startswith(("membar", "fence")):
        # membar.sys is fence.sc.sys.
        if op.startswith("membar") or ".sc" in op or op == "fence.sys":
            return Event("sc", text, system=True)
        kind = "release" if "release" in op or "acq_rel" in op else "acquire"
        return Event(kind, text, system=system, order="both" if "acq_rel" in op else "")
    if re.match(r"(ld|st)\.(param|shared|const)", op):
        return Event("other", text)
    if re.match(r"(ld|st)\.local", op):
        return Event("stack", text)
    if op.startswith(("atom", "red")):
        return Event("atomic", text, system=system)
    if op.startswith(("ld", "st")):
        memory = next(o for o in operands if o.startswith("["))
        order = next((o for o in ("acquire", "release", "relaxed", "volatile") if f".{o}" in op), "weak")
        kind = "load" if op.startswith("ld") else "store"
        return Event(kind, text, values.place(memory), ptx_width(op), system, order, ".mmio" in op)
    return Event("other", text)


def read_ptx(text):
    """The kernels of a PTX module."""
    kernels = []
    text = re.sub(r"//.*", "", text)
    for name, body in re.findall(r"^\.visible \.entry (\w+)\(.*?\)[^{;]*?^\{(.*?)^\}", text, re.S | re.M):
        kernel = Kernel(name)
        kernel.facts["stack"] = "__local_depot" in body
        lines = []
        for line in body.splitlines():
            for part in re.sub(r"^\s*(\$?\w+):", r"label \1;", line).split(";"):
                part = part.strip(" \t")
                if part.startswith("{") and not part.startswith("{%"):
                    part = part.lstrip("{ \t")
                if part and part != "}" and not part.startswith("."):
                    lines.append(part)
        instructions = []
        for line in lines:
            predicate, rest = re.fullmatch(r"(@!?%\w+\s+)?(.*)", line).groups()
            op, _, operands = rest.partition(" ")
            instructions.append((op, re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", operands), bool(predicate)))
        values = Values([(op, operands) for op, operands, _ in instructions])
        for op, operands, predicated in instructions:
            if op == "label":
                kernel.labels[operands[0]] = len(kernel.events)
            else:
                kernel.events.append(ptx_event(op, operands, values, predicated))
        kernels.append(kernel)
    return kernels


def read_ptxas(text):
    """{kernel: (registers, stack bytes, spilled bytes)} of `ptxas -v`."""
    found = {}
    for block in text.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", block).group(1)
        stack, *spills = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", block).groups()
        found[name] = int(re.search(r"Used (\d+) registers", block).group(1)), int(stack), sum(map(int, spills))
    return found


# ---- AMDGCN ----


def registers(operand):
    """The registers of v4, v[4:7], s[0:1]."""
    found = re.fullmatch(r"([vsa])(?:(\d+)|\[(\d+):(\d+)\])", operand)
    if not found:
        return set()
    kind, one, first, last = found.groups()
    return {f"{kind}{i}" for i in range(int(one or first), int(one or last) + 1)}


AMD_WIDTH = {"b8": 1, "byte": 1, "ubyte": 1, "sbyte": 1, "u8": 1, "i8": 1, "b16": 2, "u16": 2, "i16": 2, "short": 2,
             "ushort": 2, "sshort": 2, "b32": 4, "dword": 4, "b64": 8, "dwordx2": 8, "b96": 12, "dwordx3": 12,
             "b128": 16, "dwordx4": 16}


def amd_event(op, operands, flags, written, gfx):
    text = f"{op} {', '.join(operands)} {' '.join(flags)}".strip()
    if op in ("s_endpgm", "s_setpc_b64", "s_trap"):
        return Event("end", text)
    if op == "s_branch" or op.startswith("s_cbranch"):
        return Event("jump", text, to=operands[0], always=op == "s_branch")
    if op.startswith(("s_swappc", "s_call")):
        return Event("call", text)
    # An integer division begins with a reciprocal.
    if op.startswith(("v_rcp", "v_div")):
        return Event("divide", text)
    if op == "s_memrealtime" or "MSG_RTN_GET_REALTIME" in text:
        return Event("time", text)
    if op == "s_memtime" or "SHADER_CYCLES" in text:
        return Event("clock", text)
    if op.startswith(("scratch_", "buffer_load", "buffer_store")):
        return Event("stack", text)
    if op == "buffer_wbl2":
        return Event("writeback", text, system={"sc0", "sc1"} <= set(flags))
    if op == "s_waitcnt_vscnt":
        return Event("wait", text, order="stores")
    if op.startswith("s_wait"):
        both = not gfx.startswith("gfx1")
        return Event("wait", text, order="both" if both and "vmcnt(0)" in text else
                     "loads" if "vmcnt(0)" in text else "")
    if op == "buffer_inv":
        return Event("invalidate", text, system={"sc0", "sc1"} <= set(flags))
    if op in ("buffer_gl1_inv", "buffer_gl0_inv"):
        return Event("invalidate", text, system=op == "buffer_gl0_inv")
    found = re.fullmatch(r"(global|flat)_(load|store|atomic)_(\w+)", op)
    if not found:
        return Event("other", text)
    _, kind, what = found.groups()
    if kind == "atomic":
        return Event("atomic", text)
    if op.startswith("flat"):
        address = [operands[0 if kind == "store" else 1]]
    else:
        address = [operands[0], operands[2]] if kind == "store" else operands[1:3]
    used = set().union(*(registers(a) for a in address))
    version = max((written.get(r, -1) for r in used), default=-1)
    offset = next((int(f[7:]) for f in flags if f.startswith("offset:")), 0)
    width = AMD_WIDTH[what.replace("d16_", "").replace("hi_", "")]
    system = {"sc0", "sc1"} <= set(flags) if gfx == "gfx942" else "glc" in flags or kind == "store"
    return Event(kind, text, ((*address, version), offset), width, system)


def read_amd(text, gfx):
    kernels = []
    names = set(re.findall(r"^\s+\.amdhsa_kernel (\w+)", text, re.M))
    for name, body in re.findall(r"^(\w+):[^\n]*\n(.*?)^\.Lfunc_end", text, re.S | re.M):
        if name not in names:
            continue
        kernel = Kernel(name)
        written, number = {}, 0
        for line in body.splitlines():
            line = line.split(";")[0].strip()
            if label := re.fullmatch(r"([\w.$]+):", line):
                kernel.labels[label.group(1)] = len(kernel.events)
                continue
            if not line or line.startswith("."):
                continue
            for part in line.split("::"):
                op, _, rest = part.strip().partition(" ")
                operands, flags = [], []
                for index, field in enumerate(f.strip() for f in rest.split(",")):
                    first, *more = field.split() or [""]
                    operands.append(first)
                    flags += more
                # `buffer_wbl2 sc0 sc1` has flags alone.
                if op.startswith(("buffer_wbl2", "buffer_inv")):
                    flags = rest.split()
                elif op.startswith("s_wait"):
                    operands, flags = [rest.strip()], []
                kernel.events.append(amd_event(op, operands, flags, written, gfx))
                number += 1
                if kernel.events[-1].kind != "store" and operands:
                    for r in registers(operands[0]):
                        written[r] = number
        kernels.append(kernel)
    for name, facts in re.findall(r"^\s+\.name:\s+(\w+)\n(.*?)(?=^\s+- \.|^amdhsa|\Z)", text, re.S | re.M):
        for kernel in kernels:
            if kernel.name == name:
                kernel.facts.update({k: int(v) for k, v in re.findall(r"\.(\w+):\s+(\d+)$", facts, re.M)})
    return kernels


# ---- Rules ----


def parts(kernel):
    return kernel.name.split("_")


def entries(kernel):
    """(first, last) event of each SQE that is written: four stores of 16 bytes to one place."""
    events, found, at = kernel.events, [], 0
    wide = [i for i, e in enumerate(events) if e.kind == "store" and e.width == 16]
    while at + 3 < len(wide):
        four = [events[i].place for i in wide[at:at + 4]]
        if len({base for base, _ in four}) == 1 and sorted(o - min(o for _, o in four) for _, o in four) == [0, 16, 32, 48]:
            found.append((wide[at], wide[at + 3]))
            at += 4
        else:
            at += 1
    return found


def check_entry(kernel):
    found = entries(kernel)
    if not found:
        yield "entry: no SQE written as four stores of 16 bytes to one place"
    for first, last in found:
        between = [e for e in kernel.events[first + 1:last] if e.accesses() or e.kind not in ("other", "store")]
        between = [e for e in between if not (e.kind == "store" and e.width == 16)]
        if between:
            yield f"entry: between the stores of an SQE: {between[0].text}"


def reach_doorbells(kernel, entry, start, step_state, doorbell):
    """{(doorbell, state)} of each first doorbell after an SQE, over all paths."""
    reached = set()

    def step(event, state):
        if doorbell(event, state):
            reached.add((event, state))
            return None
        return step_state(event, state)

    kernel.walk(entry[1] + 1, start, step)
    return sorted(reached, key=lambda r: (r[0].text, r[1]))


def check_ptx_doorbell(kernel):
    def step(event, fences):
        return min(fences + 1, 3) if event.kind == "release" and event.system else fences

    for entry in entries(kernel):
        reached = reach_doorbells(kernel, entry, 0, step, lambda e, _: e.kind == "store" and outward(e))
        if not reached:
            yield "doorbell: none is reached from the SQE"
        for event, fences in reached:
            if fences != 1:
                yield f"release: {fences or 'no'} fence.release.sys between SQE and {event.text}"


def outward(event):
    return event.system or event.mmio or event.order == "volatile"


def check_ptx_kinds(kernel):
    bar = "bar" in parts(kernel)
    for e in kernel.events:
        if e.kind == "sc":
            yield f"release: {e.text}"
        if e.kind == "release" and e.system and e.order == "both":
            yield f"release: more than a release: {e.text}"
        if e.kind == "store" and outward(e):
            wanted = "st.mmio.relaxed.sys" if bar else "st.relaxed.sys"
            if not e.text.startswith(wanted):
                yield f"doorbell: not {wanted}: {e.text}"
            elif e.width != 4:
                yield f"doorbell: not 4 bytes: {e.text}"


def is_phase(kernel, event):
    """Whether a load is of the dword 12 bytes behind another load's."""
    if event.kind != "load" or not event.system or event.width != 4:
        return False
    base, offset = event.place
    return any(e.kind == "load" and e.system and e.place == (base, offset - 12) for e in kernel.events)


def check_phase(kernel, acquired):
    """`acquired(event, state)`: 0 nothing read, 1 phase read, 2 and waited for, 3 acquired."""
    phases = [e for e in kernel.events if is_phase(kernel, e)]
    if not phases:
        yield "phase: no completion is read: a phase, and DW0 at its place again"
    for base, offset in sorted({p.place for p in phases}, key=str):
        wrong = set()

        def step(event, state):
            if event.kind == "load" and event.system and event.place == (base, offset - 12) and state != 3:
                wrong.add(event)
                return None
            if event.place == (base, offset) and event.kind == "load" and state != 3:
                state = 1
            return acquired(event, state, (base, offset))

        kernel.walk(0, 0, step)
        for event in wrong:
            yield f"phase: DW0 is read without an acquire after the phase: {event.text}"


def ptx_acquired(event, state, phase):
    if event.kind == "load" and event.place == phase and event.order == "acquire":
        return 3
    # A later look at the phase starts over.
    if event.kind == "jump" or event.kind == "other":
        return state
    if event.kind in ("acquire", "release") and event.system and state:
        return 3 if event.kind == "acquire" or event.order == "both" else state
    return state


def amd_acquired(event, state, phase):
    if event.kind == "wait" and event.order in ("loads", "both") and state == 1:
        return 2
    if event.kind == "invalidate" and event.system and state == 2:
        return 3
    return state


def check_lean(kernel):
    for e in kernel.events:
        if e.kind == "stack":
            yield f"lean: {e.text}"
        if e.kind == "call":
            yield f"lean: a call: {e.text}"
        if e.kind == "divide":
            yield f"lean: a division: {e.text}"
        if e.kind == "clock":
            yield f"time: not a clock for deadlines: {e.text}"
    facts = kernel.facts
    if facts.get("stack") or facts.get("private_segment_fixed_size"):
        yield "lean: a stack"
    # Scalar registers kept in lanes of a vector register are in no memory.
    if facts.get("vgpr_spill_count") or facts.get("spilled"):
        yield "lean: spills"
    if facts.get("registers", 0) > MOST_REGISTERS:
        yield f"lean: {facts['registers']} registers"
    if parts(kernel)[0] in WAITS and not any(e.kind == "time" for e in kernel.events):
        yield "time: the deadline's clock is not read"


def check_amd_doorbell(kernel, gfx):
    """A release is a write-back and a wait (gfx942), or the wait for all stores (gfx1151, whose caches write through).
    State: waits so far, and whether nothing, a write-back (1) or a release (2) was seen; 9 for more than one."""
    cached = gfx == "gfx942"

    def step(event, state):
        waits, release = state
        if event.kind == "wait":
            waits = min(waits + 1, 9)
            if event.order == "both" and release == 1 or event.order == "stores" and not cached:
                release = 2
        elif event.kind == "writeback" and event.system:
            release = 1 if release == 0 else 9
        # What is stored after the wait is not covered by it, and on gfx1151 a doorbell looks like any store.
        return waits, release

    def doorbell(event, state):
        return event.kind == "store" and event.width == 4 and (event.system if cached else state[1] == 2)

    least = []
    for entry in entries(kernel):
        reached = reach_doorbells(kernel, entry, (0, 0), step, doorbell)
        if not reached:
            yield "release: no doorbell after a release of system scope"
        for event, (_, release) in reached:
            if release != 2:
                yield f"release: {'more than one' if release == 9 else 'none'} of system scope before {event.text}"
        least.append(max((waits for _, (waits, _) in reached), default=0))
    # The one wait that the release is. Where it was sent only once the queue had room again, it may have been more.
    if parts(kernel)[1] == "exclusive" and least and min(least) > 1:
        yield f"release: {min(least)} waits between SQE and doorbell"


def cuda_findings(kernel):
    name = parts(kernel)[0]
    yield from check_lean(kernel)
    yield from check_ptx_kinds(kernel)
    if name in SENDS:
        yield from check_entry(kernel)
        yield from check_ptx_doorbell(kernel)
    if name in WAITS:
        yield from check_phase(kernel, ptx_acquired)


def hip_findings(kernel, gfx):
    name = parts(kernel)[0]
    yield from check_lean(kernel)
    if name in SENDS:
        yield from check_entry(kernel)
        yield from check_amd_doorbell(kernel, gfx)
    if name in WAITS:
        yield from check_phase(kernel, amd_acquired)


# ---- Compiling ----


def run(command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def cuda_texts(folder):
    """{architecture: (PTX, what ptxas says of it)}"""
    ptx = folder / "sm_90.ptx"
    nvcc = compilers.nvcc()
    run([nvcc, "-std=c++20", "-O3", "-arch=sm_90", "-Werror", "all-warnings", *INCLUDES, "-ptx", "-o", ptx, SOURCE])
    said = run([nvcc, "-arch=sm_90", "-cubin", "-Xptxas", "-v", "-o", folder / "sm_90.cubin", ptx])
    return {"sm_90": (ptx.read_text(), said)}


def hip_texts(folder):
    found = {}
    for gfx in ("gfx942", "gfx1151"):
        made = folder / f"{gfx}.s"
        run([compilers.clang(), "-x", "hip", "-std=c++20", "-O3", "--cuda-device-only", "-nogpulib", "-nogpuinc",
             f"--offload-arch={gfx}", *INCLUDES, "-S", "-o", made, SOURCE])
        found[gfx] = made.read_text(), ""
    return found


def read(architecture, text, said):
    if architecture.startswith("gfx"):
        return read_amd(text, architecture)
    kernels = read_ptx(text)
    facts = read_ptxas(said)
    for kernel in kernels:
        kernel.facts["registers"], stack, kernel.facts["spilled"] = facts[kernel.name]
        kernel.facts["stack"] = kernel.facts["stack"] or stack != 0
    return kernels


def findings(architecture, kernels):
    """[(kernel, what is not as it should be)]"""
    found = []
    for kernel in kernels:
        rules = hip_findings(kernel, architecture) if architecture.startswith("gfx") else cuda_findings(kernel)
        found += [(kernel.name, what) for what in rules]
    # A kernel that was not read would be one that nobody looked at.
    wanted = set(re.findall(r"^NKV_KERNEL void (\w+)", SOURCE.read_text(), re.M))
    found += [(name, "was not read") for name in sorted(wanted - {k.name for k in kernels})]
    return found


# ---- Self-test ----

# A rule, the kernel whose text is changed, what is replaced by what, how often (None: everywhere).
BREAK_PTX = [
    ("release: no fence.release", "send_exclusive_bar", r"fence\.release\.sys;", "", None),
    ("release: no fence.release", "retrieve_shared_memory", r"fence\.release\.sys;", "fence.release.gpu;", None),
    ("release: 2 fence.release", "send_exclusive_memory", r"(fence\.release\.sys;)", r"\1 \1", None),
    ("release: no fence.release", "send_exclusive_bar", r"(fence\.release\.sys;)(.*?)(st\.mmio[^;]*;)", r"\3\2\1", None),
    ("release: fence.sc", "send_exclusive_bar", r"fence\.release\.sys;", "fence.sc.sys;", None),
    ("release: membar", "send_shared_bar", r"(fence\.release\.sys;)", r"\1 membar.sys;", None),
    ("release: more than", "send_shared_bar", r"fence\.release\.sys;", "fence.acq_rel.sys;", None),
    ("doorbell: not st.mmio", "send_exclusive_bar", r"st\.mmio\.relaxed\.sys", "st.relaxed.sys", None),
    ("doorbell: not st.mmio", "retrieve_shared_bar", r"st\.mmio\.relaxed\.sys", "st.volatile", None),
    ("doorbell: not st.relaxed", "send_exclusive_memory", r"st\.relaxed\.sys", "st.release.sys", None),
    ("doorbell: none", "send_exclusive_memory", r"st\.relaxed\.sys\.u32", "st.u32", None),
    ("entry: no SQE", "send_exclusive_bar", r"st(\.global)?\.v4\.[bu]32 [^;]*;", "", 1),
    ("entry: no SQE", "send_shared_bar", r"st((?:\.global)?)\.v4\.[bu]32 (\[\S+\]), \{(\S+), (\S+), [^;]*;",
     r"st\1.v2.u32 \2, {\3, \4};", 1),
    ("entry: between", "send_exclusive_bar", r"(st(?:\.global)?\.v4\.[bu]32 [^;]*;)", r"\1 ld.global.u32 %r1, [%rd1];", 1),
    ("phase: DW0", "retrieve_exclusive_bar", r"ld\.acquire\.sys", "ld.relaxed.sys", None),
    ("phase: no completion", "wait_shared_memory", r"ld\.acquire\.sys", "ld.volatile", None),
    ("phase: no completion", "wait_exclusive_bar", r"ld\.(relaxed|acquire)\.sys", "ld.relaxed.gpu", None),
    ("lean: ld.local", "wait_exclusive_bar", r"(ret;)", r"ld.local.u32 %r1, [%rd1]; \1", None),
    ("lean: a stack", "wait_exclusive_bar", r"(\.reg )", r".local .align 8 .b8 __local_depot1[8]; \1", 1),
    ("lean: a division", "wait_exclusive_bar", r"(ret;)", r"div.u64 %rd1, %rd2, %rd3; \1", None),
    ("lean: a division", "wait_exclusive_bar", r"(ret;)", r"rem.u32 %r1, %r2, %r3; \1", None),
    ("lean: a call", "wait_exclusive_bar", r"(ret;)", r"call.uni (x), y, (z); \1", None),
    ("time: not a clock", "wait_exclusive_bar", r"%globaltimer", "%clock64", None),
    ("time: the deadline's", "wait_shared_memory", r"%globaltimer", "%rd1", None),
    ("was not read", "wait_shared_memory", r"wait_shared_memory", "wait_shared_other", None),
]
BREAK_PTXAS = [
    ("lean: a stack", "send_exclusive_bar", r"\d+ bytes stack", "8 bytes stack", 1),
    ("lean: spills", "send_exclusive_bar", r"\d+ bytes spill stores", "4 bytes spill stores", 1),
    ("lean: 41 registers", "send_exclusive_bar", r"Used \d+ registers", "Used 41 registers", 1),
]
BREAK_AMD = [
    ("entry: no SQE", "send_exclusive_bar", r"global_store_(b128|dwordx4) .*", "s_nop 0", 1),
    ("entry: no SQE", "send_exclusive_bar", r"(global_store_(?:b128|dwordx4) .*)offset:48", r"\1offset:52", None),
    ("entry: between", "retrieve_exclusive_bar", r"(global_store_(?:b128|dwordx4) .*\n)", r"\1\ts_waitcnt vmcnt(0)\n", None),
    ("phase: DW0", "wait_exclusive_bar", r"buffer_(gl0_)?inv\b.*", "s_nop 0", None),
    ("lean: scratch", "wait_exclusive_bar", r"(s_endpgm)", r"scratch_load_b32 v0, v1, off\n\t\1", 1),
    ("lean: a call", "wait_exclusive_bar", r"(s_endpgm)", r"s_swappc_b64 s[0:1], s[2:3]\n\t\1", 1),
    ("lean: a division", "wait_exclusive_bar", r"(s_endpgm)", r"v_rcp_iflag_f32_e32 v0, v1\n\t\1", 1),
    ("time: not a clock", "wait_exclusive_bar", r"(s_endpgm)", r"s_memtime s[0:1]\n\t\1", 1),
    ("time: not a clock", "wait_exclusive_bar", r"(s_endpgm)", r"s_getreg_b32 s0, hwreg(HW_REG_SHADER_CYCLES)\n\t\1", 1),
    ("time: the deadline's", "wait_exclusive_bar", r"(s_memrealtime|s_sendmsg_rtn_b64) .*", "s_nop 0", None),
]
BREAK_GFX942 = [
    ("release: none", "send_exclusive_bar", r"buffer_wbl2 sc0 sc1", "s_nop 0", None),
    ("release: none", "send_exclusive_memory", r"buffer_wbl2 sc0 sc1", "buffer_wbl2 sc1", None),
    ("release: more", "send_shared_bar", r"(buffer_wbl2 sc0 sc1)", r"\1\n\t\1", None),
    ("release: none", "send_exclusive_bar", r"(buffer_wbl2 sc0 sc1\n)\ts_waitcnt.*\n", r"\1", None),
    ("release: no doorbell", "send_exclusive_bar", r"(global_store_dword .*) sc0 sc1", r"\1", None),
]
BREAK_GFX1151 = [
    ("release: no doorbell", "send_exclusive_bar", r"s_waitcnt_vscnt .*", "s_nop 0", None),
    ("release: 3 waits", "retrieve_exclusive_bar", r"(s_waitcnt_vscnt .*)", r"\1\n\ts_waitcnt vmcnt(0)\n\t\1", None),
]


def broken(text, kernel, pattern, by, most, ptx):
    """`text` with one kernel of it changed."""
    begin = text.index(f".entry {kernel}(" if ptx else f"\n{kernel}:") + 1
    end = text.index("\n}" if ptx else "\n.Lfunc_end", begin)
    return text[:begin] + re.sub(pattern, by, text[begin:end], count=most or 0, flags=re.S if ptx else 0) + text[end:]


def broken_facts(said, kernel, pattern, by):
    begin = said.index(f"'{kernel}'")
    return said[:begin] + re.sub(pattern, by, said[begin:], count=1)


def self_test(made):
    missed = tried = 0
    for architecture, (text, said) in made.items():
        amd = architecture.startswith("gfx")
        rules = [(r, False) for r in (BREAK_AMD if amd else BREAK_PTX)]
        rules += [(r, False) for r in {"gfx942": BREAK_GFX942, "gfx1151": BREAK_GFX1151}.get(architecture, [])]
        rules += [(r, True) for r in ([] if amd else BREAK_PTXAS)]
        sound = set(findings(architecture, read(architecture, text, said)))
        for (expected, kernel, pattern, by, most), facts in rules:
            changed = (text, broken_facts(said, kernel, pattern, by)) if facts else (
                broken(text, kernel, pattern, by, most, not amd), said)
            found = set()
            if changed != (text, said):
                # What ptxas says goes by the kernel's name, here the changed one.
                said_of = changed[1] + changed[1].replace("wait_shared_memory", "wait_shared_other")
                found = set(findings(architecture, read(architecture, changed[0], said_of))) - sound
            good = any(expected in what for name, what in found)
            tried += 1
            missed += not good
            print(f"{'refused' if good else 'MISSED '}  {architecture} {kernel}: {expected}: {pattern} -> {by}")
            if not good:
                print(*(f"         {name}: {what}" for name, what in sorted(found)), sep="\n")
    print(f"{tried - missed} of {tried} broken texts refused")
    return 1 if missed else 0


def main():
    texts = {"cuda": cuda_texts, "hip": hip_texts}
    if len(sys.argv) < 2 or sys.argv[1] not in texts or sys.argv[2:] not in ([], ["--self-test"], ["--print"]):
        print(__doc__.strip())
        return 2
    if not (compilers.nvcc() if sys.argv[1] == "cuda" else compilers.clang()):
        print(f"skipped: there is no compiler for {sys.argv[1]}")
        return 77
    with tempfile.TemporaryDirectory(prefix="nkv-instructions-") as folder:
        made = texts[sys.argv[1]](pathlib.Path(folder))
    if sys.argv[2:] == ["--self-test"]:
        return self_test(made)
    bad = 0
    for architecture, (text, said) in made.items():
        kernels = read(architecture, text, said)
        if sys.argv[2:] == ["--print"]:
            for kernel in kernels:
                print(f"--- {architecture} {kernel.name} {kernel.facts}")
                print(*(f"{e.kind:10} {e.text}" for e in kernel.events if e.kind != "other"), sep="\n")
            continue
        found = findings(architecture, kernels)
        bad += len(found)
        for name, what in found:
            print(f"{architecture} {name}: {what}")
        print(f"{architecture}: {len(kernels)} kernels, {sum(len(k.events) for k in kernels)} instructions, "
              f"{len(found)} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
