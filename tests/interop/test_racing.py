"""The race on real sockets: dead, refusing, slow and missing addresses. Faults are nft rules and a name server that
answers late. No timer may fire early; how late it is, is the machine's matter, and tests/scenario looks at it in virtual
time. What is to happen at once happens here before a delay of two seconds is over."""
import socket

from dns_stub import DnsStub
from netns import CLIENT4, SECOND_CLIENT4, SECOND_SERVER4, SERVER4, SERVER6, syn_label
from peers import TAPS, Authority, Listener, cat_open, closing, probe, s_server, stalled, talking
from tap import check, check_between, check_equal, main, need, poll, test

PORT = 8000
ATTEMPT_DELAY_MS = 250
RESOLUTION_DELAY_MS = 50
# What a machine under load may take beyond a timer.
SLOW_MS = 10_000
# The longest attempt delay there is.
LONG_MS = 2000
LONG = ["--attempt-delay", str(LONG_MS)]
PLAIN = ["--security", "disabled"]


def dual(net, name="dual.test", v6_delay=0.0, v6=(SERVER6,), v4=(SERVER4,), both=True):
    """A name server that knows this name; returns the options that use it. Where both answers come, and none is late,
    that of IPv6 is the first; `both` false: they are not always asked for."""
    stub = DnsStub(net.server, SERVER4)
    stub.add(name, "AAAA", list(v6) if v6 is not None else None, delay=v6_delay)
    ordered = both and v6 is not None and not v6_delay
    stub.add(name, "A", list(v4) if v4 is not None else None, after="AAAA" if ordered else None)
    return stub, ["--resolver", stub.resolver()]


def serve_on(net, *addresses):
    return {address: stalled(net.server, address, PORT) for address in addresses}


def check_ready(answer, winner, low, high, text):
    """Established with this address, within these milliseconds."""
    need(answer.result == "established", f"{text}: {answer.explain()}")
    check_equal(answer.status, 0, "exit status")
    chosen = answer.to(winner)
    check(chosen is not None and chosen["state"] == "won", f"{text}: {winner} wins, not {answer.chosen}")
    check_between(answer.ready_ms, low, high, f"{text}: ready_ms")


# proves IMPL-08, IMPL-10
@test("nothing is wrong: IPv6 wins, and no other address is ever touched")
def only_the_first(net):
    serve_on(net, SERVER6, SERVER4)
    net.server.count_syns(SERVER6, SERVER4)
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, SERVER6, 0, LONG_MS, "nothing wrong")
    check_equal(net.server.syns(), {syn_label(SERVER6): 1, syn_label(SERVER4): 0}, "connection attempts")
    other = answer.to(SERVER4)
    # It is no candidate at all if the race was over before the A answer came.
    check(other is None or other["state"] == "not-started" and other["start_ms"] is None,
          f"the other address was not started: {other}")


# proves IMPL-07, IMPL-08, IMPL-10
@test("the first address is a black hole: ready after one attempt delay and one round trip")
def first_is_a_black_hole(net):
    serve_on(net, SERVER6, SERVER4)
    net.server.blackhole(SERVER6)
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, f"dual.test:{PORT}")
    check_ready(answer, SERVER4, ATTEMPT_DELAY_MS - 1, SLOW_MS, "black hole")
    loser = answer.to(SERVER6)
    check(loser is not None and loser["state"] == "cancelled", f"the dead address was given up: {loser}")
    if loser and loser["start_ms"] is not None:
        gap = answer.to(SERVER4)["start_ms"] - loser["start_ms"]
        check_between(gap, ATTEMPT_DELAY_MS - 2, SLOW_MS, "the second starts so long after")


# proves IMPL-08
@test("the attempt delay can be set")
def attempt_delay(net):
    serve_on(net, SERVER6, SERVER4)
    net.server.blackhole(SERVER6)
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, "--attempt-delay", "100", f"dual.test:{PORT}")
    check_ready(answer, SERVER4, 99, SLOW_MS, "attempt delay 100 ms")


