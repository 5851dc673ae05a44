"""Tests of the options of Messages in `taps cat` and `taps serve`: how many, how large, how fast, with which properties,
and what is told of long transfers. Argument: the path of the program. Prints TAP."""

import os
import pty
import re
import socket
import subprocess
import sys
import threading

from program import DATAGRAMS, PLAIN, TAPS, is_usage_error, port_of, server, tap, taps
from tap import LIMIT, clean_environment, echo, receive_all, serving, started

LETTERS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"


def pattern(size):
    return (LETTERS * (size // len(LETTERS) + 1))[:size]


def collected(*words, stdin=b""):
    """What a server received from `taps cat` with these options, and the result."""
    got = []
    with serving(lambda connection: got.append(receive_all(connection))) as port:
        result = taps("cat", *PLAIN, *words, f"127.0.0.1:{port}", stdin=stdin)
    return result, got[0] if got else None


# ------------------------------------------------------------------------------------------------------ usage

def test_usage():
    for command, there in (("cat", "localhost:9"), ("serve", "0")):
        for option, values in (
                ("--count", ("0", "-1", "x", "", "1.5", "1k", "99999999999999999999999")),
                ("--size", ("0", "-1", "x", "", "1.5", "64kB", "65M", "1T", "k", " 1")),
                ("--rate", ("0", "-1", "x", "", "1e3", "inf", "10b", "10 MB", "1.2.3", "0.0001", "1kb", "5/s")),
                ("--message-property", ("", "=", "=1", "msgPriority")), ("--metadata", ("", "=", "=1", "key"))):
            for value in values:
                is_usage_error(f"{command} {option} {value!r}", command, *PLAIN, option, value, there, says=option)
            is_usage_error(f"{command} {option} without a value", command, *PLAIN, there, option, says="needs a value")
        for text, what in (("nosuch=1", "msgPriority"), ("reliability=require", "msgReliable"),
                           ("keepAlive=true", "no property of a Message"), ("msgPriority=high", "number"),
                           ("msgPriority=", "number"), ("safelyReplayable=2", "true or false"), ("final=true", "last one"),
                           ("FINAL=false", "last one"), ("msgLifetime=-1", "number"),
                           ("x" * 300 + "=1", "no Message Property"), ("msgCapacityProfile=fast", "one of")):
            is_usage_error(f"{command} --message-property {text[:40]!r}", command, *PLAIN, "--message-property", text, there,
                           says=what)
        is_usage_error(f"{command} --quiet --progress", command, *PLAIN, "--quiet", "--progress", there, says="exclude")
        is_usage_error(f"{command} --progress -q", command, *PLAIN, "--progress", "-q", there, says="exclude")
        is_usage_error(f"{command} --quiet=1", command, *PLAIN, "--quiet=1", there, says="takes no value")
        is_usage_error(f"{command} --metadata without a Framer", command, *PLAIN, "--metadata", "a=b", there,
                       says="--framer")
        is_usage_error(f"{command}: 65 Message Properties", command, *PLAIN, *(["-m", "msgPriority=1"] * 65), there,
                       says="64")
    is_usage_error("probe --count, which is of others", "probe", "--count", "1", "localhost:9", says="no option --count")
    for words, what in ((("--echo", "--sink"), "exclude"), (("--sink", "--source"), "exclude"),
                        (("--source", "--echo"), "exclude"), (("--source",), "--size"), (("--echo", "--size", "1"), "--size"),
                        (("--sink", "--size", "1"), "--size"), (("--sink", "--rate", "1"), "--rate"),
                        (("--sink", "-m", "msgPriority=1"), "--message-property")):
        is_usage_error(f"serve {' '.join(words)}", "serve", *PLAIN, *words, "0", says=what)


# -------------------------------------------------------------------------------------------------------- cat

def test_cat_makes_messages():
    result, got = collected("--size", "1000", "--count", "7")
    tap.check("cat --size --count with empty input: letters and digits", result.code == 0 and got == pattern(1000) * 7,
              (result, got and len(got)))
    result, got = collected("--size", "1M", "--count", "9")
    tap.check("cat --size 1M --count 9", result.code == 0 and got == pattern(1 << 20) * 9, (result, got and len(got)))
    result, got = collected("--size", "10")
    tap.check("without --count nothing is made", result.code == 0 and got == b"", (result, got))
    result, got = collected("--count", "10")
    tap.check("without --size nothing is made", result.code == 0 and got == b"", (result, got))
    result, got = collected("--size", "4", "--count", "3", stdin=b"0123456789abcdefgh")
    tap.check("input comes before what is made, and --count ends it", result.code == 0 and got == b"0123456789ab",
              (result, got))
    result, got = collected("--size", "4", "--count", "100", stdin=b"0123456789")
    tap.check("input that ends before --count ends it", result.code == 0 and got == b"0123456789", (result, got))
    leader, follower = pty.openpty()
    got = []
    with serving(lambda connection: got.append(receive_all(connection))) as port:
        process = subprocess.run([TAPS, "cat", *PLAIN, "--size", "5", "--count", "2", f"127.0.0.1:{port}"], stdin=follower,
                                 capture_output=True, timeout=LIMIT, check=False)
    os.close(leader)
    os.close(follower)
    tap.check("a terminal is not waited for where Messages can be made", process.returncode == 0
              and got == [b"0123401234"], (process, got))


def test_cat_counts():
    with serving(echo) as port:
        result = taps("cat", *PLAIN, "--size", "100", "--count", "50", f"127.0.0.1:{port}")
        tap.check("cat --count to an echo: all of it comes back", result.code == 0 and result.out == pattern(100) * 50, result)

    def talkative(connection):
        connection.sendall(bytes(1000000))
        receive_all(connection)

    with serving(talkative) as port:
        result = taps("cat", *PLAIN, "-k", "--size", "10", "--count", "3", f"127.0.0.1:{port}")
        tap.check("cat --count to a peer that sends more: no more than asked for", len(result.out) == 30, (result.code, len(result.out), result.err))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(LIMIT)
        thread = threading.Thread(target=lambda: [peer.sendto(*peer.recvfrom(65536)) for _ in range(4)], daemon=True)
        thread.start()
        result = taps("cat", *DATAGRAMS, "--idle", "600", "--size", "333", "--count", "4",
                      f"127.0.0.1:{peer.getsockname()[1]}")
        tap.check("cat --count over UDP ends with the last answer, not when idle", result.code == 0
                  and result.out == pattern(333) * 4, result)
        thread.join()
    result, got = collected("--count", "1", stdin=b"x" * 200000)
    tap.check("a Message without --size is what one read gave", result.code == 0 and 0 < len(got) <= 65536
              and set(got) == {ord("x")}, (result, len(got)))


def test_cat_sizes_that_do_not_fit():
    with server(*PLAIN, "127.0.0.1:0") as (_process, places):
        there = f"127.0.0.1:{port_of(places, 'udp')}"
        is_usage_error("a datagram larger than any", "cat", *DATAGRAMS, "--size", "65536", "--count", "1", there,
                       says="--size 65536")
        result = taps("cat", *DATAGRAMS, "--size", "9000", "--count", "2", there)
        tap.check("a large datagram goes as it is, or is told", (result.code == 0 and result.out == pattern(9000) * 2)
                  or (result.code == 1 and b"too large" in result.err.lower()), result)


def test_cat_rate():
    result, got = collected("--size", "10", "--count", "6", "--rate", "20")
    tap.check("cat --rate: 6 Messages at 20 in a second", result.code == 0 and got == pattern(10) * 6
              and result.seconds > 0.24, result)
    result, got = collected("--rate", "100kB", stdin=bytes(30000))
    tap.check("cat --rate in bytes", result.code == 0 and got == bytes(30000) and result.seconds > 0.19, result)
    with started([TAPS, "cat", *PLAIN, "--timeout", "1", "--rate", "1", "--size", "1", "--count", "1000000",
                  "192.0.2.1:9"]) as process:
        tap.check("a slow rate does not keep what fails", process.wait(LIMIT) == 1, process)


def test_cat_message_properties():
    result, got = collected("--message-property", "msgPriority=7", "-m", "MSGLIFETIME=10", stdin=b"hello")
    tap.check("cat --message-property: sent all the same", result.code == 0 and got == b"hello", (result, got))
    result, got = collected("-m", "msgOrdered=false", stdin=b"hello")
    tap.check("a property that the stack cannot keep is told", (result.code == 0 and got == b"hello") or result.code == 1,
              result)


def test_cat_quiet_is_quiet():
    with serving(echo) as port:
        result = taps("cat", *PLAIN, "--size", "1000", "--count", "12", "--rate", "10", f"127.0.0.1:{port}")
        tap.check("no progress where standard error is no terminal", result.code == 0 and result.err == b"", result)
    with serving(echo) as port:
        result = taps("cat", *PLAIN, "--progress", "--size", "1000", "--count", "20", "--rate", "10", f"127.0.0.1:{port}")
        lines = result.err.decode().splitlines()
        tap.check("--progress: lines with bytes, rate and time left", result.code == 0 and len(lines) >= 2
                  and re.fullmatch(r"[\d.]+ k?B \(back: [^)]*\), [\d.]+ k?B/s, \d+ %, 0:00:\d\d left", lines[0])
                  and re.match(r"20\.0 kB .* 100 %$", lines[-1]), result)
    with serving(echo) as port:
        result = taps("cat", *PLAIN, "--progress", f"127.0.0.1:{port}", stdin=b"short")
        tap.check("--progress of what is over at once: nothing to tell", result.code == 0
                  and (result.err == b"" or result.seconds > 1), result)


def on_terminal(*words, told=None):
    """What a program writes to a terminal that is its standard error; `told` is set with the first of it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([TAPS, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower,
                               env=clean_environment(TERM="xterm"))
    os.close(follower)
    pieces = []
    try:
        while data := os.read(leader, 65536):
            pieces.append(data)
            if told:
                told.set()
    except OSError:
        pass
    os.close(leader)
    return process.wait(LIMIT), b"".join(pieces)


def test_terminal():
    words = ("--size", "1000", "--count", "20", "--rate", "10")
    with serving(echo) as port:
        code, said = on_terminal("cat", *PLAIN, *words, f"127.0.0.1:{port}")
        tap.check("a terminal is told, on one line", code == 0 and said.count(b"\r\033[K") >= 2 and said.count(b"\n") == 1
                  and b"100 %" in said and b"left" in said, said)
    with serving(echo) as port:
        code, said = on_terminal("cat", *PLAIN, "--quiet", *words, f"127.0.0.1:{port}")
        tap.check("--quiet tells a terminal nothing", code == 0 and said == b"", said)

    told = threading.Event()

    def ends_early(connection):
        told.wait(LIMIT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with serving(ends_early) as port:
        code, said = on_terminal("cat", *PLAIN, "--size", "10", "--count", "1000", "--rate", "10", f"127.0.0.1:{port}",
                                 told=told)
        tap.check("an error takes the place of the progress", code == 1 and b"\r\033[Ktaps cat: " in said, said)


# ------------------------------------------------------------------------------------------------------ serve

def test_serve_counts():
    with server(*PLAIN, "--count", "3", "127.0.0.1:0") as (process, places):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(LIMIT)
            one.connect(("127.0.0.1", port_of(places, "udp")))
            answers = []
            for text in (b"one", b"two", b"three"):
                one.send(text)
                answers.append(one.recv(100))
        tap.check("serve --count 3 echoes three, and ends", answers == [b"one", b"two", b"three"]
                  and process.wait(LIMIT) == 0, answers)


def test_serve_sink():
    with server(*PLAIN, "--sink", "--connections", "1", "-p", "reliability=require", "127.0.0.1:0") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.sendall(bytes(3 << 20))
            one.shutdown(socket.SHUT_WR)
            tap.check("serve --sink sends nothing back", receive_all(one) == b"")
        tap.check("and ends", process.wait(LIMIT) == 0, process)
    with server(*PLAIN, "--sink", "127.0.0.1:0") as (_process, places):
        result = taps("bench", *PLAIN, "--one-way", "--json", "--count", "1000", "--size", "5k",
                      f"127.0.0.1:{port_of(places, 'tcp')}")
        tap.check("bench --one-way to serve --sink", result.code == 0, result)


def test_serve_source():
    for words in (("--size", "1000", "--count", "20"), ("--source", "--size", "300k", "--count", "5"),
                  ("--size", "100", "--count", "8", "--rate", "40"), ("--size", "10", "--count", "2", "-m", "msgPriority=3")):
        size = {"1000": 1000, "300k": 300 * 1024, "100": 100, "10": 10}[words[words.index("--size") + 1]]
        count = int(words[words.index("--count") + 1])
        with server(*PLAIN, *words, "-p", "reliability=require", "127.0.0.1:0") as (process, places):
            result = taps("cat", *PLAIN, f"127.0.0.1:{port_of(places, 'tcp')}")
            tap.check(f"serve {' '.join(words)}: all of it arrives, and both end", result.code == 0
                      and result.out == pattern(size) * count and process.wait(LIMIT) == 0, (result.code, len(result.out)))
    with server(*PLAIN, "--size", "64k", "127.0.0.1:0") as (process, places):
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            one.shutdown(socket.SHUT_WR)
            got = 0
            while got < 1 << 20:
                got += len(one.recv(65536))
        tap.check("serve --size without --count sends on until the peer is gone", got >= 1 << 20)
        with socket.create_connection(("127.0.0.1", port_of(places, "tcp")), LIMIT) as one:
            tap.check("and to the next one", len(one.recv(1000)) > 0)


def test_serve_rate():
    with server(*PLAIN, "--rate", "20", "-p", "reliability=require", "127.0.0.1:0") as (_process, places):
        result = taps("bench", *PLAIN, "--json", "--count", "8", f"127.0.0.1:{port_of(places, 'tcp')}")
        tap.check("serve --rate holds the echo back", result.code == 0 and result.seconds > 0.3, result)


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]

if __name__ == "__main__":
    sys.exit(tap.run(TESTS))
