/* The gate of the protocol above: strangers who are not let in leave nothing behind. And who shares a port. */
#include "stack/udp/testnet.h"

#define PORT     4000
#define CHILDREN 4
#define PASSWORD "\x16let me in"

static struct seen children[CHILDREN], strangers[CHILDREN]; /* of the gate; of no class */

/* A gate for this test: who says the password may come in, others are sent `answer`. */
static struct {
    unsigned asked;
    const char *answer;
    size_t length;
} guard;

static bool ask_password(struct tapsi_env *env, const struct tapsi_datagram *d, uint8_t *reply, size_t *reply_length)
{
    CHECK(env != NULL);
    guard.asked++;
    if (d->length >= strlen(PASSWORD) && memcmp(d->data, PASSWORD, strlen(PASSWORD)) == 0)
        return true;
    if (guard.answer) {
        memset(reply, 0, guard.length);
        memcpy(reply, guard.answer, strlen(guard.answer));
        *reply_length = guard.length;
    }
    return false;
}

static const struct tapsi_gate gate = {TAPSI_PORT_DTLS, ask_password};

static struct tapsi_layer *listen_with(struct net *n, struct seen *s, const char *local, const struct tapsi_gate *with)
{
    struct tapsi_error error;
    union tapsi_addr a = addr(local, PORT);
    struct tapsi_target target = {.local = &a, .gate = with};
    struct tapsi_layer *layer;
    *s = (struct seen){.sink = {&seen_ops}, .child = with ? children : strangers, .child_max = CHILDREN};
    if (tapsi_udp_listen(n->env, &target, &s->sink, &layer, &error) < 0)
        return NULL;
    s->layer = layer;
    tapsi_layer_want(layer, 1000);
    return layer;
}

static void answer_with(const char *text)
{
    guard.answer = text;
    guard.length = text ? strlen(text) : 0;
}

static void forget_children(void)
{
    memset(children, 0, sizeof(children));
    memset(strangers, 0, sizeof(strangers));
    for (int i = 0; i < CHILDREN; i++)
        children[i].credit = strangers[i].credit = CREDIT;
}

static void end_children(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        if (children[i].layer)
            seen_destroy(&children[i]);
        if (strangers[i].layer)
            seen_destroy(&strangers[i]);
    }
}

static void setup(struct net *n, struct seen *l, const char *local)
{
    net_sim(n, true);
    forget_children();
    guard.asked = 0;
    answer_with("\x16who?");
    NEED(listen_with(n, l, local, &gate));
}

static void teardown(struct net *n, struct seen *l)
{
    end_children();
    if (l->layer)
        seen_destroy(l);
    net_done(n);
}

static int plain_at(struct net *n, const char *remote)
{
    union tapsi_addr a = addr(remote, PORT);
    int fd = n->peer->ops->socket(n->peer, a.sa.sa_family, SOCK_DGRAM, IPPROTO_UDP);
    CHECK_INT(n->peer->ops->connect(n->peer, fd, &a), 0);
    return fd;
}

static ssize_t say(struct net *n, int fd, const char *text)
{
    ssize_t sent = n->peer->ops->send(n->peer, fd, text, strlen(text), 0);
    run_for(n, RTT + 2 * MS);
    return sent;
}

/* What came back on a connected socket; "" = nothing. */
static const char *hear(struct net *n, int fd)
{
    static char bytes[3000];
    ssize_t count = n->peer->ops->recv(n->peer, fd, bytes, sizeof(bytes) - 1, 0);
    bytes[count > 0 ? count : 0] = '\0';
    return bytes;
}

TEST(who_is_let_in_is_a_peer_and_its_first_datagram_is_there)
{
    static const char *const hosts[] = {"192.0.2.11", "192.0.2.1", "2001:db8::1"};
    struct net n;
    struct seen l;
    setup(&n, &l, "::");
    for (unsigned i = 0; i < 3; i++) {
        int fd = plain_at(&n, hosts[i]); /* which hears nothing but what comes from there */
        say(&n, fd, "\x16hello");
        CHECK_INT(l.children, i);
        CHECK_TEXT(hear(&n, fd), "\x16who?");
        say(&n, fd, PASSWORD);
        CHECK_INT(l.children, i + 1);
        CHECK_TEXT(children[i].last, PASSWORD);
        CHECK_TEXT(hear(&n, fd), "");
        say(&n, fd, "\x16more");
        CHECK_INT(l.children, i + 1);
        CHECK_TEXT(children[i].last, "\x16more");
        CHECK_INT(guard.asked, 2 * (i + 1));
        n.peer->ops->close(n.peer, fd);
    }
    teardown(&n, &l);
}

TEST(a_port_of_one_address_answers_from_it)
{
    struct net n;
    struct seen l;
    setup(&n, &l, "192.0.2.11");
    int fd = plain_at(&n, "192.0.2.11");
    say(&n, fd, "\x16hello");
    CHECK_TEXT(hear(&n, fd), "\x16who?");
    n.peer->ops->close(n.peer, fd);
    teardown(&n, &l);
}