# proves IMPL-07
@test("the first address refuses: the next starts at once")
def first_refuses(net):
    serve_on(net, SERVER4)
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, SERVER4, 0, LONG_MS, "refused")
    loser = answer.to(SERVER6)
    need(loser is not None and loser["state"] == "failed", f"the refusing address failed: {loser}")
    check("refused" in loser["reason"].lower(), f"the reason says refused: {loser['reason']}")
    check_next_at_once(answer)


# proves IMPL-08
@test("the AAAA answer comes 30 ms late: IPv4 does not start before the resolution delay is over")
def aaaa_a_little_late(net):
    serve_on(net, SERVER6, SERVER4)
    _, options = dual(net, v6_delay=0.030)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    need(answer.result == "established", answer.explain())
    first, other = answer.to(SERVER6), answer.to(SERVER4)
    if first and first["state"] == "won" and other["start_ms"] is None:
        check(answer.ready_ms >= 29, f"not before its address was there: {answer.ready_ms}")
    else:  # this machine was slower than the delay
        check(other["start_ms"] >= RESOLUTION_DELAY_MS - 1, f"IPv4 started at {other['start_ms']}")


# proves IMPL-08
@test("the AAAA answer comes seconds late: IPv4 starts after the resolution delay")
def aaaa_late(net):
    serve_on(net, SERVER6, SERVER4)
    _, options = dual(net, v6_delay=SLOW_MS / 1000)
    answer = probe(net.client, *PLAIN, *options, f"dual.test:{PORT}")
    check_ready(answer, SERVER4, RESOLUTION_DELAY_MS - 1, SLOW_MS, "AAAA comes late")


# proves IMPL-08
@test("the AAAA answer never comes: IPv4 starts after the resolution delay")
def aaaa_never(net):
    serve_on(net, SERVER4)
    _, options = dual(net, v6=None)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, SERVER4, RESOLUTION_DELAY_MS - 1, SLOW_MS, "no AAAA answer")


# proves IMPL-08
@test("the A answer never comes: IPv6 does not wait for it")
def a_never(net):
    serve_on(net, SERVER6)
    _, options = dual(net, v4=None)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, SERVER6, 0, LONG_MS, "no A answer")


# proves IMPL-08
@test("there is no A record: IPv6 is used at once")
def no_a_record(net):
    serve_on(net, SERVER6)
    _, options = dual(net, v4=())
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, SERVER6, 0, LONG_MS, "no A record")


# proves IMPL-08
@test("there is no AAAA record: IPv4 is used at once, without the resolution delay")
def no_aaaa_record(net):
    serve_on(net, SERVER4)
    _, options = dual(net, v6=())
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, SERVER4, 0, LONG_MS, "no AAAA record")


# proves IMPL-08
@test("the AAAA answer arrives while IPv4 is being tried: it joins the race and may win")
def aaaa_joins(net):
    serve_on(net, SERVER6, SERVER4)
    net.server.blackhole(SERVER4, protocol="tcp")
    _, options = dual(net, v6_delay=0.150)
    answer = probe(net.client, *PLAIN, *options, f"dual.test:{PORT}")
    check_ready(answer, SERVER6, 149, SLOW_MS, "AAAA joins")


# proves IMPL-08
@test("families are interleaved: after a dead IPv6 address comes an IPv4 one, not the next IPv6")
def interleaved(net):
    v4, v6 = net.more_addresses(3)
    net.server.blackhole(v6[0])
    serve_on(net, v4[0], v6[1])
    _, options = dual(net, v4=v4, v6=v6)
    answer = probe(net.client, *PLAIN, *options, "--attempt-delay", "1000", f"dual.test:{PORT}")
    check_ready(answer, v4[0], 999, SLOW_MS, "the second in the list of both")
    check_equal([leaf["remote"] for leaf in answer.started()], [f"[{v6[0]}]:{PORT}", f"{v4[0]}:{PORT}"], "what was tried")


