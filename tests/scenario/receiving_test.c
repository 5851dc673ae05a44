/* Receives of large, cut-off and trickling Messages; when a Message came; what is held for those who do not ask. */
#include <stdlib.h>
#include <string.h>
#include <taps/framer.h>
#include "connection/connection.h"
#include "scenario.h"

#define V4  "192.0.2.1:80"
#define MIB ((size_t)1024 * 1024)

/* What one Connection got, checked as it comes: each byte says where it stands in its Message. */
static struct {
    size_t bytes, messages, parts, wrong, largest;
    unsigned errors, asked;
    bool again; /* asks for more at once */
    int code;
    double came_ms;
    taps_message_context *copy;
} got;

static uint8_t byte_at(size_t position)
{
    return (uint8_t)(position * 7 + (position >> 11));
}

static void check_bytes(const struct taps_received *m)
{
    const uint8_t *data = m->data;
    for (size_t i = 0; i < m->length; i++)
        got.wrong += data[i] != byte_at(got.bytes + i);
    got.bytes += m->length;
    got.largest = m->length > got.largest ? m->length : got.largest;
    got.came_ms = taps_message_context_received_ms(m->context);
}

static void on_message(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)c;
    (void)user;
    got.messages++;
    check_bytes(m);
    if (!got.copy)
        taps_message_context_copy(m->context, &got.copy);
}

static void on_part(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)user;
    got.parts++;
    got.messages += m->end_of_message;
    check_bytes(m);
    if (got.again && taps_connection_receive(c, 1, 50000, NULL) == 0)
        got.asked++;
}

static void on_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)user;
    got.errors++;
    got.code = error->code;
}

static const struct taps_connection_events events = {
    .received = on_message, .received_partial = on_part, .receive_error = on_error};

/* Somebody who sends Messages behind lengths of four bytes: `announced` is what the last one's head says, `sent` what
   follows it. */
static struct tapsi_sim_service *connect_to_framed(struct world *w, size_t announced, size_t sent)
{
    taps_framer *framer = NULL;
    memset(&got, 0, sizeof(got));
    world_new(w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w->server, 80, TAPSI_SIM_SEND);
    uint8_t *bytes = malloc(sent + 4);
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(announced >> (24 - 8 * i));
    for (size_t i = 0; i < sent; i++)
        bytes[4 + i] = byte_at(i);
    tapsi_sim_service_bytes(s, bytes, sent + 4);
    free(bytes);
    world_start(w);
    CHECK_INT(taps_framer_new_text("length-prefix:length=4,maximum=67108864", &framer), 0);
    if (w->preconnection)
        CHECK_INT(taps_preconnection_add_framer(w->preconnection, framer), 0);
    taps_framer_free(framer);
    world_initiate(w, V4, 0);
    if (w->connection)
        taps_connection_set_events(w->connection, &events, w);
    return s;
}

static void finish(struct world *w)
{
    taps_message_context_free(got.copy);
    got.copy = NULL;
    world_finish(w);
}

static uint32_t window_of(const struct world *w)
{
    return w->connection ? w->connection->window : 0;
}

static int receive(struct world *w, size_t min, size_t max)
{
    return taps_connection_receive(w->connection, min, max, NULL);
}

/* Turns of the world until `messages` have come, or nothing moves any more. */
static void run_until_messages(struct world *w, size_t messages)
{
    for (int i = 0; i < 2000 && got.messages < messages && !got.errors; i++)
        world_run_ms(w, 10);
}

/* ------------------------------------------------------------------------------------------------ large Messages */

/* proves API-122 */
TEST(a_message_far_over_the_window_is_received_whole)
{
    static const size_t lengths[] = {100000, 131072, 131073, 1000000, 3 * 1024 * 1024};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct world w;
        connect_to_framed(&w, lengths[i], lengths[i]);
        CHECK_INT(receive(&w, SIZE_MAX, SIZE_MAX), 0);
        run_until_messages(&w, 1);
        CHECK_INT(got.messages, 1);
        CHECK_INT(got.parts, 0);
        CHECK_INT(got.bytes, lengths[i]);
        CHECK_INT(got.wrong, 0);
        CHECK_INT(window_of(&w), TAPSI_WINDOW); /* and it is small again */
        finish(&w);
    }
}

