"""Two hosts in network namespaces, joined by two links, for one test.

    client  10.77.0.1  2001:db8:77::1   <- link 0 ->   server  10.77.0.2 ...  2001:db8:77::2 ...
            10.78.0.1  2001:db8:78::1   <- link 1 ->           10.78.0.2      2001:db8:78::2

The IPv6 addresses are documentation ones because RFC 6724 sorts those before IPv4, as it does the internet's, and
would sort unique local ones (fd00::/8) after it. Everything is named taps-<pid>-..., and gone after close().
"""
import contextlib
import ctypes
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_count = 0
ETC = pathlib.Path("/etc/netns")
ETC_WAS_THERE = ETC.exists()

CLIENT4, SERVER4 = "10.77.0.1", "10.77.0.2"
CLIENT6, SERVER6 = "2001:db8:77::1", "2001:db8:77::2"
SECOND_CLIENT4, SECOND_SERVER4 = "10.78.0.1", "10.78.0.2"
SECOND_CLIENT6, SECOND_SERVER6 = "2001:db8:78::1", "2001:db8:78::2"


def why_not():
    """Why these tests cannot run here, or None."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    for program in ("ip", "nft", "openssl"):
        if not shutil.which(program):
            return f"needs the program {program}"
    name = f"taps-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return "cannot make network namespaces: " + made.stderr.strip()
    subprocess.run(["ip", "netns", "del", name], check=False)
    sweep()
    return None


def sweep():
    """Removes what a killed run left: namespaces named after a process that is gone."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        parts = name.split("-")
        if parts[0] == "taps" and len(parts) == 4 and parts[1].isdigit() and not os.path.exists(f"/proc/{parts[1]}"):
            subprocess.run(["ip", "netns", "del", name], check=False)
            shutil.rmtree(ETC / name, ignore_errors=True)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _tell(data):
    """The lines of an output that help to understand it: the end, or of a probe's JSON the candidates."""
    try:
        answer = json.loads(data)
        rows = [f"{key}: {answer[key]}" for key in ("result", "error", "ready_ms", "chosen")]
        return rows + [json.dumps(row) for row in answer["resolutions"] + answer["candidates"][:12]]
    except (ValueError, KeyError, TypeError):
        strange = sum(byte > 126 or byte < 32 and byte not in b"\t\r\n" for byte in data[-1500:])
        if strange > len(data[-1500:]) / 10:
            return [f"{len(data)} bytes that are no text"]
        lines = data[-1500:].decode("ascii", errors="backslashreplace").strip().splitlines()[-15:]
        return ["".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line[:300]) for line in lines]


