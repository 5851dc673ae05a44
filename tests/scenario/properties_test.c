/* What each Message Property does to a Message, and which contradict the Connection (RFC 9622, 9.1.3). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "peer.h"

#define V4 "192.0.2.1:80"

static char block[300000];

static struct tapsi_sim_service *connect_to(struct world *w, enum tapsi_sim_behaviour behaviour)
{
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, behaviour);
    world_initiate(w, V4, 0);
    w->keep_reading = true;
    if (w->connection)
        taps_connection_receive(w->connection, 1, 65536, NULL);
    return s;
}

static void connect_by_datagrams(struct world *w)
{
    world_new(w);
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
    tapsi_sim_udp_echo(w->server, 80);
    world_initiate(w, V4, 0);
    w->keep_reading = true;
    if (w->connection)
        taps_connection_receive(w->connection, 1, 65536, NULL);
}

/* One property of this Message alone; or NULL. */
static int send_with(struct world *w, size_t length, const char *text, const char *name, const char *value,
                     unsigned flags)
{
    taps_message_context *context = NULL;
    if (name) {
        taps_message_context_new(&context);
        CHECK_INT(taps_message_context_set(context, name, value), 0);
    }
    int err = taps_connection_send(w->connection, text ? text : block, text ? strlen(text) : length, context, flags,
                                   (void *)7);
    taps_message_context_free(context); /* it was taken by value */
    return err;
}

static int say(struct world *w, const char *text, const char *name, const char *value)
{
    return send_with(w, 0, text, name, value, 0);
}

static int say_part(struct world *w, const char *text, const char *name, const char *value)
{
    return send_with(w, 0, text, name, value, TAPS_SEND_PARTIAL);
}

/* Something that fills the stack and the kernel, so that what follows waits in the Connection. */
static void fill(struct world *w)
{
    world_run_until_ready(w);
    CHECK_INT(taps_connection_send(w->connection, block, sizeof(block), NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_send(w->connection, block, sizeof(block), NULL, 0, NULL), 0);
    world_run_ms(w, 100);
}

static void give_up(struct world *w)
{
    taps_connection_abort(w->connection);
    world_run_until_end(w);
    world_finish(w);
}

static void check_text(struct world *w, const char *text)
{
    world_run_ms(w, 500);
    CHECK_INT(w->heard.length, strlen(text));
    CHECK(strncmp(w->heard.data, text, strlen(text)) == 0);
}

/* ---------------------------------------------------------------------------------------------------- lifetime */

/* proves API-100, API-111 */
TEST(a_message_still_queued_after_its_lifetime_expires)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_STALL);
    fill(&w);
    CHECK_INT(say(&w, "brief", "msgLifetime", "0.2"), 0);
    CHECK_INT(say(&w, "long", "msgLifetime", "20"), 0);
    CHECK_INT(say(&w, "for ever", "msgLifetime", "infinite"), 0);
    world_run_ms(&w, 150);
    CHECK_INT(w.heard.expired, 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.expired, 1);
    CHECK(w.heard.last_tag == (void *)7);
    world_run_ms(&w, 20000);
    CHECK_INT(w.heard.expired, 2);
    give_up(&w);
}

/* proves API-100, API-110: the default of the Connection, and one Message that says otherwise. */
TEST(a_lifetime_can_be_the_connections)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_STALL);
    fill(&w);
    CHECK_INT(taps_connection_set_property(w.connection, "msgLifetime", "0.1"), 0);
    CHECK_INT(say(&w, "brief", NULL, NULL), 0);
    CHECK_INT(say(&w, "long", "msgLifetime", "infinite"), 0);
    CHECK_INT(say(&w, "other", "msgPriority", "3"), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "msgLifetime", "infinite"), 0);
    CHECK_INT(say(&w, "late", NULL, NULL), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.expired, 2);
    give_up(&w);
}

