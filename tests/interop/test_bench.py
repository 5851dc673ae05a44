"""`taps bench` against echoes that know nothing of it, and over a network that loses every fourth datagram."""
import json

from netns import SERVER4, SERVER6
from peers import TAPS, Authority, require_programs, serve, socat
from tap import check, check_equal, main, test

PLAIN = ["--security", "disabled"]
DATAGRAMS = [*PLAIN, "--profile", "unreliable-datagram"]


def bench(host, *arguments, seconds=40):
    process = host.run(TAPS, "bench", "--json", *arguments, seconds=seconds)
    check(process.out, f"JSON of taps bench: {process.describe()}")
    return process.status, json.loads(process.out)


# proves ARCH-12
@test("bench: socat's echo over TCP, IPv4 and IPv6, four connections, eight Messages under way in each")
def bench_tcp(net):
    require_programs("socat")
    socat(net.server, 9101, "tcp", "TCP6-LISTEN:9101,reuseaddr,fork", "PIPE", family=6)
    for target in (SERVER4, f"[{SERVER6}]"):
        status, value = bench(net.client, *PLAIN, "--count", "2000", "--connections", "4", "--depth", "8",
                              f"{target}:9101")
        check_equal(status, 0, f"exit status with {target}")
        check_equal(value["messages"]["done"], 2000, f"Messages that came back from {target}")


# proves ARCH-12, API-050
@test("bench: socat's echo over OpenSSL")
def bench_tls(net):
    require_programs("socat")
    net.client.hosts(f"127.0.0.1 localhost\n{SERVER4} server.test\n")
    authority = Authority(net)
    certificate, key = authority.issue("server.test")
    socat(net.server, 9102, "tcp", f"OPENSSL-LISTEN:9102,reuseaddr,fork,cert={certificate},key={key},verify=0", "PIPE")
    status, value = bench(net.client, "--cafile", authority.certificate, "--count", "500", "--size", "3000",
                          "server.test:9102")
    check_equal(status, 0, "exit status")
    check_equal(value["messages"]["done"], 500, "Messages that came back")
    check(value["security"].startswith("TLS 1."), f"security: {value['security']}")


@test("bench: every fourth datagram is lost, is counted, and holds nothing up")
def bench_loss(net):
    serve(net.server, *DATAGRAMS, "9103")
    net.server.nft("table inet lossy { chain in { type filter hook input priority 0; policy accept; "
                   "udp dport 9103 numgen inc mod 4 == 3 drop; }; }")
    for words in (("--depth", "4"), ("--rate", "400")):
        status, value = bench(net.client, *DATAGRAMS, "--count", "200", "--wait", "0.5", *words, f"{SERVER4}:9103")
        counts = value["messages"]
        check_equal(status, 0, f"exit status with {words}")
        check_equal(counts["done"] + counts["lost"], 200, f"all are told of with {words}")
        check(45 <= counts["lost"] < 200, f"a quarter is lost with {words}: {counts}")


main()
