/*
 * The loop: one per context, one thread. It knows tasks, timers and watches, and nothing of Connections.
 *
 * A turn: 1 wait, 2 watches and timers (they run layers, layers call up), 3 posted tasks (the application's callbacks),
 * 4 flush tasks by descending level, 5 back to 3 while there is work (at most 16 rounds, then the next wait is zero),
 * 6 reap. Work queued from outside a turn starts with 3 in the next turn.
 */
#ifndef TAPSI_LOOP_LOOP_H
#define TAPSI_LOOP_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "platform/platform.h"

#define TAPSI_LEVELS      16 /* heights of layers, 0 is the bottom */
#define TAPSI_READ_SIZE   (64 * 1024)
#define TAPSI_WRITE_SIZE  (4 * 1024) /* what small Messages share: as long as one of them waits, it stays */
#define TAPSI_FIBERS_KEPT 4
#define TAPSI_TURN_BYTES  (256 * 1024) /* what one reader may read in one turn */

/* Embedded in its owner; on at most one of the loop's lists. */
struct tapsi_task {
    struct tapsi_link link;
    void (*run)(struct tapsi_task *task);
};

struct tapsi_timer {
    struct tapsi_heap_node node;
    void (*fire)(struct tapsi_timer *timer);
};

/* What is left of something that has ended, to answer who has not heard of it: nobody waits for it, and it may be
   dropped at any time. `drop` frees it; it is off the list by then. */
struct tapsi_leftover {
    struct tapsi_link link;
    void (*drop)(struct tapsi_leftover *leftover);
};

#define TAPSI_LEFTOVERS 32

struct tapsi_loop {
    struct tapsi_mem mem;
    struct tapsi_platform *platform;
    uint64_t now; /* read it with tapsi_loop_now */
    bool now_known;
    struct tapsi_heap timers;
    struct tapsi_link posted, reaped, dirty[TAPSI_LEVELS];
    unsigned dirty_levels; /* bit per non-empty list of dirty */
    struct tapsi_pool ops, lists, buffers, write_buffers;
    struct tapsi_buffer *read_buffer, *write_buffer; /* being filled; NULL at first, and without memory */
    struct tapsi_link leftovers;
    unsigned leftover_count;
    unsigned holds; /* things under way that may still cause an event */
    bool in_turn, embedded;
    atomic_bool stop; /* written by any thread */
    atomic_bool has_remote;
    uint64_t armed; /* what the platform was last told */
    pthread_mutex_t remote_lock;
    struct tapsi_link remote; /* posts of other threads */
    struct tapsi_link remote_running;
    struct tapsi_fiber *fibers[TAPSI_FIBERS_KEPT]; /* of detours: see detour.h */
    unsigned fibers_kept, fibers_lent;
    taps_log_fn log;
    void *log_user;
    enum taps_log_level log_level;
};

/* `mem` is copied. Takes `platform` on success. */
int tapsi_loop_init(struct tapsi_loop *loop, const struct tapsi_mem *mem, struct tapsi_platform *platform);
/* Runs the reaper a last time, drops posts that never ran, destroys the platform. Everything else must be gone. */
void tapsi_loop_done(struct tapsi_loop *loop);
/* The same without destroying the platform. */
void tapsi_loop_release(struct tapsi_loop *loop);
/* Drops what is left over, and frees what is dead: outside a turn, before done. */
void tapsi_loop_settle(struct tapsi_loop *loop);
/* Keeps it; of more than TAPSI_LEFTOVERS the oldest is dropped. */
void tapsi_loop_keep(struct tapsi_loop *loop, struct tapsi_leftover *leftover);
/* Takes it off and calls its drop. */
void tapsi_loop_drop(struct tapsi_loop *loop, struct tapsi_leftover *leftover);
/* One turn that waits until `deadline` at most. */
void tapsi_loop_turn(struct tapsi_loop *loop, uint64_t deadline);
/* Is something under way that may still cause an event: a hold, or a post of any thread? */
bool tapsi_loop_busy(struct tapsi_loop *loop);
/* From any thread: the turn in progress is the last, and the next wait returns at once. */
void tapsi_loop_stop(struct tapsi_loop *loop);
bool tapsi_loop_stopped(struct tapsi_loop *loop);
void tapsi_loop_clear_stop(struct tapsi_loop *loop);
/* Somebody else waits for this loop: from now on the platform is armed for whatever is to be done next. */
void tapsi_loop_embed(struct tapsi_loop *loop);
/* For embedding: after it, work from outside a turn makes the descriptor readable. Returns it or a negative taps_err.
 */