/* proves API-100: what has begun to go is not taken back, and nothing that was in time expires. */
TEST(a_message_that_has_gone_does_not_expire)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say(&w, "in time", "msgLifetime", "0.5"), 0);
    world_run_ms(&w, 2000);
    CHECK_INT(w.heard.expired, 0);
    CHECK_INT(w.heard.sent, 1);
    check_text(&w, "in time");
    world_finish(&w);
}

/* proves API-100, API-112: a Message does not expire by halves. */
TEST(all_parts_of_a_message_expire_together)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_STALL);
    fill(&w);
    CHECK_INT(say_part(&w, "one", "msgLifetime", "0.1"), 0);
    CHECK_INT(say_part(&w, "two", "msgLifetime", "50"), 0);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.expired, 2);
    CHECK_INT(say_part(&w, "three", NULL, NULL), 0);
    CHECK_INT(say(&w, "four", NULL, NULL), 0);
    world_run_ms(&w, 10);
    CHECK_INT(w.heard.expired, 4);
    CHECK_INT(say(&w, "another", NULL, NULL), 0);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.expired, 4);
    (void)s;
    give_up(&w);
}

/* proves API-100, API-112 */
TEST(a_message_whose_first_part_has_gone_is_finished)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say_part(&w, "one,", "msgLifetime", "0.1"), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(say_part(&w, "two,", "msgLifetime", "0.000001"), 0);
    CHECK_INT(say(&w, "three", "msgLifetime", "0.000001"), 0);
    check_text(&w, "one,two,three");
    CHECK_INT(w.heard.expired, 0);
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------------------- priority */

static void wait_then_read(struct world *w, const char *text)
{
    world_run_ms(w, 500);
    CHECK_INT(w->heard.length, strlen(text));
    CHECK(memcmp(w->heard.data, text, strlen(text)) == 0);
}

/* proves API-101: before Ready all of them wait. */
TEST(lower_numbers_go_first)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say(&w, "a", NULL, NULL), 0); /* 100 */
    CHECK_INT(say(&w, "b", "msgPriority", "101"), 0);
    CHECK_INT(say(&w, "c", "msgPriority", "0"), 0);
    CHECK_INT(say(&w, "d", "msgPriority", "4294967295"), 0);
    CHECK_INT(say(&w, "e", "msgPriority", "0"), 0);
    CHECK_INT(say(&w, "f", "msgPriority", "99"), 0);
    CHECK_INT(say(&w, "g", NULL, NULL), 0);
    wait_then_read(&w, "cefagbd");
    CHECK_INT(w.heard.sent, 7);
    world_finish(&w);
}

/* proves API-101, API-110 */
TEST(a_priority_can_be_the_connections)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    CHECK_INT(taps_transport_properties_set(w.properties, "msgPriority", "50"), 0);
    world_initiate(&w, V4, 0);
    w.keep_reading = true;
    taps_connection_receive(w.connection, 1, 65536, NULL);
    CHECK_INT(say(&w, "a", "msgPriority", "51"), 0);
    CHECK_INT(say(&w, "b", NULL, NULL), 0);
    CHECK_INT(say(&w, "c", "msgPriority", "49"), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "msgPriority", "1"), 0);
    CHECK_INT(say(&w, "d", NULL, NULL), 0);
    CHECK_INT(say(&w, "e", "msgLifetime", "9"), 0);
    wait_then_read(&w, "decba");
    world_finish(&w);
}

/* proves API-101, API-112: parts stay together, and go by the priority of the first. */
TEST(parts_go_by_the_priority_of_the_first)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say(&w, "later,", NULL, NULL), 0);
    CHECK_INT(say_part(&w, "1,", "msgPriority", "10"), 0);
    CHECK_INT(say_part(&w, "2,", "msgPriority", "200"), 0);
    CHECK_INT(say(&w, "3,", NULL, NULL), 0);
    CHECK_INT(say(&w, "urgent,", "msgPriority", "1"), 0);
    CHECK_INT(say(&w, "between,", "msgPriority", "50"), 0);
    wait_then_read(&w, "urgent,1,2,3,between,later,");
    world_finish(&w);
}

