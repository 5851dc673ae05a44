/* What a DNS server of the simulated world can do wrong: each lie is on the wire as it is described. */
#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include "platform/sim/testnet.h"

#define ID 0x1234

struct liar {
    struct net n;
    struct tapsi_sim_dns *dns;
    int fd;           /* connected to the server: the kernel filters */
    int open;         /* not connected: everybody may write to it */
    uint8_t a[65536]; /* the last answer */
    ssize_t length;
    union tapsi_addr from;
};

static struct liar *liar_new(unsigned lie, unsigned times)
{
    struct liar *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    net_init(&l->n);
    l->dns = tapsi_sim_dns_new(l->n.server);
    tapsi_sim_dns_answer(l->dns, "true.test", "A", "192.0.2.1", 5 * TAPSI_SIM_MS);
    tapsi_sim_dns_answer(l->dns, "true.test", "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_lie(l->dns, "true.test", NULL, lie, times);
    l->fd = udp4(l->n.p);
    l->open = udp4(l->n.p);
    CHECK_INT(connect_to(l->n.p, l->fd, "192.0.2.1", 53), 0);
    return l;
}

static void liar_free(struct liar *l)
{
    l->n.p->ops->close(l->n.p, l->fd);
    l->n.p->ops->close(l->n.p, l->open);
    net_done(&l->n);
    free(l);
}

static void receive(struct liar *l, int fd)
{
    struct iovec iov = {l->a, sizeof l->a};
    struct msghdr m = {.msg_name = &l->from, .msg_namelen = sizeof l->from, .msg_iov = &iov, .msg_iovlen = 1};
    memset(l->a, 0, 512);
    l->length = l->n.p->ops->recvmsg(l->n.p, fd, &m, 0);
}

/* The first answer over UDP to a query for true.test, or a negative errno. */
static ssize_t ask(struct liar *l, int fd, int type, int edns)
{
    unsigned char *query;
    union tapsi_addr server = addr("192.0.2.1", 53);
    int length;
    CHECK_INT(ares_create_query("true.test", ns_c_in, type, ID, 1, &query, &length, edns), ARES_SUCCESS);
    struct iovec iov = {query, (size_t)length};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd == l->open) {
        m.msg_name = &server;
        m.msg_namelen = sizeof server.in;
    }
    CHECK_INT(l->n.p->ops->sendmsg(l->n.p, fd, &m, 0), length);
    ares_free_string(query);
    run_for(&l->n, RTT + 10 * TAPSI_SIM_MS);
    receive(l, fd);
    return l->length;
}

/* The same over TCP; the answer without its prefix, or what the connection says. */
static ssize_t ask_tcp(struct liar *l, int type)
{
    unsigned char *query;
    int length, fd = tcp4(l->n.p);
    CHECK_INT(ares_create_query("true.test", ns_c_in, type, ID, 1, &query, &length, 0), ARES_SUCCESS);
    uint8_t prefix[2] = {0, (uint8_t)length};
    CHECK_INT(connect_to(l->n.p, fd, "192.0.2.1", 53), -EINPROGRESS);
    run_for(&l->n, RTT);
    int error = so_error(l->n.p, fd);
    if (!error && l->n.p->ops->send(l->n.p, fd, prefix, 2, 0) == 2)
        l->n.p->ops->send(l->n.p, fd, query, (size_t)length, 0);
    ares_free_string(query);
    run_for(&l->n, 4 * RTT);
    l->length = error ? -error : l->n.p->ops->recv(l->n.p, fd, l->a, sizeof l->a, 0);
    if (l->length >= 2) {
        l->length -= 2;
        memmove(l->a, l->a + 2, (size_t)l->length);
    }
    l->n.p->ops->close(l->n.p, fd);
    return l->length;
}

static int id(const struct liar *l)
{
    return l->a[0] << 8 | l->a[1];
}

static int answers(const struct liar *l)
{
    return l->a[6] << 8 | l->a[7];
}

static bool truncated(const struct liar *l)
{
    return l->a[2] & 2;
}

/* Does the answer have these four bytes in it? */
static bool names(const struct liar *l, const char *address)
{
    union tapsi_addr wanted = addr(address, 0);
    for (ssize_t i = 0; i + 4 <= l->length; i++) {
        if (memcmp(l->a + i, &wanted.in.sin_addr, 4) == 0)
            return true;
    }
    return false;
}

/* What c-ares makes of it: addresses, or a negative status. */
static int parse(const struct liar *l)
{
    struct ares_addrttl found[16];
    int count = 16, status = ares_parse_a_reply(l->a, (int)l->length, NULL, found, &count);
    return status == ARES_SUCCESS ? count : -status;
}

TEST(an_honest_server_tells_the_truth_at_its_time)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_HONEST, 0);
    CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
    CHECK_INT(parse(l), 1);
    CHECK(names(l, "192.0.2.1") && !names(l, TAPSI_SIM_DNS_LIAR4));
    liar_free(l);
}

