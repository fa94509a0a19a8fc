#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compiles the measuring kernels for GPUs and says what the compilers say of them.

compile.py FOLDER [GFX...]   leave cost.ptx and baseline.ptx in FOLDER, and print one JSON object:
                             {"nvcc": {"version", "flags", "kernels": {name: {...}}},
                              "amd": {gfx: the same}}, or "missing" with the reason instead of "kernels"

The compilers are found, and their output is read, as tests/device does it.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "device"))

import compilers  # noqa: E402
import instructions  # noqa: E402

CUDA_ARCHITECTURE = "sm_90"
CUDA = ["-std=c++20", f"-arch={CUDA_ARCHITECTURE}"]
AMD = ["-std=c++20", "-O3", "-x", "hip", "--cuda-device-only", "-nogpuinc", "-nogpulib"]
INCLUDES = [f"-I{ROOT / top}" for top in ("include", "device")]


class CompileError(Exception):
    pass


def run(command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise CompileError(f"{' '.join(map(str, command))}:\n{done.stdout[:4000]}")
    return done.stdout


def version(compiler, word):
    """The line of --version that has the number."""
    return next((line.strip() for line in run([compiler, "--version"]).splitlines() if word in line), "unknown")


def nvcc(folder):
    compiler = compilers.nvcc()
    if not compiler:
        return {"missing": "nvcc is not installed"}
    kernels = {}
    for name in ("cost", "baseline"):
        ptx = folder / f"{name}.ptx"
        run([compiler, *CUDA, *INCLUDES, "-ptx", HERE / f"{name}.cu", "-o", ptx])
        said = run([compiler, f"-arch={CUDA_ARCHITECTURE}", "-cubin", "-Xptxas", "-v", ptx, "-o", folder / f"{name}.cubin"])
        for kernel, (registers, stack, spills) in instructions.read_ptxas(said).items():
            kernels[kernel] = {"registers": registers, "stack_bytes": stack, "spill_bytes": spills}
    return {"version": version(compiler, "release"), "flags": " ".join(CUDA), "kernels": kernels}


def amd(folder, gfx):
    compiler = compilers.clang() or compilers.hipcc()
    if not compiler:
        return {"missing": "neither clang nor hipcc is installed"}
    out = folder / f"cost-{gfx}.s"
    flags = [*AMD, f"--offload-arch={gfx}"]
    try:
        run([compiler, *flags, *INCLUDES, "-S", HERE / "cost.cu", "-o", out])
    except CompileError as e:
        if compilers.clang():
            raise
        # An older hipcc alone does not know every GPU.
        return {"missing": str(e)}
    kernels = {}
    for kernel in instructions.read_amd(out.read_text(), gfx):
        facts = kernel.facts
        kernels[kernel.name] = {
            "instructions": len(kernel.events),
            "waits": sum(event.kind == "wait" for event in kernel.events),
            "vgprs": facts["vgpr_count"],
            "sgprs": facts["sgpr_count"],
            "scratch_bytes": facts["private_segment_fixed_size"],
            "spilled_vgprs": facts["vgpr_spill_count"],
            "spilled_sgprs": facts["sgpr_spill_count"],
        }
    return {"version": version(compiler, "version"), "flags": " ".join(flags), "kernels": kernels}


def main():
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[1])
    try:
        made = {"nvcc": nvcc(folder), "amd": {gfx: amd(folder, gfx) for gfx in sys.argv[2:]}}
    except CompileError as e:
        print(e, file=sys.stderr)
        return 1
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
