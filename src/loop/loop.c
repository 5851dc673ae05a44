/*
 * The turn of the loop.
 *
 * The one surprising thing: memory of dead objects is freed only after the whole batch of events, because the kernel's
 * remaining events still point at their watches; the watch's fd of -1 tells that they are stale.
 */
#include "loop/loop.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "loop/op.h"

#define EVENTS_PER_WAIT  64
#define EVENTS_PER_ROUND 32 /* of a large batch: what the first ones caused leaves before the last ones are read */
#define ROUNDS_MAX       16

struct remote_post {
    struct tapsi_link link;
    void (*fn)(void *);
    void *arg;
};

int tapsi_loop_init(struct tapsi_loop *loop, const struct tapsi_mem *mem, struct tapsi_platform *platform)
{
    *loop = (struct tapsi_loop){.mem = *mem, .platform = platform, .armed = TAPSI_FOREVER};
    if (pthread_mutex_init(&loop->remote_lock, NULL) != 0)
        return TAPS_E_RESOURCES;
    tapsi_heap_init(&loop->timers, &loop->mem);
    tapsi_link_init(&loop->leftovers);
    tapsi_link_init(&loop->posted);
    tapsi_link_init(&loop->reaped);
    tapsi_link_init(&loop->remote);
    tapsi_link_init(&loop->remote_running);
    for (size_t i = 0; i < TAPSI_LEVELS; i++)
        tapsi_link_init(&loop->dirty[i]);
    tapsi_pool_init(&loop->ops, &loop->mem, sizeof(struct tapsi_op), 2048);
    tapsi_pool_init(&loop->lists, &loop->mem, TAPSI_OP_PIECES * sizeof(struct tapsi_range), 64);
    tapsi_pool_init(&loop->buffers, &loop->mem, tapsi_buffer_block(TAPSI_READ_SIZE), 8);
    tapsi_pool_init(&loop->write_buffers, &loop->mem, tapsi_buffer_block(TAPSI_WRITE_SIZE), 64);
    loop->now = platform->ops->now(platform);
    return 0;
}

static void reap(struct tapsi_loop *loop)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&loop->reaped))) {
        struct tapsi_task *task = TAPSI_CONTAINER(link, struct tapsi_task, link);
        task->run(task);
    }
}

static void drop_remote(struct tapsi_loop *loop, struct tapsi_link *list)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(list)))
        tapsi_free(&loop->mem, TAPSI_CONTAINER(link, struct remote_post, link));
}

void tapsi_loop_drop(struct tapsi_loop *loop, struct tapsi_leftover *leftover)
{
    tapsi_list_remove(&leftover->link);
    loop->leftover_count--;
    leftover->drop(leftover);
}

static void drop_first(struct tapsi_loop *loop)
{
    tapsi_loop_drop(loop, TAPSI_CONTAINER(tapsi_list_first(&loop->leftovers), struct tapsi_leftover, link));
}

void tapsi_loop_keep(struct tapsi_loop *loop, struct tapsi_leftover *leftover)
{
    tapsi_list_append(&loop->leftovers, &leftover->link);
    if (++loop->leftover_count > TAPSI_LEFTOVERS)
        drop_first(loop);
}

void tapsi_loop_settle(struct tapsi_loop *loop)
{
    while (loop->leftover_count)
        drop_first(loop);
    reap(loop);
}

void tapsi_loop_release(struct tapsi_loop *loop)
{
    tapsi_loop_settle(loop);
    assert(tapsi_list_empty(&loop->posted));
    drop_remote(loop, &loop->remote);
    drop_remote(loop, &loop->remote_running);
    while (loop->fibers_kept)
        tapsi_fiber_free(loop->fibers[--loop->fibers_kept]);
    tapsi_buffer_unref(loop->read_buffer);
    tapsi_buffer_unref(loop->write_buffer);
    tapsi_pool_done(&loop->ops);
    tapsi_pool_done(&loop->lists);
    tapsi_pool_done(&loop->buffers);
    tapsi_pool_done(&loop->write_buffers);
    tapsi_heap_done(&loop->timers);
    pthread_mutex_destroy(&loop->remote_lock);
}

void tapsi_loop_done(struct tapsi_loop *loop)
{
    tapsi_loop_release(loop);
    loop->platform->ops->destroy(loop->platform);
}

uint64_t tapsi_loop_now(struct tapsi_loop *loop)
{
    if (!loop->in_turn || !loop->now_known) {
        loop->now = loop->platform->ops->now(loop->platform);
        loop->now_known = loop->in_turn;
    }
    return loop->now;
}

