/*
 * InitiateWithSend without early data (RFC 9622, 9.2.5): the first Message waits for the race, goes to the winner, goes
 * once, goes first, and has no SendError beside the EstablishmentError. Early data is in early_test.c.
 */
#include <stdio.h>
#include <string.h>
#include "secret.h"

#define V4    "192.0.2.1:80"
#define V6    "[2001:db8::1]:80"
#define FIRST "the first of all Messages"
#define TAG   ((void *)7)

/* What the peers heard, to be looked through for the Message. */
struct ear {
    char data[4096];
    size_t length;
    unsigned datagrams;
};

static void hear(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                 const uint8_t *bytes, size_t count)
{
    struct ear *ear = arg;
    (void)udp;
    (void)from;
    (void)to;
    if (count <= sizeof(ear->data) - ear->length)
        memcpy(ear->data + ear->length, bytes, count);
    ear->length += count;
    ear->datagrams++;
}

static unsigned times(const void *data, size_t length, const char *text)
{
    unsigned count = 0;
    const char *at = data, *end = at + length;
    while ((at = memmem(at, (size_t)(end - at), text, strlen(text)))) {
        count++;
        at++;
    }
    return count;
}

/* How often the program gave the Message, in clear, to any socket. */
static unsigned on_the_wire(void)
{
    return times(secret_wire.bytes, secret_wire.length, FIRST);
}

static void names(struct world *w)
{
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "A", "192.0.2.1", 0);
}

static void unreliable(struct world *w, bool replayable)
{
    taps_transport_properties_no_preference(w->properties, TAPS_RELIABILITY);
    taps_transport_properties_no_preference(w->properties, TAPS_PRESERVE_ORDER);
    taps_transport_properties_no_preference(w->properties, TAPS_CONGESTION_CONTROL);
    taps_transport_properties_set_boolean(w->properties, TAPS_SAFELY_REPLAYABLE, replayable);
}

static int initiate(struct world *w, const char *remote, uint64_t timeout_ms, const taps_message_context *context)
{
    if (!w->context)
        world_start(w);
    wire_tap(&secret_wire, w->context);
    taps_preconnection_set_transport_properties(w->preconnection, w->properties);
    taps_preconnection_set_security_parameters(w->preconnection, w->security);
    CHECK_INT(taps_preconnection_add_remote_text(w->preconnection, remote), 0);
    w->in_call = true;
    int err = taps_preconnection_initiate_with_send(w->preconnection, timeout_ms, &world_events, w, FIRST,
                                                    strlen(FIRST), context, 0, TAG, &w->connection);
    w->in_call = false;
    return err;
}

/* It was told once that it is sent, and nothing else was said of it. */
static void check_sent_once(const struct world *w)
{
    CHECK_INT(w->heard.ready, 1);
    CHECK_INT(w->heard.sent, 1);
    CHECK(w->heard.last_tag == TAG);
    CHECK_INT(w->heard.send_error + w->heard.expired, 0);
}

/* There is the EstablishmentError, and no other event at all. */
static void check_one_error(const struct world *w)
{
    CHECK_INT(w->heard.establishment_error, 1);
    CHECK_INT(w->heard.total, 1);
    CHECK_INT(on_the_wire(), 0);
}

/* ------------------------------------------------------------------------------------------------- it arrives */

/* proves API-074, API-111: over tcp and udp. */
TEST(the_first_message_goes_once_in_clear)
{
    for (int datagrams = 0; datagrams < 2; datagrams++) {
        struct world w;
        struct ear ear = {.length = 0};
        world_new(&w);
        tapsi_sim_udp_serve(w.server, 80, hear, &ear);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
        unreliable(&w, true);
        taps_transport_properties_set_preference(w.properties, TAPS_PRESERVE_MSG_BOUNDARIES,
                                                 datagrams ? TAPS_REQUIRE : TAPS_PROHIBIT);
        CHECK_INT(initiate(&w, V4, 0, NULL), 0);
        CHECK_INT(w.heard.total, 0); /* not inside the call */
        world_run_ms(&w, 1000);
        check_sent_once(&w);
        CHECK_INT(on_the_wire(), 1);
        CHECK_INT(times(ear.data, ear.length, FIRST), datagrams);
        CHECK_INT(tapsi_sim_service_counts(s).received, datagrams ? 0 : strlen(FIRST));
        world_finish(&w);
    }
}

