"""The harness of the interop tests: a test is a function with @test, which gets a fresh Net; the output is TAP.

    @test("a plain peer is reached", proves="ARCH-12")   # the citation also stands in a comment where it is counted
    def plain(net): ...

check() records a failure and goes on; need() ends the test. Each test has a limit, after which it has failed.
"""
import os
import signal
import sys
import time
import traceback

from netns import Net, why_not

LIMIT_SECONDS = 120

_tests = []
_failures = []


class Skip(Exception):
    """Raised by a test that cannot run here."""


class Needed(Exception):
    pass


class OutOfTime(BaseException):
    """A BaseException, so that no test's own handling swallows it."""


def test(name, limit=LIMIT_SECONDS):
    def add(function):
        _tests.append((name, function, limit))
        return function
    return add


def check(condition, text):
    if not condition:
        frame = sys._getframe(1)
        while frame.f_code.co_name in ("check_equal", "check_between", "need"):
            frame = frame.f_back
        _failures.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}: {text}")
    return bool(condition)


def check_equal(actual, expected, text):
    return check(actual == expected, f"{text}: {shorten(actual)}, not {shorten(expected)}")


def check_between(actual, low, high, text):
    return check(actual is not None and low <= actual <= high, f"{text}: {actual}, not within {low} .. {high}")


def need(condition, text):
    if not check(condition, text):
        raise Needed


def shorten(value):
    text = repr(value)
    return text if len(text) <= 400 else text[:200] + " ... " + text[-200:]


def poll(condition, seconds=30, text="it"):
    """Waits until condition() is true and returns its value; a test fails when that takes too long."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            need(False, f"waited {seconds} s for {text}")
        time.sleep(0.002)


def _ring(_signal, _frame):
    raise OutOfTime


def _run_one(function, limit):
    """The failures of one test, or its reason to skip."""
    _failures.clear()
    skipped = None
    net = None
    signal.signal(signal.SIGALRM, _ring)
    signal.alarm(limit)
    try:
        net = Net()
        function(net)
    except Skip as reason:
        skipped = str(reason)
    except Needed:
        pass
    except OutOfTime:
        _failures.append(f"out of time after {limit} s\n" + traceback.format_exc(limit=-4))
    except Exception:
        _failures.append(traceback.format_exc(limit=-4))
    finally:
        signal.alarm(0)
        if net:
            _failures.extend(net.close())
    return skipped, (net.transcript if net and _failures else [])


def _print_result(number, name, skipped, transcript):
    for text in _failures + transcript:
        for line in text.rstrip().splitlines():
            print("#", "".join(c if c.isprintable() else "?" for c in line[:2000]))
    if _failures:
        print(f"not ok {number} - {name}", flush=True)
    elif skipped:
        print(f"ok {number} - {name} # SKIP {skipped}", flush=True)
    else:
        print(f"ok {number} - {name}", flush=True)


def main():
    words = sys.argv[1:]
    tests = [row for row in _tests if not words or any(word in row[0] for word in words)]
    print(f"1..{len(tests)}", flush=True)
    obstacle = why_not()
    bad = False
    # Asked to stop, end as by an exception: the namespaces and processes go away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for number, (name, function, limit) in enumerate(tests, 1):
        _failures.clear()
        skipped, transcript = (obstacle, []) if obstacle else _run_one(function, limit)
        _print_result(number, name, skipped, transcript)
        bad = bad or bool(_failures)
    sys.exit(1 if bad else 0)
