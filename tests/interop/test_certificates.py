"""Peers that must not be trusted: the error is clear and a different one for each fault, and no byte of the
application leaves this machine, encrypted or not. proves ARCH-09"""
import subprocess

from netns import SERVER4
from peers import (TAPS, Authority, Capture, cat, closing, gnutls_serv, nginx, probe, require_programs, run, s_server,
                   serve, stalled, talking)
from tap import Skip, check, check_equal, main, need, poll, test

PORT = 4430
MARKER = b"this-must-not-leave-the-machine"


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")


def refused(net, *arguments, target=f"server.test:{PORT}", words=(), server=None):
    """Probes and cats the target: both fail, say why in these words, and the marker is nowhere. Returns the error."""
    capture = Capture(net.server)
    answer = probe(net.client, *arguments, "--timeout", "30", target)
    check_equal(answer.result, "error", "result")
    check_equal(answer.status, 1, "exit status of probe")
    need(answer.error, "an error")
    text = answer.explain().lower()
    check(any(word in text for word in words), f"it says one of {words}: {answer.explain()}")
    check("timeout" not in text, f"it is found out, not waited for: {answer.explain()}")
    transfer = cat(net.client, *arguments, "--timeout", "30", target, stdin=MARKER + b"\n")
    check_equal(transfer.status, 1, "exit status of cat")
    check_equal(transfer.out, b"", "nothing came")
    check(any(word in transfer.err.decode(errors="replace").lower() for word in words),
          f"cat says one of {words}: {transfer.err!r}")
    check(MARKER not in capture.data(), "the marker was not on the wire")
    if server:
        check(MARKER not in server.out, "nor did the peer decrypt it")
    return answer.error


def faulty_server(net, **fault):
    """A server with one fault; returns it and the options of a client that would trust it otherwise."""
    known_hosts(net)
    authority = Authority(net)
    server = s_server(net.server, PORT, authority.issue(*fault.pop("names", ["server.test"]), **fault))
    return server, ["--cafile", authority.certificate]


UNTRUSTED = ("trust", "issuer", "authority", "signed by", "unknown ca")


# proves ARCH-09, API-050, IMPL-25
@test("a certificate of another authority is refused")
def wrong_authority(net):
    server, _ = faulty_server(net)
    stranger = Authority(net, "Another CA")
    refused(net, "--cafile", stranger.certificate, words=UNTRUSTED, server=server)


# proves ARCH-09, API-050
@test("without an option only the system's authorities are trusted")
def system_store(net):
    server, _ = faulty_server(net)
    refused(net, words=UNTRUSTED, server=server)


# proves ARCH-09, API-050
@test("a self-signed certificate is refused")
def self_signed(net):
    known_hosts(net)
    key, certificate = net.folder / "self.key", net.folder / "self.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
        str(key), "-out", str(certificate), "-days", "30", "-subj", "/CN=server.test", "-addext",
        "subjectAltName=DNS:server.test")
    server = s_server(net.server, PORT, (certificate, key))
    refused(net, "--cafile", Authority(net).certificate, words=UNTRUSTED, server=server)


# proves ARCH-09, API-050, IMPL-25
@test("an expired certificate is refused as expired")
def expired(net):
    server, options = faulty_server(net, expired=True)
    refused(net, *options, words=("expired",), server=server)


# proves ARCH-09, API-050, IMPL-25
@test("a certificate for another name is refused, with the name that was wanted")
def other_name(net):
    server, options = faulty_server(net, names=["other.test"])
    error = refused(net, *options, words=("is for other.test",), server=server)
    check("server.test" in error["detail"], f"it names server.test: {error['detail']}")


# proves ARCH-09, API-010
@test("an address in the target is not satisfied by a certificate for a name")
def address_is_no_name(net):
    server, options = faulty_server(net)
    refused(net, *options, target=f"{SERVER4}:{PORT}", words=("is for server.test",), server=server)


# proves API-050
@test("--server-name says which name to expect instead")
def server_name(net):
    _, options = faulty_server(net)
    good = probe(net.client, *options, "--server-name", "server.test", f"{SERVER4}:{PORT}")
    check_equal(good.result, "established", f"by address with the right name ({good.explain()})")
    bad = probe(net.client, *options, "--server-name", "wrong.test", f"server.test:{PORT}")
    check_equal(bad.result, "error", "by name with a wrong one")


