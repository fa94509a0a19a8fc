#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# nkv-target as a program: its configuration, its signals, its socket; and what nkv says when it is gone.
source "$(dirname "$0")/lib.sh"

target() { "$NKV_TARGET_PROGRAM" "$@"; }
config() { printf '%s' "$1" >"$work/config.json"; }

# A mistake is named with its field, and nothing is served.
refused() {
  config "$1"
  code 2 target --config "$work/config.json" --check
  err "config.json: $2"
}
refused '{"subsystems": [{"namespaces": [{"nsid": 1}, {"nsid": 2, "max_value_bytes": "abc"}]}]}' \
  'subsystems[0].namespaces[1].max_value_bytes: expected a size, got "abc"'
refused '{"subsystems": [{"namespaces": [{"nsid": 1}, {"nsid": 1}]}]}' 'subsystems[0].namespaces[1].nsid: 1 is taken'
refused '{"subsystem": []}' 'subsystem: unknown'
refused '{"listeners": [{"endpoint": "vfio-user:x", "socket_mode": "9"}]}' 'listeners[0].socket_mode: expected permissions'
refused '{' 'line 1, column'
code 2 target --config "$work/nowhere.json"
err "nowhere.json: No such file"
config '{}'
code 2 target --config "$work/config.json"
err "nothing to listen on"
code 0 target --config "$work/config.json" --listen vfio-user:x --check
for example in memory rados production; do
  code 0 target --config "examples/config/$example.json" --check
done
code 2 target --config "$work/config.json" --namespace nsid=1
code 2 target --listen tcp://x --check
err '--listen: expected "vfio-user:DIRECTORY"'
code 2 target --listen vfio-user:x --namespace nsid=1,max-value=abc --check
err '--namespace nsid=1,max-value=abc: max_value_bytes: expected a size, got "abc"'
code 2 target --listen vfio-user:x --namespace nsid=1,nsid=2 --check
err 'nsid is given twice'
code 2 target --listen vfio-user:x --namespace nsid=1,colour=red --check
err 'colour: unknown'
code 2 target --listen vfio-user:x --mdts 12345 --check
err '--mdts: expected 0 or a power of two'
code 2 target --listen vfio-user:x --prp-only --namespace nsid=2,encoding=payload_head --check
err '--prp-only: false, and keys of nsid 2 come in payload heads'
code 2 target --config "$work/config.json" --prp-only --check
code 2 target --listen vfio-user:x --socket-mode rwx --check
err '--socket-mode: expected permissions'
code 2 target --listen vfio-user:x --no-such-option
code 0 target --help
grep -q 'EXIT STATUS' "$work/out" || fail "--help has no exit status"
code 0 nkv --help
grep -q 'EXIT STATUS' "$work/out" || fail "nkv --help has no exit status"

