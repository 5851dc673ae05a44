/*
 * For the tests of this folder: a client and a server on a simulated network, each with a loop of its own, and streams
 * with sinks that write down what came up and do as they were told.
 */
#ifndef TAPSI_STACK_QUIC_TEST_NET_H
#define TAPSI_STACK_QUIC_TEST_NET_H

#include "base/test.h"
#include "platform/sim/sim.h"
#include "select/security_lists.h"
#include "stack/quic/quic.h"
#include "stack/registry.h"

#define MS         TAPSI_SIM_MS
#define DELAY      (10 * MS)
#define PORT       4433
#define ENDS_MAX   256
#define MANY_BYTES (4 * 1024 * 1024)

struct net;

/* One stream, at one end. */
struct end {
    struct tapsi_sink sink;
    struct net *net;
    struct tapsi_layer *layer; /* NULL: destroyed */
    size_t window;             /* the credit granted at ready, and after each slice; 0 = none */
    bool echo, keeps;          /* `keeps`: the bytes, for tests that look at them */
    /* what came up */
    unsigned ready, closed, final, slices, stops, moves, warnings, misplaced;
    struct tapsi_error warning; /* the last soft error */
    struct tapsi_error error;   /* of closed; code 0 = closed(none) */
    struct tapsi_ready_info info;
    uint8_t *got;
    size_t got_length, wrong; /* bytes that are not those of net_byte */
    size_t got_early;
    size_t last_length; /* of the last slice */
    unsigned sent, failed;
    int last_result;
};

struct net {
    struct tapsi_mem mem, plain;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *hosts[2]; /* client, server */
    struct tapsi_sim_interface *interfaces[2];
    struct tapsi_sim_link *link;
    struct tapsi_platform *platforms[2];
    struct tapsi_loop loops[2];
    struct tapsi_security *security[2];
    struct tapsi_properties *properties[2];
    struct tapsi_env *envs[2];
    struct tapsi_caches *caches[2];     /* NULL: that end keeps no sessions (net_keep) */
    const struct tapsi_proto *proto[2]; /* what the client initiates, the server listens with */
    struct tapsi_layer *listener;
    struct tapsi_sink listener_sink;
    unsigned half_open;
    struct end ends[ENDS_MAX];
    unsigned count, accepted; /* ends; those of the peer's streams, by the Listener or not */
    struct end *server;       /* the first that the server accepted */
    size_t server_window;     /* credit of those, and of the client's that come by a stream */
    bool server_echo;
    const char *server_name, *local; /* of the next client: the address it comes from, or NULL */
    const char *early[4];            /* texts that are handed down before the next client starts; NULL ends */
    unsigned early_flags;            /* of the last of them, beside EARLY and END */
    size_t early_room;               /* that it told before */
    const char *remote;              /* where it finds the server */
    struct tapsi_error make_error;
    long blocks, allocations, fail_at; /* this allocation fails, 0 = none */
    bool fails_on;                     /* and all after it */
};

/* With certificates, ALPN "test" at both ends and a link of DELAY each way; nothing is made yet. */
void net_begin(struct net *n);
/* Both ends keep sessions to come back with; before net_open. */
void net_keep(struct net *n);
/* The environments, as the security and properties are now, and a listening server. */
void net_open(struct net *n);
/* Destroys everything and checks that nothing is left, or misplaced. */
void net_finish(struct net *n);

/* A session with its first stream, started: NULL if that failed. */
struct end *net_connect(struct net *n);
/* Another stream of its session, started. */
struct end *net_clone(struct net *n, struct end *of, enum taps_direction direction);
/* net_connect and run until it is ready, or has failed. */
struct end *net_handshake(struct net *n);
void net_run(struct net *n, uint64_t ns);
/* Until *what is at least `value`; false: not within `ns`. */
bool net_run_until(struct net *n, const unsigned *what, unsigned value, uint64_t ns);
bool net_run_until_bytes(struct net *n, const struct end *e, size_t bytes, uint64_t ns);

/* A copy; flags of enum tapsi_op_flags. 0, or what the layer answered. */
int net_send(struct end *e, const void *bytes, size_t count, unsigned flags);
int net_send_text(struct end *e, const char *text, unsigned flags);
/* So many bytes of the pattern that ends check: byte `at` of a stream is net_byte(at). */
void net_send_many(struct end *e, size_t from, size_t count, unsigned flags);
uint8_t net_byte(size_t at);
bool net_got(const struct end *e, const char *text);
void net_destroy(struct end *e, int reason);
struct quic_session *net_session(const struct end *e);
/* As by a NAT that forgets: the client's socket is another, and its engine is not told. */
void net_rebind(const struct end *e);

#endif
