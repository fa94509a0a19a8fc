#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A cluster in trouble, as nkv's users and the target's log see it: what hangs, what is full, what was killed. Nothing
takes longer than its deadline, no acknowledged Store is lost, and nothing needs a restart of the target."""

import hashlib
import itertools
import signal
import sys
import threading
import time

from target import cluster, skip_without_ceph, subsystem, target

failures = []
OP_TIMEOUT_S = 2
# An operation that waits for its turn behind others that time out may take two time-outs; and a little.
MOST_S = 2 * OP_TIMEOUT_S + 2


def check(condition, what):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}", flush=True)


def within(seconds, action, what):
    """Tries until `action` returns something true."""
    until = time.monotonic() + seconds
    while True:
        got = action()
        if got or time.monotonic() > until:
            check(got, f"{what} within {seconds} s")
            return got
        time.sleep(0.1)


def timed(t, *words, **kwargs):
    begin = time.monotonic()
    code, out, err = t.nkv(*words, **kwargs)
    took = time.monotonic() - begin
    check(took < MOST_S, f"{words} took {took:.1f} s")
    return code, out, err


def stores(t, key, value=b"value"):
    return t.nkv("store", key, value=value)[0] == 0


def part(test, *arguments):
    begin = time.monotonic()
    test(*arguments)
    print(f"{test.__name__}: {time.monotonic() - begin:.1f} s", flush=True)


def hangs(c):
    """The OSD is stopped, and goes on."""
    with target(subsystem(c.conf, {"nsid": 1, "name": "a"}, op_timeout_s=OP_TIMEOUT_S)) as t:
        check(stores(t, "k"), "a Store into a cluster that is well")
        c.osd.send_signal(signal.SIGSTOP)
        code, _, err = timed(t, "store", "k2", value=b"x")
        check(code != 0 and "outcome unknown" in err, f"a Store while the OSD is stopped: {code} {err}")
        code, _, err = timed(t, "delete", "k2")
        check(code != 0 and "outcome unknown" in err, f"a Delete while the OSD is stopped: {code} {err}")
        code, _, err = timed(t, "retrieve", "k")
        check(code != 0 and "namespace not ready" in err, f"a Retrieve while the OSD is stopped: {code} {err}")
        code, _, err = timed(t, "list")
        check(code != 0 and "namespace not ready" in err, f"a List while the OSD is stopped: {code} {err}")
        check("no OSD answered in time" in t.log.read_text(), "the log does not say why")
        c.osd.send_signal(signal.SIGCONT)
        within(30, lambda: stores(t, "k3"), "a Store after the OSD went on")
        check(t.nkv("retrieve", "k")[1] == b"value", "the value is not what it was")
        # The monitor alone is nobody's business while the OSDs are well.
        c.mon.send_signal(signal.SIGSTOP)
        check(stores(t, "k4"), "a Store while the monitor is stopped")
        c.mon.send_signal(signal.SIGCONT)
        check(t.end() == 0, "the target did not end well")


def full(c):
    """The OSD says that it is full, and has room again."""
    with target(subsystem(c.conf, {"nsid": 1, "name": "f"}, op_timeout_s=OP_TIMEOUT_S)) as t:
        check(stores(t, "large", bytes(64 << 20)), "a large Store")
        c.ceph("osd", "set-nearfull-ratio", "0.001")
        c.ceph("osd", "set-backfillfull-ratio", "0.002")
        c.ceph("osd", "set-full-ratio", "0.003")

        tried = itertools.count()

        def refused():
            # Another key each time: one that is there could be overwritten, which takes no room.
            code, _, err = timed(t, "store", f"more{next(tried)}", value=bytes(4096))
            return code != 0 and "capacity exceeded" in err

        within(60, refused, "a Store into a full cluster is refused")
        check("no space left" in t.log.read_text(), "the log does not say that the cluster is full")
        check(t.nkv("retrieve", "large")[1] == bytes(64 << 20), "a full cluster does not let its values be read")
        c.ceph("osd", "set-full-ratio", "0.95")
        within(60, lambda: stores(t, "more"), "a Store after there was room again")


def begins_alone(c):
    """The target is started before the monitor answers, and with a key that is wrong."""
    c.mon.send_signal(signal.SIGSTOP)
    with target(subsystem(c.conf, {"nsid": 1, "name": "a"}, op_timeout_s=OP_TIMEOUT_S, mon_timeout_s=2)) as t:
        code, _, err = timed(t, "store", "k", value=b"x")
        check(code != 0 and "namespace not ready" in err, f"a Store without a cluster: {code} {err}")
        check("no monitor answers" in t.log.read_text(), "the log does not say that no monitor answers")
        c.mon.send_signal(signal.SIGCONT)
        within(30, lambda: stores(t, "k"), "a Store after the monitor went on")


def may_not(c):
    """A key that is not the user's; a user who may only read."""
    wrong = c.folder / "wrong.keyring"
    secret = c.ceph("auth", "get-or-create-key", "client.other").strip()
    wrong.write_text(f"[client.admin]\nkey = {secret}\n")
    with target(subsystem(c.conf, {"nsid": 1, "name": "a"}, keyring=str(wrong), mon_timeout_s=2)) as t:
        code, _, err = timed(t, "exist", "k")
        check(code != 0 and "namespace not ready" in err, f"an Exist with a wrong key: {code} {err}")
        log = t.log.read_text()
        check('what="cannot connect"' in log and secret not in log, f"the log on a wrong key: {log}")
        check("not permitted" in log or "denied" in log, f"the log does not say that the key is wrong: {log}")
    reader = c.folder / "reader.keyring"
    reader.write_text(c.ceph("auth", "get-or-create", "client.reader", "mon", "allow r", "osd", "allow r pool=kv"))
    with target(subsystem(c.conf, {"nsid": 1, "name": "a"}, user="reader", keyring=str(reader))) as t:
        code, _, err = timed(t, "store", "k", value=b"x")
        check(code != 0 and "access denied" in err, f"a Store of who may only read: {code} {err}")
        check(t.nkv("exist", "k")[0] == 1, "an Exist of who may only read")
        check("the user may not do this" in t.log.read_text(), "the log does not say that the user may not")


