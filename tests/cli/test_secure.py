"""Tests of QUIC and of security in `taps`: keys, pins, sessions, early data, streams, datagrams, and what probe tells of the
handshake. Argument: the path of the program. Prints TAP."""

import contextlib
import json
import os
import re
import stat
import subprocess
import sys

from program import PLAIN, TAPS, is_usage_error, port_of, server, tap, taps
from tap import LIMIT, Certificates, clean_environment, lines_until, started

THERE = "localhost:9"
KEY = "00112233445566778899aabbccddeeff"
OTHER = "00112233445566778899aabbccddee00"
NO_PIN = "sha256//" + "A" * 43 + "="


class Place:
    """A folder with an authority and a server's certificate, and what a client of that server says."""

    def __init__(self):
        self.certificates = Certificates()
        self.cert, self.key = self.certificates.make("localhost", "DNS:localhost", "IP:127.0.0.1")

    def path(self, name):
        return self.certificates.path(name)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def server(self, *words):
        return server("--cert", self.cert, "--key", self.key, "--alpn", "echo", *words, "127.0.0.1:0")

    def to(self, places, *words, stack="tls/tcp"):
        return [*words, "--alpn", "echo", "--cafile", self.certificates.ca, f"127.0.0.1:{port_of(places, stack)}"]


@contextlib.contextmanager
def place():
    one = Place()
    try:
        yield one
    finally:
        one.certificates.remove()


def security_of(result):
    try:
        return json.loads(result.out)["security"] or {}
    except (ValueError, KeyError):
        return {}


# ------------------------------------------------------------------------------------------------------ usage

def test_usage_of_keys():
    with place() as here:
        for value in ("", ":", "me", "me:", ":" + KEY, "me:00", "me:" + KEY[:-1], "me:" + KEY[:-2], "me:" + KEY[:-1] + "g",
                      "me: " + KEY, "me:0x" + KEY, "m" * 129 + ":" + KEY, "me:" + "00" * 257, KEY):
            is_usage_error(f"--psk {value[:30]!r}", "probe", "--psk", value, THERE, says="--psk")
        result = taps("probe", "--psk", "me:" + OTHER + "zz", THERE)
        tap.check("a wrong key is not repeated", result.code == 2 and OTHER.encode() not in result.err, result)
        for name, text in (("empty", ""), ("comments", "# none\n\n"), ("nonsense", "hello\n"), ("second", f"a:{KEY}\nb:12\n"),
                           ("zero", f"a:{KEY}\n\n:{KEY}\n")):
            is_usage_error(f"--psk @{name}", "probe", "--psk", "@" + here.write(name, text), THERE, says="--psk")
        result = taps("probe", "--psk", "@" + here.path("second"), THERE)
        tap.check("the line of the file is named", result.code == 2 and b"line 2" in result.err, result)
        is_usage_error("--psk @missing", "probe", "--psk", "@" + here.path("missing"), THERE, says="No such file")
        is_usage_error("--psk @folder", "probe", "--psk", "@" + here.certificates.folder, THERE, says="--psk")
        is_usage_error("--psk @", "probe", "--psk", "@", THERE, says="--psk")
        is_usage_error("--psk without a value", "probe", "--psk", says="needs a value")
        is_usage_error("65 keys", "probe", *["--psk", "me:" + KEY] * 65, THERE, says="64")