/* proves API-112: nor does anything come between parts that are sent at different times. */
TEST(nothing_comes_between_the_parts_of_a_message)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say(&w, "before,", NULL, NULL), 0);
    CHECK_INT(say_part(&w, "1,", "msgPriority", "10"), 0);
    world_run_ms(&w, 300);
    CHECK_INT(w.heard.length, 2); /* what is less urgent waits until the Message has ended */
    CHECK_INT(say_part(&w, "2,", NULL, NULL), 0);
    world_run_ms(&w, 300);
    CHECK_INT(say(&w, "3,", NULL, NULL), 0);
    wait_then_read(&w, "1,2,3,before,");
    CHECK_INT(w.heard.sent, 4);
    world_finish(&w);
}

/* proves API-112, API-140: a Message that never ends does not hold up Close. */
TEST(close_sends_what_waits_behind_an_open_message)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    CHECK_INT(say(&w, "before,", NULL, NULL), 0);
    CHECK_INT(say_part(&w, "1,", "msgPriority", "10"), 0);
    world_run_ms(&w, 300);
    CHECK_INT(taps_connection_close(w.connection), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.closed, 1);
    CHECK_INT(w.heard.sent, 2);
    CHECK_INT(tapsi_sim_service_counts(s).received, 9);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------------------- final */

/* proves API-104, API-101: whatever its priority, the final Message goes last, and nothing goes after it. */
TEST(the_final_message_is_the_last)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_ECHO);
    taps_message_context *last;
    taps_message_context_new(&last);
    taps_message_context_set(last, "final", "true");
    taps_message_context_set(last, "msgPriority", "0");
    taps_message_context_set(last, "msgLifetime", "0.000001");
    CHECK_INT(say(&w, "a", NULL, NULL), 0);
    CHECK_INT(say(&w, "b", "msgPriority", "200"), 0);
    CHECK_INT(taps_connection_send(w.connection, "z", 1, last, 0, NULL), 0);
    CHECK_INT(say(&w, "too late", NULL, NULL), 0);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.send_error, 1);
    CHECK_INT(w.heard.send_error_code, TAPS_E_CLOSED);
    CHECK_INT(w.heard.sent, 3);
    CHECK_INT(w.heard.length, 3);
    CHECK(memcmp(w.heard.data, "abz", 3) == 0);
    CHECK_INT(tapsi_sim_service_counts(s).ended, 1);
    CHECK(w.heard.final);
    taps_message_context_free(last);
    world_finish(&w);
}

/* proves API-104, API-112 */
TEST(a_final_message_in_parts_is_the_last)
{
    for (int said_at_once = 0; said_at_once < 2; said_at_once++) {
        struct world w;
        struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_ECHO);
        CHECK_INT(say(&w, "a,", NULL, NULL), 0);
        if (said_at_once) {
            CHECK_INT(say_part(&w, "1,", "final", "true"), 0);
            CHECK_INT(say(&w, "2,", "final", "true"), 0);
        } else {
            CHECK_INT(say_part(&w, "1,", "msgPriority", "1"), 0);
            CHECK_INT(say(&w, "2,", "final", "true"), 0);
        }
        CHECK_INT(say(&w, "too late", NULL, NULL), 0);
        wait_then_read(&w, said_at_once ? "a,1,2," : "1,2,a,");
        CHECK_INT(w.heard.send_error, 1);
        CHECK_INT(tapsi_sim_service_counts(s).ended, 1);
        CHECK_INT(tapsi_sim_service_counts(s).received, 6);
        world_finish(&w);
    }
}

