/*
 * Paths of a session (RFC 9622, 7.5; requirement IMPL-21): which endpoints it knows, which ways they make on the
 * network as it is now, and what it did of that. paths.c has the ways, known.c the endpoints.
 *
 * There is one for a Connection Group that was initiated over a stack with a session, with multipath Active or Passive;
 * nobody else pays for it. A Listener's peers move by themselves, and their sessions follow.
 */
#ifndef TAPSI_CONNECTION_PATHS_H
#define TAPSI_CONNECTION_PATHS_H

#include "connection/group.h"
#include "establish/config.h"
#include "stack/layer.h"

#define TAPSI_WAYS_MAX  16 /* that a session is told of: the best */
#define TAPSI_MOVES_MAX 16 /* that the report tells of: the last */

/* An endpoint that is known, or was removed. The later word counts. */
struct tapsi_known {
    union tapsi_addr address; /* family 0: any of the interface. Of a Remote Endpoint with its port */
    char interface[TAPSI_INTERFACE_MAX];
    uint64_t turn;
};

struct tapsi_known_list {
    struct tapsi_known *items;
    size_t count, capacity;
};

struct tapsi_move {
    uint64_t when; /* ns */
    union tapsi_addr local, remote;
    char interface[TAPSI_INTERFACE_MAX]; /* "" = not known */
};

struct tapsi_paths {
    struct tapsi_link link; /* the context's */
    struct tapsi_group *group;
    struct tapsi_config *config; /* the Connection's, without Local Endpoints: they are among `locals` */
    bool any;                    /* there were none: what the system has is known too */
    struct tapsi_known_list locals, remotes, removed; /* removed: Local Endpoints */
    uint64_t turns;
    struct tapsi_network *network; /* the names of `ways` are its */
    struct tapsi_bond *bond;       /* of the session that was told of them; NULL: none was */
    size_t count;
    struct tapsi_way ways[TAPSI_WAYS_MAX];
    uint64_t begun; /* ns: the first was Ready */
    unsigned moved;
    union tapsi_addr local, remote;           /* where it is now */
    struct tapsi_move moves[TAPSI_MOVES_MAX]; /* by number, from 0, modulo their count */
};

/* A Connection is Ready. Without memory it stays where it is, and the log says so. */
void tapsi_paths_begin(struct taps_connection *connection);
void tapsi_paths_free(struct tapsi_paths *paths); /* NULL is allowed */
/* The stack said that its path is another: the move is noted, if it is one. */
void tapsi_paths_moved(struct taps_connection *connection);
/* The group's, or NULL. */
struct tapsi_paths *tapsi_paths_of(const struct taps_connection *connection);
/* Of the context: nobody watches the network any more. */
void tapsi_paths_deafen(struct taps_context *context);

/* Works the ways out, and hands them down if they are others than those it has. A negative taps_err with words: they
   were not taken. `ret_count`: how many there are. */
int tapsi_paths_renew(struct tapsi_paths *paths, size_t *ret_count, struct tapsi_error *ret_error);

/* known.c. A Local Endpoint that is known and gives this way, or `any`; the later words are heeded. */
bool tapsi_paths_known(const struct tapsi_paths *paths, const struct tapsi_known *known,
                       const struct tapsi_interface *interface, const union tapsi_addr *address);
/* AddRemote, AddLocal, RemoveRemote, RemoveLocal: of endpoints of the right kind. */
int tapsi_paths_change(struct taps_connection *connection, bool remote, bool adds,
                       const taps_endpoint *const *endpoints, size_t count);
/* At first: the Local Endpoints of the configuration, and the Remote Endpoint in use. */
int tapsi_paths_learn(struct tapsi_paths *paths, const struct tapsi_config *config, const union tapsi_addr *remote);
void tapsi_paths_forget(struct tapsi_paths *paths);

#endif
