"""The Framers length-prefix, delimiter, netstring and tlv against real peers: dnsmasq, redis-server, Twisted, openssl."""
import os
import pathlib
import socket
import ssl
import struct
import subprocess

from netns import SERVER4
from peers import TAPS, Authority, Listener, dnsmasq, require_programs, s_server, wait_listening
from tap import Skip, check, check_equal, main, need, test

PYTHON = "/usr/bin/python3"  # that of the packages
PEER = pathlib.Path(__file__).with_name("twisted_peer.py")


def cat(net, framer, where, data, *options):
    process = net.client.run(TAPS, "cat", "--security", "disabled", "--framer", framer, *options, where, stdin=data,
                             seconds=30)
    return process


def check_fine(process):
    check_equal(process.status, 0, f"exit status; {process.err.decode(errors='replace')[-500:]}")


# ------------------------------------------------------------------------------------------------------------- DNS

def question(name, number):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


# proves API-130
@test("dnsmasq, length-prefix: questions over one connection are answered one by one")
def dns(net):
    dnsmasq(net.server, SERVER4, *(f"--host-record=host{n}.test,10.9.8.{n}" for n in range(1, 10)))
    asked = [question(f"host{n}.test", 70 + n) for n in range(1, 10)]
    process = cat(net, "length-prefix:length=2", f"{SERVER4}:53", b"".join(asked), "--size", len(asked[0]), "--count", 9)
    check_fine(process)
    for n in range(1, 10):
        address = socket.inet_aton(f"10.9.8.{n}")
        check(struct.pack(">H", 70 + n) in process.out and address in process.out, f"the answer to question {n}")


# ----------------------------------------------------------------------------------------------------------- Redis

def redis(net):
    require_programs("redis-server")
    process = net.server.spawn("redis-server", "--port", "6379", "--bind", SERVER4, "--save", "", "--appendonly", "no",
                               "--protected-mode", "no", "--daemonize", "no")
    wait_listening(net.server, process, 6379)


# proves API-130
@test("redis-server, delimiter: commands are lines, and so are the answers")
def redis_lines(net):
    redis(net)
    commands = b"PING\nSET greeting hello\nGET greeting\nNONSENSE\nQUIT\n"
    process = cat(net, "delimiter:delimiter=crlf", f"{SERVER4}:6379", commands, "-k")
    check_fine(process)
    lines = process.out.split(b"\n")
    check_equal(lines[:4], [b"+PONG", b"+OK", b"$5", b"hello"], "the first answers")
    check(lines[4].startswith(b"-ERR unknown command"), f"the error: {lines[4]!r}")
    check_equal(lines[5:], [b"+OK", b""], "the last answer")


@test("redis-server, delimiter: five thousand commands in one go")
def redis_many(net):
    redis(net)
    commands = b"".join(b"ECHO %d\n" % n for n in range(5000)) + b"QUIT\n"
    process = cat(net, "delimiter:delimiter=crlf", f"{SERVER4}:6379", commands, "-k")
    check_fine(process)
    check_equal(process.out, b"".join(b"$%d\n%d\n" % (len(str(n)), n) for n in range(5000)) + b"+OK\n", "the answers")


# --------------------------------------------------------------------------------------------------------- Twisted

def require_twisted():
    if not os.path.exists(PYTHON) or subprocess.run([PYTHON, "-c", "import twisted"], capture_output=True).returncode:
        raise Skip("needs Twisted (python3-twisted)")


KINDS = [("netstring", "netstring"), ("int8", "length-prefix:length=1"), ("int16", "length-prefix:length=2"),
         ("int32", "length-prefix"), ("lines", "delimiter:delimiter=crlf")]


# proves API-130
@test("Twisted serves: each Message comes back in reverse")
def twisted_serves(net):
    require_twisted()
    for number, (kind, framer) in enumerate(KINDS):
        port = 4000 + number
        process = net.server.spawn(PYTHON, PEER, "serve", kind, SERVER4, port)
        wait_listening(net.server, process, port)
        texts = [b"hello", b"", b"a", b"0123456789" * 25] + [b"%d, %d" % (n, n * n) for n in range(500)]
        if kind not in ("int8", "int16"):
            texts.append(b"0123456789" * 90000)
        answer = cat(net, framer, f"{SERVER4}:{port}", b"".join(text + b"\n" for text in texts), "--count", len(texts), "-k")
        check_fine(answer)
        check_equal(answer.out, b"".join(text[::-1] + b"\n" for text in texts), f"{kind}: the answers")


# proves API-130
@test("Twisted calls: what it sends to taps serve comes back as it was")
def twisted_calls(net):
    require_twisted()
    for number, (kind, framer) in enumerate(KINDS):
        port = 4000 + number
        process = net.server.spawn(TAPS, "serve", "--security", "disabled", "-p", "reliability=require", "--framer", framer,
                                   f"{SERVER4}:{port}")
        wait_listening(net.server, process, port)
        peer = net.client.run(PYTHON, PEER, "call", kind, SERVER4, port, 300)
        check_equal(peer.status, 0, f"{kind}: Twisted is content; {peer.out!r} {peer.err[-300:]!r}")


# --------------------------------------------------------------------------------------------------------- openssl

@test("openssl s_server, tlv: a record of TLS is a Message, its type and version are metadata")
def tls_records(net):
    authority = Authority(net)
    s_server(net.server, 443, authority.issue(SERVER4))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="server.test")
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    record = outgoing.read()
    kind, length = int.from_bytes(record[:3], "big"), int.from_bytes(record[3:5], "big")
    need(len(record) == 5 + length, "one record")
    process = cat(net, f"tlv:type=3,length=2,default-type={kind}", f"{SERVER4}:443", record[5:], "--size", length,
                  "--count", 1, "-v")
    check_fine(process)
    check_equal(process.out[:1], b"\2", "a ServerHello comes")
    check(str(0x160303).encode() in process.err, f"the type of its record: {process.err[-400:]!r}")
    process = cat(net, f"tlv:type=3,length=2,default-type={kind}", f"{SERVER4}:443", b"no hello at all", "--count", 1, "-v")
    check(str(0x150303).encode() in process.err or str(0x150301).encode() in process.err,
          f"what is no hello is answered with an alert: {process.err[-400:]!r}")


# -------------------------------------------------------------------------------------------------- bad servers

BAD = [("length-prefix", b"\xff\xff\xff\xff", b"a Message of 4294967295 bytes was announced, and the maximum is 16777216"),
       ("length-prefix:length=varint", b"\x80" * 20, b"a varint of more than 64 bits"),
       ("delimiter:maximum=1k", b"x" * 2000, b"bytes without the delimiter, and the maximum is 1024"),
       ("delimiter", b"half a line", b"without the delimiter"),
       ("netstring", b"5:hello;", b"byte 0x3b where the comma behind a Message must be"),
       ("netstring", b"18446744073709551621:hello,", b"and the maximum is 16777216"),
       ("tlv:length=4,default-type=1", b"\1\x80\0\0\0", b"type 1 with 2147483648 bytes was announced"),
       ("tlv:default-type=1", b"\1\0\x20half", b"middle of a Message")]


@test("servers that send what cannot be: the reason is told")
def bad_servers(net):
    for number, (framer, data, words) in enumerate(BAD):
        def serve(connection, _, data=data):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        Listener(net.server, SERVER4, 4000 + number, serve)
        process = cat(net, framer, f"{SERVER4}:{4000 + number}", b"hello\n", "-k")
        check_equal(process.status, 1, f"{framer}: exit status")
        check(words in process.err, f"{framer}: the reason: {process.err[-300:]!r}")


main()
