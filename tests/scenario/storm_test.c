/* Random calls against random peers on a bad network: whatever happens, the observer finds nothing wrong. */
#include <errno.h>
#include <string.h>
#include "observer.h"
#include "scenario.h"

#define V4 "192.0.2.1:80"

static void datagrams(struct world *w)
{
    taps_transport_properties_free(w->properties);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties);
}

/* ----------------------------------------------------------------------------------------------------- storm */

static unsigned dice(uint32_t *state, unsigned sides)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 16) % sides;
}

static void misbehave(struct world *w, uint32_t *state)
{
    static const enum tapsi_sim_fault faults[] = {TAPSI_SIM_FINE,   TAPSI_SIM_FINE,     TAPSI_SIM_BLACKHOLE,
                                                  TAPSI_SIM_REFUSE, TAPSI_SIM_PROHIBIT, TAPSI_SIM_UNREACHABLE};
    switch (dice(state, 4)) {
    case 0:
        tapsi_sim_link_fault(w->link, faults[dice(state, 6)]);
        break;
    case 1:
        tapsi_sim_link_loss(w->link, dice(state, 2) * 0.3);
        break;
    case 2:
        tapsi_sim_host_fail_call(w->client, 1 + dice(state, 20), dice(state, 2) ? ENOBUFS : 0);
        break;
    default:
        tapsi_sim_link_delay(w->link, dice(state, 60) * TAPSI_SIM_MS);
        break;
    }
}

static void one_step(struct world *w, struct tapsi_sim_service *s, uint32_t *state)
{
    static char big[60000];
    taps_message_context *context = NULL;
    if (!w->connection)
        return;
    switch (dice(state, 14)) {
    case 0:
    case 1:
    case 2:
        taps_connection_send(w->connection, big, dice(state, 3) ? dice(state, 200) : sizeof(big), NULL, 0, NULL);
        break;
    case 3:
        taps_message_context_new(&context);
        taps_message_context_set(context, "msgLifetime", "0.02");
        taps_message_context_set(context, "final", dice(state, 6) ? "false" : "true");
        taps_connection_send(w->connection, big, dice(state, 2000), context, 0, NULL);
        taps_message_context_free(context);
        break;
    case 4:
    case 5:
    case 6:
        taps_connection_receive(w->connection, dice(state, 2) ? 1 : SIZE_MAX, 1 + dice(state, 70000), NULL);
        break;
    case 7:
        if (dice(state, 4) == 0)
            taps_connection_close(w->connection);
        break;
    case 8:
        if (dice(state, 8) == 0)
            taps_connection_abort(w->connection);
        break;
    case 9:
        if (s && dice(state, 6) == 0)
            tapsi_sim_service_end_all(s, dice(state, 2));
        break;
    case 10:
        if (dice(state, 40) == 0) {
            taps_connection_free(w->connection);
            w->connection = NULL;
        }
        break;
    case 11:
        misbehave(w, state);
        break;
    default:
        world_run_ms(w, 1 + dice(state, 120));
        break;
    }
}

/* ------------------------------------------------------------------------------------- every way of sending */

static unsigned lent, released;

static void on_release(void *arg)
{
    (void)arg;
    released++;
}

static void lend(struct world *w, uint32_t *state, const taps_message_context *context, unsigned flags)
{
    static char bytes[40000];
    struct iovec pieces[TAPS_PIECES_MAX];
    size_t count = dice(state, TAPS_PIECES_MAX + 1);
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct iovec){bytes + dice(state, 30000), dice(state, dice(state, 3) ? 50 : 5000)};
    if (dice(state, 2))
        taps_connection_sendv(w->connection, pieces, count, context, flags, NULL);
    else if (taps_connection_send_lent(w->connection, pieces, count, context, flags, NULL, on_release, NULL) == 0)
        lent++;
}

static void send_buffer(struct world *w, uint32_t *state, const taps_message_context *context, unsigned flags)
{
    taps_buffer *b = NULL;
    if (taps_buffer_new(w->context, dice(state, 3000), dice(state, 20), &b) != 0)
        return;
    memset(taps_buffer_data(b), 'x', taps_buffer_length(b));
    taps_buffer_prepend(b, "a head", dice(state, 7));
    taps_connection_send_buffer(w->connection, b, context, flags, NULL);
    if (dice(state, 8))
        taps_buffer_unref(b); /* else it goes with the context */
}

