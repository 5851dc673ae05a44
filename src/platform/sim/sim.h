/*
 * A simulated world for tests: hosts, interfaces and links in virtual time, behind the same platform table as the
 * kernel, so that the whole library runs on it unchanged. Nothing here waits in real time; the same seed gives the
 * same run.
 *
 *     struct tapsi_sim *sim = tapsi_sim_new(1);
 *     struct tapsi_sim_host *client = tapsi_sim_host_new(sim, "client"), *server = tapsi_sim_host_new(sim, "server");
 *     struct tapsi_sim_interface *c = tapsi_sim_interface_new(client, "eth0", TAPSI_IF_ETHERNET,
 *                                                             "192.0.2.2/24 2001:db8::2/64");
 *     struct tapsi_sim_interface *s = tapsi_sim_interface_new(server, "eth0", TAPSI_IF_ETHERNET,
 *                                                             "192.0.2.1/24 2001:db8::1/64");
 *     tapsi_sim_link_new(c, s, 10 * TAPSI_SIM_MS);
 *     tapsi_sim_file(client, "/etc/resolv.conf", "nameserver 192.0.2.1\n");
 *     struct tapsi_sim_dns *dns = tapsi_sim_dns_new(server);
 *     tapsi_sim_dns_answer(dns, "example.test", "AAAA", "2001:db8::1", 0);
 *     tapsi_sim_dns_answer(dns, "example.test", "A", "192.0.2.1", 30 * TAPSI_SIM_MS);
 *     tapsi_sim_fault(sim, "2001:db8::1", TAPSI_SIM_BLACKHOLE);
 *     struct tapsi_sim_service *echo = tapsi_sim_serve(server, 80, TAPSI_SIM_ECHO);
 *     tapsi_sim_platform_new(client, mem, &platform);   ... make a context on it, run it ...
 *     CHECK_INT(tapsi_sim_service_counts(echo).accepted, 1);
 *     tapsi_sim_free(sim);
 *
 * A mistake in such a description (text that is no address, two hosts of one address on a link) or a shortage of
 * memory for the world itself is remembered and said on standard error; tapsi_sim_problem tells. Functions that make
 * something then return NULL, and every function takes NULL for what could not be made and does nothing.
 *
 * Not modelled: routers between links (a link may have their faults: delay, MTU, loss, refusals), ARP and neighbour
 * discovery but for the time they take to fail, congestion control, fast retransmission and selective repair (a loss
 * costs a timeout), Nagle, delayed ACKs, probes of idle connections (keep-alive) and of closed windows, TCP Fast Open
 * and simultaneous open, multicast, segmentation offload of TCP, fragments as packets of their own. What is answered
 * for them is -ENOPROTOOPT, but for keep-alive, whose options are kept. An interface that goes down keeps its addresses
 * and routes, IPv6 ones too. docs/design/008-the-simulator.md says what is modelled, and how a trace reads.
 */
#ifndef TAPSI_SIM_H
#define TAPSI_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "platform/platform.h"

#define TAPSI_SIM_US    UINT64_C(1000)
#define TAPSI_SIM_MS    UINT64_C(1000000)
#define TAPSI_SIM_S     UINT64_C(1000000000)
#define TAPSI_SIM_START (1000 * TAPSI_SIM_S) /* the virtual clock of a new world */
#define TAPSI_SIM_DATE  INT64_C(1798761600)  /* its wall clock: 2027-01-01T00:00:00Z */
#define TAPSI_SIM_FD    (1 << 20)            /* its first descriptor: no kernel descriptor is as high */

/* The world. */

struct tapsi_sim *tapsi_sim_new(uint64_t seed);
/* The world ends when this was called and its last platform is destroyed. */
void tapsi_sim_free(struct tapsi_sim *sim);
uint64_t tapsi_sim_now(const struct tapsi_sim *sim);
uint64_t tapsi_sim_elapsed(const struct tapsi_sim *sim); /* since tapsi_sim_new */
/* Sets the wall clock (Unix time) as it is now; it goes on with the virtual clock. */
void tapsi_sim_set_date(struct tapsi_sim *sim, int64_t unix_seconds);
/* How long each piece of work aside takes: a millisecond at first. TAPSI_FOREVER: it never ends by itself. What it does
   is done at its end, by the thread of the test. */
