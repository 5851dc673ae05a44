"""Real peers, both ways: servers of nginx, OpenSSL, GnuTLS and socat for `taps cat`, clients of curl, OpenSSL, GnuTLS
and socat for `taps serve`. IPv4, IPv6 and dual stack. None of the peers knows Transport Services: proves ARCH-12."""
import hashlib
import os
import random
import socket
import subprocess

from netns import SERVER4, SERVER6
from peers import (TAPS, Authority, cat, cat_open, dnsmasq, fetch, gnutls_serv, nginx, probe, require_programs, s_server,
                   serve, socat)
from tap import Skip, check, check_equal, main, need, poll, test

PLAIN = ["--security", "disabled"]
PAGE = b"<p>a page of the peer</p>\n"


def large(size=3_000_000, seed=7):
    return random.Random(seed).randbytes(size)


def get(path, host="server.test"):
    return f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def known_hosts(net, name="server.test"):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} {name}\n{SERVER6} {name}\n")


def body_of(process, expected_status=b"200"):
    """The body of the HTTP answer that taps cat printed."""
    head, _, body = process.out.partition(b"\r\n\r\n")
    check(head.startswith(b"HTTP/1.1 " + expected_status), f"an HTTP/1.1 answer: {head[:60]!r}")
    check_equal(process.status, 0, "exit status of taps cat")
    return body


# ----------------------------------------------------------------------------------------------------------- nginx

# proves ARCH-12, API-123
@test("nginx, plain: GET over IPv4, IPv6 and by a dual-stack name")
def nginx_plain(net):
    known_hosts(net)
    nginx(net.server, 80, files={"page.html": PAGE})
    for target in (f"{SERVER4}:80", f"[{SERVER6}]:80", "server.test:80", "server.test:http"):
        answer = cat(net.client, *PLAIN, target, stdin=get("page.html"))
        check_equal(body_of(answer), PAGE, f"the page by {target}")


# proves ARCH-12, API-050, API-054
@test("nginx, TLS: GET with the certificate checked, over IPv4 and IPv6")
def nginx_tls(net):
    known_hosts(net)
    authority = Authority(net)
    nginx(net.server, 443, tls=authority.issue("server.test"), files={"page.html": PAGE})
    for family in ("-4", "-6"):
        answer = fetch(net.client, family, "--cafile", authority.certificate, "--alpn", "http/1.1", "server.test:443",
                       request=get("page.html"))
        check_equal(body_of(answer), PAGE, f"the page with {family}")


# proves API-111, API-121, API-122
@test("nginx: 3 MB arrive whole, plain and over TLS")
def nginx_large(net):
    known_hosts(net)
    data = large()
    authority = Authority(net)
    nginx(net.server, 80, files={"large": data})
    nginx(net.server, 443, tls=authority.issue("server.test"), files={"large": data})
    for arguments in ([*PLAIN, "server.test:80"], ["--cafile", authority.certificate, "server.test:443"]):
        body = body_of(fetch(net.client, *arguments, request=get("large")))
        check_equal(hashlib.sha256(body).hexdigest(), hashlib.sha256(data).hexdigest(), f"all of it, {arguments[-1]}")


# proves API-050, API-010
@test("nginx, TLS by address: a certificate for the address is accepted")
def nginx_by_address(net):
    authority = Authority(net)
    nginx(net.server, 443, tls=authority.issue(SERVER4, SERVER6), files={"page.html": PAGE})
    for target in (f"{SERVER4}:443", f"[{SERVER6}]:443"):
        answer = fetch(net.client, "--cafile", authority.certificate, target, request=get("page.html"))
        check_equal(body_of(answer), PAGE, f"the page by {target}")


# --------------------------------------------------------------------------------------------------------- OpenSSL

