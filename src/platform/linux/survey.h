/*
 * What was found out about the network, before it becomes a snapshot: flat lists in the order the kernel told, filled
 * by netlink.c, or by classic.c where netlink is forbidden.
 */
#ifndef TAPSI_PLATFORM_LINUX_SURVEY_H
#define TAPSI_PLATFORM_LINUX_SURVEY_H

#include "platform/platform.h"

/* More than these are left out, except that routes left out are stood in for by `maybe`. */
#define TAPSI_SURVEY_LINKS     1024
#define TAPSI_SURVEY_ADDRESSES 4096
#define TAPSI_SURVEY_ROUTES    4096

#define TAPSI_METRIC_WORST UINT32_MAX

struct tapsi_survey_address {
    unsigned index;
    struct tapsi_local_address address;
};

struct tapsi_survey_route {
    unsigned index;
    struct tapsi_route route;
};

struct tapsi_survey {
    struct tapsi_mem *mem;
    struct tapsi_interface *links; /* without addresses and routes */
    struct tapsi_survey_address *addresses;
    struct tapsi_survey_route *routes;
    size_t link_count, link_capacity, address_count, address_capacity, route_count, route_capacity;
    /* Not every route of this family is known: any interface with a fit address may lead anywhere, and gets a default
       route with the worst metric, so that nothing the kernel could reach is ruled out. */
    bool maybe_v4, maybe_v6;
    bool interrupted;  /* the network changed while it was asked */
    uint32_t sequence; /* of the last request */
};

void tapsi_survey_init(struct tapsi_survey *s, struct tapsi_mem *mem);
void tapsi_survey_done(struct tapsi_survey *s);
/* Forgets what was found and keeps the memory. */
void tapsi_survey_reset(struct tapsi_survey *s);
/* 0 or -ENOMEM. What is over a cap, or there already (a link), is left out silently. */
int tapsi_survey_add_link(struct tapsi_survey *s, const struct tapsi_interface *link);
int tapsi_survey_add_address(struct tapsi_survey *s, unsigned index, const struct tapsi_local_address *address);
/* 0, -ENOMEM, or -ENOSPC: the cap is reached, `maybe` was set, asking further is a waste. */
int tapsi_survey_add_route(struct tapsi_survey *s, unsigned index, const struct tapsi_route *route);
/* A route to the network the address is in. */
int tapsi_survey_add_connected(struct tapsi_survey *s, unsigned index, const struct tapsi_local_address *address);
/* Interfaces in order of their index; 0 or -ENOMEM. */
int tapsi_survey_snapshot(const struct tapsi_survey *s, uint64_t generation, struct tapsi_network **ret);

/* Dumps links, addresses and routes; 0 or a negative errno. */
int tapsi_netlink_survey(struct tapsi_survey *s);
/* Reads one batch of messages that answer request `sequence`: 0 = more to come, 1 = that was the end, or a negative
   errno: the kernel's, -EBADMSG for what is no message, or what the survey said. */
int tapsi_netlink_parse(struct tapsi_survey *s, const void *bytes, size_t count, uint32_t sequence);
/* A socket that hears of every change of the network, or a negative errno. */
int tapsi_netlink_notifier(void);
/* Was anything heard since the last call? One system call if not. */
bool tapsi_netlink_changed(int fd);

/* The same without netlink: ioctl and /proc. No routes are known that way. */
int tapsi_classic_survey(struct tapsi_survey *s);

/* From the ARPHRD number and the kind of link in the kernel's words ("veth"; "" for hardware). */
enum tapsi_interface_type tapsi_iftype_of(const char *name, unsigned index, unsigned hardware, const char *kind);

#endif