/* proves API-104 */
TEST(no_datagram_goes_after_the_final_one)
{
    struct world w;
    connect_by_datagrams(&w);
    CHECK_INT(say(&w, "last", "final", "true"), 0);
    CHECK_INT(say(&w, "too late", NULL, NULL), 0);
    check_text(&w, "last");
    CHECK_INT(w.heard.send_error_code, TAPS_E_CLOSED);
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------- what contradicts, or not */

static void check_refused(struct world *w, const char *name, const char *value, bool refused)
{
    unsigned errors = w->heard.send_error, sent = w->heard.sent;
    w->heard.send_error_code = 0;
    CHECK_INT(say(w, "Message", name, value), 0);
    world_run_ms(w, 100);
    if (w->heard.send_error - errors != refused || w->heard.sent - sent != !refused)
        tapsi_test_fail(__FILE__, __LINE__, "%s = %s on %s: %u errors, %u sent", name, value,
                        taps_connection_stack(w->connection), w->heard.send_error - errors, w->heard.sent - sent);
    CHECK_INT(w->heard.send_error_code, refused ? TAPS_E_MESSAGE_PROPERTIES : 0);
    CHECK_INT(taps_err_reason(TAPS_E_MESSAGE_PROPERTIES), TAPS_REASON_INVALID_MESSAGE_PROPERTIES);
}

/* proves API-102, API-103, API-105, API-106, API-109 */
TEST(a_stream_refuses_what_it_cannot_do)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    world_run_until_ready(&w);
    check_refused(&w, "msgOrdered", "true", false);
    check_refused(&w, "msgOrdered", "false", false); /* need not be, but is */
    check_refused(&w, "msgReliable", "true", false);
    check_refused(&w, "msgReliable", "false", true);
    check_refused(&w, "safelyReplayable", "true", false);
    check_refused(&w, "safelyReplayable", "false", false);
    check_refused(&w, "msgChecksumLen", "0", false); /* advisory: full is more */
    check_refused(&w, "msgChecksumLen", "full", false);
    check_refused(&w, "noFragmentation", "true", false);
    check_refused(&w, "noSegmentation", "true", false);
    check_refused(&w, "msgCapacityProfile", "scavenger", false);
    CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
    world_finish(&w);
}

/* proves API-102, API-103, API-105, API-106, API-109 */
TEST(datagrams_refuse_what_they_cannot_do)
{
    struct world w;
    connect_by_datagrams(&w);
    world_run_until_ready(&w);
    check_refused(&w, "msgOrdered", "true", true);
    check_refused(&w, "msgOrdered", "false", false);
    check_refused(&w, "msgReliable", "true", true);
    check_refused(&w, "msgReliable", "false", false);
    check_refused(&w, "safelyReplayable", "true", false);
    check_refused(&w, "safelyReplayable", "false", true);
    check_refused(&w, "msgChecksumLen", "3", false);
    check_refused(&w, "msgCapacityProfile", "scavenger", false);
    CHECK_INT(w.heard.connection_error + w.heard.closed, 0);
    world_finish(&w);
}

/* proves API-106: what was preferred and is not there cannot be used. */
TEST(a_wish_for_reliability_by_message_is_not_enough)
{
    struct world w;
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO);
    taps_transport_properties_set(w.properties, "perMsgReliability", "prefer");
    world_initiate(&w, V4, 0);
    world_run_until_ready(&w);
    check_refused(&w, "msgReliable", "false", true);
    check_refused(&w, "msgReliable", "true", false);
    world_finish(&w);
}

/* proves API-109: the stack is not known yet when it is sent; the outcome comes when it is. */
TEST(contradictions_are_found_when_the_stack_is_known)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say(&w, "one,", NULL, NULL), 0);
    CHECK_INT(say(&w, "not this,", "msgReliable", "false"), 0);
    CHECK_INT(say(&w, "two,", NULL, NULL), 0);
    check_text(&w, "one,two,");
    CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(w.heard.send_error, 1);
    world_finish(&w);
}

/* proves API-109, API-112 */
TEST(a_message_is_refused_with_all_its_parts)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(say_part(&w, "not ", "msgReliable", "false"), 0);
    CHECK_INT(say_part(&w, "this ", NULL, NULL), 0);
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    CHECK_INT(w.heard.send_error, 2);
    CHECK_INT(say_part(&w, "nor ", NULL, NULL), 0);
    CHECK_INT(say(&w, "that", NULL, NULL), 0);
    CHECK_INT(say(&w, "but this", NULL, NULL), 0);
    check_text(&w, "but this");
    CHECK_INT(w.heard.send_error, 4);
    CHECK_INT(w.heard.sent, 1);
    world_finish(&w);
}

