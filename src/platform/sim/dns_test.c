#include <ares.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include "platform/sim/testnet.h"

struct dnsnet {
    struct net n;
    struct tapsi_sim_dns *dns;
    int fd;
    unsigned char answer[65536];
};

static void dns_init(struct dnsnet *d)
{
    net_init(&d->n);
    d->dns = tapsi_sim_dns_new(d->n.server);
    d->fd = udp4(d->n.p);
    CHECK_INT(connect_to(d->n.p, d->fd, "192.0.2.1", 53), 0);
}

static void dns_done(struct dnsnet *d)
{
    d->n.p->ops->close(d->n.p, d->fd);
    net_done(&d->n);
}

/* One real query over UDP: the length of the answer, or -EAGAIN if there was none within `ns`. */
static ssize_t ask(struct dnsnet *d, const char *name, int type, int edns, uint64_t ns)
{
    unsigned char *query;
    int length;
    CHECK_INT(ares_create_query(name, ns_c_in, type, 0x1234, 1, &query, &length, edns), ARES_SUCCESS);
    CHECK_INT(d->n.p->ops->send(d->n.p, d->fd, query, (size_t)length, 0), length);
    ares_free_string(query);
    run_for(&d->n, ns);
    return d->n.p->ops->recv(d->n.p, d->fd, d->answer, sizeof d->answer, 0);
}

static int rcode(const struct dnsnet *d)
{
    return d->answer[3] & 15;
}

static int answers(const struct dnsnet *d)
{
    return d->answer[6] << 8 | d->answer[7];
}

TEST(addresses_come_after_the_round_trip_and_the_answers_own_delay)
{
    struct dnsnet d;
    dns_init(&d);
    struct ares_addrttl found[4];
    int count = 4;
    tapsi_sim_dns_answer(d.dns, "Example.test", "A", "192.0.2.1 192.0.2.7", 30 * TAPSI_SIM_MS);
    tapsi_sim_dns_ttl(d.dns, 77);
    CHECK_INT(ask(&d, "example.TEST", ns_t_a, 0, RTT + 30 * TAPSI_SIM_MS - 1), -EAGAIN);
    ssize_t n = ask(&d, "example.test.", ns_t_a, 0, 1);
    NEED(n > 0);
    CHECK_INT(ares_parse_a_reply(d.answer, (int)n, NULL, found, &count), ARES_SUCCESS);
    CHECK_INT(count, 2);
    CHECK_INT(found[0].ttl, 77);
    CHECK_INT(found[1].ipaddr.s_addr, htonl(0xc0000207));
    run_for(&d.n, DELAY);
    CHECK_INT(tapsi_sim_dns_queries(d.dns, "example.test", "A"), 2);
    CHECK_INT(tapsi_sim_dns_queries(d.dns, "example.test", "AAAA"), 0);
    dns_done(&d);
}

