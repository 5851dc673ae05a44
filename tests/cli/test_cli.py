"""Tests of the `taps` program: usage errors, exit codes, JSON, pipes. Argument: the path of the program. Prints TAP.

They cite what the program makes visible of the library: proves API-001, API-004, API-019, API-062, API-063, API-065,
API-095, API-104, API-121, API-123, IMPL-01, IMPL-25.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile

from program import DATAGRAMS, PLAIN, TAPS, is_usage_error, port_of, server, tap, taps
from tap import (LIMIT, Certificates, clean_environment, echo, has_ipv6, listen, receive_all, refusing, serving,
                 started)

FIELDS = {"result", "error", "ready_ms", "chosen", "security", "race", "framers", "candidates", "resolutions", "properties",
          "statistics"}
CANDIDATE_FIELDS = {"id", "stack", "remote", "local", "interface", "state", "start_ms", "end_ms", "reason"}
STATES = {"won", "failed", "cancelled", "not-started", "pruned"}


# ------------------------------------------------------------------------------------------------------ usage

def test_usage_of_the_program():
    result = taps()
    tap.check("usage: no command", result.code == 2 and result.out == b"" and b"usage: taps" in result.err, result)
    is_usage_error("an unknown command", "connect", says="no command 'connect'")
    is_usage_error("an empty command", "", says="no command")
    is_usage_error("an option where a command belongs", "--json", says="no command")
    is_usage_error("help for what does not exist", "help", "connect", says="connect")
    is_usage_error("help for two", "help", "probe", "cat", says="one command")
    is_usage_error("a terminal's control characters", "\033[31mred", says="?[31mred")


def test_usage_of_endpoints():
    for command in ("probe", "cat", "bench"):
        is_usage_error(f"{command} without an argument", command, says="missing")
        is_usage_error(f"{command} with two", command, "localhost:1", "localhost:2", says="one HOST:PORT")
        is_usage_error(f"{command} with three", command, "a:1", "b:2", "c:3", says="too many")
        for text, what in (("localhost", "no port"), ("127.0.0.1", "no port"), ("[::1]", "no port"),
                           ("localhost:", ""), (":443", "host"), ("", ""), (":", ""), ("[::1", ""), ("[]:443", ""),
                           ("localhost:65536", ""), ("localhost:99999999999999999999", ""), ("localhost:-1", ""),
                           ("localhost:no such service", ""), ("a b:1", ""), ("x" * 300 + ":1", "")):
            is_usage_error(f"{command} {text[:40]!r}", command, text, says=what)
        result = taps(command, "localhost:no-such-service")
        tap.check(f"{command} with a service the system does not know", result.code == 1
                  and b"no-such-service" in result.err, result)
    is_usage_error("an IPv6 address without brackets has a hint with brackets", "probe", "2001:db8::1",
                   says="[2001:db8::1]:443")
    is_usage_error("cat -l without a port", "cat", "-l", says="missing")
    is_usage_error("cat -l with a host but no port", "cat", "-l", *PLAIN, "localhost", says="not a port")
    for text in ("65536", "http:", "-", "80x", "", "999999999999", "localhost"):
        is_usage_error(f"serve {text!r}", "serve", *PLAIN, "--", text)
    is_usage_error("serve without a port", "serve", *PLAIN, says="missing")
    is_usage_error("serve with two ports", "serve", *PLAIN, "1", "2", says="one PORT")
    is_usage_error("serve with a family and an address", "serve", *PLAIN, "-4", "127.0.0.1:0", says="exclude")


def test_usage_of_options():
    there = "localhost:9"
    for words, what in (
            (("--nope",), "no option --nope"), (("-Z",), "no option -Z"), (("--json=yes",), "takes no value"),
            (("--",), "missing"), (("--timeout",), "needs a value"), (("-p",), "needs a value"),
            (("--tim", "1"), "no option --tim"), (("-4vZ",), "no option -Z")):
        is_usage_error(f"probe {' '.join(words)}", "probe", *words, says=what)
    for value in ("0", "-1", "abc", "", "1e3", "nan", "inf", "0x10", "1s", "1..2", "90000", " 1"):
        is_usage_error(f"--timeout {value!r}", "probe", "--timeout", value, there, says="--timeout")
    for value in ("9", "2001", "-50", "abc", "", "1.5", "99999999999999999999"):
        is_usage_error(f"--attempt-delay {value!r}", "probe", "--attempt-delay", value, there, says="--attempt-delay")
    for value in ("", "no", "Disabled", "none"):
        is_usage_error(f"--security {value!r}", "probe", "--security", value, there, says="--security")
    for value in ("", "reliable", "stream"):
        is_usage_error(f"--profile {value!r}", "probe", "--profile", value, there, says="unreliable-datagram")
    for value in ("1.1", "1.4", "3", "", "SSL"):
        is_usage_error(f"--min-version {value!r}", "probe", "--min-version", value, there, says="1.3")
    for value in ("", ",", "h2,", ",h2", "a,,b", "x" * 256):
        is_usage_error(f"--alpn {value[:20]!r}", "probe", "--alpn", value, there, says="--alpn")
    for value in ("", "nonsense", "300.1.1.1", "1.2.3.4:99999", "[::1", "127.0.0.1:", "example.org:53"):
        is_usage_error(f"--resolver {value!r}", "probe", "--resolver", value, there, says="--resolver")
    is_usage_error("-4 with -6", "probe", "-4", "-6", there, says="exclude")
    is_usage_error("-64 in one word", "probe", "-64", there, says="exclude")
    for value in ("0", "x", "-1", ""):
        is_usage_error(f"serve --connections {value!r}", "serve", *PLAIN, "--connections", value, "0",
                       says="--connections")
    is_usage_error("serve --idle 0", "serve", *PLAIN, "--idle", "0", "0", says="--idle")
    is_usage_error("cat --idle x", "cat", *PLAIN, "--idle", "x", there, says="--idle")
    is_usage_error("demo with an argument", "demo", "fast", says="no arguments")
    is_usage_error("demo with an option of others", "demo", "-p", "reliability=require", says="no option -p")
    is_usage_error("65 properties", "probe", *(["-p", "reliability=require"] * 65), there, says="64")


def test_usage_of_properties():
    there = "localhost:9"
    for text, what in (("reliability", "NAME=VALUE"), ("=require", "NAME=VALUE"), ("", "NAME=VALUE"),
                       ("nosuch=1", "nosuch"), ("tcp.nosuch=1", "nosuch"), ("x" * 500 + "=1", "no property"),
                       ("reliability=maybe", "prohibit"), ("reliability=", "prohibit"), ("reliability=true", "prohibit"),
                       ("direction=sideways", "unidirectional"), ("multipath=9", "one of"),
                       ("advertisesAltaddr=2", "true or false"), ("connPriority=-1", "number"),
                       ("connPriority=ten", "number"), ("connPriority=99999999999999999999999", "number"),
                       ("connTimeout=abc", "number"), ("connTimeout=-5", "number"), ("connTimeout=1e999", "number"),
                       ("connState=established", "connState"), ("canSend=true", "canSend"),
                       ("interface=eth0", "preference"), ("interface=require", "preference")):
        is_usage_error(f"-p {text[:40]!r}", "probe", "-p", text, there, says=what)
    is_usage_error("a later wrong property", "probe", "-p", "reliability=require", "-p", "reliability=0.5", there)


def test_usage_of_security():
    there = "localhost:9"
    with tempfile.TemporaryDirectory() as folder:
        junk = os.path.join(folder, "junk.pem")
        with open(junk, "w", encoding="ascii") as file:
            file.write("this is not a certificate\n")
        broken = os.path.join(folder, "broken.pem")
        with open(broken, "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n")
        missing = os.path.join(folder, "missing.pem")
        empty = os.path.join(folder, "empty.pem")
        open(empty, "w", encoding="ascii").close()
        for name, path in (("missing", missing), ("junk", junk), ("empty", empty), ("a folder", folder)):
            is_usage_error(f"--cafile {name}", "probe", "--cafile", path, there, says="--cafile")
            is_usage_error(f"--cert {name}", "probe", "--cert", path, "--key", path, there, says=path)
            is_usage_error(f"serve --cert {name}", "serve", "--cert", path, "--key", path, "0", says=path)
        for words in (("probe", "--cafile", broken, there), ("serve", "--cert", broken, "--key", broken, "0")):
            result = taps(*words)
            tap.check(f"{words[0]} with PEM that holds no certificate", result.code in (1, 2)
                      and b"certificate" in result.err.lower(), result)
        is_usage_error("--cert without --key", "serve", "--cert", junk, "0", says="belong together")
        is_usage_error("--key without --cert", "serve", "--key", junk, "0", says="belong together")
        for words in (("--cafile", junk), ("--cert", junk, "--key", junk), ("--alpn", "h2"), ("--server-name", "a"),
                      ("--min-version", "1.3")):
            is_usage_error(f"{words[0]} without security", "probe", *PLAIN, *words, there, says=words[0])
    for command in (("serve", "0"), ("cat", "-l", "0")):
        result = taps(*command)
        tap.check(f"usage: secure {command[0]} without a certificate tells both ways out",
                  result.code == 2 and b"--cert" in result.err and b"--security disabled" in result.err, result)
    is_usage_error("an absurd server name", "probe", "--server-name", "x" * 300, there, says="--server-name")
    is_usage_error("an empty server name", "probe", "--server-name", "", there, says="--server-name")


# ------------------------------------------------------------------------------------------------------- help

def test_help():
    for words in (("help",), ("--help",), ("-h",)):
        result = taps(*words)
        tap.check(f"{words[0]} lists the commands", result.code == 0 and result.err == b""
                  and all(name in result.out for name in (b"probe", b"cat", b"serve", b"bench", b"demo")), result)
    for name in ("probe", "cat", "serve", "bench", "demo"):
        result, same = taps("help", name), taps(name, "--help")
        tap.check(f"help {name} and {name} --help are the same", result.code == 0 and result.out == same.out
                  and f"usage: taps {name}".encode() in result.out and same.code == 0, result)
    result = taps("help", "cat")
    tap.check("help shows what an option takes, however long", all(
        text in result.out for text in (b"--message-property NAME=VALUE\n", b"--metadata [FRAMER/]KEY=VALUE\n")), result)
    result = taps("probe", "--help", "--nope")
    tap.check("--help wins over what follows", result.code == 0, result)
    result = taps("--version")
    tap.check("--version", result.code == 0 and re.fullmatch(rb"taps \d+\.\d+\.\d+\n", result.out), result)
    result = taps("help", "properties")
    tap.check("help properties names the RFC's", result.code == 0 and all(
        name in result.out for name in (b"reliability", b"preserveMsgBoundaries", b"connCapacityProfile",
                                        b"tcp.userTimeoutEnabled", b"msgLifetime", b"canSend")), result)


def test_output_that_nobody_takes():
    with open("/dev/full", "wb") as full:
        for words in (("help",), ("help", "probe"), ("help", "properties"), ("--version",)):
            process = subprocess.run([TAPS, *words], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
            tap.check(f"{' '.join(words)} onto a full disk is an error",
                      process.returncode == 1 and b"standard output" in process.stderr, process)
    process = subprocess.run(["sh", "-c", 'exec "$0" --version >&-', TAPS], stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    tap.check("closed standard output is an error", process.returncode == 1, process)
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([TAPS, "help"], stdout=writer, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    os.close(writer)
    tap.check("a reader that went away ends it without a signal and without words",
              process.returncode == 1 and process.stderr == b"", process)


# ------------------------------------------------------------------------------------------------------ probe

def no_constant(text):
    raise ValueError(f"{text} is not JSON")


def probe_json(*words, **more):
    """The result and its JSON, checked for what always holds; None if it is not JSON."""
    result = taps("probe", "--json", *words, **more)
    try:
        value = json.loads(result.out, parse_constant=no_constant)
    except ValueError as error:
        tap.check("the output is one JSON object", False, f"{error}\n{result}")
        return result, None
    ids = [one["id"] for one in value["candidates"]]
    problems = []
    if set(value) != FIELDS:
        problems.append(f"fields {sorted(value)}")
    if any(set(one) != CANDIDATE_FIELDS for one in value["candidates"]):
        problems.append("fields of a candidate")
    if any(one["state"] not in STATES for one in value["candidates"]):
        problems.append("state of a candidate")
    if len(set(ids)) != len(ids):
        problems.append("an id twice")
    if value["result"] == "established":
        won = [one["id"] for one in value["candidates"] if one["state"] == "won"]
        if value["error"] is not None or won != [value["chosen"]] or not value["ready_ms"] >= 0 or result.code != 0:
            problems.append("established, but not consistently")
    elif value["result"] == "error":
        if set(value["error"]) != {"reason", "detail"} or value["chosen"] is not None or value["ready_ms"] is not None:
            problems.append("an error, but not consistently")
        if any(one["state"] == "won" for one in value["candidates"]) or result.code != 1 or not result.err:
            problems.append("an error, but not consistently")
    else:
        problems.append("result")
    for one in value["candidates"]:
        if (one["start_ms"] is None) != (one["state"] in ("not-started", "pruned")):
            problems.append(f"{one['id']} is {one['state']} and started at {one['start_ms']}")
    tap.check(f"JSON of probe {' '.join(words)} is consistent", not problems, f"{problems}\n{result}")
    return result, value


def test_probe_that_fails():
    with refusing() as port:
        result, value = probe_json(*PLAIN, f"127.0.0.1:{port}")
        tap.check("refused: the candidate failed and the reason says so", value and any(
            one["state"] == "failed" and "refused" in one["reason"].lower() for one in value["candidates"]), result)
        result = taps("probe", *PLAIN, f"127.0.0.1:{port}")
        tap.check("refused, as text: exit 1, tree at output, error and hint at standard error",
                  result.code == 1 and b"Candidates" in result.out and result.err.startswith(b"taps probe: cannot connect")
                  and len(result.err.splitlines()) == 2, result)
        tap.check("and it names the target once", result.err.splitlines()[0].count(b"127.0.0.1") == 1, result)
    result, value = probe_json("-p", "preserveMsgBoundaries=require", "-p", "reliability=require", "127.0.0.1:9")
    tap.check("what no stack has is refused as configuration",
              value and value["error"]["reason"] == "InvalidConfiguration", result)
    tap.check("and the stacks are listed as pruned, with reasons", value and value["candidates"] and all(
        one["state"] == "pruned" and one["reason"] for one in value["candidates"]), result)
    tap.check("and the properties are those asked for",
              value and value["properties"].get("preserveMsgBoundaries") == "require", result)
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with holder:
        holder.bind(("127.0.0.1", 0))
        resolver = f"127.0.0.1:{holder.getsockname()[1]}"
        result, value = probe_json("--resolver", resolver, "--timeout", "0.4", "nowhere.example:443")
        tap.check("a resolver that is silent: the deadline holds", value and result.seconds > 0.3
                  and value["error"]["reason"] in ("Timeout", "ResolutionFailed"), result)
    _result, value = probe_json(*PLAIN, "--interface", "nosuch0", "127.0.0.1:9")
    tap.check("an interface that is not there: no candidates", value and value["error"]["reason"] in (
        "NoCandidates", "InvalidConfiguration"), value)
    _result, value = probe_json(*PLAIN, "-6", "127.0.0.1:9")
    tap.check("an IPv4 address with -6: no candidates", value and value["result"] == "error", value)


def test_probe_of_a_black_hole():
    with listen(backlog=0) as hole:
        address, fillers = hole.getsockname(), []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(address)
            fillers.append(one)
        if select.select([], [fillers[-1]], [], 0.1)[1]:
            tap.skip("a black hole", "this system answers in spite of a full backlog")
            return
        result, value = probe_json(*PLAIN, "--timeout", "0.5", f"127.0.0.1:{address[1]}")
        tap.check("a black hole: Timeout at the deadline", value and value["error"]["reason"] == "Timeout"
                  and result.seconds > 0.4, result)
        result = taps("probe", *PLAIN, "--timeout", "0.3", f"127.0.0.1:{address[1]}")
        tap.check("and, as text, it names the target once", result.code == 1
                  and result.err.splitlines()[0].count(b"127.0.0.1") == 1, result)
        for one in fillers:
            one.close()


def test_probe_that_succeeds():
    with serving(receive_all, count=2) as port:
        result, value = probe_json(*PLAIN, f"127.0.0.1:{port}")
        won = [one for one in value["candidates"] if one["state"] == "won"] if value else []
        tap.check("established over TCP", won and won[0]["stack"] == "tcp" and won[0]["remote"] == f"127.0.0.1:{port}"
                  and won[0]["interface"] == "lo" and won[0]["local"].startswith("127.0.0.1:"), result)
        tap.check("properties are Booleans and numbers where they are",
                  value and value["properties"].get("reliability") is True
                  and value["properties"].get("preserveMsgBoundaries") is False
                  and value["properties"].get("connPriority") == 100, value and value["properties"])
        numbers = value["statistics"] if value else {}
        tap.check("statistics of TCP, and none it does not have", numbers.get("bytesSent") == 0
                  and numbers.get("pathMtu", 0) > 500 and "roundTripUs" in numbers and "messagesSent" not in numbers,
                  numbers)
        result = taps("probe", *PLAIN, f"127.0.0.1:{port}")
        tap.check("as text: tree, timeline, result, properties, no escapes in a pipe", result.code == 0
                  and all(word in result.out for word in (b"Candidates", b"Timeline", b"Result", b"reliability",
                                                  b"Statistics", b"roundTripUs"))
                  and b"\033" not in result.out and result.err == b"", result)
    with serving(receive_all) as port:
        _result, value = probe_json(*PLAIN, "-4", "-p", "RELIABILITY=Require", f"localhost:{port}")
        tap.check("-4 by name: only IPv4 was a candidate", value and value["result"] == "established" and all(
            not one["remote"] or one["remote"].startswith("127.") for one in value["candidates"]), value)


def terminal_output(words, environment):
    """What the program writes to a terminal of 60 columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, 0x5414, (24).to_bytes(2, "little") + (60).to_bytes(2, "little") + bytes(4))  # TIOCSWINSZ
    process = subprocess.Popen([TAPS, *words], stdin=subprocess.DEVNULL, stdout=follower, stderr=follower,
                               env=environment)
    os.close(follower)
    pieces = []
    with contextlib.suppress(OSError):
        while data := os.read(leader, 65536):
            pieces.append(data)
    os.close(leader)
    process.wait(LIMIT)
    return b"".join(pieces)