def test_usage_of_pins_and_certificates():
    with place() as here:
        junk = here.write("junk", "not a certificate\n")
        for value in ("", here.path("missing"), junk, here.key, "sha256//", "sha256//AAAA", NO_PIN[:-1], NO_PIN + "A",
                      NO_PIN.replace("A", "!"), "SHA256//" + "A" * 43 + "=", "sha1//" + "A" * 27 + "="):
            is_usage_error(f"--pin {value[-20:]!r}", "probe", "--pin", value, THERE, says="--pin")
        is_usage_error("a wrong pin behind a right one", "probe", "--pin", NO_PIN, "--pin", "sha256//x", THERE, says="--pin")
        is_usage_error("serve --pin", "serve", "--cert", here.cert, "--key", here.key, "--pin", NO_PIN, "0", says="--pin")
        is_usage_error("--client-cert alone", "probe", "--client-cert", here.cert, THERE, says="belong together")
        is_usage_error("--client-key alone", "probe", "--client-key", here.key, THERE, says="belong together")
        is_usage_error("both names", "probe", "--client-cert", here.cert, "--client-key", here.key, "--cert", here.cert,
                       "--key", here.key, THERE, says="the same")
        is_usage_error("serve --client-cert", "serve", "--client-cert", here.cert, "--client-key", here.key, "0",
                       says="--cert FILE")
        is_usage_error("--client-cert junk", "probe", "--client-cert", junk, "--client-key", here.key, THERE,
                       says="--client-cert")
        is_usage_error("--client-key of another", "probe", "--client-cert", here.certificates.ca, "--client-key", here.key,
                       THERE, says="--client-key")
        is_usage_error("--password-file without a key", "probe", "--password-file", junk, THERE, says="--key")
        subprocess.run(["openssl", "pkcs8", "-topk8", "-in", here.key, "-out", here.path("locked"), "-passout", "pass:secret",
                        "-v2", "aes-128-cbc"], check=True, capture_output=True, timeout=LIMIT)
        locked = ("--cert", here.cert, "--key", here.path("locked"))
        is_usage_error("an encrypted key without its password", "serve", *locked, "0", says="--password-file")
        for name, text in (("wrong", "wrong\n"), ("nothing", "\nsecret\n"), ("void", ""), ("long", "x" * 2000)):
            is_usage_error(f"--password-file {name}", "serve", *locked, "--password-file", here.write(name, text), "0",
                           says="--password-file")
        with server(*locked, "--password-file", here.write("right", "secret\n"), "127.0.0.1:0") as (_process, places):
            result = taps("cat", *here.to(places), stdin=b"locked\n")
            tap.check("an encrypted key with its password serves", result.code == 0 and result.out == b"locked\n", result)


def test_usage_of_the_rest():
    with place() as here:
        for value in ("", ",", "tls", "tls1.1", "tls1.3,", "ssl", "quic,udp", "1.3"):
            is_usage_error(f"--security-protocol {value!r}", "probe", "--security-protocol", value, THERE,
                           says="--security-protocol")
        for name, path in (("in no folder", here.path("no/keys")), ("a folder", here.certificates.folder), ("''", "")):
            is_usage_error(f"--keylog {name}", "probe", "--keylog", path, THERE, says="--keylog")
        for name, path in (("in no folder", here.path("no/sessions")), ("a folder", here.certificates.folder), ("''", ""),
                           ("that others read", here.write("open", "", 0o644))):
            is_usage_error(f"--session-file {name}", "probe", "--session-file", path, THERE, says="--session-file")
        is_usage_error("serve --session-file", "serve", "--cert", here.cert, "--key", here.key, "--session-file",
                       here.path("s"), "0", says="--session-file")
        for words in (("--psk", "me:" + KEY), ("--pin", NO_PIN), ("--client-cert", here.cert, "--client-key", here.key),
                      ("--keylog", here.path("k")), ("--session-file", here.path("s")), ("--security-protocol", "quic")):
            is_usage_error(f"{words[0]} without security", "probe", *PLAIN, *words, THERE, says=words[0])
        tap.check("nothing was made of what was refused", not os.path.exists(here.path("k")), os.listdir(here.certificates.folder))
    for command in ("cat", "bench"):
        for value in ("0", "-1", "x", "", "1.5", "99999"):
            is_usage_error(f"{command} --streams {value!r}", command, "--streams", value, THERE, says="--streams")
    is_usage_error("too many streams in all", "bench", "--streams", "100", "--connections", "100", THERE, says="1024")
    is_usage_error("cat -l --streams", "cat", "-l", "--streams", "2", *PLAIN, "0", says="--streams")
    is_usage_error("probe --streams", "probe", "--streams", "2", THERE, says="no option --streams")
    is_usage_error("probe --0rtt", "probe", "--0rtt", THERE, says="no option --0rtt")
    is_usage_error("--0rtt takes nothing", "cat", "--0rtt=yes", THERE, says="takes no value")
    is_usage_error("--0rtt behind STARTTLS", "cat", "--0rtt", "--framer", "starttls:protocol=smtp", THERE, says="starttls")
    for words in (("--datagrams", "--profile", "reliable-message"), ("--profile", "reliable-message", "--datagrams")):
        is_usage_error(" ".join(words), "probe", *words, THERE, says="exclude")


