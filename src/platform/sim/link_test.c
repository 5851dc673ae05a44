/* What links do to packets: delay in all its forms, loss, copies, queues, narrow ones, cables pulled. */
#include <time.h>
#include <linux/errqueue.h>
#include <stdlib.h>
#include "platform/sim/testnet.h"

#define PACKETS 400

/* Numbered datagrams from the client to the server. */
struct seen {
    struct net n;
    int from, to;
    int order[4 * PACKETS]; /* the numbers in order of arrival */
    unsigned count;
    uint64_t lost, copies;
    const char *why;
};

static void watch_packets(void *arg, const struct tapsi_sim_packet *packet)
{
    struct seen *s = arg;
    s->copies += packet->copy_ns != 0;
    if (packet->fate != TAPSI_SIM_LOST)
        return;
    s->lost++;
    s->why = packet->why;
}

static struct seen *seen_new(void)
{
    struct seen *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    net_init(&s->n);
    tapsi_sim_trace(s->n.sim, watch_packets, s);
    s->from = udp4(s->n.p);
    s->to = udp4(s->n.q);
    CHECK_INT(bind_to(s->n.q, s->to, "192.0.2.1", 9), 0);
    CHECK_INT(connect_to(s->n.p, s->from, "192.0.2.1", 9), 0);
    return s;
}

static void seen_free(struct seen *s)
{
    s->n.p->ops->close(s->n.p, s->from);
    s->n.q->ops->close(s->n.q, s->to);
    net_done(&s->n);
    free(s);
}

static void collect(struct seen *s)
{
    int number;
    while (s->n.q->ops->recv(s->n.q, s->to, &number, sizeof number, 0) == sizeof number && s->count < 4 * PACKETS)
        s->order[s->count++] = number;
}

/* One datagram every `gap`, then time for the last. */
static void send_numbers(struct seen *s, int count, uint64_t gap)
{
    for (int i = 0; i < count; i++) {
        CHECK_INT(s->n.p->ops->send(s->n.p, s->from, &i, sizeof i, 0), sizeof i);
        run_for(&s->n, gap);
        collect(s);
    }
    run_for(&s->n, TAPSI_SIM_S);
    collect(s);
}

static unsigned overtakings(const struct seen *s)
{
    unsigned count = 0;
    for (unsigned i = 1; i < s->count; i++)
        count += s->order[i] < s->order[i - 1];
    return count;
}

TEST(a_plain_link_loses_turns_and_repeats_nothing)
{
    struct seen *s = seen_new();
    send_numbers(s, PACKETS, 0);
    CHECK_INT(s->count, PACKETS);
    CHECK_INT(overtakings(s), 0);
    CHECK_INT(s->lost + s->copies, 0);
    seen_free(s);
}

TEST(jitter_spreads_arrivals_and_keeps_their_order)
{
    struct seen *s = seen_new();
    uint64_t least = TAPSI_FOREVER, most = 0;
    tapsi_sim_link_jitter(s->n.link, 20 * TAPSI_SIM_MS);
    for (int i = 0; i < 50; i++) {
        uint64_t start = tapsi_sim_now(s->n.sim);
        CHECK_INT(s->n.p->ops->send(s->n.p, s->from, &i, sizeof i, 0), sizeof i);
        while (s->count == (unsigned)i && tapsi_sim_now(s->n.sim) < start + TAPSI_SIM_S) {
            run_for(&s->n, TAPSI_SIM_US);
            collect(s);
        }
        uint64_t took = tapsi_sim_now(s->n.sim) - start;
        least = took < least ? took : least;
        most = took > most ? took : most;
    }
    CHECK(least >= DELAY && least < DELAY + 5 * TAPSI_SIM_MS);
    CHECK(most > DELAY + 15 * TAPSI_SIM_MS && most <= DELAY + 20 * TAPSI_SIM_MS + TAPSI_SIM_US);
    s->count = 0;
    send_numbers(s, PACKETS, 100 * TAPSI_SIM_US);
    CHECK_INT(s->count, PACKETS);
    CHECK_INT(overtakings(s), 0);
    seen_free(s);
}

TEST(late_packets_are_overtaken_and_arrive_all_the_same)
{
    struct seen *s = seen_new();
    tapsi_sim_link_reorder(s->n.link, 0.1, 5 * TAPSI_SIM_MS);
    send_numbers(s, PACKETS, TAPSI_SIM_MS);
    CHECK_INT(s->count, PACKETS);
    unsigned count = overtakings(s);
    CHECK(count > PACKETS / 40 && count < PACKETS / 5);
    for (unsigned i = 0; i < s->count; i++) /* 5 ms late: at most five places */
        CHECK(abs(s->order[i] - (int)i) <= 5);
    seen_free(s);
}