TEST(no_more_is_answered_than_came)
{
    struct net n;
    struct seen l;
    setup(&n, &l, "::");
    int fd = plain_at(&n, "192.0.2.1");
    guard.length = 100;
    say(&n, fd, "\x16hello");
    CHECK_TEXT(hear(&n, fd), "");
    guard.length = 7;
    say(&n, fd, "\x16hello"); /* 6 bytes */
    CHECK_TEXT(hear(&n, fd), "");
    guard.length = 6;
    say(&n, fd, "\x16hello");
    CHECK_TEXT(hear(&n, fd), "\x16who?");
    guard.length = TAPSI_UDP_REPLY_MAX;
    say(&n, fd, "\x16hello");
    CHECK_TEXT(hear(&n, fd), "");
    answer_with(NULL);
    say(&n, fd, "\x16hello");
    CHECK_TEXT(hear(&n, fd), "");
    CHECK_INT(guard.asked, 5);
    CHECK_INT(l.children, 0);
    n.peer->ops->close(n.peer, fd);
    teardown(&n, &l);
}

TEST(nobody_is_asked_where_nobody_may_come)
{
    struct net n;
    struct seen l;
    setup(&n, &l, "::");
    int fd = plain_at(&n, "192.0.2.1");
    tapsi_layer_want(l.layer, 0);
    say(&n, fd, PASSWORD);
    CHECK_INT(guard.asked, 0);
    CHECK_INT(l.children, 0);
    tapsi_layer_want(l.layer, 1);
    say(&n, fd, PASSWORD);
    CHECK_INT(l.children, 1);
    seen_destroy(&l);
    int late = plain_at(&n, "192.0.2.1");
    say(&n, late, PASSWORD);
    CHECK_INT(guard.asked, 1);
    n.peer->ops->close(n.peer, fd);
    n.peer->ops->close(n.peer, late);
    teardown(&n, &l);
}

/* Empty ones, single bytes, long ones, trains: with the gate's class or without. */
TEST(garbage_comes_to_the_gate_and_no_further)
{
    static uint8_t bytes[60000];
    struct net n;
    struct seen l;
    uint64_t dice = 99;
    setup(&n, &l, "::");
    int fd = plain_at(&n, "192.0.2.1");
    for (int i = 0; i < 500; i++) {
        for (size_t k = 0; k < sizeof(bytes); k++) {
            dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[k] = (uint8_t)(dice >> 40);
        }
        int segment = i % 3 ? 1 + (int)(dice >> 50) % 1400 : 0;
        size_t length = i % 7 == 0 ? 0 : (size_t)(dice >> 20) % (segment ? 40 * (size_t)segment : 1472);
        CHECK_INT(n.peer->ops->setsockopt(n.peer, fd, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &segment, sizeof(segment)),
                  0);
        CHECK_INT(n.peer->ops->send(n.peer, fd, bytes, length, 0), (ssize_t)length);
        run_for(&n, RTT);
    }
    CHECK(guard.asked > 500);
    CHECK_INT(l.children, 0);
    n.peer->ops->close(n.peer, fd);
    teardown(&n, &l);
}

/* Each from an address of its own. Nothing is kept of those that the gate sends away. */
static void flood(struct net *n, unsigned count)
{
    union tapsi_addr to = addr("192.0.2.1", PORT), from = addr("10.0.0.0", 5);
    for (unsigned i = 0; i < count; i++) {
        from.in.sin_addr.s_addr = htonl(0x0a000000 + i);
        tapsi_sim_udp_forge(n->client, &from, &to, "\x16hello", 6);
        if (i % 500 == 499)
            run_for(n, DELAY + MS);
    }
}

TEST(seventy_thousand_sources_leave_nothing_behind)
{
    struct net n;
    struct seen l;
    setup(&n, &l, "::");
    answer_with(NULL); /* what is sent to nobody costs the simulator time */
    run_for(&n, MS);
    size_t before = heap.out;
    flood(&n, 70000);
    CHECK_INT(guard.asked, 70000);
    CHECK_INT(l.children, 0);
    CHECK(heap.out <= before + 2); /* a read buffer, and its spare */
    int fd = plain_at(&n, "192.0.2.1");
    say(&n, fd, PASSWORD);
    CHECK_INT(l.children, 1);
    n.peer->ops->close(n.peer, fd);
    teardown(&n, &l);
}

TEST(without_a_gate_credit_bounds_seventy_thousand_sources)
{
    struct net n;
    struct seen l;
    net_sim(&n, true);
    forget_children();
    NEED(listen_with(&n, &l, "::", NULL));
    tapsi_layer_want(l.layer, 2000); /* all but four are refused by the test */
    flood(&n, 70000);
    CHECK_INT(l.children, 2000);
    teardown(&n, &l);
}

/* -------------------------------------------------------------------------------------------------------- sharing */

