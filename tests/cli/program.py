"""The program `taps` under test: its path is the argument. What its test files share."""

import contextlib
import os
import re
import select
import sys
import time

from tap import Tap, lines_until, run, started

TAPS = os.path.abspath(sys.argv[1])
tap = Tap()
PLAIN = ["--security", "disabled"]
DATAGRAMS = PLAIN + ["--profile", "unreliable-datagram"]


def taps(*words, **more):
    return run([TAPS, *words], **more)


def is_usage_error(name, *words, says=""):
    """Exit code 2, nothing at standard output, what is wrong and a hint at standard error, and no time wasted."""
    result = taps(*words)
    lines = result.err.decode(errors="replace").splitlines()
    good = (result.code == 2 and result.out == b"" and len(lines) >= 2 and lines[0].startswith("taps")
            and says.lower() in result.err.decode(errors="replace").lower() and result.seconds < 10)
    tap.check(f"usage: {name}", good, result)


@contextlib.contextmanager
def server(*words):
    """A taps serve, and its `listening` lines as {(address, stack): port}. It listens before it prints."""
    with started([TAPS, "serve", *words]) as process:
        places = {}
        for line in lines_until(process, "listening"):
            match = re.fullmatch(r"listening (.+):(\d+) (\S+)", line)
            places[match[1], match[3]] = int(match[2])
        deadline = time.monotonic() + 0.3
        os.set_blocking(process.stdout.fileno(), False)
        while time.monotonic() < deadline and select.select([process.stdout], [], [], 0.1)[0]:
            for line in (process.stdout.read() or b"").decode().splitlines():
                match = re.fullmatch(r"listening (.+):(\d+) (\S+)", line)
                places[match[1], match[3]] = int(match[2])
        os.set_blocking(process.stdout.fileno(), True)
        yield process, places


def port_of(places, stack):
    return next(port for (_address, one), port in places.items() if one == stack)
