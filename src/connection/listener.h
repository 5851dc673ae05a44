/* A Listener: sockets of every eligible stack on every local address, handshakes in progress, and what is delivered. */
#ifndef TAPSI_CONNECTION_LISTENER_H
#define TAPSI_CONNECTION_LISTENER_H

#include "connection/connection.h"
#include "establish/lookups.h"

#define TAPSI_LISTEN_MAX 64 /* sockets of one Listener */

struct taps_listener {
    struct tapsi_sink sink; /* of the listening layers */
    struct taps_context *context;
    struct tapsi_link link; /* the context's list */
    struct tapsi_task task; /* posted: dispatch; when freed: reap */
    struct tapsi_task begin;
    const struct taps_listener_events *events;
    void *user;
    struct tapsi_config *config;
    struct tapsi_plan *plan;
    struct tapsi_env *env;
    struct tapsi_lookups locals, remotes; /* names of both kinds of endpoint */
    struct tapsi_socket {
        struct tapsi_layer *layer;
        const struct tapsi_stack_row *row;
        struct taps_endpoint local;
    } * sockets;
    size_t socket_count;
    struct tapsi_link incoming; /* handshakes in progress, oldest first */
    struct tapsi_link accepted; /* Connections to be delivered */
    struct tapsi_timer patience;
    unsigned half_open;
    uint64_t limit;   /* Connections still delivered; TAPS_INFINITE */
    uint64_t waiting; /* accepted and not delivered yet */
    uint64_t dropped;
    struct tapsi_error *error;
    struct tapsi_error *refused; /* why new security parameters were not taken, or NULL */
    int end_code;
    bool has_lookups, begun, pending_listening, pending_end, stopping, ended, freed;
};

int tapsi_listener_new(struct taps_context *context, struct tapsi_config *config, struct tapsi_plan *plan,
                       const struct taps_listener_events *events, void *user, struct taps_listener **ret,
                       struct tapsi_error *ret_error);
int tapsi_listener_stop(struct taps_listener *listener);
void tapsi_listener_free(struct taps_listener *listener);
int tapsi_listener_limit(struct taps_listener *listener, uint64_t limit);

/* reload.c: security parameters for whoever comes from now on. 0, or a negative taps_err with `refused` filled in, and
   then the old ones stay. */
int tapsi_listener_reload(struct taps_listener *listener, const struct tapsi_security *security);

/* accept.c: from a listening layer's child to a Connection. */
void tapsi_listener_child(struct tapsi_sink *sink, struct tapsi_layer *layer, struct tapsi_layer *child);
void tapsi_listener_drop_incoming(struct taps_listener *listener);
void tapsi_listener_patience(struct tapsi_timer *timer);
/* How many more the listening layers may accept. */
void tapsi_listener_grant(struct taps_listener *listener);
/* sockets.c: opens everything there is to open. 0, or why nothing could be opened. */
int tapsi_listener_open(struct taps_listener *listener, struct tapsi_error *ret_error);
void tapsi_listener_close_sockets(struct taps_listener *listener);

#endif
