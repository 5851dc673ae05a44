#!/usr/bin/env python3
"""Which family wins, and when: the laboratory test of happy-eyeballs clients, libtaps beside curl on the same hosts.

Two network namespaces, a name with one IPv6 and one IPv4 address, a server on both. Either every IPv6 packet towards the
server is late by 0, 10 .. 500 ms, or the answer about AAAA is; nothing else is slow. Each client connects by name, some
times for each delay. Written are the figures (JSON), a table and two plots (Markdown, SVG).

Needs root, /dev/net/tun and curl; takes two to four minutes. A measurement, not a test: docs/bench/happy-eyeballs.md.
"""
import argparse
import json
import os
import pathlib
import platform
import select
import shutil
import statistics
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "interop"))

PORT = 8000
NAME = "dual.test"
CLIENT, SERVER = {4: "10.79.0.1", 6: "2001:db8:79::1"}, {4: "10.79.0.2", 6: "2001:db8:79::2"}
SWEEPS = {"path": "IPv6 packets to the server delayed", "aaaa": "AAAA answer delayed"}


class Lab:
    """The two hosts, the slow link, the name server and the web server."""

    def __init__(self):
        import netns
        from dns_stub import DnsStub
        from link import Link
        self.net = netns.Net()
        self.link = Link(self.net.client, self.net.server, "slow", [f"{CLIENT[4]}/24", f"{CLIENT[6]}/64"],
                         [f"{SERVER[4]}/24", f"{SERVER[6]}/64"])
        self.dns = DnsStub(self.net.server, netns.SERVER4)
        self.net.client.resolv_conf(f"nameserver {netns.SERVER4}\n")
        self.closing = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.listeners = [self._listen(SERVER[family]) for family in (4, 6)]
        self.thread.start()

    def _listen(self, address):
        import socket
        listener = self.net.server.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen(128)
        return listener

    def _serve(self):
        """Answers whoever asks, and lets go of whoever does not."""
        while not self.closing:
            for listener in select.select(self.listeners, [], [], 0.05)[0]:
                connection, _ = listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection):
        with connection:
            connection.settimeout(5)
            try:
                if connection.recv(4096):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                pass

    def set(self, sweep, delay_ms):
        self.link.there[6] = delay_ms / 1000 if sweep == "path" else 0.0
        self.dns.add(NAME, "AAAA", [SERVER[6]], delay=delay_ms / 1000 if sweep == "aaaa" else 0.0, ttl=0)
        self.dns.add(NAME, "A", [SERVER[4]], ttl=0)

    def close(self):
        self.closing = True
        self.thread.join()
        for listener in self.listeners:
            listener.close()
        self.link.close()
        self.net.close()

    def client(self, *command):
        inside = ["ip", "netns", "exec", self.net.client.name, *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=30, check=False).stdout


def ask_taps(lab, program):
    answer = json.loads(lab.client(program, "probe", "--json", "--security", "disabled", f"{NAME}:{PORT}"))
    if answer["result"] != "established":
        return {"family": 0, "ms": None}
    won = next(row for row in answer["candidates"] if row["state"] == "won" and row.get("remote"))
    return {"family": 6 if won["remote"].startswith("[") else 4, "ms": answer["ready_ms"]}


def ask_curl(lab, program):
    words = lab.client(program, "-s", "-o", "/dev/null", "-w", "%{remote_ip} %{time_connect}", f"http://{NAME}:{PORT}/").split()
    if len(words) != 2:
        return {"family": 0, "ms": None}
    return {"family": 6 if ":" in words[0] else 4, "ms": float(words[1]) * 1000}


def measure(lab, clients, delays, rounds):
    figures = []
    for sweep in SWEEPS:
        for delay in delays:
            lab.set(sweep, delay)
            for name, (ask, program) in clients.items():
                answers = [ask(lab, program) for _ in range(rounds)]
                times = [answer["ms"] for answer in answers if answer["ms"] is not None]
                figures.append({"sweep": sweep, "delay_ms": delay, "client": name,
                                "families": [answer["family"] for answer in answers],
                                "ms": round(statistics.median(times), 1) if times else None,
                                "worst_ms": round(max(times), 1) if times else None})
            if sys.stderr.isatty():
                print(f"\r{SWEEPS[sweep]}: {delay} ms   ", end="", file=sys.stderr, flush=True)
    return figures


