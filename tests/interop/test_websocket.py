"""The Framer "websocket" against real peers: npm ws, python3-websockets and websocketd as servers of the example
websocket_chat and of `taps cat`, the first two as clients of the example websocket_echo."""
import os
import pathlib
import random
import subprocess
import sys

from netns import SERVER4, SERVER6
from peers import Authority, cat, require_programs, wait_listening
from tap import Skip, check, check_equal, main, poll, test

PEERS = pathlib.Path(__file__).parent / "websocket"
# Where Debian's package node-ws is, for a node that is not Debian's.
NODE = {"NODE_PATH": os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), "/usr/share/nodejs", "/usr/lib/nodejs"]))}
PLAIN = "-"


def example(name):
    path = os.path.join(os.environ.get("TAPS_EXAMPLES", ""), "example-" + name)
    if not os.path.exists(path):
        raise Skip(f"the example {name} was not built")
    return path


def require_ws():
    require_programs("node")
    if subprocess.run(["node", "-e", "require('ws')"], env={**os.environ, **NODE}, capture_output=True).returncode:
        raise Skip("needs the package ws of node (Debian: node-ws)")


def python():
    """One that has the package websockets."""
    for program in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([program, "-c", "import websockets"], capture_output=True).returncode == 0:
            return program
    raise Skip("needs the package websockets of Python (Debian: python3-websockets)")


def ws_server(net, options="{}", port=8080, tls=()):
    require_ws()
    process = net.server.spawn("node", PEERS / "echo.js", str(port), options, *tls, env=NODE)
    poll(lambda: b"listening" in process.out, 30, "the server")
    return process


def ws_client(net, url, options="{}", protocol="", close=1000, authorities=(), seconds=40):
    require_ws()
    return net.client.run("node", PEERS / "client.js", url, options, protocol, str(close), *authorities, env=NODE,
                          seconds=seconds)


def chat(net, framer, *texts, where=f"{SERVER4}:8080", trust=PLAIN):
    return net.client.run(example("websocket_chat"), where, trust, framer, *texts)


def echo(net, framer="websocket", port=8080):
    process = net.server.spawn(example("websocket_echo"), f"{SERVER4}:{port}", framer)
    poll(lambda: b"listening" in process.out, 30, "the server")
    return process


def known_hosts(net):
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n{SERVER6} server.test\n")


# -------------------------------------------------------------------------------------------------- npm ws, a server

# proves API-130, API-131
@test("npm ws, server: texts are answered; path, origin, subprotocol and header arrive; Close both ways")
def ws_texts(net):
    server = ws_server(net)
    answer = chat(net, "websocket:path=/a?b=1,origin=http://o.test,protocol=one two,header=X-Test: yes",
                  "hello", "gr\u00fc\u00df", "")
    check_equal(answer.status, 0, f"exit status: {answer.err!r}")
    check_equal(answer.out, "hello\ngr\u00fc\u00df\n\n".encode(), "the answers")
    poll(lambda: b"closed 1000" in server.out, 30, "the Close")
    check(b"accepted /a?b=1 one  http://o.test yes" in server.out, f"what it was asked: {server.out!r}")


# proves API-130
@test("npm ws, server: Messages of 4 MB, plain and compressed in every way there is")
def ws_large(net):
    data = random.Random(3).randbytes(3_000_000) + b"abcdefgh" * 625_000
    ways = ["off", "on", "on,client-no-context-takeover=yes,server-no-context-takeover=yes",
            "on,client-max-window-bits=9,server-max-window-bits=10", "on,fragment=10k", "on,client-max-window-bits=8"]
    for port, deflate in enumerate(ways, 8080):
        server = ws_server(net, '{"perMessageDeflate": {"threshold": 0}}', port)
        answer = cat(net.client, "--keep-open", "--framer", f"websocket:deflate={deflate}", "--size", "4000000",
                     "--count", "2", "--security", "disabled", f"{SERVER4}:{port}", stdin=data)
        check_equal(answer.status, 0, f"exit status with {deflate}: {answer.err!r}")
        check(answer.out == data[:4_000_000] + b"\n" + data[4_000_000:] + b"\n", f"all of it with {deflate}")
        check((b"permessage-deflate" in server.out) == (deflate != "off"), f"agreed on: {server.out!r}")
        server.end()


@test("npm ws, server: fragments with pings between them make one Message")
def ws_fragments(net):
    for port, options in enumerate(("{}", '{"perMessageDeflate": {"threshold": 0}}'), 8080):
        server = ws_server(net, options, port)
        answer = chat(net, f"websocket:deflate={'on' if port > 8080 else 'off'}", "fragments", where=f"{SERVER4}:{port}")
        check_equal(answer.out, ("".join(f"part {n} \u00fc," for n in range(10)) + "\n").encode(), "the Message")
        poll(lambda: all(b"pong %d" % n in server.out for n in range(9)), 30, "the pongs")
        server.end()


# proves IMPL-18
@test("npm ws, server: over TLS, by name")
def ws_tls(net):
    known_hosts(net)
    authority = Authority(net)
    server = ws_server(net, port=443, tls=authority.issue("server.test"))
    answer = chat(net, "websocket:deflate=on", "hello", where="server.test:443", trust=authority.certificate)
    check_equal(answer.out, b"hello\n", f"the answer: {answer.err!r}")
    check(b"accepted / " in server.out, f"{server.out!r}")


