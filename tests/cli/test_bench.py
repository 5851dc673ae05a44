"""Tests of `taps bench`: what it refuses, what it measures, and that it ends. Argument: the path of the program."""

import json
import shutil
import signal
import socket
import sys
import threading
import time

from program import DATAGRAMS, PLAIN, TAPS, is_usage_error, port_of, server, tap, taps
from tap import LIMIT, Certificates, echo, receive_all, refusing, serving, started

FIELDS = {"target", "mode", "stack", "security", "connections", "streams", "size", "depth", "rate", "ready_ms", "seconds", "messages",
          "bytes", "messages_per_second", "bytes_per_second", "latency_us"}
LONG = ["--time", "600"]  # more than a test may take: what ends has not ended by its time


def bench(*words, **more):
    """The result and its JSON, checked for what always holds; None if there is none."""
    result = taps("bench", "--json", *words, **more)
    if not result.out:
        return result, None
    value = json.loads(result.out)
    counts, latency, problems = value["messages"], value["latency_us"], []
    if set(value) != FIELDS:
        problems.append(f"fields {sorted(value)}")
    if counts["done"] + counts["lost"] + counts["failed"] > counts["sent"]:
        problems.append("more came of them than were sent")
    if value["bytes"] != counts["done"] * value["size"]:
        problems.append("bytes")
    if (latency is None) != (counts["done"] == 0):
        problems.append("latency of none")
    if latency:
        steps = [latency[key] for key in ("min", "p50", "p90", "p99", "p99_9", "max")]
        if steps != sorted(steps) or not latency["min"] <= latency["mean"] <= latency["max"]:
            problems.append("percentiles that do not grow")
    tap.check(f"JSON of bench {' '.join(words[:-1])} is consistent", not problems, f"{problems}\n{result}")
    return result, value


# ------------------------------------------------------------------------------------------------------ usage

def test_usage():
    there = "localhost:9"
    for option, values in (
            ("--count", ("0", "-1", "x", "", "1.5", "1k", "99999999999999999999999")),
            ("--size", ("0", "-1", "x", "", "1.5", "64kB", "65M", "1T", "k", "1kk", "99999999999999999999999")),
            ("--time", ("0", "-1", "x", "", "1e3", "inf", "90000", "1s")),
            ("--connections", ("0", "-1", "x", "", "1025", "1.5")),
            ("--depth", ("0", "-1", "x", "", "65537", "1.5")),
            ("--rate", ("0", "-1", "x", "", "1e3", "inf", "nan", "10b", "10 MB", "1.2.3", "0.0001", "1kb")),
            ("--wait", ("0", "-1", "x", "", "90000")),
            ("--message-property", ("", "=", "=1", "msgPriority"))):
        for value in values:
            is_usage_error(f"bench {option} {value!r}", "bench", *PLAIN, option, value, there, says=option)
        is_usage_error(f"bench {option} without a value", "bench", *PLAIN, there, option, says="needs a value")
    is_usage_error("bench --one-way=yes", "bench", *PLAIN, "--one-way=yes", there, says="takes no value")
    is_usage_error("bench --idle, which is of others", "bench", *PLAIN, "--idle", "1", there, says="no option --idle")
    for text, what in (("nosuch=1", "msgPriority"), ("reliability=require", "msgReliable"),
                       ("connPriority=1", "no property of a Message"), ("msgPriority=high", "number"),
                       ("msgOrdered=perhaps", "true or false"), ("final=true", "last one"), ("msgLifetime=-1", "number"),
                       ("x" * 300 + "=1", "no Message Property"), ("msgCapacityProfile=fast", "one of")):
        is_usage_error(f"bench --message-property {text[:40]!r}", "bench", *PLAIN, "--message-property", text, there,
                       says=what)


# --------------------------------------------------------------------------------------------------- failures

