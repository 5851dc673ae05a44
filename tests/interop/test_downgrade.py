"""What becomes of a Message for a peer who is not fit to have it: for each stack and each way to fail it is an error, or
a winner that is as secure. The peers are foreign: OpenSSL, GnuTLS and ngtcp2 programs, echo servers, and what stands
here; for QUIC datagrams, which none of those speaks, `taps serve` where a handshake has to get on. The Message is in
the hands of the library before there is a connection (taps cat --0rtt is InitiateWithSend and safelyReplayable), or
follows it; all packets of the link are looked through for it. Opportunistic security is left out: it goes in clear
where a peer has no TLS, and is asked for by name. docs/design/006-security.md shows the table."""
import contextlib
import os
import pathlib
import re
import socket
import struct
import subprocess

from netns import SERVER4
from peers import Authority, Capture, Listener, cat_open, gnutls_serv, require_programs, s_server, serve, wait_listening
from tap import Skip, check, check_equal, main, need, poll, test

TIMEOUT = "2"
NO_ALPN = os.environ.get("TAPS_NO_ALPN", "")
TABLE = os.environ.get("TAPS_DOWNGRADE_TABLE", "")
OLD = ["-cipher", "ALL:@SECLEVEL=0"]
PSK, OTHER_PSK = "1f" * 16, "e2" * 16

TLS, QUIC, DATAGRAM, DTLS, RACE, RACE_BOTH = STACKS = (
    "tls/tcp", "quic", "quic-datagram", "dtls/udp", "race, TLS is good", "race, both so")
STACK_OPTIONS = {
    TLS: ["--security-protocol", "tls1.3,tls1.2", "--alpn", "http/1.1"],
    QUIC: ["--security-protocol", "quic", "--alpn", "h3"],
    DATAGRAM: ["--security-protocol", "quic", "--alpn", "h3", "--datagrams"],
    DTLS: ["--security-protocol", "dtls1.2", "--alpn", "echo/1", "--datagrams", "--idle", "0.1"],
    RACE: ["--alpn", "h3,http/1.1"],
    RACE_BOTH: ["--alpn", "h3,http/1.1"],
}
FAILURES = ("UDP is blocked", "QUIC of an unknown version", "TLS 1.1 or DTLS 1.0 only", "plain text",
            "certificate of nobody", "certificate for another name", "certificate expired", "wrong pin", "wrong ALPN",
            "ALPN stripped", "no ALPN", "PSK mismatch")
SILENT, FOREIGN, TLS_FAILED, NAME, EXPIRED, PIN = (
    "TAPS_E_TIMEOUT", "TAPS_E_CERTIFICATE", "TAPS_E_TLS", "TAPS_E_CERTIFICATE_NAME", "TAPS_E_CERTIFICATE_EXPIRED",
    "TAPS_E_CERTIFICATE_PIN")


def marker(row):
    """Not a byte of it is in two rows at the same place, and no protocol says such things."""
    return b"".join(b"<row %03d piece %02d is for nobody>" % (row, piece) for piece in range(20))


def found(words, data):
    """Any 20 bytes of it, wherever packets were cut."""
    return any(words[at:at + 20] in data for at in range(0, len(words) - 19, 4))


# ----------------------------------------------------------------------------------------------------------- the peers

def datagrams(net, port, answer):
    """A socket that answers each datagram with what `answer` makes of it."""
    def run():
        with contextlib.suppress(OSError):
            while True:
                data, sender = sock.recvfrom(65536)
                sock.received += data
                reply = answer(data)
                if reply:
                    sock.sendto(reply, sender)
    class Socket(socket.socket):
        received = b""
    with net.server.entered():
        sock = Socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((SERVER4, port))
    net.at_close(sock.close)
    net.thread(run)
    return sock


def unknown_version(data):
    """Version Negotiation (RFC 8999, 6) with versions that nobody has."""
    if len(data) < 1200 or not data[0] & 0x80:
        return None
    destination = data[6:6 + data[5]]
    at = 6 + data[5]
    source = data[at + 1:at + 1 + data[at]]
    return (b"\xc0\0\0\0\0" + bytes([len(source)]) + source + bytes([len(destination)]) + destination +
            struct.pack("!II", 0x1a2a3a4a, 0xfaceb00c))


def echo(net, port):
    def serve(connection, number):
        while data := connection.recv(65536):
            listener.received[number] += data
            connection.sendall(data)
    listener = Listener(net.server, SERVER4, port, serve)
    return listener


def strip_alpn(data):
    """A ClientHello that passes by loses its ALPN extension: it gets a number that means nothing."""
    return re.sub(rb"\x00\x10(\x00[\x08-\x10]\x00[\x06-\x0e][\x05-\x0d][a-z]+/1)", rb"zz\1", data)


