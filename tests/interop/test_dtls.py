"""DTLS with real peers, both ways: OpenSSL's and GnuTLS's servers for `taps cat`, their clients for `taps serve`. None of
them knows Transport Services: proves ARCH-12."""
import subprocess

from netns import SERVER4, SERVER6
from peers import Authority, Capture, cat, cat_open, probe, require_programs, serve, wait_listening
from tap import check, check_equal, main, poll, test

DATAGRAMS = ["--profile", "unreliable-datagram"]


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n{SERVER6} server.test\n")


def dtls_server(host, port, tls, *options):
    """openssl s_server over UDP; its input stays open."""
    process = host.spawn("openssl", "s_server", "-dtls1_2", "-listen", "-accept", port, "-cert", tls[0], "-key", tls[1],
                         *options, stdin=subprocess.PIPE)
    wait_listening(host, process, port, "udp")
    return process


def gnutls_server(host, port, tls, *options):
    require_programs("gnutls-serv")
    process = host.spawn("gnutls-serv", "--udp", "--echo", "--port", port, "--x509certfile", tls[0], "--x509keyfile",
                         tls[1], *options)
    wait_listening(host, process, port, "udp")
    return process


def dtls_serve(net, port, *options):
    authority = Authority(net)
    certificate = authority.issue("server.test", SERVER4, SERVER6)
    serve(net.server, *DATAGRAMS, "--cert", certificate[0], "--key", certificate[1], *options, str(port))
    return authority


# ------------------------------------------------------------------------------------------------- our client

