/* The context: one loop, one resolver, and everything alive in it. */
#ifndef TAPSI_CONNECTION_CONTEXT_H
#define TAPSI_CONNECTION_CONTEXT_H

#include "loop/loop.h"
#include "loop/resolve.h"
#include "stack/caches.h"

struct taps_context {
    struct tapsi_loop loop;
    struct tapsi_resolver *resolver;
    struct tapsi_caches *caches;     /* NULL: none are kept */
    struct tapsi_sessions *sessions; /* sessions.h; NULL: they are kept in memory only */
    struct tapsi_pool connections, outboxes, inboxes, large_inboxes, receives, lents, handles;
    struct tapsi_link preconnections, open, listeners, resolves, timers;
    struct tapsi_link lent, held;             /* buffer.h */
    uint64_t attempt_delay, resolution_delay; /* ns */
    uint32_t half_open_limit;
    struct tapsi_link roaming;        /* paths.h: sessions that may take other paths */
    struct tapsi_watch network_watch; /* for them; its `ready` is NULL while there is none */
    struct tapsi_timer network_timer; /* of that watch: no look at the network before */
    bool network_news;                /* something came meanwhile */
    uint64_t numbered;                /* Connections whose events are logged */
};

/* With the platform given (tests) or the kernel's (NULL). Takes `platform` on success. */
int tapsi_context_new(const struct taps_context_options *options, struct tapsi_platform *platform,
                      struct taps_context **ret);
/* A platform for such a context must be made with this memory: the allocator of the options. */
int tapsi_context_free(struct taps_context *context);

#endif
