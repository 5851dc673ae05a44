"""Runs the examples against each other and against programs that know nothing of TAPS. Arguments: their paths. TAP."""

import os
import socket
import ssl
import sys

from tap import LIMIT, Certificates, Tap, lines_until, listen, run, serving, started

tap = Tap()
programs = {os.path.basename(path).replace("example-", ""): os.path.abspath(path) for path in sys.argv[1:]}
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
        with listen() as holder:
            port = holder.getsockname()[1]
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


if __name__ == "__main__":
    if not Certificates.possible():
        print("1..0 # SKIP no openssl program here")
        sys.exit(0)
    certificates = Certificates()
    try:
        cert, key = certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")
        code = tap.run([test_usage, test_clients, test_server])
    finally:
        certificates.remove()
    sys.exit(code)