/* proves API-110, API-109: a default counts like the Message's own, and a Message may say otherwise. */
TEST(a_default_that_contradicts_is_refused_too)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_set_property(w.connection, "msgReliable", "false"), 0);
    check_refused(&w, NULL, NULL, true);
    check_refused(&w, "msgReliable", "true", false);
    CHECK_INT(taps_connection_set_property(w.connection, "msgReliable", "true"), 0);
    check_refused(&w, NULL, NULL, false);
    world_finish(&w);
}

/* proves API-110: what is done to the context after Send is of no effect on that Message. */
TEST(the_context_is_taken_by_value)
{
    struct world w;
    taps_message_context *context;
    taps_message_context_new(&context);
    connect_to(&w, TAPSI_SIM_ECHO);
    CHECK_INT(taps_message_context_set(context, "msgPriority", "1"), 0);
    CHECK_INT(taps_connection_send(w.connection, "first,", 6, context, 0, NULL), 0);
    CHECK_INT(taps_message_context_set(context, "msgPriority", "300"), 0);
    CHECK_INT(taps_message_context_set(context, "msgReliable", "false"), 0);
    CHECK_INT(taps_connection_send(w.connection, "refused,", 8, context, 0, NULL), 0);
    taps_message_context_free(context);
    CHECK_INT(say(&w, "second,", NULL, NULL), 0);
    check_text(&w, "first,second,");
    CHECK_INT(w.heard.send_error, 1);
    world_finish(&w);
}

/* ------------------------------------------------------------------------------------------- on the wire (udp) */

/* What a datagram is given beside its bytes, as the platform sees it. */
static struct {
    const struct tapsi_platform_ops *real;
    struct tapsi_platform_ops ours;
    int tos[8]; /* of each, -1 = the socket's */
    unsigned count, calls;
    int pmtu; /* last set */
    int user_timeout, keep_alive;
    bool refuses; /* each user timeout that is asked for */
} seen;

static void note(const struct msghdr *m)
{
    int tos = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            memcpy(&tos, CMSG_DATA(c), sizeof(tos));
    }
    if (seen.count < 8)
        seen.tos[seen.count++] = tos;
}

static ssize_t on_send(struct tapsi_platform *p, int fd, const void *data, size_t length, int flags)
{
    seen.calls++;
    if (seen.count < 8)
        seen.tos[seen.count++] = -1;
    return seen.real->send(p, fd, data, length, flags);
}

static ssize_t on_sendmsg(struct tapsi_platform *p, int fd, const struct msghdr *m, int flags)
{
    seen.calls++;
    note(m);
    return seen.real->sendmsg(p, fd, m, flags);
}

static int on_sendmmsg(struct tapsi_platform *p, int fd, struct mmsghdr *m, unsigned count, int flags)
{
    seen.calls++;
    for (unsigned i = 0; i < count; i++)
        note(&m[i].msg_hdr);
    return seen.real->sendmmsg(p, fd, m, count, flags);
}

static int on_setsockopt(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    if (level == IPPROTO_IP && option == IP_MTU_DISCOVER)
        memcpy(&seen.pmtu, value, sizeof(seen.pmtu));
    if (level == IPPROTO_TCP && option == TCP_USER_TIMEOUT && seen.refuses)
        return -EPERM;
    if (level == IPPROTO_TCP && option == TCP_USER_TIMEOUT)
        memcpy(&seen.user_timeout, value, sizeof(seen.user_timeout));
    if (level == SOL_SOCKET && option == SO_KEEPALIVE)
        memcpy(&seen.keep_alive, value, sizeof(seen.keep_alive));
    return seen.real->setsockopt(p, fd, level, option, value, length);
}