struct taker {
    struct tapsi_port_user user;
    unsigned datagrams;
};

static void count_packet(struct tapsi_port_user *user, const struct tapsi_datagram *train)
{
    struct tapsi_datagram d;
    for (size_t at = 0; tapsi_port_piece(train, &at, &d);)
        TAPSI_CONTAINER(user, struct taker, user)->datagrams++;
}

static const struct tapsi_port_user_ops taker_ops = {.packet = count_packet};

TEST(listeners_of_one_port_have_each_their_datagrams)
{
    struct net n;
    struct seen dtls, other;
    struct taker quic = {.user = {.ops = &taker_ops}};
    struct tapsi_error error;
    union tapsi_addr local = addr("::", PORT);
    struct tapsi_target target = {.local = &local};
    setup(&n, &dtls, "::");
    NEED(listen_with(&n, &other, "::", NULL));
    CHECK(!listen_with(&n, &(struct seen){0}, "::", NULL));
    CHECK(!listen_with(&n, &(struct seen){0}, "::", &gate));
    CHECK_INT(tapsi_port_listen(n.env, &target, TAPSI_PORT_QUIC, &quic.user, &error), 0);
    CHECK_INT(tapsi_sim_host_sockets(n.server), 1);
    int fd = plain_at(&n, "192.0.2.1");
    say(&n, fd, PASSWORD);
    say(&n, fd, "\xc3quic");
    say(&n, fd, "@quic");
    say(&n, fd, "\x80other");
    say(&n, fd, "");
    CHECK_INT(dtls.children, 1);
    CHECK_INT(other.children, 1);
    CHECK_INT(quic.datagrams, 2);
    CHECK_INT(children[0].data, 1);
    CHECK_INT(strangers[0].data, 2); /* the empty one too */
    CHECK_TEXT(text_of(children[0].path.remote), text_of(strangers[0].path.remote));
    seen_destroy(&dtls);
    say(&n, fd, "\x80other");
    tapsi_port_leave(&quic.user);
    say(&n, fd, "\xc3quic is other now");
    CHECK_TEXT(strangers[0].last, "\xc3quic is other now");
    n.peer->ops->close(n.peer, fd);
    if (other.layer)
        seen_destroy(&other);
    teardown(&n, &dtls);
}

/* Both write: DF is on for one and not for the other. */
TEST(one_that_fragments_shares_with_one_that_must_not)
{
    static char large[4000];
    struct net n;
    struct seen l;
    struct taker quic = {.user = {.ops = &taker_ops}};
    struct tapsi_error error;
    union tapsi_addr local = addr("::", PORT);
    struct tapsi_target target = {.local = &local};
    setup(&n, &l, "::");
    CHECK_INT(tapsi_port_listen(n.env, &target, TAPSI_PORT_QUIC, &quic.user, &error), 0);
    int fd = plain_at(&n, "192.0.2.1");
    say(&n, fd, PASSWORD);
    struct tapsi_port_way way = {.to = children[0].path.remote};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(tapsi_port_write(quic.user.port, &way, large, sizeof(large), 0), -EMSGSIZE);
        CHECK(send_bytes(&n, children[0].layer, large, sizeof(large), 0));
        run_for(&n, RTT);
        CHECK_INT(n.peer->ops->recv(n.peer, fd, large, sizeof(large), 0), sizeof(large));
    }
    tapsi_port_leave(&quic.user);
    n.peer->ops->close(n.peer, fd);
    teardown(&n, &l);
}

/* ------------------------------------------------------------------------------------------------------- failures */

static void one_run(struct net *n)
{
    struct seen l, other;
    forget_children();
    answer_with("\x16who?");
    if (!listen_with(n, &l, "::", &gate))
        return;
    bool both = listen_with(n, &other, "::", NULL) != NULL;
    int fd = plain_at(n, "192.0.2.1");
    say(n, fd, "\x16hello");
    say(n, fd, PASSWORD);
    say(n, fd, "\x80other");
    n->peer->ops->close(n->peer, fd);
    end_children();
    seen_destroy(&l);
    if (both)
        seen_destroy(&other);
}

TEST(every_call_may_fail)
{
    static const int errors[] = {ENOBUFS, EPERM, EAGAIN, EINVAL, EMSGSIZE, EHOSTUNREACH, 0};
    for (size_t e = 0; e < sizeof(errors) / sizeof(*errors); e++) {
        for (uint64_t nth = 1; nth < 40; nth++) {
            struct net n;
            net_sim(&n, true);
            tapsi_sim_host_fail_call(n.server, nth, errors[e]);
            one_run(&n);
            net_done(&n);
        }
    }
}

TEST(every_allocation_may_fail)
{
    for (size_t nth = 1; nth < 40; nth++) {
        struct net n;
        net_sim(&n, true);
        heap.fail_at = heap.calls + nth;
        one_run(&n);
        heap.fail_at = 0;
        net_done(&n);
    }
}