uint64_t tapsi_loop_wall(const struct tapsi_loop *loop)
{
    const struct tapsi_platform_ops *ops = loop->platform->ops;
    return ops->wall ? ops->wall(loop->platform) : ops->now(loop->platform) / TAPSI_S;
}

/* ------------------------------------------------------------------------------------------------ queues */

/* Work queued from outside a turn of an embedded loop must make the descriptor readable. */
static void touch(struct tapsi_loop *loop)
{
    if (loop->embedded && !loop->in_turn && loop->armed != 0) {
        loop->armed = 0;
        loop->platform->ops->arm(loop->platform, 0);
    }
}

void tapsi_task_init(struct tapsi_task *task, void (*run)(struct tapsi_task *))
{
    tapsi_link_init(&task->link);
    task->run = run;
}

void tapsi_task_cancel(struct tapsi_task *task)
{
    tapsi_list_remove(&task->link);
}

void tapsi_loop_post(struct tapsi_loop *loop, struct tapsi_task *task)
{
    if (tapsi_link_on_list(&task->link))
        return;
    tapsi_list_append(&loop->posted, &task->link);
    touch(loop);
}

void tapsi_loop_flush(struct tapsi_loop *loop, struct tapsi_task *task, unsigned level)
{
    assert(level < TAPSI_LEVELS);
    if (tapsi_link_on_list(&task->link))
        return;
    tapsi_list_append(&loop->dirty[level], &task->link);
    loop->dirty_levels |= 1u << level;
    touch(loop);
}

void tapsi_loop_reap(struct tapsi_loop *loop, struct tapsi_task *task, void (*run)(struct tapsi_task *))
{
    tapsi_list_remove(&task->link);
    task->run = run;
    tapsi_list_append(&loop->reaped, &task->link);
    touch(loop);
}

int tapsi_loop_post_remote(struct tapsi_loop *loop, void (*fn)(void *), void *arg)
{
    struct remote_post *post = tapsi_alloc(&loop->mem, sizeof(*post));
    if (!post)
        return TAPS_E_MEMORY;
    post->fn = fn;
    post->arg = arg;
    pthread_mutex_lock(&loop->remote_lock);
    tapsi_list_append(&loop->remote, &post->link);
    atomic_store(&loop->has_remote, true);
    pthread_mutex_unlock(&loop->remote_lock);
    loop->platform->ops->wake(loop->platform);
    return 0;
}

void tapsi_loop_stop(struct tapsi_loop *loop)
{
    atomic_store(&loop->stop, true);
    loop->platform->ops->wake(loop->platform);
}

bool tapsi_loop_busy(struct tapsi_loop *loop)
{
    return loop->holds || atomic_load(&loop->has_remote);
}

bool tapsi_loop_stopped(struct tapsi_loop *loop)
{
    return atomic_load_explicit(&loop->stop, memory_order_relaxed);
}

void tapsi_loop_clear_stop(struct tapsi_loop *loop)
{
    atomic_store(&loop->stop, false);
}

static void run_remote(struct tapsi_loop *loop)
{
    if (!atomic_load_explicit(&loop->has_remote, memory_order_relaxed) || !atomic_exchange(&loop->has_remote, false))
        return;
    pthread_mutex_lock(&loop->remote_lock);
    tapsi_list_splice(&loop->remote_running, &loop->remote);
    pthread_mutex_unlock(&loop->remote_lock);
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&loop->remote_running))) {
        struct remote_post *post = TAPSI_CONTAINER(link, struct remote_post, link);
        struct remote_post copy = *post;
        tapsi_free(&loop->mem, post);
        copy.fn(copy.arg);
    }
}

/* ------------------------------------------------------------------------------------------------ rounds */

static void run_first(struct tapsi_link *list)
{
    struct tapsi_task *task = TAPSI_CONTAINER(list->next, struct tapsi_task, link);
    tapsi_list_remove(&task->link);
    task->run(task);
}

/* What is on the list now; what comes to it meanwhile waits for the next round. */
static void run_all(struct tapsi_link *list)
{
    if (list->next == list->prev) { /* one, as a rule */
        run_first(list);
        return;
    }
    struct tapsi_link batch;
    tapsi_link_init(&batch);
    tapsi_list_splice(&batch, list);
    while (!tapsi_list_empty(&batch))
        run_first(&batch);
}

