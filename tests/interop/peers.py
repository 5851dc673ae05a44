"""The foreign peers: real servers and clients, certificates, small servers that misbehave on purpose, and `taps`."""
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

from netns import run
from tap import Skip, need, poll

TAPS = os.environ.get("TAPS_PROGRAM") or shutil.which("taps")
if not TAPS or not os.access(TAPS, os.X_OK):
    sys.exit(f"TAPS_PROGRAM must name the taps program; it is {TAPS!r}")
AF_PACKET_ALL = 0x0003
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS = 263, 6


def require_programs(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip(f"needs the program {name}")


# ------------------------------------------------------------------------------------------------- certificates

def der(data):
    """(tag, contents, all of its bytes) of the first element."""
    size, start = data[1], 2
    if size & 0x80:
        start = 2 + (size & 0x7f)
        size = int.from_bytes(data[2:start], "big")
    return data[0], data[start:start + size], data[:start + size]


def der_parts(data):
    parts = []
    while data:
        parts.append(der(data))
        data = data[len(parts[-1][2]):]
    return parts


def der_make(tag, contents):
    size = len(contents)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + contents


class Authority:
    """A certification authority in a folder of the test."""

    def __init__(self, net, name="Test CA"):
        self.folder = net.folder / name.replace(" ", "-").lower()
        self.folder.mkdir()
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self.serial = 1
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(self.key), "-out", str(self.certificate), "-days", "30", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, *names, label="server", expired=False, usage="serverAuth", must_staple=False):
        """(certificate, key) for these names or addresses."""
        base = self.folder / f"{label}-{self.serial}"
        self.serial += 1
        key, request, certificate, extensions = (base.with_suffix(s) for s in (".key", ".csr", ".pem", ".ext"))
        kinds = [("IP:" if re.fullmatch(r"[\d.]+|[\da-f:]+", n) and (":" in n or "." in n) else "DNS:") + n
                 for n in names]
        extensions.write_text(f"basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage={usage}\n"
                              f"subjectAltName={','.join(kinds)}\n" +
                              ("tlsfeature=status_request\n" if must_staple else ""))
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            str(key), "-out", str(request), "-subj", f"/CN={names[0]}")
        span = ("20200101000000Z", "20200201000000Z") if expired else ("20200101000000Z", "20991231000000Z")
        run("openssl", "ca", "-config", str(self._configuration()), "-batch", "-notext", "-in", str(request), "-out",
            str(certificate), "-startdate", span[0], "-enddate", span[1], "-extfile", str(extensions))
        return certificate, key

    def status(self, certificate, revoked=False):
        """A file with an OCSP response about the certificate, good for a week."""
        request, response = certificate.with_suffix(".ask"), certificate.with_suffix(".revoked" if revoked else ".good")
        if revoked:
            run("openssl", "ca", "-config", str(self._configuration()), "-revoke", str(certificate))
        signer = ("-rsigner", str(self.certificate), "-rkey", str(self.key), "-CA", str(self.certificate))
        run("openssl", "ocsp", "-issuer", str(self.certificate), "-cert", str(certificate), "-no_nonce", "-reqout",
            str(request))
        run("openssl", "ocsp", "-index", str(self.folder / "index"), *signer, "-reqin", str(request), "-respout",
            str(response), "-ndays", "7")
        return response

    def outdated(self, response):
        """The same response as it would have been years ago, signed anew."""
        status_and_bytes = der_parts(der(response.read_bytes())[1])  # OCSPResponse (RFC 6960, 4.2.1)
        kind_and_basic = der_parts(der(status_and_bytes[1][1])[1])
        parts = der_parts(der(kind_and_basic[1][1])[1])  # BasicOCSPResponse: tbs, algorithm, signature
        tbs = re.sub(rb"\x18\x0f20\d\d", b"\x18\x0f2021", parts[0][2])
        told, signature = response.with_suffix(".tbs"), response.with_suffix(".sig")
        told.write_bytes(tbs)
        run("openssl", "dgst", "-sha256", "-sign", str(self.key), "-out", str(signature), str(told))
        basic = der_make(0x30, tbs + parts[1][2] + der_make(3, b"\0" + signature.read_bytes()) +
                         b"".join(part[2] for part in parts[3:]))
        result = response.with_suffix(".old")
        result.write_bytes(der_make(0x30, status_and_bytes[0][2] +
                                    der_make(0xa0, der_make(0x30, kind_and_basic[0][2] + der_make(4, basic)))))
        return result

    def _configuration(self):
        """Only `openssl ca` can give any dates in all versions."""
        path = self.folder / "ca.conf"
        if not path.exists():
            (self.folder / "index").touch()
            path.write_text(f"[ca]\ndefault_ca=here\n[here]\ndatabase={self.folder}/index\nrand_serial=yes\n"
                            f"new_certs_dir={self.folder}\ncertificate={self.certificate}\nprivate_key={self.key}\n"
                            "default_md=sha256\nunique_subject=no\npolicy=any\n[any]\ncommonName=supplied\n")
        return path


