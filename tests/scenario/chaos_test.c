/*
 * Random calls in every event and between them, by both sides, on a bad network, with memory and the platform's calls
 * failing now and then. Nothing is asked but the invariants: one last event, one answer to each Send and Receive that
 * was taken, an end to every Close, and nothing left. The same seed gives the same run; its number is said when it
 * fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trial.h"

#define SEEDS 400
#define STEPS 120

static char junk[70000];

static unsigned dice(struct trial *t, unsigned sides)
{
    t->dice_state = t->dice_state * 1664525u + 1013904223u;
    return (t->dice_state >> 16) % sides;
}

/* ------------------------------------------------------------------------------------------------- what is done */

static void send_with(struct trial *t, struct party *p, const char *name, const char *value)
{
    taps_message_context *context;
    taps_message_context_new(&context);
    taps_message_context_set(context, name, value);
    trial_send(p, junk, dice(t, 20000), context, 0);
    taps_message_context_free(context);
}

static void send_something(struct trial *t, struct party *p)
{
    switch (dice(t, 8)) {
    case 0:
        trial_send(p, junk, dice(t, sizeof(junk)), NULL, 0);
        break;
    case 1:
        send_with(t, p, "msgLifetime", dice(t, 2) ? "0.02" : "0.2");
        break;
    case 2:
        send_with(t, p, "msgPriority", dice(t, 2) ? "5" : "200");
        break;
    case 3:
        if (dice(t, 3) == 0)
            send_with(t, p, "final", "true");
        break;
    case 4:
        trial_send(p, junk, dice(t, 100), NULL, TAPS_SEND_PARTIAL);
        break;
    default:
        trial_send(p, junk, dice(t, 300), NULL, 0);
    }
}

static void end_it(struct trial *t, struct party *p)
{
    taps_connection *c = p->connection;
    unsigned how = dice(t, 24);
    if (how < 6) {
        taps_connection_close(c);
    } else if (how < 9) {
        taps_connection_abort(c);
    } else if (how < 12) {
        p->connection = NULL;
        taps_connection_free(c);
    }
}

static void look(struct trial *t, taps_connection *c)
{
    struct taps_candidate_info info;
    const taps_report *report = taps_connection_report(c);
    for (size_t i = 0; i < taps_report_candidate_count(report); i++)
        CHECK_INT(taps_report_candidate(report, i, &info), 0);
    taps_connection_local(c);
    taps_connection_remote(c);
    taps_connection_set_property(c, "_closeTimeout", dice(t, 2) ? "3" : "30");
    taps_connection_set_property(c, "connCapacityProfile", "scavenger");
}

static void act(struct trial *t, struct party *p)
{
    if (!p->connection)
        return;
    switch (dice(t, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        send_something(t, p);
        break;
    case 5:
    case 6:
    case 7:
        trial_receive(p, dice(t, 4) ? 1 : dice(t, 200000), dice(t, 3) ? 65536 : 1 + dice(t, 1000));
        break;
    case 8:
        end_it(t, p);
        break;
    case 9:
        taps_connection_start_batch(p->connection);
        break;
    case 10:
        taps_connection_end_batch(p->connection);
        break;
    default:
        look(t, p->connection);
    }
}

static void act_somewhere(struct trial *t)
{
    if (t->party_count && dice(t, 2))
        act(t, &t->parties[dice(t, t->party_count)]);
}

/* In each event. */
static void meddle(struct trial *t, struct party *p)
{
    if (p->connection && !p->final && dice(t, 4))
        trial_receive(p, 1, 65536);
    if (dice(t, 3) == 0)
        act(t, p);
    act_somewhere(t);
}

/* --------------------------------------------------------------------------------------------- what happens to it */

static void trouble(struct trial *t)
{
    static const int errors[] = {0, ENOBUFS, EMFILE, EINTR, EAGAIN, ENOMEM};
    static const enum tapsi_sim_fault faults[] = {TAPSI_SIM_FINE,      TAPSI_SIM_FINE,   TAPSI_SIM_FINE,
                                                  TAPSI_SIM_BLACKHOLE, TAPSI_SIM_REFUSE, TAPSI_SIM_UNREACHABLE};
    switch (dice(t, 24)) {
    case 0:
        tapsi_sim_link_fault(t->link, faults[dice(t, 6)]);
        break;
    case 1:
        tapsi_sim_link_loss(t->link, dice(t, 3) * 0.2);
        break;
    case 2:
    case 3:
        tapsi_sim_fail_call(t->sim, 1 + dice(t, 20), errors[dice(t, 6)]);
        break;
    case 4:
        if (t->listener && dice(t, 20) == 0)
            taps_listener_stop(t->listener);
        break;
    case 5:
        if (t->listener)
            taps_listener_set_new_connection_limit(t->listener, dice(t, 4));
        break;
    case 6:
        if (dice(t, 30) == 0) {
            taps_listener_free(t->listener);
            t->listener = NULL;
        }
        break;
    default:
        break;
    }
}

static void begin(struct trial *t, unsigned seed)
{
    trial_begin(t);
    t->dice = dice;
    t->dice_state = seed * 2654435761u + 1;
    t->meddle = meddle;
    unsigned kind = dice(t, 3);
    if (kind == 1)
        trial_be_datagrams(t);
    else if (kind == 2)
        trial_secure(t);
    if (dice(t, 3) == 0)
        taps_transport_properties_set(t->properties, "softErrorNotify", "prefer");
    CHECK(trial_start_server(t, ":80"));
    CHECK(trial_start_client(t));
    t->poverty = dice(t, 3) ? 0 : 20 + dice(t, 500);
    for (int i = 0; i < 2; i++)
        trial_initiate(t, dice(t, 2) ? V4 : NAME);
}

static void storm(struct trial *t, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        for (unsigned k = dice(t, 4); k > 0; k--)
            act_somewhere(t);
        trouble(t);
        trial_run(t, dice(t, 40) * TAPSI_SIM_MS * (dice(t, 20) ? 1 : 50));
    }
}

static void calm(struct trial *t)
{
    tapsi_sim_link_fault(t->link, TAPSI_SIM_FINE);
    tapsi_sim_link_loss(t->link, 0);
    tapsi_sim_fail_call(t->sim, 0, 0);
    t->poverty = 0;
    t->meddle = NULL;
}

/* Everybody Closes, what the Listener has delivered meanwhile too. */
static void close_all(struct trial *t)
{
    trial_run(t, SECONDS(40));
    taps_listener_free(t->listener);
    t->listener = NULL;
    for (unsigned k = 0; k < t->party_count; k++)
        taps_connection_close(t->parties[k].connection);
    CHECK(trial_run_until_all_over(t, SECONDS(400)));
    trial_abort_rest(t);
}

TEST(close_ends_whatever_was_begun)
{
    tapsi_test_limit(200);
    for (unsigned seed = 1; seed <= SEEDS && !tapsi_test_failed(); seed++) {
        struct trial t;
        begin(&t, seed);
        storm(&t, STEPS);
        calm(&t);
        close_all(&t);
        trial_finish(&t);
        if (tapsi_test_failed())
            printf("# seed %u\n", seed);
    }
}

TEST(context_ends_whatever_was_begun)
{
    tapsi_test_limit(200);
    for (unsigned seed = 1; seed <= SEEDS && !tapsi_test_failed(); seed++) {
        struct trial t;
        begin(&t, seed);
        storm(&t, dice(&t, STEPS));
        t.party_count = 0; /* forgotten */
        t.listener = NULL;
        trial_finish(&t);
        if (tapsi_test_failed())
            printf("# seed %u\n", seed);
    }
}
