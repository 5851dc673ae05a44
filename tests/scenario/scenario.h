/*
 * The whole library on a simulated network, in virtual time. A scenario is a test that describes a world, initiates,
 * runs, and asks what happened. Every scenario ends with `finish`, which checks that nothing is left: memory, sockets,
 * events after the last one, calls inside calls.
 */
#ifndef TESTS_SCENARIO_H
#define TESTS_SCENARIO_H

#include <taps/taps.h>
#include "base/test.h"
#include "platform/sim/sim.h"

/* What one Connection's events said, in order of first appearance where that matters. */
struct heard {
    unsigned ready, establishment_error, sent, expired, send_error, received, received_partial, receive_error,
        soft_error, path_change, closed, connection_error;
    unsigned total, after_end, inside_call;
    double ready_ms, end_ms; /* since the context was made */
    int code, native;        /* of the error that ended it */
    enum taps_domain domain; /* of `native` */
    char detail[300];
    int send_error_code, receive_error_code;
    char data[70000];
    size_t length;
    bool final;
    void *last_tag;
};

struct world {
    struct tapsi_sim *sim;
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_interface *client_if, *server_if;
    struct tapsi_sim_link *link;
    struct tapsi_sim_dns *dns;
    struct taps_context_options options;
    taps_context *context;
    taps_transport_properties *properties;
    taps_security_parameters *security;
    taps_preconnection *preconnection;
    taps_connection *connection;
    struct heard heard;
    bool in_call;      /* set around calls of the library: no event may come then */
    bool keep_reading; /* Receive(1, 65536) again after every Received */
    size_t blocks;     /* of memory, now */
    int initiated;     /* what Initiate said */
};

/* A client (192.0.2.2, 2001:db8::2) and a server (192.0.2.1, 2001:db8::1, and whatever is added) on one link of 5 ms
   each way; the server is the name server. Security is disabled until a test says otherwise. */
void world_new(struct world *w);
/* The same, with other dice for what its links do by chance. */
void world_new_seeded(struct world *w, uint64_t seed);
/* Before world_start: more addresses of the server, "192.0.2.11/24". */
void world_server_address(struct world *w, const char *address);
/* Makes the context and the Preconnection. */
void world_start(struct world *w);
/* A context on `host` that runs while others do; NULL, which is a failed check, where there was no memory for it. */
taps_context *world_context(struct tapsi_sim *sim, struct tapsi_sim_host *host,
                            const struct taps_context_options *options);
/* One more interface of the client, on a link of its own to one more of the server; both with these addresses. */
struct tapsi_sim_interface *world_second_path(struct world *w, const char *name, enum tapsi_interface_type type,
                                              const char *client_addresses, const char *server_addresses);
/* Adds the Remote Endpoint and initiates; timeout_ms 0 = the default. */
void world_initiate(struct world *w, const char *remote, uint64_t timeout_ms);
/* Until the Connection is Ready or has ended. */
void world_run_until_ready(struct world *w);
/* Until it has ended (Closed, ConnectionError or EstablishmentError). */
void world_run_until_end(struct world *w);
/* Until so many milliseconds of virtual time have passed. */
void world_run_ms(struct world *w, uint64_t ms);
/* The report of the Connection is a tree as RFC 9623 wants it: see the function. */
void world_check_tree(const struct world *w);
/* Frees everything and checks that nothing is left, and the tree. */
void world_finish(struct world *w);

extern const struct taps_connection_events world_events;

/* The leaf towards `remote` ("[2001:db8::1]:80"); false if the report has none. */
bool world_candidate(const struct world *w, const char *remote, struct taps_candidate_info *ret);
/* How many candidates are in this state (leaves only). */
unsigned world_count(const struct world *w, enum taps_candidate_state state);
/* The winner's remote, or "". */
const char *world_winner(const struct world *w);

#endif
