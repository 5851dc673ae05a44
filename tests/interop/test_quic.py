"""QUIC against real peers: ngtcp2's gtlsserver for the example http3_get, its gtlsclient for the example http3_server."""
import base64
import hashlib
import json
import os
import random
import shutil
import subprocess

from netns import SERVER4, SERVER6
from peers import Authority, require_programs, wait_listening
from tap import Skip, check, check_equal, main, test


def example(name):
    path = os.path.join(os.environ.get("TAPS_EXAMPLES", ""), "example-" + name)
    if not os.path.exists(path):
        raise Skip(f"the example {name} was not built")
    return path


def large(size=3_000_000):
    return random.Random(11).randbytes(size)


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n{SERVER6} server.test\n")


def gtlsserver(net, files, *options):
    require_programs("gtlsserver")
    authority = Authority(net)
    certificate, key = authority.issue("server.test")
    root = net.folder / "pages"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    server = net.server.spawn("gtlsserver", "-q", "-d", str(root), *options, "0.0.0.0", "443", str(key),
                              str(certificate))
    wait_listening(net.server, server, 443, kind="udp")
    return authority


def http3_server(net, data):
    require_programs("gtlsclient")
    page = net.folder / "page"
    page.write_bytes(data)
    certificate, key = Authority(net).issue("server.test")
    server = net.server.spawn(example("http3-server"), ":443", str(certificate), str(key), str(page))
    wait_listening(net.server, server, 443, kind="udp")


# proves API-030
@test("gtlsserver: files over streams of one connection")
def gtlsserver_files(net):
    known_hosts(net)
    data = large()
    authority = gtlsserver(net, {"large": data, "page.html": b"<p>a page</p>"})
    answer = net.client.run(example("http3-get"), "server.test:443", authority.certificate, "/large")
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    check_equal(answer.out, data, "the file")
    answer = net.client.run(example("http3-get"), "server.test:443", authority.certificate, "/page.html", "/page.html")
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    check_equal(len(answer.out), 2 * len(b"<p>a page</p>"), "both of them")


@test("gtlsserver: an address is validated by Retry")
def gtlsserver_retry(net):
    known_hosts(net)
    authority = gtlsserver(net, {"page.html": b"<p>a page</p>"}, "-V")
    answer = net.client.run(example("http3-get"), "server.test:443", authority.certificate, "/page.html")
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    check_equal(answer.out, b"<p>a page</p>", "the page")


# proves API-062
@test("gtlsserver: a certificate for another name, or of nobody we trust, is refused")
def gtlsserver_certificate(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} other.test server.test\n")
    authority = gtlsserver(net, {"page.html": b"<p>a page</p>"})
    answer = net.client.run(example("http3-get"), "other.test:443", authority.certificate, "/page.html")
    check_equal(answer.status, 1, "exit status with another name")
    check(b"other.test" in answer.err, f"the reason names it: {answer.err!r}")
    stranger = Authority(net, "Stranger")
    answer = net.client.run(example("http3-get"), "server.test:443", stranger.certificate, "/page.html")
    check_equal(answer.status, 1, "exit status with another authority")


@test("gtlsclient: requests over streams of one connection")
def gtlsclient_requests(net):
    known_hosts(net)
    data = large()
    http3_server(net, data)
    folder = net.folder / "got"
    folder.mkdir()
    answer = net.client.run("gtlsclient", "-q", "--exit-on-all-streams-close", f"--download={folder}", SERVER4, "443",
                            "https://server.test/one", "https://server.test/two")
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    for name in ("one", "two"):
        check_equal((folder / name).read_bytes(), data, name)


# proves API-140
@test("gtlsclient: 64 MiB that are queued when the server Closes arrive, all of them")
def gtlsclient_close(net):
    known_hosts(net)
    data = large(64 << 20)
    http3_server(net, data)
    folder = net.folder / "got"
    folder.mkdir()
    answer = net.client.run("gtlsclient", "-q", "--exit-on-all-streams-close", f"--download={folder}", SERVER4, "443",
                            "https://server.test/all", seconds=100)
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    check((folder / "all").read_bytes() == data, "the file is whole")


@test("gtlsclient: a version we do not speak is answered with ours")
def gtlsclient_version(net):
    known_hosts(net)
    http3_server(net, b"page")
    answer = net.client.run("gtlsclient", "--version=0x1a2a3a4a", "--exit-on-all-streams-close", SERVER4, "443",
                            "https://server.test/one")
    check(b"ERR_RECV_VERSION_NEGOTIATION" in answer.err, f"it was told: {answer.err[-300:]!r}")


@test("caddy: files over HTTP/3")
def caddy_files(net):
    require_programs("caddy")
    known_hosts(net)
    authority = Authority(net)
    certificate, key = authority.issue("server.test")
    root = net.folder / "pages"
    root.mkdir()
    data = large()
    (root / "large").write_bytes(data)
    config = net.folder / "caddy.json"
    server = {"listen": [":443"], "protocols": ["h1", "h2", "h3"], "automatic_https": {"disable": True},
              "routes": [{"handle": [{"handler": "file_server", "root": str(root)}]}], "tls_connection_policies": [{}]}
    config.write_text(json.dumps({
        "admin": {"disabled": True},
        "apps": {"http": {"servers": {"one": server}},
                 "tls": {"certificates": {"load_files": [{"certificate": str(certificate), "key": str(key)}]}}}}))
    caddy = net.server.spawn("env", f"HOME={net.folder}", "caddy", "run", "--config", str(config))
    wait_listening(net.server, caddy, 443, kind="udp")
    answer = net.client.run(example("http3-get"), "server.test:443", authority.certificate, "/large")
    check_equal(answer.status, 0, f"exit status: {answer.err[-300:]!r}")
    check_equal(answer.out, data, "the file")


# proves ARCH-12
@test("Chromium: a page from the example http3_server")
def chromium_page(net):
    program = shutil.which("chromium-headless-shell")
    if not program:
        raise Skip("there is no chromium-headless-shell")
    known_hosts(net)
    page = net.folder / "page.html"
    page.write_text("<html><body><h1>over three</h1></body></html>")
    certificate, key = Authority(net).issue("server.test")
    public = subprocess.run(["openssl", "x509", "-in", str(certificate), "-pubkey", "-noout"], capture_output=True,
                            check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public, capture_output=True,
                         check=True).stdout
    pin = base64.b64encode(hashlib.sha256(der).digest()).decode()
    server = net.server.spawn(example("http3-server"), ":443", str(certificate), str(key), str(page))
    wait_listening(net.server, server, 443, kind="udp")
    answer = net.client.run(program, "--no-sandbox", "--disable-gpu", f"--user-data-dir={net.folder}/profile",
                            f"--ignore-certificate-errors-spki-list={pin}", "--origin-to-force-quic-on=server.test:443",
                            "--dump-dom", "https://server.test/page.html")
    check(b"<h1>over three</h1>" in answer.out, f"the page: {answer.out!r} {answer.err[-300:]!r}")


if __name__ == "__main__":
    main()
