/* What every use of a path asks of the plan: does it reach an address, and how is a socket kept to it? Pure. */
#ifndef TAPSI_ESTABLISH_WAYS_H
#define TAPSI_ESTABLISH_WAYS_H

#include "establish/config.h"

/* Where routing is not in the main table (policy routing, a tunnel's own table) no interface seems to reach the
   address: then the first path does, and the kernel decides. */
bool tapsi_plan_reaches(const struct tapsi_plan *plan, const struct tapsi_interface *interface,
                        const union tapsi_addr *address);
/* Must a socket for `address` be bound to the interface's device? `asked`: a Local Endpoint names it. */
bool tapsi_plan_binds(const struct tapsi_plan *plan, const struct tapsi_properties *properties,
                      const struct tapsi_interface *interface, bool asked, const union tapsi_addr *address);

#endif
