"""The example protocol against name servers, which frame DNS over TCP and over TLS in the same way (RFC 7766, 7858)."""
import os
import socket
import struct

from netns import SERVER4
from peers import Authority, dnsmasq, require_programs, wait_listening
from tap import check, check_equal, main, need, test

PROGRAM = os.environ["TAPS_RFC4571"]


def question(name, number):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def check_answer(answer, number, address):
    need(len(answer) >= 12, f"an answer of {len(answer)} bytes")
    identity, flags, _, answers = struct.unpack(">4H", answer[:8])
    check_equal(identity, number, "the answer is to this question")
    check(flags & 0x8000 and flags & 15 == 0, f"an answer without error: {flags:x}")
    check_equal(answers, 1, "addresses")
    check_equal(answer[-4:], socket.inet_aton(address), "the address")


def ask(net, where, *options, name="host.test"):
    process = net.client.run(PROGRAM, "cat", "--profile", "reliable-message", *options, where,
                             stdin=question(name, 77), seconds=30)
    check_equal(process.status, 0, f"exit status; {process.err.decode(errors='replace')}")
    return process.out


# proves ARCH-12
@test("DNS over TCP: a question is one Message, its answer another")
def over_tcp(net):
    dnsmasq(net.server, SERVER4, "--host-record=host.test,10.9.8.7")
    check_answer(ask(net, f"{SERVER4}:53", "--security", "disabled"), 77, "10.9.8.7")


@test("DNS over TLS: the same framing over another stream")
def over_tls(net):
    require_programs("socat", "openssl")
    dnsmasq(net.server, SERVER4, "--host-record=host.test,10.9.8.7")
    authority = Authority(net)
    certificate, key = authority.issue(SERVER4)
    process = net.server.spawn("socat", f"openssl-listen:853,bind={SERVER4},cert={certificate},key={key},verify=0,fork,"
                               "reuseaddr", f"tcp:{SERVER4}:53")
    wait_listening(net.server, process, 853)
    check_answer(ask(net, f"{SERVER4}:853", "--cafile", str(authority.certificate)), 77, "10.9.8.7")


@test("a server that ends in the middle of an answer is an error")
def cut_off(net):
    listener = net.server.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((SERVER4, 5300))
    listener.listen()
    net.at_close(listener.close)

    def serve():
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"\0\x20half")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):  # closing with something unread would be a reset
            pass
        connection.close()

    net.thread(serve)
    process = net.client.run(PROGRAM, "cat", "--profile", "reliable-message", "--security", "disabled",
                             f"{SERVER4}:5300", stdin=question("host.test", 1), seconds=30)
    check_equal(process.status, 1, "exit status")
    check(b"middle of a Message" in process.err, f"the reason: {process.err!r}")


main()
