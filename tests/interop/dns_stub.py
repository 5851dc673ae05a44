"""A name server whose answers come late, empty, wrong or never, as a test wants it. UDP and TCP, one thread each.

    stub = DnsStub(net.server, "10.77.0.2")
    stub.add("dual.test", "AAAA", ["2001:db8:77::2"], delay=0.03)
    stub.add("dual.test", "A", ["10.77.0.2"])
    stub.add("silent.test", "A", None)          # never answered

A name that was added with one type has no records of the others (an empty answer); other names do not exist.
"""
import contextlib
import heapq
import ipaddress
import select
import socket
import struct
import threading
import time

TYPES = {"A": 1, "AAAA": 28}
NOERROR, NXDOMAIN = 0, 3
UDP_LIMIT = 512


def _read_name(packet, offset):
    labels = []
    while packet[offset]:
        length = packet[offset]
        labels.append(packet[offset + 1:offset + 1 + length].decode("ascii", "replace"))
        offset += 1 + length
    return ".".join(labels).lower(), offset + 1


class DnsStub:
    def __init__(self, host, address, port=53):
        self.address, self.port = address, port
        self.records = {}
        self.orders = {}  # (name, type): the type whose answer goes first
        self.queries = []  # (seconds, name, type, "udp" or "tcp")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = host.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        self.tcp = host.socket(family, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, port))
        self.tcp.listen()
        self.closing = False
        host.net.at_close(self.close)
        host.net.thread(self._serve_udp)
        host.net.thread(self._serve_tcp)

    def resolver(self):
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def add(self, name, kind, addresses, delay=0.0, ttl=60, after=None):
        """addresses: a list, [] for an empty answer, None for none at all, or an error's number. Over UDP it does not go
        before the answer of the kind `after`."""
        self.records.setdefault(name.lower(), {})[TYPES[kind]] = (addresses, delay, ttl)
        if after:
            self.orders[name.lower(), TYPES[kind]] = TYPES[after]

    def close(self):
        self.closing = True
        self.udp.close()
        self.tcp.close()

    def asked(self, name):
        return [kind for _, asked, kind, _ in self.queries if asked == name.lower()]

    def _answer(self, packet, over):
        """(delay, packet, (name, type)), or None where nobody answers."""
        if len(packet) < 17:
            return None
        name, end = _read_name(packet, 12)
        kind, _ = struct.unpack_from("!HH", packet, end)
        question = packet[12:end + 4]
        self.queries.append((time.monotonic(), name, kind, over))
        types = self.records.get(name)
        code = NOERROR if types is not None else NXDOMAIN
        addresses, delay, ttl = (types or {}).get(kind, ([], 0.0, 60))
        if addresses is None:
            return None
        if isinstance(addresses, int):
            code, addresses = addresses, []
        answers = b""
        for address in addresses:
            data = ipaddress.ip_address(address).packed
            answers += struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(data)) + data
        count, flags = len(addresses), 0x8580 | code
        if over == "udp" and 12 + len(question) + len(answers) > UDP_LIMIT:
            answers, count, flags = b"", 0, flags | 0x0200
        header = packet[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0)
        return delay, header + question + answers, (name, kind)

    def _serve_udp(self):
        late, order, held, gone = [], 0, [], set()
        with contextlib.suppress(OSError, ValueError):
            while not self.closing:
                wait = max(0.0, late[0][0] - time.monotonic()) if late else 0.2
                readable, _, _ = select.select([self.udp], [], [], min(wait, 0.2))
                if readable:
                    packet, peer = self.udp.recvfrom(4096)
                    answer = self._answer(packet, "udp")
                    if answer:
                        order += 1
                        heapq.heappush(late, (time.monotonic() + answer[0], order, *answer[1:], peer))
                while late and late[0][0] <= time.monotonic():
                    held.append(heapq.heappop(late)[2:])
                held = self._send(self._send(held, gone), gone)  # twice: what waited for one of the first

    def _send(self, answers, gone):
        """Sends those that need not wait; returns the others."""
        wait = []
        for packet, (name, kind), peer in answers:
            first = self.orders.get((name, kind))
            if first and (name, first) not in gone:
                wait.append((packet, (name, kind), peer))
                continue
            gone.discard((name, first))
            gone.add((name, kind))
            self.udp.sendto(packet, peer)
        return wait

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while not self.closing:
                peer, _ = self.tcp.accept()
                threading.Thread(target=self._serve_one, args=(peer,), daemon=True).start()

    def _serve_one(self, peer):
        stream = peer.makefile("rwb")
        with contextlib.suppress(OSError), peer:
            while True:
                length = stream.read(2)
                if len(length) < 2:
                    return
                answer = self._answer(stream.read(struct.unpack("!H", length)[0]), "tcp")
                if answer:
                    time.sleep(answer[0])
                    stream.write(struct.pack("!H", len(answer[1])) + answer[1])
                    stream.flush()
