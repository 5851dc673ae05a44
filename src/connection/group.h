/*
 * Connection Groups (RFC 9622, 7.4): who belongs together, what they share, and whose Messages go first. group.c has
 * the members, clone.c makes more of them, entangle.c has what they share, streams.c those that are streams of one
 * session, share.c the sends of those that are not. A Connection in no group has no tapsi_member and pays for none of
 * this.
 *
 * A group begins with the first Clone, or with the first stream of a peer, and ends with its last member, or with the
 * session, if that lives longer; a member stays until it is freed, or cannot have a value that all others have
 * (clone_error). All are over the stack and to the address of the one that was Ready first. Until there is one, one of
 * them races and the others wait, Establishing.
 */
#ifndef TAPSI_CONNECTION_GROUP_H
#define TAPSI_CONNECTION_GROUP_H

#include "base/sched.h"
#include "connection/context.h"
#include "select/endpoint.h"
#include "stack/registry.h"

struct taps_connection;

struct tapsi_member {
    struct tapsi_sched_entry entry;
    struct tapsi_link link; /* the group's */
    struct tapsi_group *group;
    struct taps_connection *connection;
    uint64_t moved, unsent; /* of the one held: ns, since when, or when something of it went; bytes, when looked at */
    bool stalled;           /* it does not move: nobody waits for it until all it has under way is done */
    bool has_op;            /* a Message of it could go */
    bool waits;             /* no race yet: for somebody to be Ready */
    struct tapsi_opening *opening; /* the stream it is going to be; or NULL */
};

struct tapsi_group {
    struct taps_context *context;
    struct tapsi_link members; /* in order of joining */
    size_t count;
    /* what the first that was Ready has found */
    const struct tapsi_stack_row *row; /* NULL: nobody was yet */
    struct taps_endpoint remote;
    bool passive;  /* a Listener's */
    bool starting; /* races are being begun */
    bool ending;   /* CloseGroup or AbortGroup: no more races begin */
    /* sends */
    struct tapsi_sched sched;
    struct tapsi_timer patience;
    struct tapsi_member *held; /* its turn has come, and it has no room: all wait for it */
    struct tapsi_task task;    /* hands down */
    uint64_t orders;
    size_t with_ops; /* members of which a Message could go */
    /* streams */
    struct tapsi_bond *bond;             /* the session's; NULL: there is none, or it is over */
    struct tapsi_properties *properties; /* without members: those of the last, for whoever comes; or NULL */
    struct tapsi_link openings;          /* streams of the peer above which layers are at work */
    struct tapsi_link arrived;           /* Connections to be delivered to a member */
    struct tapsi_task deliver;
    bool delivering;
    struct tapsi_paths *paths; /* paths.h; NULL: it stays on the path it has */
};

/* group.c. A group is freed when nothing needs it any more. */
int tapsi_group_new(struct taps_connection *connection, struct tapsi_group **ret);
void tapsi_group_free_unused(struct tapsi_group *group);
/* With memory for a clone_error, which must not fail later. */
int tapsi_group_join(struct tapsi_group *group, struct taps_connection *connection);
static inline struct tapsi_member *tapsi_group_member_at(struct tapsi_link *link)
{
    return TAPSI_CONTAINER(link, struct tapsi_member, link);
}
/* Members that have not ended. */
size_t tapsi_group_living(const struct tapsi_group *group);
/* Begins all races and streams that can begin: when it is known where to, all; else one. */
void tapsi_group_go_on(struct tapsi_group *group);

/* clone.c: Clone. `properties` may be NULL. On failure of what the Connection or its group is, clone_error follows. */
int tapsi_group_clone(struct taps_connection *parent, const struct taps_framer *framer,
                      const struct tapsi_properties *properties, const struct taps_connection_events *events,
                      void *user, struct taps_connection **ret);
