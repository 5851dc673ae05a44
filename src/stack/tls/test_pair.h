/*
 * Two ends of one connection for tests: TLS over a stream in memory on both sides, with a sink on each that writes down
 * what came up and does as it was told.
 */
#ifndef TAPSI_STACK_TLS_TEST_PAIR_H
#define TAPSI_STACK_TLS_TEST_PAIR_H

#include "stack/secure/test_certificates.h"
#include "stack/tls/test_stream.h"

enum tapsi_test_moment { TAPSI_TEST_NEVER, TAPSI_TEST_READY, TAPSI_TEST_DATA, TAPSI_TEST_DONE, TAPSI_TEST_CLOSED };

struct tapsi_test_end {
    struct tapsi_sink sink;
    struct tapsi_env *env;
    struct tapsi_layer *top; /* TLS, or the stream itself in a plain end; NULL when destroyed */
    struct tapsi_test_stream *stream;
    size_t window; /* the credit granted at start and after each slice; 0 = none */
    enum tapsi_test_moment destroy_in;
    const char *reply; /* sent in `ready` */
    const char *early; /* sent before start, EARLY; what was said to it */
    int early_result;
    /* what came up */
    struct tapsi_ready_info info;
    size_t got_early; /* bytes of `got` that were marked EARLY: the first ones, or they are misplaced */
    unsigned ready, closed, final, slices, misplaced; /* misplaced: after closed, before ready, without credit */
    struct tapsi_error error;                         /* of closed; code 0 = closed(none) */
    uint8_t *got;
    size_t got_length;
    unsigned sent, failed; /* ops done with 0, and with an error */
    int last_result;
    unsigned next_sent, next_done, out_of_order;
};

struct tapsi_test_pair {
    struct tapsi_mem mem;
    struct tapsi_loop loop;
    struct tapsi_security *security[2]; /* of the client, of the server: to be filled before open */
    struct tapsi_properties *properties;
    struct tapsi_caches *caches[2]; /* of the client, of the server; NULL: isolated */
    struct tapsi_test_end client, server;
    bool plain[2];           /* no TLS at this end: the test speaks */
    const char *server_name; /* in the client's target; "example.test" at first, NULL = none */
    const char *remote;      /* the address in the client's target, or NULL */
    unsigned port;           /* with it */
    /* memory */
    long blocks;                   /* that are not freed */
    long allocations;              /* so far */
    long fail_at;                  /* this allocation fails, 0 = none */
    long wrong;                    /* what was found so in connections before this one */
    struct tapsi_error make_error; /* of the make that failed */
};

/* Identities that tests share, made once per program: an authority and a server's certificate for "example.test". */
const struct tapsi_test_identity *tapsi_test_authority(void);
const struct tapsi_test_identity *tapsi_test_server(void);

/* The client trusts the authority, the server has the certificate; both have credit. False = no memory. */
bool tapsi_test_pair_init(struct tapsi_test_pair *p);
void tapsi_test_trust(struct tapsi_security *s, const struct tapsi_test_identity *authority);
void tapsi_test_show(struct tapsi_security *s, bool server, const struct tapsi_test_identity *identity);
/* Makes both ends and starts them: 0, or the error of the make or start that failed. */
int tapsi_test_pair_open(struct tapsi_test_pair *p);
/* The two halves of it. */
int tapsi_test_pair_prepare(struct tapsi_test_pair *p);
int tapsi_test_pair_start(struct tapsi_test_pair *p);
void tapsi_test_pair_run(struct tapsi_test_pair *p);
/* Destroys both ends, so that the next open is another connection with the same parameters and caches. */
void tapsi_test_pair_again(struct tapsi_test_pair *p);
/* open and run; true if both are ready. */
bool tapsi_test_pair_handshake(struct tapsi_test_pair *p);
/* Sends a copy (flags of enum tapsi_op_flags): 0 or what the layer answered. */
int tapsi_test_send(struct tapsi_test_end *end, const void *bytes, size_t count, unsigned flags);
int tapsi_test_send_text(struct tapsi_test_end *end, const char *text, unsigned flags);
bool tapsi_test_got(const struct tapsi_test_end *end, const char *text);
void tapsi_test_grant(struct tapsi_test_end *end, size_t window);
void tapsi_test_destroy(struct tapsi_test_end *end, int reason);
/* Destroys and frees everything. Returns blocks leaked plus what the sinks found misplaced: 0 is right. */
long tapsi_test_pair_done(struct tapsi_test_pair *p);

#endif