def family(row):
    seen = sorted(set(row["families"]), reverse=True)
    return "/".join(f"v{number}" if number else "none" for number in seen)


def spans(figures, sweep, client):
    """Neighbouring delays with the same winner in one line: (first, last, family, fastest, slowest)."""
    result = []
    for row in (row for row in figures if row["sweep"] == sweep and row["client"] == client):
        if result and result[-1][2] == family(row):
            first, _, name, low, high = result[-1]
            result[-1] = (first, row["delay_ms"], name, min(low, row["ms"] or low), max(high, row["ms"] or high))
        else:
            result.append((row["delay_ms"], row["delay_ms"], family(row), row["ms"] or 0, row["ms"] or 0))
    return result


def table(figures, clients, delays):
    lines = []
    for sweep, title in SWEEPS.items():
        lines += [f"### {title}", "", "| client | delay (ms) | family | connected after (ms) |", "|---|---|---|---|"]
        for client in clients:
            lines += [f"| {client} | {first} to {last} | {name} | {low:.0f} to {high:.0f} |"
                      for first, last, name, low, high in spans(figures, sweep, client)]
        lines += ["", "<details><summary>every delay</summary>", "",
                  "| delay (ms) | " + " | ".join(f"{client} | ms" for client in clients) + " |",
                  "|---|" + "---|---|" * len(clients)]
        for delay in delays:
            cells = [f"{family(row)} | {row['ms']}" for client in clients for row in figures
                     if (row["sweep"], row["delay_ms"], row["client"]) == (sweep, delay, client)]
            lines.append(f"| {delay} | " + " | ".join(cells) + " |")
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def version(program, *words):
    line = subprocess.run([program, *words], capture_output=True, text=True, check=False).stdout.splitlines()
    return " ".join(line[0].split()[:2]) if line else program


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--taps", required=True, help="the program taps")
    parser.add_argument("--curl", default=shutil.which("curl"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", type=int, default=10, help="between two delays, ms")
    parser.add_argument("--to", type=int, default=500, help="the longest delay, ms")
    parser.add_argument("--out", type=pathlib.Path, help="folder for the three files")
    options = parser.parse_args()
    os.environ["TAPS_PROGRAM"] = options.taps
    import netns
    problem = netns.why_not() or (None if os.path.exists("/dev/net/tun") else "needs /dev/net/tun")
    if problem or not options.curl:
        sys.exit(f"cannot measure here: {problem or 'needs the program curl'}")
    clients = {"libtaps": (ask_taps, os.path.abspath(options.taps)), version(options.curl, "--version"): (ask_curl, options.curl)}
    delays = range(0, options.to + 1, options.step)
    lab = Lab()
    try:
        figures = measure(lab, clients, delays, options.rounds)
    finally:
        lab.close()
    write(options, figures, list(clients), delays)


def write(options, figures, clients, delays):
    text = table(figures, clients, delays)
    if not options.out:
        print(text)
        return
    from chart import chart
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {"kernel": ".".join(platform.release().split(".")[:2]), "rounds": options.rounds, "figures": figures}
    (options.out / "happy-eyeballs.json").write_text(json.dumps(facts, indent=1) + "\n")
    (options.out / "happy-eyeballs.svg").write_text(chart(figures, clients, SWEEPS, options.to))
    page = options.out / "happy-eyeballs.md"
    head = page.read_text().split("<!-- figures -->")[0] if page.exists() else "# Happy eyeballs\n\n"
    page.write_text(f"{head}<!-- figures -->\n\nLinux {facts['kernel']}, {options.rounds} connections for each delay and client; "
                    f"the median of their times.\n\n{text}")


if __name__ == "__main__":
    main()
