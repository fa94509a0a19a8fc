#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# `nkv placement`, without a GPU and with a library that plays the driver of one: placement.sh LIBRARY
source "$(dirname "$0")/lib.sh"

model=$1
unset NKV_ENDPOINT

# has LINE...: the last command of code() printed these lines, each in full.
has() {
  local line
  for line in "$@"; do grep -qxF -- "$line" "$work/out" || fail "no line '$line' in: $(cat "$work/out")"; done
}
hasnt() { ! grep -q -- "$1" "$work/out" || fail "'$1' in: $(cat "$work/out")"; }

# Libraries that are none, in front of whatever this machine has.
mkdir "$work/none" "$work/model"
for library in libcuda.so.1 libamdhip64.so libamdhip64.so.7 libamdhip64.so.6 libamdhip64.so.5; do
  echo "no library" >"$work/none/$library"
done
for library in libcuda.so.1 libamdhip64.so libhsa-runtime64.so.1; do ln -s "$model" "$work/model/$library"; done
without() { LD_LIBRARY_PATH=$work/none nkv "$@"; }
with() { LD_LIBRARY_PATH=$work/model nkv "$@"; }

code 0 without placement
[[ $(grep -c "" "$work/out") -eq 3 ]] || fail "not three lines: $(cat "$work/out")"
grep -q "^CUDA: libcuda.so.1 is not there: " "$work/out" || fail "no reason: $(cat "$work/out")"
grep -q "^HIP: libamdhip64.so is not there: " "$work/out" || fail "no reason: $(cat "$work/out")"
grep -qE "^PCIe devices for programs: (yes|no): /dev/vfio/vfio: .*; /dev/iommu: .*; [0-9]+ IOMMU groups?$" "$work/out" ||
  fail "nothing of VFIO: $(cat "$work/out")"
code 0 without --json placement
same 8 "$(python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert "device" not in r["CUDA"] and "is not there" in r["HIP"]["why"] and isinstance(r["pcie"]["can"], bool)
assert not any(p["can"] for p in r["CUDA"]["placements"])
print(len(r["CUDA"]["placements"]))' "$work/out")"

# The machine alone.
code 0 with placement
has "CUDA: Model GPU" "HIP: Model GPU" "queue in mapped host memory: yes" "queue in fine-grained GPU memory: yes" \
  "doorbell in shared page: no: asked of no target" "value in GPU memory: yes: ordered" \
  "queue in GPU memory: no: a kernel would poll it in vain: take fine-grained memory" \
  "value in GPU memory: yes: fine-grained value" "value in fine-grained GPU memory: yes: visibility step"

# With a target, named in three ways; one that lets no doorbell be mapped.
start_target shared
for how in "placement $NKV_ENDPOINT" "--endpoint $NKV_ENDPOINT placement" "placement"; do
  # shellcheck disable=SC2086
  code 0 with $how
  has "doorbell in shared page: yes"
done
code 0 with --json placement
same "Model GPU 7 of 8" "$(python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))["CUDA"]
print(r["device"], sum(p["can"] for p in r["placements"]), "of", len(r["placements"]))' "$work/out")"
start_target messages --no-map-doorbells
code 0 with placement "$NKV_ENDPOINT"
hasnt "doorbell in shared page: yes"
has "doorbell in shared page: no: the target lets no doorbell be mapped, or sleeps until a CPU wakes it"

code 3 without placement "vfio-user:$work/nowhere"
code 2 without placement one two
code 2 without placement nonsense
code 0 nkv placement --help
grep -q "ENDPOINT" "$work/out" || fail "no ENDPOINT in the help"
finish
