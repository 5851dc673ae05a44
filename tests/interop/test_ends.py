"""Ends against foreign peers: one direction ends and the other goes on, both ways, over TCP and TLS; Close delivers all
to a peer that reads slowly; silence is noticed by who asked for keep-alive packets."""
import hashlib
import random
import socket
import ssl
import subprocess
import threading
import time

from netns import SERVER4
from peers import TAPS, Authority, Listener, cat, cat_open, require_programs, s_server, serve
from tap import check, check_between, check_equal, main, need, poll, test

PORT = 6100
PLAIN = ["--security", "disabled"]


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")


def large(size, seed=11):
    return random.Random(seed).randbytes(size)


def socat_serves(net, port, what, patience=30):
    """For so many seconds it goes on in one direction after the end of the other."""
    require_programs("socat")
    server = net.server.spawn("socat", "-t", str(patience), f"TCP4-LISTEN:{port},reuseaddr", what)
    poll(lambda: net.server.listens(server.pid, port), 30, "socat")
    return server


# ------------------------------------------------------------------------------------------------------- plain TCP

# proves IMPL-30, API-143
@test("plain, our end first: socat counts what came, and its answer comes after our end")
def our_end_first(net):
    socat_serves(net, PORT, "SYSTEM:wc -c,pipes", patience=10)  # it does not see the end of wc, and waits so long
    data = large(1_000_000)
    answer = cat(net.client, *PLAIN, f"{SERVER4}:{PORT}", stdin=data, seconds=90)
    check_equal((answer.status, answer.out.strip()), (0, str(len(data)).encode()), "exit status and count")


# proves IMPL-30, API-143
@test("plain, the peer's end first: what we say after it arrives")
def peers_end_first(net):
    hello, said = net.folder / "hello", net.folder / "said"
    hello.write_bytes(b"hello\n")
    server = socat_serves(net, PORT, f"OPEN:{hello}!!CREATE:{said}")
    client = cat_open(net.client, *PLAIN, "--idle", "600", f"{SERVER4}:{PORT}")
    poll(lambda: client.out == b"hello\n", 30, "the peer's words")
    for number in range(3):
        client.write(b"after your end %d\n" % number)
        poll(lambda: said.exists() and b"end %d\n" % number in said.read_bytes(), 30, "our words at the peer")
    client.close_stdin()
    check_equal(client.wait(30), 0, "exit status")
    check_equal(server.wait(30), 0, "exit status of socat")


# proves IMPL-30, API-143
@test("plain, listening: a socat client ends first and hears on; and one that hears the end first says on")
def listener_both_ways(net):
    require_programs("socat")
    for first in ("client", "listener"):
        port = PORT + (first == "client")
        listener = net.server.spawn(TAPS, "cat", *PLAIN, "--idle", "600", "-l", str(port), stdin=subprocess.PIPE)
        poll(lambda: net.server.listens(listener.pid, port), 30, "it to listen")
        client = net.client.spawn("socat", "-t", "30", "-", f"TCP:{SERVER4}:{port}", stdin=subprocess.PIPE)
        client.write(b"one\n")
        poll(lambda: listener.out == b"one\n", 30, "the client's words")
        early, late = (client, listener) if first == "client" else (listener, client)
        early.close_stdin()
        for number in range(3):
            late.write(b"on %d\n" % number)
            poll(lambda: b"on %d\n" % number in early.out, 30, f"words after the end of the {first}")
        late.close_stdin()
        check_equal(listener.wait(30), 0, f"exit status of the listener, {first} first")
        check_equal(client.wait(60), 0, f"exit status of socat, {first} first")


# ------------------------------------------------------------------------------------------------------- TLS 1.3