@test("npm ws, server: its codes are told: an end with 4321, an error with 1008, a loss without Close")
def ws_codes(net):
    ws_server(net)
    answer = chat(net, "websocket", "close 4321")
    check_equal(answer.status, 0, "exit status after 4321")
    check(b"the peer closed with 4321: as you wish" in answer.err, f"{answer.err!r}")
    answer = chat(net, "websocket", "close 1008")
    check_equal(answer.status, 1, "exit status after 1008")
    check(b"the peer closed with 1008: policy" in answer.err, f"{answer.err!r}")
    answer = chat(net, "websocket", "terminate")
    check_equal(answer.status, 1, "exit status without Close")


# proves IMPL-18
@test("a server that is none for WebSocket fails the candidate with its status")
def not_websocket(net):
    require_programs(sys.executable)
    process = net.server.spawn(sys.executable, "-m", "http.server", "8080", "--bind", SERVER4)
    wait_listening(net.server, process, 8080)
    answer = chat(net, "websocket:path=/nothing", "hello")
    check_equal(answer.status, 1, "exit status")
    check(b"the server answered 404" in answer.err, f"{answer.err!r}")


# -------------------------------------------------------------------------------------------------- npm ws, a client

# proves API-130, API-131
@test("npm ws, client: Messages of all sizes and kinds come back, plain and compressed")
def ws_asks(net):
    server = echo(net, "websocket:protocol=chat,deflate=on,maximum=1G")
    ways = [("false", ""), ('{"threshold": 0}', "permessage-deflate"),
            ('{"threshold": 0, "serverNoContextTakeover": true, "clientNoContextTakeover": true}', "permessage-deflate"),
            ('{"threshold": 0, "serverMaxWindowBits": 9, "clientMaxWindowBits": 9}', "permessage-deflate")]
    for way, extension in ways:
        answer = ws_client(net, f"ws://{SERVER4}:8080/", f'{{"perMessageDeflate": {way}}}', "x,chat", 1000)
        check(f"all of 12 protocol chat extensions {extension}".encode() in answer.out, f"{way}: {answer.out!r}")
        check(b"different" not in answer.out and b"error" not in answer.out, f"{way}: {answer.out!r}")
        check(b"pong there?" in answer.out and b"closed 1000" in answer.out, f"{way}: {answer.out!r}")
    check(server.running(), "it runs")
    check_equal(server.err, b"", "no errors")


@test("npm ws, client: codes of its own; the refusals of another path and origin")
def ws_refused(net):
    echo(net, "websocket:path=/here,origin=http://o.test")
    good = '{"origin": "http://o.test"}'
    check(b"closed 4000" in ws_client(net, f"ws://{SERVER4}:8080/here?x=1", good, close=4000).out, "4000 comes back")
    check(b"refused 404" in ws_client(net, f"ws://{SERVER4}:8080/there", good).out, "another path")
    check(b"refused 403" in ws_client(net, f"ws://{SERVER4}:8080/here").out, "another origin")


@test("npm ws, client: what is over the maximum is answered with 1009, and others go on")
def ws_too_big(net):
    server = echo(net, "websocket:maximum=100k,deflate=on")
    for way in ("false", '{"threshold": 0}'):
        answer = ws_client(net, f"ws://{SERVER4}:8080/", f'{{"perMessageDeflate": {way}}}')
        # A reset may overtake the Close: the client was still sending.
        check(b"closed 1009" in answer.out or b"closed 1006" in answer.out, f"{answer.out!r}")
    check(b"over the maximum" in server.err or b"more than the maximum" in server.err, f"{server.err!r}")
    check_equal(chat(net, "websocket", "hello").out, b"hello\n", "the next one is served")


# ------------------------------------------------------------------------------------------- python3-websockets

# proves API-130
@test("python3-websockets: server and client, compressed as it wants to")
def python_websockets(net):
    program = python()
    process = net.server.spawn(program, PEERS / "peer.py", "serve", "8080")
    poll(lambda: b"listening" in process.out, 30, "the server")
    answer = chat(net, "websocket:deflate=on,protocol=chat", "hello", "x" * 100_000, "end")
    check_equal(answer.out, b"hello\n" + b"x" * 100_000 + b"\nend\n", f"the answers: {answer.err!r}")
    echo(net, "websocket:deflate=on,protocol=chat", 8081)
    answer = net.client.run(program, PEERS / "peer.py", "ask", f"ws://{SERVER4}:8081/", seconds=30)
    check_equal(answer.out, b"all chat ['permessage-deflate']\nclosed 1000\n", f"{answer.err[-400:]!r}")


# ----------------------------------------------------------------------------------------------------- websocketd

@test("websocketd: lines through a program")
def websocketd(net):
    require_programs("websocketd")
    process = net.server.spawn("websocketd", f"--address={SERVER4}", "--port=8080", "cat")
    wait_listening(net.server, process, 8080)
    answer = chat(net, "websocket", "hello", "gr\u00fc\u00df", "end")
    check_equal(answer.out, "hello\ngr\u00fc\u00df\nend\n".encode(), f"the answers: {answer.err!r}")


# ------------------------------------------------------------------------------------------------------ ourselves

@test("curl and noise: refused with words, and the server goes on")
def others(net):
    require_programs("curl")
    server = echo(net)
    answer = net.client.run("curl", "-sSi", "--max-time", "10", f"http://{SERVER4}:8080/")
    check(answer.out.startswith(b"HTTP/1.1 426 "), f"{answer.out!r}")
    net.client.run("curl", "-sS", "--max-time", "5", "-k", f"https://{SERVER4}:8080/")
    check_equal(chat(net, "websocket", "hello").out, b"hello\n", "the next one is served")
    check(server.running(), "it runs")


if __name__ == "__main__":
    main()
