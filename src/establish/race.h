/*
 * The candidate tree and its race (RFC 9623, 4; requirements IMPL-04, 07, 08, 10, 11, 12).
 *
 * root -> network path -> protocol stack -> derived endpoint, one branch type per parent. A parent starts its children
 * in order, one per stagger delay, the next at once when one fails. The first leaf whose whole stack is ready wins; all
 * others are destroyed at once. Children of a node are made when it starts, so the ordinary race allocates one leaf.
 * With opportunistic security plain stacks do not race secure ones: they wait (plain.c; ARCH-11).
 */
#ifndef TAPSI_ESTABLISH_RACE_H
#define TAPSI_ESTABLISH_RACE_H

#include "establish/config.h"
#include "establish/lookups.h"

struct tapsi_race;

struct tapsi_node {
    struct tapsi_race *race;
    struct tapsi_node *parent; /* NULL: the root */
    struct tapsi_node **children;
    size_t count, capacity;
    unsigned number; /* place among the siblings when made, from 1: part of the id */
    unsigned active; /* children under way */
    uint8_t kind;    /* enum taps_candidate_kind; the root's is not used */
    uint8_t state;   /* enum taps_candidate_state */
    bool root, has_stagger;
    bool resumes; /* path: its plain stacks may start, and none has (plain.c) */
    int error;
    uint64_t start, end; /* ns of the loop's clock; 0 = has not happened */
    uint64_t last_start; /* of a child: the next follows a stagger delay later */
    char *reason;        /* owned, or NULL: the report words it from the plan */
    struct tapsi_timer stagger;
    const struct tapsi_interface *interface; /* path, and copied to all below */
    const struct tapsi_stack_row *row;       /* protocol, endpoint */
    unsigned place;                          /* path: interface in the network; protocol: row in the registry */
    struct tapsi_leaf *leaf;                 /* endpoint */
};

/* What only a leaf has: one attempt. */
struct tapsi_leaf {
    struct tapsi_node node;
    struct tapsi_sink sink;
    struct tapsi_layer *top; /* NULL: not started, over, or handed to the winner's owner */
    int native;              /* of a failure, in `domain`: beside node.error */
    enum taps_domain domain;
    union tapsi_addr remote, local;       /* local: to bind, then the one used; family 0 = not known */
    union tapsi_addr asked;               /* `local` as it was when the attempt began */
    const struct taps_endpoint *endpoint; /* the Remote Endpoint it was derived from */
    uint8_t from;                         /* the Local Endpoint's place in the config, from 1; 0 = none is asked for */
    unsigned pass;                        /* in which pass over the names it got its place (leaves.c) */
    bool bind_device;
    bool choose_source;      /* the path has stable and temporary addresses: the kernel is told which are wanted */
    bool without_early;      /* it failed once after early data */
    struct tapsi_link early; /* ops its layers have as early data, by their `owned` link; `tag` = the Connection's op */
};

struct tapsi_race_sink {
    /* The winner's stack, READY: the callee owns it and takes over its `up`. */
    void (*won)(void *owner, struct tapsi_leaf *winner, struct tapsi_layer *top, const struct tapsi_ready_info *info);
    void (*failed)(void *owner, const struct tapsi_error *error);
    /* Messages that may go before the handshake is over (safelyReplayable), the first ones in order: copies of them, of
       at most `room` bytes together, are appended to `ops` by their `owned` link, each with one reference; `tag` is the
       Connection's own op. `ops` NULL: are there any? May be NULL. */
    bool (*early)(void *owner, size_t room, struct tapsi_link *ops);
    /* To be written down: a leaf started, failed or was cancelled; names may have got answers. May not act. */
    void (*attempt)(void *owner, const struct tapsi_node *leaf);
    void (*resolved)(void *owner, struct tapsi_lookups *names);
};

/* With opportunistic security: what plain stacks wait for (plain.c). */
struct tapsi_plain {
    struct tapsi_race *race;
    void (*on_time)(struct tapsi_race *race);
    bool holding;      /* no plain stack starts */
    bool barred;       /* no plain stack starts, ever */
    uint64_t answered; /* when a peer was first heard to have no TLS; 0 = none was */
    uint64_t due;      /* the deadline of the race, or TAPSI_FOREVER */
    struct tapsi_timer timer;
};

