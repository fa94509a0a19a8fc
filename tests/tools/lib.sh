# SPDX-License-Identifier: BSD-3-Clause
#
# For the tests of the programs, which source this: a folder of their own, targets that are gone at the end, and checks
# that say what they expected. The programs are in NKV_PROGRAM and NKV_TARGET_PROGRAM.
set -euo pipefail

: "${NKV_PROGRAM:?}" "${NKV_TARGET_PROGRAM:?}"
work=$(mktemp -d)
targets=()
failures=0

at_end() {
  local pid
  for pid in "${targets[@]:-}"; do
    [[ -n $pid ]] || continue
    kill -CONT "$pid" 2>/dev/null || true
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap at_end EXIT

nkv() { "$NKV_PROGRAM" "$@"; }

# start_target NAME OPTION...: serves vfio-user:$work/NAME; NKV_ENDPOINT names it, target_pid is its process.
start_target() {
  local name=$1 ready
  shift
  mkfifo "$work/$name.ready"
  "$NKV_TARGET_PROGRAM" --listen "vfio-user:$work/$name" --log-level warning "$@" >"$work/$name.ready" &
  target_pid=$!
  targets+=("$target_pid")
  if ! IFS= read -r -t 60 ready <"$work/$name.ready" || [[ $ready != "ready vfio-user:$work/$name" ]]; then
    echo "the target $name did not start" >&2
    exit 1
  fi
  export NKV_ENDPOINT=vfio-user:$work/$name
}

fail() {
  echo "FAILED line ${BASH_LINENO[-2]}: $*" >&2
  failures=$((failures + 1))
}

# code N COMMAND...: the command exits with N. Its output is in $work/out and $work/err.
code() {
  local expected=$1 got=0
  shift
  "$@" >"$work/out" 2>"$work/err" || got=$?
  [[ $got -eq $expected ]] || fail "$*: exit status $got, expected $expected: $(head -c 1000 "$work/err")"
}

# same EXPECTED GOT
same() { [[ $1 == "$2" ]] || fail "expected '$1', got '$2'"; }

# out TEXT, err TEXT: the last command of code() printed exactly that on standard output; somewhere on standard error
out() { same "$1" "$(cat "$work/out")"; }
err() { [[ $(cat "$work/err") == *"$1"* ]] || fail "expected '$1' in '$(head -c 1000 "$work/err")'"; }

# json: the output of the last command is JSON
json() { python3 -m json.tool <"$work/out" >/dev/null || fail "no JSON: $(head -c 1000 "$work/out")"; }

# value JSON-EXPRESSION: of the output of the last command, as a Python expression over `j`
value() { python3 -c 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1" <"$work/out"; }

finish() {
  [[ $failures -eq 0 ]] || exit 1
  exit 0
}
