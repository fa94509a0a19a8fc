#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# One key at a time: what is stored comes back, conditions are kept, and the exit status says how it went.
source "$(dirname "$0")/lib.sh"

start_target kv

# Values of every awkward length, from a file and from a pipe.
for bytes in 0 1 4095 4096 4097 1048576 1048577 5000001; do
  head -c "$bytes" /dev/urandom >"$work/value"
  code 0 nkv store "v$bytes" "$work/value"
  code 0 nkv retrieve "v$bytes" "$work/back"
  cmp "$work/value" "$work/back" || fail "a value of $bytes bytes differs"
  code 0 nkv store piped - <"$work/value"
  nkv retrieve piped | cmp - "$work/value" || fail "a piped value of $bytes bytes differs"
  cat "$work/value" | nkv store piped || fail "store from a pipe"
  nkv retrieve piped - | cmp - "$work/value" || fail "a value of $bytes bytes from a pipe differs"
done

# Keys: text, digits, the longest, the ones that cannot be.
printf x >"$work/x"
code 0 nkv store --key-format hex 00ff10 "$work/x"
code 0 nkv retrieve --key-format hex 0x00FF10
out x
code 0 nkv store 1234567890123456 "$work/x"
code 4 nkv store 12345678901234567 "$work/x"
err "Store nsid 1 key '12345678901234567'"
code 2 nkv store "" "$work/x"
code 2 nkv store --key-format hex 0 "$work/x"
code 2 nkv store --key-format hex xy "$work/x"
code 0 nkv store -- -dash "$work/x"
code 0 nkv retrieve -- -dash
out x
code 0 nkv list
grep -qx 0x00ff10 "$work/out" || fail "the binary key is not listed as digits"
grep -qx -- -dash "$work/out" || fail "-dash is not listed"
same 12 "$(wc -l <"$work/out")"
code 0 nkv list --key-format hex
grep -qx 00ff10 "$work/out" || fail "list --key-format hex"
code 0 nkv list v4096
same "v4096 v4097 v5000001" "$(tr '\n' ' ' <"$work/out" | sed 's/ $//')"
code 0 nkv list --count 2 v
same "v0 v1" "$(tr '\n' ' ' <"$work/out" | sed 's/ $//')"

# What is not there says so by the exit status, with nothing on standard output, and leaves files alone.
echo kept >"$work/kept"
code 1 nkv retrieve nobody "$work/kept"
out ""
err "Retrieve nsid 1 key 'nobody': key does not exist (sct 0h, sc 87h)"
same kept "$(cat "$work/kept")"
code 1 nkv --quiet retrieve nobody
same "" "$(cat "$work/err")"

# Conditions.
code 1 nkv store --must-exist fresh "$work/x"
err "key does not exist"
code 0 nkv store --must-not-exist fresh "$work/x"
code 1 nkv store --must-not-exist fresh "$work/x"
err "key exists"
code 0 nkv store --must-exist fresh "$work/x"
code 2 nkv store --must-exist --must-not-exist fresh "$work/x"

# Exist and Delete.
code 0 nkv exist fresh piped
out $'yes\tfresh\nyes\tpiped'
code 1 nkv exist fresh nobody piped
out $'yes\tfresh\nno\tnobody\nyes\tpiped'
code 0 nkv delete fresh
code 1 nkv exist fresh
code 0 nkv delete fresh

# A time to live ends; a touch begins it anew.
code 0 nkv store --ttl 1 brief "$work/x"
code 0 nkv store --ttl 1000 long "$work/x"
code 0 nkv store --touch --ttl 1 long
code 1 nkv store --touch nobody
for _ in {1..100}; do
  nkv list | grep -qE '^(brief|long)$' || break
  sleep 0.1
done
code 1 nkv retrieve brief
code 1 nkv retrieve long
code 2 nkv store --ttl 0 brief "$work/x"
code 0 nkv store --ephemeral passing "$work/x"

# JSON: results and errors.
code 0 nkv --json info
json
same "[('inline_cdw', 16)]" "$(value '[(n["key_encoding"], n["longest_key_bytes"]) for n in j["namespaces"]]')"
code 0 nkv --json list
json
same 13 "$(value 'j["count"]')"
same True "$(value '{"key_hex": "00ff10"} in j["keys"] and {"key": "-dash", "key_hex": "2d64617368"} in j["keys"]')"
code 1 nkv --json retrieve nobody "$work/kept"
json
same "('nobody', 'Retrieve', 1, 0, 135, 1)" \
  "$(value '(j["error"]["key"], j["error"]["opcode"], j["error"]["nsid"], j["error"]["status"]["sct"], j["error"]["status"]["sc"], j["error"]["exit_code"])')"
code 0 nkv --json retrieve v4097 "$work/back"
json
same 4097 "$(value 'j["length_bytes"]')"
code 2 nkv --json retrieve v4097
code 1 nkv --json exist v4097 nobody
json
same "[True, False]" "$(value '[k["exists"] for k in j["keys"]]')"
code 0 nkv --json store j "$work/x"
json

# Until a target offers operations there is none.
code 4 nkv execute 1 v1
err "Execute nsid 1 key 'v1'"
code 4 nkv execute 1 v1 "$work/x" --result-max 10KiB

# Which namespace, where there are several; what is refused, says why.
start_target several --namespace nsid=1,max-value=1000 --namespace nsid=7,encoding=payload_head,read-only \
  --namespace nsid=9,encoding=payload_head,capacity=100KiB
code 2 nkv list
err "say which with --nsid: 1, 7, 9"
code 0 nkv --nsid 1 list
head -c 1001 /dev/zero >"$work/value"
code 4 nkv --nsid 1 store k "$work/value"
err "has 1001 bytes, a value of this namespace at most 1000"
code 4 nkv --nsid 1 store k <"$work/value"
code 4 nkv --nsid 7 store k "$work/x"
err "Store nsid 7 key 'k': namespace is read-only (sct 1h, sc 82h"
key=$(printf '%0255d' 7)
code 0 nkv --nsid 9 store "$key" "$work/value"
code 0 nkv --nsid 9 retrieve "$key" "$work/back"
cmp "$work/value" "$work/back" || fail "a value under a long key differs"
code 0 nkv --nsid 9 exist "$key"
code 0 nkv --nsid 9 delete "$key"
code 1 nkv --nsid 9 exist "$key"
code 2 nkv --nsid 9 store "${key}8" "$work/x"
head -c 200000 /dev/zero >"$work/value"
code 4 nkv --nsid 9 store k "$work/value"
err "capacity exceeded (sct 0h, sc 81h"
code 2 nkv --nsid 5 list
code 0 nkv --nsid 9 --key-encoding payload_head list
code 0 nkv info
grep -q "payload_head" "$work/out" || fail "info names no encoding"

finish
