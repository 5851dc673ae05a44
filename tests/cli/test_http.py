"""The examples of HTTP against Python's http.server and http.client, each other, and clients and servers that misbehave.
Arguments: the paths of the examples. TAP."""

import contextlib
import functools
import http.client
import http.server
import os
import socket
import sys
import tempfile
import threading

from tap import LIMIT, Tap, lines_until, receive_all, run, serving, started

tap = Tap()
programs = {os.path.basename(path).replace("example-", ""): os.path.abspath(path) for path in sys.argv[1:]}


@contextlib.contextmanager
def python_server(folder, version):
    """Python's http.server with the files of a folder; yields the port and the connections it has had."""
    seen = set()

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = version

        def log_message(self, *_):
            seen.add(self.client_address)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def taps_server():
    with started([programs["http_server"], "127.0.0.1:0"]) as process:
        yield process, int(lines_until(process, "listening")[-1].split()[-1])


def get(port, *targets):
    return run([programs["http_get"], f"127.0.0.1:{port}", "-", *targets])


def test_python_server():
    data = os.urandom(2000001)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("large", data), ("small", b"a"), ("empty", b"")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text)
        with python_server(folder, "HTTP/1.1") as (port, seen):
            result = get(port, "/small", "/large", "/empty", "/small")
            tap.check("http.server: four files over one connection", result.code == 0 and len(seen) == 1
                      and result.out == b"a" + data + b"a", (len(result.out), result.err, seen))
            result = get(port, "/nothing")
            tap.check("http.server: what is not there", result.code == 1 and b"404" in result.err, result)
        with python_server(folder, "HTTP/1.0") as (port, _):
            result = get(port, "/large")
            tap.check("http.server with HTTP/1.0", result.code == 0 and result.out == data, result.err)
            result = get(port, "/small", "/small")
            tap.check("http.server with HTTP/1.0 answers only one", result.code == 1 and result.out == b"a", result)


def test_python_client():
    data = os.urandom(1000001)
    with taps_server() as (_, port):
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        one.request("GET", "/")
        answer = one.getresponse()
        tap.check("http.client: GET", (answer.status, answer.read()) == (200, b"Hello from taps\n"))
        own = one.sock
        one.request("HEAD", "/")
        answer = one.getresponse()
        tap.check("http.client: HEAD", (answer.read(), answer.getheader("Content-Length")) == (b"", "16"))
        one.request("POST", "/", body=data)
        tap.check("http.client: POST of a length", one.getresponse().read() == data)
        one.request("POST", "/", body=iter([data[:5], data[5:70000], data[70000:]]), encode_chunked=True)
        tap.check("http.client: POST in chunks", one.getresponse().read() == data)
        one.request("PUT", "/", body=b"x")
        answer = one.getresponse()
        tap.check("http.client: another method", answer.status == 405 and answer.read())
        tap.check("http.client: all over one connection", one.sock is own)
        one.request("GET", "/nothing", headers={"Connection": "close"})
        answer = one.getresponse()
        tap.check("http.client: close", answer.status == 404 and answer.getheader("Connection") == "close"
                  and answer.read())


def test_each_other():
    with taps_server() as (_, port):
        result = get(port, *["/"] * 100)
        tap.check("a hundred requests at once", result.code == 0 and result.out == b"Hello from taps\n" * 100, result)


def ask_raw(port, text):
    with socket.create_connection(("127.0.0.1", port), LIMIT) as one:
        one.sendall(text)
        try:
            return receive_all(one)
        except ConnectionError:
            return b"reset"


def test_hostile_clients():
    """Each ends its own connection; the server goes on."""
    rows = [
        ("a length and chunks", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", b"400"),
        ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nContent-Length: 5\r\n\r\nhello!", b"400"),
        ("a folded line", b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", b"400"),
        ("a space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"400"),
        ("a chunk of 2^63", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", b"400"),
        ("a bare CR", b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", b"400"),
        ("a NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", b"400"),
        ("an endless head", b"GET / HTTP/1.1\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 5000, b"431"),
        ("too many fields", b"GET / HTTP/1.1\r\n" + b"X:y\r\n" * 500 + b"\r\n", b"431"),
        ("another version", b"GET / HTTP/2.0\r\n\r\n", b"505"),
        ("another protocol", b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
    ]
    with taps_server() as (process, port):
        for name, text, status in rows:
            answer = ask_raw(port, text)
            tap.check(f"refused: {name}", answer.startswith(b"HTTP/1.1 " + status) or answer == b"reset", answer)
        answer = ask_raw(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        tap.check("and the server goes on", answer.endswith(b"\r\n\r\nHello from taps\n") and process.poll() is None, answer)


def test_hostile_servers():
    rows = [
        ("no HTTP", b"SSH-2.0-x\r\n", b"not HTTP"),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"differ"),
        ("a length and chunks", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"both"),
        ("an end too early", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", b"in the middle of"),
        ("no answer", b"", b"before it had answered"),
    ]
    for name, text, why in rows:
        def serve(connection, text=text):
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            receive_all(connection)

        with serving(serve) as port:
            result = get(port, "/")
        tap.check(f"a server with {name}", result.code == 1 and why in result.err, result)

    def until_close(connection):
        while b"\r\n\r\n" not in connection.recv(65536):
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nup to the end")

    with serving(until_close) as port:
        result = get(port, "/")
    tap.check("a body up to the end", result.code == 0 and result.out == b"up to the end", result)


def test_usage():
    for name, program in programs.items():
        result = run([program])
        tap.check(f"{name} without arguments explains itself", result.code == 2 and b"usage" in result.err, result)
    result = run([programs["http_server"], "nowhere"])
    tap.check("http_server with an address that is none fails", result.code == 1 and result.err, result)
    result = run([programs["http_get"], "127.0.0.1:9", "/nowhere/ca.pem", "/"])
    tap.check("http_get with a CA file that is not there fails", result.code == 1 and result.err, result)


if __name__ == "__main__":
    programs = {name: programs[name] for name in ("http_get", "http_server")}
    sys.exit(tap.run([test_usage, test_python_server, test_python_client, test_each_other, test_hostile_clients,
                      test_hostile_servers]))
