/*
 * What earlier races tell this one, and what it tells later ones (RFC 9623, 4.3; IMPL-14, ARCH-16): the glue between
 * the tree and the history (select/history.h).
 *
 * Among secure stacks that the application's own preferences rank alike, those in doubt are tried behind the others;
 * they are not left out. Plain stacks neither teach nor learn, since some of them are ready without any answer, and
 * security comes before experience. Nothing is read or written where isolateSession is true, or the context keeps
 * nothing.
 */
#ifndef TAPSI_ESTABLISH_PAST_H
#define TAPSI_ESTABLISH_PAST_H

#include "establish/race.h"
#include "select/history.h"

/* One stack's turn on a path. */
struct tapsi_past_turn {
    unsigned place; /* row of the registry */
    enum tapsi_history_doubt doubt;
    uint64_t ago; /* ns since the failure, where there is doubt */
};

/* The stacks that are eligible on this path, in the order of their turns, into `ret` of TAPSI_STACKS_MAX; how many. A
   doubt is told only where it made the stack wait for others. */
size_t tapsi_past_order(const struct tapsi_node *path, struct tapsi_past_turn *ret);
/* Why it waits: "quic got no answer 3 minutes ago". */
void tapsi_past_word(const struct tapsi_past_turn *turn, char *to, size_t size);
/* The race is won, and the others are still as they were in that moment. */
void tapsi_past_learn(const struct tapsi_race *race, const struct tapsi_leaf *winner);

/* A network as the interface has it: its name, on-link prefixes and default routes, whatever its own addresses are. */
uint64_t tapsi_past_network(const struct tapsi_interface *interface);
/* A Remote Endpoint as it was given: name or address, port or service. */
uint64_t tapsi_past_endpoint(const struct taps_endpoint *endpoint);

#endif