static taps_message_context *some_properties(uint32_t *state)
{
    static const char *const names[] = {"msgLifetime", "msgPriority", "msgReliable",    "msgOrdered",
                                        "final",       "msgPriority", "noFragmentation"};
    static const char *const values[] = {"0.03", "7", "false", "true", "true", "200", "true"};
    taps_message_context *context = NULL;
    unsigned which = dice(state, 24);
    if (which >= 7 || (which == 4 && dice(state, 4)) || taps_message_context_new(&context) != 0)
        return NULL;
    taps_message_context_set(context, names[which], values[which]);
    return context;
}

static void data_step(struct world *w, uint32_t *state)
{
    if (!w->connection)
        return;
    taps_message_context *context = some_properties(state);
    unsigned flags = dice(state, 4) ? 0 : TAPS_SEND_PARTIAL;
    switch (dice(state, 8)) {
    case 0:
    case 1:
    case 2:
        lend(w, state, context, flags);
        break;
    case 3:
    case 4:
        send_buffer(w, state, context, flags);
        break;
    case 5:
        taps_connection_start_batch(w->connection);
        break;
    case 6:
        taps_connection_end_batch(w->connection);
        break;
    default:
        taps_connection_set_property(w->connection, "_taps.sendBuffer", dice(state, 3) ? "unlimited" : "20000");
        break;
    }
    taps_message_context_free(context);
}

static void one_storm(uint32_t seed, bool data)
{
    struct world w;
    uint32_t state = seed;
    lent = released = 0;
    world_new(&w);
    bool stream = dice(&state, 3);
    if (!stream)
        datagrams(&w);
    struct tapsi_sim_service *s = tapsi_sim_serve(w.server, 80, (enum tapsi_sim_behaviour)dice(&state, 6));
    tapsi_sim_service_bytes(s, "something to say", 16);
    tapsi_sim_service_reset_after(s, dice(&state, 5000));
    tapsi_sim_udp_echo(w.server, 80);
    tapsi_sim_dns_answer(w.dns, "dual.test", "AAAA", "2001:db8::1", dice(&state, 300) * TAPSI_SIM_MS);
    tapsi_sim_dns_answer(w.dns, "dual.test", "A", "192.0.2.1", dice(&state, 300) * TAPSI_SIM_MS);
    world_initiate(&w, dice(&state, 2) ? "dual.test:80" : V4, 1 + dice(&state, 8000));
    for (int i = 0; i < 60; i++) {
        one_step(&w, s, &state);
        if (data)
            data_step(&w, &state);
    }
    if (w.connection && taps_connection_state(w.connection) != TAPS_CLOSED)
        taps_connection_close(w.connection);
    tapsi_sim_link_fault(w.link, TAPSI_SIM_FINE);
    tapsi_sim_link_loss(w.link, 0);
    if (w.connection)
        world_run_until_end(&w);
    if (w.connection)
        if (w.heard.closed + w.heard.connection_error + w.heard.establishment_error != 1)
            tapsi_test_fail(__FILE__, __LINE__, "seed %u: no end (state %d)", (unsigned)seed,
                            (int)taps_connection_state(w.connection));
    world_finish(&w);
    CHECK_INT(released, lent);
}

/* Random calls, peers and faults; after Close or Abort there is always exactly one end. What must hold in between is
   the observer's to say. proves ARCH-01, API-111, API-120, API-144, API-145 */
TEST(whatever_happens_events_keep_their_rules)
{
    unsigned before = observer_events();
    for (uint32_t seed = 1; seed <= tapsi_test_rounds(300, 300, 3000); seed++)
        one_storm(seed * 2654435761u, false);
    CHECK(observer_events() > before + 1000);
}

/* The same with Messages in pieces, lent, in buffers, in parts and in batches, under a bound, and with properties that
   the stack may not have; what is lent comes back once. proves API-109, API-111, API-112, API-113 */
TEST(whatever_is_sent_and_however_events_keep_their_rules)
{
    for (uint32_t seed = 1; seed <= tapsi_test_rounds(300, 300, 5000); seed++)
        one_storm(seed * 2654435761u, true);
}
