/*
 * What the tests of scale share: an echo server and a crowd of clients, on the kernel's loopback, through the public
 * API.
 *
 * The server answers what it receives, Closes at the end of data, and lets go of what has ended. A member of the crowd
 * says one byte when it is ready and has arrived when the echo is back; from then on it is idle, with a Receive
 * waiting.
 */
#ifndef TESTS_SCALE_H
#define TESTS_SCALE_H

#include <taps/taps.h>
#include "base/test.h"

enum scale_stack { SCALE_TCP, SCALE_TLS, SCALE_UDP, SCALE_QUIC, SCALE_DTLS };

/* Raises the limit of descriptors of this process and those it forks. False: it is not allowed. */
bool scale_descriptors(unsigned count);

/* Certificates of this process, made once: before threads are. */
void scale_certificates(void);

struct scale_server {
    taps_listener *listener;
    uint16_t port;     /* 0: not listening yet */
    unsigned accepted; /* so far */
    unsigned alive;    /* of these, not ended */
    unsigned errors;   /* ends other than Closed */
    int code;          /* of the Listener's error, or 0 */
    bool brief; /* set it: a Connection is Closed after its first echo, since over UDP no peer says that it ends */
};

/* Zeroes `s`. Listens when a few turns are over; at `address` ("127.0.0.1"), port 0 = any. */
void scale_listen(struct scale_server *s, taps_context *context, enum scale_stack stack, const char *address,
                  uint16_t port, bool reuse);

struct scale_crowd {
    taps_connection **members;
    unsigned size, begun, arrived, closed, failed;
    taps_preconnection *preconnection;
    bool closing;
};

/* Zeroes `crowd`. Members come by themselves, a few at a time, while the context turns. */
void scale_crowd_start(struct scale_crowd *crowd, taps_context *context, enum scale_stack stack, const char *host,
                       uint16_t port, unsigned size);
/* All have arrived, or some have failed; the first one fails the test with its reason. */
bool scale_crowd_settled(const struct scale_crowd *crowd);
/* Each member says one byte more; arrived counts again, from 0. */
void scale_crowd_speak(struct scale_crowd *crowd);
/* Close, or Abort, of each; `closed` counts their last events. */
void scale_crowd_end(struct scale_crowd *crowd, bool abort);
/* Frees all. */
void scale_crowd_done(struct scale_crowd *crowd);

#endif