TEST(reordering_by_nothing_is_none)
{
    struct seen *s = seen_new();
    tapsi_sim_link_reorder(s->n.link, 1, 0);
    send_numbers(s, PACKETS, 0);
    CHECK_INT(overtakings(s), 0);
    seen_free(s);
}

TEST(copies_arrive_besides)
{
    struct seen *s = seen_new();
    tapsi_sim_link_duplicate(s->n.link, 0.25);
    send_numbers(s, PACKETS, TAPSI_SIM_MS);
    CHECK_INT(s->count, PACKETS + s->copies);
    CHECK(s->copies > PACKETS / 8 && s->copies < PACKETS / 2);
    tapsi_sim_link_duplicate(s->n.link, 1);
    s->count = 0;
    send_numbers(s, 10, TAPSI_SIM_MS);
    CHECK_INT(s->count, 20);
    seen_free(s);
}

/* The mean length of what is lost in a row. */
static double burst_length(const struct seen *s, int sent)
{
    int lost = 0, bursts = 0, at = 0;
    for (unsigned i = 0; i < s->count; i++) {
        lost += s->order[i] - at;
        bursts += s->order[i] > at;
        at = s->order[i] + 1;
    }
    lost += sent - at;
    bursts += sent > at;
    return bursts ? (double)lost / bursts : 0;
}

TEST(bursts_lose_many_in_a_row)
{
    struct seen *s = seen_new();
    tapsi_sim_link_bursts(s->n.link, 0.05, 0.2);
    send_numbers(s, PACKETS, 0);
    double length = burst_length(s, PACKETS);
    CHECK(length > 3 && length < 8);
    CHECK_TEXT(s->why, "burst");
    tapsi_sim_link_bursts(s->n.link, 0, 0.2);
    s->count = 0;
    send_numbers(s, PACKETS, 0);
    CHECK_INT(s->count, PACKETS);
    seen_free(s);
}

TEST(a_burst_that_never_ends_loses_everything_of_its_sender_only)
{
    struct seen *s = seen_new();
    int back = udp4(s->n.q), number = 7;
    char text[8];
    tapsi_sim_link_bursts(s->n.link, 1, 0);
    send_numbers(s, 20, 0);
    CHECK_INT(s->count, 0);
    tapsi_sim_link_bursts(s->n.link, 0.000001, 0);
    send_numbers(s, 20, 0);
    CHECK_INT(s->count, 0); /* still in the burst */
    CHECK_INT(bind_to(s->n.q, back, "192.0.2.1", 10), 0);
    union tapsi_addr to;
    CHECK_INT(s->n.p->ops->getsockname(s->n.p, s->from, &to), 0);
    CHECK_INT(connect_to(s->n.p, s->from, "192.0.2.1", 10), 0);
    CHECK_INT(s->n.q->ops->connect(s->n.q, back, &to), 0);
    CHECK_INT(s->n.q->ops->send(s->n.q, back, &number, sizeof number, 0), sizeof number);
    run_for(&s->n, DELAY);
    CHECK_INT(recv_text(s->n.p, s->from, text, sizeof text), sizeof number);
    s->n.q->ops->close(s->n.q, back);
    seen_free(s);
}

TEST(a_full_queue_drops_what_comes_last)
{
    struct seen *s = seen_new();
    tapsi_sim_link_queue(s->n.link, 320); /* ten datagrams of 32 bytes; no rate, so no queue yet */
    send_numbers(s, 50, 0);
    CHECK_INT(s->count, 50);
    s->count = 0;
    tapsi_sim_link_rate(s->n.link, 8 * 32 * 100); /* one takes 10 ms */
    send_numbers(s, 50, 0);
    CHECK_INT(s->count, 10);
    CHECK_INT(s->order[9], 9);
    CHECK_INT(s->lost, 40);
    CHECK_TEXT(s->why, "queue full");
    s->count = 0;
    send_numbers(s, 50, 10 * TAPSI_SIM_MS); /* as fast as it can */
    CHECK_INT(s->count, 50);
    tapsi_sim_link_queue(s->n.link, 1); /* smaller than a packet: one at a time still goes */
    s->count = 0;
    send_numbers(s, 5, 10 * TAPSI_SIM_MS);
    CHECK_INT(s->count, 5);
    seen_free(s);
}

