"""Runs the examples against each other and against programs that know nothing of TAPS. Arguments: their paths. TAP."""

import os
import socket
import ssl
import sys
import tempfile
import threading

from tap import LIMIT, Certificates, Tap, lines_until, receive_all, refusing, run, serving, started

tap = Tap()
programs = {os.path.basename(path).replace("example-", "").replace("_", "-"): os.path.abspath(path) for path in sys.argv[1:]}
CLIENTS = [name for name in ("client", "embed-uv", "embed-glib") if name in programs]
certificates = None
cert = key = None


def web_server(connection):
    """Answers any request, the way a web server of HTTP/1.0 does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with context.wrap_socket(connection, server_side=True) as one:
        request = b""
        while b"\r\n\r\n" not in request:
            data = one.recv(4096)
            if not data:
                return
            request += data
        one.sendall(b"HTTP/1.0 200 OK\r\n\r\nHello from " + request.split()[0])
        one.unwrap()


def test_usage():
    for name, program in programs.items():
        result = run([program])
        tap.check(f"{name} without arguments explains itself", result.code == 2 and b"usage" in result.err, result)
    for name in CLIENTS:
        result = run([programs[name], "localhost"])
        tap.check(f"{name} without a port fails", result.code == 1 and result.err, result)
        result = run([programs[name], "127.0.0.1:9", "/nowhere/ca.pem"])
        tap.check(f"{name} with a CA file that is not there fails", result.code == 1 and result.err, result)
    result = run([programs["server"], ":0", "/nowhere/cert.pem", "/nowhere/key.pem"])
    tap.check("server without its certificate fails", result.code == 1 and result.err, result)


def test_clients():
    for name in CLIENTS:
        with serving(web_server) as port:
            result = run([programs[name], f"127.0.0.1:{port}", certificates.ca])
            tap.check(f"{name} prints the answer", result.code == 0 and b"Hello from GET" in result.out, result)
        with serving(web_server) as port:
            result = run([programs[name], f"127.0.0.1:{port}"])
            tap.check(f"{name} does not trust an unknown authority", result.code == 1 and result.out == b""
                      and result.err, result)
        with refusing() as port:
            result = run([programs[name], f"127.0.0.1:{port}", certificates.ca])
        tap.check(f"{name} says that nobody listens", result.code == 1 and b"refused" in result.err.lower(), result)


def test_server():
    context = ssl.create_default_context(cafile=certificates.ca)
    with started([programs["server"], ":0", cert, key]) as process:
        port = int(lines_until(process, "listening")[-1].split()[-1])
        for text in (b"hello", b"x" * 200000):
            with socket.create_connection(("127.0.0.1", port), LIMIT) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost") as one:
                one.sendall(text)
                got = b""
                while len(got) < len(text) and (data := one.recv(65536)):
                    got += data
                tap.check(f"server sends {len(text)} bytes back", got == text)
        with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
            plain.sendall(b"this is not TLS\r\n" * 10)
        with socket.create_connection(("127.0.0.1", port), LIMIT) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as one:
            one.sendall(b"still there?")
            tap.check("server survives a client that speaks no TLS", one.recv(100) == b"still there?")
    result = run([programs["server"], ":0", key, cert])
    tap.check("server with certificate and key exchanged fails", result.code == 1 and result.err, result)


def echo_datagrams(count):
    """A UDP peer that lets the first datagram go unanswered."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    peer.settimeout(LIMIT)

    def serve():
        for number in range(count):
            data, source = peer.recvfrom(2048)
            if number:
                peer.sendto(b"you said " + data, source)
        peer.close()

    threading.Thread(target=serve, daemon=True).start()
    return peer.getsockname()[1]


def test_query():
    result = run([programs["query"], f"127.0.0.1:{echo_datagrams(9)}", "hello"])
    tap.check("query asks again, and prints the answer", result.code == 0 and result.out == b"you said hello\n", result)
    result = run([programs["query"], f"127.0.0.1:{echo_datagrams(9)}", ""])
    tap.check("query sends an empty datagram too", result.code == 0 and result.out == b"you said \n", result)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        result = run([programs["query"], f"127.0.0.1:{silent.getsockname()[1]}", "hello"])
    tap.check("query gives up", result.code == 1 and b"no answer" in result.err, result)


def test_send_file():
    got = bytearray()

    def swallow(connection):
        while data := connection.recv(65536):
            got.extend(data)

    data = os.urandom(1000001)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with serving(swallow) as port:
            result = run([programs["send-file"], f"127.0.0.1:{port}", file.name])
        tap.check("send_file sends all of it", result.code == 0 and bytes(got) == data, result)
    got.clear()
    with serving(swallow) as port:
        result = run([programs["send-file"], f"127.0.0.1:{port}", "/dev/null"])
    tap.check("send_file sends an empty file", result.code == 0 and not got, result)
    result = run([programs["send-file"], "127.0.0.1:9", "/nowhere"])
    tap.check("send_file names the file it cannot read", result.code == 1 and b"/nowhere" in result.err, result)