void tapsi_sim_aside(struct tapsi_sim *sim, uint64_t delay_ns);
/* The wall clock jumps, forwards or backwards; the virtual clock does not. */
void tapsi_sim_shift_date(struct tapsi_sim *sim, int64_t by_ns);
/* Both clocks leap forwards, as they do for a program that was stopped: all that was due in between happens afterwards,
   in its order, at the new time. */
void tapsi_sim_leap(struct tapsi_sim *sim, uint64_t by_ns);
/* What is wrong with the description of the world, or NULL. */
const char *tapsi_sim_problem(const struct tapsi_sim *sim);
/* Did somebody wait without end for something that could never come? */
bool tapsi_sim_deadlocked(const struct tapsi_sim *sim);
/* Calls `action` once, `delay_ns` from now. */
void tapsi_sim_after(struct tapsi_sim *sim, uint64_t delay_ns, void (*action)(void *arg), void *arg);
/* The newest living world of this thread: false if there is none. For clock.c. */
bool tapsi_sim_clock(uint64_t *ret_monotonic_ns, int64_t *ret_wall_ns);

/*
 * Running. The `wait` of any platform drives the world. While one platform waits, or while the functions below run, the
 * others are pumped: `pump` is called whenever that platform has something ready, was woken, or its armed deadline has
 * come, and once at first; it does one turn that does not wait, and arms again.
 */

void tapsi_sim_attach(struct tapsi_sim *sim, struct tapsi_platform *platform, void (*pump)(void *arg), void *arg);
/* Until the virtual clock shows `until_ns`. */
void tapsi_sim_run(struct tapsi_sim *sim, uint64_t until_ns);
/* Until `done` (asked after every step), at most `limit_ns` from now: was it done? */
bool tapsi_sim_run_until(struct tapsi_sim *sim, bool (*done)(void *arg), void *arg, uint64_t limit_ns);

/* Hosts, their interfaces and files. Every host has "lo" with 127.0.0.1/8 and ::1/128. */

struct tapsi_sim_host *tapsi_sim_host_new(struct tapsi_sim *sim, const char *name);
/* `addresses`: "192.0.2.2/24 2001:db8::2/64". Each brings the route of its prefix, and the first global one of a family
   a default route whose metric is 100 x the interface's index. MTU 1500, up. */
struct tapsi_sim_interface *tapsi_sim_interface_new(struct tapsi_sim_host *host, const char *name,
                                                    enum tapsi_interface_type type, const char *addresses);
/*
 * All that follows may also be called while the world runs (from an event of a test, or tapsi_sim_after): the host's
 * network gets a new generation, and platforms that have asked for the old one, or watch it, are woken. Sockets are not
 * told, as in Linux: what leaves from an address that is gone, or by an interface that is down, is lost or has no
 * route.
 */
unsigned tapsi_sim_interface_index(const struct tapsi_sim_interface *interface);
void tapsi_sim_interface_up(struct tapsi_sim_interface *interface, bool up);
void tapsi_sim_interface_mtu(struct tapsi_sim_interface *interface, unsigned mtu);
void tapsi_sim_address_add(struct tapsi_sim_interface *interface, const char *address, bool temporary, bool deprecated);
/* With its prefix route, and with the last IPv4 address all IPv4 routes of the interface. */
void tapsi_sim_address_remove(struct tapsi_sim_interface *interface, const char *address);
/* `destination`: "0.0.0.0/0", "2001:db8::/32". */
void tapsi_sim_route_add(struct tapsi_sim_interface *interface, const char *destination, unsigned metric);
void tapsi_sim_route_remove(struct tapsi_sim_interface *interface, const char *destination);
/* What read_file gives for `path`; `text` NULL removes it. */
void tapsi_sim_file(struct tapsi_sim_host *host, const char *path, const char *text);
/* How many sockets all platforms of the host may have open before -EMFILE (0 = no limit, the default). */
void tapsi_sim_host_descriptors(struct tapsi_sim_host *host, unsigned max);
/* A kernel that knows no trains of datagrams: UDP_SEGMENT and UDP_GRO are not there. */
void tapsi_sim_host_no_trains(struct tapsi_sim_host *host);
/* Sockets that are open on the host now, those of its services left out. */
unsigned tapsi_sim_host_sockets(const struct tapsi_sim_host *host);
/* Sockets that were still open when their platform was destroyed. */
unsigned tapsi_sim_host_leaked(const struct tapsi_sim_host *host);

