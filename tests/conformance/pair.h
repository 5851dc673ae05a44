/*
 * Two programs of this library on two simulated hosts, joined by one stack: for behaviours that every protocol must
 * show. The client initiates, the server listens; each writes down what it hears. Messages are numbered and filled so
 * that the receiver can tell whether they are whole, unchanged and in order.
 */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include <taps/framer.h>
#include <taps/taps.h>
#include "base/test.h"
#include "platform/sim/sim.h"

/* A protocol joins the suite with one of these. */
struct pair_row {
    const char *stack; /* as taps_connection_stack says it */
    enum taps_properties_profile profile;
    bool secure, boundaries, reliable;
    bool never_empty;   /* it has no empty Messages */
    const char *framer; /* as taps_framer_new_text takes it, or NULL */
};

struct side {
    taps_context *context;
    taps_connection *connection;
    size_t blocks;
    bool reading;                                              /* asks for more after each Receive */
    bool echo;                                                 /* sends back what comes */
    bool answer;                                               /* Closes when the other has ended */
    unsigned ready, sent, send_errors, messages, ends, errors; /* ends: closed and errors together */
    int last_send_error, last_error;
    bool final;
    uint8_t *bytes;              /* everything received */
    size_t length, lengths[512]; /* of each Message, on stacks with boundaries */
};

struct pair {
    const struct pair_row *row;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *hosts[2];
    struct tapsi_sim_link *link;
    struct side client, server;
    taps_listener *listener;
    unsigned accepted, refused;
};

/* Both programs exist and the server listens; nothing has been sent. */
void pair_new(struct pair *p, const struct pair_row *row);
/* And the client has initiated. */
void pair_initiate(struct pair *p);
/* And both have their Connection; the client's first Message has been given, since on UDP that is what makes it. */
void pair_open(struct pair *p);
void pair_run_ms(struct pair *p, uint64_t ms);
/* Message `number` of `length` bytes: 0, or what Send refused it with. */
int pair_send(struct side *from, unsigned number, size_t length, const taps_message_context *context);
/* Has `side` got exactly these Messages, the first being `first`, whole, unchanged and in order? */
void pair_check_got(struct side *side, const struct pair_row *row, unsigned first, const size_t *lengths,
                    unsigned count);
/* Frees all of it; nothing may be left. */
void pair_done(struct pair *p);

#endif
