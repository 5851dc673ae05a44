"""Peers that close, reset, stall or talk nonsense at each stage, on both sides: a clear error, no hang, nothing taken
for complete that is not, and the next peer is served."""
import contextlib
import os
import socket
import subprocess
import time

from netns import SERVER4
from peers import (TAPS, Authority, Listener, Relay, cat, closing, fetch, nginx, probe, reset, s_server, serve,
                   stalled, talking)
from tap import check, check_between, check_equal, main, need, poll, test

PORT, BEHIND = 5000, 5999
PLAIN = ["--security", "disabled"]
# Bytes of the server's handshake that pass before the end: none, within a record's head, within the first message,
# later ones, nearly all.
CUTS = (0, 1, 4, 5, 60, 127, 128, 500, 700)


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")


def fails_clearly(process, text):
    """Exit status 1 and a sentence; not a crash, not a hang."""
    check_equal(process.status, 1, f"{text}: exit status")
    check(len(process.err.strip()) > 10, f"{text}: it says why: {process.err!r}")


# -------------------------------------------------------------------------------------------- plain TCP servers

# proves API-143
@test("plain: closed at once is an empty end, not an error")
def plain_close(net):
    closing(net.server, SERVER4, PORT)
    answer = cat(net.client, *PLAIN, f"{SERVER4}:{PORT}")
    check_equal((answer.status, answer.out), (0, b""), "exit status and output")


# proves API-143, API-145
@test("plain: reset at once, and after some bytes, is an error; what came before is printed")
def plain_reset(net):
    def serve_some(connection, number):
        connection.sendall(b"first words\n")
        connection.recv(100)
        reset(connection)
    closing(net.server, SERVER4, PORT, how="reset")
    Listener(net.server, SERVER4, PORT + 1, serve_some)
    at_once = net.client.spawn(*command(f"{SERVER4}:{PORT}"), stdin=subprocess.PIPE)
    at_once.status = at_once.wait(30)
    fails_clearly(at_once, "reset at once")
    later = net.client.spawn(*command(f"{SERVER4}:{PORT + 1}"), stdin=subprocess.PIPE)
    poll(lambda: later.out == b"first words\n", 30, "the first words")
    later.write(b"go on\n")
    later.status = later.wait(30)
    fails_clearly(later, "reset later")
    check(b"reset" in later.err.lower(), f"it says reset: {later.err!r}")


def command(*arguments):
    return [TAPS, "cat", *PLAIN, *arguments]


# proves API-121
@test("plain: a server that never reads stops us from reading our input; the rest of the program lives")
def plain_never_reads(net):
    release = []

    def hold(connection, number):
        poll(lambda: release, 50, "the test")
        listener.swallow(connection, number)
    listener = Listener(net.server, SERVER4, PORT, hold)
    client = net.client.spawn(*command(f"{SERVER4}:{PORT}"), stdin=subprocess.PIPE)
    descriptor = client.popen.stdin.fileno()
    os.set_blocking(descriptor, False)
    written, block = 0, bytes(65536)
    quiet_since = None
    while quiet_since is None or time.monotonic() - quiet_since < 0.5:
        try:
            written += os.write(descriptor, block)
            quiet_since = None
        except BlockingIOError:
            quiet_since = quiet_since or time.monotonic()
            time.sleep(0.01)
        if not check(written < 64 << 20, "it takes without end"):
            break
    check(client.running(), "it waits")
    release.append(True)
    client.close_stdin()
    poll(lambda: listener.ended and listener.ended[0] == "closed", 30, "the rest to be delivered")
    check_equal(len(listener.received[0]), written, "bytes delivered")
    client.end()


# proves API-062
@test("plain: a server that vanishes in mid-transfer (reset by its kernel) is an error")
def plain_vanishes(net):
    server = net.server.spawn("socat", "-u", "OPEN:/dev/zero", f"TCP4-LISTEN:{PORT},reuseaddr")
    poll(lambda: net.server.listens(server.pid, PORT), 30, "socat")
    client = net.client.spawn(*command("-v", f"{SERVER4}:{PORT}"), stdin=subprocess.PIPE)
    poll(lambda: client.out_path.stat().st_size > 100_000, 30, "some data")
    net.server.nft("add table inet cut\nadd chain inet cut input { type filter hook input priority 0; }\n"
                   f"add rule inet cut input tcp dport {PORT} reject with tcp reset\n")
    client.status = client.wait(30)
    fails_clearly(client, "vanished")


# -------------------------------------------------------------------------------------------- the TLS handshake

def behind_relay(net):
    """A good TLS server behind relays; returns the options of a client that trusts it."""
    known_hosts(net)
    authority = Authority(net)
    s_server(net.server, BEHIND, authority.issue("server.test"), "-quiet", "-tls1_3")
    return ["--cafile", authority.certificate]


def relays(net, how):
    return [Relay(net.server, SERVER4, PORT + number, (SERVER4, BEHIND), cut, how)
            for number, cut in enumerate(CUTS)]


