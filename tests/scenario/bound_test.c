/* Sending limits: _taps.sendBuffer, _taps.queuedBytes and TAPS_E_FULL. The peers of most tests do not read. */
#include <stdio.h>
#include "scenario.h"

#define V4   "192.0.2.1:80"
#define MIB  (1024 * 1024)
#define COST TAPS_MESSAGE_COST

static char block[300000];

static struct tapsi_sim_service *serve(struct world *w, enum tapsi_sim_behaviour behaviour, const char *bound)
{
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, behaviour);
    if (bound)
        CHECK_INT(taps_transport_properties_set(w->properties, "_taps.sendBuffer", bound), 0);
    world_initiate(w, V4, 0);
    return s;
}

/* The peer takes nothing, and Close would wait for it. */
static void give_up(struct world *w)
{
    taps_connection_abort(w->connection);
    world_run_until_end(w);
    world_finish(w);
}

static int send_some(struct world *w, size_t length)
{
    return taps_connection_send(w->connection, block, length, NULL, 0, NULL);
}

static uint64_t integer(struct world *w, enum taps_property property)
{
    struct taps_value value = {.integer = 1};
    CHECK_INT(taps_connection_get_value(w->connection, property, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_INTEGER);
    return value.integer;
}

static uint64_t queued(struct world *w)
{
    return integer(w, TAPS_QUEUED_BYTES);
}

/* Sends until it is refused: how many were taken. */
static unsigned fill(struct world *w, size_t length)
{
    unsigned taken = 0;
    int err = 0;
    while (!err && taken < 100000 && (err = send_some(w, length)) == 0)
        taken++;
    CHECK_INT(err, TAPS_E_FULL);
    return taken;
}

TEST(without_a_bound_everything_is_taken)
{
    struct world w;
    serve(&w, TAPSI_SIM_STALL, NULL);
    world_run_until_ready(&w);
    CHECK_INT(integer(&w, TAPS_SEND_BUFFER), TAPS_INFINITE);
    for (int i = 0; i < 40; i++)
        CHECK_INT(send_some(&w, sizeof(block)), 0);
    world_run_ms(&w, 1000);
    CHECK(queued(&w) > (size_t)38 * sizeof(block));
    give_up(&w);
}

TEST(queued_bytes_tell_what_the_kernel_does_not_have)
{
    struct world w;
    serve(&w, TAPSI_SIM_SILENT, NULL);
    CHECK_INT(queued(&w), 0);
    CHECK_INT(send_some(&w, 1000), 0);
    CHECK_INT(queued(&w), 1000); /* not Ready yet */
    world_run_until_ready(&w);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(queued(&w), 0);
    CHECK_INT(send_some(&w, 10), 0);
    CHECK_INT(send_some(&w, 20), 0);
    CHECK_INT(queued(&w), 30);
    world_run_ms(&w, 100);
    CHECK_INT(queued(&w), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.queuedBytes", "1"), TAPS_E_READ_ONLY);
    world_finish(&w);
}

TEST(a_sender_to_a_stopped_peer_stays_under_its_bound)
{
    static const size_t lengths[] = {1, 100, 1000, 16000, 65536, 262144};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct world w;
        serve(&w, TAPSI_SIM_STALL, "1048576");
        world_run_until_ready(&w);
        unsigned before, rounds = 0;
        do { /* until what the peer's kernel and ours have taken is all they take */
            before = w.heard.sent;
            fill(&w, lengths[i]);
            CHECK(queued(&w) <= MIB);
            world_run_ms(&w, 100);
        } while (w.heard.sent > before && ++rounds < 2000);
        CHECK(rounds < 2000);
        CHECK_INT(w.heard.send_error + w.heard.expired, 0);
        CHECK(queued(&w) > 0);
        give_up(&w);
    }
}

/* proves API-140: what it does not take in time is a Timeout; the sweep of this test has no memory for the clock, and
   ends too. */
TEST(a_close_to_a_stopped_peer_ends)
{
    struct world w;
    serve(&w, TAPSI_SIM_STALL, NULL);
    world_run_until_ready(&w);
    for (int i = 0; i < 40; i++)
        send_some(&w, sizeof(block));
    taps_connection_close(w.connection);
    world_run_until_end(&w);
    CHECK_INT(w.heard.connection_error, 1);
    CHECK_INT(w.heard.code, TAPS_E_TIMEOUT);
    world_finish(&w);
}

/* Without a byte of their own they count too. */
TEST(many_small_messages_are_bounded)
{
    struct world w;
    serve(&w, TAPSI_SIM_STALL, "65536");
    size_t blocks = w.blocks;
    unsigned taken = fill(&w, 1);
    CHECK(taken <= 65536 / COST && taken > 65536 / COST - 2);
    CHECK(w.blocks - blocks < taken + 4);
    give_up(&w);
}

TEST(sent_is_the_credit)
{
    struct world w;
    struct tapsi_sim_service *s = serve(&w, TAPSI_SIM_SILENT, "100000");
    uint64_t taken = 0;
    world_run_until_ready(&w);
    for (int round = 0; round < 20; round++) {
        unsigned before = w.heard.sent;
        taken += fill(&w, 30000);
        for (int i = 0; i < 1000 && w.heard.sent == before; i++)
            world_run_ms(&w, 1);
        CHECK(w.heard.sent > before);
        CHECK_INT(send_some(&w, 1), 0);
        taken++;
    }
    world_run_ms(&w, 5000);
    CHECK_INT(w.heard.sent, taken);
    CHECK_INT(w.heard.send_error, 0);
    CHECK_INT(queued(&w), 0);
    CHECK(tapsi_sim_service_counts(s).received > 500000);
    world_finish(&w);
}

TEST(a_message_larger_than_the_bound_is_taken_when_nothing_is_queued)
{
    struct world w;
    serve(&w, TAPSI_SIM_SILENT, "1000");
    CHECK_INT(send_some(&w, 5000), 0);
    CHECK_INT(send_some(&w, 0), TAPS_E_FULL);
    CHECK_INT(send_some(&w, 1), TAPS_E_FULL);
    world_run_until_ready(&w);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 1);
    CHECK_INT(send_some(&w, 5000), 0);
    CHECK_INT(send_some(&w, 1), TAPS_E_FULL);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 2);
    world_finish(&w);
}