def test_group():
    got = []

    def swallow(connection):
        parts = []
        while data := connection.recv(65536):
            parts.append(data)
        got.append(b"".join(parts))

    files = [os.urandom(size) for size in (300001, 0, 100000)]
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, str(number)) for number in range(len(files))]
        for name, data in zip(names, files):
            with open(name, "wb") as file:
                file.write(data)
        with serving(swallow, count=3) as port:
            result = run([programs["group"], f"127.0.0.1:{port}"] + names)
        tap.check("group sends every file over a connection of its own",
                  result.code == 0 and sorted(got) == sorted(files), result)
        with refusing() as port:
            result = run([programs["group"], f"127.0.0.1:{port}"] + names)
        tap.check("group says that nobody listens", result.code == 1 and b"refused" in result.err, result)
    result = run([programs["group"], "127.0.0.1:9", "/dev/null", "/nowhere"])
    tap.check("group names the file it cannot read", result.code == 1 and b"/nowhere" in result.err, result)


def test_questions():
    with started([programs["answers"], "127.0.0.1:0", cert, key]) as process:
        port = int(lines_until(process, "listening")[-1].split()[-1])
        for _ in range(2):
            result = run([programs["questions"], f"localhost:{port}", certificates.ca, "one", "two", "three"])
            got = result.out.split(b"\n")
            tap.check("questions are answered, each on a Connection of its own",
                      result.code == 0 and all(word in got for word in (b"ONE", b"TWO", b"THREE")), result)
            tap.check("over QUIC the server opens a stream too",
                      (b"over quic" in got) == any(line.startswith(b"news: ") for line in got), result)
        with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
            plain.sendall(b"this is not TLS\r\n" * 10)
    result = run([programs["questions"], f"localhost:{port}", certificates.ca, "anybody?"])
    tap.check("questions say that nobody listens", result.code == 1 and result.err, result)
    result = run([programs["answers"], "127.0.0.1:0", key, cert])
    tap.check("answers with certificate and key exchanged fails", result.code == 1 and result.err, result)


def test_roam():
    session, tries = certificates.path("session"), 5
    with started([programs["taps"], "serve", "--cert", cert, "--key", key, "--alpn", "echo", "--0rtt", "127.0.0.1:0"]) as process:
        port = int(lines_until(process, "listening 127.0.0.1")[-1].split()[1].split(":")[1])
        command = [programs["roam"], f"localhost:{port}", certificates.ca, session, "hello"]
        first, second = run(command), run(command)
        while b"over tls" in second.out and b"early" not in second.out and (tries := tries - 1):
            second = run(command)  # a busy machine: TCP was faster, and had not been there before
        tap.check("roam gets its answers", first.code == 0 and b"ready: from" in first.out
                  and b"early" not in first.out, first)
        tap.check("roam comes back with what the session file has", second.code == 0
                  and b"resumed, the first words were early" in second.out, second)
    result = run(command)
    tap.check("roam says that nobody listens", result.code == 1 and result.err, result)


def test_moving():
    with started([programs["taps"], "serve", "--cert", cert, "--key", key, "--alpn", "echo", "127.0.0.1:0"]) as process:
        port = int(lines_until(process, "listening")[0].split()[1].rpartition(":")[2])
        result = run([programs["moving"], f"127.0.0.1:{port}", certificates.ca, "127.0.0.2"])
        lines = result.out.split(b"\n")
        tap.check("moving goes on from another address",
                  result.code == 0 and lines[0].startswith(b"from 127.0.0.1:") and lines.count(b"hello") == 2 and
                  any(line.startswith(b"from 127.0.0.2:") for line in lines), result)
        result = run([programs["moving"], f"127.0.0.1:{port}", certificates.ca])
        tap.check("moving stays where it is", result.code == 0 and result.out.count(b"from ") == 1, result)
        result = run([programs["moving"], f"127.0.0.1:{port}", certificates.ca, "192.0.2.77"])
        tap.check("moving to an address that is not here ends", result.code == 1 and b"no other path" in result.err, result)


def test_why():
    with refusing() as port:
        result = run([programs["why"], f"127.0.0.1:{port}"])
    tap.check("why shows who refused", result.code == 1 and b"failed" in result.out and b"refused" in result.out, result)
    result = run([programs["why"], f"127.0.0.1:{port}", "preserveMsgBoundaries=require"])
    tap.check("why shows what each stack lacks", result.code == 1 and b"pruned" in result.out, result)
    result = run([programs["why"], f"127.0.0.1:{port}", "reliability=perhaps"])
    tap.check("why refuses a value that is none", result.code == 1 and result.err, result)

    def speaks_no_tls(connection):
        while data := connection.recv(65536):
            if data[0] == 0x16:
                return

    with serving(speaks_no_tls, count=2) as port:
        result = run([programs["why"], f"127.0.0.1:{port}", "multistreaming=avoid"])
    tap.check("why shows what won", result.code == 0 and b"won" in result.out and b"ready after" in result.out, result)


