#!/usr/bin/env python3
"""Measures libtaps against plain programs that do the same jobs, on this machine, in one run.

Every round runs the twin, the subject and the twin again, in an order that changes from round to round; client and
server are processes of their own, pinned to one CPU. A row is the median over the rounds of (subject / mean of the two
twins), and beside it the same for twin against twin, which is what the machine's noise alone would show. docs/bench.md
tells how to read the table and how to join with a row. This is a measurement, not a test: the exit code says nothing
about speed. With --smoke it is a test, and no measurement: each row once, as short as can be; TAP.
"""
import argparse
import os
import platform
import sys
import tempfile
import time

from harness import measure, plot, report, rows, run


def parser_of(names, cpus):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, metavar="FOLDER", help="where bench-plain, -taps and -dns are")
    parser.add_argument("--rows", default="", help="with commas or spaces, of: " + ", ".join(names))
    parser.add_argument("--join", action="append", default=[], metavar="FILE", help="more rows, from JSON")
    parser.add_argument("--rounds", type=int, default=25, help="of each row (default %(default)s)")
    parser.add_argument("--exchange-rounds", type=int, default=5, help="of each write-write-read line (%(default)s)")
    parser.add_argument("--bulk-mib", type=int, default=1024, help="one TCP bulk transfer (default %(default)s)")
    parser.add_argument("--tls-bulk-mib", type=int, default=256, help="one TLS bulk transfer (default %(default)s)")
    parser.add_argument("--cpu", type=int, default=cpus[-1], help="pin to this CPU (default: the last)")
    parser.add_argument("--client-cpu", type=int, help="pin clients to another CPU than servers")
    parser.add_argument("--no-strace", dest="strace", action="store_false", help="do not count system calls")
    parser.add_argument("--out", metavar="FOLDER", help="write figures.json, .md and .svg there")
    parser.add_argument("--keep", action="store_true", help="rows of --out that this run does not measure stay there")
    parser.add_argument("--build", default="", help="how the programs were built, for a warning")
    parser.add_argument("--smoke", action="store_true", help="only show that every row works, as TAP")
    return parser


def parse_arguments():
    cpus = sorted(os.sched_getaffinity(0))
    parser = parser_of([row.key for row in rows.ROWS] + ["exchange"], cpus)
    args = parser.parse_args()
    args.all = rows.ROWS + [row for path in args.join for row in rows.join(path)]
    names = [row.key for row in args.all] + ["exchange"]
    args.rows = args.rows.replace(",", " ").split() or names
    args.client_cpu = args.cpu if args.client_cpu is None else args.client_cpu
    unknown = [name for name in args.rows if name not in names]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(names)}")
    if args.rounds < 1 or args.exchange_rounds < 1 or args.bulk_mib < 1 or args.tls_bulk_mib < 1:
        parser.error("rounds and sizes must be positive")
    folder = os.path.dirname(os.path.abspath(__file__))
    args.paths = {name: os.path.join(args.programs, "bench-" + name) for name in ("plain", "taps", "dns")}
    for path in args.paths.values():
        if not os.access(path, os.X_OK):
            parser.error(f"no such program: {path}")
    args.paths["bench"] = folder
    if not {args.cpu, args.client_cpu} <= set(cpus):
        parser.error(f"this process may use only these CPUs: {cpus}")
    args.strace = args.strace and not args.smoke and run.strace_works()
    return args


def machine(args):
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": ".".join(platform.release().split(".")[:2]), "load": os.getloadavg()[0],
            "server_cpu": args.cpu, "client_cpu": args.client_cpu, "build": args.build, "rounds": args.rounds}


def sanitized(path):
    with open(path, "rb") as file:
        return b"__asan_init" in file.read()


def print_head(args, about):
    where = f"both ends on CPU {args.cpu}" if args.cpu == args.client_cpu else \
        f"server on CPU {args.cpu}, client on CPU {args.client_cpu}"
    print(f"libtaps against plain programs: {args.rounds} rounds, {where}, Linux {about['kernel']}, {about['cpu']}")
    if about["load"] > 0.5:
        print(f"note: the machine is busy (load {about['load']:.1f}); trust the CPU column more than the rates")
    if args.build in ("plain", "debug"):
        print(f"note: built with buildtype={args.build}, which does not optimise: build with debugoptimized or release")
    if sanitized(args.paths["taps"]):
        print("note: the libtaps program is built with a sanitizer; its figures mean nothing")
    sys.stdout.flush()


def measure_all(args, wanted):
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        bench = run.Bench(args.paths, args.cpu, args.client_cpu, scratch)
        results = []
        for row in wanted:
            results.append(measure.measure_row(bench, row, args))
            yield results[-1], None
        if "exchange" in args.rows:
            yield None, measure.measure_exchange(bench, rows.EXCHANGE, args)


def smoke(args, wanted):
    """Every row gives figures, or says why it cannot here."""
    print(f"1..{len(wanted) + ('exchange' in args.rows)}")
    bad = False
    for number, (result, exchange) in enumerate(measure_all(args, wanted), 1):
        name, error, skipped = "exchange", None, None
        if exchange:
            error = "; ".join(entry["error"] for entry in exchange if "error" in entry)
        else:
            name, error, skipped = result["key"], result.get("error"), result.get("skipped")
            if not error and not skipped and result["more_is_better"] and not result["subject"] > 0:
                error = "its figure is not above zero"
        bad = bad or bool(error)
        print(f"{'not ok' if error else 'ok'} {number} - {name}" + (f" # SKIP {skipped}" if skipped else ""))
        if error:
            print(f"# {error}")
        sys.stdout.flush()
    return 1 if bad else 0


def main():
    args = parse_arguments()
    wanted = [row for row in args.all if row.key in args.rows]
    if args.smoke:
        return smoke(args, wanted)
    others = os.sched_getaffinity(0) - {args.cpu, args.client_cpu}
    if others:
        os.sched_setaffinity(0, others)
    about = machine(args)
    print_head(args, about)
    began = time.monotonic()
    results, exchange = [], []
    for result, table in measure_all(args, wanted):
        results += [result] if result else []
        exchange = table or exchange
    measure.progress("")
    print()
    if results:
        report.print_table(results)
    if exchange:
        report.print_exchange(exchange)
    print(f"\n{time.monotonic() - began:.0f} s. How to read this: docs/bench.md")
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        if args.keep:
            results, exchange = report.merge(os.path.join(args.out, "figures.json"), args.all, results, exchange)
        report.write_json(os.path.join(args.out, "figures.json"), about, results, exchange)
        report.write_markdown(os.path.join(args.out, "figures.md"), about, results, exchange)
        plot.write(os.path.join(args.out, "figures.svg"), results, about)
        print(f"{args.out}/figures.json, figures.md, figures.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