/* Each level once, from the top down; what becomes dirty at or above the level that runs waits for the next round. */
static void run_flush(struct tapsi_loop *loop)
{
    unsigned dirty, below = ~0u;
    while ((dirty = loop->dirty_levels & below)) {
        unsigned level = 31u - (unsigned)__builtin_clz(dirty);
        below = (1u << level) - 1;
        loop->dirty_levels &= ~(1u << level);
        if (!tapsi_list_empty(&loop->dirty[level])) /* what was on it may be dead by now */
            run_all(&loop->dirty[level]);
    }
}

static bool work_waits(const struct tapsi_loop *loop)
{
    return loop->dirty_levels || !tapsi_list_empty(&loop->posted);
}

static void rounds(struct tapsi_loop *loop)
{
    for (int i = 0; i < ROUNDS_MAX && work_waits(loop); i++) {
        if (!tapsi_list_empty(&loop->posted))
            run_all(&loop->posted);
        run_flush(loop);
    }
}

static void fire_timers(struct tapsi_loop *loop)
{
    struct tapsi_heap_node *node;
    while ((node = tapsi_heap_first(&loop->timers)) && node->key <= tapsi_loop_now(loop)) {
        tapsi_heap_remove(&loop->timers, node);
        struct tapsi_timer *timer = TAPSI_CONTAINER(node, struct tapsi_timer, node);
        timer->fire(timer);
    }
}

static uint64_t next_deadline(struct tapsi_loop *loop, uint64_t deadline)
{
    if (work_waits(loop))
        return 0;
    struct tapsi_heap_node *first = tapsi_heap_first(&loop->timers);
    return first && first->key < deadline ? first->key : deadline;
}

static void dispatch(struct tapsi_loop *loop, const struct tapsi_ready *ready, int count)
{
    for (int i = 0; i < count; i++) {
        if (i && i % EVENTS_PER_ROUND == 0)
            rounds(loop);
        struct tapsi_watch *watch = ready[i].watch;
        if (watch->fd != -1)
            watch->ready(watch, ready[i].io);
    }
}

void tapsi_loop_turn(struct tapsi_loop *loop, uint64_t deadline)
{
    assert(!loop->in_turn);
    struct tapsi_platform *p = loop->platform;
    struct tapsi_ready ready[EVENTS_PER_WAIT];
    loop->in_turn = true;
    loop->now_known = false;
    if (work_waits(loop)) {
        rounds(loop);
        reap(loop);
        deadline = 0; /* that may have been all there was: the caller looks before it waits */
    }
    int count = p->ops->wait(p, next_deadline(loop, deadline), ready, EVENTS_PER_WAIT);
    loop->now_known = false;
    dispatch(loop, ready, count);
    run_remote(loop);
    fire_timers(loop);
    rounds(loop);
    reap(loop);
    loop->in_turn = false;
    if (loop->embedded) {
        uint64_t next = next_deadline(loop, TAPSI_FOREVER);
        if (next != loop->armed || next == 0)
            p->ops->arm(p, next);
        loop->armed = next;
    }
}

void tapsi_loop_embed(struct tapsi_loop *loop)
{
    if (loop->embedded)
        return;
    loop->embedded = true;
    loop->armed = next_deadline(loop, TAPSI_FOREVER);
    loop->platform->ops->arm(loop->platform, loop->armed);
}

int tapsi_loop_descriptor(struct tapsi_loop *loop)
{
    int fd = loop->platform->ops->descriptor(loop->platform);
    if (fd < 0)
        return TAPS_E_NOT_APPLICABLE;
    tapsi_loop_embed(loop);
    return fd;
}

/* ------------------------------------------------------------------------------------- buffers and log */

struct tapsi_buffer *tapsi_loop_next_buffer(struct tapsi_pool *pool, struct tapsi_buffer **buffer)
{
    tapsi_buffer_unref(*buffer);
    *buffer = tapsi_buffer_get(pool);
    return *buffer;
}

/* From a pool where that wastes little. */
struct tapsi_buffer *tapsi_loop_large_buffer(struct tapsi_loop *loop, size_t size)
{
    if (size > TAPSI_WRITE_SIZE / 2 && size <= TAPSI_WRITE_SIZE)
        return tapsi_buffer_get(&loop->write_buffers);
    if (size > TAPSI_READ_SIZE / 2 && size <= TAPSI_READ_SIZE)
        return tapsi_buffer_get(&loop->buffers);
    return tapsi_buffer_new(&loop->mem, size);
}

bool tapsi_log_on(const struct tapsi_loop *loop, enum taps_log_level level)
{
    return loop->log && level <= loop->log_level;
}

void tapsi_log(const struct tapsi_loop *loop, enum taps_log_level level, const char *format, ...)
{
    if (!tapsi_log_on(loop, level))
        return;
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    loop->log(loop->log_user, level, text);
}