def test_that_fails():
    with refusing() as port:
        there = f"127.0.0.1:{port}"
        result = taps("bench", *PLAIN, there)
        tap.check("bench: refused", result.code == 1 and result.out == b"" and b"refused" in result.err.lower(), result)
        result = taps("bench", *PLAIN, "--connections", "20", there)
        tap.check("bench: 20 refused are told once", result.code == 1 and result.err.count(b"cannot connect") == 1, result)
        result, value = bench(*DATAGRAMS, "--time", "0.3", "--wait", "0.1", there)
        tap.check("bench over UDP: nobody answers, and it ends", result.code == 1 and value["messages"]["done"] == 0
                  and b"nothing came back" in result.err, result)
    with serving(receive_all) as port:
        result, value = bench(*PLAIN, "--count", "3", "--wait", "0.3", f"127.0.0.1:{port}")
        tap.check("bench: a server that only takes is told, with a hint", result.code == 1 and b"--one-way" in result.err
                  and value["messages"]["done"] == 0, result)
    with serving(lambda connection: connection.sendall(b"220 welcome\r\n") or receive_all(connection)) as port:
        result, value = bench(*PLAIN, *LONG, f"127.0.0.1:{port}")
        tap.check("bench: a server that speaks first is no echo", result.code == 1 and b"something else" in result.err,
                  result)
    with serving(lambda connection: connection.sendall(connection.recv(4096).upper()) or receive_all(connection)) as port:
        result, value = bench(*PLAIN, *LONG, f"127.0.0.1:{port}")
        tap.check("bench: a server that changes what it sends back", result.code == 1 and b"something else" in result.err,
                  result)

    def some(connection):
        """It ends, and reads on: closing with a message unread would be a reset."""
        for _ in range(5):
            connection.sendall(connection.recv(64))
        connection.shutdown(socket.SHUT_WR)
        receive_all(connection)

    with serving(some) as port:
        result, value = bench(*PLAIN, *LONG, f"127.0.0.1:{port}")
        tap.check("bench: a server that ends early is told, and what was measured is there", result.code == 1
                  and value["messages"]["done"] == 5 and b"ended" in result.err, result)

    def reset(connection):
        connection.recv(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with serving(reset) as port:
        result, value = bench(*PLAIN, *LONG, f"127.0.0.1:{port}")
        tap.check("bench: a reset is an error", result.code == 1 and b"taps bench:" in result.err, result)
    with server(*PLAIN, "127.0.0.1:0") as (_process, places):
        there = f"127.0.0.1:{port_of(places, 'udp')}"
        is_usage_error("bench over UDP without room for the number", "bench", *DATAGRAMS, "--size", "7", there, says="--size")
        is_usage_error("bench over UDP, larger than a datagram", "bench", *DATAGRAMS, "--size", "70000", there,
                       says="--size")


# --------------------------------------------------------------------------------------------------- measures

def test_echo():
    with server(*PLAIN, "127.0.0.1:0") as (_process, places):
        there = f"127.0.0.1:{port_of(places, 'tcp')}"
        result, value = bench(*PLAIN, "--count", "1000", there)
        tap.check("bench --count: so many, each of them back", result.code == 0 and result.err == b"" and
                  value["messages"] == {"sent": 1000, "done": 1000, "lost": 0, "late": 0, "failed": 0, "behind": 0}
                  and value["stack"] == "tcp" and value["size"] == 64 and value["depth"] == 1, result)
        for words in (("--size", "1"), ("--size", "1M", "--depth", "3"), ("--connections", "7", "--depth", "5"),
                      ("--message-property", "msgPriority=5")):
            result, value = bench(*PLAIN, "--count", "50", *words, there)
            tap.check(f"bench {' '.join(words)}", result.code == 0 and value["messages"]["done"] == 50, result)
        result, value = bench(*PLAIN, "--time", "0.3", there)
        tap.check("bench --time", result.code == 0 and 0.29 < value["seconds"] < result.seconds
                  and value["messages"]["done"] > 0, result)
        result, value = bench(*PLAIN, "--rate", "500", "--time", "0.5", there)
        counts = value["messages"]
        tap.check("bench --rate: 250, or it tells how many of them it is behind", result.code == 0 and counts["done"] > 0
                  and counts["done"] + counts["behind"] == 250 and value["rate"] == 500, result)
        result, value = bench(*PLAIN, "--rate", "100kB", "--size", "1000", "--count", "20", there)
        tap.check("bench --rate in bytes", result.code == 0 and value["rate"] == 100
                  and value["seconds"] > 0.19, result)
        result = taps("bench", *PLAIN, "--count", "10", there)
        tap.check("bench as text", result.code == 0 and all(word in result.out for word in (
            b"Throughput", b"p50", b"p90", b"p99", b"p99.9", b"max", b"per second")) and b"\033" not in result.out, result)
        with open("/dev/full", "wb") as full:
            with started([TAPS, "bench", "--count", "3", *PLAIN, there], stdout=full) as process:
                tap.check("bench onto a full disk is an error", process.wait(LIMIT) == 1
                          and b"standard output" in process.stderr.read(), process)


def test_interrupted():
    under_way = threading.Event()

    def tells(connection):
        for _ in range(5):
            connection.sendall(connection.recv(64))
        under_way.set()
        echo(connection)

    with serving(tells) as port, started([TAPS, "bench", "--json", *PLAIN, *LONG, f"127.0.0.1:{port}"]) as process:
        under_way.wait(LIMIT)
        process.send_signal(signal.SIGINT)
        code, out = process.wait(LIMIT), process.stdout.read()
        tap.check("bench at SIGINT ends and tells what it has", code == 0 and json.loads(out)["messages"]["done"] > 3,
                  (code, out))


def test_one_way():
    got = []
    with serving(lambda connection: got.append(len(receive_all(connection)))) as port:
        result, value = bench(*PLAIN, "--one-way", "--count", "500", "--size", "10k", f"127.0.0.1:{port}")
    tap.check("bench --one-way: all of it was delivered", result.code == 0 and got == [500 * 10240]
              and value["messages"]["done"] == 500 and value["mode"] == "one-way", (result, got))


def test_stall_counts_for_all_that_were_due():
    """A server that stops for a second: with a rate, all that were due meanwhile are late; without, only one is."""
    def stalls(connection):
        for _ in range(40):
            connection.sendall(connection.recv(64))
        time.sleep(1)
        echo(connection)

    with serving(stalls) as port:
        result, value = bench(*PLAIN, "--rate", "200", "--count", "200", f"127.0.0.1:{port}")
        tap.check("bench --rate: a stall shows in the percentiles", result.code == 0
                  and value["latency_us"]["p90"] > 700000 and value["latency_us"]["max"] > 900000
                  and value["messages"]["done"] == 200, result)
    with serving(stalls) as port:
        result, value = bench(*PLAIN, "--count", "400", f"127.0.0.1:{port}")
        tap.check("bench without a rate: only the slowest tells of it", result.code == 0
                  and value["latency_us"]["p90"] < 700000 and value["latency_us"]["max"] > 900000, result)


def test_datagrams_that_are_lost():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(0.05)
        over = threading.Event()

        def drops_every_fifth():
            number = 0
            while not over.is_set():
                try:
                    data, client = peer.recvfrom(65536)
                except TimeoutError:
                    continue
                number += 1
                if number % 5 == 0:
                    continue
                peer.sendto(data, client)
                if number % 7 == 0:
                    peer.sendto(data, client)

        thread = threading.Thread(target=drops_every_fifth, daemon=True)
        thread.start()
        there = f"127.0.0.1:{peer.getsockname()[1]}"
        for words in ((), ("--depth", "4"), ("--rate", "500")):
            result, value = bench(*DATAGRAMS, "--count", "20", "--wait", "0.4", *words, there)
            counts = value["messages"]
            tap.check(f"bench over UDP {' '.join(words)}: the lost ones are counted", result.code == 0
                      and counts["sent"] == 20 and counts["lost"] >= 4 and counts["done"] + counts["lost"] == 20, result)
            tap.check("and answers that come twice are no more than late", counts["late"] >= 1, result)
        over.set()
        thread.join()


def test_tls():
    if not Certificates.possible():
        tap.skip("bench over TLS", "no openssl program here")
        return
    certificates = Certificates()
    try:
        cert, key = certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")
        with server("--cert", cert, "--key", key, "127.0.0.1:0") as (_process, places):
            there = f"127.0.0.1:{port_of(places, 'tls/tcp')}"
            result, value = bench("--cafile", certificates.ca, "--count", "500", "--depth", "8", there)
            tap.check("bench over TLS", result.code == 0 and value["messages"]["done"] == 500
                      and value["security"].startswith("TLS"), result)
            result, value = bench("--count", "5", there)
            tap.check("bench: an authority nobody trusts", result.code == 1 and value is None
                      and b"--cafile" in result.err, result)
    finally:
        certificates.remove()


def test_against_socat():
    if not shutil.which("socat"):
        tap.skip("bench against socat", "no socat here")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for kind, words in (("TCP", PLAIN), ("UDP", DATAGRAMS)):
        with started(["socat", f"{kind}4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", "PIPE"]):
            deadline = time.monotonic() + LIMIT
            value = None
            while value is None and time.monotonic() < deadline:
                result = taps("bench", "--json", *words, "--count", "100", f"127.0.0.1:{port}")
                value = json.loads(result.out) if result.code == 0 else None
            tap.check(f"bench against socat's echo over {kind}", value
                      and value["messages"]["done"] >= (100 if kind == "TCP" else 1), result)


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
