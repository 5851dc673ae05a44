/*
 * Random calls by both ends of a session, in and between events, on a network that fails now and then. Nothing is asked
 * but the invariants: one last event for each stream, and nothing left; the observer asks its own. The same seed is the
 * same run; TAPS_SEED=N runs that one alone.
 */
#include "streams.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS 60

static uint32_t state;
static struct streams *world;

static unsigned dice(unsigned sides)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % sides;
}

static void something(struct stream *t);

static void clone_it(struct stream *t)
{
    static const char *const directions[] = {"bidirectional", "bidirectional", "unidirectional send",
                                             "unidirectional receive"};
    taps_transport_properties *p = NULL;
    struct stream *ret;
    if (t->end->count >= STREAMS)
        return;
    unsigned which = dice(4);
    taps_transport_properties_new(&p);
    taps_transport_properties_set(p, "direction", directions[which]);
    if (streams_clone(t, which ? p : NULL, &ret) == 0 && dice(2))
        streams_send(ret, "hello");
    if (ret->connection && dice(3) == 0)
        ret->act = something;
    taps_transport_properties_free(p);
}

static void set_something(struct stream *t)
{
    static const char *const what[][2] = {
        {"connPriority", "7"},           {"connPriority", "300"}, {"groupConnLimit", "3"},
        {"groupConnLimit", "unlimited"}, {"connTimeout", "9"},    {"connScheduler", "priority"},
        {"connScheduler", "round-robin"}};
    unsigned i = dice(7);
    taps_connection_set_property(t->connection, what[i][0], what[i][1]);
}

static void end_something(struct stream *t)
{
    switch (dice(8)) {
    case 0:
        taps_connection_abort(t->connection);
        break;
    case 1:
        streams_free(t);
        break;
    case 2:
        if (dice(5) == 0)
            taps_connection_close_group(t->connection);
        break;
    case 3:
        if (dice(8) == 0)
            taps_connection_abort_group(t->connection);
        break;
    default:
        taps_connection_close(t->connection);
    }
}

static void of_the_listener(void)
{
    switch (dice(6)) {
    case 0:
        taps_listener_stop(world->listener);
        break;
    case 1:
        taps_listener_set_new_connection_limit(world->listener, dice(3));
        break;
    default:
        taps_listener_set_new_connection_limit(world->listener, TAPS_INFINITE);
    }
}

static void something(struct stream *t)
{
    unsigned length;
    switch (dice(12)) {
    case 0:
    case 1:
    case 2:
        clone_it(t);
        break;
    case 3:
        end_something(t);
        break;
    case 4:
        set_something(t);
        break;
    case 5:
        taps_connection_receive(t->connection, 1, 65536, NULL);
        break;
    case 6:
        t->act = something;
        break;
    case 7:
        if (dice(8) == 0)
            of_the_listener();
        break;
    default:
        length = dice(4) ? dice(500) : dice(300000);
        streams_send_bytes(t, length);
    }
}

static void step(struct streams *s)
{
    struct end *e = dice(3) ? &s->client : &s->server;
    e->deaf = dice(6) == 0;
    e->reads = dice(4) != 0;
    e->frees = dice(12) == 0;
    if (e->count)
        something(&e->streams[dice(e->count)]);
    if (dice(40) == 0)
        tapsi_sim_link_up(s->w.link, false);
    if (dice(10) == 0)
        tapsi_sim_link_up(s->w.link, true);
    unsigned ms = dice(3) ? dice(5) : dice(60);
    streams_run(s, ms);
}

/* What still lives is closed, or freed as it is. */
static void play(unsigned seed)
{
    struct streams s;
    state = seed;
    tapsi_test_doing("seed %u", seed);
    streams_new(&s);
    world = &s;
    if (dice(4) == 0)
        taps_transport_properties_set(s.w.properties, "groupConnLimit", "4");
    struct stream *first = streams_initiate(&s);
    first->act = something;
    for (unsigned i = 0; i < STEPS; i++)
        step(&s);
    if (dice(2)) {
        for (unsigned i = 0; i < STREAMS; i++) {
            taps_connection_close(s.client.streams[i].connection);
            taps_connection_close(s.server.streams[i].connection);
        }
        streams_run(&s, dice(2) ? 100 : 40000);
    }
    streams_finish(&s);
}

/* proves API-142, API-144 and API-145 */
TEST(random_calls_break_no_rule_of_streams)
{
    const char *one = getenv("TAPS_SEED");
    unsigned count = (unsigned)tapsi_test_rounds(300, 30, 20000);
    if (one) {
        play((unsigned)strtoul(one, NULL, 10));
        return;
    }
    for (unsigned seed = 1; seed <= count; seed++)
        play(seed);
}