# ------------------------------------------------------------------------------------------------------ probe

def test_probe():
    with place() as here, here.server() as (_process, places):
        result = taps("probe", "--json", *here.to(places))
        said = security_of(result)
        pins = [one["pin"] for one in said.get("certificates", [])]
        tap.check("JSON: what the handshake agreed on, over QUIC", said.get("protocol", "").startswith("QUIC 1")
                  and said.get("cipher") and said.get("group") and said.get("signature") and said.get("alpn") == "echo"
                  and said.get("authenticated") is True and said.get("resumed") is False
                  and said.get("early_data") is False, result)
        tap.check("JSON: the certificate", said.get("certificates") and said["certificates"][0]["subject"] == "CN=localhost"
                  and said["certificates"][0]["issuer"] == "CN=test authority"
                  and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["certificates"][0]["not_after"]), result)
        tap.check("JSON: the race has quic", any(one["stack"] == "quic" and one["state"] == "won"
                                                 for one in json.loads(result.out)["race"]), result)
        result = taps("probe", *here.to(places))
        tap.check("text: the same, and the race", result.code == 0 and all(
            word in result.out for word in (b"Race", b"Security", b"QUIC 1", b"CN=localhost", b"sha256//", b"valid until",
                                            b"ALPN", b"verified")), result)
        result = taps("probe", "--json", "--security-protocol", "tls1.2", *here.to(places))
        tap.check("--security-protocol: TLS 1.2 alone", security_of(result).get("protocol") == "TLS 1.2", result)
        result = taps("cat", "--pin", NO_PIN, *here.to(places), stdin=b"x\n")
        tap.check("a pin of another key: no connection", result.code == 1 and result.out == b"" and b"pin" in result.err,
                  result)
        for words in (("--pin", pins[0]), ("--pin", here.cert), ("--pin", NO_PIN, "--pin", pins[0])):
            result = taps("cat", *words, *here.to(places), stdin=b"x\n")
            tap.check(f"{len(words) // 2} pins, the right one among them: connected", result.out == b"x\n", result)
    result = taps("probe", "--json", "--security", "disabled", THERE, environment=clean_environment())
    tap.check("security is null without a connection", '"security": null' in result.out.decode(), result)


def test_names_in_certificates():
    with place() as here:
        cert, key = here.certificates.make("evil\033[31m\x07name", "DNS:localhost", "IP:127.0.0.1")
        with server("--cert", cert, "--key", key, "127.0.0.1:0") as (_process, places):
            to = ["--cafile", here.certificates.ca, f"127.0.0.1:{port_of(places, 'tls/tcp')}"]
            for words in ((), ("--json",)):
                result = taps("probe", *words, *to)
                tap.check(f"control characters of a name go nowhere {' '.join(words)}", result.code == 0
                          and b"evil" in result.out and b"\033" not in result.out and b"\x07" not in result.out
                          and b"\\u00" not in result.out, result)


# ------------------------------------------------------------------------------------------- keys and key logs

