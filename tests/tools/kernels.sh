#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The examples with a kernel, small, by host threads as lanes: kernels.sh FOLDER
source "$(dirname "$0")/lib.sh"

folder=$1
# says PROGRAM TEXT ARGUMENT...: the program ends well and says TEXT
says() {
  local program=$folder/$1 text=$2
  shift 2
  code 0 "$program" "$@"
  grep -q "$text" "$work/out" || fail "no \"$text\" from $program: $(cat "$work/out")"
}

# A target of the program's own. One lane of one warp, and more lanes than there is work.
says kv_blocks "^100 blocks of 4 KiB" --blocks 100 --block-kib 4
says kv_blocks "^100 operations, 100 submission doorbells" --blocks 100 --block-kib 4 --warps 1 --initiator simt
says kv_blocks "^3 blocks of 64 KiB" --blocks 3 --warps 1 --lanes 1
says paged_cache "^200 keys asked for, 134 found" --keys 200
says paged_cache "^2 keys asked for, 2 found" --keys 2 --warps 3 --lanes 5
says paged_cache "^64 keys asked for.*" --keys 64 --warps 1 --lanes 1
says layer_stream "^5 layers of 128 KiB" --layers 5 --chunk-kib 4
says layer_stream "^2 layers of 4 KiB" --layers 2 --chunk-kib 4 --warps 1 --lanes 1
# Every lane a Retrieve of its own, and one doorbell for all.
says layer_stream "^160 operations, [1-9] submission doorbells" --layers 5 --chunk-kib 4 --warps 1 --lanes 32

says execute_value "^20 values of 4 KiB surveyed.* 8 bytes read of each" --values 20 --value-kib 4
says execute_value "^3 values" --values 3 --value-kib 4 --warps 1 --lanes 1

# Another process's.
start_target kernels
says kv_blocks "^50 blocks" --endpoint "$NKV_ENDPOINT" --blocks 50
says paged_cache "^100 keys" --endpoint "$NKV_ENDPOINT" --keys 100
says layer_stream "^3 layers" --endpoint "$NKV_ENDPOINT" --layers 3 --chunk-kib 4

# It allows no operation.
code 1 "$folder/execute_value" --endpoint "$NKV_ENDPOINT" --values 2
err "2 values were not surveyed"

# Without a GPU by itself, and it says why; what was asked for is done or refused.
code 0 "$folder/kv_blocks" --blocks 2 --kernels "$work/nowhere"
[[ $(grep -c "^not on a GPU by " "$work/out") -eq 2 ]] || fail "no reasons: $(cat "$work/out")"
code 0 "$folder/kv_blocks" --blocks 2 --initiator simt
! grep -q "not on a GPU" "$work/out" || fail "looked for a GPU, with --initiator simt"
for initiator in cuda hip cpu; do
  code 1 "$folder/kv_blocks" --initiator $initiator --kernels "$work/nowhere"
  grep -q -- "--initiator" "$work/err" || fail "no reason: $(cat "$work/err")"
done
code 1 "$folder/kv_blocks" --blocks 0
code 1 "$folder/kv_blocks" --block 1
code 1 "$folder/kv_blocks" --blocks
code 1 "$folder/kv_blocks" --endpoint "vfio-user:$work/nowhere"
finish