TEST(a_truncated_answer_is_whole_over_tcp)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_TRUNCATED, 0);
    CHECK(ask(l, l->fd, ns_t_a, 4096) > 0);
    CHECK(truncated(l));
    CHECK_INT(answers(l), 0);
    CHECK(ask_tcp(l, ns_t_a) > 0);
    CHECK(!truncated(l));
    CHECK(names(l, "192.0.2.1"));
    liar_free(l);
}

TEST(tcp_can_be_refused_silent_mute_short_or_over)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_HONEST, 0);
    tapsi_sim_dns_tcp(l->dns, TAPSI_SIM_DNS_TCP_REFUSED);
    CHECK_INT(ask_tcp(l, ns_t_a), -ECONNREFUSED);
    CHECK_INT(tapsi_sim_dns_queries(l->dns, NULL, NULL), 0);
    tapsi_sim_dns_tcp(l->dns, TAPSI_SIM_DNS_TCP_SILENT);
    CHECK_INT(ask_tcp(l, ns_t_a), -EAGAIN); /* still connecting */
    CHECK_INT(tapsi_sim_dns_queries(l->dns, NULL, NULL), 0);
    tapsi_sim_dns_tcp(l->dns, TAPSI_SIM_DNS_TCP_MUTE);
    CHECK_INT(ask_tcp(l, ns_t_a), -EAGAIN);
    CHECK_INT(tapsi_sim_dns_queries(l->dns, NULL, NULL), 1);
    tapsi_sim_dns_tcp(l->dns, TAPSI_SIM_DNS_TCP_CLOSES);
    CHECK_INT(ask_tcp(l, ns_t_a), 0);
    tapsi_sim_dns_tcp(l->dns, TAPSI_SIM_DNS_TCP_HALF);
    CHECK_INT(ask_tcp(l, ns_t_a), (12 + 15 + 16) / 2);
    tapsi_sim_dns_tcp(l->dns, TAPSI_SIM_DNS_TCP_FINE);
    CHECK_INT(ask_tcp(l, ns_t_a), 12 + 15 + 16);
    tapsi_sim_dns_tcp(NULL, TAPSI_SIM_DNS_TCP_FINE);
    liar_free(l);
}

TEST(answers_to_other_questions_are_right_but_for_that)
{
    static const unsigned lies[] = {TAPSI_SIM_DNS_WRONG_ID, TAPSI_SIM_DNS_WRONG_NAME, TAPSI_SIM_DNS_WRONG_TYPE,
                                    TAPSI_SIM_DNS_NO_QUESTION, TAPSI_SIM_DNS_NO_ANSWER};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct liar *l = liar_new(lies[i], 0);
        CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
        char name[256] = {0};
        for (size_t k = 0; k < 9; k++)
            name[k] = (char)(l->a[13 + k] < 32 ? '.' : l->a[13 + k]);
        bool question = lies[i] != TAPSI_SIM_DNS_NO_QUESTION;
        CHECK_INT(id(l) != ID, lies[i] == TAPSI_SIM_DNS_WRONG_ID);
        CHECK_INT(l->a[5], question);
        CHECK_INT(strcmp(name, "true.test") != 0, lies[i] == TAPSI_SIM_DNS_WRONG_NAME);
        if (question)
            CHECK_INT(l->a[24] != ns_t_a, lies[i] == TAPSI_SIM_DNS_WRONG_TYPE);
        CHECK_INT(!(l->a[2] & 0x80), lies[i] == TAPSI_SIM_DNS_NO_ANSWER);
        CHECK_INT(answers(l), 1);
        CHECK(names(l, TAPSI_SIM_DNS_LIAR4) && !names(l, "192.0.2.1"));
        liar_free(l);
    }
}

TEST(answers_of_others_reach_only_sockets_that_take_any)
{
    static const unsigned lies[] = {TAPSI_SIM_DNS_OTHER_ADDRESS, TAPSI_SIM_DNS_OTHER_PORT};
    for (size_t i = 0; i < 2; i++) {
        struct liar *l = liar_new(lies[i], 0);
        char text[TAPSI_ADDR_TEXT];
        CHECK_INT(ask(l, l->fd, ns_t_a, 0), -EAGAIN);
        CHECK(ask(l, l->open, ns_t_a, 0) > 0);
        CHECK_TEXT(tapsi_addr_text(&l->from, text), i ? "192.0.2.1:54" : TAPSI_SIM_DNS_LIAR4 ":53");
        CHECK(names(l, TAPSI_SIM_DNS_LIAR4));
        CHECK(ask_tcp(l, ns_t_a) > 0); /* where it is no lie at all */
        CHECK(names(l, "192.0.2.1"));
        liar_free(l);
    }
}

