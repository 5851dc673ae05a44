/* Messages with a lifetime (RFC 9622, 9.1.3.1): one timer of the Connection for the first of them to be over. */
#include "connection/connection.h"

static void on_expiry(struct tapsi_timer *timer);

struct expiry {
    struct tapsi_timer timer;
    struct taps_connection *connection;
};

/* NULL without memory: the Message is then sent late rather than not at all. */
static struct tapsi_timer *expiry_timer(struct taps_connection *c)
{
    struct tapsi_loop *loop = &c->context->loop;
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    if (!rare || rare->expiry)
        return rare ? rare->expiry : NULL;
    struct expiry *e = tapsi_zalloc(&loop->mem, sizeof(*e));
    if (!e)
        return NULL;
    if (tapsi_timer_init(loop, &e->timer, on_expiry)) {
        tapsi_free(&loop->mem, e);
        return NULL;
    }
    e->connection = c;
    rare->expiry = &e->timer;
    return rare->expiry;
}

void tapsi_connection_arm_expiry(struct taps_connection *c, uint64_t deadline)
{
    struct tapsi_loop *loop = &c->context->loop;
    struct tapsi_timer *timer = expiry_timer(c);
    if (timer && (!tapsi_timer_running(timer) || deadline < timer->node.key))
        tapsi_timer_start_at(loop, timer, deadline);
}

/* Moves the ops that are over from `queue` to `ret`: finishing one changes the queues. With the first part of a Message
   go the others; `open`: their end has not come yet. */
static void collect_expired(struct taps_connection *c, struct tapsi_link *queue, size_t *bytes, struct tapsi_link *ret,
                            bool *open)
{
    uint64_t now = tapsi_loop_now(&c->context->loop);
    struct tapsi_link *next;
    for (struct tapsi_link *l = queue->next; l != queue; l = next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        next = l->next;
        if (op->owner != c || op->flags & TAPSI_OP_TOUCHED)
            continue;
        bool rest = *open && op->flags & TAPSI_OP_CONTINUES;
        if (!rest && op->deadline > now) {
            *open = false;
            if (op->deadline != TAPSI_FOREVER)
                tapsi_connection_arm_expiry(c, op->deadline);
            continue;
        }
        *open = !(op->flags & TAPSI_OP_END);
        *bytes -= op->length;
        tapsi_list_remove(l);
        tapsi_list_append(ret, l);
    }
}

/* From the bottom up, which is the order they were sent in. */
static void collect_below(struct taps_connection *c, struct tapsi_layer *layer, struct tapsi_link *ret, bool *open)
{
    if (!layer)
        return;
    collect_below(c, layer->below, ret, open);
    const struct tapsi_link *last = ret->prev;
    collect_expired(c, &layer->queue, &layer->queued, ret, open);
    if (ret->prev != last)
        tapsi_layer_dirty(layer); /* its close may have waited for them */
}

static void expire(struct taps_connection *c, struct tapsi_link *expired, bool handed_down)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(expired))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        if (!handed_down)
            c->out->below += op->length;
        tapsi_op_finish(op, TAPSI_OP_EXPIRED);
    }
}

static void on_expiry(struct tapsi_timer *timer)
{
    struct taps_connection *c = TAPSI_CONTAINER(timer, struct expiry, timer)->connection;
    struct tapsi_link waiting, below;
    tapsi_link_init(&waiting);
    tapsi_link_init(&below);
    bool open = false;
    collect_below(c, c->top, &below, &open);
    if (open)
        c->open_below = false;
    collect_expired(c, &c->out->sends, &c->out->unsent, &waiting, &open);
    if (open && c->partial_send)
        c->lost_part = TAPSI_OP_EXPIRED;
    expire(c, &below, true);
    expire(c, &waiting, false);
    tapsi_connection_pump(c);
}

void tapsi_connection_expiry_done(struct taps_connection *c)
{
    struct tapsi_timer *timer = c->rare ? c->rare->expiry : NULL;
    if (!timer)
        return;
    tapsi_timer_done(&c->context->loop, timer);
    tapsi_free(&c->context->loop.mem, TAPSI_CONTAINER(timer, struct expiry, timer));
    c->rare->expiry = NULL;
}
