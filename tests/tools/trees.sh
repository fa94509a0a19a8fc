#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# import and export: a tree goes in and comes back, and a manifest from a stranger does no harm.
source "$(dirname "$0")/lib.sh"

tree=$work/tree
mkdir -p "$tree/a/b/c" "$tree/deep"
: >"$tree/empty"
printf 'short' >"$tree/k"
printf 'x' >"$tree/a/name with blanks and \"quotes\""
printf 'y' >"$tree/a/"$'bytes\xff\x01'
printf 'not the manifest' >"$tree/nkv.manifest"
for i in {1..200}; do head -c $((i * 20)) /dev/urandom >"$tree/a/b/file-with-a-long-name-$i"; done
head -c 3000001 /dev/urandom >"$tree/a/b/c/large"
chmod 755 "$tree/k"
chmod 600 "$tree/empty"
path=deep
for _ in {1..20}; do path=$path/a-folder-name; done
mkdir -p "$tree/$path" && echo bottom >"$tree/$path/file"
umask 022

start_target trees --namespace nsid=1 --namespace nsid=2,encoding=payload_head --namespace nsid=3,max-value=4KiB

for nsid in 1 2; do
  code 0 nkv -n $nsid import "$tree"
  code 0 nkv -n $nsid export "$work/copy$nsid"
  diff -r "$tree" "$work/copy$nsid" || fail "nsid $nsid: the copy differs"
  same "755 600" "$(stat -c %a "$work/copy$nsid/k" "$work/copy$nsid/empty" | tr '\n' ' ' | sed 's/ $//')"
  code 0 nkv -n $nsid list --paths
  grep -q '3.91 KiB  a/b/file-with-a-long-name-200$' "$work/out" || fail "nsid $nsid: list --paths"
  ! grep -q '  key ' "$work/out" || fail "nsid $nsid: list --paths has keys of no file"
  code 0 nkv -n $nsid --json list --paths
  json
  same 207 "$(value 'len(j["files"])')"
  # Nothing is overwritten unasked, not even in part.
  rm "$work/copy$nsid/k"
  echo mine >"$work/copy$nsid/empty"
  code 6 nkv -n $nsid export "$work/copy$nsid"
  same mine "$(cat "$work/copy$nsid/empty")"
  [[ ! -e $work/copy$nsid/k ]] || fail "nsid $nsid: export wrote although it refused"
  code 0 nkv -n $nsid export --force "$work/copy$nsid"
  diff -r "$tree" "$work/copy$nsid" || fail "nsid $nsid: the forced copy differs"
done
# A short path is the key itself; a long one has its hash.
code 0 nkv -n 1 retrieve k
out short
code 0 nkv -n 2 retrieve a/b/file-with-a-long-name-1 "$work/back"
cmp "$work/back" "$tree/a/b/file-with-a-long-name-1" || fail "the path is no key"

# A second import adds to the manifest, and --replace-manifest does not.
mkdir "$work/more" && echo more >"$work/more/k2"
code 0 nkv -n 1 import "$work/more" --prefix sub/
code 0 nkv -n 1 export "$work/both"
same more "$(cat "$work/both/sub/k2")"
[[ -f $work/both/k ]] || fail "the second import forgot the first"
code 0 nkv -n 1 import "$work/more" --replace-manifest
code 0 nkv -n 1 export "$work/only"
same k2 "$(cd "$work/only" && find . -type f -printf '%P\n')"
code 2 nkv -n 1 import "$work/more" --prefix ../
code 6 nkv -n 1 import "$work/nowhere"

# Values that changed or went since are named, and the others still come.
code 0 nkv -n 2 store k </dev/null
code 0 nkv -n 2 delete empty
code 7 nkv -n 2 export "$work/part"
err "not exported: k: its value is shorter than it was"
err "not exported: empty: its key does not exist any more"
diff -rq "$tree" "$work/part" >"$work/diff" || true
same 2 "$(wc -l <"$work/diff")"