class Process:
    """A program that runs in a host; its output goes to files, so that no pipe can fill up."""

    def __init__(self, host, command, stdin=None, name=None, env=None):
        self.name = name or os.path.basename(command[0])
        self.command = command
        folder = host.net.folder
        number = len(host.net.processes)
        self.out_path = folder / f"{number}-{self.name}.out"
        self.err_path = folder / f"{number}-{self.name}.err"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(["ip", "netns", "exec", host.name] + list(command), stdin=stdin or
                                          subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, start_new_session=True,
                                          env=None if env is None else {**os.environ, **env})
        self.pid = self.popen.pid
        self.ended_by_us = False
        host.net.processes.append(self)

    @property
    def out(self):
        return self.out_path.read_bytes()

    @property
    def err(self):
        return self.err_path.read_bytes()

    def running(self):
        return self.popen.poll() is None

    def wait(self, seconds=30):
        """The exit status; a program that does not end is ended, and the status is then None."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end(signal.SIGKILL)
            return None

    def write(self, data):
        self.popen.stdin.write(data)
        self.popen.stdin.flush()

    def close_stdin(self):
        with contextlib.suppress(OSError):
            self.popen.stdin.close()

    def end(self, by=signal.SIGTERM):
        self.ended_by_us = True
        if self.popen.stdin:
            self.close_stdin()
        if self.running():
            self.popen.send_signal(by)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        # What it forked is in the session that was made for it, and so in its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def describe(self):
        state = "running" if self.running() else f"exit status {self.popen.returncode}"
        text = [f"{' '.join(map(str, self.command))} [{state}]"]
        for label, path in (("out", self.out_path), ("err", self.err_path)):
            text += [f"  {label}: {line}" for line in _tell(path.read_bytes())]
        return "\n".join(text)


class Host:
    """One namespace."""

    def __init__(self, net, name):
        self.net = net
        self.name = name
        run("ip", "netns", "add", name)

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def spawn(self, *command, **options):
        return Process(self, [str(word) for word in command], **options)

    def run(self, *command, stdin=b"", seconds=30, env=None):
        """Runs to its end with these bytes as its input."""
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            process = self.spawn(*command, stdin=source, env=env)
        process.status = process.wait(seconds)
        return process

    def hosts(self, text):
        """Gives the programs started from now on this /etc/hosts."""
        self._etc("hosts", text)

    def resolv_conf(self, text):
        self._etc("resolv.conf", text)

    def _etc(self, name, text):
        # `ip netns exec` shows the files of this folder in /etc.
        folder = ETC / self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    @contextlib.contextmanager
    def entered(self):
        """This thread makes sockets in the host."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def socket(self, family, kind, protocol=0):
        with self.entered():
            return socket.socket(family, kind, protocol)

    def nft(self, text):
        done = subprocess.run(["ip", "netns", "exec", self.name, "nft", "-f", "-"], input=text, capture_output=True,
                              text=True)
        if done.returncode != 0:
            raise RuntimeError(f"nft: {done.stderr.strip()}")

    def blackhole(self, *addresses, protocol=None):
        """Packets to these addresses of this host vanish."""
        rules = ""
        for address in addresses:
            match = f"{'ip6' if ':' in address else 'ip'} daddr {address}"
            rules += f"add rule inet taps input {match} {('meta l4proto ' + protocol) if protocol else ''} drop\n"
        self.nft("add table inet taps\n"
                  "add chain inet taps input { type filter hook input priority 0; }\n" + rules)

    def count_syns(self, *addresses):
        """From now on counts the connection attempts that reach these addresses; see syns()."""
        rules = ""
        for address in addresses:
            label = _label(address)
            rules += f"add counter inet tapscount {label}\n"
            rules += (f"add rule inet tapscount input {'ip6' if ':' in address else 'ip'} daddr {address} "
                      f"tcp flags syn / syn,ack counter name {label}\n")
        self.nft("add table inet tapscount\n"
                  "add chain inet tapscount input { type filter hook input priority -200; }\n" + rules)

    def syns(self):
        listed = json.loads(run("ip", "netns", "exec", self.name, "nft", "-j", "list", "counters"))
        return {row["counter"]["name"]: row["counter"]["packets"] for row in listed["nftables"] if "counter" in row}

    def tcp_sockets(self):
        """(local, remote, state) of the TCP sockets that belong to a process: neither listeners nor TIME_WAIT."""
        listed = run("ip", "netns", "exec", self.name, "ss", "-Htan", "-o")
        rows = [line.split() for line in listed.splitlines()]
        return [(row[3], row[4], row[0]) for row in rows if row[0] not in ("LISTEN", "TIME-WAIT")]

    def listens(self, pid, port, kind="tcp", family=None, address=None):
        """Does this process's network have such a socket? Read from /proc, so that the server sees nothing of it."""
        if address:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for suffix in {socket.AF_INET: ("",), socket.AF_INET6: ("6",)}.get(family, ("", "6")):
            try:
                lines = pathlib.Path(f"/proc/{pid}/net/{kind}{suffix}").read_text().splitlines()[1:]
            except OSError:
                return False
            for line in lines:
                local, state = line.split()[1], line.split()[3]
                where, number = local.rsplit(":", 1)
                if (int(number, 16) == port and state == ("0A" if kind == "tcp" else "07") and
                        (address is None or where == _proc_form(address))):
                    return True
        return False


