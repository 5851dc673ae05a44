/*
 * Bytes that pass through without a copy: the application's, lent with a release, and those of a taps_buffer. Ops hold
 * references of both (struct tapsi_foreign), so that they live as long as anything uses their bytes.
 */
#ifndef TAPSI_CONNECTION_BUFFER_H
#define TAPSI_CONNECTION_BUFFER_H

#include "connection/context.h"

#define TAPSI_BUFFER_MAX ((size_t)1024 * 1024 * 1024)

/* One reference for the caller, who gives it back when the ops have theirs: then `release` is called, from the loop,
   when the last one is gone. NULL = no memory. */
struct tapsi_lent *tapsi_lent_new(struct taps_context *context, void (*release)(void *arg), void *arg);
struct tapsi_buffer *tapsi_lent_keeper(struct tapsi_lent *lent);
/* Nothing was lent: the only reference goes, and nothing is called. */
void tapsi_lent_forget(struct tapsi_lent *lent);

/* Takes the reference of `bytes` on success. */
int tapsi_app_buffer_new(struct taps_context *context, struct tapsi_buffer *bytes, uint8_t *first, size_t headroom,
                         size_t length, struct taps_buffer **ret);

struct taps_buffer {
    struct tapsi_foreign foreign; /* its references */
    struct tapsi_link link;       /* the context's list */
    struct taps_context *context;
    struct tapsi_buffer *bytes; /* a reference: whose memory it is */
    uint8_t *first, *data;      /* where the head room begins, and the bytes */
    size_t length;
};

/* Of a new context. */
void tapsi_buffers_init(struct taps_context *context);
/* Before the context is freed, when no op is left: releases what is lent, frees what is held. */
void tapsi_buffers_done(struct taps_context *context);

#endif