# A manifest longer than a value is in parts; files longer than a value are refused, all or one by one.
code 4 nkv -n 3 import "$tree"
err "a/b/c/large"
err "nothing was imported"
code 1 nkv -n 3 export "$work/none"
code 7 nkv -n 3 import --skip-too-large "$tree"
err "left out: a/b/c/large: too large"
code 0 nkv -n 3 --json list
(($(value 'sum(1 for k in j["keys"])') > 207)) || fail "the manifest has no parts"
code 0 nkv -n 3 list --paths
! grep -q '  key ' "$work/out" || fail "parts of the manifest are shown as keys"
code 0 nkv -n 3 export "$work/parts3" --depth 1
diff -rq "$tree" "$work/parts3" >"$work/diff" || true
same 1 "$(wc -l <"$work/diff")"
before=$(nkv -n 3 list | wc -l)
code 0 nkv -n 3 import "$work/more" --replace-manifest
(($(nkv -n 3 list | wc -l) < before)) || fail "old parts stay behind"

# What is no regular file is named and not followed.
mkdir "$work/odd" && echo real >"$work/odd/real"
ln -s /etc/passwd "$work/odd/link"
ln -s / "$work/odd/folder"
mkfifo "$work/odd/fifo"
code 0 nkv -n 2 import "$work/odd" --manifest odd
err "left out: link: symbolic link"
err "left out: folder: symbolic link"
err "left out: fifo: fifo"
code 0 nkv -n 2 export "$work/odd-copy" --manifest odd
same real "$(cd "$work/odd-copy" && find . -type f -printf '%P\n')"

# hostile PATH: a manifest with one good file and one of that path is refused as a whole.
content=$(printf x | python3 -c 'import hashlib, sys; print(hashlib.blake2b(sys.stdin.buffer.read(), digest_size=16).hexdigest())')
printf x | nkv -n 2 store evil
entry() { printf '{"path": %s, "key": "6576696c", "size": 1, "hash": "%s"}' "$1" "$content"; }
manifest() { printf '{"nkv_manifest": 1, "entries": [%s]}' "$1"; }
manifest "$(entry '"good"')" | nkv -n 2 store m
code 0 nkv -n 2 export "$work/safe" --manifest m
for path in '"../evil"' '"/tmp/nkv-evil"' '"a/../../evil"' '".."' '""' '"a//b"' '"./a"' '"a/"' '"a\u0000b"'; do
  rm -rf "$work/h"
  manifest "$(entry '"good"'), $(entry "$path")" | nkv -n 2 store m
  code 4 nkv -n 2 export "$work/h" --manifest m
  err "lead out of the folder"
  [[ ! -e $work/h/good && ! -e $work/evil && ! -e /tmp/nkv-evil ]] || fail "$path: something was written"
done
manifest "$(entry '"good"'), $(entry '"good"')" | nkv -n 2 store m
code 4 nkv -n 2 export "$work/h" --manifest m
err "twice"
# A link that lies in the folder already leads nowhere.
mkdir -p "$work/trap" "$work/outside"
ln -s "$work/outside" "$work/trap/out"
manifest "$(entry '"out/evil"')" | nkv -n 2 store m
code 7 nkv -n 2 export "$work/trap" --manifest m --force
same "" "$(ls "$work/outside")"
# Set-user-id is nothing that a manifest gives.
printf '{"nkv_manifest": 1, "entries": [{"path": "s", "key": "6576696c", "size": 1, "hash": "%s", "mode": "6755"}]}' "$content" |
  nkv -n 2 store m
code 0 nkv -n 2 export "$work/suid" --manifest m
same 755 "$(stat -c %a "$work/suid/s")"
# What is no manifest, says what is wrong with it.
for text in '' 'x' '[]' '{}' '{"nkv_manifest": 2, "entries": []}' '{"nkv_manifest": 1}' '{"nkv_manifest": 1, "entries": [1]}' \
  '{"nkv_manifest": 1, "entries": [{"path": "a"}]}' '{"nkv_manifest": 1, "parts": ["00"]}' \
  '{"nkv_manifest": 1, "entries": [{"path": "a", "key": "61", "size": -1, "hash": "00000000000000000000000000000000"}]}'; do
  printf '%s' "$text" | nkv -n 2 store m
  code 4 nkv -n 2 export "$work/h" --manifest m
  err "manifest m: "
done
# A size that nothing has does not become an allocation.
printf '{"nkv_manifest": 1, "entries": [{"path": "s", "key": "6576696c", "size": 18446744073709551615, "hash": "%s"}]}' "$content" |
  nkv -n 2 store m
code 4 nkv -n 2 export "$work/h" --manifest m

finish
