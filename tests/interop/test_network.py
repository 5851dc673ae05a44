"""What the network does to connections that are there, with the kernel's own TCP, UDP and ICMP: silence, refusals, paths
that become narrow, and what packets carry. A third host routes between the two."""
import contextlib
import re
import socket
import subprocess
import threading
import time

from netns import Host, SERVER4, SERVER6
from peers import TAPS, Listener, listening
from tap import check, check_between, check_equal, main, need, poll, test

PORT = 6000
FAR4, FAR6 = "10.88.2.2", "2001:db8:88:2::2"
PLAIN = ["--security", "disabled", "-v"]
DATAGRAMS = ["--profile", "unreliable-datagram", "-p", "safelyReplayable=true"]
IP_RECVTOS, IPV6_RECVTCLASS = 13, 66


def through_router(net, mtu):
    """client - near - router - far - server. What is returned makes the router's end of a link narrow: larger packets do
    not leave by it."""
    router = Host(net, net.client.name[:-1] + "r")
    net.hosts.append(router)
    router.ip("link", "set", "lo", "up")
    for host, name, number in ((net.client, "near", 1), (net.server, "far", 2)):
        host.ip("link", "add", name, "index", "20", "type", "veth", "peer", "name", name, "index", str(120 + number),
                "netns", router.name)
        host.ip("addr", "add", f"10.88.{number}.{number}/24", "dev", name)
        host.ip("addr", "add", f"2001:db8:88:{number}::{number}/64", "dev", name, "nodad")
        router.ip("addr", "add", f"10.88.{number}.9/24", "dev", name)
        router.ip("addr", "add", f"2001:db8:88:{number}::9/64", "dev", name, "nodad")
        for end in (host, router):
            end.ip("link", "set", name, "up")
        other = 3 - number
        host.ip("route", "add", f"10.88.{other}.0/24", "via", f"10.88.{number}.9")
        host.ip("route", "add", f"2001:db8:88:{other}::/64", "via", f"2001:db8:88:{number}::9")
    forward = router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; "
                                     "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    need(forward.status == 0, "the router forwards")
    return lambda link: router.ip("link", "set", link, "mtu", str(mtu))


def events(process):
    """The events of the log, in order: (milliseconds, name, the rest)."""
    found = re.findall(rb"\[event\] connection \d+ ([\d.]+) \S+ ([\w-]+) ?(.*)", process.err)
    return [(float(ms), name.decode(), rest.decode(errors="replace")) for ms, name, rest in found]


def count(process, name, words=""):
    return sum(event == name and words in rest for _ms, event, rest in events(process))


def open_cat(net, *arguments):
    return net.client.spawn(TAPS, "cat", *PLAIN, *arguments, stdin=subprocess.PIPE)


def wait_for(process, name, words="", times=1, seconds=30):
    poll(lambda: count(process, name, words) >= times, seconds, f"{name} {words}")


def reader(net, address, port):
    """A server that reads all and answers nothing."""
    return Listener(net.server, address, port, lambda connection, number: read_all(connection))


def read_all(connection):
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def cut(net, port):
    net.server.nft("add table inet cut\nadd chain inet cut input { type filter hook input priority 0; }\n"
                   f"add rule inet cut input tcp dport {port} drop\n")


def mend(net):
    net.server.nft("delete table inet cut\n")


# --------------------------------------------------------------------------------------------- nothing arrives

# proves API-146
@test("TCP: connTimeout passes while nothing is acknowledged: Timeout, by the kernel's own clock")
def timeout(net):
    reader(net, SERVER4, PORT)
    client = open_cat(net, "-p", "connTimeout=1", f"{SERVER4}:{PORT}")
    wait_for(client, "ready")
    cut(net, PORT)
    client.write(b"lost\n")
    client.status = client.wait(30)
    check_equal(client.status, 1, "exit status")
    ends = [(ms, rest) for ms, name, rest in events(client) if name == "connection-error"]
    sent = [ms for ms, name, _rest in events(client) if name == "send"]
    need(len(ends) == 1 and sent, f"one connection-error: {client.err!r}")
    check("code=TAPS_E_TIMEOUT" in ends[0][1], f"Timeout: {ends}")
    check_between(ends[0][0] - sent[0], 1000, 30_000, "milliseconds")