static void look_at_calls(struct world *w)
{
    struct tapsi_platform *p = w->context->loop.platform;
    memset(&seen, 0, sizeof(seen));
    seen.real = p->ops;
    seen.ours = *p->ops;
    seen.ours.send = on_send;
    seen.ours.sendmsg = on_sendmsg;
    seen.ours.sendmmsg = on_sendmmsg;
    seen.ours.setsockopt = on_setsockopt;
    p->ops = &seen.ours;
}

/* proves API-107, API-110 */
TEST(a_datagram_has_the_dscp_of_its_profile)
{
    struct world w;
    connect_by_datagrams(&w);
    world_run_until_ready(&w);
    NEED(w.connection);
    look_at_calls(&w);
    CHECK_INT(say(&w, "a", NULL, NULL), 0);
    CHECK_INT(say(&w, "b", "msgCapacityProfile", "scavenger"), 0);
    CHECK_INT(say(&w, "c", "msgCapacityProfile", "low latency interactive"), 0);
    CHECK_INT(say(&w, "d", "msgCapacityProfile", "default"), 0);
    world_run_ms(&w, 100);
    CHECK_INT(taps_connection_set_property(w.connection, "msgCapacityProfile", "capacity-seeking"), 0);
    CHECK_INT(say(&w, "e", NULL, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(seen.count, 5);
    const int expected[] = {-1, 1 << 2, 34 << 2, -1, 10 << 2};
    for (unsigned i = 0; i < 5; i++)
        CHECK_INT(seen.tos[i], expected[i]);
    CHECK_INT(w.heard.sent, 5);
    world_finish(&w);
}

/* proves API-108, API-114 */
TEST(what_must_not_be_fragmented_fits_a_packet_or_is_refused)
{
    static const char *const names[] = {"noFragmentation", "noSegmentation"};
    for (int i = 0; i < 2; i++) {
        struct world w;
        connect_by_datagrams(&w);
        world_run_until_ready(&w);
        NEED(w.connection);
        look_at_calls(&w);
        struct taps_value fits = {.integer = 0};
        taps_connection_get_value(w.connection, TAPS_SINGULAR_TRANSMISSION_MSG_MAX_LEN, &fits);
        CHECK_INT(fits.integer, 1500 - 28);
        CHECK_INT(send_with(&w, fits.integer, NULL, names[i], "true", 0), 0);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.sent, 1);
        CHECK_INT(seen.pmtu, IP_PMTUDISC_DO);
        CHECK_INT(send_with(&w, fits.integer + 1, NULL, names[i], "true", 0), 0);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.send_error, 1);
        CHECK_INT(w.heard.send_error_code, TAPS_E_MESSAGE_TOO_LARGE);
        CHECK_INT(seen.count, 1);
        CHECK_INT(send_with(&w, fits.integer + 1, NULL, names[i], "false", 0), 0);
        world_run_ms(&w, 100);
        CHECK_INT(w.heard.sent, 2);
        CHECK_INT(seen.pmtu, IP_PMTUDISC_WANT);
        world_finish(&w);
    }
}

/* ------------------------------------------------------------------------------------------ what is refused */

/* proves API-082, API-094: neither the property nor what is made of the others has anything of it */
TEST(a_timeout_that_the_kernel_refuses_is_forgotten)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_SILENT);
    world_run_until_ready(&w);
    NEED(w.connection);
    look_at_calls(&w);
    CHECK_INT(taps_connection_set_property(w.connection, "tcp.userTimeoutEnabled", "true"), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "tcp.userTimeoutValue", "60"), 0);
    CHECK_INT(seen.user_timeout, 60000);
    CHECK_INT(taps_connection_set_property(w.connection, "keepAliveTimeout", "50"), 0);
    CHECK_INT(seen.keep_alive, 1);
    seen.refuses = true;
    CHECK(taps_connection_set_property(w.connection, "connTimeout", "5") < 0);
    CHECK(taps_connection_set_property(w.connection, "tcp.userTimeoutValue", "7") < 0);
    CHECK(taps_connection_set_property(w.connection, "tcp.userTimeoutEnabled", "false") < 0);
    CHECK_INT(seen.keep_alive, 1); /* off with a connTimeout below it, and on again */
    seen.refuses = false;
    CHECK_INT(taps_connection_set_property(w.connection, "tcp.userTimeoutEnabled", "true"), 0);
    CHECK_INT(seen.user_timeout, 60000);
    char text[32];
    CHECK(taps_connection_get_property(w.connection, "connTimeout", text, sizeof(text)) > 0);
    CHECK_TEXT(text, "disabled");
    world_finish(&w);
}