def test_workers():
    def greet(connection):
        connection.sendall(b"0123456789")

    with serving(greet, count=40) as port:
        result = run([programs["workers"], f"127.0.0.1:{port}", "40"])
    tap.check("workers share the connections", result.code == 0 and result.out == b"400 bytes, 0 failed\n", result)
    with refusing() as port:
        result = run([programs["workers"], f"127.0.0.1:{port}", "5"])
    tap.check("workers count what failed", result.code == 1 and result.out == b"0 bytes, 5 failed\n", result)


def test_mutual():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["echo/1"])
    shown = []

    def echo(connection):
        with context.wrap_socket(connection, server_side=True) as one:
            shown.append(one.getpeercert())
            one.sendall(one.recv(100))
            one.unwrap()

    mine, mine_key = certificates.make("client", "DNS:client")
    with serving(echo) as port:
        result = run([programs["mutual"], f"127.0.0.1:{port}", certificates.ca, mine, mine_key, cert])
    tap.check("mutual shows its certificate", result.code == 0 and result.out == b"TLS 1.3 echo/1: hello\n" and shown, result)

    def fail(connection):
        try:
            echo(connection)
        except OSError:
            pass

    with serving(fail) as port:
        result = run([programs["mutual"], f"127.0.0.1:{port}", certificates.ca, mine, mine_key, mine])
    tap.check("mutual refuses a server that is not the one pinned", result.code == 1 and b"pinned" in result.err, result)
    result = run([programs["mutual"], "127.0.0.1:9", certificates.ca, mine_key, mine, cert])
    tap.check("mutual refuses a certificate that is none", result.code == 1 and result.err, result)


def parcels_talk(port, sent):
    """What a plain socket gets for these bytes."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as one:
        one.sendall(sent)
        try:
            while data := one.recv(4096):
                got += data
        except ConnectionError:
            got += b"[reset]"
    return got


def test_parcels():
    program = programs["parcels"]
    with started([program, "127.0.0.1:0"]) as process:
        port = int(lines_until(process, "listening")[-1].split()[-1])
        result = run([program, f"127.0.0.1:{port}", "L", "hello parcel"])
        tap.check("parcels: a Message comes back with its kind", result.code == 0 and result.out == b"L hello parcel\n", result)
        result = run([program, f"127.0.0.1:{port}", "L", ""])
        tap.check("parcels: an empty one too", result.code == 0 and result.out == b"L \n", result)
        for kind in ("l", "LL", ""):
            result = run([program, f"127.0.0.1:{port}", kind, "hello"])
            tap.check(f"parcels: the kind {kind!r} is refused", result.code == 1 and result.out == b""
                      and b"not sent" in result.err, result)
        got = parcels_talk(port, b"parcel/1\nA\0\5hellop\0\0B\0\0e\0\0")
        tap.check("parcels: a plain socket is answered by the Framer and by the application", got.startswith(b"parcel/1\n")
                  and got.endswith(b"e\0\0") and b"q\0\0" in got and b"A\0\5hello" in got and b"B\0\0" in got
                  and len(got) == 26, got)
        got = parcels_talk(port, b"parcel/1\np\0\0e\0\0")
        tap.check("parcels: an end without a Message is answered, too", got == b"parcel/1\nq\0\0e\0\0", got)
        for bad in (b"GET / HTTP/1.0\r\n\r\n", b"parcel/2\n"):
            tap.check(f"parcels: {bad!r} is no greeting", parcels_talk(port, bad).startswith(b"parcel/1\n"))
        result = run([program, f"127.0.0.1:{port}", "Z", "still there?"])
        tap.check("parcels: the server survives them", result.out == b"Z still there?\n", result)

    def other_protocol(connection):
        connection.sendall(b"220 mail.example ESMTP\r\n")
        receive_all(connection)

    with serving(other_protocol) as port:
        result = run([program, f"127.0.0.1:{port}", "L", "hello"])
    tap.check("parcels: another protocol is told", result.code == 1 and b"does not speak parcel/1" in result.err, result)

    def ends_later(connection):
        connection.sendall(b"parcel/1\nA\0\2hi")
        while data := connection.recv(100):
            if data.endswith(b"e\0\0"):
                connection.sendall(b"e\0\0")

    with serving(ends_later) as port:
        result = run([program, f"127.0.0.1:{port}", "L", "hello"])
    tap.check("parcels: the end comes by itself", result.code == 0 and result.out == b"A hi\n", result)

    def hostile(connection):
        connection.sendall(b"parcel/1\n?\1\2")
        receive_all(connection)

    with serving(hostile) as port:
        result = run([program, f"127.0.0.1:{port}", "L", "hello"])
    tap.check("parcels: a record that cannot be is told", result.code == 1
              and b"a record of kind 0x3f with 258 bytes" in result.err, result)


if __name__ == "__main__":
    if not Certificates.possible():
        print("1..0 # SKIP no openssl program here")
        sys.exit(0)
    certificates = Certificates()
    try:
        cert, key = certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")
        code = tap.run([test_usage, test_clients, test_server, test_query, test_send_file, test_group, test_questions, test_roam, test_moving, test_why,
                        test_workers, test_mutual, test_parcels])
    finally:
        certificates.remove()
    sys.exit(code)
