/*
 * The bytes of GnuTLS on a non-blocking socket, for the plain TLS twins: custom push and pull functions over buffers
 * of the program, so that the records of one turn leave with one send(), and one recv() brings many records.
 *
 * A peer that is idle holds no buffer. Input is read into one buffer of the process, which the session at work has to
 * use up (read until GNUTLS_E_AGAIN) before another session reads; output goes into a buffer that is given back when
 * the kernel has taken it all.
 */
#ifndef BENCH_PLAIN_CHANNEL_H
#define BENCH_PLAIN_CHANNEL_H

#include "plain.h"

#include <gnutls/gnutls.h>

struct plain_output;

struct plain_channel {
    int fd;        /* watched edge-triggered */
    bool readable; /* the socket may hold bytes: set it on each EPOLLIN */
    struct plain_output *output;
};

void plain_channel_init(struct plain_channel *channel, int fd, gnutls_session_t session);
/* Gives the kernel what was pushed. False: it is full, call again on EPOLLOUT. */
bool plain_channel_flush(struct plain_channel *channel);
/* Bytes pushed and not given to the kernel. */
size_t plain_channel_unsent(const struct plain_channel *channel);
void plain_channel_close(struct plain_channel *channel);

#endif
