"""QUIC on a network that changes: addresses come and go, a cable is pulled, a NAT gives other ports; with the kernel's
own sockets and routes."""
import contextlib
import hashlib
import os
import random
import select
import socket
import subprocess
import threading

from netns import SERVER4
from peers import TAPS, Authority, require_programs, wait_listening
from tap import check, check_equal, main, need, poll, test

LONG = os.environ.get("TAPS_LONG") == "1"
TURNS = 10 if LONG else 2
SIZE = (200 << 20) if LONG else (6 << 20)
PORT = 4433


class Nat:
    """Stands in front of a server in its host, with a port of its own for each peer; rebind() gives it others."""

    def __init__(self, net, address, port, to_port):
        self.host, self.address, self.to = net.server, address, (address, to_port)
        self.front = self.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.front.bind((address, port))
        self.backs = {}  # peer: socket
        self.wanted = self.rebound = self.flows = 0
        self.stopped = threading.Event()
        net.at_close(self.stopped.set)
        net.thread(self.run)

    def rebind(self):
        self.wanted += 1
        poll(lambda: self.rebound == self.wanted, 5, "the NAT")

    def run(self):
        with self.host.entered():
            while not self.stopped.is_set():
                if self.rebound != self.wanted:
                    for back in self.backs.values():
                        back.close()
                    self.backs = {}
                    self.rebound = self.wanted
                self.step()

    def step(self):
        ready, _, _ = select.select([self.front, *self.backs.values()], [], [], 0.01)
        for one in ready:
            with contextlib.suppress(OSError):
                while True:
                    data, peer = one.recvfrom(65536, socket.MSG_DONTWAIT)
                    self.pass_on(one, data, peer)

    def pass_on(self, one, data, peer):
        if one is not self.front:
            self.front.sendto(data, next(p for p, back in self.backs.items() if back is one))
            return
        if peer not in self.backs:
            back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            back.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            back.connect(self.to)
            self.backs[peer] = back
            self.flows += 1
        self.backs[peer].send(data)


def begin(net, port, *options):
    """A cat that takes, and one that gives what is written to it: (taker, giver)."""
    authority = Authority(net)
    certificate, key = authority.issue(SERVER4)
    taker = net.server.spawn(TAPS, "cat", "-v", "-l", "--cert", certificate, "--key", key, "--alpn", "bytes",
                             "--security-protocol", "quic", f"{SERVER4}:443")
    wait_listening(net.server, taker, 443, kind="udp")
    giver = net.client.spawn(TAPS, "cat", "-v", "--cafile", authority.certificate, "--alpn", "bytes",
                             "--security-protocol", "quic", "--idle", "60", *options, f"{SERVER4}:{port}", stdin=subprocess.PIPE)
    poll(lambda: b" quic ready " in giver.err, 20, "ready")
    return taker, giver


def moves(process):
    return process.err.count(b" quic path-change ")


def wait_at(process, address):
    """The last move was to this address."""
    def there():
        need(process.running(), f"{process.describe()}")
        lines = [line for line in process.err.splitlines() if b" quic path-change " in line]
        return lines and f"local={address}:".encode() in lines[-1]
    poll(there, 20, f"a move to {address}")


def end(taker, giver, data):
    giver.close_stdin()
    check_equal(giver.wait(100), 0, f"exit status of who gives: {giver.err[-300:]!r}")
    check_equal(taker.wait(30), 0, f"exit status of who takes: {taker.err[-300:]!r}")
    got = taker.out
    check_equal(len(got), len(data), "bytes")
    check_equal(hashlib.sha256(got).hexdigest(), hashlib.sha256(data).hexdigest(), "checksum")


def keep_secondaries(net):
    """The kernel would take all addresses of a network with its first one."""
    for name in ("all", "link0"):
        net.client.run("sh", "-c", f"echo 1 >/proc/sys/net/ipv4/conf/{name}/promote_secondaries")


# proves API-043, API-096, IMPL-21: and what NAT does is survived beside it
@test("the client's address changes and its port is rebound, and all arrives", limit=600 if LONG else 60)
def addresses_and_ports(net):
    keep_secondaries(net)
    nat = Nat(net, SERVER4, PORT, 443)
    taker, giver = begin(net, PORT, "-p", "multipath=active")
    data = random.Random(5).randbytes(SIZE)
    part, old = len(data) // (2 * TURNS), "10.77.0.1"
    for turn in range(TURNS):
        at = 2 * turn * part
        giver.write(data[at:at + part])
        new = f"10.77.0.{100 + turn}"
        net.client.ip("addr", "add", f"{new}/24", "dev", "link0")
        net.client.ip("addr", "del", f"{old}/24", "dev", "link0")
        wait_at(giver, new)
        old = new
        giver.write(data[at + part:at + 2 * part] if turn < TURNS - 1 else data[at + part:])
        nat.rebind()
    end(taker, giver, data)
    check_equal(moves(giver) >= TURNS, True, "moves")
    check(nat.flows >= 2 * TURNS, f"ports that the server has seen: {nat.flows}")