TEST(a_pulled_cable_loses_everything_and_shows)
{
    struct seen *s = seen_new();
    struct tapsi_network *before, *after;
    CHECK_INT(s->n.p->ops->network(s->n.p, &before), 0);
    tapsi_sim_link_up(s->n.link, true); /* as it was: no news */
    CHECK_INT(s->n.p->ops->network(s->n.p, &after), 0);
    CHECK(after == before);
    tapsi_network_unref(after);
    tapsi_sim_link_up(s->n.link, false);
    CHECK_INT(s->n.p->ops->network(s->n.p, &after), 0);
    CHECK(after->generation != before->generation);
    CHECK(before->interfaces[1].up && !after->interfaces[1].up);
    CHECK(after->interfaces[0].up);
    tapsi_network_unref(after);
    send_numbers(s, 10, 0);
    CHECK_INT(s->count, 0);
    CHECK_TEXT(s->why, "link down");
    tapsi_sim_link_up(s->n.link, true);
    send_numbers(s, 10, 0);
    CHECK_INT(s->count, 10);
    tapsi_network_unref(before);
    seen_free(s);
}

TEST(one_cable_of_two_keeps_the_interface_up)
{
    struct net n;
    struct tapsi_network *network;
    net_init(&n);
    struct tapsi_sim_host *third = tapsi_sim_host_new(n.sim, "third");
    struct tapsi_sim_interface *t = tapsi_sim_interface_new(third, "eth0", TAPSI_IF_ETHERNET, "192.0.2.3/24");
    tapsi_sim_link_new(n.c, t, DELAY);
    tapsi_sim_link_up(n.link, false);
    CHECK_INT(n.p->ops->network(n.p, &network), 0);
    CHECK(network->interfaces[1].up);
    tapsi_network_unref(network);
    CHECK_INT(n.q->ops->network(n.q, &network), 0);
    CHECK(!network->interfaces[1].up);
    tapsi_network_unref(network);
    net_done(&n);
}

TEST(impossible_values_are_problems_and_change_nothing)
{
    static const double bad[] = {-0.1, 1.1, 1e300, -1e300};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int which = 0; which < 7; which++) {
            struct tapsi_sim *sim = tapsi_sim_new(1);
            struct tapsi_sim_host *a = tapsi_sim_host_new(sim, "a"), *b = tapsi_sim_host_new(sim, "b");
            struct tapsi_sim_interface *x = tapsi_sim_interface_new(a, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24");
            struct tapsi_sim_interface *y = tapsi_sim_interface_new(b, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24");
            struct tapsi_sim_link *link = tapsi_sim_link_new(x, y, DELAY);
            CHECK(!tapsi_sim_problem(sim));
            if (which == 0)
                tapsi_sim_link_loss(link, bad[i]);
            else if (which == 1)
                tapsi_sim_link_bursts(link, bad[i], 0.5);
            else if (which == 2)
                tapsi_sim_link_bursts(link, 0.5, bad[i]);
            else if (which == 3)
                tapsi_sim_link_reorder(link, bad[i], DELAY);
            else if (which == 4)
                tapsi_sim_link_duplicate(link, bad[i]);
            else if (which == 5)
                tapsi_sim_link_mark(link, bad[i]);
            else
                tapsi_sim_link_mtu(link, 1227, false);
            CHECK(tapsi_sim_problem(sim) != NULL);
            tapsi_sim_free(sim);
        }
    }
}

TEST(a_link_that_could_not_be_made_is_left_alone)
{
    CHECK(!tapsi_sim_link_new(NULL, NULL, 0));
    tapsi_sim_link_delay(NULL, 1);
    tapsi_sim_link_jitter(NULL, 1);
    tapsi_sim_link_loss(NULL, 1);
    tapsi_sim_link_bursts(NULL, 1, 1);
    tapsi_sim_link_reorder(NULL, 1, 1);
    tapsi_sim_link_duplicate(NULL, 1);
    tapsi_sim_link_mark(NULL, 1);
    tapsi_sim_link_rate(NULL, 1);
    tapsi_sim_link_queue(NULL, 1);
    tapsi_sim_link_mtu(NULL, 1500, true);
    tapsi_sim_link_fault(NULL, TAPSI_SIM_REFUSE);
    tapsi_sim_link_up(NULL, false);
    tapsi_sim_link_join(NULL, NULL);
}

/* Narrow links. */

struct narrow {
    struct net n;
    int from, to;
    char bytes[3000];
};

