"""Pre-shared keys with OpenSSL and GnuTLS, both ways, over TLS 1.3, TLS 1.2 and DTLS 1.2. No end has a certificate."""
import subprocess

from netns import SERVER4
from peers import cat, cat_open, probe, require_programs, serve, wait_listening
from tap import check, check_equal, main, poll, test

KEY = "00112233445566778899aabbccddeeff"
DATAGRAMS = ["--profile", "unreliable-datagram"]
VERSIONS = {"-tls1_3": "TLS 1.3", "-tls1_2": "TLS 1.2", "-dtls1_2": "DTLS 1.2"}
ONLY_KEYS = "-KX-ALL:+ECDHE-PSK:+DHE-PSK"


def profile(version):
    return DATAGRAMS if version == "-dtls1_2" else []


def ciphers(version):
    """Those of OpenSSL's with pre-shared keys and forward secrecy; in TLS 1.3 all are."""
    return [] if version == "-tls1_3" else ["-cipher", "DHE-PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305"]


def check_words(client, server, what):
    client.write(b"words of the client\n")
    poll(lambda: b"words of the client\n" in server.out, 15, f"the client's words, {what}")


# ------------------------------------------------------------------------------------------------- our client

# proves API-057
@test("openssl s_server -psk: the key is enough, over TLS 1.3, TLS 1.2 and DTLS 1.2; another is refused")
def openssl_server(net):
    for number, (version, name) in enumerate(VERSIONS.items()):
        port = 4701 + number
        server = net.server.spawn("openssl", "s_server", version, "-accept", port, "-nocert", "-psk", KEY,
                                  "-psk_identity", "me", "-quiet", *ciphers(version), stdin=subprocess.PIPE)
        wait_listening(net.server, server, port, "udp" if version == "-dtls1_2" else "tcp")
        if version != "-dtls1_2":  # DTLS drops what does not decrypt, so nobody says that the key is another
            answer = cat(net.client, "--psk", f"me:ff{KEY}", f"{SERVER4}:{port}", stdin=b"a secret\n", seconds=20)
            check_equal(answer.status, 1, f"exit status with another key, {name}")
            check(b"pre-shared key" in answer.err, f"it says why, {name}: {answer.err!r}")
        client = cat_open(net.client, *profile(version), "-v", "--psk", f"me:{KEY}", f"{SERVER4}:{port}")
        check_words(client, server, name)
        check(name.encode() in client.err, f"it says {name}: {client.err!r}")
        server.write(b"words of the server\n")
        poll(lambda: b"words of the server\n" in client.out, 15, f"the server's words, {name}")
        check(b"a secret" not in server.out, "who had another key sent nothing")
        client.end()
        server.end()


# proves API-057
@test("gnutls-serv --pskpasswd: the key is enough, over TLS 1.3, TLS 1.2 and DTLS 1.2; an unknown identity is refused")
def gnutls_server(net):
    require_programs("gnutls-serv")
    keys = net.folder / "keys"
    keys.write_text(f"me:{KEY}\nyou:ff{KEY}\n")
    for number, (version, name) in enumerate(VERSIONS.items()):
        port = 4711 + number
        only = "" if version == "-dtls1_2" else f"-VERS-ALL:+VERS-{name.replace(' ', '')}:"
        server = net.server.spawn("gnutls-serv", *(["--udp"] if version == "-dtls1_2" else []), "--echo", "--port",
                                  port, "--pskpasswd", keys, "--priority", f"NORMAL:{only}{ONLY_KEYS}")
        wait_listening(net.server, server, port, "udp" if version == "-dtls1_2" else "tcp")
        answer = probe(net.client, *profile(version), "--psk", f"me:{KEY}", f"{SERVER4}:{port}", seconds=20)
        check_equal(answer.status, 0, f"exit status, {name}: {answer.explain()}")
        check(answer.json["security"]["authenticated"], f"it is authenticated, {name}")
        check_equal(answer.json["security"]["protocol"], name, "the version")
        if version == "-tls1_3":
            answer = probe(net.client, "--psk", f"nobody:{KEY}", f"{SERVER4}:{port}", seconds=20)
            check_equal(answer.status, 1, f"an unknown identity is refused, {name}")
        server.end()


# ------------------------------------------------------------------------------------------------- our server

# proves API-057
@test("taps serve --psk: openssl s_client gets the echo with a key that the server has, and nothing with another")
def serve_openssl(net):
    serve(net.server, "--psk", f"other:ff{KEY}", "--psk", f"me:{KEY}", "4721")
    serve(net.server, *DATAGRAMS, "--psk", f"other:ff{KEY}", "--psk", f"me:{KEY}", "4722")
    for version, name in VERSIONS.items():
        port = 4722 if version == "-dtls1_2" else 4721
        words = ["openssl", "s_client", version, "-connect", f"{SERVER4}:{port}", "-psk_identity", "me", "-quiet",
                 *ciphers(version)]
        client = net.client.spawn(*words, "-psk", KEY, stdin=subprocess.PIPE)
        client.write(b"hello from OpenSSL\n")
        poll(lambda: b"hello from OpenSSL\n" in client.out, 15, f"the echo, {name}")
        client.end()
        if version == "-dtls1_2":
            continue
        client = net.client.spawn(*words, "-psk", f"ff{KEY}", stdin=subprocess.PIPE)
        client.write(b"hello from a stranger\n")
        poll(lambda: b"alert" in client.err, 15, f"the alert, {name}")
        check(b"hello from" not in client.out, f"no echo for a stranger, {name}")
        client.end()


# proves API-057
@test("taps serve --psk: gnutls-cli gets the echo over TLS 1.3")
def serve_gnutls(net):
    require_programs("gnutls-cli")
    serve(net.server, "--psk", f"me:{KEY}", "4723")  # with TLS 1.2 and DTLS gnutls-cli 3.7 crashes after the handshake
    client = net.client.spawn("gnutls-cli", "--pskusername", "me", "--pskkey", KEY, "--priority",
                              f"NORMAL:-VERS-ALL:+VERS-TLS1.3:{ONLY_KEYS}", "--port", "4723", SERVER4,
                              stdin=subprocess.PIPE)
    poll(lambda: b"Handshake was completed" in client.out, 15, "the handshake")
    client.write(b"hello from GnuTLS\n")
    poll(lambda: b"hello from GnuTLS\n" in client.out, 15, "the echo")
    client.end()


main()
