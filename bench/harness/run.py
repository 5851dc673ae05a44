"""One run: a server, a client, and the line of figures the client ends with."""
import os
import select
import shutil
import signal
import subprocess
import tempfile

GRACE_S = 30  # a client that takes so much longer than it was told has stalled
SKIPPED = 77
# Everything after the pairs runs where the second file of each pair is the first.
PRIVATE_FILES = """
while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 77; shift 2; done
shift
exec "$@"
"""


class Failure(Exception):
    """A run that gave no figures, and why."""


class Skip(Failure):
    """A run that this machine cannot do, and why."""


def expand(words, values, lists):
    """The words of a command with what stands for {these}."""
    result = []
    for word in words:
        if word[:1] == "{" and word[1:-1] in lists:
            result += lists[word[1:-1]]
        else:
            for name, value in values.items():
                word = word.replace("{" + name + "}", str(value))
            result.append(word)
    return result


def last_words(log):
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def parse_line(line, word, log):
    parts = line.split()
    if not parts or parts[0] != word or not all("=" in part for part in parts[1:]):
        raise Failure(last_words(log) or f"not a {word} line: {line.strip()!r}")
    return dict(part.split("=", 1) for part in parts[1:])


def complaint(status, log, who):
    text = last_words(log) or f"the {who} ended with {status}"
    return Skip(text.removeprefix("skipped: ")) if status == SKIPPED else Failure(text)


class Bench:
    """The programs, where they run, and the files of this run."""

    def __init__(self, programs, server_cpu, client_cpu, scratch):
        self.programs = programs
        self.scratch = scratch
        self.server_cpu, self.client_cpu = server_cpu, client_cpu
        self.certificate = os.path.join(scratch, "certificate.pem")
        self.key = os.path.join(scratch, "key.pem")
        subprocess.run([programs["plain"], "make-certificate", self.certificate, self.key], check=True)

    def expand(self, words, window=None, ready=None):
        """`window`: {"warm_ms": N, "run_ms": N, "ops": N, "bytes": N, "crowd": N}, what is known of it."""
        window = dict({"warm_ms": 30, "run_ms": 300, "ops": 0, "crowd": 0}, **(window or {}))
        values = dict(self.programs, certificate=self.certificate, key=self.key, **window)
        given = [name for name in ("ops",) if window["ops"]] or ["warm_ms", "run_ms"]
        given += [name for name in ("bytes",) if "bytes" in window]
        lists = {"tls": ["--certificate", self.certificate, "--key", self.key],
                 "window": [word for name in given for word in ("--" + name.replace("_", "-"), str(window[name]))],
                 "server": []}
        if ready:
            values.update(port=ready["port"], pid=ready["pid"])
            lists["server"] = ["--port", ready["port"], "--peer", ready["pid"]]
        return expand(words, values, lists)

    def private_files(self, files):
        """The words before a command that sees `files` instead of the system's."""
        if not files:
            return []
        pairs = []
        for path, text in files.items():
            if not os.path.exists(path):
                raise Skip(f"this system has no {path} to put another one over")
            own = os.path.join(self.scratch, path.strip("/").replace("/", "-"))
            with open(own, "w", encoding="utf-8") as file:
                file.write(text)
            pairs += [own, path]
        unshare = shutil.which("unshare")
        if not unshare or not shutil.which("mount"):
            raise Skip("needs unshare and mount, to give both sides a hosts file of their own")
        user = [] if os.geteuid() == 0 else ["-Ur"]
        return [unshare, *user, "-m", "sh", "-c", PRIVATE_FILES, "private-files", *pairs, "--"]

    def start(self, command, cpu, stderr):
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
                                    preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        except FileNotFoundError:
            raise Skip(f"needs {command[0]}") from None

    def wait_ready(self, process, log):
        ready, _, _ = select.select([process.stdout], [], [], GRACE_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise complaint(process.wait(timeout=5) if ready else None, log, "server")
        return parse_line(line, "ready", log)

    def run(self, row, side, window, traces=(None, None)):
        """One server, one client: the client's figures as text by name."""
        prefix = self.private_files(row.files)
        servers = []
        with tempfile.TemporaryFile("w+", dir=self.scratch) as log:
            try:
                ready = None
                for words, trace in ((row.helper, None), (side.server, traces[0])):
                    if words:
                        command = prefix + strace(trace) + self.expand(words, window)
                        servers.append([self.start(command, self.server_cpu, log), None])
                        ready = self.wait_ready(servers[-1][0], log)
                        servers[-1][1] = int(ready["pid"])
                command = prefix + strace(traces[1]) + self.expand(side.client, window, ready)
                return self.run_client(command, log)
            finally:
                for server, pid in servers:
                    stop(server, pid)

    def run_client(self, command, log):
        client = self.start(command, self.client_cpu, log)
        try:
            out, _ = client.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            client.kill()
            client.communicate()
            raise Failure("the client stalled") from None
        if client.returncode != 0:
            raise complaint(client.returncode, log, "client")
        return parse_line(out, "result", log)


def stop(server, pid):
    """Ends a server. Under strace the program itself is ended, so that strace still writes its summary."""
    try:
        if server.poll() is None:
            os.kill(pid or server.pid, signal.SIGTERM)
        server.wait(timeout=5)
    except (subprocess.TimeoutExpired, ProcessLookupError):
        server.kill()
        server.wait()
    server.stdout.close()


def strace(path):
    return ["strace", "-c", "-f", "-o", path, "--"] if path else []


def strace_works():
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-c", "-f", "-o", os.devnull, "--", "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def read_strace(path):
    calls = {}
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            parts = line.split()
            if len(parts) >= 5 and parts[0][0].isdigit() and parts[-1] != "total":
                calls[parts[-1]] = calls.get(parts[-1], 0) + int(parts[3])
    return calls


def count_calls(bench, row, side, ops):
    paths = [os.path.join(bench.scratch, name) for name in ("server.strace", "client.strace")]
    bench.run(row, side, {"ops": ops}, traces=paths)
    total = {}
    for path in paths:
        for name, count in read_strace(path).items():
            total[name] = total.get(name, 0) + count
    return total


def measure_calls(bench, row, side):
    """System calls of both ends per operation: the difference of two runs, so that start-up does not count."""
    few, many = (count_calls(bench, row, side, ops) for ops in row.strace_ops)
    extra = row.strace_ops[1] - row.strace_ops[0]
    calls = {name: (many.get(name, 0) - few.get(name, 0)) / extra for name in set(few) | set(many)}
    calls = {name: round(value, 4) for name, value in calls.items() if abs(value) >= 0.0005}
    return {"per_op": round(sum(calls.values()), 4), "calls": dict(sorted(calls.items(), key=lambda item: -item[1]))}
