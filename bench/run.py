#!/usr/bin/env python3
"""Measures libtaps against plain epoll programs that do the same jobs, on this machine, in one run.

Every round runs plain, libtaps and plain again, in an order that changes from round to round; client and server are
processes of their own, pinned to one CPU. A row is the median over the rounds of (libtaps / mean of the two plain runs),
and beside it the same for plain against plain, which is what the machine's noise alone would show. docs/bench.md tells how
to read the table. This is a measurement, not a test: the exit code says nothing about speed.
"""
import argparse
import itertools
import json
import math
import os
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

GRACE_S = 20  # a client that takes so much longer than it was told has stalled


class Row:
    """One job, and what the figures are called. `per_op`: units of one operation. `repeat`: times as many rounds, for a
    row that varies more than others."""

    def __init__(self, key, title, unit, words, options=(), per_op=1, target=None, cpu_target=None, run_ms=300,
                 warm_ms=30, strace_ops=(200, 1200), repeat=1):
        self.key, self.title, self.unit, self.words, self.options = key, title, unit, words, list(options)
        self.per_op, self.target, self.cpu_target = per_op, target, cpu_target
        self.run_ms, self.warm_ms, self.strace_ops, self.repeat = run_ms, warm_ms, strace_ops, repeat


# The two connect rows are far apart and short: they fill the kernel's table of TIME-WAIT sockets, which forgets after 60 s.
ROWS = [
    Row("connect", "TCP connect + close", "conn/s", ["tcp", "connect"], target=0.90, run_ms=60, warm_ms=15,
        strace_ops=(100, 600)),
    Row("tcp-pingpong", "TCP ping-pong, 100 B", "rt/s", ["tcp", "pingpong"], ["--low-latency"], target=0.95),
    Row("udp-pingpong", "UDP ping-pong, 100 B", "rt/s", ["udp", "pingpong"], target=0.95),
    Row("tcp-bulk", "TCP bulk, 64 KiB sends", "GiB/s", ["tcp", "bulk"], per_op=1 / 16384, target=0.98, cpu_target=1.1,
        strace_ops=(256, 1280), repeat=2),
    Row("tls-pingpong", "TLS ping-pong, 100 B", "rt/s", ["tls", "pingpong"], ["--low-latency"]),
    Row("tls-bulk", "TLS bulk, 64 KiB sends", "GiB/s", ["tls", "bulk"], per_op=1 / 16384, strace_ops=(256, 1280)),
    Row("connect-drop", "TCP connect + drop", "conn/s", ["tcp", "connect"], ["--drop"], run_ms=60, warm_ms=15,
        strace_ops=(100, 600)),
]

# Two small sends, then a read: (who, text, options, may it stall?)
EXCHANGE = [
    ("plain", "plain, Nagle", [], True),
    ("plain", "plain, TCP_NODELAY", ["--low-latency"], False),
    ("taps", "libtaps, low latency interactive", ["--low-latency"], False),
    ("taps", "libtaps, same, 2nd send after Sent", ["--low-latency", "--split"], False),
    ("taps", "libtaps, default profile", [], True),
    ("taps", "libtaps, same, 2nd send after Sent", ["--split"], True),
]


class Failure(Exception):
    """A run that gave no figures, and why."""


class Bench:
    """The programs, where they run, and the certificate of the TLS rows."""

    def __init__(self, args, scratch):
        self.programs = {"plain": args.plain, "taps": args.taps or args.plain}
        self.scratch = scratch
        self.certificate = os.path.join(scratch, "certificate.pem")
        self.key = os.path.join(scratch, "key.pem")
        self.server_cpu, self.client_cpu = args.cpu, args.client_cpu
        subprocess.run([args.plain, "make-certificate", self.certificate, self.key], check=True)

    def start(self, command, cpu, stderr):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    def command(self, who, role, words, options, trace=None):
        tls = ["--certificate", self.certificate, "--key", self.key] if words[0] == "tls" else []
        prefix = ["strace", "-c", "-f", "-o", trace, "--"] if trace else []
        return prefix + [self.programs[who], role] + words + options + tls

    def run(self, who, words, options, client_options, traces=(None, None)):
        """One server, one client: the client's figures."""
        with tempfile.TemporaryFile("w+", dir=self.scratch) as log:
            server = self.start(self.command(who, "server", words, options, traces[0]), self.server_cpu, log)
            pid = None
            try:
                ready = parse_line(read_line(server.stdout, GRACE_S, "server", log), "ready", log)
                pid = int(ready["pid"])
                command = self.command(who, "client", words, options + client_options, traces[1])
                command += ["--port", ready["port"], "--peer", ready["pid"]]
                return self.run_client(command, log)
            finally:
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
            raise Failure(last_words(log) or f"the client ended with {client.returncode}")
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


