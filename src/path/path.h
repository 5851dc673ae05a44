/* What the system knows about paths: which interfaces there are, what they reach, and from which address. Pure. */
#ifndef TAPSI_PATH_PATH_H
#define TAPSI_PATH_PATH_H

#include "platform/platform.h"
#include "select/rfc6724.h"
#include "select/select.h"

const char *tapsi_interface_type_name(enum tapsi_interface_type type); /* "ethernet" ... */
/* By name, or by index in decimal; NULL if there is none. */
const struct tapsi_interface *tapsi_path_find(const struct tapsi_network *network, const char *interface);
/* The interface that has this address, or NULL. */
const struct tapsi_interface *tapsi_path_of_address(const struct tapsi_network *network,
                                                    const union tapsi_addr *address);
/* One interface as selection sees it; `bound` is the Local Endpoint's interface or NULL. */
void tapsi_path_offer(const struct tapsi_interface *interface, const char *bound, struct tapsi_path_offer *ret);

/* Can packets to `address` leave by this interface? Loopback and own addresses only by loopback; link-local ones only
   by the interface of their scope; others where an on-link prefix or a route matches. */
bool tapsi_path_reaches(const struct tapsi_network *network, const struct tapsi_interface *interface,
                        const union tapsi_addr *address);
/* The interface the system itself would choose, by longest prefix and metric; NULL if it has no route. */
const struct tapsi_interface *tapsi_path_system_choice(const struct tapsi_network *network,
                                                       const union tapsi_addr *address);
/* Fills in source, source_deprecated and source_temporary of `destination`. False: no usable source address. */
bool tapsi_path_source(const struct tapsi_interface *interface, bool prefer_temporary,
                       struct tapsi_destination *destination);

#endif
