"""What is measured: a row is a name and two sides, the subject and its twin. A side is a pair of commands.

The words of a command are literal, but for these:

    {plain} {taps} {dns}      the programs of this folder, which is {bench}
    {port} {pid}              client: where the server of its side is, as its "ready" line said
    {warm_ms} {run_ms} {ops}  client: how long it measures; ops is 0, or a fixed number of operations
    {crowd}                   how many Connections that do nothing, where the row has any
    {certificate} {key}       PEM files made for this run, for the name "localhost"
    {window} {server} {tls}   short for what the programs of this folder take: --warm-ms ... --run-ms ...,
                              --port ... --peer ..., --certificate ... --key ...

A server prints one line "ready port=N pid=N" when it can be reached, and runs until SIGTERM. A client prints one line
"result ops=N ns=N" when it is done: operations, and the nanoseconds they took. It may add cpu_ns=N and peer_cpu_ns=N
(its own and the server's CPU time), note=TEXT, and other figures by name. Exit code 77 of either means that this
machine cannot do it; the last line of stderr is then the reason.
"""
import dataclasses
import json


@dataclasses.dataclass
class Side:
    """One pair of commands. An empty server: the client needs none."""
    server: list
    client: list


@dataclasses.dataclass
class Row:
    key: str
    title: str
    unit: str
    subject: Side
    twin: Side
    subject_name: str = "libtaps"
    twin_name: str = "plain"
    # Of the client's line: "rate" is ops per second, else a name; and which direction is good.
    figure: str = "rate"
    per_op: float = 1.0  # units of one operation
    more_is_better: bool = True
    # Targets: of the ratio to the twin, of its CPU time, of the value itself, of what it is above the twin's.
    ratio: float = None
    cpu: float = None
    value: float = None
    above: float = None
    run_ms: int = 300
    warm_ms: int = 30
    rounds: float = 1.0  # times as many rounds as others
    crowd: int = 0
    smoke_ops: int = 20  # a run that only shows that it works
    strace_ops: tuple = (200, 1200)  # system calls are the difference of two runs; None: they are not counted
    # Files that both sides see instead of the system's, and a server beside them (its own words, no port).
    files: dict = None
    helper: list = None


def own(role, program, job, *options):
    """The words of one of this folder's programs."""
    words = ["{" + program + "}", role, *job.split(), *options]
    if role == "client":
        words += ["{window}", "{server}"]
    return words + (["{tls}"] if job.startswith(("tls", "dtls", "quic")) else [])


def side(program, job, *options, server=(), client=(), client_program=None):
    return Side(own("server", program, job, *options, *server),
                own("client", client_program or program, job, *options, *client))


def twins(job, *options, **more):
    return {"subject": side("taps", job, *options, **more), "twin": side("plain", job, *options, **more)}


def to_plain(job, *options):
    """Who sends is measured: both send to the plain server."""
    twin = side("plain", job, *options)
    return {"subject": Side(twin.server, own("client", "taps", job, *options)), "twin": twin}


def websockets(server, client, under_way):
    """An end is libtaps or npm ws."""
    ours = side("taps", "tcp websocket-echo", "--low-latency", "--batch", str(under_way))
    theirs = Side(["node", "{bench}/ws_peer.js", "server"],
                  ["node", "{bench}/ws_peer.js", "client", "{port}", "{pid}", "{warm_ms}", "{run_ms}", "{ops}",
                   str(under_way)])
    ends = {"taps": ours, "npm": theirs}
    return {"subject": Side(ends[server].server, ends[client].client), "twin": theirs}


# 65536 bytes an operation, told as GiB.
BULK = {"unit": "GiB/s", "per_op": 1 / 16384, "warm_ms": 0, "strace_ops": (256, 1280)}
# A program of node, which is slow until it has compiled what runs often: both sides of such a row warm up for longer.
NODE = {"unit": "rt/s", "warm_ms": 700, "twin_name": "npm ws"}
# The connect rows are far apart and short: they fill the kernel's table of TIME-WAIT sockets, which forgets after 60 s.
CONNECT = {"unit": "conn/s", "run_ms": 60, "warm_ms": 15, "strace_ops": (100, 600)}
IDLE = ("--idle", "{crowd}")

NAME = "server.bench.test"
DNS_ADDRESS = "127.77.53.1"
BY_HOSTS = {"/etc/hosts": f"127.0.0.1 localhost\n127.0.0.1 {NAME}\n", "/etc/resolv.conf": "",
            "/etc/nsswitch.conf": "hosts: files\n"}
BY_DNS = {"/etc/hosts": "127.0.0.1 localhost\n", "/etc/resolv.conf": f"nameserver {DNS_ADDRESS}\n",
          "/etc/nsswitch.conf": "hosts: files dns\n"}

