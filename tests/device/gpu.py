#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compiles kernels for a GPU and runs them on it: those of gpu_test.cpp, of the examples and of the quickstart.

gpu.py cuda|hip PROGRAMS TEST         on the machine's first GPU; exits 77 where there is none, and says why
gpu.py model PROGRAMS TEST LIBRARY    by LIBRARY, which plays NVIDIA's driver and has an interpreter for a GPU

PROGRAMS is the folder of the examples and of nkv-target, TEST the program of gpu_test.cpp.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import compilers

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ["tests/ptx/kernels/operations.cu", "tests/ptx/kernels/sharded.cu"]

# Arguments of each example: those of a GPU, and smaller ones for the interpreter.
EXAMPLES = {
    "kv_blocks": ([], ["--blocks", "40", "--block-kib", "4", "--warps", "4"]),
    "paged_cache": ([], ["--keys", "60", "--warps", "2"]),
    "layer_stream": ([], ["--layers", "3", "--chunk-kib", "4", "--warps", "2"]),
    "execute_value": ([], ["--values", "30", "--value-kib", "4", "--warps", "2"]),
}


def compile_kernels(vendor, folder):
    """Each to a file of the source's name. For NVIDIA to PTX, which the driver compiles for the GPU that it has."""
    includes = [f"-I{ROOT / top}" for top in ("include", "device", "tests/ptx/kernels")]
    if vendor == "cuda":
        command = [compilers.nvcc(), "-std=c++20", "-x", "cu", "-arch=sm_75", "-ptx", "-Werror", "all-warnings"]
    else:
        command = [compilers.hipcc(), "-x", "hip", "-std=c++20", "-O2", "--genco", "--offload-arch=native"]
    for source in KERNELS + [f"examples/{name}.cpp" for name in (*EXAMPLES, "quickstart_demo")]:
        out = folder / pathlib.Path(source).stem
        subprocess.run([*command, *includes, "-o", out, ROOT / source], check=True, timeout=300)


def run(command, environment, texts=()):
    """Whether the program ends well and says each of the texts, and nothing of a part that no GPU has run."""
    done = subprocess.run(["timeout", "240", *(str(c) for c in command)], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    good = done.returncode == 0 and all(text in done.stdout for text in texts) and "no GPU" not in done.stdout
    # The model can do everything.
    good = good and not ("NKV_GPU_SLOW" in environment and "skipped:" in done.stdout)
    name = pathlib.Path(command[0]).name
    print(f"--- {name}: {'as it should be' if good else f'exit {done.returncode}, wanted {texts}'}")
    print(done.stdout, end="", flush=True)
    return good


def quickstart(programs, kernels, vendor, small, by, environment):
    """The demonstration, against a target in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="nkv-") as name:
        tree = pathlib.Path(name) / "tree"
        tree.mkdir()
        for i in range(20):
            (tree / str(i)).write_bytes(bytes((i * 37 + j * 11) % 256 for j in range(100 + i * (9 if small else 9000))))
        target = subprocess.Popen([programs / "nkv-target", "--listen", f"vfio-user:{name}/socket"],
                                  stdout=subprocess.PIPE, text=True)
        try:
            target.stdout.readline()
            return run([programs / "quickstart_demo", "--endpoint", f"vfio-user:{name}/socket", "--initiator", vendor,
                        "--kernels", kernels / "quickstart_demo", "--operations", "5000" if small else "200000", tree],
                       environment, (by, "no difference"))
        finally:
            target.kill()
            target.wait()


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ("cuda", "hip", "model"):
        print(__doc__.strip())
        return 2
    which, programs, test = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    small = which == "model"
    vendor = "hip" if which == "hip" else "cuda"
    compiler = compilers.hipcc() if vendor == "hip" else compilers.nvcc()
    if not compiler:
        print(f"skipped: there is no compiler for {vendor}")
        return 77
    with tempfile.TemporaryDirectory(prefix="nkv-gpu-") as name:
        folder = pathlib.Path(name)
        environment = dict(os.environ, NKV_GPU=vendor, NKV_GPU_KERNELS=str(folder))
        by = ""
        if small:
            (folder / "lib").mkdir()
            (folder / "lib" / "libcuda.so.1").symlink_to(pathlib.Path(sys.argv[4]).resolve())
            environment.update(LD_LIBRARY_PATH=str(folder / "lib"), NKV_GPU_SLOW="1")
            by = "Model GPU"
        probe = subprocess.run([test, "--test-case=there is one"], env=environment, stdout=subprocess.PIPE, text=True)
        if probe.returncode != 0:
            print(next((line for line in probe.stdout.splitlines() if line.startswith("skipped")), probe.stdout))
            return probe.returncode
        compile_kernels(vendor, folder)
        good = run([test], environment, (by,))
        for example, (large, little) in EXAMPLES.items():
            command = [programs / example, "--initiator", vendor, "--kernels", folder / example]
            good = run([*command, *(little if small else large)], environment, (by,)) and good
        good = quickstart(programs, folder, vendor, small, by, environment) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