# proves API-062, IMPL-11
@test("TLS: closed after so many bytes of the server's handshake")
def handshake_closed(net):
    options = behind_relay(net)
    for relay, cut in zip(relays(net, "close"), CUTS):
        answer = probe(net.client, *options, "--timeout", "30", f"server.test:{relay.socket.getsockname()[1]}")
        check_equal(answer.result, "error", f"closed after {cut} bytes")
        check(answer.error and answer.error["reason"] != "Timeout", f"not by the deadline: {answer.explain()}")


# proves API-062, IMPL-11
@test("TLS: reset after so many bytes of the server's handshake")
def handshake_reset(net):
    options = behind_relay(net)
    for relay, cut in zip(relays(net, "reset"), CUTS):
        answer = probe(net.client, *options, "--timeout", "30", f"server.test:{relay.socket.getsockname()[1]}")
        check_equal(answer.result, "error", f"reset after {cut} bytes")
        check(answer.error and answer.error["reason"] != "Timeout", f"not by the deadline: {answer.explain()}")


# proves API-062, IMPL-11
@test("TLS: stalled after so many bytes of the server's handshake ends at the deadline, and is closed")
def handshake_stalled(net):
    options = behind_relay(net)
    for relay, cut in zip(relays(net, "stall"), CUTS):
        answer = probe(net.client, *options, "--timeout", "2", f"server.test:{relay.socket.getsockname()[1]}")
        check_equal((answer.error or {}).get("reason"), "Timeout", f"stalled after {cut} bytes")
        check(relay.from_server == cut, f"the relay let {relay.from_server} of {cut} bytes pass")
        poll(lambda: relay.ended and relay.ended[0] != "open", 30, "the connection to be closed")


# proves API-062
@test("TLS: alerts and garbage instead of a handshake")
def handshake_garbage(net):
    known_hosts(net)
    cases = {
        "a fatal alert": b"\x15\x03\x03\x00\x02\x02\x28",
        "a warning and nothing": b"\x15\x03\x03\x00\x02\x01\x00",
        "application data": b"\x17\x03\x03\x00\x05hello",
        "an endless record": b"\x16\x03\x03\xff\xff" + bytes(70000),
        "an empty record": b"\x16\x03\x03\x00\x00" * 100,
        "text": b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "zeros": bytes(1000),
        "a server hello that is none": b"\x16\x03\x03\x00\x04\x02\xff\xff\xff",
    }
    for number, (name, data) in enumerate(cases.items()):
        talking(net.server, SERVER4, PORT + number, data)
        answer = probe(net.client, "--timeout", "2", f"server.test:{PORT + number}")
        check_equal(answer.result, "error", name)
        check(answer.error and len(answer.error["detail"]) > 5, f"{name}: it says why: {answer.explain()}")


# ----------------------------------------------------------------------------------------- TLS, after the handshake

def get(path):
    return f"GET /{path} HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n".encode()


# proves API-143
@test("TLS: cut in the middle of the data without close_notify is an error, never a complete answer")
def truncated(net):
    known_hosts(net)
    authority = Authority(net)
    nginx(net.server, BEHIND, tls=authority.issue("server.test"), files={"large": bytes(1_000_000)})
    for number, how in enumerate(("close", "reset")):
        Relay(net.server, SERVER4, PORT + number, (SERVER4, BEHIND), 300_000, how)
        answer = fetch(net.client, "--cafile", authority.certificate, f"server.test:{PORT + number}",
                       request=get("large"))
        fails_clearly(answer, f"{how} after 300000 bytes")
        check_between(len(answer.out), 1, 300_000, f"{how}: bytes that came before are printed")


# proves API-143
@test("TLS: a byte flipped on the way is an error, and nothing after it is believed")
def flipped(net):
    known_hosts(net)
    authority = Authority(net)
    page = bytes(range(256)) * 400
    nginx(net.server, BEHIND, tls=authority.issue("server.test"), files={"page": page})

    class Flip(Relay):
        def relay(self, connection, number):
            server = self.host.socket(socket.AF_INET, socket.SOCK_STREAM)
            server.connect(self.target)
            net.thread(self.forward, connection, server)
            count = 0
            while data := server.recv(4096):
                if count <= 50_000 < count + len(data):
                    data = bytearray(data)
                    data[50_000 - count] ^= 1
                count += len(data)
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        def forward(self, connection, server):
            with contextlib.suppress(OSError):
                while data := connection.recv(4096):
                    server.sendall(data)
    Flip(net.server, SERVER4, PORT, (SERVER4, BEHIND))
    answer = fetch(net.client, "--cafile", authority.certificate, f"server.test:{PORT}", request=get("page"))
    fails_clearly(answer, "a flipped byte")
    body = answer.out.partition(b"\r\n\r\n")[2]
    check(len(body) < len(page) and page.startswith(body), f"only what came before: {len(body)} bytes")


