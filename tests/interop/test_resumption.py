"""Resumed sessions and early data against OpenSSL and GnuTLS, both ways."""
import os
import stat
import subprocess

from netns import SERVER4
from peers import Authority, gnutls_serv, require_programs, s_server, serve
from tap import check, check_equal, main, poll, test

AGAIN = os.environ["TAPS_AGAIN"]
REQUEST = "GET / HTTP/1.0\r\n\r\n"


def known(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")
    authority = Authority(net)
    return authority, authority.issue("server.test")


def again(net, authority, port, times, *options, message=REQUEST):
    """What `again` printed of each Connection: "resumed=1 early=1 TLS 1.3"."""
    process = net.client.run(AGAIN, f"server.test:{port}", str(authority.certificate), str(times), message, *options,
                             seconds=60)
    check_equal(process.status, 0, f"exit status of again: {process.err!r}")
    return [line for line in process.out.decode("latin-1").splitlines() if line.startswith("resumed=")]


# -------------------------------------------------------------------------------------------------------- clients

# proves IMPL-23, ARCH-16
@test("openssl s_server: the second connection resumes, TLS 1.2 and 1.3")
def openssl_resumes(net):
    authority, certificate = known(net)
    for port, version, name in ((4501, "-tls1_2", "TLS 1.2"), (4502, "-tls1_3", "TLS 1.3")):
        s_server(net.server, port, certificate, version, "-www")
        told = again(net, authority, port, 3)
        check_equal(told, [f"resumed=0 early=0 {name}"] + 2 * [f"resumed=1 early=0 {name}"], version)


# proves API-074, IMPL-17
@test("openssl s_server -early_data: the first Message is taken as early data, once")
def openssl_early(net):
    authority, certificate = known(net)
    server = s_server(net.server, 4503, certificate, "-tls1_3", "-early_data", "-quiet", "-naccept", "3")
    told = again(net, authority, 4503, 3, "replayable", "silent", message="the first words\n")
    check_equal(told, ["resumed=0 early=0 TLS 1.3"] + 2 * ["resumed=1 early=1 TLS 1.3"], "what became of it")
    poll(lambda: server.out.count(b"the first words\n") == 3, 10, "each Message once")


# proves API-103
@test("openssl s_server -early_data: what is not safelyReplayable is no early data")
def openssl_not_early(net):
    authority, certificate = known(net)
    s_server(net.server, 4504, certificate, "-tls1_3", "-early_data", "-quiet", "-naccept", "2")
    told = again(net, authority, 4504, 2, "silent", message="the first words\n")
    check_equal(told, ["resumed=0 early=0 TLS 1.3", "resumed=1 early=0 TLS 1.3"], "what became of it")


# proves IMPL-17
@test("openssl s_server that has forgotten its tickets: early data is sent again, once")
def openssl_forgot(net):
    authority, certificate = known(net)
    file = net.folder / "sessions"
    server = s_server(net.server, 4505, certificate, "-tls1_3", "-early_data", "-quiet")
    again(net, authority, 4505, 1, "replayable", "silent", f"file={file}", message="one\n")
    server.end()
    server = s_server(net.server, 4505, certificate, "-tls1_3", "-early_data", "-quiet")
    told = again(net, authority, 4505, 1, "replayable", "silent", f"file={file}", message="two\n")
    check_equal(told, ["resumed=0 early=0 TLS 1.3"], "what became of it")
    poll(lambda: server.out.count(b"two\n") == 1, 10, "the Message, once")


# proves ARCH-16
@test("a session file outlives the process, and is its user's alone")
def session_file(net):
    authority, certificate = known(net)
    file = net.folder / "sessions"
    s_server(net.server, 4506, certificate, "-tls1_3", "-www")
    told = [again(net, authority, 4506, 1, f"file={file}")[0] for _ in range(3)]
    check_equal(told, ["resumed=0 early=0 TLS 1.3"] + 2 * ["resumed=1 early=0 TLS 1.3"], "three processes")
    check_equal(stat.S_IMODE(file.stat().st_mode), 0o600, "its mode")
    file.write_bytes(b"taps sessions 1\nand then nothing that makes sense")
    check_equal(again(net, authority, 4506, 1, f"file={file}"), ["resumed=0 early=0 TLS 1.3"], "a damaged file")
    check_equal(again(net, authority, 4506, 1, f"file={file}"), ["resumed=1 early=0 TLS 1.3"], "it was mended")
    file.chmod(0o644)
    process = net.client.run(AGAIN, "server.test:4506", str(authority.certificate), "1", REQUEST, f"file={file}")
    check_equal(process.status, 3, "a file that others can read is refused")
    check("resumed=0" in process.out.decode("latin-1"), "and not used")


@test("gnutls-serv: resumption and early data")
def gnutls_server(net):
    require_programs("gnutls-serv")
    authority, certificate = known(net)
    gnutls_serv(net.server, 4507, certificate, "--http", "--earlydata", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3")
    told = again(net, authority, 4507, 2)
    check_equal(told, ["resumed=0 early=0 TLS 1.3", "resumed=1 early=0 TLS 1.3"], "resumption")


# -------------------------------------------------------------------------------------------------------- servers

def listen(net, port, *options):
    authority, certificate = known(net)
    serve(net.server, "--cert", certificate[0], "--key", certificate[1], *options, str(port))
    return authority


def s_client(net, authority, port, *options, stdin=b""):
    client = net.client.spawn("openssl", "s_client", "-connect", f"server.test:{port}", "-servername", "server.test",
                              "-verify_return_error", "-CAfile", authority.certificate, *options,
                              stdin=subprocess.PIPE)
    if stdin:
        client.write(stdin)
        poll(lambda: stdin in client.out, 10, "the echo")
    return client


# proves ARCH-12
@test("taps serve: openssl s_client resumes, TLS 1.2 and 1.3")
def serve_resumes(net):
    authority = listen(net, 4511)
    for version in ("-tls1_2", "-tls1_3"):
        session = net.folder / f"session{version}"
        s_client(net, authority, 4511, version, "-sess_out", str(session), stdin=b"first\n").end()
        client = s_client(net, authority, 4511, version, "-sess_in", str(session), stdin=b"second\n")
        poll(lambda: b"Reused, " in client.out, 10, f"a resumed session {version}")
        client.end()


def early(net, port, *options):
    """What s_client says of its early data, and what came back."""
    authority = listen(net, port, *options)
    session, data = net.folder / "session", net.folder / "early"
    data.write_bytes(b"early words\n")
    s_client(net, authority, port, "-tls1_3", "-sess_out", str(session), stdin=b"first\n").end()
    client = s_client(net, authority, port, "-tls1_3", "-sess_in", str(session), "-early_data", str(data))
    return client


# proves API-034, API-125
@test("taps serve with zeroRttMsg: early data of openssl s_client is taken and echoed, in order")
def serve_early(net):
    client = early(net, 4512, "-p", "zeroRttMsg=prefer")
    poll(lambda: b"Early data was accepted" in client.out, 10, "that it was accepted")
    client.write(b"late words\n")
    poll(lambda: b"early words\n" in client.out and b"late words\n" in client.out, 10, "the echo of both")
    check(client.out.index(b"early words\n") < client.out.index(b"late words\n"), "in order")
    client.end()


# proves API-034
@test("taps serve without it: early data is not taken, and the session goes on")
def serve_no_early(net):
    authority = listen(net, 4513)
    session = net.folder / "session"
    s_client(net, authority, 4513, "-tls1_3", "-sess_out", str(session), stdin=b"first\n").end()
    client = s_client(net, authority, 4513, "-tls1_3", "-sess_in", str(session), stdin=b"second\n")
    poll(lambda: b"Reused, " in client.out and b"Early data was not sent" in client.out, 10, "that none is offered")
    client.end()


# proves ARCH-12
@test("taps serve: gnutls-cli resumes, with early data where it is taken")
def serve_gnutls(net):
    require_programs("gnutls-cli")
    authority = listen(net, 4514, "-p", "zeroRttMsg=prefer")
    data = net.folder / "early"
    data.write_bytes(b"early words\n")
    client = net.client.spawn("gnutls-cli", "--x509cafile", authority.certificate, "--port", "4514", "--resume",
                              "--waitresumption", "--earlydata", str(data), "server.test", stdin=subprocess.PIPE)
    poll(lambda: b"This is a resumed session" in client.out, 20, "a resumed session")
    client.end()


main()
