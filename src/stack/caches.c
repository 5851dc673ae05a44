#include "stack/caches.h"

#include "select/history.h"
#include "stack/secure/tickets.h"

struct tapsi_caches *tapsi_caches_new(struct tapsi_mem *mem)
{
    struct tapsi_caches *caches = tapsi_zalloc(mem, sizeof(*caches));
    if (caches)
        caches->mem = mem;
    return caches;
}

void tapsi_caches_free(struct tapsi_caches *caches)
{
    if (!caches)
        return;
    tapsi_tickets_free(caches->tickets);
    tapsi_history_free(caches->history);
    tapsi_free(caches->mem, caches);
}