# A configuration file, two listeners, a socket for a group, readiness on a descriptor, a structured log.
config "{\"subsystems\": [{\"subnqn\": \"nqn.2026-11.io.nkv:a\", \"namespaces\": [{\"nsid\": 4, \"key_encoding\": \"payload_head\"}]},
  {\"subnqn\": \"nqn.2026-11.io.nkv:b\"}],
  \"listeners\": [{\"endpoint\": \"vfio-user:$work/a\", \"subnqn\": \"nqn.2026-11.io.nkv:a\", \"socket_mode\": \"0660\"},
                  {\"endpoint\": \"vfio-user:$work/b\", \"subnqn\": \"nqn.2026-11.io.nkv:b\"}]}"
mkfifo "$work/ready"
"$NKV_TARGET_PROGRAM" --config "$work/config.json" --log-json --ready-fd 5 5>"$work/ready" 2>"$work/log" &
pid=$!
targets+=("$pid")
timeout 60 cat "$work/ready" >"$work/lines" || fail "it did not become ready"
same "ready vfio-user:$work/a ready vfio-user:$work/b" "$(tr '\n' ' ' <"$work/lines" | sed 's/ $//')"
same "660 600" "$(stat -c %a "$work/a/cntrl" "$work/b/cntrl" | tr '\n' ' ' | sed 's/ $//')"
code 0 nkv -e "vfio-user:$work/a" --json info
same "('nqn.2026-11.io.nkv:a', [4])" "$(value '(j["subnqn"], [n["nsid"] for n in j["namespaces"]])')"
code 0 nkv -e "trtype:VFIOUSER traddr:$work/b" --json info
same "[1]" "$(value '[n["nsid"] for n in j["namespaces"]]')"
# Nobody else gets the socket, and nobody loses it.
code 3 target --listen "vfio-user:$work/a" --log-level error
err "another process serves it"
code 0 nkv -e "vfio-user:$work/a" info
# SIGHUP is nothing, SIGTERM the end.
kill -HUP "$pid"
code 0 nkv -e "vfio-user:$work/a" info
kill -TERM "$pid"
code 0 wait "$pid"
[[ ! -e $work/a/cntrl && ! -e $work/b/cntrl ]] || fail "sockets stay behind"
while IFS= read -r line; do
  printf '%s' "$line" | python3 -m json.tool >/dev/null || fail "no JSON in the log: $line"
done <"$work/log"
grep -q '"event":"stopped"' "$work/log" || fail "the log does not end with stopped"
code 3 target --listen "vfio-user:$work/no/such/folder"
err "cannot listen"

# As narrow as servers come: no SGLs, 8 KiB at a time, doorbells by message.
start_target narrow --prp-only --no-map-doorbells --mdts 8KiB
code 0 nkv --json info
same "(False, 8192, 'messages')" "$(value '(j["sgl"], j["max_transfer_bytes"], j["doorbells"])')"
head -c 8192 /dev/urandom >"$work/eight"
code 0 nkv store key "$work/eight"
code 0 nkv retrieve key
cmp -s "$work/eight" "$work/out" || fail "8 KiB by two PRPs come back changed"
head -c 8193 /dev/zero >"$work/nine"
got=0
nkv store key "$work/nine" 2>"$work/err" || got=$?
[[ $got != 0 ]] || fail "more than a transfer was stored"

# Nobody there, or nothing that is a target.
code 3 nkv -e "vfio-user:$work/nowhere" info
err "cannot connect to vfio-user:$work/nowhere"
code 2 nkv -e "nonsense" info
err 'endpoint "nonsense"'
code 2 env -u NKV_ENDPOINT "$NKV_PROGRAM" info
err "NKV_ENDPOINT"
code 2 nkv
code 2 nkv -e "vfio-user:$work/x" frobnicate

# Killed while a client is connected: noticed, long before the deadline. A fifo holds nkv between connecting and storing:
# more than the fifo holds has gone into it, so nkv is reading, and it reads on until the fifo is closed.
start_target dying
mkfifo "$work/input"
timeout 100 "$NKV_PROGRAM" --timeout 60 store key "$work/input" 2>"$work/err" &
client=$!
exec 6>"$work/input"
head -c 200000 /dev/zero >&6
kill -KILL "$target_pid"
{ wait "$target_pid" || true; } 2>/dev/null
begin=$SECONDS
exec 6>&-
got=0
wait "$client" || got=$?
same 3 "$got"
((SECONDS - begin < 30)) || fail "the loss took $((SECONDS - begin)) s to be noticed"

# Stopped: alive, and silent. The deadline ends it.
start_target stopped
code 0 nkv store key "$work/config.json"
mkfifo "$work/input2"
timeout 100 "$NKV_PROGRAM" --timeout 2 store key "$work/input2" 2>"$work/err" &
client=$!
exec 6>"$work/input2"
head -c 200000 /dev/zero >&6
kill -STOP "$target_pid"
# The signal is sent, not yet obeyed by all threads.
for ((i = 0; i < 1000; ++i)); do
  grep -hv '^State:.T' /proc/"$target_pid"/task/*/status | grep -q '^State:' || break
  sleep 0.01
done
begin=$SECONDS
exec 6>&-
got=0
wait "$client" || got=$?
same 5 "$got"
err "outcome unknown"
((SECONDS - begin < 30)) || fail "the deadline of 2 s took $((SECONDS - begin)) s"
kill -CONT "$target_pid"
code 0 nkv retrieve key

finish