/* Returns 0 or TAPS_E_MEMORY. `mem` must outlive the platform. */
int tapsi_sim_platform_new(struct tapsi_sim_host *host, struct tapsi_mem *mem, struct tapsi_platform **ret);

/*
 * Links. A packet leaves by the interface that the routes choose and arrives if another interface on one of its links
 * has the destination address; default routes need no router. An interface may be on several links.
 */

enum tapsi_sim_fault {
    TAPSI_SIM_FINE,
    TAPSI_SIM_BLACKHOLE,   /* swallowed */
    TAPSI_SIM_REFUSE,      /* answered with RST or ICMP port unreachable */
    TAPSI_SIM_PROHIBIT,    /* ICMP administratively prohibited: EHOSTUNREACH over IPv4, EACCES over IPv6, as in Linux */
    TAPSI_SIM_UNREACHABLE, /* ICMP no route: ENETUNREACH */
};

struct tapsi_sim_link *tapsi_sim_link_new(struct tapsi_sim_interface *a, struct tapsi_sim_interface *b,
                                          uint64_t delay_ns);
/* One more interface: the link is then a subnet. */
void tapsi_sim_link_join(struct tapsi_sim_link *link, struct tapsi_sim_interface *interface);
void tapsi_sim_link_delay(struct tapsi_sim_link *link, uint64_t delay_ns); /* one way */
/* Up to so much more for each packet; what one interface sends keeps its order. */
void tapsi_sim_link_jitter(struct tapsi_sim_link *link, uint64_t jitter_ns);
void tapsi_sim_link_loss(struct tapsi_sim_link *link, double probability);
/* Bursts in which everything is lost (Gilbert and Elliott): the probability that a packet begins one, and that one ends
   it. Each sender has its own; the mean length is 1 / leave packets. enter 0 = none. */
void tapsi_sim_link_bursts(struct tapsi_sim_link *link, double enter, double leave);
/* So many packets come up to `late_ns` later, and let others overtake. */
void tapsi_sim_link_reorder(struct tapsi_sim_link *link, double probability, uint64_t late_ns);
void tapsi_sim_link_duplicate(struct tapsi_sim_link *link, double probability); /* so many arrive twice */
/* So many of the datagrams whose sender can ECN (ECT in the TOS byte or traffic class) are marked CE. */
void tapsi_sim_link_mark(struct tapsi_sim_link *link, double probability);
void tapsi_sim_link_rate(struct tapsi_sim_link *link, uint64_t bits_per_second); /* of each sender; 0 = no limit */
/* With a rate: a packet that would make more than so many bytes wait is lost (tail drop). 0 = no limit. */
void tapsi_sim_link_queue(struct tapsi_sim_link *link, size_t bytes);
/* Larger packets do not pass (at least 1228, IPv6 needs 1280; 0 = all do): the sender is told the MTU by ICMP, or with
   `silent` never. IPv4 packets that may be fragmented are, and pass. */
