"""What the tests of programs share: TAP output, processes with limits, servers of this process, certificates."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

LIMIT = 60  # seconds; a program that needs more hangs, however slow the machine


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, name, holds, detail=""):
        self.count += 1
        print(f"{'ok' if holds else 'not ok'} {self.count} - {name}", flush=True)
        if not holds:
            self.failed += 1
            for line in str(detail).splitlines()[:40]:
                print(f"#   {line}", flush=True)
        return holds

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}", flush=True)

    def run(self, tests):
        """Each test is a function of no arguments; an exception is a failure of it, not of all."""
        for test in tests:
            try:
                test()
            except Exception as error:  # noqa: BLE001
                self.check(f"{test.__name__} runs to its end", False, repr(error))
        print(f"1..{self.count}")
        return 1 if self.failed else 0


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def __repr__(self):
        out, err = (text[:3000].decode(errors="backslashreplace") for text in (self.out, self.err))
        return f"exit {self.code} after {self.seconds:.2f} s\nout: {out}\nerr: {err}"


def clean_environment(**more):
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG")}
    environment["LC_ALL"] = "C.UTF-8"
    environment.update(more)
    return environment


def run(command, stdin=b"", limit=LIMIT, environment=None, **more):
    start = time.monotonic()
    process = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, timeout=limit,
                             env=environment or clean_environment(), check=False, **more)
    return Result(process.returncode, process.stdout, process.stderr, time.monotonic() - start)


@contextlib.contextmanager
def started(command, **more):
    """A process that is killed at the end if it has not ended by then. Its streams have no buffers on this side."""
    more.setdefault("stdin", subprocess.DEVNULL)
    more.setdefault("stdout", subprocess.PIPE)
    more.setdefault("stderr", subprocess.PIPE)
    process = subprocess.Popen([str(word) for word in command], env=clean_environment(), bufsize=0, **more)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return True
    return False


def listen(address="127.0.0.1", backlog=16):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family)
    one.settimeout(LIMIT)
    one.bind((address, 0))
    one.listen(backlog)
    return one


@contextlib.contextmanager
def refusing(address="127.0.0.1"):
    """A port that refuses, and that nobody else is given meanwhile."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        one.bind((address, 0))
        yield one.getsockname()[1]


@contextlib.contextmanager
def serving(handle, address="127.0.0.1", count=1):
    """Runs handle(connection) for `count` connections one after the other; yields the port."""
    with listen(address, backlog=count + 16) as listener:
        def work():
            for _ in range(count):
                with contextlib.suppress(OSError):
                    connection, _peer = listener.accept()
                    connection.settimeout(LIMIT)
                    with connection:
                        handle(connection)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):  # wakes an accept nobody came for
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(LIMIT)


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def receive_all(connection):
    pieces = []
    while data := connection.recv(65536):
        pieces.append(data)
    return b"".join(pieces)


class Certificates:
    """An authority, and certificates it signed, made with the openssl program; None where it is missing."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="taps-cli-")
        self.ca = self.path("ca.pem")
        # All that a strict verifier wants, and Python's is one since 3.13.
        self._write("ca.conf", "[req]\ndistinguished_name=name\nx509_extensions=authority\n[name]\n[authority]\n"
                    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                    "subjectKeyIdentifier=hash\n")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=test authority", "-config", self.path("ca.conf"), "-keyout", self.path("ca.key"),
                      "-out", self.ca)

    @staticmethod
    def possible():
        return shutil.which("openssl") is not None

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, *names):
        """Returns the paths of certificate and key."""
        self._write("ext", "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                    f"subjectAltName={','.join(names)}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", self.path(f"{name}.key"), "-out", self.path("csr"))
        self._openssl("x509", "-req", "-in", self.path("csr"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                      "-CAcreateserial", "-days", "2", "-extfile", self.path("ext"), "-out", self.path(f"{name}.pem"))
        return self.path(f"{name}.pem"), self.path(f"{name}.key")

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=LIMIT)


def lines_until(process, last, limit=LIMIT):
    """Lines of the process's output until one starts with `last`; fails after `limit` seconds."""
    lines = []
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            lines.append(line.decode().rstrip("\n"))
            if lines[-1].startswith(last):
                return lines
    finally:
        timer.cancel()
    raise RuntimeError(f"no line {last!r} in {lines}, exit {process.poll()}")