# ---------------------------------------------------------------------------------------------------- real servers

def wait_listening(host, process, port, kind="tcp", family=None, address=None):
    def there():
        need(process.running(), f"{process.name} ended instead of serving:\n{process.describe()}")
        return host.listens(process.pid, port, kind, family, address)
    poll(there, 30, f"{process.name} to serve port {port}")


def nginx(host, port, tls=None, files=None):
    """Serves the files {path: bytes} on all addresses of the host, over TLS with tls=(certificate, key)."""
    require_programs("nginx")
    root = host.net.folder / f"www-{port}"
    root.mkdir()
    for name, data in (files or {}).items():
        (root / name).write_bytes(data)
    secure = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
    flag = " ssl" if tls else ""
    configuration = host.net.folder / f"nginx-{port}.conf"
    configuration.write_text(f"""
        user root; daemon off; master_process off; worker_processes 1; pid {root}.pid; error_log stderr info;
        events {{ worker_connections 256; }}
        http {{
            access_log {root}.log;
            client_body_temp_path {root}.tmp1; proxy_temp_path {root}.tmp2; fastcgi_temp_path {root}.tmp3;
            uwsgi_temp_path {root}.tmp4; scgi_temp_path {root}.tmp5;
            server {{ listen 0.0.0.0:{port}{flag}; listen [::]:{port}{flag}; root {root}; {secure} }}
        }}""")
    process = host.spawn("nginx", "-p", host.net.folder, "-e", "stderr", "-c", configuration)
    wait_listening(host, process, port)
    process.access_log = pathlib.Path(f"{root}.log")
    return process


def s_server(host, port, tls, *options, address=None):
    """openssl s_server on all addresses, or on one. Its input stays open: at the end of it it would hang up."""
    where = port if not address else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    process = host.spawn("openssl", "s_server", "-accept", where, "-cert", tls[0], "-key", tls[1], *options,
                         stdin=subprocess.PIPE)
    wait_listening(host, process, port, address=address)
    return process


def gnutls_serv(host, port, tls, *options):
    require_programs("gnutls-serv")
    process = host.spawn("gnutls-serv", "--port", port, "--x509certfile", tls[0], "--x509keyfile", tls[1],
                         "--disable-client-cert", *options)
    wait_listening(host, process, port)
    return process


def socat(host, port, kind, *words, family=4):
    require_programs("socat")
    process = host.spawn("socat", *words)
    wait_listening(host, process, port, kind, socket.AF_INET6 if family == 6 else socket.AF_INET)
    return process


def dnsmasq(host, address, *records):
    require_programs("dnsmasq")
    process = host.spawn("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                         "--bind-interfaces", f"--listen-address={address}", "--port=53", "--user=root",
                         "--log-facility=-", "--log-queries", "--pid-file=", "--local=/test/", *records)
    wait_listening(host, process, 53, "udp")
    return process


# ----------------------------------------------------------------------------------------- servers that misbehave

