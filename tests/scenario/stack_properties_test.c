/*
 * Connection Properties (RFC 9622, 8.1) on each of the stacks: those that no stack has a use for are kept and read, and
 * hurt nobody; the others act, from the start and when they are changed.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "stacks.h"

static size_t row_count(void)
{
    return tapsi_test_sweeping() ? 1 : STACKS;
}

struct test {
    struct world w;
    struct peer p;
};

static void finish(struct test *t)
{
    peer_done(&t->p);
    world_finish(&t->w);
}

static void open_it(struct test *t)
{
    world_initiate(&t->w, STACKS_NAME ":443", 5000);
    world_run_until_ready(&t->w);
    CHECK_INT(t->w.heard.ready, 1);
}

static bool says(const struct test *t, const char *property, const char *expected)
{
    char text[64] = "";
    int length = t->w.connection ? taps_connection_get_property(t->w.connection, property, text, sizeof(text)) : 0;
    if (length > 0 && strcmp(text, expected) != 0)
        tapsi_test_fail(__FILE__, __LINE__, "%s is %s, not %s", property, text, expected);
    return length > 0;
}

static void say(struct test *t, const char *text)
{
    size_t before = t->p.length;
    if (t->w.connection)
        CHECK_INT(taps_connection_send(t->w.connection, text, strlen(text), NULL, 0, NULL), 0);
    world_run_ms(&t->w, 500);
    CHECK_INT(t->p.length - before, strlen(text));
}

/* proves API-080: how much of a Message its checksum has to cover. No stack here covers less than all. */
TEST(a_checksum_covers_all)
{
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        stacks_begin(&t.w, &t.p, &stacks_rows[i], NULL, NULL);
        open_it(&t);
        CHECK(says(&t, "recvChecksumLen", "full"));
        CHECK_INT(taps_connection_set_property(t.w.connection, "recvChecksumLen", "8"), 0);
        CHECK(says(&t, "recvChecksumLen", "8"));
        say(&t, "covered all the same");
        CHECK_INT(taps_connection_set_property(t.w.connection, "recvChecksumLen", "some"), TAPS_E_RANGE);
        finish(&t);
        stacks_begin(&t.w, &t.p, &stacks_rows[i], "recvChecksumLen", "100");
        open_it(&t);
        CHECK(says(&t, "recvChecksumLen", "100"));
        say(&t, "and so is this");
        finish(&t);
    }
}

/* ------------------------------------------------------------------------------------------------------ DSCP */

#define SOCKETS 64

/* What packets carry, as the platforms see it: by what the socket is set to, or said with each. */
static struct {
    const struct tapsi_platform_ops *real;
    struct tapsi_platform_ops ours;
    struct tapsi_platform *client;
    int socket[SOCKETS];
    int last[2]; /* of the client, of the server; -1: nothing was sent */
} seen;

static void look(const struct tapsi_platform *p, int fd, const struct msghdr *m)
{
    int tos = seen.socket[fd % SOCKETS];
    for (struct cmsghdr *c = m ? CMSG_FIRSTHDR(m) : NULL; c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            memcpy(&tos, CMSG_DATA(c), sizeof(tos));
    }
    seen.last[p != seen.client] = tos >> 2;
}

static int on_socket(struct tapsi_platform *p, int family, int type, int protocol)
{
    int fd = seen.real->socket(p, family, type, protocol);
    if (fd >= 0)
        seen.socket[fd % SOCKETS] = 0;
    return fd;
}

static int on_accept(struct tapsi_platform *p, int fd, union tapsi_addr *ret_peer)
{
    int made = seen.real->accept(p, fd, ret_peer);
    if (made >= 0)
        seen.socket[made % SOCKETS] = 0;
    return made;
}

static int on_setsockopt(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    int err = seen.real->setsockopt(p, fd, level, option, value, length);
    if (!err && level == IPPROTO_IP && option == IP_TOS)
        memcpy(&seen.socket[fd % SOCKETS], value, sizeof(int));
    return err;
}

static ssize_t on_send(struct tapsi_platform *p, int fd, const void *data, size_t length, int flags)
{
    look(p, fd, NULL);
    return seen.real->send(p, fd, data, length, flags);
}

static ssize_t on_sendmsg(struct tapsi_platform *p, int fd, const struct msghdr *m, int flags)
{
    look(p, fd, m);
    return seen.real->sendmsg(p, fd, m, flags);
}

static int on_sendmmsg(struct tapsi_platform *p, int fd, struct mmsghdr *m, unsigned count, int flags)
{
    look(p, fd, &m[count - 1].msg_hdr);
    return seen.real->sendmmsg(p, fd, m, count, flags);
}

/* From now on, so that sockets that are there already count as default. */
static void look_at_calls(struct test *t)
{
    struct tapsi_platform *client = t->w.context->loop.platform, *server = t->p.context->loop.platform;
    memset(&seen, 0, sizeof(seen));
    seen.client = client;
    seen.real = client->ops;
    seen.ours = *client->ops;
    seen.ours.socket = on_socket;
    seen.ours.accept = on_accept;
    seen.ours.setsockopt = on_setsockopt;
    seen.ours.send = on_send;
    seen.ours.sendmsg = on_sendmsg;
    seen.ours.sendmmsg = on_sendmmsg;
    client->ops = server->ops = &seen.ours;
}

static void check_dscp(struct test *t, int client, int server)
{
    seen.last[0] = seen.last[1] = -1;
    say(t, "and back");
    CHECK_INT(seen.last[0], client);
    if (server >= 0)
        CHECK_INT(seen.last[1], server);
}

