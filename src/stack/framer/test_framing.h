/*
 * A Framer at work over a wire in memory, for unit tests of Framers: bytes are fed in and Messages come out, Messages
 * are sent and bytes come out. No kernel; the clock stands still but for test_framing_pass, and chance is always the
 * same.
 */
#ifndef TAPSI_STACK_FRAMER_TEST_FRAMING_H
#define TAPSI_STACK_FRAMER_TEST_FRAMING_H

#include "base/meta.h"
#include "stack/framer/framing.h"

#define TEST_FRAMING_MESSAGES 512

/* A Message that was delivered: all its parts together. */
struct test_message {
    uint8_t *data;
    size_t length;
    unsigned parts;
    bool complete;           /* its end has come */
    struct tapsi_meta *meta; /* or NULL */
};

struct test_framing {
    struct tapsi_mem mem;
    struct tapsi_loop loop;
    struct tapsi_properties *properties;
    struct tapsi_security *security;
    struct tapsi_env *env;
    struct tapsi_sink sink;
    struct tapsi_layer *wire, *top; /* top NULL: destroyed */
    bool server;                    /* which side it is */
    /* What went up. */
    unsigned ready, closed, ends, soft_errors;
    struct tapsi_error error; /* of closed, or the last soft error; code 0: none */
    struct test_message messages[TEST_FRAMING_MESSAGES];
    size_t count;                /* of messages, the last of which may be incomplete */
    struct tapsi_meta *end_meta; /* that came with the end, or NULL */
    bool keeps;                  /* false: Messages are counted in `bytes`, and not kept */
    uint64_t bytes;
    /* What went down. */
    uint8_t *out;
    size_t out_length, out_capacity;
    size_t datagrams[64]; /* lengths, over datagrams */
    size_t datagram_count;
    unsigned sent, expired, refused; /* ops of test_framing_send */
    int last_result;
    bool final_out, closed_below; /* FINAL was on an op; close was called */
    bool stingy;                  /* it gives no credit by itself once it is ready */
    bool stalled;                 /* the wire finishes no op */
    uint64_t now;                 /* ns */
};

/* `framers` in the order of taps_preconnection_add_framer; over a wire that is accepted (server) or connects (client,
   to "peer.example" port 80). Framers are copied. Started; with credit. */
void test_framing_open(struct test_framing *t, const taps_framer *const *framers, size_t count, bool server,
                       bool datagram);
/* The usual one: a Framer by text, over a stream. */
void test_framing_open_text(struct test_framing *t, const char *text, bool server);
/* The same in a stack that has security, which is not there. */
void test_framing_open_secure(struct test_framing *t, const char *text, bool server);
void test_framing_close(struct test_framing *t);
/* Bytes come, in one slice (a datagram), or split in slices of `step` bytes. */
void test_framing_feed(struct test_framing *t, const void *bytes, size_t length);
void test_framing_feed_text(struct test_framing *t, const char *text);
void test_framing_feed_split(struct test_framing *t, const void *bytes, size_t length, size_t step);
void test_framing_end(struct test_framing *t);   /* the peer's FIN */
void test_framing_reset(struct test_framing *t); /* closed(TAPS_E_ABORTED) */
/* Sends a Message, or a part (flags: TAPSI_OP_END, _CONTINUES, _FINAL), with metadata or NULL: 0 or the refusal. */
int test_framing_send(struct test_framing *t, const void *data, size_t length, unsigned flags, struct tapsi_meta *meta);
int test_framing_send_text(struct test_framing *t, const char *text);
/* Graceful close of the stack. */
void test_framing_shut(struct test_framing *t);
void test_framing_turn(struct test_framing *t);
/* So much time passes. */
void test_framing_pass(struct test_framing *t, uint64_t ms);
/* Forgets what went down so far. */
void test_framing_forget(struct test_framing *t);
/* Checks, for the tests: that exactly this went down since the last time; that Message `index` is this. */
bool test_framing_wrote(struct test_framing *t, const void *bytes, size_t length);
bool test_framing_wrote_text(struct test_framing *t, const char *text);
bool test_framing_got(const struct test_framing *t, size_t index, const void *bytes, size_t length);
bool test_framing_got_text(const struct test_framing *t, size_t index, const char *text);
/* Metadata of Message `index` in the Framer's namespace, or NULL. */
const char *test_framing_meta(const struct test_framing *t, size_t index, const char *space, const char *key);
/* It failed with this code. */
bool test_framing_failed(const struct test_framing *t, int code);

#endif
