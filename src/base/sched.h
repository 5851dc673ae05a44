/*
 * Who sends next: the schedulers of RFC 8260, section 3, over entries that stand for Connections of a group or for
 * streams of a session. Pure: it knows priorities, orders of arrival and lengths, and neither Messages nor Connections;
 * it allocates nothing, so nothing fails.
 *
 *     tapsi_sched_wait(s, e, order)    e has a Message to send, which came as `order`-th
 *     e = tapsi_sched_first(s)         whose Message is next
 *     tapsi_sched_took(s, e, length)   it was taken; then wait with the order of its next one, or leave
 *
 * first-come first-served   the Message that came first
 * round-robin               a Message of each in turn
 * round-robin per packet    in turn too; a turn lasts until a packet is full
 * priority                  the lowest number; equals by turns
 * fair capacity             equal shares in bytes
 * weighted fair queueing    shares in bytes in inverse proportion to the number: 1/priority. Those with 0 go before all
 *                           others and share equally
 *
 * Fairness (of the last two) is start-time fair queueing: of two that both wait all the time, the bytes taken, each
 * multiplied by its own priority, differ by at most one Message of each, so multiplied. Who did not wait for a while
 * has no claim on what it missed.
 */
#ifndef TAPSI_BASE_SCHED_H
#define TAPSI_BASE_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <taps/taps.h>

#define TAPSI_SCHED_WEIGHTS 65535 /* weighted fair queueing takes larger numbers for this one */

/* Embedded in its owner; the fields are the scheduler's. */
struct tapsi_sched_entry {
    struct tapsi_sched_entry *child, *next, *prev; /* prev: the sibling before, or the parent */
    uint64_t tag;                                  /* the place among those of its class */
    uint64_t sequence;                             /* and among those of equal tags */
    uint64_t finish;                               /* fair shares: where what it was given ends, in virtual time */
    uint64_t period;                               /* that `finish` is of */
    uint32_t class, priority;
    size_t in_packet; /* bytes of this turn */
    bool waits;
};

struct tapsi_sched {
    enum taps_scheduler kind;
    struct tapsi_sched_entry *root; /* a pairing heap of those that wait */
    uint64_t now[2];                /* virtual time, of each class */
    uint64_t period;                /* since somebody has waited, or the kind has changed */
    uint64_t sequence;
    size_t packet;
};

/* `packet`: bytes of a turn of TAPS_SCHEDULER_ROUND_ROBIN_PER_PACKET. */
void tapsi_sched_init(struct tapsi_sched *sched, enum taps_scheduler kind, size_t packet);
/* Those that wait go on waiting, in the order in which they would have been next. */
void tapsi_sched_set_kind(struct tapsi_sched *sched, enum taps_scheduler kind);
void tapsi_sched_entry_init(struct tapsi_sched_entry *entry, uint32_t priority);
void tapsi_sched_set_priority(struct tapsi_sched *sched, struct tapsi_sched_entry *entry, uint32_t priority);
/* Keeps its place when it waits already; but `order`, which only first-come first-served looks at, may be another. */
void tapsi_sched_wait(struct tapsi_sched *sched, struct tapsi_sched_entry *entry, uint64_t order);
/* Harmless when it does not wait. */
void tapsi_sched_leave(struct tapsi_sched *sched, struct tapsi_sched_entry *entry);
/* NULL: nobody waits. */
struct tapsi_sched_entry *tapsi_sched_first(const struct tapsi_sched *sched);
/* Of one that waits, mostly the first. An empty Message counts as a byte. */
void tapsi_sched_took(struct tapsi_sched *sched, struct tapsi_sched_entry *entry, size_t length);

#endif