# proves ARCH-18
@test("a client's certificate does not pass for a server's")
def wrong_purpose(net):
    server, options = faulty_server(net, usage="clientAuth", label="client")
    refused(net, *options, words=("purpose", "usage", "server", "trust"), server=server)


# proves API-053
@test("a certificate that is not the pinned one is refused, the pinned one accepted")
def pins(net):
    if b"--pin" not in net.client.run(TAPS, "probe", "--help").out:
        raise Skip("taps has no --pin")
    known_hosts(net)
    authority = Authority(net)
    shown, other = authority.issue("server.test"), authority.issue("server.test")
    server = s_server(net.server, PORT, shown)
    trusted = ["--cafile", authority.certificate]
    good = probe(net.client, *trusted, "--pin", shown[0], f"server.test:{PORT}")
    check_equal(good.result, "established", f"the pinned one ({good.explain()})")
    refused(net, *trusted, "--pin", other[0], words=("pin",), server=server)


VERSION = ("version", "protocol")


# proves ARCH-10, API-051
@test("a server with nothing newer than TLS 1.1 is refused")
def old_version(net):
    known_hosts(net)
    authority = Authority(net)
    server = gnutls_serv(net.server, PORT, authority.issue("server.test"), "--echo", "--priority",
                         "NORMAL:-VERS-ALL:+VERS-TLS1.1:+SHA1:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1")
    refused(net, "--cafile", authority.certificate, words=VERSION, server=server)


# proves ARCH-10, API-051
@test("a server with TLS 1.2 only is refused where 1.3 is the minimum, and accepted where not")
def minimum_version(net):
    known_hosts(net)
    authority = Authority(net)
    server = s_server(net.server, PORT, authority.issue("server.test"), "-tls1_2")
    trusted = ["--cafile", authority.certificate]
    good = probe(net.client, *trusted, f"server.test:{PORT}")
    check_equal(good.result, "established", f"without a minimum ({good.explain()})")
    refused(net, *trusted, "--min-version", "1.3", words=VERSION, server=server)


# proves ARCH-10
@test("listening with TLS 1.3 as the minimum: a TLS 1.2 client is refused")
def listener_minimum(net):
    known_hosts(net)
    authority = Authority(net)
    certificate = authority.issue("server.test")
    serve(net.server, "--cert", certificate[0], "--key", certificate[1], "--min-version", "1.3", str(PORT))
    for version, good in (("-tls1_3", True), ("-tls1_2", False)):
        client = net.client.spawn("openssl", "s_client", "-connect", f"server.test:{PORT}", "-CAfile",
                                  authority.certificate, "-quiet", version, stdin=subprocess.PIPE)
        client.write(b"hello\n")
        if good:
            poll(lambda: b"hello\n" in client.out, 30, "the echo")
            client.end()
        else:
            check(client.wait(30) not in (0, None), "the client ended with an error")
            check(b"alert" in client.err, f"an alert told it: {client.err!r}")


# proves ARCH-09
@test("a plain-text server is refused, and only a TLS hello was said to it")
def plain_text_server(net):
    known_hosts(net)
    peer = talking(net.server, SERVER4, PORT, b"220 mail.test ESMTP ready\r\n")
    refused(net, words=("tls",))
    check(peer.received and all(data[:1] == b"\x16" for data in peer.received if data), "TLS only")


# proves ARCH-09
@test("an HTTP server's plain port is refused")
def plain_http_server(net):
    known_hosts(net)
    nginx(net.server, PORT, files={"x": b"x"})
    refused(net, words=("tls",))


# proves ARCH-09, API-050
@test("opportunistic: TLS with an untrusted peer where there is TLS, plain text where there is none")
def opportunistic(net):
    server, _ = faulty_server(net)
    answer = probe(net.client, "--security", "opportunistic", f"server.test:{PORT}")
    need(answer.result == "established", answer.explain())
    check_equal(answer.chosen["stack"], "tls/tcp", "encrypted where the peer can")
    peer = closing(net.server, SERVER4, PORT + 1, after=1)
    answer = probe(net.client, "--security", "opportunistic", f"server.test:{PORT + 1}")
    need(answer.result == "established", answer.explain())
    check_equal(answer.chosen["stack"], "tcp", "plain where it cannot")
    check(len(peer.connections) >= 2, "TLS was tried first")
    check(server.running(), "the server is well")