TEST(ipv6_addresses_and_services_parse)
{
    struct dnsnet d;
    dns_init(&d);
    struct ares_addr6ttl found[4];
    struct ares_srv_reply *srv;
    int count = 4;
    tapsi_sim_dns_answer(d.dns, "example.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(d.dns, "_x._tcp.example.test", "SRV", "1 2 8080 host.example.test", 0);
    ssize_t n = ask(&d, "example.test", ns_t_aaaa, 0, RTT);
    CHECK_INT(ares_parse_aaaa_reply(d.answer, (int)n, NULL, found, &count), ARES_SUCCESS);
    CHECK_INT(count, 1);
    n = ask(&d, "_x._tcp.example.test", ns_t_srv, 0, RTT);
    NEED(ares_parse_srv_reply(d.answer, (int)n, &srv) == ARES_SUCCESS);
    CHECK_TEXT(srv->host, "host.example.test");
    CHECK_INT(srv->port, 8080);
    ares_free_data(srv);
    dns_done(&d);
}

TEST(aliases_are_followed_and_their_delays_added)
{
    struct dnsnet d;
    dns_init(&d);
    struct ares_addrttl found[4];
    int count = 4;
    tapsi_sim_dns_answer(d.dns, "www.test", "CNAME", "mid.test", TAPSI_SIM_MS);
    tapsi_sim_dns_answer(d.dns, "mid.test", "CNAME", "end.test", TAPSI_SIM_MS);
    tapsi_sim_dns_answer(d.dns, "end.test", "A", "192.0.2.1", TAPSI_SIM_MS);
    CHECK_INT(ask(&d, "www.test", ns_t_a, 0, RTT + 3 * TAPSI_SIM_MS - 1), -EAGAIN);
    run_for(&d.n, 1);
    ssize_t n = d.n.p->ops->recv(d.n.p, d.fd, d.answer, sizeof d.answer, 0);
    NEED(n > 0);
    CHECK_INT(answers(&d), 3);
    CHECK_INT(ares_parse_a_reply(d.answer, (int)n, NULL, found, &count), ARES_SUCCESS);
    CHECK_INT(count, 1);
    dns_done(&d);
}

TEST(a_loop_of_aliases_ends_in_servfail)
{
    struct dnsnet d;
    dns_init(&d);
    tapsi_sim_dns_answer(d.dns, "a.test", "CNAME", "b.test", 0);
    tapsi_sim_dns_answer(d.dns, "b.test", "CNAME", "a.test", 0);
    CHECK(ask(&d, "a.test", ns_t_a, 0, RTT) > 0);
    CHECK_INT(rcode(&d), TAPSI_SIM_DNS_SERVFAIL);
    dns_done(&d);
}

TEST(unknown_names_and_types_differ)
{
    struct dnsnet d;
    dns_init(&d);
    tapsi_sim_dns_answer(d.dns, "known.test", "A", "192.0.2.1", 0);
    CHECK(ask(&d, "unknown.test", ns_t_a, 0, RTT) > 0);
    CHECK_INT(rcode(&d), TAPSI_SIM_DNS_NXDOMAIN);
    CHECK(ask(&d, "known.test", ns_t_aaaa, 0, RTT) > 0);
    CHECK_INT(rcode(&d), 0);
    CHECK_INT(answers(&d), 0);
    dns_done(&d);
}

TEST(failures_come_as_asked_for)
{
    struct dnsnet d;
    dns_init(&d);
    tapsi_sim_dns_fail(d.dns, "bad.test", "A", TAPSI_SIM_DNS_SERVFAIL, 5 * TAPSI_SIM_MS);
    tapsi_sim_dns_fail(d.dns, "bad.test", "AAAA", TAPSI_SIM_DNS_NEVER, 0);
    tapsi_sim_dns_fail(d.dns, "bad.test", "SRV", TAPSI_SIM_DNS_REFUSED, 0);
    CHECK_INT(ask(&d, "bad.test", ns_t_a, 0, RTT), -EAGAIN);
    run_for(&d.n, 5 * TAPSI_SIM_MS);
    CHECK(d.n.p->ops->recv(d.n.p, d.fd, d.answer, sizeof d.answer, 0) > 0);
    CHECK_INT(rcode(&d), TAPSI_SIM_DNS_SERVFAIL);
    CHECK_INT(ask(&d, "bad.test", ns_t_aaaa, 0, 1000 * TAPSI_SIM_S), -EAGAIN);
    CHECK(ask(&d, "bad.test", ns_t_srv, 0, RTT) > 0);
    CHECK_INT(rcode(&d), TAPSI_SIM_DNS_REFUSED);
    CHECK_INT(tapsi_sim_dns_queries(d.dns, NULL, NULL), 3);
    dns_done(&d);
}

static void add_many(struct tapsi_sim_dns *dns)
{
    for (int i = 1; i <= 64; i++) {
        char text[32];
        snprintf(text, sizeof text, "2001:db8::%x", i);
        tapsi_sim_dns_answer(dns, "many.test", "AAAA", text, 0);
    }
}

TEST(a_long_answer_is_cut_unless_edns_has_room)
{
    struct dnsnet d;
    dns_init(&d);
    add_many(d.dns);
    CHECK(ask(&d, "many.test", ns_t_aaaa, 0, RTT) <= 512);
    CHECK(d.answer[2] & 2);
    CHECK_INT(answers(&d), 0);
    CHECK(ask(&d, "many.test", ns_t_aaaa, 1232, RTT) < 512);
    CHECK(d.answer[2] & 2);
    CHECK(ask(&d, "many.test", ns_t_aaaa, 4096, RTT) > 1700);
    CHECK(!(d.answer[2] & 2));
    CHECK_INT(answers(&d), 64);
    dns_done(&d);
}

TEST(tcp_gives_the_whole_even_in_pieces)
{
    struct dnsnet d;
    dns_init(&d);
    add_many(d.dns);
    unsigned char *query, prefix[2];
    int length;
    int fd = tcp4(d.n.p);
    CHECK_INT(connect_to(d.n.p, fd, "192.0.2.1", 53), -EINPROGRESS);
    run_for(&d.n, RTT);
    CHECK_INT(ares_create_query("many.test", ns_c_in, ns_t_aaaa, 7, 1, &query, &length, 0), ARES_SUCCESS);
    prefix[0] = 0;
    prefix[1] = (unsigned char)length;
    CHECK_INT(d.n.p->ops->send(d.n.p, fd, prefix, 2, 0), 2);
    run_for(&d.n, RTT);
    CHECK_INT(d.n.p->ops->send(d.n.p, fd, query, 5, 0), 5);
    run_for(&d.n, RTT);
    CHECK_INT(d.n.p->ops->recv(d.n.p, fd, d.answer, sizeof d.answer, 0), -EAGAIN);
    CHECK_INT(d.n.p->ops->send(d.n.p, fd, query + 5, (size_t)length - 5, 0), length - 5);
    run_for(&d.n, 2 * RTT);
    ssize_t n = d.n.p->ops->recv(d.n.p, fd, d.answer, sizeof d.answer, 0);
    CHECK_INT(n, 2 + (d.answer[0] << 8 | d.answer[1]));
    CHECK_INT(d.answer[8] << 8 | d.answer[9], 64);
    ares_free_string(query);
    d.n.p->ops->close(d.n.p, fd);
    dns_done(&d);
}

TEST(garbage_gets_format_errors_or_nothing)
{
    static const struct {
        const char *bytes;
        size_t length;
        int answer; /* rcode, -1 = none */
    } rows[] = {{"", 0, -1},
                {"\0\1\1\0\0\1\0\0\0\0\0", 11, -1},                      /* shorter than a header */
                {"\0\1\x81\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, -1},     /* a response */
                {"\0\1\1\0\0\0\0\0\0\0\0\0", 12, TAPSI_SIM_DNS_FORMERR}, /* no question */
                {"\0\1\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1", 19, TAPSI_SIM_DNS_FORMERR},
                {"\0\1\1\0\0\1\0\0\0\0\0\0\x3f"
                 "a",
                 14, TAPSI_SIM_DNS_FORMERR}, /* a label that runs out */
                {"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18, TAPSI_SIM_DNS_FORMERR},
                {"\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1", 17, TAPSI_SIM_DNS_FORMERR}}; /* no class */
    struct dnsnet d;
    dns_init(&d);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_INT(d.n.p->ops->send(d.n.p, d.fd, rows[i].bytes, rows[i].length, 0), rows[i].length);
        run_for(&d.n, RTT);
        ssize_t n = d.n.p->ops->recv(d.n.p, d.fd, d.answer, sizeof d.answer, 0);
        CHECK_INT(n > 0 ? rcode(&d) : -1, rows[i].answer);
    }
    dns_done(&d);
}

TEST(records_that_are_none_are_problems)
{
    static const char *const rows[][2] = {{"A", "2001:db8::1"}, {"AAAA", "192.0.2.1"}, {"A", "x"},
                                          {"SRV", "1 2 host"},  {"CNAME", "a..b"},     {"HTTPS", "1 ."},
                                          {"NONSENSE", "x"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tapsi_sim *sim = tapsi_sim_new(1);
        struct tapsi_sim_dns *dns = tapsi_sim_dns_new(tapsi_sim_host_new(sim, "s"));
        tapsi_sim_dns_answer(dns, "a.test", rows[i][0], rows[i][1], 0);
        CHECK(tapsi_sim_problem(sim) != NULL);
        tapsi_sim_free(sim);
    }
}