# proves IMPL-12, API-006
@test("64 addresses, 63 of them refuse: the one that serves is found quickly")
def many_refuse(net):
    v4, v6 = net.more_addresses(32)
    serve_on(net, v4[31])
    stub, options = dual(net, v4=v4, v6=v6)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_ready(answer, v4[31], 0, SLOW_MS, "the last of 64")
    check(len(answer.leaves) <= 64, f"{len(answer.leaves)} candidates")
    check(any(over == "tcp" for _, _, _, over in stub.queries), "the answer was too large for UDP and came over TCP")


# proves IMPL-12
@test("64 addresses, all black holes: attempts are staggered, and the deadline holds")
def many_black_holes(net):
    v4, v6 = net.more_addresses(32)
    net.server.blackhole(*v4, *v6)
    _, options = dual(net, v4=v4, v6=v6)
    answer = probe(net.client, *PLAIN, *options, "--timeout", "1.5", f"dual.test:{PORT}")
    check_timeout(answer, 1500)
    starts = [leaf["start_ms"] for leaf in answer.started()]
    check_between(len(starts), 2, 7, "attempts in 1.5 s")
    check(all(b - a >= ATTEMPT_DELAY_MS - 2 for a, b in zip(starts, starts[1:])), f"staggered: {starts}")


def check_timeout(answer, deadline_ms):
    """Timeout, at the deadline, exactly once."""
    check_equal(answer.result, "error", "result")
    check_equal((answer.error or {}).get("reason"), "Timeout", "reason")
    check_equal(answer.status, 1, "exit status")
    check_equal(answer.rest, "", "one object and nothing more")
    check_between(answer.wall_ms, deadline_ms - 1, SLOW_MS, "the program's whole time")
    ends = [leaf["end_ms"] for leaf in answer.started() if leaf["end_ms"] is not None]
    check(ends and all(end <= answer.wall_ms for end in ends), f"all ended: {ends}")


# proves API-062, IMPL-25
@test("all addresses are dead: Timeout at the deadline, once")
def all_dead(net):
    net.server.blackhole(SERVER6, SERVER4, protocol="tcp")
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, "--timeout", "1.2", f"dual.test:{PORT}")
    check_timeout(answer, 1200)
    ends = [leaf["end_ms"] for leaf in answer.started()]
    check(any(end is not None and end >= 1199 for end in ends), f"ended at the deadline: {ends}")


# proves API-060, API-062
@test("the name server is dead: the deadline covers resolution too")
def resolver_dead(net):
    net.server.blackhole(SERVER4)
    answer = probe(net.client, *PLAIN, "--resolver", SERVER4, "--timeout", "1", f"dual.test:{PORT}")
    check_equal(answer.result, "error", "result")
    check(answer.error["reason"] in ("Timeout", "ResolutionFailed"), answer.explain())
    check_between(answer.wall_ms, 900, SLOW_MS, "the program's whole time")


# proves API-062, IMPL-25
@test("all addresses refuse: EstablishmentFailed at once, and it says refused")
def all_refuse(net):
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, *LONG, f"dual.test:{PORT}")
    check_equal(answer.result, "error", "result")
    check_equal(answer.error["reason"], "EstablishmentFailed", "reason")
    check("refused" in answer.error["detail"].lower(), f"the detail says refused: {answer.error['detail']}")
    check_equal(answer.status, 1, "exit status")
    check(all(leaf["end_ms"] < LONG_MS for leaf in answer.started()), "it did not wait")


# proves API-062, IMPL-25
@test("an unknown name: ResolutionFailed, with the name in the text")
def unknown_name(net):
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, f"nosuch.test:{PORT}")
    check_equal(answer.result, "error", "result")
    check_equal(answer.error["reason"], "ResolutionFailed", "reason")
    check("nosuch.test" in answer.error["detail"], f"the detail names it: {answer.error['detail']}")
    check_equal(answer.status, 1, "exit status")