# proves API-051, ARCH-10
@test("openssl s_server: TLS 1.2 and TLS 1.3, both ways, ended by both ends")
def openssl_server(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    for port, version in ((4431, "-tls1_2"), (4432, "-tls1_3")):
        server = s_server(net.server, port, certificate, version, "-quiet")
        client = cat_open(net.client, "--cafile", authority.certificate, f"server.test:{port}")
        client.write(b"from the client\n")
        poll(lambda: b"from the client\n" in server.out, 30, "the client's words at the server")
        server.write(b"from the server\n")
        poll(lambda: b"from the server\n" in client.out, 30, "the server's words at the client")
        client.close_stdin()
        check_equal(client.wait(30), 0, f"exit status {version}")


# proves API-111
@test("openssl s_server -rev: lines come back reversed")
def openssl_reverse(net):
    known_hosts(net)
    authority = Authority(net)
    s_server(net.server, 4433, authority.issue("server.test"), "-rev")
    client = cat_open(net.client, "--cafile", authority.certificate, "server.test:4433")
    for word in (b"stressed", b"drawer", b"x" * 3000 + b"y"):
        client.write(word + b"\n")
        poll(lambda: word[::-1] + b"\n" in client.out, 30, "the reversed line")
    client.end()


# proves API-054
@test("openssl s_server: the ALPN protocol both have is chosen")
def openssl_alpn(net):
    known_hosts(net)
    authority = Authority(net)
    server = s_server(net.server, 4434, authority.issue("server.test"), "-alpn", "h2,echo/1")
    client = cat_open(net.client, "--cafile", authority.certificate, "--alpn", "echo/1,other", "server.test:4434")
    client.write(b"hello\n")
    poll(lambda: b"hello" in server.out, 30, "the words at the server")
    check(b"ALPN protocols selected: echo/1" in server.out, "the server chose echo/1")
    check(b"ALPN protocols advertised by the client: echo/1, other" in server.out, "in the client's order")
    client.end()


# proves API-052
@test("openssl s_server that asks for a client certificate: shown when there is one, refused when not")
def openssl_client_certificate(net):
    known_hosts(net)
    authority = Authority(net)
    mine = authority.issue("client.test", label="client", usage="clientAuth")
    server = s_server(net.server, 4435, authority.issue("server.test"), "-Verify", "1", "-verify_return_error",
                      "-CAfile", authority.certificate)
    trusted = ["--cafile", authority.certificate, "server.test:4435"]
    client = cat_open(net.client, "--cert", mine[0], "--key", mine[1], *trusted)
    client.write(b"it is me\n")
    poll(lambda: b"it is me" in server.out, 30, "the words at the server")
    check(b"client.test" in server.out + server.err, "the server saw the certificate")
    client.end()
    without = cat(net.client, *trusted, stdin=b"it is nobody\n", seconds=30)
    check_equal(without.status, 1, "exit status without a certificate")
    check(b"certificate" in without.err.lower(), f"it says why: {without.err!r}")
    check(b"it is nobody" not in server.out, "nothing of it reached the server")


# ---------------------------------------------------------------------------------------------------------- GnuTLS

# proves ARCH-12
@test("gnutls-serv --echo: what is sent comes back, TLS 1.2 and 1.3")
def gnutls_echo(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    for port, version in ((4441, "1.2"), (4442, "1.3")):
        gnutls_serv(net.server, port, certificate, "--echo", "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}")
        client = cat_open(net.client, "--cafile", authority.certificate, f"server.test:{port}")
        client.write(b"echo, please\n")
        poll(lambda: b"echo, please\n" in client.out, 30, f"the echo over TLS {version}")
        client.end()


# ----------------------------------------------------------------------------------------------------------- socat

# proves ARCH-12, API-123, API-140, API-143
@test("socat TCP echo: 2 MB there and back, half-closed at the end of input, IPv4 and IPv6")
def socat_tcp(net):
    # Blocks of a page: with larger ones socat may block on its own pipe. After the end it gives the rest time to go.
    careful = ["-b", "4096", "-t", "20"]
    socat(net.server, 7001, "tcp", *careful, "TCP4-LISTEN:7001,fork,reuseaddr", "PIPE")
    socat(net.server, 7001, "tcp", *careful, "TCP6-LISTEN:7001,fork,reuseaddr,ipv6-v6only=1", "PIPE", family=6)
    data = large(2_000_000)
    for target in (f"{SERVER4}:7001", f"[{SERVER6}]:7001"):
        answer = cat(net.client, *PLAIN, target, stdin=data)
        check_equal(answer.status, 0, "exit status")
        check_equal(hashlib.sha256(answer.out).hexdigest(), hashlib.sha256(data).hexdigest(), f"all of it, {target}")


# proves IMPL-15, API-065
@test("socat UDP echo: datagrams there and back, IPv4 and IPv6")
def socat_udp(net):
    socat(net.server, 7002, "udp", "UDP4-LISTEN:7002,fork,reuseaddr", "PIPE")
    socat(net.server, 7003, "udp", "UDP6-LISTEN:7003,fork,reuseaddr,ipv6-v6only=1", "PIPE", family=6)
    for target in (f"{SERVER4}:7002", f"[{SERVER6}]:7003"):
        client = cat_open(net.client, *PLAIN, "--profile", "unreliable-datagram", target)
        for number in range(3):
            client.write(b"datagram %d\n" % number)
            poll(lambda: b"datagram %d\n" % number in client.out, 30, "the echo")
        check_equal(client.out, b"datagram 0\ndatagram 1\ndatagram 2\n", f"the echoes of {target}")
        client.end()


# proves API-143
@test("socat ends first: taps cat prints all and ends by itself")
def socat_ends(net):
    data = large(500_000)
    source = net.folder / "source"
    source.write_bytes(data)
    socat(net.server, 7004, "tcp", "-u", f"OPEN:{source}", "TCP4-LISTEN:7004,reuseaddr")
    client = cat_open(net.client, *PLAIN, f"{SERVER4}:7004")
    check_equal(client.wait(30), 0, "exit status")
    check_equal(len(client.out), len(data), "bytes")
    check(client.out == data, "unchanged")


# --------------------------------------------------------------------------------------------------------- dnsmasq

# proves API-010, IMPL-08
@test("dnsmasq resolves: by option and by resolv.conf with a search domain")
def dnsmasq_resolves(net):
    resolver = dnsmasq(net.server, SERVER4, f"--host-record=dual.test,{SERVER4},{SERVER6}",
                       f"--host-record=four.test,{SERVER4}", "--cname=alias.test,dual.test")
    nginx(net.server, 80, files={"page.html": PAGE})
    for name in ("dual.test", "four.test", "alias.test"):
        answer = cat(net.client, *PLAIN, "--resolver", f"{SERVER4}:53", f"{name}:80", stdin=get("page.html", name))
        check_equal(body_of(answer), PAGE, f"the page of {name}")
    net.client.hosts("127.0.0.1 localhost\n")
    net.client.resolv_conf(f"nameserver {SERVER4}\nsearch nothing.test test\n")
    answer = cat(net.client, *PLAIN, "dual:80", stdin=get("page.html"))
    check_equal(body_of(answer), PAGE, "the page of the short name")
    check(b"query[AAAA] dual.test" in resolver.err and b"query[A] dual.test" in resolver.err, "both types were asked")
    missing = probe(net.client, *PLAIN, "--timeout", "5", "nosuch.test:80")
    check_equal((missing.error or {}).get("reason"), "ResolutionFailed", "a name that dnsmasq does not know")
    check("nosuch.test" in missing.error["detail"], f"it is named: {missing.error['detail']}")


# proves API-010
@test("/etc/hosts comes before the name server")
def hosts_first(net):
    dnsmasq(net.server, SERVER4, "--host-record=server.test,192.0.2.99")
    known_hosts(net)
    net.client.resolv_conf(f"nameserver {SERVER4}\n")
    nginx(net.server, 80, files={"page.html": PAGE})
    answer = probe(net.client, *PLAIN, "server.test:80")
    need(answer.result == "established", answer.explain())
    check(answer.to("192.0.2.99") is None, "the name server's address is no candidate")


# ------------------------------------------------------------------------------------------- taps serve, plain

# proves API-063, ARCH-12
@test("taps serve: an ephemeral port, the listening lines name address and stack")
def serve_ephemeral(net):
    server = serve(net.server, *PLAIN, "0")
    ports = {port for _, port, _ in server.listening}
    check(0 not in ports and all(port >= 1024 for port in ports), f"ephemeral: {ports}")
    check_equal(len(ports), 1, "one port for all stacks and families")
    check(any("tcp" in rest for _, _, rest in server.listening), f"tcp: {server.listening}")
    port = ports.pop()
    for target in (f"{SERVER4}:{port}", f"[{SERVER6}]:{port}"):
        check_equal(cat(net.client, *PLAIN, target, stdin=b"hello\n").out, b"hello\n", f"the echo of {target}")


# proves API-063, ARCH-12
@test("taps serve: curl's telnet and socat over TCP, IPv4 and IPv6")
def serve_tcp(net):
    require_programs("curl", "socat")
    serve(net.server, *PLAIN, "9001")
    data = large(1_000_000)
    for target in (SERVER4, f"[{SERVER6}]"):
        answer = net.client.run("curl", "-sS", "--max-time", "2", f"telnet://{target}:9001", stdin=b"over telnet\n")
        check_equal(answer.out, b"over telnet\n", f"curl to {target}")
        answer = net.client.run("socat", "-t", "20", "-", f"TCP:{target}:9001", stdin=data)
        check_equal(answer.status, 0, "exit status of socat")
        check(answer.out == data, f"socat to {target}: {len(answer.out)} of {len(data)} bytes")


# proves API-065, API-063
@test("taps serve: socat over UDP, every peer is a Connection of its own, IPv4 and IPv6")
def serve_udp(net):
    require_programs("socat")
    serve(net.server, *PLAIN, "--profile", "unreliable-datagram", "9002")
    for target in (SERVER4, f"[{SERVER6}]"):
        kind = "UDP6" if "[" in target else "UDP4"
        peers = [net.client.spawn("socat", "-", f"{kind}:{target}:9002", stdin=subprocess.PIPE) for _ in range(3)]
        for round_number in range(2):
            for number, peer in enumerate(peers):
                peer.write(b"peer %d round %d\n" % (number, round_number))
        for number, peer in enumerate(peers):
            wanted = b"peer %d round 0\npeer %d round 1\n" % (number, number)
            poll(lambda: len(peer.out) >= len(wanted), 30, f"the echoes of peer {number} by {target}")
            check_equal(peer.out, wanted, f"the echoes of peer {number}")
            peer.end()


# proves API-065
@test("taps serve: the reply to a datagram comes from the address it was sent to")
def serve_udp_source(net):
    serve(net.server, *PLAIN, "--profile", "unreliable-datagram", "9003")
    v4, _ = net.more_addresses(2)
    for address in (SERVER4, v4[1]):
        peer = net.client.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with peer:
            peer.settimeout(30)
            peer.sendto(b"where from?", (address, 9003))
            data, source = peer.recvfrom(100)
        check_equal((data, source), (b"where from?", (address, 9003)), "the echo and its source")


# proves API-063
@test("taps serve: tcp and udp on one port where both are eligible")
def serve_both(net):
    server = serve(net.server, *PLAIN, "-p", "reliability=no preference", "-p", "preserveOrder=no preference", "-p",
                   "congestionControl=no preference", "9004")
    check(any("tcp" in rest for _, _, rest in server.listening), f"tcp: {server.listening}")
    check(any("udp" in rest for _, _, rest in server.listening), f"udp: {server.listening}")
    for profile in ("reliable-inorder-stream", "unreliable-datagram"):
        client = cat_open(net.client, *PLAIN, "--profile", profile, f"{SERVER4}:9004")
        client.write(b"hello\n")
        poll(lambda: client.out == b"hello\n", 30, f"the echo with {profile}")
        client.end()


# proves API-066
@test("taps serve: a port that is taken is a clear error")
def serve_taken(net):
    socat(net.server, 9005, "tcp", "TCP4-LISTEN:9005,reuseaddr", "PIPE")
    answer = net.server.run(TAPS, "serve", *PLAIN, "-4", "9005", seconds=30)
    check_equal(answer.status, 1, "exit status")
    check(b"9005" in answer.err and b"use" in answer.err.lower(), f"the error tells: {answer.err!r}")


# proves API-063
@test("taps serve: 100 clients at once, each gets its own bytes")
def serve_many(net):
    serve(net.server, *PLAIN, "9006")
    peers = []
    for number in range(100):
        peer = net.client.socket(socket.AF_INET, socket.SOCK_STREAM)
        net.at_close(peer.close)
        peer.settimeout(30)
        peer.connect((SERVER4, 9006))
        peers.append(peer)
    for number, peer in enumerate(peers):
        peer.sendall(b"number %03d" % number)
    for number, peer in enumerate(peers):
        check_equal(receive(peer, 10), b"number %03d" % number, "echo")
        peer.shutdown(socket.SHUT_WR)
        check_equal(peer.recv(10), b"", "the end")


def receive(peer, count):
    data = b""
    while len(data) < count:
        more = peer.recv(count - len(data))
        if not more:
            break
        data += more
    return data


# --------------------------------------------------------------------------------------------- taps serve, TLS

def secure_serve(net, port, *options):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    serve(net.server, "--cert", certificate[0], "--key", certificate[1], *options, str(port))
    return authority


# proves API-052, API-063, ARCH-12
@test("taps serve, TLS: openssl s_client checks the certificate and gets the echo, TLS 1.2 and 1.3")
def serve_openssl(net):
    authority = secure_serve(net, 9441)
    for version in ("-tls1_2", "-tls1_3"):
        client = net.client.spawn("openssl", "s_client", "-connect", "server.test:9441", "-servername", "server.test",
                                  "-verify_hostname", "server.test", "-verify_return_error", "-CAfile",
                                  authority.certificate, "-quiet", version, stdin=subprocess.PIPE)
        client.write(b"hello from OpenSSL\n")
        poll(lambda: b"hello from OpenSSL\n" in client.out, 30, f"the echo {version}")
        client.end()


# proves API-052, ARCH-12
@test("taps serve, TLS: gnutls-cli checks the certificate and gets the echo")
def serve_gnutls(net):
    require_programs("gnutls-cli")
    authority = secure_serve(net, 9442)
    client = net.client.spawn("gnutls-cli", "--x509cafile", authority.certificate, "--port", "9442", "server.test",
                              stdin=subprocess.PIPE)
    poll(lambda: b"Handshake was completed" in client.out, 30, "the handshake")
    client.write(b"hello from GnuTLS\n")
    poll(lambda: b"hello from GnuTLS\n" in client.out, 30, "the echo")
    client.end()


# proves API-052, ARCH-12
@test("taps serve, TLS: socat's OpenSSL moves 1 MB there and back")
def serve_socat_tls(net):
    authority = secure_serve(net, 9443)
    data = large(1_000_000)
    client = net.client.spawn("socat", "-t", "20", "-",
                              f"OPENSSL:server.test:9443,cafile={authority.certificate},commonname=server.test",
                              stdin=subprocess.PIPE)
    net.thread(client.write, data)
    poll(lambda: len(client.out) >= len(data), 30, "all bytes")
    check(client.out == data, "unchanged")
    client.end()


# proves API-054
@test("taps serve, TLS: ALPN is agreed on, and no common protocol is refused")
def serve_alpn(net):
    authority = secure_serve(net, 9444, "--alpn", "echo/1")
    for offer, good in (("other,echo/1", True), ("other", False)):
        client = net.client.run("openssl", "s_client", "-connect", "server.test:9444", "-CAfile",
                                authority.certificate, "-alpn", offer, stdin=b"", seconds=30)
        check_equal(b"ALPN protocol: echo/1" in client.out, good, f"echo/1 chosen from {offer}")
        check_equal(b"no application protocol" in client.err.lower(), not good, f"alert for {offer}: {client.err!r}")


# proves ARCH-09
@test("taps serve, TLS: a plain client gets nothing back, and the next TLS client is served")
def serve_plain_client(net):
    authority = secure_serve(net, 9445)
    plain = net.client.socket(socket.AF_INET, socket.SOCK_STREAM)
    with plain:
        plain.settimeout(30)
        plain.connect((SERVER4, 9445))
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = b""
        try:
            while more := plain.recv(4096):
                answer += more
        except ConnectionResetError:
            pass
    check(b"GET" not in answer, f"no echo in plain text: {answer!r}")
    check(answer == b"" or answer[:1] == b"\x15", f"at most a TLS alert: {answer!r}")
    good = cat(net.client, "--cafile", authority.certificate, "server.test:9445", stdin=b"hello\n")
    check_equal((good.status, good.out), (0, b"hello\n"), "the next client")


# proves ARCH-12, API-140, API-123
@test("taps to taps: TLS and plain, 2 MB there and back")
def taps_to_taps(net):
    authority = secure_serve(net, 9446)
    serve(net.server, *PLAIN, "9447")
    data = large(2_000_000)
    for arguments in (["--cafile", authority.certificate, "server.test:9446"], [*PLAIN, "server.test:9447"]):
        answer = cat(net.client, *arguments, stdin=data)
        check_equal(answer.status, 0, "exit status")
        check(answer.out == data, f"{arguments[-1]}: {len(answer.out)} of {len(data)} bytes")


# proves API-063
@test("taps cat -l: takes one connection of socat and ends with it")
def cat_listens(net):
    listener = net.server.spawn(TAPS, "cat", *PLAIN, "-l", "9007", stdin=subprocess.PIPE)
    poll(lambda: net.server.listens(listener.pid, 9007), 30, "it to listen")
    client = net.client.spawn("socat", "-t", "10", "-", f"TCP:{SERVER4}:9007", stdin=subprocess.PIPE)
    client.write(b"to the listener\n")
    poll(lambda: b"to the listener\n" in listener.out, 30, "the client's words")
    listener.write(b"to the client\n")
    poll(lambda: b"to the client\n" in client.out, 30, "the listener's words")
    listener.close_stdin()
    client.close_stdin()
    check_equal(listener.wait(30), 0, "exit status of the listener")
    check_equal(client.wait(30), 0, "exit status of socat")


# ---------------------------------------------------------------------------------------------------- the examples

def example(name):
    path = os.path.join(os.environ.get("TAPS_EXAMPLES", ""), "example-" + name)
    if not os.path.exists(path):
        raise Skip(f"the example {name} was not built")
    return path


def example_client(net, name):
    known_hosts(net)
    authority = Authority(net)
    nginx(net.server, 443, tls=authority.issue("server.test"), files={"index.html": PAGE})
    answer = net.client.run(example(name), "server.test:443", authority.certificate)
    check_equal(answer.status, 0, "exit status")
    check(PAGE in answer.out, f"the page: {answer.out!r}")
    refused = net.client.run(example(name), "server.test:443")
    check(refused.status == 1 and PAGE not in refused.out, "without the authority it is refused")


# proves ARCH-12
@test("the example client gets nginx's page")
def client_example(net):
    example_client(net, "client")


# proves ARCH-03, ARCH-12
@test("the example in a libuv loop gets nginx's page")
def uv_example(net):
    example_client(net, "embed-uv")


# proves ARCH-03, ARCH-12
@test("the example in a GLib loop gets nginx's page")
def glib_example(net):
    example_client(net, "embed-glib")


# proves ARCH-12
@test("the example server echoes to openssl s_client")
def server_example(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    server = net.server.spawn(example("server"), ":9448", certificate[0], certificate[1])
    poll(lambda: net.server.listens(server.pid, 9448), 30, "it to listen")
    client = net.client.spawn("openssl", "s_client", "-connect", "server.test:9448", "-verify_return_error", "-CAfile",
                              authority.certificate, "-quiet", stdin=subprocess.PIPE)
    client.write(b"hello\n")
    poll(lambda: b"hello\n" in client.out, 30, "the echo")
    client.end()


main()