# proves API-050, API-051, IMPL-36
@test("openssl s_server: with cookies, by name, over IPv4 and IPv6; words both ways; its end is heard")
def openssl_server(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    for port, where, family in ((4431, "server.test:4431", "-6"), (4432, f"{SERVER4}:4432", "-4"),
                                (4433, f"[{SERVER6}]:4433", "-6")):
        options = [] if where.startswith("server") else ["--server-name", "server.test"]
        server = dtls_server(net.server, port, certificate, "-quiet", family)
        client = cat_open(net.client, *DATAGRAMS, "-v", "--cafile", authority.certificate, *options, where)
        client.write(b"from the client\n")
        poll(lambda: b"from the client\n" in server.out, 15, f"the client's words at the server, {where}")
        server.write(b"from the server\n")
        poll(lambda: b"from the server\n" in client.out, 15, "the server's words at the client")
        check(b"dtls/udp" in client.err and b"DTLS 1.2" in client.err, "it says what was chosen")
        server.close_stdin()
        check_equal(client.wait(15), 0, "the server's close_notify ends it")


# proves ARCH-12
@test("gnutls-serv --echo: Messages of many sizes come back whole")
def gnutls_echo(net):
    known_hosts(net)
    authority = Authority(net)
    gnutls_server(net.server, 4434, authority.issue("server.test"))
    client = cat_open(net.client, *DATAGRAMS, "--cafile", authority.certificate, "server.test:4434")
    for size in (1, 10, 100, 500, 1000):
        client.write(b"x" * size + b"\n")
        poll(lambda: b"x" * size + b"\n" in client.out, 15, f"the echo of {size} bytes")
    client.end()


# proves ARCH-09, ARCH-10
@test("a certificate of nobody, one for another name, and an expired one are refused; nothing is sent to their owners")
def refused(net):
    known_hosts(net)
    authority, other = Authority(net), Authority(net, "Other CA")
    cases = ((4435, other.issue("server.test"), b"trust"), (4436, authority.issue("other.test"), b"name"),
             (4437, authority.issue("server.test", expired=True), b"expired"))
    for port, certificate, word in cases:
        server = gnutls_server(net.server, port, certificate)
        answer = cat(net.client, *DATAGRAMS, "--cafile", authority.certificate, "-4", f"server.test:{port}",
                     stdin=b"a secret\n", seconds=20)
        check_equal(answer.status, 1, f"exit status, {word}")
        check(b"a secret" not in server.out, "the server got nothing")


# proves API-062
@test("nobody listens: refused at once, not after a timeout")
def nobody(net):
    known_hosts(net)
    answer = cat(net.client, *DATAGRAMS, "-4", "server.test:4438", stdin=b"", seconds=5)
    check_equal(answer.status, 1, "exit status")
    check(b"refused" in answer.err.lower(), f"it says why: {answer.err!r}")


# proves ARCH-16, API-056
@test("openssl s_server and gnutls-serv: the second association resumes the first, from a file too")
def resumes(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    openssl = net.server.spawn("openssl", "s_server", "-dtls1_2", "-accept", 4451, "-cert", certificate[0], "-key",
                               certificate[1], "-quiet", "-4", stdin=subprocess.PIPE)
    wait_listening(net.server, openssl, 4451, "udp")
    gnutls_server(net.server, 4452, certificate)
    for port in (4451, 4452):
        for number in range(3):
            answer = probe(net.client, *DATAGRAMS, "--cafile", str(authority.certificate), "--session-file",
                           str(net.folder / f"sessions-{port}"), "--server-name", "server.test", f"{SERVER4}:{port}")
            check_equal(answer.status, 0, f"exit status: {answer.explain()}")
            check_equal(answer.json["security"]["resumed"], number > 0, f"association {number + 1} at {port}")
            check(answer.json["security"]["authenticated"], "it is authenticated")


# ------------------------------------------------------------------------------------------------- our server

# proves ARCH-16
@test("taps serve: openssl s_client and gnutls-cli resume")
def serve_resumes(net):
    require_programs("gnutls-cli")
    known_hosts(net)
    authority = dtls_serve(net, 4453)
    session = net.folder / "session"
    for option in ("-sess_out", "-sess_in"):
        client = net.client.spawn("openssl", "s_client", "-dtls1_2", "-connect", f"{SERVER4}:4453", "-CAfile",
                                  authority.certificate, option, session, stdin=subprocess.PIPE)
        client.write(b"hello from OpenSSL\n")
        poll(lambda: b"hello from OpenSSL\n" in client.out, 15, f"the echo, {option}")
        check(option == "-sess_out" or b"Reused, " in client.out, "the session is resumed")
        client.end()
    client = net.client.spawn("gnutls-cli", "--udp", "--x509cafile", authority.certificate, "--resume", "--port", "4453",
                              "server.test", stdin=subprocess.PIPE)
    poll(lambda: b"This is a resumed session" in client.out, 15, "a resumed session of gnutls-cli")
    client.end()


# proves ARCH-12, API-063
@test("taps serve: openssl s_client checks the certificate and gets the echo")
def serve_openssl(net):
    known_hosts(net)
    authority = dtls_serve(net, 4441)
    for where in (f"{SERVER4}:4441", f"[{SERVER6}]:4441"):
        client = net.client.spawn("openssl", "s_client", "-dtls1_2", "-connect", where, "-verify_hostname",
                                  "server.test", "-verify_return_error", "-CAfile", authority.certificate, "-quiet",
                                  stdin=subprocess.PIPE)
        client.write(b"hello from OpenSSL\n")
        poll(lambda: b"hello from OpenSSL\n" in client.out, 15, f"the echo from {where}")
        client.end()


# proves ARCH-12
@test("taps serve: gnutls-cli checks the certificate and gets the echo; ALPN is agreed on")
def serve_gnutls(net):
    require_programs("gnutls-cli")
    known_hosts(net)
    authority = dtls_serve(net, 4442, "--alpn", "echo/1")
    client = net.client.spawn("gnutls-cli", "--udp", "--x509cafile", authority.certificate, "--alpn", "echo/1",
                              "--port", "4442", "server.test", stdin=subprocess.PIPE)
    poll(lambda: b"Handshake was completed" in client.out, 15, "the handshake")
    check(b"Application protocol: echo/1" in client.out, "the ALPN protocol")
    client.write(b"hello from GnuTLS\n")
    poll(lambda: b"hello from GnuTLS\n" in client.out, 15, "the echo")
    client.end()


# proves API-063, IMPL-36
@test("taps serve: ten clients of three kinds at one socket, each with its own echo and nobody else's")
def many(net):
    require_programs("gnutls-cli")
    known_hosts(net)
    authority = dtls_serve(net, 4443)
    clients = []
    for number in range(10):
        if number % 3 == 0:
            client = net.client.spawn("openssl", "s_client", "-dtls1_2", "-connect", f"{SERVER4}:4443", "-CAfile",
                                      authority.certificate, "-quiet", stdin=subprocess.PIPE)
        elif number % 3 == 1:
            client = net.client.spawn("gnutls-cli", "--udp", "--x509cafile", authority.certificate, "--port", "4443",
                                      "server.test", stdin=subprocess.PIPE)
        else:
            client = cat_open(net.client, *DATAGRAMS, "--cafile", authority.certificate, "server.test:4443")
        clients.append(client)
    for _ in range(2):
        for number, client in enumerate(clients):
            client.write(f"this is {number}\n".encode())
    for number, client in enumerate(clients):
        poll(lambda: client.out.count(f"this is {number}\n".encode()) >= 2, 20, f"the echo of client {number}")
    for number, client in enumerate(clients):
        others = [n for n in range(10) if n != number and f"this is {n}\n".encode() in client.out]
        check_equal(others, [], f"words of others at client {number}")
        client.end()


# proves ARCH-09
@test("nothing that is sent can be read on the wire")
def not_in_clear(net):
    known_hosts(net)
    authority = dtls_serve(net, 4444)
    capture = Capture(net.client)
    client = cat_open(net.client, *DATAGRAMS, "--cafile", authority.certificate, "server.test:4444")
    client.write(b"a secret of some length\n")
    poll(lambda: b"a secret of some length\n" in client.out, 15, "the echo")
    check(b"a secret of some length" not in capture.data(), "the words are not on the wire")
    client.end()


main()