class Secure:
    """One end of TLS by OpenSSL over a socket, where close_notify ends one direction alone."""

    def __init__(self, connection, context, server_side, name=None):
        self.socket = connection
        self.socket.settimeout(30)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=name)
        self.turn(self.tls.do_handshake)

    def flush(self):
        if self.outgoing.pending:
            self.socket.sendall(self.outgoing.read())

    def turn(self, step, *arguments):
        while True:
            try:
                result = step(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                if not data:
                    self.incoming.write_eof()
                    raise ssl.SSLEOFError("a bare end") from None
                self.incoming.write(data)

    def write(self, data):
        self.turn(self.tls.write, data)

    def read(self):
        """What comes next; b"" is the peer's close_notify."""
        try:
            return self.turn(self.tls.read, 65536)
        except ssl.SSLZeroReturnError:
            return b""

    def end(self):
        """close_notify, and nothing is waited for."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()


def read_all(peer):
    data = b""
    while part := peer.read():
        data += part
    return data


def openssl_server(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*authority.issue("server.test"))
    return context


# proves API-143
@test("TLS, our end first: OpenSSL answers after it")
def tls_our_end_first(net):
    known_hosts(net)
    authority = Authority(net)
    context = openssl_server(authority)
    seen = []

    def answer(connection, number):
        peer = Secure(connection, context, True)
        seen.append(read_all(peer))
        peer.write(b"%d bytes\n" % len(seen[0]))
        peer.end()
        connection.recv(1)
    Listener(net.server, SERVER4, PORT, answer)
    data = large(700_000)
    client = cat(net.client, "--cafile", authority.certificate, f"server.test:{PORT}", stdin=data)
    check_equal((client.status, client.out), (0, b"700000 bytes\n"), "exit status and answer")
    check(seen == [data], "all of it, and then close_notify")


# proves API-143
@test("TLS, the peer's end first: what we say after OpenSSL's close_notify arrives")
def tls_peers_end_first(net):
    known_hosts(net)
    authority = Authority(net)
    context = openssl_server(authority)
    seen = bytearray()
    ended = []

    def answer(connection, number):
        peer = Secure(connection, context, True)
        peer.write(b"hello\n")
        peer.end()
        while part := peer.read():
            seen.extend(part)
        ended.append(connection.recv(1))
    Listener(net.server, SERVER4, PORT, answer)
    client = cat_open(net.client, "--cafile", authority.certificate, "--idle", "600", f"server.test:{PORT}")
    poll(lambda: client.out == b"hello\n", 30, "the peer's words")
    for number in range(3):
        client.write(b"after your end %d\n" % number)
        poll(lambda: b"end %d\n" % number in seen, 30, "our words at the peer")
    client.close_stdin()
    check_equal(client.wait(30), 0, "exit status")
    poll(lambda: ended == [b""], 30, "close_notify and the end of TCP at the peer")


# proves API-143
@test("TLS, listening: an OpenSSL client ends first and gets the rest of its echo")
def tls_listener(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    serve(net.server, "--cert", certificate[0], "--key", certificate[1], str(PORT))
    context = ssl.create_default_context(cafile=authority.certificate)
    data = large(1_000_000)
    connection = net.client.socket(socket.AF_INET, socket.SOCK_STREAM)
    with connection:
        connection.connect((SERVER4, PORT))
        peer = Secure(connection, context, False, "server.test")
        sender = threading.Thread(target=lambda: (peer.write(data[:60_000]), peer.end()))
        sender.start()
        sender.join(10)
        check(read_all(peer) == data[:60_000], "the echo, and then close_notify")


# proves API-140, API-143
@test("openssl s_server and s_client: all arrives, and the end is an orderly one")
def openssl_programs(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    data = b"".join(b"line %d\n" % number for number in range(20_000))
    for port, version in ((PORT, "-tls1_2"), (PORT + 1, "-tls1_3")):
        server = s_server(net.server, port, certificate, version, "-quiet", "-naccept", "1")
        client = cat(net.client, "--cafile", authority.certificate, f"server.test:{port}", stdin=data)
        check_equal(client.status, 0, f"exit status {version}")
        poll(lambda: len(server.out) >= len(data), 30, "all of it at s_server")
        check(server.out == data, f"unchanged {version}")
    listener = net.server.spawn(TAPS, "cat", "--cert", certificate[0], "--key", certificate[1], "-l", str(PORT + 2),
                                stdin=subprocess.PIPE)  # open: s_client takes our end for that of the connection
    poll(lambda: net.server.listens(listener.pid, PORT + 2), 30, "it to listen")
    net.client.run("openssl", "s_client", "-connect", f"server.test:{PORT + 2}", "-CAfile", authority.certificate,
                   "-quiet", "-no_ign_eof", stdin=data)
    check_equal(listener.wait(30), 0, "exit status of the listener")
    check(listener.out == data, f"all of it of s_client: {len(listener.out)} of {len(data)} bytes")


# ----------------------------------------------------------------------------------------- Close to who reads slowly

# proves API-140
@test("plain and TLS: 8 MiB to a socat with a small buffer, which reads a page at a time")
def slow_peer(net):
    require_programs("socat")
    known_hosts(net)
    authority = Authority(net)
    certificate, key = authority.issue("server.test")
    data = large(8 << 20)
    kinds = {"plain": (f"TCP4-LISTEN:{PORT},reuseaddr,rcvbuf=16384", [*PLAIN, f"{SERVER4}:{PORT}"]),
             "TLS": (f"OPENSSL-LISTEN:{PORT + 1},reuseaddr,rcvbuf=16384,cert={certificate},key={key},verify=0",
                     ["--cafile", authority.certificate, f"server.test:{PORT + 1}"])}
    for number, (kind, (address, arguments)) in enumerate(kinds.items()):
        sink = net.folder / f"sink-{number}"
        server = net.server.spawn("socat", "-u", "-b", "4096", address, f"CREATE:{sink}")
        poll(lambda: net.server.listens(server.pid, PORT + number), 30, "socat")
        client = cat(net.client, *arguments, stdin=data)
        check_equal(client.status, 0, f"exit status, {kind}")
        check_equal(server.wait(30), 0, f"exit status of socat, {kind}")
        check_equal(hashlib.sha256(sink.read_bytes()).hexdigest(), hashlib.sha256(data).hexdigest(),
                    f"all of it, {kind}")


# -------------------------------------------------------------------------------------------------------- silence

# proves API-082, API-083, API-146
@test("silence on an idle Connection: with keepAliveTimeout and connTimeout it is a timeout, without them it is none")
def silence(net):
    def hold(connection, number):
        poll(lambda: False, 50, "the test")
    Listener(net.server, SERVER4, PORT, hold)
    asked = cat_open(net.client, *PLAIN, "-p", "keepAliveTimeout=1", "-p", "connTimeout=3", "-v", f"{SERVER4}:{PORT}")
    beyond = cat_open(net.client, *PLAIN, "-p", "keepAliveTimeout=4", "-p", "connTimeout=3", "-v", f"{SERVER4}:{PORT}")
    other = cat_open(net.client, *PLAIN, "-v", f"{SERVER4}:{PORT}")
    for client in (asked, beyond, other):
        poll(lambda: b"connected to" in client.err, 30, "the connection")
    net.server.blackhole(SERVER4)
    begin = time.monotonic()
    check_equal(asked.wait(30), 1, "exit status")
    check_between(time.monotonic() - begin, 2, 30, "seconds")
    check(b"timed out" in asked.err.lower() or b"timeout" in asked.err.lower(), f"it says so: {asked.err[-200:]!r}")
    check(beyond.running(), "a keepAliveTimeout beyond connTimeout is none")
    check(other.running(), "nobody else notices")
    beyond.end()
    other.end()


main()