ROWS = [
    Row("connect", "TCP connect + close", ratio=0.95, **twins("tcp connect"), **CONNECT),
    Row("tcp-pingpong", "TCP ping-pong, 100 B", "rt/s", ratio=0.97, cpu=1.05, **twins("tcp pingpong", "--low-latency")),
    Row("udp-pingpong", "UDP ping-pong, 100 B", "rt/s", ratio=0.97, **twins("udp pingpong")),
    Row("tcp-bulk", "TCP bulk, 64 KiB sends", ratio=0.99, cpu=1.03, rounds=2, **twins("tcp bulk"), **BULK),
    Row("flood", "100 B sends / send() each", "msg/s", ratio=15, warm_ms=0, smoke_ops=3000, strace_ops=(6400, 64000),
        **twins("tcp flood", "--low-latency")),
    Row("flood-writev", "100 B sends / writev x64", "msg/s", ratio=0.9, warm_ms=0, smoke_ops=3008,
        strace_ops=(6400, 64000), **twins("tcp flood", "--low-latency", "--batch", "64")),
    Row("accept", "TCP accept, read, close", ratio=0.90,
        **twins("tcp hammer", "--drain", client_program="plain"), **CONNECT),
    Row("connect-hosts", "connect by name, hosts file", ratio=1.0, files=BY_HOSTS,
        **twins("tcp connect", client=("--name", NAME)), **CONNECT),
    Row("tls-handshake", "TLS handshake + close", "conn/s", ratio=0.95, strace_ops=(50, 250),
        **twins("tls connect")),
    Row("tls-pingpong", "TLS ping-pong, 100 B", "rt/s", **twins("tls pingpong", "--low-latency")),
    Row("tls-bulk", "TLS bulk, 64 KiB sends", ratio=0.97, **twins("tls bulk"), **BULK),
    Row("quic-handshake", "QUIC handshake + close", "conn/s", ratio=0.9, strace_ops=(50, 250),
        **twins("quic connect")),
    Row("quic-race", "QUIC connect, raced with TLS", "us", figure="us", more_is_better=False, above=1000,
        twin_name="QUIC alone", strace_ops=None, subject=side("taps", "quic connect", "--race"),
        twin=side("taps", "quic connect")),
    Row("tls-early", "TLS question, resumed / full", "conn/s", twin_name="libtaps full", strace_ops=(50, 250),
        subject=side("taps", "tls early", "--resume"), twin=side("taps", "tls early")),
    Row("quic-early", "QUIC question, resumed / full", "conn/s", twin_name="libtaps full", strace_ops=(50, 250),
        subject=side("taps", "quic early", "--resume"), twin=side("taps", "quic early")),
    Row("quic-pingpong", "QUIC ping-pong, 100 B", "rt/s", **twins("quic pingpong", "--low-latency")),
    Row("quic-streams", "QUIC streams, 100 B each", "streams/s", **twins("quic streams", "--low-latency")),
    Row("quic-bulk", "QUIC bulk, 64 KiB sends", ratio=0.9, **twins("quic bulk"), **BULK),
    Row("quic-bulk-gtls", "QUIC bulk / gtlsclient", ratio=5, rounds=0.4, twin_name="gtlsserver", **dict(BULK, strace_ops=None),
        subject=side("taps", "quic bulk"),
        twin=Side(["python3", "{bench}/gtls_bulk.py", "server", "{certificate}", "{key}"],
                  ["python3", "{bench}/gtls_bulk.py", "client", "{port}", "{pid}", "{bytes}", "{ops}"])),
    Row("quic-bulk-tls", "QUIC bulk / our TLS bulk", cpu=2, twin_name="libtaps TLS", rounds=0.4,
        **dict(BULK, strace_ops=None), subject=side("taps", "quic bulk"), twin=side("taps", "tls bulk")),
    Row("dtls-pingpong", "DTLS ping-pong, 100 B", "rt/s", ratio=0.95, **twins("dtls pingpong")),
    Row("dtls-flood", "DTLS 100 B sends", "msg/s", ratio=0.95, warm_ms=0, smoke_ops=3000, strace_ops=(6400, 64000),
        **to_plain("dtls flood")),
    Row("connect-dns", "connect by name, DNS", ratio=1.0, files=BY_DNS,
        helper=["{dns}", DNS_ADDRESS, "53", "127.0.0.1"], **twins("tcp connect", client=("--name", NAME)), **CONNECT),
    Row("crowd", "ping-pong, 10,000 idle / alone", "rt/s", ratio=0.95, twin_name="libtaps alone",
        subject=side("taps", "tcp pingpong", "--low-latency", *IDLE),
        twin=side("taps", "tcp pingpong", "--low-latency"), crowd=10000, strace_ops=None),
    Row("crowd-plain", "the same of plain", "rt/s", subject_name="plain", twin_name="plain alone",
        subject=side("plain", "tcp pingpong", "--low-latency", *IDLE),
        twin=side("plain", "tcp pingpong", "--low-latency"), rounds=0.4, crowd=10000,
        strace_ops=None),
    Row("framed-flood", "100 B framed / send() each", "msg/s", ratio=12, warm_ms=0, smoke_ops=3000,
        strace_ops=(6400, 64000), **to_plain("tcp framed-flood", "--low-latency")),
    Row("framed-flood-writev", "100 B framed / writev x64", "msg/s", ratio=0.85, warm_ms=0, smoke_ops=3008,
        strace_ops=(6400, 64000), **to_plain("tcp framed-flood", "--low-latency", "--batch", "64")),
    Row("framed-flood-both", "the same, both ends", "msg/s", warm_ms=0, smoke_ops=3008, strace_ops=None,
        **twins("tcp framed-flood", "--low-latency", "--batch", "64")),
    Row("framed-pingpong", "framed ping-pong, 100 B", "rt/s", ratio=0.90, cpu=1.10,
        **twins("tcp framed-pingpong", "--low-latency")),
    Row("framed-bulk", "framed 1 MiB, lent / writev", "GiB/s", ratio=0.95, per_op=1 / 1024, warm_ms=0, rounds=2,
        strace_ops=(16, 80), **twins("tcp framed-bulk")),
    Row("websocket-echo", "WebSocket echo, 100 B / npm ws", ratio=2, **websockets("taps", "taps", 1), **NODE),
    Row("websocket-echo-64", "the same, 64 under way", ratio=2, smoke_ops=200, strace_ops=None,
        **websockets("taps", "taps", 64), **NODE),
    Row("websocket-server", "our server, npm's client", rounds=0.4, strace_ops=None, **websockets("taps", "npm", 1),
        **NODE),
    Row("websocket-client", "our client, npm's server", rounds=0.4, strace_ops=None, **websockets("npm", "taps", 1),
        **NODE),
    Row("connect-drop", "TCP connect + drop", **twins("tcp connect", "--drop"), **CONNECT),
]