/* proves API-122: and a longer one comes in parts. */
TEST(the_largest_whole_message_has_16_mib)
{
    if (tapsi_test_sweeping())
        return;
    for (size_t more = 0; more <= MIB; more += MIB) {
        struct world w;
        connect_to_framed(&w, TAPS_WHOLE_MAX + more, TAPS_WHOLE_MAX + more);
        CHECK_INT(receive(&w, SIZE_MAX, SIZE_MAX), 0);
        CHECK_INT(receive(&w, SIZE_MAX, SIZE_MAX), 0);
        run_until_messages(&w, 1);
        CHECK_INT(got.messages, 1);
        CHECK_INT(got.parts, more ? 2 : 0);
        CHECK_INT(got.bytes, TAPS_WHOLE_MAX + more);
        CHECK(got.largest >= TAPS_WHOLE_MAX && got.largest < TAPS_WHOLE_MAX + TAPSI_WINDOW);
        CHECK_INT(got.wrong, 0);
        finish(&w);
    }
}

/* proves API-120, API-122: in parts of at most so much, in order, without gaps. */
TEST(a_large_message_comes_in_parts_to_one_who_wants_them)
{
    struct world w;
    connect_to_framed(&w, MIB, MIB);
    for (size_t asked = 0; asked < 400 && !got.messages; asked++) {
        CHECK_INT(receive(&w, asked % 3 ? 1 : SIZE_MAX, 10000), 0);
        for (int i = 0; i < 200 && got.parts + got.messages <= asked; i++)
            world_run_ms(&w, 1);
        CHECK(got.parts <= asked + 1);
    }
    CHECK_INT(got.messages, 1);
    CHECK_INT(got.bytes, MIB);
    CHECK(got.largest <= 10000);
    CHECK_INT(got.wrong, 0);
    finish(&w);
}

/* proves API-120: a minimum over the window, and then a small one: the window is no wider than it must be. */
TEST(the_window_follows_the_first_receive)
{
    struct world w;
    connect_to_framed(&w, MIB, MIB);
    world_run_until_ready(&w);
    CHECK_INT(receive(&w, 1, 1000), 0);
    CHECK_INT(receive(&w, 500000, SIZE_MAX), 0);
    CHECK_INT(receive(&w, 1, 1000), 0);
    CHECK_INT(window_of(&w), TAPSI_WINDOW);
    world_run_ms(&w, 3000);
    CHECK_INT(got.parts, 3);
    CHECK(got.bytes >= 500002 && got.bytes <= 502000 + 2 * TAPSI_WINDOW);
    CHECK_INT(window_of(&w), TAPSI_WINDOW);
    finish(&w);
}

/* ------------------------------------------------------------------------------------------- Messages that are cut */

static void check_end(struct world *w)
{
    CHECK_INT(got.messages, 0);
    CHECK_INT(got.code, TAPS_E_TRUNCATED);
    CHECK_INT(got.wrong, 0);
    CHECK_INT(taps_connection_state(w->connection), TAPS_CLOSED);
    CHECK_INT(receive(w, 1, 1), TAPS_E_CLOSED);
    finish(w);
}

/* proves API-124, API-120 */
TEST(a_message_that_is_cut_is_a_receive_error)
{
    static const size_t lengths[] = {0, 1, 100000, 199999};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct world w;
        connect_to_framed(&w, 200000, lengths[i]);
        for (int n = 0; n < 3; n++)
            CHECK_INT(receive(&w, SIZE_MAX, SIZE_MAX), 0);
        world_run_ms(&w, 3000);
        CHECK_INT(got.parts, 0);
        CHECK_INT(got.errors, 3); /* one for each */
        check_end(&w);
    }
}

