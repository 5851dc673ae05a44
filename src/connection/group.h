/*
 * Connection Groups (RFC 9622, 7.4): who belongs together, what they share, and whose Messages go first. group.c has
 * the members, share.c their sends. A Connection in no group has no tapsi_member and pays for none of this.
 *
 * A group begins with the first Clone and ends with its last member; a member stays until it is freed, or cannot have a
 * value that all others have (clone_error). All are over the stack and to the address of the one that was Ready first.
 * Until there is one, one of them races and the others wait, Establishing.
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
};

struct tapsi_group {
    struct taps_context *context;
    struct tapsi_link members; /* in order of joining */
    size_t count;
    /* what the first that was Ready has found */
    const struct tapsi_stack_row *row; /* NULL: nobody was yet */
    struct taps_endpoint remote;
    bool starting; /* races are being begun */
    bool ending;   /* CloseGroup or AbortGroup: no more races begin */
    /* sends */
    struct tapsi_sched sched;
    struct tapsi_timer patience;
    struct tapsi_member *held; /* its turn has come, and it has no room: all wait for it */
    struct tapsi_task task;    /* hands down */
    uint64_t orders;
    size_t with_ops; /* members of which a Message could go */
};

/* Clone. `properties` may be NULL. On failure of what the Connection or its group is, clone_error follows. */
int tapsi_group_clone(struct taps_connection *parent, const struct taps_framer *framer,
                      const struct tapsi_properties *properties, const struct taps_connection_events *events,
                      void *user, struct taps_connection **ret);
/* Of a Connection with or without a group. */
size_t tapsi_group_count(const struct taps_connection *connection);
struct taps_connection *tapsi_group_next(const struct taps_connection *connection,
                                         const struct taps_connection *previous);
/* 0 if any was closed, or aborted. */
int tapsi_group_close(struct taps_connection *connection);
int tapsi_group_abort(struct taps_connection *connection);
/* SetProperty on a member, with a value that was checked. */
int tapsi_group_set(struct tapsi_member *member, enum taps_property property, struct taps_value value);
/* What happened to a member's Connection: its stack is there; its end is to be told; it is freed. */
void tapsi_group_ready(struct tapsi_member *member);
void tapsi_group_ended(struct tapsi_member *member, const struct tapsi_error *error);
void tapsi_group_leave(struct tapsi_member *member);

/* share.c */
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
