"""Revocation by stapled OCSP responses of real servers: OpenSSL's and GnuTLS's, over TLS and DTLS, for our client."""
import subprocess

from netns import SERVER4
from peers import Authority, probe, require_programs, wait_listening
from tap import check, check_equal, main, test

VERSIONS = {"-tls1_2": [], "-tls1_3": [], "-dtls1_2": ["--profile", "unreliable-datagram"]}


def ask(net, authority, port, tls, version, status=None):
    """What a probe says of an openssl s_server that staples this file."""
    options = ["-status_file", str(status)] if status else []
    server = net.server.spawn("openssl", "s_server", version, "-accept", port, "-cert", tls[0], "-key", tls[1], "-quiet",
                              *options, stdin=subprocess.PIPE)
    wait_listening(net.server, server, port, "udp" if version == "-dtls1_2" else "tcp")
    answer = probe(net.client, *VERSIONS[version], "--cafile", str(authority.certificate), "--server-name",
                   "server.test", f"{SERVER4}:{port}", seconds=20)
    server.end()
    return answer


def check_taken(answer, what):
    check_equal(answer.status, 0, f"{what}: {answer.explain()}")


def check_refused(answer, words, what):
    check_equal(answer.status, 1, f"exit status, {what}")
    check(words in answer.explain(), f"{what}: it says {words!r}: {answer.explain()}")


# proves ARCH-10, API-050
@test("openssl s_server -status_file: good is taken, revoked is refused; TLS 1.2, TLS 1.3, DTLS")
def good_and_revoked(net):
    authority = Authority(net)
    tls = authority.issue("server.test", must_staple=True)
    good = authority.status(tls[0])
    for number, version in enumerate(VERSIONS):
        check_taken(ask(net, authority, 4601 + number, tls, version, good), f"good {version}")
    revoked = authority.status(tls[0], revoked=True)
    for number, version in enumerate(VERSIONS):
        check_refused(ask(net, authority, 4604 + number, tls, version, revoked), "revoked", f"revoked {version}")


# proves ARCH-10
@test("openssl s_server: a status that is out of date, of another's certificate, or none, where the certificate demands one")
def bad_status(net):
    authority = Authority(net)
    tls = authority.issue("server.test", must_staple=True)
    other = authority.issue("other.test")
    old = authority.outdated(authority.status(tls[0]))
    check_refused(ask(net, authority, 4611, tls, "-tls1_3", old), "out of date", "an old status")
    check_refused(ask(net, authority, 4612, tls, "-tls1_3", authority.status(other[0])), "status", "another's status")
    check_refused(ask(net, authority, 4613, tls, "-tls1_3"), "without the revocation status", "no status")
    check_refused(ask(net, authority, 4614, tls, "-tls1_2"), "without the revocation status", "no status, TLS 1.2")


@test("openssl s_server: a certificate that demands no status is taken without one, and not with one that says revoked")
def no_demand(net):
    authority = Authority(net)
    tls = authority.issue("server.test")
    check_taken(ask(net, authority, 4615, tls, "-tls1_3"), "no status")
    check_refused(ask(net, authority, 4616, tls, "-tls1_3", authority.status(tls[0], revoked=True)), "revoked", "revoked")


@test("gnutls-serv --ocsp-response: good is taken, revoked is refused")
def gnutls(net):
    require_programs("gnutls-serv")
    authority = Authority(net)
    for port, revoked in ((4621, False), (4622, True)):
        tls = authority.issue("server.test", must_staple=True)
        server = net.server.spawn("gnutls-serv", "--echo", "--port", port, "--x509certfile", tls[0], "--x509keyfile",
                                  tls[1], "--ocsp-response", authority.status(tls[0], revoked),
                                  "--ignore-ocsp-response-errors", "--disable-client-cert")
        wait_listening(net.server, server, port)
        answer = probe(net.client, "--cafile", str(authority.certificate), "--server-name", "server.test",
                       f"{SERVER4}:{port}", seconds=20)
        if revoked:
            check_refused(answer, "revoked", "revoked")
        else:
            check_taken(answer, "good")


main()