/* ----------------------------------------------------------------------------------- batches, and one turn's Sends */

/* proves API-113 */
TEST(a_batch_waits_for_its_end_and_goes_with_one_call)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    world_run_until_ready(&w);
    NEED(w.connection);
    look_at_calls(&w);
    CHECK_INT(taps_connection_end_batch(w.connection), TAPS_E_STATE);
    CHECK_INT(taps_connection_start_batch(w.connection), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(say(&w, "0123456789", NULL, NULL), 0);
        if (i % 10 == 0)
            world_run_ms(&w, 10);
    }
    CHECK_INT(seen.calls, 0);
    CHECK_INT(taps_connection_end_batch(w.connection), 0);
    world_run_ms(&w, 100);
    CHECK_INT(seen.calls, 1);
    CHECK_INT(w.heard.sent, 100);
    CHECK_INT(tapsi_sim_service_counts(s).received, 1000);
    world_finish(&w);
}

/* proves API-113: within a batch priorities sort all of it. */
TEST(a_batch_is_sorted_as_a_whole)
{
    struct world w;
    connect_to(&w, TAPSI_SIM_ECHO);
    world_run_until_ready(&w);
    taps_connection_start_batch(w.connection);
    taps_connection_start_batch(w.connection); /* they nest */
    CHECK_INT(say(&w, "a", NULL, NULL), 0);
    world_run_ms(&w, 50);
    CHECK_INT(say(&w, "b", "msgPriority", "1"), 0);
    taps_connection_end_batch(w.connection);
    world_run_ms(&w, 50);
    CHECK_INT(say(&w, "c", "msgPriority", "0"), 0);
    CHECK_INT(w.heard.sent, 0);
    taps_connection_end_batch(w.connection);
    check_text(&w, "cba");
    world_finish(&w);
}

/* proves API-113: without being asked: no delay, and one call for all. */
TEST(small_messages_of_one_turn_go_with_one_call)
{
    struct world w;
    struct tapsi_sim_service *s = connect_to(&w, TAPSI_SIM_SILENT);
    world_run_until_ready(&w);
    world_run_ms(&w, 50);
    NEED(w.connection);
    look_at_calls(&w);
    double before = taps_context_now_ms(w.context);
    for (int i = 0; i < 500; i++)
        CHECK_INT(say(&w, "0123456789", NULL, NULL), 0);
    taps_context_run_once(w.context, 0);
    CHECK_INT(seen.calls, 1);
    CHECK(taps_context_now_ms(w.context) == before);
    CHECK_INT(w.heard.sent, 500);
    world_run_ms(&w, 100);
    CHECK_INT(seen.calls, 1);
    CHECK_INT(tapsi_sim_service_counts(s).received, 5000);
    world_finish(&w);
}

/* proves API-113: datagrams stay apart, and need a call for each 64. */
TEST(datagrams_of_one_turn_go_with_few_calls)
{
    struct world w;
    connect_by_datagrams(&w);
    world_run_until_ready(&w);
    NEED(w.connection);
    look_at_calls(&w);
    for (int i = 0; i < 128; i++)
        CHECK_INT(say(&w, "0123456789", NULL, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(seen.calls, 2);
    CHECK_INT(w.heard.sent, 128);
    CHECK_INT(w.heard.received, 128);
    world_finish(&w);
}
