/* RFC 6724 destination order and RFC 8305 interleaving: pure. */
#ifndef TAPSI_SELECT_RFC6724_H
#define TAPSI_SELECT_RFC6724_H

#include "base/addr.h"

struct tapsi_destination {
    union tapsi_addr address;
    union tapsi_addr source; /* the source the path would use; family AF_UNSPEC = none: unreachable */
    bool source_deprecated, source_temporary;
    unsigned place; /* order of arrival: the last tie-break, so the sort is stable */
};

/* Candidate source for `destination` among `count` local addresses of one interface (RFC 6724, section 5;
   prefer_temporary is rule 7). Returns its index or -1. */
struct tapsi_source {
    union tapsi_addr address;
    bool deprecated, temporary;
};
int tapsi_rfc6724_source(const union tapsi_addr *destination, const struct tapsi_source *sources, size_t count,
                         bool prefer_temporary);
/* Sorts in place, best first. */
void tapsi_rfc6724_sort(struct tapsi_destination *destinations, size_t count);
/* RFC 8305, section 4: alternates families, starting with that of the first, `first_family_count` of the first family
   at the head (1 is the RFC's default). Keeps the order inside a family. */
void tapsi_rfc8305_interleave(struct tapsi_destination *destinations, size_t count, unsigned first_family_count);

#endif