# proves API-062
@test("the name server reports a failure: ResolutionFailed, with the name in the text")
def server_failure(net):
    stub = DnsStub(net.server, SERVER4)
    stub.add("broken.test", "A", 2)
    stub.add("broken.test", "AAAA", 2)
    answer = probe(net.client, *PLAIN, "--resolver", stub.resolver(), "--timeout", "5", f"broken.test:{PORT}")
    check_equal((answer.error or {}).get("reason"), "ResolutionFailed", "reason")
    check("broken.test" in answer.error["detail"], f"the detail names it: {answer.error['detail']}")


# proves API-062
@test("a name with no address at all: ResolutionFailed")
def no_address(net):
    _, options = dual(net, name="empty.test", v4=(), v6=())
    answer = probe(net.client, *PLAIN, *options, f"empty.test:{PORT}")
    check_equal((answer.error or {}).get("reason"), "ResolutionFailed", "reason")
    check("empty.test" in answer.error["detail"], f"the detail names it: {answer.error['detail']}")


# proves API-010
@test("an address needs no resolver, and only it is used")
def literal(net):
    serve_on(net, SERVER4)
    stub = DnsStub(net.server, SERVER4)
    answer = probe(net.client, *PLAIN, "--resolver", stub.resolver(), f"{SERVER4}:{PORT}")
    check_ready(answer, SERVER4, 0, SLOW_MS, "by address")
    check_equal(stub.queries, [], "queries")
    check_equal(len(answer.leaves), 1, "candidates")


# proves API-008
@test("a link-local address with its interface is reached; without, the error is clear")
def link_local(net):
    rows = net.server.ip("-6", "-o", "addr", "show", "dev", "link0", "scope", "link").split()
    address = rows[rows.index("inet6") + 1].split("/")[0]
    poll(lambda: "tentative" not in net.server.ip("-6", "addr", "show", "dev", "link0", "scope", "link") and
         "tentative" not in net.client.ip("-6", "addr", "show", "dev", "link0", "scope", "link"), text="the link-local "
         "addresses")
    listener = net.server.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.bind(("::", PORT))
    listener.listen()
    net.at_close(listener.close)
    answer = probe(net.client, *PLAIN, f"[{address}%link0]:{PORT}")
    need(answer.result == "established", answer.explain())
    check(answer.chosen["interface"] == "link0", f"over link0: {answer.chosen}")
    bare = probe(net.client, *PLAIN, "--timeout", "3", f"[{address}]:{PORT}")
    check(bare.result == "error" or bare.chosen["interface"] == "link0", f"without its interface: {bare.explain()}")


# proves API-040
@test("a required interface is the only one used; a prohibited one never is")
def interfaces(net):
    stalled(net.server, SERVER4, PORT)
    stalled(net.server, SECOND_SERVER4, PORT)
    answer = probe(net.client, *PLAIN, "--interface", "link1", f"{SECOND_SERVER4}:{PORT}")
    need(answer.result == "established", answer.explain())
    check(answer.chosen["local"].startswith(SECOND_CLIENT4 + ":"), f"from link1: {answer.chosen}")
    net.server.count_syns(SERVER4)
    wrong = probe(net.client, *PLAIN, "-p", "interface=prohibit link0", "--timeout", "2", f"{SERVER4}:{PORT}")
    check_equal(wrong.result, "error", "nothing but the prohibited interface leads there")
    check_equal(net.server.syns()[syn_label(SERVER4)], 0, "attempts")


# proves API-040, API-062
@test("an interface that does not exist: an error that names it, and no traffic")
def no_such_interface(net):
    net.server.count_syns(SERVER4)
    process = net.client.run(TAPS, "probe", "--json", *PLAIN, "--interface", "nosuch0", f"{SERVER4}:{PORT}")
    check(process.status in (1, 2), f"exit status {process.status}")
    check(b"nosuch0" in process.out + process.err, "it names the interface")
    check_equal(net.server.syns()[syn_label(SERVER4)], 0, "attempts")