# proves API-143
@test("TLS: a server that ends properly is a proper end")
def proper_end(net):
    known_hosts(net)
    authority = Authority(net)
    nginx(net.server, BEHIND, tls=authority.issue("server.test"), files={"large": bytes(400_000)})
    Relay(net.server, SERVER4, PORT, (SERVER4, BEHIND))
    answer = fetch(net.client, "--cafile", authority.certificate, f"server.test:{PORT}", request=get("large"))
    check_equal(answer.status, 0, "exit status")
    check_equal(len(answer.out.partition(b"\r\n\r\n")[2]), 400_000, "bytes")


# ----------------------------------------------------------------------------------------------- bad clients

def secure_server(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    server = serve(net.server, "--cert", certificate[0], "--key", certificate[1], str(PORT))
    return server, ["--cafile", authority.certificate, f"server.test:{PORT}"]


def connect(net, port=PORT):
    peer = net.client.socket(socket.AF_INET, socket.SOCK_STREAM)
    net.at_close(peer.close)
    peer.settimeout(30)
    peer.connect((SERVER4, port))
    return peer


def still_serves(net, server, arguments, text):
    answer = cat(net.client, *arguments, stdin=b"still there?\n", seconds=30)
    check_equal((answer.status, answer.out), (0, b"still there?\n"), f"a good client {text}")
    check(server.running(), f"the server lives {text}")


def lets_go(net):
    """The server closes what its clients have closed."""
    try:
        poll(lambda: not net.server.tcp_sockets(), 30, "the server to let go of all its clients")
    finally:
        check_equal(net.server.tcp_sockets(), [], "sockets left")


# proves API-063, ARCH-12
@test("taps serve, TLS: clients that close, reset, or talk nonsense do not hurt the others")
def bad_clients(net):
    server, arguments = secure_server(net)
    hello = first_flight(net)
    for data in (b"", b"\x16", b"\x16\x03\x01\x02\x00", hello[:50], hello, bytes(3000), b"GET / HTTP/1.0\r\n\r\n",
                 b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x01\xff\xff" + bytes(70000),
                 hello + b"\x17\x03\x03\x00\x01x"):
        for how in ("close", "reset"):
            peer = connect(net)
            with contextlib.suppress(OSError):
                peer.sendall(data)
            if how == "reset":
                reset(peer)
            else:
                peer.close()
    still_serves(net, server, arguments, "after all of them")
    lets_go(net)


def first_flight(net):
    """A real ClientHello, caught from taps itself."""
    peer = stalled(net.server, SERVER4, PORT + 100)
    answer = probe(net.client, "--timeout", "2", f"server.test:{PORT + 100}")
    need(answer.result == "error" and peer.received and len(peer.received[0]) > 100, "a ClientHello")
    return bytes(peer.received[0])


# proves API-063, IMPL-12
@test("taps serve, TLS: 200 clients that never finish the handshake do not keep a good one out")
def stalled_clients(net):
    server, arguments = secure_server(net)
    hello = first_flight(net)
    peers = [connect(net) for _ in range(200)]
    for number, peer in enumerate(peers):
        peer.sendall(hello[:number * 2])
    still_serves(net, server, arguments, "among 200 stalled ones")
    for peer in peers:
        peer.close()
    lets_go(net)


# proves API-063
@test("taps serve, plain: clients that reset at once, in mid-echo, or never read")
def plain_bad_clients(net):
    server = serve(net.server, *PLAIN, str(PORT))
    for count in (0, 1, 100_000):
        peer = connect(net)
        with contextlib.suppress(OSError):
            peer.sendall(bytes(count))
        reset(peer)
    deaf = connect(net)
    deaf.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 32 << 20:
            sent += deaf.send(bytes(65536))
    check(sent < 32 << 20, f"a client that does not read is made to wait: {sent} bytes were taken")
    still_serves(net, server, [*PLAIN, f"{SERVER4}:{PORT}"], "beside a deaf one")
    reset(deaf)
    lets_go(net)


# proves API-065, IMPL-12
@test("taps serve, UDP: datagrams of any size, empty ones too, from many peers")
def datagrams(net):
    # The program keeps at most so many peers, and takes those for gone that are quiet for a second.
    server = serve(net.server, *PLAIN, "--profile", "unreliable-datagram", "--idle", "1", str(PORT))
    for size in (0, 1, 1200, 1472, 9000, 65507):
        with net.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(30)
            data = bytes([size % 251]) * size
            peer.sendto(data, (SERVER4, PORT))
            echo = peer.recv(70000)
            check(echo == data, f"{size} bytes come back, not {len(echo)}")
    for _ in range(2000):
        with net.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"one of many", (SERVER4, PORT))
    check(server.running(), "the server lives")
    with net.client.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(0.5)
        answer = None
        for _ in range(60):
            peer.sendto(b"still there?", (SERVER4, PORT))
            with contextlib.suppress(TimeoutError):
                answer = peer.recv(100)
                break
        check_equal(answer, b"still there?", "the echo after 2000 peers")


main()