void tapsi_sim_link_mtu(struct tapsi_sim_link *link, unsigned mtu, bool silent);
/* The cable: down, everything is lost on it, and an interface with no other link is shown as not up. */
void tapsi_sim_link_up(struct tapsi_sim_link *link, bool up);
void tapsi_sim_link_fault(struct tapsi_sim_link *link, enum tapsi_sim_fault fault);
/* What happens to packets for `address` ("2001:db8::1", "192.0.2.1:80", "[2001:db8::1]:443"), whoever has it; "udp
   192.0.2.1:443" and "tcp ..." are for that transport only. The transport's own rule goes before the one for all, the
   port's own before the host's. */
void tapsi_sim_fault(struct tapsi_sim *sim, const char *address, enum tapsi_sim_fault fault);
/* Delay added to each packet for `address`. */
void tapsi_sim_delay(struct tapsi_sim *sim, const char *address, uint64_t delay_ns);

/* Watching the wire. Packets inside a host are not seen. */

enum tapsi_sim_fate { TAPSI_SIM_ARRIVES, TAPSI_SIM_LOST, TAPSI_SIM_ANSWERED }; /* ANSWERED: by a fault */

struct tapsi_sim_packet {
    uint64_t time_ns;
    const struct tapsi_sim_host *host; /* the sender */
    const char *interface;
    const char *kind; /* "SYN", "SYN-ACK", "ACK", "DATA", "FIN", "PROBE", "RST", "UDP", "ICMP" */
    union tapsi_addr from, to;
    size_t length; /* payload bytes */
    enum tapsi_sim_fate fate;
    const char *why;              /* LOST: "loss", "burst", "queue full", "too big", "link down", "blackhole" ... */
    uint64_t arrival_ns, copy_ns; /* ARRIVES: when, and when its copy does (0 = there is none) */
};

void tapsi_sim_trace(struct tapsi_sim *sim, void (*hook)(void *arg, const struct tapsi_sim_packet *packet), void *arg);
/* A hook that prints one line a packet as TAP comments; `arg` is not used. */
void tapsi_sim_trace_print(void *arg, const struct tapsi_sim_packet *packet);
/* Packets that were sent to `address` (with or without a port) whatever became of them. */
uint64_t tapsi_sim_packets_to(const struct tapsi_sim *sim, const char *address);

/*
 * The trace: one line for each thing that happens, in order, in virtual time: packets and their fate (those inside a
 * host too), calls of platforms and their results, DNS queries and answers, changes of the network, jumps of the
 * clocks, services, notes of the test and the library's log. The same seed gives the same lines, byte for byte, in any
 * build; 008 in docs/design says how to read them. With TAPS_TRACE=FILE in the environment every world of a program
 * appends its trace to FILE, with the number of the world before each line.
 */