TEST(a_bound_of_nothing_takes_one_at_a_time)
{
    struct world w;
    serve(&w, TAPSI_SIM_SILENT, "0");
    CHECK_INT(send_some(&w, 1), 0);
    CHECK_INT(send_some(&w, 1), TAPS_E_FULL);
    world_run_until_ready(&w);
    world_run_ms(&w, 100);
    CHECK_INT(send_some(&w, 1), 0);
    world_finish(&w);
}

TEST(expired_messages_make_room)
{
    struct world w;
    taps_message_context *brief;
    taps_message_context_new(&brief);
    taps_message_context_set(brief, "msgLifetime", "0.05");
    serve(&w, TAPSI_SIM_STALL, "400000");
    world_run_until_ready(&w);
    CHECK_INT(send_some(&w, 300000), 0);
    CHECK_INT(taps_connection_send(w.connection, block, 90000, brief, 0, NULL), 0);
    CHECK_INT(send_some(&w, 90000), TAPS_E_FULL);
    world_run_ms(&w, 500);
    CHECK_INT(w.heard.expired, 1);
    CHECK_INT(queued(&w), 300000);
    CHECK_INT(send_some(&w, 90000), 0);
    taps_message_context_free(brief);
    give_up(&w);
}

TEST(the_bound_can_be_changed)
{
    struct world w;
    serve(&w, TAPSI_SIM_STALL, NULL);
    world_run_until_ready(&w);
    CHECK_INT(send_some(&w, 200000), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.sendBuffer", "100000"), 0);
    CHECK_INT(send_some(&w, 10), TAPS_E_FULL);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.sendBuffer", "300000"), 0);
    CHECK_INT(send_some(&w, 10), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.sendBuffer", "unlimited"), 0);
    CHECK_INT(send_some(&w, sizeof(block)), 0);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.sendBuffer", "much"), TAPS_E_RANGE);
    CHECK_INT(taps_connection_set_property(w.connection, "_taps.sendBuffer", "-1"), TAPS_E_RANGE);
    CHECK_INT(send_some(&w, sizeof(block)), 0);
    give_up(&w);
}

/* Datagrams that wait for the kernel count as well: before Ready all of them do. */
TEST(datagrams_are_bounded)
{
    struct world w;
    world_new(&w);
    taps_transport_properties_free(w.properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w.properties);
    CHECK_INT(taps_transport_properties_set(w.properties, "_taps.sendBuffer", "10000"), 0);
    tapsi_sim_udp_echo(w.server, 80);
    world_initiate(&w, V4, 0);
    CHECK_INT(fill(&w, 1000), 10000 / (1000 + COST));
    world_run_until_ready(&w);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 10000 / (1000 + COST));
    CHECK_INT(fill(&w, 1000), 10000 / (1000 + COST));
    world_finish(&w);
}

/* A batch is not handed down before its end, so nothing makes room within it. */
TEST(a_batch_is_bounded_too)
{
    struct world w;
    serve(&w, TAPSI_SIM_SILENT, "10000");
    world_run_until_ready(&w);
    CHECK_INT(taps_connection_start_batch(w.connection), 0);
    unsigned taken = fill(&w, 1000);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, 0);
    CHECK_INT(send_some(&w, 1000), TAPS_E_FULL);
    CHECK_INT(taps_connection_end_batch(w.connection), 0);
    world_run_ms(&w, 100);
    CHECK_INT(w.heard.sent, taken);
    CHECK_INT(send_some(&w, 1000), 0);
    world_finish(&w);
}

/* Nothing waits behind the refusal: it is as if the call had not been made. */
TEST(what_is_refused_leaves_no_trace)
{
    struct world w;
    struct tapsi_sim_service *s = serve(&w, TAPSI_SIM_SILENT, "1000");
    taps_message_context *last;
    taps_message_context_new(&last);
    taps_message_context_set(last, "final", "true");
    world_run_until_ready(&w);
    CHECK_INT(send_some(&w, 600), 0);
    CHECK_INT(taps_connection_send(w.connection, block, 600, last, 0, NULL), TAPS_E_FULL);
    CHECK_INT(taps_connection_send(w.connection, block, 600, NULL, TAPS_SEND_PARTIAL, NULL), TAPS_E_FULL);
    world_run_ms(&w, 100);
    CHECK_INT(tapsi_sim_service_counts(s).received, 600);
    CHECK_INT(tapsi_sim_service_counts(s).ended, 0);
    CHECK_INT(send_some(&w, 600), 0); /* that one was not final */
    world_run_ms(&w, 100);
    CHECK_INT(tapsi_sim_service_counts(s).received, 1200);
    CHECK_INT(w.heard.send_error, 0);
    taps_message_context_free(last);
    world_finish(&w);
}