def test_keys_both_ends_have():
    with place() as here:
        keys = here.write("keys", f"# who: key\r\n\nme:{KEY}\r\nyou:you:{OTHER}")
        with server("--psk", "@" + keys, "127.0.0.1:0") as (_process, places):
            there = f"127.0.0.1:{port_of(places, 'tls/tcp')}"
            for words in (("--psk", "me:" + KEY), ("--psk", "me:" + KEY.upper()), ("--psk", "you:you:" + OTHER),
                          ("--psk", "@" + keys)):
                result = taps("cat", *words, there, stdin=b"hello\n")
                tap.check(f"{words[1][:8]}: connected without a certificate", result.code == 0 and result.out == b"hello\n",
                          result)
            for words in (("--psk", "me:" + OTHER), ("--psk", "nobody:" + KEY), ("--psk", "you:" + OTHER), ()):
                result = taps("cat", *words, there, stdin=b"hello\n")
                tap.check(f"{' '.join(words)[:14]}: no connection", result.code == 1 and result.out == b"" and result.err,
                          result)
    for words, stack in ((("--alpn", "echo", "--security-protocol", "quic"), "quic"), (("--datagrams",), "dtls/udp")):
        with server("--psk", "me:" + KEY, *words, "127.0.0.1:0") as (_process, places):
            there = f"127.0.0.1:{port_of(places, stack)}"
            result = taps("cat", "--psk", "me:" + KEY, *words, there, stdin=b"hello\n")
            tap.check(f"a key over {stack}", result.code == 0 and result.out == b"hello\n", result)
            result = taps("cat", "--psk", "me:" + OTHER, "--timeout", "5", *words, there, stdin=b"hello\n")
            tap.check(f"another key over {stack}: no connection", result.code == 1 and result.out == b"", result)
            tap.check(f"another key over {stack}: nobody is told to go without security", b"disabled" not in result.err,
                      result)
    result = taps("serve", "0")
    tap.check("a listener is told of --psk", result.code == 2 and b"--psk" in result.err, result)


def test_key_log():
    with place() as here, here.server("--keylog", here.path("theirs")) as (_process, places):
        for _ in range(2):
            result = taps("cat", "--keylog", here.path("ours"), *here.to(places), stdin=b"secret\n")
            tap.check("cat with a key log", result.code == 0 and result.out == b"secret\n", result)
        for name in ("ours", "theirs"):
            with open(here.path(name), encoding="ascii") as file:
                lines = file.read().splitlines()
            tap.check(f"{name}: one line for each secret of both", len(lines) >= 8 and all(
                re.fullmatch(r"[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{64,96}", line) for line in lines), lines)
            tap.check(f"{name}: nobody else reads it", stat.S_IMODE(os.stat(here.path(name)).st_mode) == 0o600)


# ------------------------------------------------------------------------------------- sessions and early data

TLS = ("--security-protocol", "tls1.3")


def test_sessions():
    with place() as here, here.server("--0rtt", "-v") as (process, places):
        sessions = here.path("sessions")
        for number, what in enumerate((b"no session was resumed", b"and was taken", b"and was taken")):
            result = taps("cat", "--0rtt", "--session-file", sessions, *TLS, *here.to(places), stdin=b"early\n")
            tap.check(f"--0rtt, run {number + 1}: {what.decode()}", result.code == 0 and result.out == b"early\n"
                      and what in result.err, result)
        tap.check("nobody else reads the sessions", stat.S_IMODE(os.stat(sessions).st_mode) == 0o600)
        line = lines_until(process, "accepted")[-1]
        line = lines_until(process, "accepted")[-1]
        tap.check("serve tells of the resumed session and the early data", line.endswith(" resumed early-data"), line)
        data = os.urandom(50000)
        result = taps("cat", "--0rtt", "--session-file", sessions, *TLS, *here.to(places), stdin=data)
        tap.check("more than is early comes whole, in order", result.code == 0 and result.out == data
                  and b"was taken" in result.err, result)
        result = taps("cat", "--0rtt", "--session-file", sessions, *TLS, *here.to(places))
        tap.check("--0rtt without any input", result.code == 0 and result.out == b"" and result.err == b"", result)
        result = taps("cat", "--session-file", sessions, *TLS, *here.to(places), stdin=b"late\n")
        tap.check("without --0rtt nothing is said of it", result.code == 0 and result.out == b"late\n" and result.err == b"",
                  result)
        fresh = here.path("fresh")
        for resumed in (False, True):
            result = taps("probe", "--json", "--session-file", fresh, *TLS, *here.to(places))
            tap.check(f"probe waits for a ticket: resumed {resumed}", security_of(result).get("resumed") is resumed, result)
        with open(fresh, "wb") as file:
            file.write(b"taps sessions 1\n" + os.urandom(5000))
        result = taps("cat", "--session-file", fresh, *TLS, *here.to(places), stdin=b"on\n")
        tap.check("a damaged file loses nothing but the sessions", result.code == 0 and result.out == b"on\n", result)
        with open(fresh, "wb") as file:
            file.write(b"something else")
        is_usage_error("a file of something else as --session-file", "cat", "--session-file", fresh, *TLS,
                       *here.to(places), says="something else")
        with open(fresh, "rb") as file:
            tap.check("and it is left as it was", file.read() == b"something else")