# proves API-096
@test("TCP: too many retransmissions are a soft error for who asked, and the connection lives on")
def retransmissions(net):
    reader(net, SERVER4, PORT)
    asked = open_cat(net, "-p", "softErrorNotify=prefer", f"{SERVER4}:{PORT}")
    other = open_cat(net, f"{SERVER4}:{PORT}")
    for client in (asked, other):
        wait_for(client, "ready")
    cut(net, PORT)
    for client in (asked, other):
        client.write(b"late\n")
    wait_for(asked, "soft-error", "code=TAPS_E_TIMEOUT")
    mend(net)
    for client in (asked, other):
        client.close_stdin()
        client.status = client.wait(30)
        check_equal(client.status, 0, f"exit status: {client.err[-300:]!r}")
    check_equal(count(asked, "soft-error"), 1, "soft errors, asked for")
    check_equal(count(other, "soft-error"), 0, "soft errors, not asked for")


# proves API-096
@test("TCP: what ICMP says of an established connection is a soft error, and no byte is lost, over IPv4 and IPv6")
def refused_in_the_middle(net):
    for address, complaint in ((SERVER4, "icmp type host-unreachable"), (SERVER6, "icmpv6 type addr-unreachable")):
        server = Listener(net.server, address, PORT)
        where = f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"
        client = open_cat(net, "-p", "softErrorNotify=prefer", where)
        wait_for(client, "ready")
        client.write(b"one\n")
        wait_for(client, "sent", "bytes=4")
        net.server.nft("add table inet cut\nadd chain inet cut input { type filter hook input priority 0; }\n"
                       f"add rule inet cut input tcp dport {PORT} reject with {complaint}\n")
        client.write(b"two\n")
        wait_for(client, "soft-error", "code=TAPS_E_UNREACHABLE")
        client.write(b"three\n")
        mend(net)
        client.close_stdin()
        poll(lambda: bytes(server.received[0]) == b"one\ntwo\nthree\n", 30, f"{address}: all bytes")
        client.status = client.wait(30)
        check_equal(client.status, 0, f"{address}: exit status: {client.err[-300:]!r}")
        check_equal(count(client, "connection-error"), 0, f"{address}: ends by an error")
        check_equal(count(client, "closed"), 1, f"{address}: orderly ends")


# proves API-096, IMPL-32
@test("UDP: what ICMP says is a soft error for who asked, over IPv4 and IPv6, and the next datagram goes")
def refused_datagrams(net):
    for address in (SERVER4, SERVER6):
        where = f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"
        client = open_cat(net, *DATAGRAMS, "-p", "softErrorNotify=require", "--idle", "0.3", where)
        wait_for(client, "ready")
        for number in (1, 2):
            client.write(b"anybody?\n")
            wait_for(client, "soft-error", "code=TAPS_E_REFUSED", times=number)
        client.close_stdin()
        check_equal(client.wait(30), 0, f"{address}: exit status")
        check_equal(count(client, "sent"), 2, f"{address}: datagrams sent")
        check_equal(count(client, "connection-error"), 0, f"{address}: ends by an error")


# --------------------------------------------------------------------------------------------- narrow paths

# proves API-092, API-096, API-108, IMPL-32
@test("UDP: a router's 'fragmentation needed' is a path change; what does not fit is refused, what fits goes")
def narrow_client(net):
    through_router(net, 1100)("far")
    with net.server.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((FAR4, PORT))
        server.settimeout(30)
        for wish in ("no preference", "prefer"):
            client = open_cat(net, *DATAGRAMS, "-p", "noFragmentation=true", "-p", f"softErrorNotify={wish}", "--idle",
                              "0.3", f"{FAR4}:{PORT}")
            wait_for(client, "ready")
            client.write(bytes(1200))
            wait_for(client, "path-change")
            check_equal(count(client, "sent", "bytes=1200"), 1, f"{wish}: it left")
            client.write(bytes(1101))
            wait_for(client, "send-error", "bytes=1101 code=TAPS_E_MESSAGE_TOO_LARGE")
            client.write(bytes(1100 - 28))
            wait_for(client, "sent", f"bytes={1100 - 28}")
            check_equal(len(server.recv(65536)), 1100 - 28, f"{wish}: bytes received")
            check_equal(count(client, "path-change"), 1, f"{wish}: path changes")
            check_equal(count(client, "soft-error"), 0, f"{wish}: soft errors")
            client.close_stdin()
            client.wait(30)
            # What the kernel has learned it keeps for its next socket.
            net.client.ip("route", "flush", "cache")