def memory_row(key, title, figure, stack, crowd, **target):
    return Row(key, title, "B", figure=figure, more_is_better=False, rounds=0.15, crowd=crowd, strace_ops=None,
               **twins(stack + " idle", *IDLE), **target)


ROWS += [
    memory_row("idle", "idle Connection, initiated", "bytes", "tcp", 10000, value=512),
    memory_row("idle-accepted", "idle Connection, accepted", "peer_bytes", "tcp", 10000, value=512),
    memory_row("idle-tls", "idle over TLS, initiated", "bytes", "tls", 500, above=1024),
    memory_row("idle-tls-accepted", "idle over TLS, accepted", "peer_bytes", "tls", 500, above=1024),
    memory_row("idle-quic", "idle over QUIC, initiated", "bytes", "quic", 200, value=49152),
    memory_row("idle-quic-accepted", "idle over QUIC, accepted", "peer_bytes", "quic", 200, value=49152),
]


@dataclasses.dataclass
class Line:
    """Of the table of latencies: two small sends, then a read."""
    text: str
    name: str
    side: Side
    may_stall: bool


def exchange(program, *options):
    return side(program, "tcp exchange", *options)


EXCHANGE = [
    Line("plain, Nagle", "plain", exchange("plain"), True),
    Line("plain, TCP_NODELAY", "plain", exchange("plain", "--low-latency"), False),
    Line("libtaps, low latency interactive", "libtaps", exchange("taps", "--low-latency"), False),
    Line("libtaps, same, 2nd send after Sent", "libtaps", exchange("taps", "--low-latency", "--split"), False),
    Line("libtaps, default profile", "libtaps", exchange("taps"), True),
    Line("libtaps, same, 2nd send after Sent", "libtaps", exchange("taps", "--split"), True),
]


def join(path):
    """Rows of others, from a JSON file: a list of objects with the fields of Row; a side is {"server": [], "client":
    []}, or the key of a row above with its side: "tcp-pingpong.twin"."""
    known = {f"{row.key}.{name}": getattr(row, name) for row in ROWS for name in ("subject", "twin")}

    def to_side(entry):
        return known[entry] if isinstance(entry, str) else Side(list(entry.get("server", [])), list(entry["client"]))

    rows = []
    with open(path, encoding="utf-8") as file:
        for entry in json.load(file):
            entry = dict(entry, subject=to_side(entry["subject"]), twin=to_side(entry["twin"]))
            entry.setdefault("strace_ops", None)
            rows.append(Row(**entry))
    return rows