/* The Connection's group, which is made now if there is none. */
int tapsi_group_of(struct taps_connection *connection, struct tapsi_group **ret);
/* Where the first that is Ready has come to: 0 or TAPS_E_MEMORY. */
int tapsi_group_learn(struct tapsi_group *group, struct taps_connection *connection);
/* Begins the race of a clone, or the stream it is to be. */
int tapsi_group_begin(struct tapsi_group *group, struct taps_connection *connection, struct tapsi_error *ret_error);

/* group.c. Of a Connection with or without a group. */
size_t tapsi_group_count(const struct taps_connection *connection);
struct taps_connection *tapsi_group_next(const struct taps_connection *connection,
                                         const struct taps_connection *previous);
/* 0 if any was closed, or aborted. */
int tapsi_group_close(struct taps_connection *connection);
int tapsi_group_abort(struct taps_connection *connection);
/* All streams of its session, or it alone: connection_error with this error, and the peer is told. */
void tapsi_group_abort_with(struct taps_connection *connection, const struct tapsi_error *error);
/* entangle.c: SetProperty on a member, with a value that was checked. */
int tapsi_group_set(struct tapsi_member *member, enum taps_property property, struct taps_value value);
/* A Connection Property of the whole group. */
bool tapsi_group_is_shared(enum taps_property property);
/* Gives a Connection that is to join those of the group: 0 or TAPS_E_MEMORY. */
int tapsi_group_share_properties(struct tapsi_group *group, struct taps_connection *connection);

/* streams.c */
struct tapsi_layer;
void tapsi_stream_init(struct tapsi_group *group);
/* The session's of which this is a stream; NULL: it is none, or there is no layer. */
struct tapsi_bond *tapsi_stream_bond(struct tapsi_layer *layer);
/* The group of this session from now on. */
void tapsi_group_tie(struct tapsi_group *group, struct tapsi_bond *bond);
/* A member that has a stream, the first of them, or NULL. */
struct taps_connection *tapsi_group_streamer(const struct tapsi_group *group);
/* A clone becomes a further stream of the session that `from` is a stream of. */
int tapsi_stream_open(struct tapsi_member *member, struct taps_connection *from, struct tapsi_error *ret_error);
/* It is not to become one. NULL is allowed. */
void tapsi_stream_give_up(struct tapsi_opening *opening, int reason);
/* A stream that the peer opened, told by one of the Connection's layers. Takes `child`. */
void tapsi_stream_child(struct taps_connection *connection, struct tapsi_layer *child);
/* Streams of the peer that nobody is left for. */
void tapsi_stream_refuse_all(struct tapsi_group *group);
/* May a stream of the peer become one more member of its session's group? Also true of one that is no stream. */
bool tapsi_stream_has_room(struct tapsi_layer *child);
/* A Connection that was accepted is delivered now: as a member, if it is a stream. Negative: it must not be. */
int tapsi_stream_admit(struct taps_connection *connection);

/* group.c. What happened to a member's Connection: its stack is there; its end is to be told; it is freed. */
void tapsi_group_ready(struct tapsi_member *member);
void tapsi_group_ended(struct tapsi_member *member, const struct tapsi_error *error);
void tapsi_group_leave(struct tapsi_member *member);

/* share.c: flows of their own. Of streams, what is handed down is the session's to share. */
int tapsi_share_init(struct tapsi_group *group, enum taps_scheduler kind);
void tapsi_share_done(struct tapsi_group *group);
/* The member has a stack, and sends with the others from now on; it sends no more. */
void tapsi_share_join(struct tapsi_member *member);
void tapsi_share_leave(struct tapsi_member *member);
void tapsi_share_set_scheduler(struct tapsi_group *group, enum taps_scheduler kind);
void tapsi_share_set_priority(struct tapsi_member *member, uint32_t priority);
/* The order of a Message that comes now. */
static inline uint64_t tapsi_group_order(const struct tapsi_member *member)
{
    return ++member->group->orders;
}
/* The member's queue has changed; something of what it had under way is done. What may go is handed down in this round
   of the loop. */
void tapsi_group_pump(struct tapsi_member *member);
void tapsi_group_done(struct tapsi_member *member);

#endif
