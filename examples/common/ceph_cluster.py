#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A throwaway Ceph cluster on this machine: one monitor, one OSD, in a folder that goes with it.

ceph_cluster.py [--bluestore] [--cephx] [--pool NAME]... [--] COMMAND [ARGUMENT...]

runs the command while there is one; NKV_CEPH_CONF names its ceph.conf and NKV_CEPH_POOL the first pool. Values are in
the OSD's memory, or with --bluestore in a file, which an OSD that was killed finds again. Without --cephx anybody may do
anything. Everybody needs a Ceph of their own to try things with; this is not one to keep anything in.
Exit status: the command's; 77 where Ceph is not installed.
"""

import argparse
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

NEEDED = ["ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool", "rados"]

CONF = """[global]
fsid = {fsid}
keyring = {folder}/keyring
mon host = v2:127.0.0.1:{port}
mon initial members = a
auth cluster required = {auth}
auth service required = {auth}
auth client required = {auth}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
public network = 127.0.0.0/8
ms bind ipv4 = true
ms bind ipv6 = false
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file =
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = {store}
memstore device bytes = {size}
bluestore block size = {size}
bluestore fsck on mount = false
osd memory target = 939524096
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon data avail crit = 1
mon data avail warn = 1
# So that an OSD that is gone is told of soon: there are no others to tell it.
mon osd min down reporters = 1
mon osd report timeout = 10
mon osd full ratio = {full}
osd failsafe full ratio = 0.99
osd op num shards = 2
osd op num threads per shard = 1
ms async op threads = 2
[osd]
osd class load list = *
"""


class Failed(Exception):
    """A part of the cluster did not do what it should."""


def missing():
    """The programs that are not installed."""
    return [name for name in NEEDED if shutil.which(name) is None]


def ends_with_us():
    """In a child: it ends with this process, however that ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Cluster:
    def __init__(self, folder, bluestore=False, cephx=False, pools=("kv",), size_bytes=2 << 30, full_ratio=0.95):
        self.folder = pathlib.Path(folder)
        self.conf = self.folder / "ceph.conf"
        self.osd = None
        self.mon = None
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        fsid = str(uuid.uuid4())
        self.conf.write_text(
            CONF.format(
                fsid=fsid,
                folder=self.folder,
                port=port,
                auth="cephx" if cephx else "none",
                store="bluestore" if bluestore else "memstore",
                size=size_bytes,
                full=full_ratio,
            )
        )
        for name in ("mon", "osd"):
            (self.folder / name).mkdir()
        keyring = self.folder / "keyring"
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
        self.call("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self.call("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *everything)
        self.call(
            *("ceph-authtool", keyring, "--gen-key", "-n", "osd.0", "--cap", "mon", "allow profile osd"),
            *("--cap", "osd", "allow *"),
        )
        monmap = self.folder / "monmap"
        self.call("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{port}]", "--fsid", fsid, monmap)
        self.call("ceph-mon", "-c", self.conf, "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
        self.start_mon()
        osd_uuid = str(uuid.uuid4())
        self.ceph("osd", "new", osd_uuid, "0")
        self.call("ceph-osd", "-c", self.conf, "-i", "0", "--mkfs", "--osd-uuid", osd_uuid, "--no-mon-config")
        self.start_osd()
        self.ceph("osd", "crush", "add", "osd.0", "1.0", "host=here", "root=default")
        for pool in pools:
            self.create_pool(pool)

    def call(self, *words, timeout_s=60, **kwargs):
        words = [str(w) for w in words]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False, **kwargs)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ceph(self, *words):
        return self.call("ceph", "-c", self.conf, "--connect-timeout", "20", *words)

    def rados(self, *words, pool="kv", **kwargs):
        return self.call("rados", "-c", self.conf, "-p", pool, *words, **kwargs)

    def daemon(self, *words):
        with open(self.folder / "daemons.log", "ab") as log:
            return subprocess.Popen(
                [str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=ends_with_us
            )

    def start_mon(self):
        self.mon = self.daemon("ceph-mon", "-f", "-c", self.conf, "-i", "a")

    def start_osd(self):
        """Starts the OSD, and waits until the monitor knows this one: addresses end in the process's number."""
        self.osd = self.daemon("ceph-osd", "-f", "-c", self.conf, "-i", "0")
        until = time.monotonic() + 60
        while not re.search(rf"osd\.0 up .*/{self.osd.pid}[\],]", self.ceph("osd", "dump")):
            if self.osd.poll() is not None or time.monotonic() > until:
                raise Failed(f"the OSD is not up: {(self.folder / 'daemons.log').read_text()[-2000:]}")
            time.sleep(0.1)

    @staticmethod
    def kill(daemon):
        daemon.kill()
        daemon.send_signal(signal.SIGCONT)
        daemon.wait()

    def create_pool(self, name):
        self.ceph("osd", "pool", "create", name, "8", "8", "replicated")
        # Its placement groups are there when something could be written.
        self.rados("put", "ready", self.conf, pool=name)
        self.rados("rm", "ready", pool=name)

    def delete_pool(self, name):
        self.ceph("osd", "pool", "delete", name, name, "--yes-i-really-really-mean-it")

    def end(self):
        for daemon in (self.osd, self.mon):
            if daemon is not None and daemon.poll() is None:
                self.kill(daemon)


@contextlib.contextmanager
def cluster(**how):
    """`with cluster() as c:` a Cluster, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nkv-ceph-") as folder:
        made = Cluster.__new__(Cluster)
        made.osd = made.mon = None
        try:
            made.__init__(folder, **how)
            yield made
        finally:
            made.end()


def main():
    parser = argparse.ArgumentParser(description="Run a command beside a throwaway Ceph cluster.")
    parser.add_argument("--bluestore", action="store_true")
    parser.add_argument("--cephx", action="store_true")
    parser.add_argument("--pool", action="append")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    a = parser.parse_args()
    command = a.command[1:] if a.command[:1] == ["--"] else a.command
    if not command:
        parser.error("no command")
    if missing():
        print(f"skipped: not installed: {', '.join(missing())}")
        return 77
    pools = a.pool or ["kv"]
    try:
        with cluster(bluestore=a.bluestore, cephx=a.cephx, pools=pools) as c:
            environment = dict(os.environ, NKV_CEPH_CONF=str(c.conf), NKV_CEPH_POOL=pools[0])
            return subprocess.run(command, env=environment, check=False).returncode
    except (Failed, subprocess.TimeoutExpired) as error:
        print(f"ceph_cluster.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