/* proves API-074, ARCH-09: over tls/tcp, and never in clear. */
TEST(the_first_message_goes_once_over_tls)
{
    struct world w;
    struct peer p;
    world_new(&w);
    world_secure(&w);
    names(&w);
    secret_serve(&w, &p, SECRET_V6, SECRET_NAME, NULL, NULL);
    CHECK_INT(initiate(&w, SECRET_NAME ":443", 0, NULL), 0);
    world_run_ms(&w, 1000);
    check_sent_once(&w);
    CHECK_INT(times(p.data, p.length, FIRST), 1);
    CHECK_INT(p.length, strlen(FIRST));
    CHECK_INT(on_the_wire(), 0);
    peer_done(&p);
    world_finish(&w);
}

/* proves API-074: it stays first: what is sent while the race runs comes behind it. */
TEST(later_messages_stay_behind_the_first)
{
    struct world w;
    struct peer p;
    world_new(&w);
    names(&w);
    peer_new(&w, w.server, &p);
    peer_listen(&w, &p, V4);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    CHECK_INT(initiate(&w, SECRET_NAME ":80", 0, NULL), 0);
    CHECK_INT(taps_connection_send(w.connection, "|second", 7, NULL, 0, NULL), 0);
    world_run_ms(&w, 100);
    CHECK_INT(taps_connection_send(w.connection, "|third", 6, NULL, 0, NULL), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(w.heard.sent, 3);
    CHECK_INT(p.length, strlen(FIRST "|second|third"));
    CHECK(peer_has(&p, FIRST "|second|third"));
    peer_done(&p);
    world_finish(&w);
}

/* ----------------------------------------------------------------------------------------- never to a loser */

/* proves API-074, IMPL-10: candidates that lose hear nothing: those that refuse, those that connect too late, those
   whose handshake hangs. */
TEST(losers_hear_nothing)
{
    for (int way = 0; way < 3; way++) {
        struct world w;
        struct peer p;
        world_new(&w);
        names(&w);
        struct tapsi_sim_host *slow = tapsi_sim_host_new(w.sim, "slow");
        tapsi_sim_link_join(w.link, tapsi_sim_interface_new(slow, "eth0", TAPSI_IF_ETHERNET, "2001:db8::50/64"));
        tapsi_sim_dns_answer(w.dns, "race.test", "AAAA", "2001:db8::50", 0);
        tapsi_sim_dns_answer(w.dns, "race.test", "A", "192.0.2.1", 0);
        struct tapsi_sim_service *loser = way ? tapsi_sim_serve(slow, 443, TAPSI_SIM_SILENT) : NULL;
        if (way == 1) /* its SYN-ACK comes when the other one has won */
            tapsi_sim_delay(w.sim, "2001:db8::50", 270 * TAPSI_SIM_MS);
        if (way == 2)
            world_secure(&w);
        struct tapsi_test_identity identity = peer_certificate("race.test", NULL, NULL);
        peer_new(&w, w.server, &p);
        if (way == 2)
            peer_secure(&p, &identity);
        peer_listen(&w, &p, SECRET_V4);
        CHECK_INT(initiate(&w, "race.test:443", 0, NULL), 0);
        world_run_ms(&w, 3000);
        check_sent_once(&w);
        CHECK_TEXT(world_winner(&w), SECRET_V4);
        CHECK_INT(times(p.data, p.length, FIRST), 1);
        CHECK_INT(on_the_wire(), way < 2); /* in clear: once, to the winner */
        if (loser && way == 1)
            CHECK_INT(tapsi_sim_service_counts(loser).received, 0);
        CHECK_INT(w.heard.ready, 1);
        tapsi_test_identity_free(&identity);
        peer_done(&p);
        world_finish(&w);
    }
}

/* proves API-074, IMPL-10: of two paths and two protocols only the winner hears it, though udp is ready at once. */
TEST(other_paths_and_protocols_hear_nothing)
{
    struct world w;
    struct ear here = {.length = 0}, there = {.length = 0};
    world_new(&w);
    struct tapsi_sim_interface *wlan = tapsi_sim_interface_new(w.client, "wlan0", TAPSI_IF_WIFI, "192.0.2.3/24");
    struct tapsi_sim_host *twin = tapsi_sim_host_new(w.sim, "twin");
    tapsi_sim_link_new(wlan, tapsi_sim_interface_new(twin, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24"), 1000);
    tapsi_sim_udp_serve(w.server, 80, hear, &here);
    tapsi_sim_udp_serve(twin, 80, hear, &there);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    struct tapsi_sim_service *t = tapsi_sim_serve(twin, 80, TAPSI_SIM_SILENT);
    tapsi_sim_link_delay(w.link, 600 * TAPSI_SIM_MS); /* udp's turn comes before tcp's SYN-ACK */
    unreliable(&w, true);
    CHECK_INT(initiate(&w, V4, 0, NULL), 0);
    world_run_ms(&w, 5000);
    check_sent_once(&w);
    CHECK_TEXT(taps_connection_stack(w.connection), "udp");
    CHECK_INT(here.datagrams, 1);
    CHECK_INT(there.datagrams, 0);
    CHECK_INT(tapsi_sim_service_counts(s).received + tapsi_sim_service_counts(t).received, 0);
    CHECK_INT(on_the_wire(), 1);
    world_finish(&w);
}

/* ---------------------------------------------------------------------------------------- when it does not arrive */

/* proves API-074, API-062: whatever makes the establishment fail, there is one error, and no SendError. */
TEST(a_failed_establishment_has_no_send_error)
{
    for (int way = 0; way < 5; way++) {
        struct world w;
        const char *remote = way == 3 ? "nosuch.test:80" : V4;
        world_new(&w);
        if (way == 0)
            tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
        if (way == 1)
            tapsi_sim_fault(w.sim, V4, TAPSI_SIM_BLACKHOLE);
        if (way == 2) {
            world_secure(&w);
            tapsi_sim_serve(w.server, 80, TAPSI_SIM_ECHO); /* which speaks no TLS */
        }
        if (way == 4)
            taps_transport_properties_set(w.properties, "interface", "require nosuch0");
        CHECK_INT(initiate(&w, remote, 2000, NULL), 0);
        world_run_until_end(&w);
        world_run_ms(&w, 1000);
        check_one_error(&w);
        world_finish(&w);
    }
}

/* proves API-074, API-111: Messages behind the first have a SendError each; the first has not. */
TEST(only_the_first_is_without_a_send_error)
{
    struct world w;
    world_new(&w);
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE);
    CHECK_INT(initiate(&w, V4, 0, NULL), 0);
    CHECK_INT(taps_connection_send(w.connection, "x", 1, NULL, 0, (void *)8), 0);
    world_run_until_end(&w);
    CHECK_INT(w.heard.establishment_error, 1);
    CHECK_INT(w.heard.send_error, 1);
    CHECK(w.heard.last_tag == (void *)8);
    world_finish(&w);
}

/* proves API-074: nor is there a Connection where a Message of these properties can never be sent; and udp is no
   candidate for one that must not be duplicated. */
TEST(what_cannot_be_sent_is_not_sent_another_way)
{
    struct world w;
    struct ear ear = {.length = 0};
    world_new(&w);
    tapsi_sim_udp_serve(w.server, 80, hear, &ear);
    unreliable(&w, false);
    tapsi_sim_fault(w.sim, V4, TAPSI_SIM_REFUSE); /* TCP and UDP */
    CHECK_INT(initiate(&w, V4, 2000, NULL), 0);
    world_run_until_end(&w);
    check_one_error(&w);
    CHECK_INT(ear.datagrams, 0);
    world_finish(&w);
}

/* proves API-074, API-141: Abort and free before Ready take it back: nobody hears it. */
TEST(what_is_given_up_is_not_sent)
{
    for (int way = 0; way < 2; way++) {
        struct world w;
        world_new(&w);
        names(&w);
        struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
        CHECK_INT(initiate(&w, SECRET_NAME ":80", 0, NULL), 0);
        world_run_ms(&w, 15); /* the name is known, the SYN under way */
        if (way) {
            taps_connection_abort(w.connection);
        } else {
            taps_connection_free(w.connection);
            w.connection = NULL;
        }
        world_run_ms(&w, 3000);
        CHECK_INT(tapsi_sim_service_counts(s).received, 0);
        CHECK_INT(on_the_wire(), 0);
        CHECK_INT(w.heard.sent + w.heard.ready, 0);
        world_finish(&w);
    }
}

/* proves API-074, API-100: it may expire while the race runs, and is then not sent when the race is won. */
TEST(a_first_message_that_expires_is_not_sent)
{
    struct world w;
    taps_message_context *context;
    world_new(&w);
    names(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    tapsi_sim_fault(w.sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
    taps_message_context_new(&context);
    CHECK_INT(taps_message_context_set(context, "msgLifetime", "0.1"), 0);
    CHECK_INT(initiate(&w, SECRET_NAME ":80", 0, context), 0);
    taps_message_context_free(context);
    world_run_ms(&w, 2000);
    CHECK_INT(w.heard.ready, 1);
    CHECK_INT(w.heard.expired, 1);
    CHECK_INT(w.heard.sent + w.heard.send_error, 0);
    CHECK_INT(tapsi_sim_service_counts(s).received, 0);
    world_finish(&w);
}
