"""Resumed QUIC sessions, early data and address tokens against ngtcp2's gtlsserver and gtlsclient, and between processes."""
import re
import stat

from netns import SERVER4
from peers import TAPS, Authority, require_programs, serve, wait_listening
from tap import check, check_equal, main, poll, test

ALPN = ("--alpn", "h3", "--security-protocol", "quic")


def known(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")
    authority = Authority(net)
    return authority, authority.issue("server.test")


def request(path):
    """The headers of a GET in HTTP/3, without a dynamic table."""
    block = b"\0\0\xd1\xd7\x50\x0bserver.test" + (b"\xc1" if path == "/" else b"\x51" + bytes([len(path)]) +
                                                   path.encode())
    return bytes([1, len(block)]) + block


def cat(net, authority, port, message, *options):
    """What came back, and what `taps cat` says of its early data."""
    got = net.client.run(TAPS, "cat", *ALPN, "--cafile", authority.certificate, "--session-file",
                         str(net.folder / "sessions"), *options, f"server.test:{port}", stdin=message, seconds=60)
    check_equal(got.status, 0, f"exit status of taps cat: {got.err!r}")
    return got.out, got.err.decode()


def gtlsserver(net, port, *options):
    require_programs("gtlsserver")
    authority, (certificate, key) = known(net)
    root = net.folder / "pages"
    root.mkdir()
    (root / "page").write_bytes(b"<p>a page</p>")
    server = net.server.spawn("gtlsserver", "-d", str(root), *options, "0.0.0.0", str(port), str(key), str(certificate))
    wait_listening(net.server, server, port, kind="udp")
    return authority, server


NONE = "no session was resumed: the first Message was not taken as early data"
TAKEN = "the first Message went as early data, and was taken"


# proves API-074, IMPL-17, IMPL-23, ARCH-16
@test("gtlsserver: the request goes as early data, in another process")
def gtlsserver_early(net):
    authority, server = gtlsserver(net, 4601)
    for i in range(3):
        out, said = cat(net, authority, 4601, request("/page"), "--0rtt")
        check(b"<p>a page</p>" in out, f"the page: {out!r}")
        check((TAKEN if i else NONE) in said, f"early data: {said!r}")
    file = net.folder / "sessions"
    check_equal(stat.S_IMODE(file.stat().st_mode), 0o600, "the mode of the session file")
    check_equal(len(re.findall(rb"frm rx \d+ 0RTT STREAM\(0x[0-9a-f]+\) id=0x0 ", server.err + server.out)), 2,
                "requests in 0-RTT packets")


# proves API-103
@test("gtlsserver: what is not safelyReplayable is no early data")
def gtlsserver_not_early(net):
    authority, server = gtlsserver(net, 4602)
    for _ in range(2):
        out, _ = cat(net, authority, 4602, request("/page"))
        check(b"<p>a page</p>" in out, f"the page: {out!r}")
    check(b" 0RTT STREAM" not in server.err + server.out, "no stream in 0-RTT packets")


# proves IMPL-23
@test("gtlsserver that asks for Retry: the address token spares it")
def gtlsserver_token(net):
    authority, server = gtlsserver(net, 4603, "-V")
    for i in range(3):
        out, said = cat(net, authority, 4603, request("/page"), "--0rtt")
        check(b"<p>a page</p>" in out, f"the page: {out!r}")
        check((TAKEN if i else NONE) in said, f"early data: {said!r}")
    check_equal((server.err + server.out).count(b"Sending Retry packet"), 1, "Retry packets")


# proves IMPL-17
@test("gtlsserver that has forgotten its tickets: the request is sent again")
def gtlsserver_forgot(net):
    authority, server = gtlsserver(net, 4604)
    cat(net, authority, 4604, request("/page"), "--0rtt")
    server.end()
    certificate, key = authority.issue("server.test")
    server = net.server.spawn("gtlsserver", "-d", str(net.folder / "pages"), "0.0.0.0", "4604", str(key),
                              str(certificate))
    wait_listening(net.server, server, 4604, kind="udp")
    out, said = cat(net, authority, 4604, request("/page"), "--0rtt")
    check(b"<p>a page</p>" in out, f"the page: {out!r}")
    check(NONE in said, f"early data: {said!r}")


def gtlsclient(net, port, *options):
    require_programs("gtlsclient")
    files = [f"--{kind}-file={net.folder / kind}" for kind in ("session", "tp", "token")]
    return net.client.run("gtlsclient", "--exit-on-all-streams-close", *files, *options, SERVER4, str(port),
                          "https://server.test/", seconds=30)


# proves ARCH-12, API-125
@test("taps serve --0rtt: gtlsclient resumes, and its request is taken as early data")
def serve_early(net):
    _, (certificate, key) = known(net)
    server = serve(net.server, *ALPN, "--0rtt", "-v", "--cert", certificate, "--key", key, "4611")
    gtlsclient(net, 4611)
    check(b"early-data" not in server.out, "none the first time")
    check((net.folder / "token").exists(), "it was given a token")
    gtlsclient(net, 4611)
    poll(lambda: b"quic resumed early-data" in server.out, 10, "that the second session is resumed, with early data")


# proves API-034
@test("taps serve without --0rtt: gtlsclient resumes, without early data")
def serve_no_early(net):
    _, (certificate, key) = known(net)
    server = serve(net.server, *ALPN, "-v", "--cert", certificate, "--key", key, "4612")
    gtlsclient(net, 4612)
    gtlsclient(net, 4612)
    poll(lambda: b"quic resumed" in server.out, 10, "that the second session is resumed")
    check(b"early-data" not in server.out, "no early data")


# proves ARCH-16, ARCH-17
@test("taps serve and cat: the session file serves another process, and damage costs no more than itself")
def session_file(net):
    authority, (certificate, key) = known(net)
    serve(net.server, *ALPN, "--0rtt", "--cert", certificate, "--key", key, "4613")
    file = net.folder / "sessions"
    for expected in (NONE, TAKEN, TAKEN):
        out, said = cat(net, authority, 4613, b"words\n", "--0rtt")
        check_equal(out, b"words\n", "the echo")
        check(expected in said, f"early data: {said!r}")
    bytes_of = bytearray(file.read_bytes())
    for at in range(40, len(bytes_of), 50):
        bytes_of[at] ^= 0xff
    file.write_bytes(bytes(bytes_of))
    for expected in (NONE, TAKEN):
        out, said = cat(net, authority, 4613, b"words\n", "--0rtt")
        check_equal(out, b"words\n", "the echo")
        check(expected in said, f"early data: {said!r}")


main()