def last_words(log):
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def read_line(stream, timeout_s, who, log):
    ready, _, _ = select.select([stream], [], [], timeout_s)
    line = stream.readline() if ready else ""
    if not line:
        raise Failure(last_words(log) or f"the {who} said nothing")
    return line


def parse_line(line, word, log):
    parts = line.split()
    if not parts or parts[0] != word:
        raise Failure(last_words(log) or f"not a {word} line: {line.strip()!r}")
    return dict(part.split("=", 1) for part in parts[1:])


def figures(row, result):
    """One run as (rate in the row's unit, CPU nanoseconds of both ends per operation)."""
    ops, ns = int(result["ops"]), int(result["ns"])
    return {"rate": ops * row.per_op / ns * 1e9,
            "cpu_ns": (int(result["cpu_ns"]) + int(result["peer_cpu_ns"])) / ops,
            "note": result.get("note", "")}


def median_range(values):
    """The order statistics around the median that hold it with at least 95 %, whatever the distribution."""
    ordered = sorted(values)
    count = len(ordered)
    tail, cut = 0.0, 0
    while cut < (count - 1) // 2:
        tail += math.comb(count, cut) / 2 ** count
        if 2 * tail > 0.05:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[count - 1 - cut]


def summary(values):
    low, high = median_range(values)
    return {"median": statistics.median(values), "low": low, "high": high}


def mean_of_plain(samples, name, index):
    return (samples["plain"][index][name] + samples["again"][index][name]) / 2


def measure_row(bench, row, args):
    """All rounds of one row."""
    size = [] if row.words[1] != "bulk" else ["--bytes", str((args.bulk_mib if row.words[0] == "tcp" else
                                                              args.tls_bulk_mib) << 20)]
    options = ["--run-ms", str(row.run_ms), "--warm-ms", str(row.warm_ms)] + size
    samples = {"plain": [], "taps": [], "again": []}
    orders = list(itertools.permutations(samples))
    rounds = range(args.rounds * row.repeat)
    for number in rounds:
        progress(f"{row.title}: round {number + 1} of {len(rounds)}")
        for slot in orders[number % len(orders)]:
            who = "taps" if slot == "taps" else "plain"
            samples[slot].append(figures(row, bench.run(who, row.words, row.options, options)))
    return {
        "key": row.key, "title": row.title, "unit": row.unit, "target": row.target, "cpu_target": row.cpu_target,
        "rounds": len(rounds),
        "plain": statistics.median(s["rate"] for s in samples["plain"] + samples["again"]),
        "taps": statistics.median(s["rate"] for s in samples["taps"]),
        "ratio": summary([samples["taps"][i]["rate"] / mean_of_plain(samples, "rate", i) for i in rounds]),
        "plain_ratio": summary([samples["again"][i]["rate"] / samples["plain"][i]["rate"] for i in rounds]),
        "cpu_ratio": summary([samples["taps"][i]["cpu_ns"] / mean_of_plain(samples, "cpu_ns", i) for i in rounds]),
        "cpu_us": {"plain": statistics.median(s["cpu_ns"] for s in samples["plain"] + samples["again"]) / 1000,
                   "taps": statistics.median(s["cpu_ns"] for s in samples["taps"]) / 1000},
        "samples": samples,
    }


def read_strace(path):
    calls = {}
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            parts = line.split()
            if len(parts) >= 5 and parts[0][0].isdigit() and parts[-1] != "total":
                calls[parts[-1]] = calls.get(parts[-1], 0) + int(parts[3])
    return calls


def count_calls(bench, who, row, ops):
    paths = [os.path.join(bench.scratch, name) for name in ("server.strace", "client.strace")]
    bench.run(who, row.words, row.options, ["--ops", str(ops)], traces=paths)
    total = {}
    for path in paths:
        for name, count in read_strace(path).items():
            total[name] = total.get(name, 0) + count
    return total


def measure_calls(bench, who, row):
    """System calls of both ends per operation: the difference of two runs, so that start-up does not count."""
    few, many = (count_calls(bench, who, row, ops) for ops in row.strace_ops)
    extra = row.strace_ops[1] - row.strace_ops[0]
    calls = {name: (many.get(name, 0) - few.get(name, 0)) / extra for name in set(few) | set(many)}
    calls = {name: round(value, 3) for name, value in calls.items() if abs(value) >= 0.005}
    return {"per_op": sum(calls.values()), "calls": dict(sorted(calls.items(), key=lambda item: -item[1]))}