static void narrow_init(struct narrow *w, bool six, int discover)
{
    net_init(&w->n);
    tapsi_sim_link_mtu(w->n.link, 1300, false);
    memset(w->bytes, 'x', sizeof w->bytes);
    w->from = six ? udp6(w->n.p) : udp4(w->n.p);
    w->to = six ? udp6(w->n.q) : udp4(w->n.q);
    CHECK_INT(bind_to(w->n.q, w->to, six ? "2001:db8::1" : "192.0.2.1", 9), 0);
    CHECK_INT(connect_to(w->n.p, w->from, six ? "2001:db8::1" : "192.0.2.1", 9), 0);
    CHECK_INT(set_int(w->n.p, w->from, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                      discover),
              0);
}

static void narrow_done(struct narrow *w)
{
    w->n.p->ops->close(w->n.p, w->from);
    w->n.q->ops->close(w->n.q, w->to);
    net_done(&w->n);
}

/* What the send says. */
static ssize_t send_bytes(struct narrow *w, size_t count)
{
    return w->n.p->ops->send(w->n.p, w->from, w->bytes, count, 0);
}

/* How many bytes have arrived, or -EAGAIN. */
static ssize_t arrived(struct narrow *w)
{
    char bytes[4000];
    run_for(&w->n, RTT);
    return w->n.q->ops->recv(w->n.q, w->to, bytes, sizeof bytes, 0);
}

TEST(a_datagram_that_may_not_be_cut_is_refused_by_a_narrow_link)
{
    struct narrow w;
    narrow_init(&w, false, IP_PMTUDISC_DO);
    CHECK_INT(get_int(w.n.p, w.from, IPPROTO_IP, IP_MTU), 1500);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), -EAGAIN);
    CHECK_INT(get_int(w.n.p, w.from, IPPROTO_IP, IP_MTU), 1300);
    CHECK_INT(so_error(w.n.p, w.from), EMSGSIZE);
    CHECK_INT(send_bytes(&w, 1300 - 28 + 1), -EMSGSIZE);
    CHECK_INT(send_bytes(&w, 1300 - 28), 1300 - 28);
    CHECK_INT(arrived(&w), 1300 - 28);
    narrow_done(&w);
}

TEST(the_error_queue_tells_the_mtu)
{
    struct narrow w;
    char bytes[2000];
    union {
        struct cmsghdr align;
        char bytes[256];
    } control;
    struct iovec iov = {bytes, sizeof bytes};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct sock_extended_err e;
    narrow_init(&w, true, IPV6_PMTUDISC_DO);
    CHECK_INT(set_int(w.n.p, w.from, IPPROTO_IPV6, IPV6_RECVERR, 1), 0);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    run_for(&w.n, RTT);
    CHECK_INT(w.n.p->ops->recvmsg(w.n.p, w.from, &m, MSG_ERRQUEUE), 520);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    NEED(c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
    memcpy(&e, CMSG_DATA(c), sizeof e);
    CHECK_INT(e.ee_errno, EMSGSIZE);
    CHECK_INT(e.ee_origin, SO_EE_ORIGIN_ICMP6);
    CHECK_INT(e.ee_type, 2);
    CHECK_INT(e.ee_code, 0);
    CHECK_INT(e.ee_info, 1300);
    narrow_done(&w);
}

TEST(what_may_be_cut_is_cut_by_the_link_or_after_the_first_answer_by_the_sender)
{
    struct narrow w;
    narrow_init(&w, false, IP_PMTUDISC_DONT);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), 1400);
    narrow_done(&w);
    narrow_init(&w, false, IP_PMTUDISC_WANT);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), -EAGAIN);
    CHECK_INT(send_bytes(&w, 1400), -EMSGSIZE); /* the pending error */
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), 1400);
    CHECK_INT(send_bytes(&w, 3000), 3000); /* cut from the first */
    CHECK_INT(arrived(&w), 3000);
    narrow_done(&w);
}

TEST(ipv6_is_never_cut_on_the_way)
{
    struct narrow w;
    narrow_init(&w, true, IPV6_PMTUDISC_DONT);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), -EAGAIN);
    CHECK_INT(so_error(w.n.p, w.from), 0); /* not told, but remembered */
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), 1400);
    narrow_done(&w);
}

TEST(a_probe_is_sent_whatever_is_known)
{
    struct narrow w;
    narrow_init(&w, false, IP_PMTUDISC_PROBE);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(send_bytes(&w, 1400), 1400);
        CHECK_INT(arrived(&w), -EAGAIN);
        CHECK_INT(so_error(w.n.p, w.from), EMSGSIZE);
    }
    tapsi_sim_link_mtu(w.n.link, 0, false);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), 1400);
    CHECK_INT(send_bytes(&w, 1473), -EMSGSIZE); /* the interface's own */
    narrow_done(&w);
}