def test_terminal():
    for extra, colours in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                           ({"TERM": "xterm", "NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)):
        with serving(receive_all) as port:
            out = terminal_output(["probe", *PLAIN, f"127.0.0.1:{port}"], clean_environment(**extra))
        tap.check(f"colours with {extra}: {colours}", (b"\033[" in out) == colours and b"Candidates" in out, out)
        text = re.sub(rb"\033\[[0-9;]*m", b"", out).decode()
        wide = [line for line in text.replace("\r", "").split("\n") if len(line) > 60]
        tap.check(f"no line is wider than the terminal with {extra}", not wide, "\n".join(wide))


# -------------------------------------------------------------------------------------------------------- cat

def test_cat_that_fails():
    with refusing() as port:
        result = taps("cat", *PLAIN, f"127.0.0.1:{port}", stdin=b"x")
        tap.check("cat: refused", result.code == 1 and result.out == b"" and b"refused" in result.err.lower(), result)

    def reset(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with serving(reset) as port, started([TAPS, "cat", *PLAIN, f"127.0.0.1:{port}"], stdin=subprocess.PIPE) as process:
        process.stdin.write(b"x")
        process.stdin.flush()
        code = process.wait(LIMIT)
        tap.check("cat: a reset is an error", code == 1 and b"taps cat:" in process.stderr.read(), code)
    with serving(receive_all) as port:
        folder = os.open("/", os.O_RDONLY)
        process = subprocess.run([TAPS, "cat", *PLAIN, f"127.0.0.1:{port}"], stdin=folder, capture_output=True, timeout=LIMIT,
                                 check=False)
        os.close(folder)
        tap.check("cat: input that cannot be read is an error", process.returncode == 1
                  and b"standard input" in process.stderr, process)
    with serving(lambda connection: connection.sendall(b"x" * 100000)) as port, open("/dev/full", "wb") as full:
        process = subprocess.run([TAPS, "cat", *PLAIN, f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL, stdout=full,
                                 stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        tap.check("cat: output that cannot be written is an error", process.returncode == 1
                  and b"standard output" in process.stderr, process)
    result = taps("cat", "-l", *PLAIN, "--timeout", "0.2", "127.0.0.1:0")
    tap.check("cat -l: nobody came in time", result.code == 1 and b"nobody" in result.err, result)
    with listen() as taken:
        port = taken.getsockname()[1]
        result = taps("cat", "-l", *PLAIN, f"127.0.0.1:{port}")
        tap.check("cat -l: the port is taken", result.code == 1 and b"port 0" in result.err, result)
        result = taps("serve", *PLAIN, f"127.0.0.1:{port}", "-p", "reliability=require")
        tap.check("serve: the port is taken", result.code == 1 and result.out == b"" and b"port 0" in result.err, result)
    result = taps("cat", "-l", *PLAIN, "192.0.2.1:0")
    tap.check("cat -l: not an address of this machine", result.code == 1 and b"listen" in result.err, result)


def test_cat_transfers():
    data = os.urandom(1 << 20) + b"end"
    with serving(echo) as port:
        result = taps("cat", *PLAIN, f"127.0.0.1:{port}", stdin=data)
        tap.check("cat: a megabyte through a pipe comes back", result.code == 0 and result.out == data
                  and result.err == b"", (result.code, len(result.out), result.err))
    with serving(echo) as port, tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(data)
        source.seek(0)
        process = subprocess.run([TAPS, "cat", *PLAIN, f"127.0.0.1:{port}"], stdin=source, stdout=target,
                                 stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        target.seek(0)
        tap.check("cat: from a file to a file", process.returncode == 0 and target.read() == data, process)
    with serving(echo) as port:
        result = taps("cat", *PLAIN, f"127.0.0.1:{port}")
        tap.check("cat: nothing to send", result.code == 0 and result.out == b"", result)
    got = []
    with serving(lambda connection: (connection.shutdown(socket.SHUT_WR), got.append(receive_all(connection)))) as port:
        result = taps("cat", *PLAIN, f"127.0.0.1:{port}", stdin=data)
    tap.check("cat: a peer that ends its direction first still gets everything", result.code == 0 and got == [data],
              (result, len(got[0]) if got else None))
    with serving(lambda connection: connection.sendall(b"bye")) as port, \
            started([TAPS, "cat", *PLAIN, "--idle", "0.2", f"127.0.0.1:{port}"], stdin=subprocess.PIPE) as process:
        tap.check("cat: ends at the peer's end though input is open", process.wait(LIMIT) == 0
                  and process.stdout.read() == b"bye", process.stderr)

    def slow_answer(connection, patience):
        request = connection.recv(100)
        ended = bool(select.select([connection], [], [], patience)[0])
        connection.sendall(request + (b"ended" if ended else b"open"))

    for words, wanted in (((), b"hello ended"), (("--keep-open",), b"hello open"), (("-k",), b"hello open")):
        with serving(lambda connection, words=words: slow_answer(connection, 0.3 if words else LIMIT)) as port:
            result = taps("cat", *PLAIN, *words, f"127.0.0.1:{port}", stdin=b"hello ")
            tap.check(f"cat {' '.join(words)}: at the end of input the peer sees {wanted.decode()}",
                      result.code == 0 and result.out == wanted, result)


def blocked_writes(stream, data, quiet=0.5, most=256 << 20):
    """How many bytes a non-blocking stream takes until it takes none for `quiet` seconds."""
    os.set_blocking(stream.fileno(), False)
    total = 0
    while total < most and select.select([], [stream], [], quiet)[1]:
        with contextlib.suppress(BlockingIOError):
            total += os.write(stream.fileno(), data)
    return total


def test_cat_backpressure():
    """proves API-121"""
    data = bytes(65536)
    with listen() as listener, started([TAPS, "cat", *PLAIN, f"127.0.0.1:{listener.getsockname()[1]}"],
                                       stdin=subprocess.PIPE) as process:
        connection, _peer = listener.accept()
        with connection:
            total = blocked_writes(process.stdin, data)
            tap.check("cat stops reading input when the peer does not read", total < 32 << 20, total)
            connection.settimeout(LIMIT)
            received = 0
            os.set_blocking(process.stdin.fileno(), True)
            process.stdin.close()
            while piece := connection.recv(1 << 16):
                received += len(piece)
            tap.check("and nothing is lost", received == total, (received, total))
    with listen() as listener, started([TAPS, "cat", *PLAIN, f"127.0.0.1:{listener.getsockname()[1]}"]) as process:
        connection, _peer = listener.accept()
        with connection:
            total = blocked_writes(connection, data)
            tap.check("cat stops receiving when nobody takes its output", total < 32 << 20, total)
            connection.shutdown(socket.SHUT_WR)
            received = 0
            while piece := process.stdout.read(1 << 16):
                received += len(piece)
            tap.check("and nothing is lost on this side either", received == total and process.wait(LIMIT) == 0,
                      (received, total))


def test_cat_listens():
    with started([TAPS, "cat", "-l", *PLAIN, "127.0.0.1:0"], stdin=subprocess.PIPE) as process:
        line = process.stderr.readline().decode()
        match = re.fullmatch(r"listening 127\.0\.0\.1:(\d+) tcp\n", line)
        if not tap.check("cat -l tells where at standard error", match, line):
            return
        with socket.create_connection(("127.0.0.1", int(match[1])), LIMIT) as one:
            one.sendall(b"to cat")
            one.shutdown(socket.SHUT_WR)
            process.stdin.write(b"from cat")
            process.stdin.close()
            tap.check("cat -l sends its input", receive_all(one) == b"from cat")
        tap.check("cat -l writes what came, and ends", process.wait(LIMIT) == 0 and process.stdout.read() == b"to cat")


def test_cat_datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(LIMIT)
        there = f"127.0.0.1:{peer.getsockname()[1]}"
        with started([TAPS, "cat", *DATAGRAMS, "--idle", "600", there], stdin=subprocess.PIPE) as process:
            process.stdin.write(bytes(3000))
            process.stdin.close()
            sizes, client = [], None
            while sum(sizes) < 3000:
                data, client = peer.recvfrom(65536)
                sizes.append(len(data))
            tap.check("cat over UDP: pieces of at most 1200 bytes", sizes == [1200, 1200, 600], sizes)
            peer.sendto(b"answer", client)
            tap.check("cat over UDP: takes answers", process.stdout.read(6) == b"answer", process)
        result = taps("cat", *DATAGRAMS, "--idle", "0.3", there, stdin=b"anybody?")
        tap.check("cat over UDP: ends when idle", result.code == 0 and result.seconds > 0.3
                  and peer.recv(100) == b"anybody?", result)


# ------------------------------------------------------------------------------------------------------ serve

def test_serve():
    with server(*PLAIN, "127.0.0.1:0") as (_process, places):
        stacks = {stack for _address, stack in places}
        tap.check("serve without security: tcp and udp", stacks == {"tcp", "udp"}, places)
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(b"hello")
            one.shutdown(socket.SHUT_WR)
            tap.check("serve: echo over TCP, and the end comes back", receive_all(one) == b"hello")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(LIMIT)
            one.connect(("127.0.0.1", port_of(places, "udp")))
            for text in (b"one", b"", b"x" * 1400):
                one.send(text)
                tap.check(f"serve: echo of a datagram of {len(text)} bytes", one.recv(65536) == text)
    with server(*PLAIN, "127.0.0.1:0", "--idle", "0.1", "--connections", "2") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT), \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"one", ("127.0.0.1", port_of(places, "udp")))
        tap.check("serve --connections 2 ends after both were closed", process.wait(LIMIT) == 0, process)
    for words, wanted in ((("-4",), {"0.0.0.0"}), (("-6",), {"[::]"})):
        if words == ("-6",) and not has_ipv6():
            tap.skip("serve -6", "no IPv6 here")
            continue
        with server(*PLAIN, *words, "0") as (_process, places):
            tap.check(f"serve {words[0]} listens on that family only", {address for address, _stack in places} == wanted,
                      places)
    with server(*PLAIN, "-p", "reliability=require", "127.0.0.1:0") as (_process, places):
        tap.check("serve with reliability required: no udp", {stack for _address, stack in places} == {"tcp"}, places)


def test_serve_and_signals():
    for number in (signal.SIGINT, signal.SIGTERM):
        with server(*PLAIN, "127.0.0.1:0") as (process, places):
            with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
                one.sendall(b"x")
                one.recv(1)
                process.send_signal(number)
                tap.check(f"serve at {number.name}: the peer sees an end", receive_all(one) == b"")
            tap.check(f"serve at {number.name}: exit 0", process.wait(LIMIT) == 0 and process.stderr.read() == b"", process)


def test_serve_tells():
    with server(*PLAIN, "-v", "127.0.0.1:0", "--connections", "1", "-p", "reliability=require") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(b"hello")
            one.shutdown(socket.SHUT_WR)
            receive_all(one)
        lines = process.stdout.read().decode().splitlines()
        tap.check("serve -v: accepted and closed", len(lines) == 2 and lines[0].startswith("accepted 127.0.0.1:")
                  and lines[0].endswith(" tcp") and lines[1].startswith("closed 127.0.0.1:")
                  and lines[1].endswith("5 bytes"), lines)


def test_cat_tells():
    with serving(receive_all, count=2) as port:
        result = taps("cat", *PLAIN, "-v", f"127.0.0.1:{port}", stdin=b"hello")
        lines = [line.decode() for line in result.err.splitlines()]
        events = [line.split()[7] for line in lines if "[event] connection 1 " in line]
        tap.check("cat -v: every event of the connection, in order", result.code == 0 and events[:3] ==
                  ["initiate", "attempt", "ready"] and events[-1] == "closed" and "send" in events and "sent" in events,
                  lines)
        tap.check("cat -v: statistics", any("statistics: bytesSent=5 bytesReceived=0 " in line for line in lines), lines)
        quiet = taps("cat", *PLAIN, f"127.0.0.1:{port}", stdin=b"hello")
        tap.check("without -v: not a word of it", b"[event]" not in quiet.err and b"statistics" not in quiet.err, quiet)


def test_serve_backpressure():
    with server(*PLAIN, "127.0.0.1:0") as (_process, places), \
            socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
        total = blocked_writes(one, bytes(65536))
        tap.check("serve does not hoard what a peer does not take back", total < 32 << 20, total)


# -------------------------------------------------------------------------------------------------------- TLS

def test_tls():
    if not Certificates.possible():
        tap.skip("TLS", "no openssl program here")
        return
    certificates = Certificates()
    try:
        cert, key = certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")
        other_cert, _other_key = certificates.make("other", "DNS:other.example")
        is_usage_error("a key of another certificate", "serve", "--cert", other_cert, "--key", key, "0", says="--cert")
        with server("--cert", cert, "--key", key, "127.0.0.1:0") as (_process, places):
            tap.check("serve with a certificate: secure stacks only",
                      {stack for _address, stack in places} == {"tls/tcp", "dtls/udp"}, places)
            there = f"127.0.0.1:{port_of(places, 'tls/tcp')}"
            data = os.urandom(300000)
            result = taps("cat", "--cafile", certificates.ca, there, stdin=data)
            tap.check("cat over TLS: comes back whole", result.code == 0 and result.out == data, result)
            result, value = probe_json("--cafile", certificates.ca, "--min-version", "1.3", there)
            tap.check("probe over TLS: established", value and value["result"] == "established", result)
            result, value = probe_json(there)
            tap.check("an authority nobody trusts: no connection", value and value["result"] == "error"
                      and b"--cafile" in result.err, result)
            result, value = probe_json("--cafile", certificates.ca, "--server-name", "wrong.example", there)
            tap.check("a certificate for another name: no connection", value and value["result"] == "error"
                      and b"--server-name" in result.err, result)
            result, value = probe_json(*PLAIN, there)
            tap.check("TCP without TLS to it is established, since only TLS would tell", value
                      and value["result"] == "established", result)
        with serving(lambda connection: connection.sendall(b"not TLS\n"), count=1) as port:
            result, value = probe_json("--cafile", certificates.ca, f"127.0.0.1:{port}")
            tap.check("a server without TLS: an error and a hint, never plaintext", value and value["result"] == "error"
                      and b"--security disabled" in result.err, result)
    finally:
        certificates.remove()


# ------------------------------------------------------------------------------------------------------- demo

def test_demo():
    result = taps("demo")
    tap.check("demo: everything really happened", result.code == 0 and result.err == b"", result)
    tap.check("demo: draws with boxes in UTF-8", "├" in result.out.decode(), result)
    result = taps("demo", environment=clean_environment(LC_ALL="C", COLUMNS="60"))
    lines = result.out.decode("ascii", errors="replace").splitlines()
    tap.check("demo: plain ASCII in the C locale", result.code == 0 and result.out.isascii(), result)
    tap.check("demo: fits 60 columns", max(map(len, lines)) <= 60, [line for line in lines if len(line) > 60])
    with open("/dev/full", "wb") as full:
        process = subprocess.run([TAPS, "demo"], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        tap.check("demo onto a full disk is an error", process.returncode == 1, process)


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
