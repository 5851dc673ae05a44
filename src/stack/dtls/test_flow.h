/*
 * Two ends of one DTLS association for tests, over datagrams in memory that are lost, late, repeated and changed as the
 * test says, in virtual time. Each end has a sink that checks what comes up and counts it.
 *
 * Messages are numbered: the first four bytes say which one it is, and the others follow from that.
 */
#ifndef TAPSI_STACK_DTLS_TEST_FLOW_H
#define TAPSI_STACK_DTLS_TEST_FLOW_H

#include "platform/sim/sim.h"
#include "stack/dtls/dtls.h"
#include "stack/tls/test_pair.h" /* the identities */

#define TAPSI_TEST_DELAY    (10 * TAPSI_MS)
#define TAPSI_TEST_MESSAGES 1024 /* numbers below this are looked at for repetition */

struct tapsi_test_flow;

/* A layer of datagrams. */
struct tapsi_test_port {
    struct tapsi_layer layer;
    struct tapsi_test_flow *flow;
    struct tapsi_test_port *peer; /* NULL once that is freed */
    struct tapsi_link coming;     /* on their way here, or arrived and not taken */
    struct tapsi_timer timer;
    size_t coming_count;
    union tapsi_addr remote;
    uint64_t sent, bytes; /* datagrams given to it, and their bytes */
    size_t longest;
    int start_error; /* start ends in closed(this) */
    bool blocked;    /* the kernel takes no more */
    bool destroyed;
};

struct tapsi_test_flow_end {
    struct tapsi_sink sink;
    struct tapsi_env *env;
    struct tapsi_layer *top; /* DTLS; NULL when destroyed */
    struct tapsi_test_port *port;
    size_t window; /* the credit granted at first and after each Message; 0 = none */
    bool destroy_in_ready, destroy_in_data, destroy_in_closed;
    /* what came up */
    struct tapsi_ready_info info;
    unsigned ready, closed, messages, repeated, soft, paths;
    unsigned misplaced;       /* after closed, before ready, without credit, not what was sent */
    struct tapsi_error error; /* of closed; code 0 = closed(none) */
    int ecn;
    size_t length; /* of the newest Message */
    uint8_t seen[TAPSI_TEST_MESSAGES];
    unsigned sent, failed; /* ops done with 0, and with an error */
    int last_result;
};

struct tapsi_test_flow {
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_loop loop;
    struct tapsi_security *security[2]; /* of the client, of the server: to be filled before open */
    struct tapsi_properties *properties;
    struct tapsi_caches *caches[2]; /* of the client, of the server; NULL: isolated */
    struct tapsi_test_flow_end client, server;
    const char *server_name;
    /* the network */
    uint32_t random;
    unsigned loss, repeat; /* percent */
    uint64_t late;         /* so much more at most, for each datagram */
    uint32_t mtu;
    int ecn;
    /* Looks at each datagram that one side (0 = the client) sends, and may change it in place, shorten it to 0 bytes
       (then it comes empty), or say false: lost. NULL = nothing. */
    bool (*tamper)(struct tapsi_test_flow *flow, int side, uint8_t *bytes, size_t *length);
    unsigned count[2]; /* datagrams that each side has sent, before `tamper` */
    void *user;
    /* memory */
    long blocks, allocations, fail_at;
    long wrong; /* what was found so in associations before this one */
    struct tapsi_error make_error;
};

/* The client trusts tapsi_test_authority, the server shows tapsi_test_server; both have credit. */
bool tapsi_test_flow_init(struct tapsi_test_flow *f);
/* Makes both ends and starts them: 0, or the error of the make or start that failed. */
int tapsi_test_flow_open(struct tapsi_test_flow *f);
void tapsi_test_flow_run(struct tapsi_test_flow *f, uint64_t ns);
/* open, and run until both are ready or one is closed, 60 seconds at most: true if both are ready. */
bool tapsi_test_flow_handshake(struct tapsi_test_flow *f);
/* Destroys both ends, so that the next open is another association with the same parameters and caches. */
void tapsi_test_flow_again(struct tapsi_test_flow *f);
/* Message `number`, of at least four bytes: 0 or what the layer answered. */
int tapsi_test_flow_send(struct tapsi_test_flow_end *end, unsigned number, size_t length);
/* A datagram from nowhere. */
void tapsi_test_flow_arrive(struct tapsi_test_port *port, const void *bytes, size_t length, uint64_t delay);
void tapsi_test_flow_grant(struct tapsi_test_flow_end *end, size_t window);
void tapsi_test_flow_destroy(struct tapsi_test_flow_end *end, int reason);
/* Destroys and frees everything. Returns blocks leaked plus what the sinks found misplaced: 0 is right. */
long tapsi_test_flow_done(struct tapsi_test_flow *f);

#endif
