"""Runs the tests of the examples with every example under valgrind, then reads what valgrind wrote. Prints TAP.

Usage: run.py TEST-OF-THE-EXAMPLES EXAMPLE...
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

VALGRIND = ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite,indirect", "--num-callers=30",
            "--errors-for-leak-kinds=none", "--error-exitcode=99"]
LIMIT_SECONDS = 60


def wrapped(folder, program):
    """A script of the program's name that runs it under valgrind, with a log and its exit status for each run; valgrind
    ends with it."""
    script = folder / os.path.basename(program)
    log = f"{folder}/logs/{script.name}.$$"
    script.write_text("#!/bin/sh\n"
                      f"setpriv --pdeathsig KILL {' '.join(VALGRIND)} --log-file={log} {os.path.abspath(program)} "
                      f'"$@"\nstatus=$?\necho $status >{log}.status\nexit $status\n')
    script.chmod(0o755)
    return script


def certificate(folder):
    paths = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                    str(paths[1]), "-out", str(paths[0])], check=True, capture_output=True)
    return paths


def server_to_its_end(folder, server):
    """The server's life with good and bad clients, ended by a signal, so that valgrind looks for leaks; what is wrong."""
    cert, key = certificate(folder)
    log = folder / "logs" / "example-server.life"
    process = subprocess.Popen([*VALGRIND, f"--log-file={log}", server, ":0", str(cert), str(key)],
                               stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().split()[-1])
        context = ssl.create_default_context(cafile=cert)
        for good in (True, False, True):
            with socket.create_connection(("127.0.0.1", port), LIMIT_SECONDS) as plain, \
                    contextlib.suppress(ssl.SSLError, ConnectionError):
                if not good:
                    plain.sendall(b"this is not TLS")
                    continue
                with context.wrap_socket(plain, server_hostname="localhost") as secure:
                    secure.sendall(b"hello")
                    if secure.recv(100) != b"hello":
                        return ["it did not echo"]
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT_SECONDS)
    finally:
        process.kill()
        process.wait()
    return complaints(log, leaks=True)


# Not complaints: being ended by the test's signal, and what valgrind says of itself (--pid--), as of system calls that
# are younger than it.
EXPECTED = re.compile(r"^(?!==\d+==)|Process terminating with default action of signal (15|9)|^==\d+==\s*$|"
                      r"^==\d+==    (at|by) 0x")
LEAK = re.compile(r"blocks are (definitely|indirectly) lost")


def complaints(log, leaks):
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if not EXPECTED.search(line) and (leaks or not LEAK.search(line))]
    return lines[:60] if wrong else []


def examine(folder, name):
    """(runs, what valgrind complained about) of all runs of one program. A run that failed on purpose ended by exit() in
    the middle of things, so what it still held is no leak."""
    logs = [log for log in sorted((folder / "logs").glob(f"{name}.[0-9]*")) if log.suffix != ".status"]
    found = []
    for log in logs:
        status = log.with_name(log.name + ".status")
        found += complaints(log, leaks=status.exists() and status.read_text().strip() == "0")
    return len(logs), found


def main():
    tests, programs = sys.argv[1], sys.argv[2:]
    for needed in ("valgrind", "setpriv", "openssl"):
        if not shutil.which(needed):
            print(f"1..0 # SKIP needs the program {needed}")
            return 0
    results = []
    with tempfile.TemporaryDirectory(prefix="taps-valgrind-") as name:
        folder = pathlib.Path(name)
        (folder / "logs").mkdir()
        scripts = [wrapped(folder, program) for program in programs]
        done = subprocess.run([sys.executable, tests, *map(str, scripts)], capture_output=True, text=True)
        wrong = [line for line in done.stdout.splitlines() if not line.startswith("ok ")] + done.stderr.splitlines()
        results.append(("the examples pass their tests under valgrind", wrong if done.returncode else []))
        server = next((path for path in programs if os.path.basename(path) == "example-server"), None)
        if server:
            results.append(("the server lives through good and bad clients, and leaks nothing",
                            server_to_its_end(folder, os.path.abspath(server))))
        for script in scripts:
            runs, found = examine(folder, script.name)
            found = found or ([] if runs else ["it was never run"])
            results.append((f"valgrind finds nothing in {script.name} ({runs} runs)", found))
    print(f"1..{len(results)}")
    for number, (text, found) in enumerate(results, 1):
        for line in found:
            print("#", line)
        print(f"{'not ok' if found else 'ok'} {number} - {text}")
    return 1 if any(found for _, found in results) else 0


sys.exit(main())
