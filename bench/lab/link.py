"""A link between two network namespaces that holds packets back: one TUN device in each, and this process between them.

The kernel's own emulator (netem) is a module that many machines do not have; TUN they have. One family is delayed in
one direction, which is what a slow IPv6 or IPv4 path looks like to a client that has both. A packet is late by its
delay and by what this process needs, a few tenths of a millisecond.
"""
import fcntl
import heapq
import os
import select
import struct
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
LARGEST = 65536


def _open_tun(host, name):
    with host.entered():
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


class Link:
    """`there` and `back` hold the delay in seconds of each IP version: link.there[6] = 0.2."""

    def __init__(self, client, server, name, client_addresses, server_addresses):
        self.there, self.back = {4: 0.0, 6: 0.0}, {4: 0.0, 6: 0.0}
        self.ends = []
        for host, addresses in ((client, client_addresses), (server, server_addresses)):
            self.ends.append(_open_tun(host, name))
            host.ip("link", "set", name, "up")
            for address in addresses:
                host.ip("addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        self.closing = False
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def close(self):
        self.closing = True
        self.thread.join()
        for descriptor in self.ends:
            os.close(descriptor)

    def _carry(self):
        late, number = [], 0
        while not self.closing:
            wait = 0.05 if not late else max(0.0, min(0.05, late[0][0] - time.monotonic()))
            readable, _, _ = select.select(self.ends, [], [], wait)
            for descriptor in readable:
                number = self._take(descriptor, late, number)
            while late and late[0][0] <= time.monotonic():
                _, _, descriptor, packet = heapq.heappop(late)
                self._give(descriptor, packet)

    def _take(self, descriptor, late, number):
        """All that has come in at this end; `number` keeps packets of one time in their order."""
        away = self.ends[1] if descriptor == self.ends[0] else self.ends[0]
        delays = self.there if descriptor == self.ends[0] else self.back
        while True:
            try:
                packet = os.read(descriptor, LARGEST)
            except BlockingIOError:
                return number
            number += 1
            heapq.heappush(late, (time.monotonic() + delays.get(packet[0] >> 4, 0.0), number, away, packet))

    @staticmethod
    def _give(descriptor, packet):
        try:
            os.write(descriptor, packet)
        except BlockingIOError:
            pass  # a full queue loses packets, as a router's does
