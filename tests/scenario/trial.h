/*
 * One run of the whole library under failures: a client's and a server's context on a simulated network, with an
 * allocator that fails as the test says, and Connections that count what they took and what they heard of it.
 */
#ifndef TESTS_TRIAL_H
#define TESTS_TRIAL_H

#include <taps/taps.h>
#include "base/test.h"
#include "platform/sim/sim.h"

#define SECONDS(n) ((n)*TAPSI_SIM_S)
#define NAME       "dual.test:80" /* both families of the server */
#define V4         "192.0.2.1:80"
#define PARTIES    8

struct trial;

/* One Connection and what it heard. */
struct party {
    struct trial *trial;
    taps_connection *connection; /* NULL: freed */
    bool from_listener;          /* echoes, and Closes when the other side has ended */
    unsigned ready, finals, late, sends, sends_answered, receives, receives_answered;
    size_t bytes;
    bool final;
};

struct trial {
    size_t allocations, fail_at, blocks; /* the fail_at-th allocation fails; 0 = none */
    unsigned (*dice)(struct trial *trial, unsigned sides);
    unsigned poverty; /* one in so many allocations fails, by `dice`; 0 = none */
    uint32_t dice_state;
    bool allocation_failed;
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_link *link;
    struct tapsi_sim_dns *dns;
    taps_context *contexts[2]; /* the client's, the server's */
    taps_transport_properties *properties;
    taps_security_parameters *client_security, *server_security;
    struct party parties[PARTIES];
    unsigned party_count;
    taps_listener *listener;
    void (*meddle)(struct trial *trial,
                   struct party *party); /* in each event, instead of what parties do by themselves */
    taps_log_fn log;                     /* of both contexts, at every level; NULL: none */
    bool datagrams;
    unsigned listening, listener_over, resolved;
    bool passed; /* everything that the scenario is about has happened */
};

/* A world without security and without contexts. */
void trial_begin(struct trial *t);
void trial_be_datagrams(struct trial *t);
void trial_secure(struct trial *t);
/* Each checks its invariants. Everything goes, and nothing may be left. */
void trial_finish(struct trial *t);

/* False where memory failed. */
bool trial_start_client(struct trial *t);
/* With a Listener that is listening. */
bool trial_start_server(struct trial *t, const char *local);
/* NULL where memory failed; which: 0 client, 1 server. */
taps_preconnection *trial_preconnection(struct trial *t, int which, const char *local, const char *remote);
struct party *trial_party(struct trial *t);
/* NULL where it was refused. */
struct party *trial_initiate(struct trial *t, const char *remote);
/* Of one that is not freed; not at all where the parties are used up. */
struct party *trial_clone(struct party *p);
void trial_receive(struct party *p, size_t min, size_t max);
void trial_send(struct party *p, const void *data, size_t length, const taps_message_context *context, unsigned flags);

void trial_run(struct trial *t, uint64_t ns);
/* Until the first party is ready or over; is over; has so many bytes or is over. */
void trial_run_until_ready(struct trial *t, uint64_t ns);
void trial_run_until_over(struct trial *t, uint64_t ns);
void trial_run_until_bytes(struct trial *t, size_t bytes, uint64_t ns);
/* Until all are over; false: they are not. */
bool trial_run_until_all_over(struct trial *t, uint64_t ns);
/* Everybody ends by himself, but the server's Connections over UDP, which are not told: they are aborted. */
void trial_end_all(struct trial *t);
/* Abort ends at once what nothing else would. */
void trial_abort_rest(struct trial *t);

extern const struct taps_connection_events trial_events;

#endif