def strip_tcp(net, port, target):
    def serve(connection, number):
        with net.server.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.connect((SERVER4, target))
            net.thread(copy, server, connection, lambda data: data)
            copy(connection, server, strip_alpn)

    def copy(source, to, change):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(change(data))
            to.shutdown(socket.SHUT_WR)
    return Listener(net.server, SERVER4, port, serve)


def strip_udp(net, port, target):
    def run(server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                front.sendto(data, client)

    def answer(data, clients={}):
        client = front.client
        if client not in clients:
            clients[client] = net.server.socket(socket.AF_INET, socket.SOCK_DGRAM)
            clients[client].connect((SERVER4, target))
            net.thread(run, clients[client], client)
        clients[client].send(strip_alpn(data))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                data, front.client = front.recvfrom(65536)
                answer(data)
    class Front(socket.socket):
        client = None
    with net.server.entered():
        front = Front(socket.AF_INET, socket.SOCK_DGRAM)
    front.bind((SERVER4, port))
    net.at_close(front.close)
    net.thread(serve)


def gtlsserver(net, port, tls, env=None):
    require_programs("gtlsserver")
    process = net.server.spawn("gtlsserver", "-q", SERVER4, port, str(tls[1]), str(tls[0]), env=env)
    wait_listening(net.server, process, port, "udp")
    return process


def dtls_server(net, port, tls, *options):
    process = net.server.spawn("openssl", "s_server", "-4", "-accept", port, "-cert", tls[0], "-key", tls[1], *options,
                               stdin=subprocess.PIPE)
    wait_listening(net.server, process, port, "udp")
    return process


class Certificates:
    def __init__(self, net):
        self.authority, self.other = Authority(net), Authority(net, "Other CA")
        self.good, self.pinned = self.authority.issue("server.test"), self.authority.issue("server.test")
        self.bad = {FAILURES[4]: self.other.issue("server.test"), FAILURES[5]: self.authority.issue("other.test"),
                    FAILURES[6]: self.authority.issue("server.test", expired=True), FAILURES[7]: self.good}


def udp_peer(net, failure, stack, port, certificates):
    """What answers on the UDP port of this row, if anything does."""
    quic = stack != DTLS
    if failure == "UDP is blocked":
        net.server.blocked.append(port)
    elif failure == "QUIC of an unknown version":
        datagrams(net, port, unknown_version)
    elif failure == "TLS 1.1 or DTLS 1.0 only":
        dtls_server(net, port, certificates.good, "-dtls1", *OLD)
    elif failure == "plain text":
        datagrams(net, port, lambda data: data)
    elif failure == "ALPN stripped" and not quic:
        dtls_server(net, port + 1000, certificates.good, "-dtls1_2", "-alpn", "echo/1")
        strip_udp(net, port, port + 1000)
    elif failure == "wrong ALPN" and not quic:
        dtls_server(net, port, certificates.good, "-dtls1_2", "-alpn", "other/1")
    elif failure == "PSK mismatch" and not quic:
        dtls_server(net, port, certificates.good, "-dtls1_2", "-psk", PSK, "-psk_identity", "me", "-nocert")
    else:
        certificate = certificates.bad.get(failure, certificates.good)
        without = {"LD_PRELOAD": NO_ALPN} if failure in ("ALPN stripped", "no ALPN") else None
        if stack == DATAGRAM and not without:
            serve(net.server, "--datagrams", "--security-protocol", "quic", "--alpn", "h3", "--cert", certificate[0],
                  "--key", certificate[1], f"{SERVER4}:{port}")
        elif quic:
            gtlsserver(net, port, certificate, without)
        else:
            process = net.server.spawn("gnutls-serv", "--udp", "--echo", "--port", port, "--x509certfile",
                                       certificate[0], "--x509keyfile", certificate[1])
            wait_listening(net.server, process, port, "udp")


def tcp_peer(net, failure, stack, port, certificates):
    """What answers on the TCP port: for a race one that is good, or one that fails in the same way."""
    certificate = certificates.bad.get(failure, certificates.good)
    if stack == RACE:
        certificate = certificates.pinned if failure == "wrong pin" else certificates.good
    if stack == RACE and failure == "PSK mismatch":
        s_server(net.server, port, certificate, "-psk", OTHER_PSK, "-psk_identity", "me", "-nocert")
    elif stack == RACE or failure == "no ALPN" and stack == TLS:
        options = ["-alpn", "http/1.1"] if stack == RACE else []
        s_server(net.server, port, certificate, "-tls1_3", *options)
    elif failure in ("plain text", "QUIC of an unknown version"):
        echo(net, port)
    elif failure == "UDP is blocked":
        if stack == TLS:
            net.server.blocked.append(port)
            s_server(net.server, port, certificate)
    elif failure == "TLS 1.1 or DTLS 1.0 only":
        s_server(net.server, port, certificate, "-tls1_1", *OLD)
    elif failure == "PSK mismatch":
        s_server(net.server, port, certificate, "-psk", PSK, "-psk_identity", "me", "-nocert")
    elif failure == "wrong ALPN":
        s_server(net.server, port, certificate, "-alpn", "other/1")
    elif failure in ("ALPN stripped", "no ALPN"):
        s_server(net.server, port + 2000, certificate, "-alpn", "http/1.1")
        strip_tcp(net, port, port + 2000)
    else:
        s_server(net.server, port, certificate)


# ----------------------------------------------------------------------------------------------------------- the table

def client_options(stack, failure, certificates):
    options = list(STACK_OPTIONS[stack])
    if failure == "PSK mismatch":
        options += ["--psk", "me:" + OTHER_PSK]
    else:
        options += ["--cafile", certificates.authority.certificate]
    if failure == "wrong pin":
        options += ["--pin", certificates.pinned[0]]
    if failure == "wrong ALPN" and stack != DTLS:
        options[options.index("--alpn") + 1] = {TLS: "http/1.1", RACE: "hq-interop,http/1.1"}.get(stack, "hq-interop")
    return options


def outcome(process):
    """The winner's security, or the code of the error; None while there is neither."""
    told = re.search(rb"connected to \S+, \S+, (.*)\n|establishment-error code=(\w+):", process.err)
    return (told.group(1) or told.group(2)).decode() if told else None


def documented():
    """{(failure, stack): outcome} of the table in the documentation."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in pathlib.Path(TABLE).read_text().splitlines() if line.startswith("|")]
    heads = next(index for index, row in enumerate(rows) if [cell.strip("`") for cell in row[1:]] == list(STACKS))
    table = {}
    for row in rows[heads + 2:heads + 2 + len(FAILURES)]:
        for stack, cell in zip(STACKS, row[1:]):
            table[row[0], stack] = "TAPS_E_" + cell if cell == cell.upper() and " " not in cell else cell
    return table


def tell_all(net, rows, early):
    """Starts a client for each row, and gives {row: what became of it}."""
    clients = {}
    for number, (failure, stack, port, options) in rows.items():
        client = cat_open(net.client, "-v", "--timeout", TIMEOUT, *options, *(["--0rtt"] if early else []),
                          f"server.test:{port}")
        client.write(marker(number))
        clients[number] = client
    told = {}
    for number, client in clients.items():
        told[number] = poll(lambda: outcome(client), 40, f"row {rows[number]}")
        poll(lambda: b"-error " in client.err or b" sent bytes" in client.err, 20, "the Message to go its way")
    for client in clients.values(): # who got one must hear the end of it before he serves the next
        client.close_stdin()
    for client in clients.values():
        client.wait(5)
        client.end()
    return told


def table_of(net, chosen):
    """Runs the rows of these stacks; [(failure, stack, outcome)]."""
    need(NO_ALPN and TABLE, "TAPS_NO_ALPN and TAPS_DOWNGRADE_TABLE are set")
    require_programs("gtlsserver", "gnutls-serv")
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")
    net.server.blocked = []
    certificates = Certificates(net)
    rows = {}
    for stack in chosen:
        for failure in FAILURES:
            number = STACKS.index(stack) * len(FAILURES) + FAILURES.index(failure)
            port = 20000 + number
            if stack != TLS:
                udp_peer(net, failure, stack, port, certificates)
            if stack in (TLS, RACE, RACE_BOTH):
                tcp_peer(net, failure, stack, port, certificates)
            rows[number] = (failure, stack, port, client_options(stack, failure, certificates))
    ports = ", ".join(map(str, net.server.blocked))
    net.server.nft("add table inet blocked\n"
                   "add chain inet blocked input { type filter hook input priority -10; }\n"
                   f"add rule inet blocked input udp dport {{ {ports} }} drop\n")
    capture = Capture(net.client)
    table = documented()
    for early in (False, True):
        for number, what in tell_all(net, rows, early).items():
            failure, stack = rows[number][:2]
            print(f"# {failure}: {stack}: {what}")
            check_equal(what, table.get((failure, stack)), f"{failure}, {stack}, {'early' if early else 'late'}")
    wire = capture.data()
    check_equal(capture.lost(), 0, "packets that the capture missed")
    for number, row in rows.items():
        check(not found(marker(number), wire), f"in clear on the wire: {row[0]}, {row[1]}")


# proves ARCH-09, ARCH-10, IMPL-11
@test("no peer who is unfit gets a Message, and none is in clear: TLS and DTLS")
def with_tls(net):
    table_of(net, [TLS, DTLS])


# proves ARCH-09, ARCH-10, IMPL-11
@test("no peer who is unfit gets a Message, and none is in clear: QUIC, its streams and its datagrams")
def with_quic(net):
    table_of(net, [QUIC, DATAGRAM])


# proves ARCH-09, ARCH-10, ARCH-11, IMPL-11
@test("no peer who is unfit gets a Message, and none is in clear: QUIC races TLS over TCP")
def with_both(net):
    table_of(net, [RACE, RACE_BOTH])


# ---------------------------------------------------------------------------------------------------------- early data

def request(number):
    """A GET in HTTP/3 with the marker in a frame before it that means nothing (RFC 9114, 7.2.8)."""
    words = marker(number)
    block = b"\0\0\xd1\xd7\x50\x0bserver.test\xc1"
    return b"\x21" + struct.pack("!H", 0x4000 | len(words)) + words + bytes([1, len(block)]) + block


def early_client(net, certificates, stack, port, file, number):
    client = cat_open(net.client, "-v", "--timeout", TIMEOUT, *STACK_OPTIONS[stack], "--cafile",
                      certificates.authority.certificate, "--0rtt", "--session-file", file, f"server.test:{port}")
    client.write(request(number) if stack == QUIC else marker(number))
    told = poll(lambda: outcome(client), 20, "an outcome")
    poll(lambda: b"-error " in client.err or b" sent bytes" in client.err, 20, "the Message to go its way")
    client.close_stdin()
    client.wait(5)
    client.end()
    return told, b"went as early data" in client.err


def early_rows(net, stack, good, bad):
    """A ticket of a good server, then somebody else at its port: {failure: a function that starts him}."""
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")
    certificates = Certificates(net)
    capture = Capture(net.client)
    table = documented()
    for index, failure in enumerate([None] + list(bad)):
        number, port = 500 + index, 21500 + index
        file = net.folder / f"sessions-{port}"
        first = good(certificates, port)
        check_equal(early_client(net, certificates, stack, port, file, number)[1], False, "nothing is early at first")
        if failure is None:
            check(early_client(net, certificates, stack, port, file, number)[1], "who is the same takes early data")
            continue
        first.end()
        listener = bad[failure](certificates, port)
        told, taken = early_client(net, certificates, stack, port, file, number)
        check_equal((told, taken), (table[failure, stack], False), f"early data for: {failure}")
        if failure == "plain text" and stack == TLS:
            check(b"\x17\x03\x03" in listener.received[0], "early data was sent, in a record of its own")
        if failure == "plain text":
            got = listener.received if stack == QUIC else b"".join(listener.received)
            check(len(got) > 0 and not found(marker(number), bytes(got)), "nothing for him to read")
    wire = capture.data()
    check_equal(capture.lost(), 0, "packets that the capture missed")
    check([n for n in range(500, 501 + len(bad)) if found(marker(n), wire)] == [], "none is in clear on the wire")


# proves ARCH-09, ARCH-16, API-074, API-103
@test("early data for a server that was another the last time is not in clear either: TLS")
def early_tls(net):
    def served(*options):
        return lambda certificates, port: s_server(net.server, port, certificates.good, *options)

    def with_certificate(failure):
        return lambda certificates, port: s_server(net.server, port, certificates.bad[failure], "-early_data")
    bad = {failure: with_certificate(failure) for failure in FAILURES[4:7]}
    bad["plain text"] = lambda certificates, port: echo(net, port)
    bad["TLS 1.1 or DTLS 1.0 only"] = served("-tls1_1", *OLD)
    bad["wrong ALPN"] = served("-tls1_3", "-early_data", "-alpn", "other/1")
    early_rows(net, TLS, served("-tls1_3", "-early_data", "-alpn", "http/1.1"), bad)


# proves ARCH-09, ARCH-16, API-074, API-103
@test("early data for a server that was another the last time is not in clear either: QUIC")
def early_quic(net):
    def with_certificate(failure):
        return lambda certificates, port: gtlsserver(net, port, certificates.bad[failure])
    bad = {failure: with_certificate(failure) for failure in FAILURES[4:7]}
    bad["plain text"] = lambda certificates, port: datagrams(net, port, lambda data: data)
    bad["QUIC of an unknown version"] = lambda certificates, port: datagrams(net, port, unknown_version)
    bad["TLS 1.1 or DTLS 1.0 only"] = lambda tls, port: dtls_server(net, port, tls.good, "-dtls1", *OLD)
    early_rows(net, QUIC, lambda certificates, port: gtlsserver(net, port, certificates.good), bad)


@test("the capture does see what goes in clear")
def control(net):
    listener = echo(net, 20999)
    capture = Capture(net.client)
    client = cat_open(net.client, "--security", "disabled", f"{SERVER4}:20999")
    client.write(marker(999))
    poll(lambda: marker(999) in client.out, 15, "the echo")
    check(found(marker(999), capture.data()), "the Message in clear")
    client.end()


if __name__ == "__main__":
    main()