/* proves API-124, API-120: what came of it was delivered, and that no more will is told. */
TEST(a_message_that_is_cut_after_its_first_parts_is_a_receive_error)
{
    struct world w;
    connect_to_framed(&w, 200000, 100000);
    CHECK_INT(receive(&w, 1, 50000), 0);
    got.again = true;
    world_run_ms(&w, 3000);
    CHECK(got.parts > 1);
    CHECK_INT(got.errors, 1);
    CHECK_INT(got.parts + got.errors, 1 + got.asked);
    CHECK_INT(got.bytes, 100000);
    check_end(&w);
}

/* ------------------------------------------------------------------------------------------------------- metadata */

/* proves API-125: not when it was asked for. */
TEST(a_message_tells_when_it_came)
{
    struct world w;
    connect_to_framed(&w, 10, 10);
    world_run_until_ready(&w);
    double before = taps_context_now_ms(w.context);
    CHECK_INT(receive(&w, 1, 3), 0); /* reading begins with the first */
    world_run_ms(&w, 1000);
    CHECK_INT(got.parts, 1);
    CHECK(got.came_ms >= before && got.came_ms < before + 100);
    CHECK_INT(receive(&w, SIZE_MAX, SIZE_MAX), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(got.messages, 1);
    CHECK(got.came_ms >= before && got.came_ms < before + 100);
    taps_message_context *fresh;
    taps_message_context_new(&fresh);
    CHECK(taps_message_context_received_ms(fresh) < 0);
    CHECK(taps_message_context_received_ms(NULL) < 0);
    taps_message_context_free(fresh);
    finish(&w);
}

/* proves API-125 */
TEST(a_copy_remembers_when_it_came)
{
    struct world w;
    connect_to_framed(&w, 10, 10);
    world_run_until_ready(&w);
    double before = taps_context_now_ms(w.context);
    CHECK_INT(receive(&w, SIZE_MAX, SIZE_MAX), 0);
    world_run_ms(&w, 1000);
    CHECK_INT(got.messages, 1);
    NEED(got.copy);
    CHECK(taps_message_context_received_ms(got.copy) == got.came_ms);
    CHECK(got.came_ms >= before && got.came_ms < before + 100);
    finish(&w);
}

/* --------------------------------------------------------------------------------------------- what may be pinned */

/* Bytes that come one by one, each into another block, since others read in between: the blocks are not all kept. */
TEST(a_trickle_does_not_pin_a_block_for_each_byte)
{
    struct world w;
    memset(&got, 0, sizeof(got));
    world_new(&w);
    tapsi_sim_serve(w.server, 80, TAPSI_SIM_SILENT);
    world_initiate(&w, V4, 0);
    if (w.connection)
        taps_connection_set_events(w.connection, &events, &w);
    world_run_until_ready(&w);
    NEED(w.connection);
    CHECK_INT(receive(&w, 5000, SIZE_MAX), 0);
    uint32_t before = w.context->loop.buffers.out;
    for (size_t i = 0; i < 5000; i++) {
        struct tapsi_buffer *block = tapsi_buffer_get(&w.context->loop.buffers);
        NEED(block);
        block->data[100] = byte_at(i);
        block->used = 101;
        tapsi_connection_data(
            w.connection, &(struct tapsi_slice){.data = block->data + 100, .length = 1, .buffer = block, .ecn = -1});
        tapsi_buffer_unref(block);
        CHECK(w.context->loop.buffers.out <= before + 8);
        if (i % 100 == 0)
            world_run_ms(&w, 1);
    }
    world_run_ms(&w, 10);
    CHECK_INT(got.parts, 1);
    CHECK_INT(got.bytes, 5000);
    CHECK_INT(got.wrong, 0);
    CHECK(w.context->loop.buffers.out <= before);
    finish(&w);
}