# proves IMPL-04, API-006
@test("-4 and -6 keep to one family")
def one_family(net):
    serve_on(net, SERVER6, SERVER4)
    _, options = dual(net, both=False)
    for flag, winner in (("-4", SERVER4), ("-6", SERVER6)):
        answer = probe(net.client, *PLAIN, *options, flag, f"dual.test:{PORT}")
        check_ready(answer, winner, 0, SLOW_MS, flag)
        check(all((":" in winner) == leaf["remote"].startswith("[") for leaf in answer.started()), f"{flag} only")


# proves ARCH-13
@test("the same request twice gives the same candidates in the same order")
def same_order(net):
    v4, v6 = net.more_addresses(4)
    net.server.blackhole(*v4, *v6)  # so that both answers are there before it is over
    _, options = dual(net, v4=v4, v6=v6)
    orders = [[(leaf["id"], leaf["stack"], leaf["remote"]) for leaf in
               probe(net.client, *PLAIN, *options, *LONG, "--timeout", "1", f"dual.test:{PORT}").leaves] for _ in range(2)]
    check(len(orders[0]) == 8, f"8 candidates: {orders[0]}")
    check_equal(orders[0], orders[1], "the order")


# ----------------------------------------------------------------------------------------- the whole stack must win

def tls_pair(net):
    """A good TLS server on IPv4, and the options that trust it; IPv6 is the test's."""
    authority = Authority(net)
    certificate = authority.issue("dual.test")
    s_server(net.server, PORT, certificate, "-quiet", address=SERVER4)
    _, options = dual(net)
    return authority, options + ["--cafile", authority.certificate, f"dual.test:{PORT}"]


# proves IMPL-11, IMPL-07
@test("TLS stalls on the first address: the second wins after one attempt delay")
def tls_stalls(net):
    _, arguments = tls_pair(net)
    silent = stalled(net.server, SERVER6, PORT)
    answer = probe(net.client, *arguments)
    check_ready(answer, SERVER4, ATTEMPT_DELAY_MS - 1, SLOW_MS, "TLS stalls")
    check_equal(answer.chosen["stack"], "tls/tcp", "stack")
    poll(lambda: silent.ended and silent.ended[0] != "open", text="the loser to be closed")


# proves IMPL-11, IMPL-07
@test("TLS is closed on the first address: the second starts at once")
def tls_closes(net):
    _, arguments = tls_pair(net)
    closing(net.server, SERVER6, PORT, after=1)
    answer = probe(net.client, *LONG, *arguments)
    check_ready(answer, SERVER4, 0, LONG_MS, "TLS closes")
    check_next_at_once(answer)


# proves IMPL-11
@test("the first address is reset in the handshake: the second starts at once")
def tls_resets(net):
    _, arguments = tls_pair(net)
    closing(net.server, SERVER6, PORT, after=1, how="reset")
    answer = probe(net.client, *LONG, *arguments)
    check_ready(answer, SERVER4, 0, LONG_MS, "TLS reset")
    check_next_at_once(answer)


# proves IMPL-11, ARCH-09
@test("the first address speaks no TLS: the second starts at once, and the first sees only a TLS record")
def tls_garbage(net):
    _, arguments = tls_pair(net)
    plain = talking(net.server, SERVER6, PORT, b"220 mail.test ESMTP ready\r\n")
    answer = probe(net.client, *LONG, *arguments)
    check_ready(answer, SERVER4, 0, LONG_MS, "no TLS")
    check_next_at_once(answer)
    check(all(data[:1] == b"\x16" for data in plain.received if data), "only TLS was said to it")


# proves IMPL-11
@test("the certificate is wrong on the first address: the second wins")
def tls_wrong_certificate(net):
    authority, arguments = tls_pair(net)
    other = authority.issue("other.test")
    s_server(net.server, PORT, other, "-quiet", address=SERVER6)
    answer = probe(net.client, *LONG, *arguments)
    check_ready(answer, SERVER4, 0, LONG_MS, "wrong certificate first")
    check_next_at_once(answer)


