# SPDX-License-Identifier: BSD-3-Clause
"""For the tests of what is in a Ceph cluster: clusters, targets that serve them, and the program nkv."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "common"))
import ceph_cluster  # noqa: E402

cluster = ceph_cluster.cluster


def skip_without_ceph():
    if ceph_cluster.missing():
        print(f"skipped: not installed: {', '.join(ceph_cluster.missing())}")
        sys.exit(77)


class Target:
    """An nkv-target that serves one subsystem, and nkv to ask it."""

    def __init__(self, folder, subsystem, execute):
        self.endpoint = f"vfio-user:{folder}/t"
        self.log = pathlib.Path(folder) / "log"
        config = pathlib.Path(folder) / "config.json"
        config.write_text(
            json.dumps({"execute": execute, "subsystems": [subsystem], "listeners": [{"endpoint": self.endpoint}]})
        )
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [os.environ["NKV_TARGET_PROGRAM"], "--config", str(config)],
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=ceph_cluster.ends_with_us,
            )
        ready = self.process.stdout.readline().decode()
        if ready != f"ready {self.endpoint}\n":
            raise ceph_cluster.Failed(f"nkv-target did not start: {ready}{self.log.read_text()}")

    def nkv(self, *asked, value=None, timeout_s=30):
        """@return the exit status, standard output and standard error"""
        words = [os.environ["NKV_PROGRAM"], "-e", self.endpoint, "--timeout", str(timeout_s)]
        # Nobody could find out about it while the cluster does not answer.
        words += ["--key-encoding", "inline_cdw", *asked]
        done = subprocess.run(words, input=value, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr.decode()

    def end(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def target(subsystem, execute=None):
    with tempfile.TemporaryDirectory(prefix="nkv-") as folder:
        t = Target(folder, subsystem, execute or {})
        try:
            yield t
        finally:
            if t.process.poll() is None:
                t.process.kill()
                t.process.wait()


def subsystem(conf, *namespaces, **rados):
    """A subsystem in a cluster's pool `kv`, unless told otherwise."""
    for ns in namespaces:
        ns.setdefault("store", {"type": "rados"})
    return {"rados": {"conf": str(conf), "pool": "kv", **rados}, "namespaces": list(namespaces)}