enum tapsi_plain_turn { TAPSI_PLAIN_WAITS, TAPSI_PLAIN_GOES, TAPSI_PLAIN_NEVER };

struct tapsi_race {
    struct tapsi_loop *loop;
    struct tapsi_config *config;
    struct tapsi_plan *plan;
    struct tapsi_env *env;
    struct tapsi_lookups names;
    struct tapsi_node tree; /* the root */
    struct tapsi_task task;
    struct tapsi_timer deadline;
    const struct tapsi_race_sink *sink; /* NULL: nobody listens any more */
    void *owner;                        /* of `sink` */
    struct tapsi_plain *plain;          /* NULL: every stack may start in its turn */
    uint64_t start, ready, attempt_delay;
    struct tapsi_leaf *winner;
    size_t leaves;
    unsigned version; /* +1 with every change: the report is remade when it differs */
    unsigned passes;  /* over the names */
    bool begun, over, has_timers;
};

struct tapsi_race_options {
    struct tapsi_resolver *resolver;
    struct tapsi_caches *caches;                       /* the context's; NULL: none are kept */
    uint64_t attempt_delay, resolution_delay, timeout; /* ns; timeout TAPSI_FOREVER = none */
};

/* Takes references of config and plan. Begins in the next turn; `sink` hears exactly one of won and failed, later. */
int tapsi_race_new(struct tapsi_loop *loop, struct tapsi_config *config, struct tapsi_plan *plan,
                   const struct tapsi_race_options *options, const struct tapsi_race_sink *sink, void *owner,
                   struct tapsi_race **ret, struct tapsi_error *ret_error);
/* Ends it at once and silently: the sink hears nothing more. The tree stays for the report. */
void tapsi_race_cancel(struct tapsi_race *race, const char *reason);
void tapsi_race_free(struct tapsi_race *race); /* NULL is allowed */

/* tree.c */
struct tapsi_node *tapsi_node_new(struct tapsi_node *parent, enum taps_candidate_kind kind);
void tapsi_node_reason(struct tapsi_node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tapsi_node_free_children(struct tapsi_node *node);
int tapsi_tree_paths(struct tapsi_race *race);     /* the root's children */
int tapsi_tree_protocols(struct tapsi_node *path); /* a path's children */

/* leaves.c */
int tapsi_tree_endpoints(struct tapsi_node *protocol); /* a protocol's children, as far as known; repeatable */
/* Are there only literal addresses, and this interface reaches none of them? */
bool tapsi_tree_reaches_no_literal(const struct tapsi_race *race, const struct tapsi_interface *interface);

/* attempt.c */
int tapsi_attempt_start(struct tapsi_leaf *leaf, struct tapsi_error *ret_error);
void tapsi_attempt_stop(struct tapsi_leaf *leaf);
/* Is there a peer: has a layer below the top got its handshake done? */
bool tapsi_attempt_reached(const struct tapsi_leaf *leaf);

/* plain.c */
/* Begins to hold where there is something to hold, and something to wait for: plain stacks wait until `due` at most.
   `on_time` is called with the race's turn to ask again. */
int tapsi_plain_new(struct tapsi_race *race, uint64_t due, void (*on_time)(struct tapsi_race *));
/* The race is over. */
void tapsi_plain_free(struct tapsi_race *race);
/* A secure candidate failed, and its layers are still there: what does that tell about its peer? */
void tapsi_plain_note(struct tapsi_race *race, const struct tapsi_leaf *leaf, int error);
/* Must this child not start now? */
bool tapsi_plain_holds(const struct tapsi_node *node);
/* May plain stacks start now? If time alone can change the answer, the timer is armed. */
enum tapsi_plain_turn tapsi_plain_ask(struct tapsi_race *race);

/* race.c: what an attempt reports */
void tapsi_race_leaf_ready(struct tapsi_leaf *leaf, const struct tapsi_ready_info *info);
void tapsi_race_leaf_failed(struct tapsi_leaf *leaf, const struct tapsi_error *error);

#endif
