#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# foreign_server.sh NKV_FOREIGN_SERVER: nkv with servers that are not ours, and what it has to be told of them.
source "$(dirname "$0")/lib.sh"
server=$1

# serve NAME MODES: a foreign server at $work/NAME, which ends with this script; NKV_ENDPOINT names it.
serve() {
  local ready
  mkdir "$work/$1"
  mkfifo "$work/$1.in" "$work/$1.ready"
  "$server" "$work/$1" --mode "$2" <"$work/$1.in" >"$work/$1.ready" &
  targets+=("$!")
  exec {held}>"$work/$1.in"
  IFS= read -r -t 60 ready <"$work/$1.ready" || true
  [[ $ready == ready ]] || fail "the server $1 did not start"
  export NKV_ENDPOINT=vfio-user:$work/$1
}

head -c 3001 /dev/urandom >"$work/value"

serve model model
code 0 nkv --json info
same "(False, 8192, 'messages')" "$(value '(j["sgl"], j["max_transfer_bytes"], j["doorbells"])')"
code 0 nkv store key "$work/value"
code 0 nkv list
same key "$(cat "$work/out")"
code 0 nkv exist key

serve spdk spdk
code 3 nkv info
code 0 nkv --allow-unsealed store "a-key-of-more-than-sixteen-bytes" "$work/value"
code 0 nkv --allow-unsealed retrieve "a-key-of-more-than-sixteen-bytes"
cmp -s "$work/value" "$work/out" || fail "the value comes back changed"
code 0 nkv --allow-unsealed list
same "a-key-of-more-than-sixteen-bytes" "$(cat "$work/out")"

# Nothing that it says tells that it gives no lengths.
serve no_length no_length
code 0 nkv store key "$work/value"
code 0 nkv --quirks kvssd retrieve key
cmp -s -n 3001 "$work/value" "$work/out" || fail "the value comes back changed"
code 2 nkv --quirks nonsense info

finish