# proves API-092, API-096, API-114, IMPL-32
@test("UDP: a Listener's peer learns of a narrow path, over IPv4 and IPv6, on one socket for all")
def narrow_server(net):
    narrow = through_router(net, 1300)
    server = net.server.spawn(TAPS, "serve", *PLAIN, *DATAGRAMS, "-p", "noFragmentation=true", f":{PORT}")
    poll(lambda: listening(server), 30, "the server")
    narrow("near")
    net.client.ip("link", "set", "near", "mtu", "1300")  # so that the client cuts what it sends by itself
    for family, far, headers in ((socket.AF_INET, FAR4, 28), (socket.AF_INET6, FAR6, 48)):
        before = count(server, "path-change")
        with net.client.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect((far, PORT))
            refused = count(server, "send-error")
            for _ in range(200):
                client.send(bytes(1400))
                if count(server, "send-error") > refused:
                    break
                time.sleep(0.02)
            wait_for(server, "send-error", "bytes=1400 code=TAPS_E_MESSAGE_TOO_LARGE", times=refused + 1)
            wait_for(server, "path-change", times=before + 1)
            client.send(bytes(1300 - headers))
            check_equal(len(client.recv(65536)), 1300 - headers, f"{far}: what fits comes back")


# proves API-096
@test("TCP: a path that became narrow is a path change for who asked, and all bytes arrive")
def narrow_stream(net):
    narrow = through_router(net, 1100)
    reader(net, FAR4, PORT)
    client = open_cat(net, "-p", "softErrorNotify=prefer", f"{FAR4}:{PORT}")
    wait_for(client, "ready")
    client.write(bytes(100000))
    time.sleep(0.1)
    narrow("far")
    client.write(bytes(100000))
    wait_for(client, "path-change")
    client.close_stdin()
    check_equal(client.wait(30), 0, f"exit status: {client.err[-300:]!r}")
    told = re.search(rb"pathMtu=(\d+)", client.err)
    check(told and told.group(1) == b"1100", f"pathMtu=1100: {told and told.group(0)}")
    check_equal(count(client, "soft-error"), 0, "soft errors")


# --------------------------------------------------------------------------------------- what packets carry

PROFILES = {"default": 0, "scavenger": 1, "low latency interactive": 34, "low latency non-interactive": 18,
            "constant-rate streaming": 26, "capacity-seeking": 10}


# proves IMPL-32
@test("UDP: each capacity profile has its code point in the packets, over IPv4 and IPv6")
def code_points(net):
    for family, address, level, option, kind in (
            (socket.AF_INET, SERVER4, socket.IPPROTO_IP, IP_RECVTOS, socket.IP_TOS),
            (socket.AF_INET6, SERVER6, socket.IPPROTO_IPV6, IPV6_RECVTCLASS, socket.IPV6_TCLASS)):
        with net.server.socket(family, socket.SOCK_DGRAM) as server:
            server.bind((address, PORT))
            server.setsockopt(level, option, 1)
            server.settimeout(30)
            where = f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"
            for profile, dscp in PROFILES.items():
                net.client.run(TAPS, "cat", *PLAIN, *DATAGRAMS, "-p", f"connCapacityProfile={profile}", "--idle",
                               "0.01", where, stdin=b"x")
                _data, control, _flags, _from = server.recvmsg(100, 100)
                field = [value for at, what, value in control if (at, what) == (level, kind)]
                check(field and field[0][0] >> 2 == dscp, f"{address} {profile}: {field} is not {dscp}")


# proves IMPL-32
@test("UDP: datagrams that may not be fragmented carry DF, others may be cut by a router")
def fragments(net):
    through_router(net, 1100)("far")
    with net.server.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((FAR4, PORT))
        server.settimeout(30)
        client = open_cat(net, *DATAGRAMS, "--idle", "0.3", f"{FAR4}:{PORT}")
        wait_for(client, "ready")
        received = []

        def collect():
            with contextlib.suppress(OSError):
                while True:
                    received.append(len(server.recv(65536)))

        threading.Thread(target=collect, daemon=True).start()
        def again():  # the first one finds out
            client.write(bytes(1200))
            time.sleep(0.05)
            return 1200 in received

        poll(again, 30, "a datagram in fragments")
        check_equal(count(client, "send-error"), 0, "refused")
        client.close_stdin()
        client.wait(30)


main()
