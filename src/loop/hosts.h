/* The hosts file, as libc reads it, and the list of services. Pure: text in, answers out. */
#ifndef TAPSI_LOOP_HOSTS_H
#define TAPSI_LOOP_HOSTS_H

#include "base/addr.h"
#include "loop/lines.h"

/* The addresses of `family` that `name` has, as official name or alias, without regard to case; each once, in the order
   of the file, with port 0. Writes at most `max`; returns how many there are. *ret_known: does the name occur at all,
   whatever the family? Lines whose address has a zone or is no address count for nothing, as in libc. */
size_t tapsi_hosts_find(struct tapsi_span text, const char *name, int family, union tapsi_addr *addresses, size_t max,
                        bool *ret_known);
/* The port of a service by name or alias in the format of /etc/services, in host order. 0 = unknown. */
uint16_t tapsi_services_find(struct tapsi_span text, const char *service, const char *protocol);

#endif
