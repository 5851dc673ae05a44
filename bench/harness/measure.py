"""The rounds of a row, and of the table of latencies."""
import itertools
import statistics
import sys

from . import figures, run


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def window_of(row, options):
    """What one run of the row is told."""
    if options.smoke:
        return {"ops": row.smoke_ops, "bytes": 1 << 20, "crowd": min(row.crowd, 20)}
    window = {"warm_ms": row.warm_ms, "run_ms": row.run_ms, "crowd": row.crowd}
    if "bulk" in row.key:
        window["bytes"] = (options.tls_bulk_mib if "tls" in row.key or "quic" in row.key else options.bulk_mib) << 20
    return window


def rounds_of(row, options):
    return 1 if options.smoke else max(3, round(options.rounds * row.rounds))


def measure_rounds(bench, row, options):
    """Each round runs the twin, the subject and the twin again, in an order that goes through all six."""
    samples = {"twin": [], "subject": [], "again": []}
    orders = list(itertools.permutations(samples))
    rounds = rounds_of(row, options)
    for number in range(rounds):
        progress(f"{row.title}: round {number + 1} of {rounds}")
        for slot in orders[number % len(orders)]:
            side = row.subject if slot == "subject" else row.twin
            samples[slot].append(figures.sample(row, bench.run(row, side, window_of(row, options))))
    return samples


def time_wait_full():
    """A full table makes closing cheaper for whoever comes later."""
    try:
        with open("/proc/sys/net/ipv4/tcp_max_tw_buckets", encoding="ascii") as file:
            limit = int(file.read())
        with open("/proc/net/sockstat", encoding="ascii") as file:
            words = next(line for line in file if line.startswith("TCP:")).split()
        return int(words[words.index("tw") + 1]) >= limit
    except (OSError, ValueError, StopIteration):
        return False


def measure_row(bench, row, options):
    """The row's figures; {"error": ...} or {"skipped": ...} where there are none."""
    try:
        result = figures.result_of(row, measure_rounds(bench, row, options))
        if row.unit == "conn/s":
            result["time_wait_full"] = time_wait_full()
        if options.strace and row.strace_ops:
            progress(f"{row.title}: system calls")
            result["syscalls"] = {name: run.measure_calls(bench, row, getattr(row, name))
                                  for name in ("twin", "subject")}
        return result
    except run.Skip as reason:
        return {"key": row.key, "title": row.title, "skipped": str(reason)}
    except (run.Failure, OSError, ValueError, KeyError) as failure:
        return {"key": row.key, "title": row.title, "error": str(failure) or repr(failure)}


def summarise_line(line, runs):
    entry = {"text": line.text, "may_stall": line.may_stall, "ops": sum(int(r["ops"]) for r in runs),
             "stalls": sum(int(r["stalls"]) for r in runs), "max_us": max(int(r["p1000_ns"]) for r in runs) / 1000}
    for name in ("p500", "p900", "p990"):
        entry[name + "_us"] = statistics.median(int(r[name + "_ns"]) for r in runs) / 1000
    return entry


class NoFiles:
    """What a run asks of a row, where there is none."""
    files = helper = None


def measure_exchange(bench, lines, options):
    """Percentiles of write-write-read: medians of a few short rounds, and every stall counted."""
    results = [[] for _ in lines]
    errors = {}
    window = {"ops": 5} if options.smoke else {"run_ms": 250, "warm_ms": 50}
    for number in range(1 if options.smoke else options.exchange_rounds):
        progress(f"two small sends, then a read: round {number + 1} of {options.exchange_rounds}")
        for index, line in enumerate(lines):
            try:
                results[index].append(bench.run(NoFiles, line.side, window))
            except run.Failure as failure:
                errors[index] = str(failure)
    return [{"text": line.text, "error": errors[index]} if index in errors else summarise_line(line, results[index])
            for index, line in enumerate(lines)]
