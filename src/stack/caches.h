/*
 * What one establishment leaves for later ones (RFC 9621, 4.2: Cached State). One per context: contexts share nothing
 * (ARCH-17). A Connection whose isolateSession is true neither reads nor writes it: its env->caches is NULL.
 */
#ifndef TAPSI_STACK_CACHES_H
#define TAPSI_STACK_CACHES_H

#include "base/mem.h"

struct tapsi_caches {
    struct tapsi_mem *mem;
    struct tapsi_history *history; /* which protocols came through, by network and endpoint; NULL: nothing yet */
    struct tapsi_tickets *tickets; /* of sessions, and address tokens; NULL: none yet */
};

/* NULL without memory. */
struct tapsi_caches *tapsi_caches_new(struct tapsi_mem *mem);
/* Nobody may use them any more. NULL is allowed. */
void tapsi_caches_free(struct tapsi_caches *caches);

#endif