int tapsi_loop_descriptor(struct tapsi_loop *loop);
/* ns. The clock is read at most once a turn, and not at all in a turn that needs no time; always outside a turn. */
uint64_t tapsi_loop_now(struct tapsi_loop *loop);
/* Flush tasks only: from now on it is later. */
static inline void tapsi_loop_look_again(struct tapsi_loop *loop)
{
    loop->now_known = false;
}
/* Seconds since 1970, as the system has it now. */
uint64_t tapsi_loop_wall(const struct tapsi_loop *loop);

void tapsi_task_init(struct tapsi_task *task, void (*run)(struct tapsi_task *));
/* Application callbacks: run in step 3, in order. Harmless when queued already. */
void tapsi_loop_post(struct tapsi_loop *loop, struct tapsi_task *task);
/* Is an application callback about to run? */
static inline bool tapsi_loop_has_posts(const struct tapsi_loop *loop)
{
    return loop->posted.next != &loop->posted;
}
/* Step 4. The list of a level is emptied before its tasks run: a task may queue itself again, for the next round. */
void tapsi_loop_flush(struct tapsi_loop *loop, struct tapsi_task *task, unsigned level);
/* Step 6: the last thing that happens to a dead object; `run` frees it. Takes the task off any other list. */
void tapsi_loop_reap(struct tapsi_loop *loop, struct tapsi_task *task, void (*run)(struct tapsi_task *));
void tapsi_task_cancel(struct tapsi_task *task);
/* From any thread. 0 or TAPS_E_MEMORY. */
int tapsi_loop_post_remote(struct tapsi_loop *loop, void (*fn)(void *), void *arg);

/* init reserves the timer's place, so that start cannot fail; done gives it back (and cancels). */
int tapsi_timer_init(struct tapsi_loop *loop, struct tapsi_timer *timer, void (*fire)(struct tapsi_timer *));
void tapsi_timer_done(struct tapsi_loop *loop, struct tapsi_timer *timer);
/* Restarts when running. `when` is absolute; delay is from now. */
void tapsi_timer_start_at(struct tapsi_loop *loop, struct tapsi_timer *timer, uint64_t when);
void tapsi_timer_start(struct tapsi_loop *loop, struct tapsi_timer *timer, uint64_t delay_ns);
void tapsi_timer_cancel(struct tapsi_loop *loop, struct tapsi_timer *timer);
static inline bool tapsi_timer_running(const struct tapsi_timer *timer)
{
    return timer->node.index != 0;
}

#define TAPSI_MS 1000000ull /* ns */
#define TAPSI_S  1000000000ull

/* Starts a new buffer in place of the one that is full. */
struct tapsi_buffer *tapsi_loop_next_buffer(struct tapsi_pool *pool, struct tapsi_buffer **buffer)
    __attribute__((noinline));
static inline struct tapsi_buffer *tapsi_loop_room(struct tapsi_pool *pool, struct tapsi_buffer **buffer, size_t room)
{
    struct tapsi_buffer *b = *buffer;
    if (b && b->refs == 1)
        b->used = 0;
    return b && b->size - b->used >= room ? b : tapsi_loop_next_buffer(pool, buffer);
}

/* The buffer that readers fill, with at least `room` bytes free behind `used`; one reference stays the loop's. NULL =
   no memory. After reading, add what came to `used`. When nobody else holds it, it is used from the front again. */
static inline struct tapsi_buffer *tapsi_loop_read_buffer(struct tapsi_loop *loop, size_t room)
{
    return tapsi_loop_room(&loop->buffers, &loop->read_buffer, room);
}

/* The same for what is copied to be sent, but one reference is the caller's. `room` is at most TAPSI_WRITE_SIZE. */
static inline struct tapsi_buffer *tapsi_loop_write_buffer(struct tapsi_loop *loop, size_t room)
{
    struct tapsi_buffer *b = tapsi_loop_room(&loop->write_buffers, &loop->write_buffer, room);
    return b ? tapsi_buffer_ref(b) : NULL;
}

/* One alone, of at least `size` bytes. One reference is the caller's. */
struct tapsi_buffer *tapsi_loop_large_buffer(struct tapsi_loop *loop, size_t size);

bool tapsi_log_on(const struct tapsi_loop *loop, enum taps_log_level level);
void tapsi_log(const struct tapsi_loop *loop, enum taps_log_level level, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

#endif
