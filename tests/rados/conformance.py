#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""conformance.py NKV_CONFORMANCE: the KV conformance suite against nkv-target on a cluster that asks for keys."""

import pathlib
import subprocess
import sys

from target import cluster, skip_without_ceph, subsystem, target

SKIPS = pathlib.Path(__file__).resolve().parents[1] / "conformance" / "skips"


def main():
    skip_without_ceph()
    namespaces = (
        {"nsid": 1, "name": "inline", "store": {"type": "rados", "ttl": True}},
        {"nsid": 2, "name": "head", "key_encoding": "payload_head"},
        {"nsid": 3, "name": "inline read-only", "read_only": True},
        {"nsid": 4, "name": "head read-only", "key_encoding": "payload_head", "read_only": True},
    )
    failed = 0
    with cluster(cephx=True) as c:
        # A user of its own, who may use this pool and nothing else.
        keyring = c.folder / "kv.keyring"
        keyring.write_text(c.ceph("auth", "get-or-create", "client.kv", "mon", "allow r", "osd", "allow rwx pool=kv"))
        with target(subsystem(c.conf, *namespaces, user="kv", keyring=str(keyring))) as t:
            for nsid, read_only, skips in ((1, 3, "inline_cdw"), (2, 4, "rados_payload_head")):
                words = [sys.argv[1], "--endpoint", t.endpoint, "--nsid", str(nsid), "--read-only-nsid", str(read_only)]
                words += ["--expect-skips", str(SKIPS / skips)]
                failed += subprocess.run(words, check=False).returncode != 0
            failed += t.end() != 0
            if "key = " in t.log.read_text() or "error" in t.log.read_text():
                print(f"the log: {t.log.read_text()}")
                failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
