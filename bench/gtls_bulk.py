#!/usr/bin/env python3
"""One file from ngtcp2's example server to its example client, for the bench (Debian: ngtcp2-client, ngtcp2-server).

The client is run for a file of no size too: what that takes, with its start and its handshake, does not count.
"""
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

CHUNK = 65536


def need(program):
    if not shutil.which(program):
        print(f"skipped: needs {program}", file=sys.stderr)
        sys.exit(77)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files_of(port):
    return os.path.join(tempfile.gettempdir(), f"bench-gtls-{os.getuid()}-{port}")


def is_bound(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def server(certificate, key):
    need("gtlsserver")
    port = free_port()
    root = files_of(port)
    os.mkdir(root, 0o700)
    open(os.path.join(root, "nothing"), "wb").close()
    process = subprocess.Popen(["gtlsserver", "-q", "-d", root, "127.0.0.1", str(port), key, certificate],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    for _ in range(500):
        if is_bound(port) or process.poll() is not None:
            break
        time.sleep(0.01)
    print(f"ready port={port} pid={process.pid}", flush=True)
    try:
        process.wait()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def cpu_ns(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) * 1000000000 // os.sysconf("SC_CLK_TCK")


def own_ns():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)


def fetch(port, pid, name):
    began, own, peer = time.monotonic_ns(), own_ns(), cpu_ns(pid)
    done = subprocess.run(["gtlsclient", "-q", "--exit-on-all-streams-close", "127.0.0.1", str(port),
                           f"https://localhost:{port}/{name}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        print(f"gtlsclient ended with {done.returncode}", file=sys.stderr)
        sys.exit(1)
    return time.monotonic_ns() - began, own_ns() - own, cpu_ns(pid) - peer


def client(port, pid, count, ops):
    need("gtlsclient")
    count = int(ops) * CHUNK if int(ops) else int(count)
    with open(os.path.join(files_of(port), "file"), "wb") as file:
        file.truncate(count)
    nothing = fetch(port, pid, "nothing")
    some = fetch(port, pid, "file")
    ns, own, peer = (max(after - before, 1) for after, before in zip(some, nothing))
    print(f"result ops={count // CHUNK} ns={ns} cpu_ns={own} peer_cpu_ns={peer} note=gtlsclient")


if __name__ == "__main__":
    (server if sys.argv[1] == "server" else client)(*sys.argv[2:])
