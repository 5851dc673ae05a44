/* The Resolve action (RFC 9622, 7.3): early binding. */
#ifndef TAPSI_CONNECTION_RESOLVE_H
#define TAPSI_CONNECTION_RESOLVE_H

#include "connection/context.h"
#include "establish/config.h"
#include "establish/lookups.h"

struct tapsi_resolve {
    struct taps_context *context;
    struct tapsi_link link;
    struct tapsi_task task; /* flush: begin; posted: tell */
    struct tapsi_timer deadline;
    struct tapsi_config *config;
    struct tapsi_plan *plan;
    struct tapsi_lookups lookups;
    taps_resolve_fn fn;
    void *user;
    bool begun, timed_out;
};

int tapsi_resolve_new(struct taps_context *context, struct tapsi_config *config, struct tapsi_plan *plan,
                      uint64_t timeout_ms, taps_resolve_fn fn, void *user, struct tapsi_error *ret_error);
void tapsi_resolve_cancel(struct tapsi_resolve *resolve);

#endif