def killed(c):
    """The OSD is killed under load, and comes back: what was acknowledged is there."""
    with target(subsystem(c.conf, {"nsid": 1, "name": "k"}, op_timeout_s=OP_TIMEOUT_S)) as t:
        stop = threading.Event()
        acknowledged = {}
        worst_s = [0.0]

        def load(number):
            n = 0
            while not stop.is_set():
                n += 1
                key = f"w{number}.{n}"
                value = hashlib.sha256(key.encode()).digest() * (1 + n % 300)
                begin = time.monotonic()
                if t.nkv("store", key, value=value)[0] == 0:
                    acknowledged[key] = value
                worst_s[0] = max(worst_s[0], time.monotonic() - begin)

        writers = [threading.Thread(target=load, args=(number,)) for number in range(4)]
        for w in writers:
            w.start()
        for _ in range(2):
            time.sleep(2)
            c.kill(c.osd)
            time.sleep(1)
            c.start_osd()
        within(60, lambda: stores(t, "after"), "a Store after the OSD came back")
        time.sleep(1)
        stop.set()
        for w in writers:
            w.join()
        check(worst_s[0] < MOST_S, f"a Store took {worst_s[0]:.1f} s while the OSD was killed")
        check(len(acknowledged) > 100, f"{len(acknowledged)} Stores were acknowledged")
        listed = set(t.nkv("list")[1].decode().split())
        lost = [key for key in acknowledged if key not in listed]
        wrong = [key for key in sorted(acknowledged)[::7] if t.nkv("retrieve", key)[1] != acknowledged[key]]
        check(not lost and not wrong, f"lost: {lost[:5]}, wrong: {wrong[:5]}")
        print(f"killed twice: {len(acknowledged)} Stores acknowledged, the longest took {worst_s[0]:.2f} s")


def main():
    skip_without_ceph()
    with cluster(cephx=True) as c:
        part(may_not, c)
        part(hangs, c)
        part(begins_alone, c)
        part(full, c)
    with cluster(bluestore=True) as c:
        part(killed, c)
    print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