# proves ARCH-09
@test("required security is never given up, whatever the peer does")
def never_plain(net):
    known_hosts(net)
    capture = Capture(net.server)
    stalled(net.server, SERVER4, PORT)
    closing(net.server, SERVER4, PORT + 1)
    closing(net.server, SERVER4, PORT + 2, after=1, how="reset")
    talking(net.server, SERVER4, PORT + 3, b"\x15\x03\x03\x00\x02\x02\x28")
    talking(net.server, SERVER4, PORT + 4, bytes(5000))
    talking(net.server, SERVER4, PORT + 5, b"\x16\x03\x03\xff\xff" + bytes(100))
    for port in range(PORT, PORT + 6):
        answer = cat(net.client, "--timeout", "1.5", f"server.test:{port}", stdin=MARKER + b"\n")
        check_equal((answer.status, answer.out), (1, b""), f"port {port}")
        check(len(answer.err.strip()) > 10, f"port {port} says why: {answer.err!r}")
    check(MARKER not in capture.data(), "the marker was not on the wire")


# proves API-052
@test("--security disabled and a certificate contradict each other")
def contradiction(net):
    authority = Authority(net)
    answer = net.client.run(TAPS, "probe", "--security", "disabled", "--cafile", authority.certificate,
                            f"{SERVER4}:{PORT}")
    check_equal(answer.status, 2, "exit status")


# proves API-052
@test("files that are no certificates, or the wrong key: a clear error before any traffic")
def bad_files(net):
    authority = Authority(net)
    first, second = authority.issue("server.test"), authority.issue("server.test")
    net.server.count_syns(SERVER4)
    empty, text = net.folder / "empty.pem", net.folder / "text.pem"
    empty.write_bytes(b"")
    text.write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    for path in (empty, text, net.folder / "missing.pem", net.folder):
        answer = net.client.run(TAPS, "probe", "--cafile", path, f"{SERVER4}:{PORT}", seconds=30)
        check(answer.status in (1, 2), f"{path.name}: exit status {answer.status}")
        check(str(path).encode() in answer.err, f"the file is named: {answer.err!r}")
    answer = net.client.run(TAPS, "serve", "--cert", first[0], "--key", second[1], str(PORT), seconds=30)
    check(answer.status in (1, 2), f"a key of another certificate: exit status {answer.status}")
    check(answer.err.strip(), "it says so")
    check_equal(sum(net.server.syns().values()), 0, "attempts")


# proves IMPL-25
@test("each fault has a text of its own")
def distinct(net):
    require_programs("gnutls-serv")
    known_hosts(net)
    authority = Authority(net)
    stranger = Authority(net, "Another CA")
    good, late, other = authority.issue("server.test"), authority.issue("server.test", expired=True), \
        authority.issue("other.test")
    for number, certificate in enumerate((good, late, other)):
        s_server(net.server, PORT + number, certificate)
    s_server(net.server, PORT + 3, good, "-tls1_2")
    talking(net.server, SERVER4, PORT + 4, b"220 mail.test ESMTP ready\r\n")
    trusted = ["--cafile", authority.certificate]
    cases = [["--cafile", stranger.certificate, f"server.test:{PORT}"], [*trusted, f"server.test:{PORT + 1}"],
             [*trusted, f"server.test:{PORT + 2}"], [*trusted, "--min-version", "1.3", f"server.test:{PORT + 3}"],
             [*trusted, f"server.test:{PORT + 4}"], [*trusted, f"server.test:{PORT + 5}"]]
    texts = [probe(net.client, "--timeout", "30", *case).error["detail"] for case in cases]
    blank = [text for text in texts if not text.strip()]
    check(not blank, "every detail says something")
    # The port of the target may stand in the text; without it the texts still differ.
    bare = {"".join(c for c in text if not c.isdigit()) for text in texts}
    check_equal(len(bare), len(texts), f"different texts in {texts}")


main()
