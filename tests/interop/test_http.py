"""The Framer "http" against real peers: nginx for the example http_get, curl for the example http_server."""
import os
import pathlib
import random

from netns import SERVER4, SERVER6
from peers import Authority, nginx, require_programs, wait_listening
from tap import Skip, check, check_equal, main, poll, test

GREETING = b"Hello from taps\n"


def example(name):
    path = os.path.join(os.environ.get("TAPS_EXAMPLES", ""), "example-" + name)
    if not os.path.exists(path):
        raise Skip(f"the example {name} was not built")
    return path


def large(size=3_000_000):
    return random.Random(11).randbytes(size)


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n{SERVER6} server.test\n")


# ----------------------------------------------------------------------------------------------------------- nginx

# proves API-131
@test("nginx: several files over one connection, in clear and over TLS")
def nginx_files(net):
    known_hosts(net)
    authority = Authority(net)
    data = large()
    files = {"large": data, "empty": b"", "page.html": b"<p>a page</p>"}
    nginx(net.server, 80, files=files)
    nginx(net.server, 443, tls=authority.issue("server.test"), files=files)
    for where, trust in (("server.test:80", "-"), ("server.test:443", authority.certificate)):
        answer = net.client.run(example("http_get"), where, trust, "/page.html", "/empty", "/large", "/page.html")
        check_equal(answer.status, 0, f"exit status from {where}")
        check_equal(answer.out, files["page.html"] + data + files["page.html"], f"all of them from {where}")
        check(b"/page.html: 200, text/html" in answer.err, f"the head is told: {answer.err!r}")


# proves API-131
@test("nginx: a hundred requests at once are answered in order; errors are answers")
def nginx_pipeline(net):
    names = [f"/{number % 10}" for number in range(99)] + ["/nothing"]
    server = nginx(net.server, 80, files={str(number): b"%d," % number for number in range(10)})
    answer = net.client.run(example("http_get"), f"{SERVER4}:80", "-", *names)
    check_equal(answer.status, 1, "exit status: one of them is not there")
    wanted = b"".join(b"%d," % (number % 10) for number in range(99))
    check(answer.out.startswith(wanted), f"in their order: {answer.out[:80]!r}")
    check(b"/nothing: 404" in answer.err, f"the error: {answer.err[-200:]!r}")
    poll(lambda: len(server.access_log.read_text().splitlines()) == 100, 30, "a hundred lines in the log")


@test("nginx, chunked: what is compressed on the way has no length")
def nginx_chunked(net):
    require_programs("nginx")
    root = net.folder / "listing"
    root.mkdir()
    for number in range(500):
        (root / f"file-{number:03}").touch()
    path = net.folder / "nginx.conf"
    path.write_text(f"""
        user root; daemon off; master_process off; worker_processes 1; pid {net.folder}/pid; error_log stderr info;
        events {{ worker_connections 64; }}
        http {{
            access_log off; client_body_temp_path {net.folder}/1; proxy_temp_path {net.folder}/2;
            fastcgi_temp_path {net.folder}/3; uwsgi_temp_path {net.folder}/4; scgi_temp_path {net.folder}/5;
            server {{ listen 0.0.0.0:80; root {root}; autoindex on; }}
        }}""")
    process = net.server.spawn("nginx", "-p", net.folder, "-e", "stderr", "-c", path)
    wait_listening(net.server, process, 80)
    raw = net.client.run("curl", "-sSi", f"http://{SERVER4}/")
    check(b"chunked" in raw.out.lower(), "nginx sends chunks")
    answer = net.client.run(example("http_get"), f"{SERVER4}:80", "-", "/", "/")
    check_equal(answer.status, 0, "exit status")
    check_equal(answer.out, raw.out.partition(b"\r\n\r\n")[2] * 2, "the listing, twice")


# ------------------------------------------------------------------------------------------------------------ curl

def http_server(net):
    require_programs("curl")
    process = net.server.spawn(example("http_server"), f"{SERVER4}:8080")
    poll(lambda: b"listening" in process.out, 30, "the server")
    return process, f"http://{SERVER4}:8080"


def curl(net, *arguments, stdin=b""):
    answer = net.client.run("curl", "-sS", "--max-time", "20", *arguments, stdin=stdin)
    check_equal(answer.status, 0, f"exit status of curl {arguments}")
    return answer.out


# proves API-131
@test("curl: GET, HEAD and errors over one connection")
def curl_gets(net):
    _, url = http_server(net)
    out = curl(net, "-i", url, url + "/nothing", url, "-w", "%{num_connects}\n")
    check_equal(out.count(GREETING), 2, "two greetings")
    check(b"HTTP/1.1 404 Not Found\r\n" in out, "an error")
    check_equal([line for line in out.splitlines() if line in (b"0", b"1")], [b"1", b"0", b"0"], "one connection")
    out = curl(net, "-I", url, "--next", "-sS", url)
    check(out.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 16\r\n" in out, f"HEAD: {out!r}")
    check(out.endswith(b"\r\n\r\n" + GREETING), "and GET behind it")
    check_equal(curl(net, "-0", url), GREETING, "with HTTP/1.0")
    check_equal(curl(net, "--http2", url), GREETING, "with an Upgrade that is not taken")
    check_equal(curl(net, "-H", "Connection: close", url, url), GREETING * 2, "with close")


# proves API-131
@test("curl: uploads of a length, in chunks and after 100 (Continue) come back")
def curl_uploads(net):
    _, url = http_server(net)
    data = large()
    file = pathlib.Path(net.folder / "upload")
    file.write_bytes(data)
    check_equal(curl(net, "--data-binary", f"@{file}", url), data, "with a length and Expect")
    check_equal(curl(net, "-X", "POST", "-T", "-", url, stdin=data), data, "in chunks")
    check_equal(curl(net, "-H", "Expect:", "--data-binary", f"@{file}", url), data, "without Expect")
    check_equal(curl(net, "-0", "--data-binary", f"@{file}", url), data, "with HTTP/1.0, up to the close")
    check_equal(curl(net, "--data-binary", "", url, "--next", "-sS", url), GREETING, "an empty one, and GET behind it")
    trace = curl(net, "-v", "--stderr", "-", "-o", "/dev/null", "--data-binary", f"@{file}", url)
    check(b"100 Continue" in trace or b"Expect" not in trace, "curl was told to go on")
    check(b"chunked" in trace.lower(), "the answer came in chunks")


@test("curl: one that goes in the middle does not hurt the server")
def curl_goes(net):
    process, url = http_server(net)
    for _ in range(3):
        net.client.run("curl", "-sS", "--max-time", "0.2", "-X", "POST", "-T", "-", "--limit-rate", "1k", url,
                       stdin=large(100_000))
    check_equal(curl(net, url), GREETING, "the server goes on")
    check(process.running(), "it runs")


if __name__ == "__main__":
    main()
