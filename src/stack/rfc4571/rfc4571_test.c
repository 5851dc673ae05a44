/* What is particular to this protocol: heads in pieces, a peer that ends in the middle, credit. What all protocols must
   do is in tests/conformance. */
#include <string.h>
#include "base/test.h"
#include "stack/registry.h"
#include "stack/tls/test_stream.h"

struct end {
    struct tapsi_sink sink;
    struct tapsi_mem mem;
    struct tapsi_loop loop;
    struct tapsi_properties *properties;
    struct tapsi_env *env;
    struct tapsi_test_stream *stream;
    struct tapsi_layer *top;
    unsigned messages, finals, closed, pieces;
    int error;
    char bytes[256];
    size_t length;
};

static void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    struct end *e = TAPSI_CONTAINER(sink, struct end, sink);
    (void)layer;
    e->pieces++;
    e->messages += slice->flags == TAPSI_SLICE_END;
    e->finals += (slice->flags & TAPSI_SLICE_FINAL) != 0;
    if (slice->length && e->length + slice->length <= sizeof(e->bytes))
        memcpy(e->bytes + e->length, slice->data, slice->length);
    e->length += slice->length;
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct end *e = TAPSI_CONTAINER(sink, struct end, sink);
    (void)layer;
    e->closed++;
    e->error = error ? error->pub.code : 0;
}

static const struct tapsi_sink_ops sink_ops = {.data = on_data, .closed = on_closed};

/* A framed connection over an accepted stream, with credit. */
static void open_end(struct end *e, size_t want)
{
    struct tapsi_target target = {.remote = NULL};
    struct tapsi_error error;
    memset(e, 0, sizeof(*e));
    e->sink.ops = &sink_ops;
    tapsi_mem_init(&e->mem, NULL);
    CHECK_INT(tapsi_test_loop_init(&e->loop, &e->mem), 0);
    e->properties = tapsi_properties_new(&e->mem);
    e->env = tapsi_env_new(&e->loop, e->properties, NULL, NULL);
    e->stream = tapsi_test_stream_new(e->env, TAPSI_ROLE_SERVER, true);
    CHECK_INT(tapsi_proto_rfc4571.make(e->env, &target, TAPSI_ROLE_SERVER, &e->stream->layer, &e->top, &error), 0);
    e->top->up = &e->sink;
    CHECK_INT(tapsi_layer_start(e->top), 0);
    tapsi_test_loop_run(&e->loop);
    CHECK_INT(e->top->state, TAPSI_LAYER_READY);
    tapsi_layer_want(e->top, want);
}

static void arrive(struct end *e, const char *bytes, size_t count)
{
    tapsi_test_stream_arrive(e->stream, bytes, count);
    tapsi_test_loop_run(&e->loop);
}

static void end_stream(struct end *e)
{
    tapsi_test_stream_end(e->stream);
    tapsi_test_loop_run(&e->loop);
}

static void close_end(struct end *e)
{
    tapsi_layer_destroy(e->top, 0);
    tapsi_test_loop_run(&e->loop);
    tapsi_env_unref(e->env);
    tapsi_properties_unref(e->properties);
    tapsi_loop_done(&e->loop);
}

static const char three[] = "\0\3abc\0\0\0\2de";

TEST(a_stream_in_pieces_of_any_size_gives_the_same_messages)
{
    for (size_t step = 1; step < sizeof(three); step++) {
        struct end e;
        open_end(&e, 1000);
        for (size_t at = 0; at < sizeof(three) - 1; at += step)
            arrive(&e, three + at, at + step < sizeof(three) ? step : sizeof(three) - 1 - at);
        CHECK_INT(e.messages, 3);
        CHECK_INT(e.length, 5);
        CHECK(memcmp(e.bytes, "abcde", 5) == 0);
        end_stream(&e);
        CHECK_INT(e.finals, 1);
        close_end(&e);
    }
}

TEST(an_end_in_a_head_or_in_a_message_is_an_error)
{
    for (size_t length = 1; length < sizeof(three) - 1; length++) {
        bool between = length == 5 || length == 7;
        struct end e;
        open_end(&e, 1000);
        arrive(&e, three, length);
        end_stream(&e);
        CHECK_INT(e.finals, between);
        CHECK_INT(e.closed, !between);
        CHECK_INT(e.error, between ? 0 : TAPS_E_TRUNCATED);
        close_end(&e);
    }
}

TEST(without_credit_nothing_is_read)
{
    struct end e;
    open_end(&e, 0);
    arrive(&e, three, sizeof(three) - 1);
    CHECK_INT(e.pieces, 0);
    CHECK_INT(e.stream->delivered, 0);
    tapsi_layer_want(e.top, 1);
    tapsi_test_loop_run(&e.loop);
    CHECK(e.length <= 1 + 2); /* a head's worth more than was asked for */
    while (e.pieces < 20 && e.stream->begin < e.stream->end) {
        tapsi_layer_want(e.top, 1);
        tapsi_test_loop_run(&e.loop);
        e.pieces++;
    }
    CHECK_INT(e.length, 5);
    close_end(&e);
}

TEST(a_reset_is_passed_on_and_ends_it)
{
    struct end e;
    open_end(&e, 100);
    arrive(&e, "\0\7ab", 4);
    tapsi_test_stream_reset(e.stream);
    tapsi_test_loop_run(&e.loop);
    CHECK_INT(e.closed, 1);
    CHECK_INT(e.error, TAPS_E_ABORTED);
    close_end(&e);
}