def test_early_data_that_is_not_wanted():
    with place() as here, here.server() as (_process, places):
        for number in range(2):
            result = taps("cat", "--0rtt", "--session-file", here.path("s"), *TLS, *here.to(places), stdin=b"first\n")
            tap.check(f"a server without --0rtt, run {number + 1}: it comes once, later", result.code == 0
                      and result.out == b"first\n" and b"not taken" in result.err, result)


# ------------------------------------------------------------------------------------------ streams, datagrams

def test_streams():
    with place() as here, here.server("-v") as (process, places):
        lines = b"".join(b"%d\n" % number for number in range(40))
        result = taps("cat", "--streams", "4", "--size", "4", *here.to(places), stdin=lines)
        tap.check("4 streams: every Message comes back over one of them", result.code == 0
                  and sorted(result.out) == sorted(lines), result)
        peers = [line.split()[1] for line in (lines_until(process, "accepted")[-1] for _ in range(4))]
        tap.check("they are streams of one session", len(set(peers)) == 1, peers)
    with place() as here, here.server() as (_process, places):
        result = taps("cat", "--streams", "7", *here.to(places), stdin=b"only one\n")
        tap.check("fewer Messages than streams", result.code == 0 and result.out == b"only one\n", result)
        result = taps("cat", "--streams", "3", *here.to(places))
        tap.check("streams without any Message", result.code == 0 and result.out == b"", result)
        data = os.urandom(1 << 20)
        result = taps("cat", "--streams", "5", *here.to(places), stdin=data)
        tap.check("a megabyte over 5 streams", result.code == 0 and len(result.out) == len(data), result.code)
        result = taps("cat", "--streams", "5", *TLS, *here.to(places), stdin=data)
        tap.check("and over 5 connections, where there are no streams", result.code == 0 and len(result.out) == len(data),
                  result.code)
        result = taps("bench", "--json", "--streams", "4", "--count", "200", *here.to(places))
        value = json.loads(result.out) if result.code == 0 else {}
        tap.check("bench over 4 streams", value.get("stack") == "quic" and value.get("streams") == 4
                  and value.get("connections") == 1 and value.get("messages", {}).get("done") == 200, result)
    with place() as here, server("--cert", here.cert, "--key", here.key, "--alpn", "echo", "--framer", "length-prefix",
                                 "127.0.0.1:0") as (_process, places):
        result = taps("cat", "--streams", "3", "--framer", "length-prefix", "--count", "5", *here.to(places),
                      stdin=b"a\nbb\nccc\ndddd\neeeee\n")
        tap.check("lines over streams with a Framer", result.code == 0
                  and sorted(result.out.split()) == [b"a", b"bb", b"ccc", b"dddd", b"eeeee"], result)
    result = taps("cat", "--streams", "9", "--timeout", "5", *PLAIN, "127.0.0.1:1", stdin=b"x")
    tap.check("a connection that fails is told once", result.code == 1 and result.err.count(b"cannot connect") == 1, result)