TEST(foreign_records_come_instead_of_true_ones_or_behind_them)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_FOREIGN, 0);
    CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
    CHECK_INT(answers(l), 1);
    CHECK(names(l, TAPSI_SIM_DNS_LIAR4) && !names(l, "192.0.2.1"));
    tapsi_sim_dns_lie(l->dns, "true.test", NULL, TAPSI_SIM_DNS_FOREIGN_TOO, 0);
    CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
    CHECK_INT(answers(l), 2);
    CHECK(names(l, TAPSI_SIM_DNS_LIAR4) && names(l, "192.0.2.1"));
    liar_free(l);
}

TEST(loops_garbage_and_cut_answers_do_not_parse_to_addresses)
{
    static const unsigned lies[] = {TAPSI_SIM_DNS_LOOP, TAPSI_SIM_DNS_POINTER_LOOP, TAPSI_SIM_DNS_CUT,
                                    TAPSI_SIM_DNS_GARBAGE};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct liar *l = liar_new(lies[i], 0);
        for (int k = 0; k < 20; k++) {
            CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
            CHECK_INT(id(l), ID);
            CHECK(parse(l) <= 0);
        }
        liar_free(l);
    }
}

TEST(an_empty_answer_is_a_datagram_or_a_message_of_nothing)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_NOTHING, 0);
    CHECK_INT(ask(l, l->fd, ns_t_a, 0), 0);
    CHECK_INT(ask_tcp(l, ns_t_a), 0);
    receive(l, l->fd);
    CHECK_INT(l->length, -EAGAIN); /* nothing follows */
    liar_free(l);
}

TEST(hugely_many_addresses_need_tcp)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_MANY, 0);
    CHECK(ask(l, l->fd, ns_t_a, 4096) > 0);
    CHECK(truncated(l));
    CHECK(ask_tcp(l, ns_t_a) > 30000);
    CHECK_INT(answers(l), 2000);
    CHECK(ask_tcp(l, ns_t_aaaa) > 50000);
    CHECK_INT(answers(l), 2000);
    CHECK(ask_tcp(l, ns_t_mx) > 0); /* no addresses for a question that wants none */
    CHECK_INT(answers(l), 0);
    liar_free(l);
}

TEST(the_truth_may_come_right_behind)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_WRONG_ID | TAPSI_SIM_DNS_THEN_TRUTH, 0);
    CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
    CHECK(names(l, TAPSI_SIM_DNS_LIAR4) && id(l) != ID);
    receive(l, l->fd);
    CHECK(names(l, "192.0.2.1") && id(l) == ID);
    receive(l, l->fd);
    CHECK_INT(l->length, -EAGAIN);
    CHECK(ask_tcp(l, ns_t_a) > 60); /* both in one stream */
    liar_free(l);
}

TEST(a_lie_is_told_so_often_to_whom_it_is_for)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_HONEST, 0);
    tapsi_sim_dns_lie(l->dns, NULL, "A", TAPSI_SIM_DNS_FOREIGN, 2);
    tapsi_sim_dns_lie(l->dns, "other.test", NULL, TAPSI_SIM_DNS_GARBAGE, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(ask(l, l->fd, ns_t_aaaa, 0) > 0);
        CHECK(!names(l, TAPSI_SIM_DNS_LIAR4));
        CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
        CHECK_INT(names(l, TAPSI_SIM_DNS_LIAR4), i < 2);
    }
    tapsi_sim_dns_lie(l->dns, "true.test", "A", TAPSI_SIM_DNS_FOREIGN, 0);
    tapsi_sim_dns_lie(l->dns, "true.test", "A", TAPSI_SIM_DNS_HONEST, 0);
    tapsi_sim_dns_lie(l->dns, "true.test", "A", TAPSI_SIM_DNS_HONEST, 0); /* twice is harmless */
    tapsi_sim_dns_lie(NULL, "true.test", "A", TAPSI_SIM_DNS_FOREIGN, 0);
    CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
    CHECK(!names(l, TAPSI_SIM_DNS_LIAR4));
    liar_free(l);
}

TEST(a_name_without_answer_can_still_be_lied_about)
{
    struct liar *l = liar_new(TAPSI_SIM_DNS_WRONG_ID, 1);
    tapsi_sim_dns_fail(l->dns, "true.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    CHECK(ask(l, l->fd, ns_t_a, 0) > 0);
    CHECK_INT(ask(l, l->fd, ns_t_a, 0), -EAGAIN);
    liar_free(l);
}

TEST(lifetimes_of_nothing_and_of_an_age_are_told)
{
    static const uint32_t ttls[] = {0, UINT32_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct liar *l = liar_new(TAPSI_SIM_DNS_HONEST, 0);
        tapsi_sim_dns_ttl(l->dns, ttls[i]);
        CHECK(ask(l, l->fd, ns_t_a, 0) == 12 + 15 + 16);
        uint32_t ttl = 0;
        for (int k = 0; k < 4; k++)
            ttl = ttl << 8 | l->a[12 + 15 + 6 + k];
        CHECK_INT(ttl, ttls[i]);
        liar_free(l);
    }
}
