#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The quickstart's demonstration, small: demonstration.sh PROGRAM
source "$(dirname "$0")/lib.sh"

demo=$1
mkdir -p "$work/tree/a/b"
: >"$work/tree/empty"
for i in {1..300}; do head -c $((i * 100)) /dev/urandom >"$work/tree/a/b/$i"; done
head -c 2000003 /dev/urandom >"$work/tree/large"
start_target demo
# Libraries that are none, in front of whatever this machine has.
mkdir "$work/none"
for library in libcuda.so.1 libamdhip64.so libamdhip64.so.7 libamdhip64.so.6 libamdhip64.so.5; do
  echo "no library" >"$work/none/$library"
done
export LD_LIBRARY_PATH=$work/none${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
code 0 "$demo" --operations 2000 "$work/tree"
[[ $(grep -c "^not on a GPU by " "$work/out") -eq 2 ]] || fail "no reasons: $(cat "$work/out")"
for text in "302 files" "listed 305 keys" "2,000 Retrieves" "no difference"; do
  grep -q "$text" "$work/out" || fail "no \"$text\" in the report: $(cat "$work/out")"
done
for operation in Store List Retrieve Exist Delete; do
  grep -q "^$operation " "$work/out" || fail "the table has no $operation"
done
# A part of the Retrieves is a kernel's, by host threads, and the report says so. One thread alone: none of them; the
# lanes alone: all files.
grep -q "^Retrieve .* 4 warps of 8 lanes (host threads, no GPU)" "$work/out" || fail "no lanes: $(cat "$work/out")"
code 0 "$demo" --operations 300 --initiator cpu "$work/tree/a"
grep -q "^300 Retrieves" "$work/out" || fail "not 300 Retrieves: $(cat "$work/out")"
! grep -q "lanes" "$work/out" || fail "lanes, with --initiator cpu"
code 0 "$demo" --operations 300 --initiator simt "$work/tree/a"
grep -q "lanes (host threads, no GPU)" "$work/out" || fail "no lanes: $(cat "$work/out")"
! grep -q "again and again" "$work/out" || fail "one thread, with --initiator simt"
# Without a GPU the kernel's part is shown on host threads, and why is said: of the one that was asked for.
for initiator in cuda hip; do
  code 0 "$demo" --operations 300 --initiator $initiator "$work/tree/a"
  grep -q "^not on a GPU by $initiator: " "$work/out" || fail "no reason: $(cat "$work/out")"
  grep -q "lanes (host threads, no GPU)" "$work/out" || fail "no lanes: $(cat "$work/out")"
  [[ $(grep -c "not on a GPU" "$work/out") -eq 1 ]] || fail "more than was asked for: $(cat "$work/out")"
done
# It leaves nothing behind.
code 0 nkv list
out ""
code 1 "$demo" "$work/nowhere"
code 1 "$demo" --endpoint "vfio-user:$work/nowhere" "$work/tree"
finish
