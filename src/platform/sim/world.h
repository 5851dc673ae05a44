/* The inside of the simulated world: shared by the files of this folder and by nobody else. */
#ifndef TAPSI_SIM_WORLD_H
#define TAPSI_SIM_WORLD_H

#include "base/heap.h"
#include "base/list.h"
#include "platform/sim/sim.h"

/* Something that happens at a time. Embedded in its owner, which cancels it before it goes. */
struct tapsi_sim_event {
    struct tapsi_heap_node node;
    void (*fire)(struct tapsi_sim_event *event);
};

/* A failure that was asked for: `left` calls from now, 0 = none. */
struct tapsi_sim_failure {
    uint64_t left;
    int err;
};

struct tapsi_sim {
    struct tapsi_mem mem;
    unsigned refs; /* the caller's and one per platform */
    struct tapsi_sim *older;
    uint64_t now;
    int64_t date_ns; /* Unix time at TAPSI_SIM_START */
    uint64_t seed, dice;
    struct tapsi_heap events;
    struct tapsi_link hosts, platforms, links, rules, counters, flows, parcels, deeds, services;
    struct tapsi_simsock **sockets; /* by fd - TAPSI_SIM_FD; closed ones are NULL and never used again */
    size_t socket_count, socket_capacity;
    struct tapsi_sim_failure failure;
    uint64_t calls, failures; /* fallible ones; those that failed because they were to */
    uint64_t aside_ns;        /* how long work aside takes */
    bool call_failed, deadlocked, pumping;
    unsigned deadlocks, idle_turns;
    uint64_t platforms_made;
    char problem[160];
    void (*trace)(void *arg, const struct tapsi_sim_packet *packet);
    void *trace_arg;
    FILE *trace_to;        /* NULL: no trace */
    unsigned trace_number; /* of the world in a file it shares with others, else 0 */
};

struct tapsi_sim_host {
    struct tapsi_sim *sim;
    struct tapsi_link link;
    char name[32];
    struct tapsi_link interfaces, files, sockets, narrows;
    unsigned interface_count;
    uint64_t generation;
    unsigned descriptors_max, open, leaked;
    bool no_trains;
    struct tapsi_sim_failure failure;
};

struct tapsi_sim_interface {
    struct tapsi_sim_host *host;
    struct tapsi_link link;
    char name[16];
    unsigned index;
    enum tapsi_interface_type type;
    unsigned mtu;
    bool up;
    struct tapsi_local_address *addresses;
    size_t address_count, address_capacity;
    struct tapsi_route *routes;
    size_t route_count, route_capacity;
    struct tapsi_sim_port *ports; /* where it is on links */
    size_t port_count, port_capacity;
};

/* One interface's place on one link. */
struct tapsi_sim_port {
    struct tapsi_sim_link *on;
    uint64_t busy_until;   /* with a rate: when the last packet has left */
    uint64_t last_arrival; /* with jitter: nothing overtakes it */
    bool burst;            /* of loss, of what this port sends */
};

/* Work aside that runs. */
struct tapsi_simaside {
    struct tapsi_sim_event over;
    struct tapsi_simplatform *platform;
    struct tapsi_aside *work; /* NULL: nothing runs here */
};

struct tapsi_simplatform {
    struct tapsi_platform platform;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *host;
    struct tapsi_link link;
    struct tapsi_link ready; /* sockets with an edge to report */
    uint64_t dice;
    uint64_t armed;
    bool woken; /* atomic: wake may come from another thread */
    bool waiting;
    void (*pump)(void *arg);
    void *pump_arg;
    struct tapsi_network *network;  /* the last snapshot */
    struct tapsi_watch *hears;      /* who watches the network, or NULL */
    bool heard;                     /* and is to be told */
    struct tapsi_link asides, over; /* work aside: what has not begun; what is done and not told yet */
    struct tapsi_simaside running[TAPSI_ASIDE_MAX];
};