def verdict(result):
    if result["target"] is None:
        return ""
    ratio = result["ratio"]
    if ratio["high"] < result["target"]:
        return "missed"
    cpu = result["cpu_ratio"]
    if result["cpu_target"] is not None and cpu["median"] > result["cpu_target"]:
        return "missed (CPU)"
    return "met" if ratio["median"] >= result["target"] else "below, within noise"


def summarise_exchange(line, rounds):
    _, text, _, may_stall = line
    entry = {"text": text, "may_stall": may_stall, "ops": sum(int(r["ops"]) for r in rounds),
             "stalls": sum(int(r["stalls"]) for r in rounds), "max_us": max(int(r["p1000_ns"]) for r in rounds) / 1000}
    for name in ("p500", "p900", "p990"):
        entry[name + "_us"] = statistics.median(int(r[name + "_ns"]) for r in rounds) / 1000
    return entry


def measure_exchange(bench, args):
    """Percentiles of write-write-read: medians of a few short rounds, and every stall counted."""
    lines = [line for line in EXCHANGE if line[0] == "plain" or args.taps]
    results = [[] for _ in lines]
    errors = {}
    for number in range(args.exchange_rounds):
        progress(f"two small sends, then a read: round {number + 1} of {args.exchange_rounds}")
        for index, (who, _, options, _) in enumerate(lines):
            try:
                window = ["--run-ms", "300", "--warm-ms", "100"]
                results[index].append(bench.run(who, ["tcp", "exchange"], options, window))
            except Failure as failure:
                errors[index] = str(failure)
    return [{"text": line[1], "error": errors[index]} if index in errors else summarise_exchange(line, results[index])
            for index, line in enumerate(lines)]


def number(value):
    for limit, divisor, suffix in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= limit:
            return f"{value / divisor:.2f}{suffix}" if value / divisor < 100 else f"{value / divisor:.1f}{suffix}"
    return f"{value:.0f}" if value >= 1000 else f"{value:.2f}"


def span(entry):
    return f"{entry['median']:.3f}  {entry['low']:.3f}..{entry['high']:.3f}"


def print_table(results, subject):
    columns = [["", "plain", subject, "ratio  (95 % range)", "plain/plain (same)", "CPU", "syscalls/op", "target", ""]]
    for result in results:
        if "error" in result:
            columns.append([result["title"], "failed: " + result["error"]])
            continue
        calls = result.get("syscalls") or {}
        target = "-" if result["target"] is None else f">= {result['target']:.2f}"
        if result["cpu_target"] is not None:
            target += f", CPU <= {result['cpu_target']:.1f}"
        columns.append([
            result["title"], f"{number(result['plain'])} {result['unit']}", f"{number(result['taps'])} {result['unit']}",
            span(result["ratio"]), span(result["plain_ratio"]), f"{result['cpu_ratio']['median']:.2f}x",
            f"{calls['plain']['per_op']:.1f} / {calls['taps']['per_op']:.1f}" if calls else "n/a", target,
            verdict(result)])
    full = [row for row in columns if len(row) > 2]
    widths = [max(len(row[i]) for row in full) for i in range(len(columns[0]))]
    widths[0] = max(len(row[0]) for row in columns)
    for row in columns:
        cells = [row[0].ljust(widths[0])]
        cells += [cell if len(row) == 2 else cell.rjust(widths[i]) if i < 7 else cell.ljust(widths[i])
                  for i, cell in enumerate(row[1:], 1)]
        print("  ".join(cells).rstrip())


def print_exchange(results):
    width = max(len(entry["text"]) for entry in results)
    print(f"\n{'two small sends, then a read'.ljust(width)}" +
          "".join(name.rjust(11) for name in ("median", "90 %", "99 %", "worst", "exchanges", "stalled")))
    for entry in results:
        if "error" in entry:
            print(f"{entry['text'].ljust(width)}  failed: {entry['error']}")
            continue
        cells = [f"{entry[name] / 1000:.3f} ms" for name in ("p500_us", "p900_us", "p990_us", "max_us")]
        share = entry["stalls"] / entry["ops"]
        cells += [str(entry["ops"]), str(entry["stalls"])]
        told = "stalls (Nagle against delayed acknowledgements)" if share > 0.01 else "no stall"
        if not entry["may_stall"] and share > 0.01:
            told = "missed: " + told
        print(entry["text"].ljust(width) + "".join(cell.rjust(11) for cell in cells) + "  " + told)


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def machine(args):
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0],
            "server_cpu": args.cpu, "client_cpu": args.client_cpu, "build": args.build}