/* Borrows `file` until the world ends or another (NULL = none) is given; it may be given at any time. */
void tapsi_sim_trace_file(struct tapsi_sim *sim, FILE *file);
/* Adds a line, where there is a trace. Nothing that varies from run to run may be in it. */
void tapsi_sim_note(struct tapsi_sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A taps_log_fn whose `user` is the world: for struct taps_context_options. Pointers in the text become "#". */
void tapsi_sim_log(void *sim, enum taps_log_level level, const char *text);

/*
 * Failing calls. Fallible are all calls of a platform but now, wait, arm, wake, descriptor, unwatch, close and destroy.
 * The `nth` from now (1 = the next) of any platform of the world, or of `host`, fails once with `err` (ENOBUFS, EMFILE
 * ...). err 0 does not fail: a send or receive then moves at most one byte or one datagram.
 */

void tapsi_sim_fail_call(struct tapsi_sim *sim, uint64_t nth, int err);
void tapsi_sim_host_fail_call(struct tapsi_sim_host *host, uint64_t nth, int err);
uint64_t tapsi_sim_calls(const struct tapsi_sim *sim);   /* fallible calls so far */
bool tapsi_sim_call_failed(const struct tapsi_sim *sim); /* has the failure asked for happened? */

/* Scripted TCP services, on all addresses of a host. */

enum tapsi_sim_behaviour {
    TAPSI_SIM_ECHO,    /* sends back what comes, ends when the peer ends */
    TAPSI_SIM_SILENT,  /* reads, never answers, ends when the peer ends */
    TAPSI_SIM_STALL,   /* never reads, never answers: the peer's window closes */
    TAPSI_SIM_DISCARD, /* ends at once (FIN), reads on */
    TAPSI_SIM_SEND,    /* sends its bytes, then FIN, reads on */
    TAPSI_SIM_RESET,   /* resets after so many bytes have come (0 = at once) */
};

struct tapsi_sim_service_counts {
    unsigned accepted;
    unsigned open;  /* accepted and neither ended by both sides nor reset */
    unsigned ended; /* the peer has sent its FIN */
    unsigned reset; /* the peer has sent RST */
    uint64_t received, sent;
};

/* NULL with a problem if the port is taken. */
struct tapsi_sim_service *tapsi_sim_serve(struct tapsi_sim_host *host, uint16_t port,
                                          enum tapsi_sim_behaviour behaviour);
void tapsi_sim_service_bytes(struct tapsi_sim_service *service, const void *bytes, size_t count); /* SEND: copied */
void tapsi_sim_service_reset_after(struct tapsi_sim_service *service, uint64_t bytes);            /* RESET */
void tapsi_sim_service_backlog(struct tapsi_sim_service *service, int backlog);
/* Stops accepting (the backlog fills up) or goes on. */
void tapsi_sim_service_accepting(struct tapsi_sim_service *service, bool accepting);
/* Ends or resets every open connection of the service. */
void tapsi_sim_service_end_all(struct tapsi_sim_service *service, bool reset);
struct tapsi_sim_service_counts tapsi_sim_service_counts(const struct tapsi_sim_service *service);

/* UDP services. `packet` may reply, also later from tapsi_sim_after. */

struct tapsi_sim_udp;
struct tapsi_sim_udp *tapsi_sim_udp_serve(struct tapsi_sim_host *host, uint16_t port,
                                          void (*packet)(void *arg, struct tapsi_sim_udp *udp,
                                                         const union tapsi_addr *from, const union tapsi_addr *to,
                                                         const uint8_t *bytes, size_t count),
                                          void *arg);
/* From `from` (an address of the host, NULL = any) to `to`, `delay_ns` from now. */
void tapsi_sim_udp_reply(struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                         const void *bytes, size_t count, uint64_t delay_ns);
struct tapsi_sim_udp *tapsi_sim_udp_echo(struct tapsi_sim_host *host, uint16_t port);
/* A datagram that `host` sends now and that claims to come from `from`, whose address may be anybody's. */
void tapsi_sim_udp_forge(struct tapsi_sim_host *host, const union tapsi_addr *from, const union tapsi_addr *to,
                         const void *bytes, size_t count);

/*
 * A DNS server on port 53 of a host, over UDP (512 bytes, or what EDNS allows, then TC) and TCP. A name it does not
 * know is NXDOMAIN, a type it does not know for a known name is an empty answer. CNAMEs are followed inside the zone.
 */

enum tapsi_sim_rcode {
    TAPSI_SIM_DNS_EMPTY,
    TAPSI_SIM_DNS_FORMERR = 1,
    TAPSI_SIM_DNS_SERVFAIL = 2,
    TAPSI_SIM_DNS_NXDOMAIN = 3,
    TAPSI_SIM_DNS_REFUSED = 5,
    TAPSI_SIM_DNS_NEVER = 1000, /* no answer at all */
};

struct tapsi_sim_dns *tapsi_sim_dns_new(struct tapsi_sim_host *host);
/* One more record. `type`: "A", "AAAA" (one or more addresses, spaces between), "CNAME" (a name), "SRV" ("priority
   weight port target"). `delay_ns` is that of the whole answer: the last one given for this name and type counts. */
void tapsi_sim_dns_answer(struct tapsi_sim_dns *dns, const char *name, const char *type, const char *value,
                          uint64_t delay_ns);
/* The same with any type by number and ready RDATA (HTTPS, SVCB ...). */
void tapsi_sim_dns_record(struct tapsi_sim_dns *dns, const char *name, uint16_t type, const void *rdata, size_t length,
                          uint64_t delay_ns);
/* Queries of this name and type are answered so, whatever records there are. */
void tapsi_sim_dns_fail(struct tapsi_sim_dns *dns, const char *name, const char *type, enum tapsi_sim_rcode rcode,
                        uint64_t delay_ns);
void tapsi_sim_dns_ttl(struct tapsi_sim_dns *dns, uint32_t seconds); /* of records in answers from now; at first 300 */
/*
 * Truncation and lies. What in a lie claims an address names TAPSI_SIM_DNS_LIAR4 or 6, so tapsi_sim_packets_to tells
 * who believed it.
 */

#define TAPSI_SIM_DNS_LIAR4 "203.0.113.66"
#define TAPSI_SIM_DNS_LIAR6 "2001:db8:bad::66"

enum tapsi_sim_dns_lie {
    TAPSI_SIM_DNS_HONEST,
    TAPSI_SIM_DNS_TRUNCATED,          /* over UDP: no records, and TC; nothing over TCP */
    TAPSI_SIM_DNS_WRONG_ID,           /* the answer to another query */
    TAPSI_SIM_DNS_WRONG_NAME,         /* to a question for another name */
    TAPSI_SIM_DNS_WRONG_TYPE,         /* to a question for another type */
    TAPSI_SIM_DNS_NO_QUESTION,        /* to none */
    TAPSI_SIM_DNS_NO_ANSWER,          /* a query, QR not set */
    TAPSI_SIM_DNS_OTHER_ADDRESS,      /* over UDP: from somebody else */
    TAPSI_SIM_DNS_OTHER_PORT,         /* over UDP: from another port */
    TAPSI_SIM_DNS_FOREIGN,            /* records of another name instead of those asked for */
    TAPSI_SIM_DNS_FOREIGN_TOO,        /* behind the true ones */
    TAPSI_SIM_DNS_LOOP,               /* two CNAMEs that point at one another */
    TAPSI_SIM_DNS_POINTER_LOOP,       /* a compressed name that points at itself */
    TAPSI_SIM_DNS_MANY,               /* 2000 addresses (198.18.0.0/16, 2001:db8:bad::/48): over UDP truncated */
    TAPSI_SIM_DNS_CUT,                /* ends within its last record */
    TAPSI_SIM_DNS_GARBAGE,            /* the right id, QR, then chance */
    TAPSI_SIM_DNS_NOTHING,            /* an empty datagram or message */
    TAPSI_SIM_DNS_THEN_TRUTH = 0x100, /* or'ed to a lie: the true answer comes right behind it */
};

/* Queries of this name (NULL = every) and type (NULL = every) are told `lie`, the next `times` of them (0 = all). The
   first rule that fits counts; HONEST takes it back. */
void tapsi_sim_dns_lie(struct tapsi_sim_dns *dns, const char *name, const char *type, unsigned lie, unsigned times);

enum tapsi_sim_dns_tcp {
    TAPSI_SIM_DNS_TCP_FINE,
    TAPSI_SIM_DNS_TCP_REFUSED, /* the port is closed */
    TAPSI_SIM_DNS_TCP_SILENT,  /* nobody answers the SYN */
    TAPSI_SIM_DNS_TCP_MUTE,    /* takes the query and says nothing */
    TAPSI_SIM_DNS_TCP_CLOSES,  /* ends the connection instead of answering */
    TAPSI_SIM_DNS_TCP_HALF,    /* half of the answer, then nothing more */
};

void tapsi_sim_dns_tcp(struct tapsi_sim_dns *dns, enum tapsi_sim_dns_tcp mode);
/* How many queries came for this name (NULL = any) and type (NULL = any). */
unsigned tapsi_sim_dns_queries(const struct tapsi_sim_dns *dns, const char *name, const char *type);

#endif
