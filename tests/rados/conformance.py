#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""conformance.py NKV_CONFORMANCE MODULES: the KV conformance suite against nkv-target on a cluster that asks for keys;
and Execute there, its module an object that another program has put. MODULES is the folder of compiled modules."""

import hashlib
import pathlib
import re
import subprocess
import sys

from target import cluster, skip_without_ceph, subsystem, target

WASMTIME = pathlib.Path(__file__).resolve().parents[2] / "examples" / "common" / "wasmtime.py"
SKIPS = pathlib.Path(__file__).resolve().parents[1] / "conformance" / "skips"


def execute(c, t):
    """@return what is wrong"""
    if t.nkv("--nsid", "5", "store", "value", value=b"\1\2\3" * 100_000)[0] != 0:
        return "the value cannot be stored"
    code, out, err = t.nkv("--nsid", "5", "execute", "10", "value")
    if (code, out) != (0, (300_000).to_bytes(8, "little")):
        return f"bytecount: {code} {out} {err}"
    code, out, err = t.nkv("--nsid", "5", "execute", "20", "value")
    if (code, out) != (0, (600_000).to_bytes(8, "little")):
        return f"the module: {code} {out} {err}"
    # Somebody puts another in its place: what was compiled goes on; where it is not compiled yet it is refused.
    c.rados("-N", "modules", "put", "wasm:sum", str(c.conf))
    if t.nkv("--nsid", "5", "execute", "20", "value")[0] != 0:
        return "what was compiled is not run any more"
    code, out, err = t.nkv("--nsid", "5", "execute", "21", "value")
    if code == 0 or "invalid field" not in err:
        return f"another module than was allowed: {code} {out} {err}"
    return ""


def main():
    skip_without_ceph()
    namespaces = (
        {"nsid": 1, "name": "inline", "store": {"type": "rados", "ttl": True}},
        {"nsid": 2, "name": "head", "key_encoding": "payload_head"},
        {"nsid": 3, "name": "inline read-only", "read_only": True},
        {"nsid": 4, "name": "head read-only", "key_encoding": "payload_head", "read_only": True},
        {
            "nsid": 6,
            "name": "cached",
            "store": {"type": "rados", "ttl": True},
            "cache": {"freshness": "validated", "max_bytes": "64MiB"},
        },
        {
            "nsid": 7,
            "name": "cached for one writer",
            "key_encoding": "payload_head",
            "cache": {"freshness": "sole_writer", "max_values": 20},
        },
    )
    module = pathlib.Path(sys.argv[2]) / "first.wasm"
    wasmtime = subprocess.run([sys.executable, WASMTIME, "library"], stdout=subprocess.PIPE, text=True, check=False)
    library = wasmtime.stdout.strip()
    if not module.exists():
        library = ""
    if library:
        digest = hashlib.sha256(module.read_bytes()).hexdigest()
        stored = {"object": "wasm:sum", "rados_namespace": "modules"}
        allowed = {"runtime": "wasm", "module": stored, "sha256": digest, "tier": "large"}
        bound = [
            {"op": 10, "runtime": "builtin", "function": "bytecount"},
            {"op": 20, **allowed},
            {"op": 21, "function": "offset", **allowed},
        ]
        namespaces += ({"nsid": 5, "name": "execute", "execute": bound},)
    else:
        print("not tried: Execute, for want of wasmtime or of modules")
    failed = 0
    with cluster(cephx=True) as c:
        if library:
            c.rados("-N", "modules", "put", "wasm:sum", str(module))
        # A user of its own, who may use this pool and nothing else.
        keyring = c.folder / "kv.keyring"
        how = {"wasmtime": library} if library else {}
        keyring.write_text(c.ceph("auth", "get-or-create", "client.kv", "mon", "allow r", "osd", "allow rwx pool=kv"))
        with target(subsystem(c.conf, *namespaces, user="kv", keyring=str(keyring)), how) as t:
            runs = ((1, 3, "inline_cdw"), (2, 4, "rados_payload_head"), (6, 3, "inline_cdw"), (7, 4, "rados_payload_head"))
            for nsid, read_only, skips in runs:
                words = [sys.argv[1], "--endpoint", t.endpoint, "--nsid", str(nsid), "--read-only-nsid", str(read_only)]
                words += ["--expect-skips", str(SKIPS / skips)]
                failed += subprocess.run(words, check=False).returncode != 0
            if library and (wrong := execute(c, t)):
                print(wrong)
                failed += 1
            failed += t.end() != 0
            counted = re.findall(r"cache .*?nsid=(\d).*? hits=(\d+) .*?fills=(\d+) ", t.log.read_text())
            if [c[0] for c in counted] != ["6", "7"] or any(int(n) == 0 for c in counted for n in c):
                print(f"the caches have done {counted}: {t.log.read_text()}")
                failed += 1
            if "key = " in t.log.read_text() or "error" in t.log.read_text():
                print(f"the log: {t.log.read_text()}")
                failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