# proves IMPL-21, API-043
@test("a cable is pulled, and the other one is used; then that one")
def cables(net):
    net.client.ip("route", "add", f"{SERVER4}/32", "dev", "link1", "src", "10.78.0.1", "metric", "100")
    taker, giver = begin(net, 443, "-p", "multipath=active")
    data = random.Random(6).randbytes(3 << 20)
    third = len(data) // 3
    giver.write(data[:third])
    net.client.ip("link", "set", "link0", "down")
    wait_at(giver, "10.78.0.1")
    giver.write(data[third:2 * third])
    net.client.ip("link", "set", "link0", "up")
    poll(lambda: b"paths count=2" in giver.err.splitlines()[-1] or giver.err.count(b"paths count=2") >= 2, 20, "both")
    net.client.ip("link", "set", "link1", "down")
    wait_at(giver, "10.77.0.1")
    giver.write(data[2 * third:])
    end(taker, giver, data)


# proves API-043, IMPL-21
@test("with multipath disabled nothing moves, and the connection waits for its address")
def disabled(net):
    keep_secondaries(net)
    taker, giver = begin(net, 443)
    data = random.Random(7).randbytes(100_000)
    net.client.ip("addr", "add", "10.77.0.99/24", "dev", "link0")
    net.client.ip("addr", "del", "10.77.0.1/24", "dev", "link0")
    giver.write(data)
    poll(lambda: b"10.77.0.99" in net.client.ip("addr").encode(), 5, "the address")
    check(giver.running(), "it lives")
    net.client.ip("addr", "add", "10.77.0.1/24", "dev", "link0")
    end(taker, giver, data)
    check_equal(moves(giver), 0, "moves")


# proves API-073
@test("--migrate-to moves a transfer to an address and to an interface, and says where it is")
def migrate_to(net):
    net.client.ip("addr", "add", "10.77.0.50/24", "dev", "link0")
    net.client.ip("route", "add", f"{SERVER4}/32", "dev", "link1", "src", "10.78.0.1", "metric", "100")
    taker, giver = begin(net, 443, "--migrate-to", "10.77.0.50", "--migrate-to", "link1")
    data = random.Random(8).randbytes(1 << 20)
    giver.write(data[:1000])
    wait_at(giver, "10.77.0.50")
    giver.write(data[1000:2000])
    wait_at(giver, "10.78.0.1")
    giver.write(data[2000:])
    end(taker, giver, data)
    check(b"moved 2 times, the last time to 10.78.0.1:" in giver.err, f"it says so: {giver.err[-200:]!r}")


# proves API-073
@test("--migrate-to over TCP is refused, and where there is no such address the connection ends")
def migrate_nowhere(net):
    authority = Authority(net)
    certificate, key = authority.issue(SERVER4)
    server = net.server.spawn(TAPS, "serve", "--cert", certificate, "--key", key, "--alpn", "bytes", f"{SERVER4}:443")
    wait_listening(net.server, server, 443, kind="udp")
    options = ["--cafile", authority.certificate, "--alpn", "bytes", "--migrate-to", "10.77.0.51"]
    over_tcp = net.client.run(TAPS, "probe", *options, "--security-protocol", "tls1.3", f"{SERVER4}:443")
    check_equal(over_tcp.status, 1, "exit status over TCP")
    check(b"only QUIC moves" in over_tcp.err, f"it says why: {over_tcp.err!r}")
    nowhere = net.client.run(TAPS, "cat", *options, "--security-protocol", "quic", f"{SERVER4}:443")
    check_equal(nowhere.status, 1, "exit status without that address")
    check(b"no other path reaches the peer" in nowhere.err, f"it says why: {nowhere.err!r}")


# proves API-073
@test("gtlsserver follows a client that moves")
def foreign(net):
    require_programs("gtlsserver")
    authority = Authority(net)
    certificate, key = authority.issue(SERVER4)
    net.client.ip("addr", "add", "10.77.0.50/24", "dev", "link0")
    server = net.server.spawn("gtlsserver", "-q", SERVER4, "443", key, certificate)
    wait_listening(net.server, server, 443, kind="udp")
    answer = net.client.run(TAPS, "probe", "--cafile", authority.certificate, "--alpn", "h3", "--migrate-to",
                            "10.77.0.50", f"{SERVER4}:443")
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    check(b"moved 1 time, the last time to 10.77.0.50:" in answer.err, f"it says so: {answer.err!r}")


if __name__ == "__main__":
    main()