def test_datagrams():
    with place() as here, here.server("--datagrams") as (_process, places):
        stacks = {stack for _address, stack in places}
        tap.check("serve --datagrams: secure datagrams alone", "quic-datagram" in stacks
                  and stacks <= {"quic-datagram", "dtls/udp"}, places)
        result = taps("cat", "-v", "--datagrams", *here.to(places, stack="quic-datagram"), stdin=b"one datagram\n")
        tap.check("cat --datagrams: over QUIC", result.code == 0 and result.out == b"one datagram\n"
                  and b"quic-datagram, QUIC 1" in result.err, result)
        for command in (("cat",), ("bench", "--time", "0.2")):
            result = taps(*command, "--streams", "2", "--datagrams", *here.to(places, stack="quic-datagram"), stdin=b"x\n")
            tap.check(f"{command[0]} --streams: datagrams over QUIC are connections of their own", result.code == 0
                      and result.out and result.err == b"", result)
        result = taps("bench", "--json", "--streams", "3", "--datagrams", "--count", "30",
                      *here.to(places, stack="quic-datagram"))
        value = json.loads(result.out) if result.code == 0 else {}
        tap.check("and bench says so", (value.get("connections"), value.get("streams")) == (3, 1), result)
        result = taps("cat", "--datagrams", "--cafile", here.certificates.ca, "--security-protocol", "tls1.3",
                      f"127.0.0.1:{port_of(places, 'quic-datagram')}", stdin=b"x\n")
        tap.check("nothing secure is left: an error, never plain text", result.code == 1 and result.out == b""
                  and b"no stack is eligible" in result.err, result)
    with place() as here, server("--cert", here.cert, "--key", here.key, "--datagrams", "127.0.0.1:0") as (_process, places):
        tap.check("without an application protocol: DTLS alone", {stack for _address, stack in places} == {"dtls/udp"}, places)
        to = ("--datagrams", "--cafile", here.certificates.ca, f"127.0.0.1:{port_of(places, 'dtls/udp')}")
        result = taps("cat", *to, stdin=b"one datagram\n")
        tap.check("cat --datagrams: over DTLS", result.code == 0 and result.out == b"one datagram\n", result)
        said = security_of(taps("probe", "--json", *to))
        tap.check("probe over DTLS", said.get("protocol") == "DTLS 1.2" and said.get("cipher")
                  and said["certificates"][0]["subject"] == "CN=localhost", said)
        result = taps("cat", "--pin", NO_PIN, *to, stdin=b"x\n")
        tap.check("a pin of another key over DTLS", result.code == 1 and result.out == b"" and b"pin" in result.err, result)
    with server(*PLAIN, "--datagrams", "127.0.0.1:0") as (_process, places):
        result = taps("cat", *PLAIN, "--datagrams", f"127.0.0.1:{port_of(places, 'udp')}", stdin=b"plain\n")
        tap.check("without security: over UDP", result.code == 0 and result.out == b"plain\n", result)


def test_listening_cat_over_quic():
    with place() as here, started([TAPS, "cat", "-l", "--cert", here.cert, "--key", here.key, "--alpn", "echo",
                                   "127.0.0.1:0"], stdin=subprocess.PIPE) as process:
        port = re.search(rb":(\d+) ", process.stderr.readline())[1].decode()
        process.stdin.close()
        result = taps("cat", "--alpn", "echo", "--cafile", here.certificates.ca, f"127.0.0.1:{port}", stdin=b"to it\n")
        tap.check("cat -l over QUIC", result.code == 0 and process.stdout.read() == b"to it\n"
                  and process.wait(LIMIT) == 0, result)


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]

if __name__ == "__main__":
    if Certificates.possible():
        sys.exit(tap.run(TESTS))
    tap.skip("QUIC and security", "no openssl program here")
    print("1..1")