def _proc_form(address):
    """An address as /proc/net writes it: 32-bit words in the machine's order."""
    packed = ipaddress.ip_address(address).packed
    return "".join(f"{int.from_bytes(packed[i:i + 4], sys.byteorder):08X}" for i in range(0, len(packed), 4))


def _label(address):
    return "to_" + "".join(c if c.isalnum() else "_" for c in address)


def syn_label(address):
    return _label(address)


def _setns(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Net:
    """The two hosts, the files and processes of one test."""

    def __init__(self):
        global _count
        _count += 1
        prefix = f"taps-{os.getpid()}-{_count}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taps-interop-"))
        self.folder.chmod(0o755)
        self.processes = []
        self.closers = []
        self.hosts = []
        self.transcript = []
        try:
            self.client = self._host(prefix + "-c")
            self.server = self._host(prefix + "-s")
            self._link("link0", 10, "10.77.0", "2001:db8:77:")
            self._link("link1", 11, "10.78.0", "2001:db8:78:")
        except BaseException:
            self.close()
            raise

    def _host(self, name):
        host = Host(self, name)
        self.hosts.append(host)
        host.ip("link", "set", "lo", "up")
        return host

    def _link(self, name, index, prefix4, prefix6):
        # With different interface numbers at its ends the kernel takes the link's going up as urgent; with equal ones,
        # which two fresh namespaces would give, it may leave the link dead for a second.
        self.client.ip("link", "add", name, "index", str(index), "type", "veth", "peer", "name", name, "index",
                       str(index + 100), "netns", self.server.name)
        for host in (self.client, self.server):
            host.ip("link", "set", name, "up")
        for number, host in ((1, self.client), (2, self.server)):
            host.ip("addr", "add", f"{prefix4}.{number}/24", "dev", name)
            host.ip("addr", "add", f"{prefix6}:{number}/64", "dev", name, "nodad")

    def more_addresses(self, count):
        """Gives the server `count` more addresses of each family; returns the two lists."""
        v4 = [f"10.77.0.{number}" for number in range(10, 10 + count)]
        v6 = [f"2001:db8:77::{number:x}" for number in range(16, 16 + count)]
        batch = "".join(f"addr add {a}/24 dev link0\n" for a in v4)
        batch += "".join(f"addr add {a}/64 dev link0 nodad\n" for a in v6)
        run("ip", "-n", self.server.name, "-batch", "-", input=batch)
        return v4, v6

    def thread(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        return thread

    def at_close(self, function):
        self.closers.append(function)

    def close(self):
        """Ends and removes everything; returns what went wrong with that."""
        wrong = []
        for function in reversed(self.closers):
            with contextlib.suppress(OSError):
                function()
        for process in reversed(self.processes):
            crashed = not process.running() and not process.ended_by_us and (process.popen.returncode or 0) < 0
            if crashed or b"Sanitizer" in process.err or b"runtime error:" in process.err:
                wrong.append(f"{process.name} crashed or was found at fault (status {process.popen.returncode})")
            process.end()
            if b"Sanitizer" in process.err and not wrong:
                wrong.append(f"{process.name}: a sanitizer found something at its end")
        self.transcript = [process.describe() for process in self.processes]
        for host in self.hosts:
            done = subprocess.run(["ip", "netns", "del", host.name], capture_output=True, text=True)
            if done.returncode != 0:
                wrong.append(f"namespace {host.name} stays: {done.stderr.strip()}")
            shutil.rmtree(ETC / host.name, ignore_errors=True)
        if not ETC_WAS_THERE:
            with contextlib.suppress(OSError):
                ETC.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)
        return wrong
