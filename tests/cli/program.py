"""The program `taps` under test: its path is the argument. What its test files share."""

import contextlib
import os
import re
import sys

from tap import Tap, lines_until, run, started

TAPS = os.path.abspath(sys.argv[1])
tap = Tap()
PLAIN = ["--security", "disabled"]
DATAGRAMS = PLAIN + ["--profile", "unreliable-datagram"]


def taps(*words, **more):
    return run([TAPS, *words], **more)


def is_usage_error(name, *words, says=""):
    """Exit code 2, nothing at standard output, what is wrong and a hint at standard error."""
    result = taps(*words)
    lines = result.err.decode(errors="replace").splitlines()
    good = (result.code == 2 and result.out == b"" and len(lines) >= 2 and lines[0].startswith("taps")
            and says.lower() in result.err.decode(errors="replace").lower())
    tap.check(f"usage: {name}", good, result)


@contextlib.contextmanager
def server(*words):
    """A taps serve, and its `listening` lines as {(address, stack): port}. It listens before it prints them, all at
    once."""
    with started([TAPS, "serve", *words]) as process:
        lines = lines_until(process, "listening")
        os.set_blocking(process.stdout.fileno(), False)
        lines += (process.stdout.read() or b"").decode().splitlines()
        os.set_blocking(process.stdout.fileno(), True)
        places = {}
        for line in lines:
            match = re.fullmatch(r"listening (.+):(\d+) (\S+)", line)
            places[match[1], match[3]] = int(match[2])
        yield process, places


def port_of(places, stack):
    return next(port for (_address, one), port in places.items() if one == stack)