/* sim.c: time, chance, and what went wrong. */
void tapsi_sim_at(struct tapsi_sim *sim, struct tapsi_sim_event *event, uint64_t when);
void tapsi_sim_cancel(struct tapsi_sim *sim, struct tapsi_sim_event *event);
uint64_t tapsi_sim_dice(uint64_t *state); /* splitmix64 */
void tapsi_sim_say(struct tapsi_sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tapsi_sim_say_memory(struct tapsi_sim *sim);
void tapsi_sim_unref(struct tapsi_sim *sim);
/* A block of a head, zeroed, and a body that is not; NULL with a problem. */
void *tapsi_sim_block(struct tapsi_sim *sim, size_t head, size_t body);
enum tapsi_sim_progress { TAPSI_SIM_MOVED, TAPSI_SIM_DUE, TAPSI_SIM_STUCK };
/* One step towards `limit` on behalf of `self` (NULL: of all): runs one pump or one event, or moves the clock. DUE: the
   limit has come; STUCK: it never will, for nothing will ever happen. */
enum tapsi_sim_progress tapsi_sim_step(struct tapsi_sim *sim, struct tapsi_simplatform *self, uint64_t limit);

/* platform.c */
extern const struct tapsi_platform_ops tapsi_simplatform_plain;
/* Chooses its table of calls, with or without a trace. */
void tapsi_simplatform_table(struct tapsi_simplatform *p);

/* aside.c */
void tapsi_simaside_init(struct tapsi_simplatform *p);
void tapsi_simaside_done(struct tapsi_simplatform *p);
void tapsi_simaside_take(struct tapsi_simplatform *p, struct tapsi_aside *work);
bool tapsi_simaside_recall(struct tapsi_simplatform *p, struct tapsi_aside *work);
void tapsi_simaside_tell(struct tapsi_simplatform *p);

/* host.c */
void tapsi_simhost_free(struct tapsi_sim_host *host);
/* Its network is not what it was: a new generation, and whoever has seen the old one is woken. */
void tapsi_simhost_changed(struct tapsi_sim_host *host, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct tapsi_sim_interface *tapsi_simhost_interface(struct tapsi_sim_host *host, unsigned index);
struct tapsi_sim_interface *tapsi_simhost_interface_named(struct tapsi_sim_host *host, const char *name);
/* Whose address is it? Scopes count for link-local addresses unless `address` has none. */
struct tapsi_sim_interface *tapsi_simhost_owner(struct tapsi_sim_host *host, const union tapsi_addr *address);
bool tapsi_siminterface_has(const struct tapsi_sim_interface *interface, const union tapsi_addr *address);
/* Text of an address, with "%interface" of `host` if given, and with "/bits" (else `*ret_bits` is the whole). */
bool tapsi_simhost_parse(struct tapsi_sim *sim, const char *text, union tapsi_addr *ret, unsigned *ret_bits);
int tapsi_simhost_snapshot(struct tapsi_sim_host *host, struct tapsi_mem *mem, struct tapsi_network **ret);
int tapsi_simhost_read(struct tapsi_sim_host *host, struct tapsi_mem *mem, const char *path, size_t max,
                       char **ret_text, size_t *ret_length);

/* wire.c: where a packet goes, and what becomes of it. Addresses are in their own family, never mapped ones. */
#define TAPSI_SIM_SOURCE_TEMPORARY 1 /* of IPV6_ADDR_PREFERENCES */
/* The interface and the source address for `to`; `device` 0 = any. -ENETUNREACH, -EADDRNOTAVAIL, -EINVAL. */
int tapsi_simwire_route(struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned device, unsigned preference,
                        struct tapsi_sim_interface **ret_out, union tapsi_addr *ret_source);

struct tapsi_simwire_way {
    struct tapsi_sim_host *host; /* the sender */
    union tapsi_addr from, to;
    unsigned device;
    bool forged;     /* `from` may be anybody's */
    unsigned header; /* bytes of the transport's: 8 or 20 */
    bool whole;      /* the sender cuts it for its interface only, whatever is known of the path */
    bool divisible;  /* IPv4 without "don't fragment": no link is too narrow */
};

struct tapsi_simwire_verdict {
    enum tapsi_sim_fate fate;
    enum tapsi_sim_fault answer; /* for ANSWERED: REFUSE, PROHIBIT, UNREACHABLE; FINE: it was too big */
    unsigned mtu;                /* of the link it was too big for */
    uint64_t delay;              /* until it is there, or until its answer is back */
    uint64_t copy_delay;         /* for ARRIVES: the same of its copy, 0 = there is none */
    bool marked;                 /* for ARRIVES: it met congestion */
    struct tapsi_sim_interface *out;
    struct tapsi_sim_interface *in; /* for ARRIVES */
    bool unowned;                   /* LOST since nobody on the link has the address, which should be there */
    const char *why;                /* for LOST */
};

void tapsi_simwire_send(const struct tapsi_simwire_way *way, const char *kind, size_t length,
                        struct tapsi_simwire_verdict *ret);
/* Of the interface and of what is known of the path. */
unsigned tapsi_simwire_mtu(const struct tapsi_simwire_way *way);
/* An answer has come: no more than `mtu` gets through to `to`. It is believed for ten minutes. */
void tapsi_simwire_narrow(struct tapsi_sim_host *host, const union tapsi_addr *to, unsigned mtu);
/* The errno a socket gets for a fault's answer. */
int tapsi_simwire_errno(enum tapsi_sim_fault answer, int family);
void tapsi_simwire_done(struct tapsi_sim *sim);
void tapsi_simwire_done_host(struct tapsi_sim_host *host);

/* Services live until the world ends. */
struct tapsi_sim_resident {
    struct tapsi_link link;
    void (*free)(struct tapsi_sim_resident *resident);
};

#endif