TEST(a_silent_narrow_link_is_a_black_hole)
{
    struct narrow w;
    narrow_init(&w, false, IP_PMTUDISC_DO);
    tapsi_sim_link_mtu(w.n.link, 1300, true);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(send_bytes(&w, 1400), 1400);
        CHECK_INT(arrived(&w), -EAGAIN);
    }
    CHECK_INT(get_int(w.n.p, w.from, IPPROTO_IP, IP_MTU), 1500);
    CHECK_INT(send_bytes(&w, 1200), 1200);
    CHECK_INT(arrived(&w), 1200);
    narrow_done(&w);
}

TEST(a_path_mtu_is_forgotten_after_ten_minutes)
{
    struct narrow w;
    narrow_init(&w, false, IP_PMTUDISC_DO);
    CHECK_INT(send_bytes(&w, 1400), 1400);
    CHECK_INT(arrived(&w), -EAGAIN);
    CHECK_INT(so_error(w.n.p, w.from), EMSGSIZE);
    run_for(&w.n, 599 * TAPSI_SIM_S);
    CHECK_INT(get_int(w.n.p, w.from, IPPROTO_IP, IP_MTU), 1300);
    run_for(&w.n, TAPSI_SIM_S);
    CHECK_INT(get_int(w.n.p, w.from, IPPROTO_IP, IP_MTU), 1500);
    narrow_done(&w);
}

static unsigned largest_segment;

static void note_largest(void *arg, const struct tapsi_sim_packet *packet)
{
    (void)arg;
    if (packet->length > largest_segment)
        largest_segment = (unsigned)packet->length;
}

/* One connection and so many bytes through it; how many came within `ns`. */
static size_t carry(struct net *n, const char *address, size_t count, uint64_t ns)
{
    static unsigned port = 8000;
    int listener = listen_on(n->q, ++port), fd = strchr(address, ':') ? tcp6(n->p) : tcp4(n->p);
    char *bytes = calloc(1, count);
    size_t got = 0;
    CHECK_INT(connect_to(n->p, fd, address, port), -EINPROGRESS);
    run_for(n, 2 * RTT);
    int peer = n->q->ops->accept(n->q, listener, NULL);
    CHECK(peer >= 0);
    CHECK_INT(n->p->ops->send(n->p, fd, bytes, count, 0), count);
    run_for(n, ns);
    for (ssize_t r; (r = n->q->ops->recv(n->q, peer, bytes, count, 0)) > 0;)
        got += (size_t)r;
    free(bytes);
    n->p->ops->close(n->p, fd);
    n->q->ops->close(n->q, peer);
    n->q->ops->close(n->q, listener);
    return got;
}

TEST(tcp_cuts_its_segments_to_the_path_at_once)
{
    static const char *const servers[] = {"192.0.2.1", "2001:db8::1"};
    for (int i = 0; i < 2; i++) {
        struct net n;
        net_init(&n);
        tapsi_sim_link_mtu(n.link, 1300, false);
        CHECK_INT(carry(&n, servers[i], 20000, 2 * RTT), 20000); /* one trip more, no timeout */
        largest_segment = 0;
        tapsi_sim_trace(n.sim, note_largest, NULL);
        CHECK_INT(carry(&n, servers[i], 20000, RTT), 20000); /* known by now */
        CHECK_INT(largest_segment, 1300 - (i ? 60 : 40));
        net_done(&n);
    }
}

TEST(tcp_stands_still_before_a_silent_narrow_link)
{
    struct net n;
    net_init(&n);
    tapsi_sim_link_mtu(n.link, 1300, true);
    CHECK_INT(carry(&n, "192.0.2.1", 20000, 30 * TAPSI_SIM_S), 0);
    CHECK_INT(carry(&n, "192.0.2.1", 1200, RTT), 1200); /* the handshake and small ones pass */
    net_done(&n);
}

TEST(tcp_keeps_to_the_smaller_interface_of_both)
{
    struct net n;
    net_init(&n);
    tapsi_sim_interface_mtu(n.s, 1400);
    largest_segment = 0;
    tapsi_sim_trace(n.sim, note_largest, NULL);
    CHECK_INT(carry(&n, "192.0.2.1", 20000, RTT), 20000);
    CHECK_INT(largest_segment, 1360);
    net_done(&n);
}