/* proves API-085: both ends mark what they send, from the start, and as it is changed. */
TEST(packets_carry_the_dscp_of_the_profile)
{
    static const struct {
        const char *profile;
        int dscp;
    } profiles[] = {{"scavenger", 1},
                    {"low latency interactive", 34},
                    {"low latency non-interactive", 18},
                    {"constant-rate streaming", 26},
                    {"capacity-seeking", 10},
                    {"default", 0}};
    if (tapsi_test_sweeping())
        return; /* the calls are looked at, and not to fail */
    for (size_t i = 0; i < STACKS; i++) {
        struct test t;
        stacks_begin(&t.w, &t.p, &stacks_rows[i], "connCapacityProfile", "capacity-seeking");
        t.p.echo = true;
        look_at_calls(&t);
        open_it(&t);
        check_dscp(&t, 10, stacks_rows[i].datagrams || i == 4 ? 10 : -1);
        for (int k = 0; k < 6; k++) {
            CHECK_INT(taps_connection_set_property(t.w.connection, "connCapacityProfile", profiles[k].profile), 0);
            CHECK(says(&t, "connCapacityProfile", profiles[k].profile));
            check_dscp(&t, profiles[k].dscp, -1);
        }
        if (t.p.last)
            CHECK_INT(taps_connection_set_property(t.p.last, "connCapacityProfile", "scavenger"), 0);
        check_dscp(&t, 0, 1);
        CHECK_INT(taps_connection_set_property(t.w.connection, "connCapacityProfile", "best"), TAPS_E_RANGE);
        finish(&t);
    }
}

/* --------------------------------------------------------------------------------------------------- the others */

/* proves API-081, API-082, API-083, API-084, API-088, API-089: what is set is read, before and while it lives. */
TEST(each_stack_keeps_what_it_is_told)
{
    static const struct {
        const char *property, *first, *then;
    } settings[] = {{"connPriority", "7", "9"},
                    {"connTimeout", "70", "80"},
                    {"keepAliveTimeout", "20", "30"},
                    {"connScheduler", "round-robin", "first-come first-served"},
                    {"groupConnLimit", "5", "6"},
                    {"isolateSession", "true", "false"},
                    {"minSendRate", "1000", "2000"},
                    {"minRecvRate", "1000", "2000"},
                    {"multipathPolicy", "interactive", "aggregate"}};
    for (size_t i = 0; i < row_count(); i++) {
        for (size_t k = 0; k < (tapsi_test_sweeping() ? 1 : sizeof(settings) / sizeof(settings[0])); k++) {
            struct test t;
            stacks_begin(&t.w, &t.p, &stacks_rows[i], settings[k].property, settings[k].first);
            open_it(&t);
            CHECK(says(&t, settings[k].property, settings[k].first));
            CHECK_INT(taps_connection_set_property(t.w.connection, settings[k].property, settings[k].then), 0);
            CHECK(says(&t, settings[k].property, settings[k].then));
            say(&t, "still there");
            finish(&t);
        }
    }
}

/* proves API-090, API-091 */
TEST(each_stack_tells_its_state)
{
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        stacks_begin(&t.w, &t.p, &stacks_rows[i], NULL, NULL);
        world_initiate(&t.w, STACKS_NAME ":443", 5000);
        CHECK(says(&t, "connState", "establishing"));
        world_run_until_ready(&t.w);
        CHECK(says(&t, "connState", "established"));
        CHECK(says(&t, "canSend", "true"));
        CHECK(says(&t, "canReceive", "true"));
        CHECK_INT(taps_connection_set_property(t.w.connection, "connState", "closed"), TAPS_E_READ_ONLY);
        taps_connection_close(t.w.connection);
        CHECK(says(&t, "canSend", "false"));
        CHECK(says(&t, "canReceive", "false"));
        world_run_until_end(&t.w);
        CHECK(says(&t, "connState", "closed"));
        finish(&t);
    }
}

/* proves API-092, API-093: a datagram has a bound, which it keeps; a stream has none. */
TEST(each_stack_tells_how_long_a_message_may_be)
{
    static char bytes[70000];
    for (size_t i = 0; i < row_count(); i++) {
        struct test t;
        struct taps_value most = {.integer = 0}, single = {.integer = 0};
        stacks_begin(&t.w, &t.p, &stacks_rows[i], NULL, NULL);
        open_it(&t);
        NEED(t.w.connection != NULL);
        CHECK_INT(taps_connection_get_value(t.w.connection, TAPS_SEND_MSG_MAX_LEN, &most), 0);
        CHECK_INT(taps_connection_get_value(t.w.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN, &single), 0);
        if (stacks_rows[i].datagrams) {
            CHECK(most.integer >= 1000 && most.integer < sizeof(bytes));
            CHECK(single.integer >= 1000 && single.integer <= 1500);
            taps_connection_send(t.w.connection, bytes, most.integer + 1, NULL, 0, NULL);
            taps_connection_send(t.w.connection, bytes, single.integer, NULL, 0, NULL);
            world_run_ms(&t.w, 500);
            CHECK_INT(t.w.heard.send_error, 1);
            CHECK_INT(t.w.heard.send_error_code, TAPS_E_MESSAGE_TOO_LARGE);
            CHECK_INT(t.p.length, single.integer);
        } else {
            CHECK(most.integer == TAPS_INFINITE);
        }
        finish(&t);
    }
}