class Listener:
    """A TCP listener of the test itself; `serve(connection)` runs in a thread for each accepted connection. `received`
    holds what each connection sent, `ended` how it ended for us: "open", "closed" (FIN) or "reset"."""

    def __init__(self, host, address, port, serve=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = host.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(128)
        self.serve = serve or self.swallow
        self.connections, self.received, self.ended = [], [], []
        host.net.at_close(self.close)
        host.net.thread(self._accept)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                number = len(self.connections)
                self.connections.append(connection)
                self.received.append(bytearray())
                self.ended.append("open")
                threading.Thread(target=self._run, args=(number, connection), daemon=True).start()

    def _run(self, number, connection):
        with contextlib.suppress(OSError, ValueError):
            self.serve(connection, number)
        connection.close()

    def swallow(self, connection, number):
        """Never answers; notes what comes and how it ends."""
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    self.ended[number] = "closed"
                    return
                self.received[number] += data
        except ConnectionError:
            self.ended[number] = "reset"


def reset(connection):
    """Closes with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def stalled(host, address, port):
    """Accepts and never says a word."""
    return Listener(host, address, port)


def closing(host, address, port, after=0, how="close", first=b""):
    """Says `first`, reads `after` bytes, then closes or resets."""
    def serve(connection, number):
        if first:
            connection.sendall(first)
        count = 0
        while count < after:
            data = connection.recv(65536)
            if not data:
                break
            listener.received[number] += data
            count += len(data)
        if how == "reset":
            reset(connection)
        else:
            connection.shutdown(socket.SHUT_WR)
            listener.swallow(connection, number)
            connection.close()
    listener = Listener(host, address, port, serve)
    return listener


def talking(host, address, port, data):
    """Says something at once, then swallows."""
    def serve(connection, number):
        connection.sendall(data)
        listener.swallow(connection, number)
    listener = Listener(host, address, port, serve)
    return listener


class Relay(Listener):
    """Stands before a real server at target=(address, port); after `cut` bytes of the server's it stops in the way
    `how` says: "close", "reset" or "stall". cut=None never stops. `from_server` counts the bytes."""

    def __init__(self, host, address, port, target, cut=None, how="close"):
        self.host, self.target, self.cut, self.how = host, target, cut, how
        self.from_server = 0
        super().__init__(host, address, port, self.relay)

    def relay(self, connection, number):
        server = self.host.socket(socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET, socket.SOCK_STREAM)
        with server:
            server.connect(self.target)
            open_sides = [connection, server]
            while open_sides:
                for side in select.select(open_sides, [], [])[0]:
                    try:
                        data = side.recv(65536)
                    except ConnectionError:
                        reset(connection if side is server else server)
                        return
                    if side is server:
                        room = len(data) if self.cut is None else max(0, self.cut - self.from_server)
                        connection.sendall(data[:room])
                        self.from_server += len(data[:room])
                        if self.cut is not None and self.from_server >= self.cut:
                            self._stop(connection, number)
                            return
                    elif data:
                        self.received[number] += data
                        server.sendall(data)
                    if not data:
                        open_sides.remove(side)
                        with contextlib.suppress(OSError):
                            (connection if side is server else server).shutdown(socket.SHUT_WR)

    def _stop(self, connection, number):
        if self.how == "reset":
            reset(connection)
        elif self.how == "close":
            connection.shutdown(socket.SHUT_WR)
            self.swallow(connection, number)
        else:
            self.swallow(connection, number)


class Capture:
    """All packets that reach or leave an interface of a host, to prove what was never on the wire."""

    def __init__(self, host, interface="link0"):
        self.socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(AF_PACKET_ALL))
        self.socket.bind((interface, AF_PACKET_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.socket.setblocking(False)
        self.packets = []
        host.net.at_close(self.socket.close)

    def data(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.packets.append(self.socket.recv(65536))
        return b"".join(self.packets)

    def lost(self):
        """How many packets there was no room for, since this was asked last."""
        return struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


# ------------------------------------------------------------------------------------------------------------- taps

class Probe:
    """The answer of one `taps probe --json`."""

    def __init__(self, process, milliseconds):
        self.process = process
        self.status = process.status
        self.wall_ms = milliseconds
        text = process.out.decode(errors="replace")
        decoder = json.JSONDecoder()
        try:
            self.json, end = decoder.raw_decode(text.lstrip())
            self.rest = text.lstrip()[end:].strip()
        except ValueError:
            self.json = None
            need(False, f"no JSON from taps probe:\n{process.describe()}")
        self.result = self.json["result"]
        self.error = self.json["error"]
        self.ready_ms = self.json["ready_ms"]
        self.candidates = self.json["candidates"]
        # Inner nodes of the tree stand for what is below them; the leaves are what was tried.
        inner = {c["id"].rsplit(".", 1)[0] for c in self.candidates if "." in c["id"]}
        self.leaves = [c for c in self.candidates if c["id"] not in inner and c.get("remote")]
        self.chosen = next((c for c in self.candidates if c["id"] == self.json["chosen"]), None)

    def to(self, address):
        """The leaf for this remote address, or None."""
        wanted = f"[{address}]:" if ":" in address else f"{address}:"
        return next((c for c in self.leaves if c["remote"].startswith(wanted)), None)

    def started(self):
        return sorted((c for c in self.leaves if c["start_ms"] is not None), key=lambda c: c["start_ms"])

    def explain(self):
        """The error as a user sees it."""
        return f"{self.error['reason']}: {self.error['detail']}" if self.error else "no error"


def probe(host, *arguments, seconds=40):
    began = time.monotonic()
    process = host.run(TAPS, "probe", "--json", *arguments, seconds=seconds)
    return Probe(process, (time.monotonic() - began) * 1000)


def cat(host, *arguments, stdin=b"", seconds=40):
    """`taps cat` to its end."""
    return host.run(TAPS, "cat", *arguments, stdin=stdin, seconds=seconds)


def fetch(host, *arguments, request, seconds=30):
    """`taps cat` that asks and listens to the end of the answer. Its input stays open: a server that has closed its
    socket while our end of data was on its way to it would reset, and take back what it had sent."""
    process = cat_open(host, *arguments)
    process.write(request)
    process.status = process.wait(seconds)
    process.close_stdin()
    return process


def cat_open(host, *arguments):
    """`taps cat` with its input left open."""
    return host.spawn(TAPS, "cat", *arguments, stdin=subprocess.PIPE)


LISTENING = re.compile(rb"listening.*?(\[[^\]\s]+\]|[\d.]+|\*):(\d+)([^\n]*)\n", re.IGNORECASE)


def listening(process):
    """[(address, port, rest of the line)] of a `taps serve` or `cat -l`, once it says so."""
    def lines():
        need(process.running(), f"it ended instead of listening:\n{process.describe()}")
        return LISTENING.findall(process.out + process.err)
    poll(lines, 30, "the listening lines")
    return [(address.decode().strip("[]"), int(port), rest.decode()) for address, port, rest in lines()]


def serve(host, *arguments):
    """`taps serve`, listening."""
    process = host.spawn(TAPS, "serve", *arguments)
    process.listening = listening(process)
    return process
