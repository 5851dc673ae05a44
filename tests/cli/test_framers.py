"""Tests of --framer and --metadata in `taps cat`, `serve`, `bench` and `probe`: what is on the wire, against peers that
know nothing of Framers but their bytes. Argument: the path of the program. Prints TAP."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from program import DATAGRAMS, PLAIN, TAPS, is_usage_error, port_of, server, tap, taps
from tap import LIMIT, Certificates, clean_environment, receive_all, serving, started

RELIABLE = [*PLAIN, "-p", "reliability=require"]
# Those that frame any Message; delimiter has some that it cannot.
FRAMERS = ("length-prefix", "length-prefix:length=2,order=little", "netstring", "tlv:default-type=3,length=4", "http",
           "websocket")


def collected(*words, stdin=b"", answer=b""):
    """What a plain server received from `taps cat` with these options, and the result. It sends `answer` at the end."""
    got = []

    def take(connection):
        got.append(receive_all(connection))
        connection.sendall(answer)

    with serving(take) as port:
        result = taps("cat", *PLAIN, *words, f"127.0.0.1:{port}", stdin=stdin)
    return result, got[0] if got else None


def answered(data, *words, stdin=b""):
    """`taps cat` with these options to a plain server that sends `data` and ends."""
    def speak(connection):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        receive_all(connection)

    with serving(speak) as port:
        return taps("cat", *PLAIN, *words, "--idle", "600", f"127.0.0.1:{port}", stdin=stdin)


# ------------------------------------------------------------------------------------------------------ usage

def test_usage():
    for command, there in (("cat", "localhost:9"), ("serve", "0"), ("bench", "localhost:9"), ("probe", "localhost:9")):
        for text, what in (("", "--framer takes"), (":", "--framer takes"), (":length=2", "--framer takes"),
                           ("nosuch", "length-prefix"), ("nosuch:length=2", "no Framer 'nosuch'"), ("x" * 100, "no Framer"),
                           ("length-prefix:nosuch=1", "no option 'nosuch'"), ("length-prefix:nosuch", "no option 'nosuch'"),
                           ("length-prefix:length=9", "cannot have 'length=9'"), ("length-prefix:length=", "cannot have"),
                           ("length-prefix:length=2,order=sideways", "cannot have 'order=sideways'"),
                           ("length-prefix:order=big,nosuch=1,length=2", "no option 'nosuch'"),
                           ("length-prefix:length=2,,order=big", "cannot have ''"),
                           ("netstring:maximum=-1", "cannot have 'maximum=-1'"), ("tlv:type=9", "cannot have 'type=9'")):
            is_usage_error(f"{command} --framer {text[:40]!r}", command, *PLAIN, "--framer", text, there, says=what)
        is_usage_error(f"{command} --framer without a value", command, *PLAIN, there, "--framer", says="needs a value")
        is_usage_error(f"{command} with nine Framers", command, *PLAIN, *(["-f", "netstring"] * 9), there, says="at most")
        is_usage_error(f"{command}: a later Framer that is wrong", command, *PLAIN, "-f", "netstring", "-f", "wrong", there,
                       says="no Framer 'wrong'")
    is_usage_error("metadata with a key that is too long", "cat", *PLAIN, "-f", "tlv", "--metadata", "x" * 300 + "=1",
                   "localhost:9", says="255 bytes")


# -------------------------------------------------------------------------------------------------------- cat

def test_cat_on_the_wire():
    for words, wire in (
            (("-f", "length-prefix"), b"\0\0\0\3one\0\0\0\0\0\0\0\5three"),
            (("-f", "length-prefix:length=2,order=little"), b"\3\0one\0\0\5\0three"),
            (("-f", "netstring"), b"3:one,0:,5:three,"),
            (("-f", "delimiter"), b"one\n\nthree\n"),
            (("-f", "tlv:default-type=9"), b"\x09\0\3one\x09\0\0\x09\0\5three"),
            (("-f", "tlv", "--metadata", "type=5"), b"\5\0\3one\5\0\0\5\0\5three"),
            (("-f", "tlv", "--metadata", "tlv/type=6"), b"\6\0\3one\6\0\0\6\0\5three"),
            (("-f", "length-prefix:length=1", "-f", "netstring"), b"\x063:one,\x030:,\x085:three,"),
            (("-f", "tlv", "-f", "netstring", "--metadata", "tlv/type=2"), b"\2\0\x063:one,\2\0\x030:,\2\0\x085:three,"),
            (("-f", "length-prefix:length=1", "--size", "4"), b"\4one\n\4\nthr\3ee\n"),
            (("-f", "length-prefix:length=1", "--count", "2"), b"\3one\0")):
        result, got = collected(*words, stdin=b"one\n\nthree\n")
        tap.check(f"cat {' '.join(words)}: on the wire", result.code == 0 and got == wire, (result, got))
    result, got = collected("-f", "netstring", stdin=b"no line end")
    tap.check("the last line need not end", result.code == 0 and got == b"11:no line end,", (result, got))
    result, got = collected("-f", "netstring")
    tap.check("no line is no Message", result.code == 0 and got == b"", (result, got))
    result, got = collected("-f", "netstring", "--size", "3", "--count", "2")
    tap.check("Messages that are made", result.code == 0 and got == b"3:012,3:012,", (result, got))


def test_cat_takes_frames():
    result = answered(b"3:one,0:,5:three,", "-f", "netstring")
    tap.check("each Message received is a line", result.code == 0 and result.out == b"one\n\nthree\n", result)
    result = answered(b"200000:" + b"x" * 200000 + b",1:y,", "-f", "netstring")
    tap.check("a large one is one line, too", result.code == 0 and result.out == b"x" * 200000 + b"\ny\n",
              (result.code, len(result.out), result.err))
    result = answered(b"3:one,3:two,5:three,", "-f", "netstring", "--count", "2")
    tap.check("--count: no more than so many", result.code == 0 and result.out == b"one\ntwo\n", result)
    result = answered(b"\7\0\3one", "-v", "-f", "tlv:default-type=1")
    tap.check("-v: what the Framer says", result.code == 0 and result.out == b"one\n" and b"tlv/type=7" in result.err, result)
    result = answered(b"\7\0\3one", "-f", "tlv:default-type=1")
    tap.check("without -v: not a word", result.code == 0 and result.err == b"", result)


def test_cat_and_bad_frames():
    for data, words, what in (
            (b"3:on", ("-f", "netstring"), b"taps cat:"), (b"3", ("-f", "netstring"), b"taps cat:"),
            (b"03:one,", ("-f", "netstring"), b"netstring"), (b"x", ("-f", "netstring"), b"netstring"),
            (b"3:one;", ("-f", "netstring"), b"netstring"), (b"99999999999999999999999:", ("-f", "netstring"), b"netstring"),
            (b"\xff\xff\xff\xff", ("-f", "length-prefix"), b"length-prefix"),
            (b"\0\0\0\5one", ("-f", "length-prefix"), b"taps cat:"),
            (b"\0\0", ("-f", "length-prefix"), b"taps cat:"),
            (b"\1\0\0\0\0\1\0", ("-f", "length-prefix:length=8"), b"length-prefix"),
            (b"\0\0\0\x0b" + b"x" * 11, ("-f", "length-prefix:maximum=10"), b"length-prefix")):
        result = answered(data, *words)
        tap.check(f"cat {words[1]}: {data[:20]!r} is an error", result.code == 1 and what in result.err, result)
        tap.check(f"cat {words[1]}: {data[:20]!r}: the hint asks for the same Framer, where nothing was cut short",
                  (b"the same Framer" in result.err) == (b"DeframingFailed" in result.err), result)
    result = answered(b"3:one,x", "-f", "netstring")
    tap.check("what came before the error is written", result.code == 1 and result.out == b"one\n", result)


def test_hints_do_not_mislead():
    refusal = b"\x20\2\0\5"
    for data, framer, what in ((refusal, "mqtt:user=a", b"return code 5"), (b"", "mqtt:password=b", b"needs a user"),
                               (b"", "starttls", b"it needs protocol=")):
        result = answered(data, "-f", framer)
        tap.check(f"cat {framer}: the words of the Framer, and no hint about ports or stacks", result.code == 1
                  and what in result.err and result.err.count(b"\n") == 1, result)
    for framer, stdin, hint in (("tlv", b"no type", b"--metadata"), ("netstring:maximum=5", b"sixsix", b"larger maximum")):
        result, _got = collected("-f", framer, "--idle", "0.1", stdin=stdin)
        tap.check(f"cat {framer}: the hint names what helps", result.code == 1 and hint in result.err, result)
    result = taps("cat", *PLAIN, "-f", "tlv:nosuch=1", "localhost:9")
    tap.check("the page of the Framer is named", b"docs/framers/tlv.md" in result.err, result)


def test_cat_and_messages_that_cannot_go():
    for words, stdin in ((("-f", "length-prefix:length=1"), b"x" * 256), (("-f", "netstring:maximum=5"), b"sixsix"),
                         (("-f", "tlv"), b"no type"), (("-f", "tlv", "--metadata", "type=256"), b"type"),
                         (("-f", "tlv", "--metadata", "type=x"), b"type"),
                         (("-f", "delimiter:delimiter=bb"), b"abba"), (("-f", "delimiter:delimiter=bb", "-s", "4"), b"abba")):
        result, _got = collected(*words, "--idle", "0.1", stdin=stdin)
        tap.check(f"cat {' '.join(words)} cannot send {stdin[:20]!r}", result.code == 1
                  and result.err.count(b"cannot send") == 1, result)
    result, got = collected("-f", "netstring:maximum=5", "--idle", "0.1", stdin=b"one\nmuch too long\ntwo\n")
    tap.check("others go all the same", result.code == 1 and got == b"3:one,3:two,", (result, got))


def test_cat_listens():
    with started([TAPS, "cat", "-l", *PLAIN, "-f", "netstring", "127.0.0.1:0"], stdin=subprocess.PIPE) as process:
        port = int(process.stderr.readline().split()[1].rsplit(b":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), LIMIT) as one:
            one.sendall(b"2:hi,")
            one.shutdown(socket.SHUT_WR)
            process.stdin.write(b"hello\n")
            process.stdin.close()
            got = receive_all(one)
        tap.check("cat -l --framer", process.wait(LIMIT) == 0 and got == b"5:hello," and process.stdout.read() == b"hi\n", got)


# ------------------------------------------------------------------------------------------------------ serve

def test_serve_on_the_wire():
    with server(*RELIABLE, "-v", "-f", "netstring", "127.0.0.1:0") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            for byte in b"3:one,0:,5:three,":
                one.sendall(bytes([byte]))
            one.shutdown(socket.SHUT_WR)
            tap.check("serve --framer: byte by byte, each Message comes back", receive_all(one) == b"3:one,0:,5:three,")
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(b"3:one,nonsense")
            got = b""
            try:
                got = receive_all(one)
            except ConnectionError:
                pass
            tap.check("serve --framer: nonsense ends that connection", got in (b"", b"3:one,"), got)
        lines = [process.stdout.readline() for _ in range(4)]
        tap.check("and -v tells why", any(b"netstring" in line for line in lines), lines)
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(b"4:next,")
            tap.check("but not the others", one.recv(100) == b"4:next,")
    with server(*RELIABLE, "-f", "tlv", "127.0.0.1:0") as (_process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(b"\1\0\1a\xfe\0\1b\xfe\0\1c\2\0\0")
            one.shutdown(socket.SHUT_WR)
            got = receive_all(one)
        tap.check("a Message comes back as the type it was", got == b"\1\0\1a\xfe\0\1b\xfe\0\1c\2\0\0", got)
    with server(*RELIABLE, "-f", "netstring", "--count", "2", "127.0.0.1:0") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(b"1:a,1:b,1:c,")
            got = one.recv(8, socket.MSG_WAITALL)
        tap.check("serve --framer --count", got == b"1:a,1:b," and process.wait(LIMIT) == 0, got)
    with server(*RELIABLE, "-f", "length-prefix:length=2", "--size", "10", "--count", "3", "127.0.0.1:0") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            got = receive_all(one)
        tap.check("serve --framer --size: a source", got == b"\0\x0a0123456789" * 3 and process.wait(LIMIT) == 0, got)


def test_both_ends():
    lines = b"one\n\nthree\n" + b"x" * 300000 + b"\nlast\n"
    for framer in FRAMERS:
        sizes = lines.replace(b"x" * 300000, b"x" * 60000) if "length=2" in framer else lines
        with server(*RELIABLE, "-f", framer, "127.0.0.1:0") as (_process, places):
            there = f"127.0.0.1:{port_of(places, 'tcp')}"
            # That of WebSocket has no end of one direction: the last answer is the end.
            last = ("--count", "5") if framer == "websocket" else ()
            result = taps("cat", *PLAIN, "-f", framer, "--idle", "600", *last, there, stdin=sizes)
            tap.check(f"cat to serve, {framer}", result.code == 0 and result.out == sizes,
                      (result.code, len(result.out), result.err))
            result = taps("cat", *PLAIN, "-f", framer, "--size", "50000", "--count", "30", "--idle", "600", there)
            tap.check(f"cat --size --count to serve, {framer}: all of it, at once", result.code == 0
                      and len(result.out) == 30 * 50001, (result.code, len(result.out), result.err))
            result = taps("bench", *PLAIN, "-f", framer, "--json", "--count", "500", "--depth", "7", there)
            tap.check(f"bench to serve, {framer}", result.code == 0 and json.loads(result.out)["messages"]["done"] == 500,
                      result)
            result = taps("bench", *PLAIN, "-f", framer, "--json", "--count", "5", "--size", "60000", there)
            tap.check(f"bench of large Messages, {framer}", result.code == 0, result)
            result = taps("probe", *PLAIN, "-f", framer, "--json", there)
            value = json.loads(result.out)
            tap.check(f"probe, {framer}", result.code == 0 and value["framers"] == [framer]
                      and value["properties"]["preserveMsgBoundaries"] is True, result)


def test_probe_names_framers():
    with serving(receive_all, count=2) as port:
        result = taps("probe", *PLAIN, "-f", "length-prefix", "-f", "netstring:maximum=9", f"127.0.0.1:{port}")
        tap.check("probe names them, the outermost first", result.code == 0
                  and 0 < result.out.find(b"netstring:maximum=9") < result.out.find(b"length-prefix"), result)
        value = json.loads(taps("probe", *PLAIN, "--json", f"127.0.0.1:{port}").out)
        tap.check("none without --framer", value["framers"] == [], value)


def test_datagrams():
    words = [*DATAGRAMS, "-f", "length-prefix:length=2"]
    with server(*words, "127.0.0.1:0") as (_process, places):
        there = f"127.0.0.1:{port_of(places, 'udp')}"
        result = taps("cat", *words, "--count", "3", "--idle", "600", there, stdin=b"one\ntwo\nthree\n")
        tap.check("cat --framer over UDP", result.code == 0 and result.out == b"one\ntwo\nthree\n", result)
        result = taps("bench", *words, "--json", "--count", "200", "--depth", "4", there)
        tap.check("bench --framer over UDP", result.code == 0 and json.loads(result.out)["messages"]["done"] > 0, result)


def test_tls():
    if not Certificates.possible():
        tap.skip("--framer over TLS", "no openssl program here")
        return
    certificates = Certificates()
    try:
        cert, key = certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")
        with server("--cert", cert, "--key", key, "-f", "netstring", "127.0.0.1:0") as (_process, places):
            there = f"127.0.0.1:{port_of(places, 'tls/tcp')}"
            result = taps("cat", "--cafile", certificates.ca, "-f", "netstring", "--idle", "600", there, stdin=b"one\ntwo\n")
            tap.check("cat --framer over TLS", result.code == 0 and result.out == b"one\ntwo\n", result)
            result = taps("bench", "--cafile", certificates.ca, "-f", "netstring", "--json", "--count", "300", there)
            tap.check("bench --framer over TLS", result.code == 0, result)
    finally:
        certificates.remove()


# ------------------------------------------------------------------------------------------------ real peers

def test_curl():
    if not shutil.which("curl"):
        tap.skip("curl to serve --framer http", "no curl here")
        return
    with server(*RELIABLE, "-f", "http", "127.0.0.1:0") as (_process, places), tempfile.TemporaryDirectory() as folder:
        data = os.urandom(300000)
        path = os.path.join(folder, "data")
        with open(path, "wb") as file:
            file.write(data)
        done = subprocess.run(["curl", "-sS", "--max-time", str(LIMIT), "--data-binary", f"@{path}",
                               f"http://127.0.0.1:{port_of(places, 'tcp')}/echo"], capture_output=True, timeout=LIMIT,
                              env=clean_environment(), check=False)
        tap.check("curl's body comes back from serve --framer http", done.returncode == 0 and done.stdout == data,
                  (done.returncode, len(done.stdout), done.stderr))


def test_starttls():
    """A Framer that makes no boundaries: what goes is a stream, as without it."""
    if not Certificates.possible():
        tap.skip("cat --framer starttls", "no openssl program here")
        return
    certificates = Certificates()
    try:
        cert, key = certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        got = []

        def mail(connection):
            lines = connection.makefile("rwb", buffering=0)
            lines.write(b"220 mail.example ESMTP\r\n")
            got.append(lines.readline())
            lines.write(b"250-mail.example\r\n250 STARTTLS\r\n")
            got.append(lines.readline())
            lines.write(b"220 go ahead\r\n")
            with context.wrap_socket(connection, server_side=True) as secure:
                while data := secure.recv(65536):
                    got.append(data)
                    secure.sendall(data)
                secure.unwrap()

        with serving(mail) as port:
            result = taps("cat", "--cafile", certificates.ca, "-f", "starttls:protocol=smtp", f"127.0.0.1:{port}",
                          stdin=b"one\ntwo\nthree")
        tap.check("cat --framer starttls: bytes come back as they went", result.code == 0
                  and result.out == b"one\ntwo\nthree" and got[1] == b"STARTTLS\r\n", (result, got))
    finally:
        certificates.remove()


def test_websocketd():
    if not shutil.which("websocketd"):
        tap.skip("cat --framer websocket to websocketd", "no websocketd here")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started(["websocketd", f"--port={port}", "--address=127.0.0.1", "cat"]):
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            result = taps("cat", *PLAIN, "-f", "websocket", "--metadata", "type=text", "--idle", "600", "--count", "3",
                          f"127.0.0.1:{port}", stdin=b"one\ntwo\nthree\n")
            if result.code == 0 or b"refused" not in result.err.lower():
                break
        tap.check("cat --framer websocket to websocketd", result.code == 0 and result.out == b"one\ntwo\nthree\n", result)


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
