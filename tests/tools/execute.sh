#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# execute.sh MODULES: Execute by the programs: an allowlist in a configuration, nkv execute in both key encodings.
# MODULES is the folder of compiled modules.
source "$(dirname "$0")/lib.sh"

modules=$1
bound='{"op": 10, "runtime": "builtin", "function": "bytecount"}, {"op": 11, "runtime": "builtin", "function": "identity"},
  {"op": 12, "runtime": "builtin", "function": "inputlen"}, {"op": 13, "runtime": "builtin", "function": "inputecho"},
  {"op": 30, "runtime": "absent", "function": "any"}'
settings='"workers": 1, "runtimes": [{"name": "absent", "library": "/no/such/library.so"}]'
if library=$(python3 examples/common/wasmtime.py library); then
  settings+=", \"wasmtime\": \"$library\""
  sha256=$(sha256sum "$modules/survey.wasm" | cut -d' ' -f1)
  bound+=", {\"op\": 20, \"runtime\": \"wasm\", \"function\": \"survey\", \"module\": {\"key\": \"737572766579\"}, \"tier\": \"large\",
    \"sha256\": \"$sha256\"}"
else
  echo "not tried: modules of WebAssembly, for want of wasmtime"
fi
printf '{"execute": {%s}, "subsystems": [{"namespaces": [{"nsid": 1, "execute": [%s]},
  {"nsid": 2, "key_encoding": "payload_head", "execute": [%s]}]}]}' "$settings" "$bound" "$bound" >"$work/execute.json"
start_target executes --config "$work/execute.json"

number() { od -An -t u8 "$work/out" | tr -d ' \n'; }
printf 'a value with 25 bytes ...' >"$work/value"
printf '12345' >"$work/input"
for nsid in 1 2; do
  code 0 nkv --nsid $nsid store value "$work/value"
  code 0 nkv --nsid $nsid execute 10 value
  same 25 "$(number)"
  code 0 nkv --nsid $nsid execute 11 value
  cmp -s "$work/value" "$work/out" || fail "identity answered something else"
  code 0 nkv --nsid $nsid execute 12 value
  same 0 "$(number)"
  code 0 nkv --nsid $nsid execute 12 value "$work/input"
  same 5 "$(number)"
  code 0 nkv --nsid $nsid execute 13 value "$work/input"
  same 12345 "$(cat "$work/out")"
  # Too little room: how much it would have taken, and not more than that.
  code 4 nkv --nsid $nsid execute 11 value --result-max 4
  err "25"
  # Not there, not allowed, and allowed but not to be had, are three things.
  code 1 nkv --nsid $nsid execute 10 nobody
  code 4 nkv --nsid $nsid execute 99 value
  err "invalid command opcode"
  code 4 nkv --nsid $nsid execute 30 value
  err "no runtime"
  if [[ -n $library ]]; then
    code 4 nkv --nsid $nsid execute 20 value
    err "invalid field"
    code 0 nkv --nsid $nsid store survey "$modules/survey.wasm"
    code 0 nkv --nsid $nsid execute 20 value
    same "06" "$(od -An -t x1 -N 1 "$work/out" | tr -d ' ')"
  fi
done