def print_head(args, about):
    where = f"both ends on CPU {args.cpu}" if args.cpu == args.client_cpu else \
        f"server on CPU {args.cpu}, client on CPU {args.client_cpu}"
    print(f"libtaps against plain epoll programs: {args.rounds} rounds or more, {where}, Linux {about['kernel']}, {about['cpu']}")
    if about["load"] > 0.5:
        print(f"note: the machine is busy (load {about['load']:.1f}); trust the CPU column more than the rates")
    if not args.taps:
        print("note: no libtaps program given: plain is measured against itself")
    if args.build in ("plain", "debug"):
        print(f"note: built with buildtype={args.build}, which does not optimise: build with debugoptimized or release")
    if args.taps and sanitized(args.taps):
        print("note: the libtaps program is built with a sanitizer; its figures mean nothing")


def sanitized(path):
    with open(path, "rb") as file:
        return b"__asan_init" in file.read()


def note_time_wait():
    """A full table makes closing cheaper for whoever comes later."""
    try:
        with open("/proc/sys/net/ipv4/tcp_max_tw_buckets", encoding="ascii") as file:
            limit = int(file.read())
        with open("/proc/net/sockstat", encoding="ascii") as file:
            words = next(line for line in file if line.startswith("TCP:")).split()
        return int(words[words.index("tw") + 1]) >= limit
    except (OSError, ValueError, StopIteration):
        return False


def measure(bench, row, args):
    try:
        result = measure_row(bench, row, args)
    except Failure as failure:
        return {"key": row.key, "title": row.title, "error": str(failure)}
    result["time_wait_full"] = row.words[1] == "connect" and note_time_wait()
    result["syscalls"] = None
    if args.strace:
        try:
            progress(f"{row.title}: system calls")
            result["syscalls"] = {who: measure_calls(bench, who, row) for who in ("plain", "taps")}
        except (Failure, OSError, ValueError) as failure:
            result["strace_error"] = str(failure)
    result["verdict"] = verdict(result)
    return result


def strace_works():
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-c", "-f", "-o", os.devnull, "--", "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def parse_arguments():
    names = [row.key for row in ROWS] + ["exchange"]
    cpus = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", required=True, help="the program bench-plain")
    parser.add_argument("--taps", help="the program bench-taps; without it plain is measured against itself")
    parser.add_argument("--rows", default=",".join(names), help="with commas, of: %(default)s")
    parser.add_argument("--rounds", type=int, default=21, help="of each row (default %(default)s)")
    parser.add_argument("--exchange-rounds", type=int, default=5, help="of each write-write-read line (%(default)s)")
    parser.add_argument("--bulk-mib", type=int, default=1024, help="one TCP bulk transfer (default %(default)s)")
    parser.add_argument("--tls-bulk-mib", type=int, default=256, help="one TLS bulk transfer (default %(default)s)")
    parser.add_argument("--cpu", type=int, default=cpus[-1], help="pin to this CPU (default: the last)")
    parser.add_argument("--client-cpu", type=int, help="pin clients to another CPU than servers")
    parser.add_argument("--no-strace", dest="strace", action="store_false", help="do not count system calls")
    parser.add_argument("--json", metavar="FILE", help="all figures and samples")
    parser.add_argument("--build", default="", help="how the programs were built, for a warning")
    args = parser.parse_args()
    args.rows = args.rows.split(",")
    args.client_cpu = args.cpu if args.client_cpu is None else args.client_cpu
    unknown = [name for name in args.rows if name not in names]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    if args.rounds < 1 or args.exchange_rounds < 1 or args.bulk_mib < 1 or args.tls_bulk_mib < 1:
        parser.error("rounds and sizes must be positive")
    for path in filter(None, (args.plain, args.taps)):
        if not os.access(path, os.X_OK):
            parser.error(f"no such program: {path}")
    if not {args.cpu, args.client_cpu} <= set(cpus):
        parser.error(f"this process may use only these CPUs: {cpus}")
    args.strace = args.strace and strace_works()
    return args


def main():
    args = parse_arguments()
    others = os.sched_getaffinity(0) - {args.cpu, args.client_cpu}
    if others:
        os.sched_setaffinity(0, others)
    about = machine(args)
    print_head(args, about)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        bench = Bench(args, scratch)
        results = [measure(bench, row, args) for row in ROWS if row.key in args.rows]
        exchange = measure_exchange(bench, args) if "exchange" in args.rows else []
    progress("")
    if results:
        print()
        print_table(results, "libtaps" if args.taps else "plain (as subject)")
    if exchange:
        print_exchange(exchange)
    for result in results:
        if result.get("time_wait_full"):
            print(f"note: {result['title']}: the kernel's table of TIME-WAIT sockets was full")
    print(f"\n{time.monotonic() - began:.0f} s. How to read this: docs/bench.md")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "rounds": args.rounds, "rows": results, "exchange": exchange}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