def check_next_at_once(answer):
    loser = answer.to(SERVER6)
    need(loser is not None and loser["state"] == "failed", f"the first address failed: {loser}")
    check_between(answer.to(SERVER4)["start_ms"] - loser["end_ms"], -0.5, LONG_MS / 2, "the next starts so long after")


# proves IMPL-10, IMPL-12
@test("losers leave no socket behind, and their servers see them closed")
def losers_are_gone(net):
    authority = Authority(net)
    certificate = authority.issue("dual.test")
    v4, v6 = net.more_addresses(2)
    silent = [stalled(net.server, address, PORT) for address in (v6[0], v4[0], v6[1])]
    server = s_server(net.server, PORT, certificate, "-quiet", address=v4[1])
    _, options = dual(net, v4=v4, v6=v6)
    process = cat_open(net.client, *options, "--cafile", authority.certificate, "--attempt-delay", "20",
                       f"dual.test:{PORT}")
    process.write(b"hello\n")
    poll(lambda: b"hello" in server.out, text="the message at the winner")
    poll(lambda: all(one.ended and "open" not in one.ended for one in silent if one.ended), text="losers to be closed")
    tried = sum(len(one.ended) for one in silent)
    check(tried >= 1, f"some lost: {[one.ended for one in silent]}")
    sockets = net.client.tcp_sockets()
    check_equal([(remote, state) for _, remote, state in sockets if state not in ("FIN-WAIT-1", "FIN-WAIT-2",
                 "LAST-ACK", "CLOSING")], [(f"{v4[1]}:{PORT}", "ESTAB")], "sockets")
    check(process.running(), "still connected")
    process.end()


# proves IMPL-10
@test("losers in mid-connect are gone too")
def half_open_losers(net):
    net.server.blackhole(SERVER6)
    keeper = stalled(net.server, SERVER4, PORT)
    _, options = dual(net)
    process = cat_open(net.client, *PLAIN, *options, f"dual.test:{PORT}")
    process.write(b"hello\n")
    poll(lambda: keeper.received and b"hello" in keeper.received[0], text="the message at the winner")
    check_equal([(remote, state) for _, remote, state in net.client.tcp_sockets()], [(f"{SERVER4}:{PORT}", "ESTAB")],
                "sockets")
    process.end()


# proves API-060, IMPL-10
@test("the deadline cuts a TLS handshake that stalls everywhere, and closes it")
def tls_deadline(net):
    silent = [stalled(net.server, SERVER6, PORT), stalled(net.server, SERVER4, PORT)]
    _, options = dual(net)
    answer = probe(net.client, *options, "--timeout", "1", f"dual.test:{PORT}")
    check_timeout(answer, 1000)
    poll(lambda: all(one.ended == ["open"] or one.ended for one in silent) and
         not any("open" in one.ended for one in silent), text="both to be closed")


# proves IMPL-15
@test("udp is ready without a packet, and no other candidate is started")
def udp_ready(net):
    _, options = dual(net)
    answer = probe(net.client, *PLAIN, *options, "--profile", "unreliable-datagram", f"dual.test:{PORT}")
    need(answer.result == "established", answer.explain())
    check_equal(answer.chosen["stack"], "udp", "stack")
    check_between(answer.ready_ms, 0, SLOW_MS, "ready_ms")
    check_equal(len(answer.started()), 1, "candidates started")


# proves API-005
@test("without a Local Endpoint the port is ephemeral and the address that of the interface")
def ephemeral(net):
    seen = []

    def note(connection, number):
        seen.append(connection.getpeername())
        listener.swallow(connection, number)
    listener = Listener(net.server, SERVER4, PORT, note)
    answer = probe(net.client, *PLAIN, f"{SERVER4}:{PORT}")
    need(answer.result == "established", answer.explain())
    poll(lambda: seen, text="the server to see it")
    check_equal(answer.chosen["local"], f"{seen[0][0]}:{seen[0][1]}", "what the report says")
    check_equal(seen[0][0], CLIENT4, "from the interface's address")
    check(seen[0][1] >= 1024, f"an ephemeral port: {seen[0][1]}")


main()
