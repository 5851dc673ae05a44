#include "connection/buffer.h"

#include <assert.h>

/* Who lends hears of it in the loop, since the last use may end inside a call of the application. */
struct tapsi_lent {
    struct tapsi_foreign foreign;
    struct tapsi_task task;
    struct tapsi_link link; /* the context's list */
    struct taps_context *context;
    void (*release)(void *arg);
    void *arg;
};

/* -------------------------------------------------------------------------------------------------------- lent */

static void forget(struct tapsi_lent *lent)
{
    struct taps_context *context = lent->context;
    tapsi_list_remove(&lent->link);
    context->loop.holds--;
    tapsi_pool_put(&context->lents, lent);
}

static void release(struct tapsi_task *task)
{
    struct tapsi_lent *lent = TAPSI_CONTAINER(task, struct tapsi_lent, task);
    void (*call)(void *) = lent->release;
    void *arg = lent->arg;
    forget(lent);
    call(arg);
}

static void unused(struct tapsi_foreign *foreign)
{
    struct tapsi_lent *lent = TAPSI_CONTAINER(foreign, struct tapsi_lent, foreign);
    tapsi_loop_post(&lent->context->loop, &lent->task);
}

struct tapsi_lent *tapsi_lent_new(struct taps_context *context, void (*call)(void *arg), void *arg)
{
    struct tapsi_lent *lent = tapsi_pool_get(&context->lents);
    if (!lent)
        return NULL;
    tapsi_foreign_init(&lent->foreign, unused);
    tapsi_task_init(&lent->task, release);
    tapsi_link_init(&lent->link);
    tapsi_list_append(&context->lent, &lent->link);
    context->loop.holds++; /* until it is released there is something to come */
    lent->context = context;
    lent->release = call;
    lent->arg = arg;
    return lent;
}

struct tapsi_buffer *tapsi_lent_keeper(struct tapsi_lent *lent)
{
    return &lent->foreign.buffer;
}

void tapsi_lent_forget(struct tapsi_lent *lent)
{
    assert(lent->foreign.buffer.refs == 1);
    forget(lent);
}

/* ----------------------------------------------------------------------------------------------------- buffers */

static void free_buffer(struct tapsi_foreign *foreign)
{
    struct taps_buffer *b = TAPSI_CONTAINER(foreign, struct taps_buffer, foreign);
    tapsi_list_remove(&b->link);
    tapsi_buffer_unref(b->bytes);
    tapsi_pool_put(&b->context->handles, b);
}

int tapsi_app_buffer_new(struct taps_context *context, struct tapsi_buffer *bytes, uint8_t *first, size_t headroom,
                         size_t length, struct taps_buffer **ret)
{
    struct taps_buffer *b = tapsi_pool_get(&context->handles);
    if (!b)
        return TAPS_E_MEMORY;
    *b = (struct taps_buffer){
        .context = context, .bytes = bytes, .first = first, .data = first + headroom, .length = length};
    tapsi_foreign_init(&b->foreign, free_buffer);
    tapsi_link_init(&b->link);
    tapsi_list_append(&context->held, &b->link);
    *ret = b;
    return 0;
}

/* ------------------------------------------------------------------------------------- beginning and end */

void tapsi_buffers_init(struct taps_context *context)
{
    tapsi_pool_init(&context->lents, &context->loop.mem, sizeof(struct tapsi_lent), 256);
    tapsi_pool_init(&context->handles, &context->loop.mem, sizeof(struct taps_buffer), 256);
    tapsi_link_init(&context->lent);
    tapsi_link_init(&context->held);
}

void tapsi_buffers_done(struct taps_context *context)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&context->lent))) {
        struct tapsi_lent *lent = TAPSI_CONTAINER(link, struct tapsi_lent, link);
        tapsi_task_cancel(&lent->task);
        release(&lent->task);
    }
    while ((link = tapsi_list_first(&context->held)))
        free_buffer(&TAPSI_CONTAINER(link, struct taps_buffer, link)->foreign);
}
