/*
 * Sending. Ops wait in `sends` until the stack has room (its `ahead`), ordered by priority; from there they belong to
 * the stack until `done`. An op handed down and not touched yet can still expire.
 */
#include <assert.h>
#include <string.h>
#include "connection/connection.h"

static void on_expiry(struct tapsi_timer *timer);

struct expiry {
    struct tapsi_timer timer;
    struct taps_connection *connection;
};

/* ------------------------------------------------------------------------------------------------- settling */

static bool told(const struct taps_connection *c, int result)
{
    const struct taps_connection_events *events = c->events;
    if (!events || c->freed)
        return false;
    return result == 0                  ? events->sent != NULL
           : result == TAPSI_OP_EXPIRED ? events->expired != NULL
                                        : events->send_error != NULL;
}

/* Takes a reference when there is somebody to tell. */
static void settle(struct taps_connection *c, struct tapsi_op *op, int result)
{
    bool silent = c->state == TAPS_ESTABLISHING && (op->flags & TAPSI_OP_FIRST);
    op->result = result;
    if (!told(c, result) || (silent && result < 0))
        return;
    tapsi_list_append(&c->settled, &tapsi_op_ref(op)->link);
    tapsi_connection_post(c);
}

static void on_done(struct tapsi_op *op, int result)
{
    struct taps_connection *c = op->owner;
    tapsi_list_remove(&op->owned);
    c->below -= op->length - op->head_used;
    settle(c, op, result);
    if (!tapsi_list_empty(&c->sends) && c->top)
        tapsi_connection_pump(c);
}

static struct taps_error send_error_of(const struct tapsi_op *op, char *text, size_t size)
{
    tapsi_format(text, size, "the Message was not sent: %s", taps_err_text(op->result));
    return (struct taps_error){.code = op->result, .reason = taps_err_reason(op->result), .detail = text};
}

bool tapsi_connection_tell_send(struct taps_connection *c)
{
    struct tapsi_link *link = tapsi_list_pop(&c->settled);
    if (!link)
        return false;
    struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
    const struct taps_connection_events *events = c->events;
    void *tag = op->tag;
    int result = op->result;
    char text[128];
    struct taps_error error = send_error_of(op, text, sizeof(text));
    tapsi_op_unref(op);
    if (!events)
        return true;
    if (result == 0 && events->sent)
        events->sent(c, tag, c->user);
    else if (result == TAPSI_OP_EXPIRED && events->expired)
        events->expired(c, tag, c->user);
    else if (result < 0 && events->send_error)
        events->send_error(c, tag, &error, c->user);
    return true;
}

/* ------------------------------------------------------------------------------------------- handing down */

/* What the stack must be able to do for this op, checked when the stack is known. 0 or why not. */
static int check_against_stack(const struct taps_connection *c, const struct tapsi_op *op)
{
    const struct tapsi_layer *top = c->top;
    bool boundaries = c->row->offer.capability[TAPS_PRESERVE_MSG_BOUNDARIES] == TAPSI_CAP_ALWAYS;
    if (top->max_message && op->length > top->max_message)
        return TAPS_E_MESSAGE_TOO_LARGE;
    if (boundaries && !(op->flags & TAPSI_OP_END))
        return TAPS_E_MESSAGE_PROPERTIES; /* a datagram is sent whole */
    if (c->row->offer.may_duplicate && !(op->flags & TAPSI_OP_EARLY))
        return TAPS_E_MESSAGE_PROPERTIES; /* RFC 9622, 9.1.3.4 */
    return 0;
}

static void hand_down(struct taps_connection *c, struct tapsi_op *op)
{
    int err = check_against_stack(c, op);
    c->below += op->length;
    tapsi_list_append(&c->under_way, &op->owned);
    if (!err)
        err = tapsi_layer_send(c->top, op);
    if (err)
        tapsi_op_finish(op, err);
}

/* Close ends a batch. An op that is refused at once is done at once, which asks for the next: hence `pumping`. */
void tapsi_connection_pump(struct taps_connection *c)
{
    struct tapsi_link *link;
    if ((c->batch && !c->closing) || c->state == TAPS_ESTABLISHING || c->pumping)
        return;
    c->pumping = true;
    while (c->top && (link = tapsi_list_first(&c->sends))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        if (c->below && c->below + op->length > c->top->ahead)
            break;
        tapsi_list_remove(link);
        c->unsent -= op->length;
        hand_down(c, op);
    }
    c->pumping = false;
    tapsi_connection_pass_close(c);
}

/* Lower numbers first; a Message in parts is not overtaken, since its first parts may be on their way. */
static void enqueue(struct taps_connection *c, struct tapsi_op *op)
{
    struct tapsi_link *at = &c->sends;
    while (at->prev != &c->sends && !c->partial_send) {
        const struct tapsi_op *before = TAPSI_CONTAINER(at->prev, struct tapsi_op, link);
        bool part = !(before->flags & TAPSI_OP_END) || before->flags & TAPSI_OP_CONTINUES;
        if (before->priority <= op->priority || part || op->flags & TAPSI_OP_FINAL)
            break;
        at = at->prev;
    }
    tapsi_list_insert_before(at, &op->link);
    c->unsent += op->length;
}

/* ------------------------------------------------------------------------------------------------ lifetime */

static void arm_expiry(struct taps_connection *c, uint64_t deadline)
{
    struct tapsi_loop *loop = &c->context->loop;
    if (!c->expiry) {
        struct expiry *e = tapsi_zalloc(&loop->mem, sizeof(*e));
        if (!e)
            return; /* the Message is then sent late rather than not at all */
        if (tapsi_timer_init(loop, &e->timer, on_expiry)) {
            tapsi_free(&loop->mem, e);
            return;
        }
        e->connection = c;
        c->expiry = &e->timer;
    }
    if (!tapsi_timer_running(c->expiry) || deadline < c->expiry->node.key)
        tapsi_timer_start_at(loop, c->expiry, deadline);
}

/* Moves the ops that are over from `queue` to `ret`: finishing one changes the queues. */
static void collect_expired(struct taps_connection *c, struct tapsi_link *queue, size_t *bytes, struct tapsi_link *ret)
{
    uint64_t now = tapsi_loop_now(&c->context->loop);
    struct tapsi_link *next;
    for (struct tapsi_link *l = queue->next; l != queue; l = next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link);
        next = l->next;
        if (op->owner != c || op->flags & TAPSI_OP_TOUCHED || op->deadline == TAPSI_FOREVER)
            continue;
        if (op->deadline > now) {
            arm_expiry(c, op->deadline);
            continue;
        }
        *bytes -= op->length;
        tapsi_list_remove(l);
        tapsi_list_append(ret, l);
    }
}

static void expire(struct taps_connection *c, struct tapsi_link *expired, bool handed_down)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(expired))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        if (!handed_down)
            c->below += op->length;
        tapsi_op_finish(op, TAPSI_OP_EXPIRED);
    }
}

static void on_expiry(struct tapsi_timer *timer)
{
    struct taps_connection *c = TAPSI_CONTAINER(timer, struct expiry, timer)->connection;
    struct tapsi_link waiting, below;
    tapsi_link_init(&waiting);
    tapsi_link_init(&below);
    collect_expired(c, &c->sends, &c->unsent, &waiting);
    if (c->top)
        collect_expired(c, &c->top->queue, &c->top->queued, &below);
    expire(c, &below, true);
    expire(c, &waiting, false);
    tapsi_connection_pump(c);
}

/* ---------------------------------------------------------------------------------------------------- send */

static bool boolean(const struct taps_connection *c, const struct taps_message_context *context,
                    enum taps_property property)
{
    if (!context && !tapsi_properties_is_set(c->properties, property))
        return false;
    return tapsi_message_value(context, c->properties, c->row ? &c->row->offer : NULL, property).boolean;
}

/* The Message Properties that must hold whatever the stack is: 0 or TAPS_E_MESSAGE_PROPERTIES (RFC 9622, 9.1.3). */
static int check_properties(const struct taps_connection *c, const struct taps_message_context *context)
{
    if (!context)
        return 0;
    bool partly = tapsi_preference(c->properties, TAPS_PER_MSG_RELIABILITY) > TAPS_NO_PREFERENCE;
    bool reliable = tapsi_preference(c->properties, TAPS_RELIABILITY) > TAPS_NO_PREFERENCE;
    bool changed = tapsi_message_context_is_set(context, TAPS_MSG_RELIABLE) &&
                   context->values[TAPS_MSG_RELIABLE - TAPS_MSG_LIFETIME].boolean != reliable;
    return changed && !partly ? TAPS_E_MESSAGE_PROPERTIES : 0;
}

/* The bits of all Message Properties: when none is set, a Message without a context of its own needs no looking up. */
#define MESSAGE_PROPERTIES (~UINT64_C(0) << TAPS_MSG_LIFETIME)

static void fill_in(struct taps_connection *c, struct tapsi_op *op, const struct taps_message_context *context)
{
    const struct tapsi_offer *offer = c->row ? &c->row->offer : NULL;
    bool plain = !context && (c->properties->set & MESSAGE_PROPERTIES & ~(UINT64_C(1) << TAPS_SAFELY_REPLAYABLE)) == 0;
    if (c->properties->values[TAPS_SAFELY_REPLAYABLE].boolean)
        op->flags |= TAPSI_OP_EARLY;
    if (plain)
        return;
    double lifetime = tapsi_message_value(context, c->properties, offer, TAPS_MSG_LIFETIME).number;
    if (lifetime >= 0 && lifetime < 1e9) {
        op->deadline = tapsi_loop_now(&c->context->loop) + (uint64_t)(lifetime * (double)TAPSI_S);
        arm_expiry(c, op->deadline);
    }
    uint64_t priority = tapsi_message_value(context, c->properties, offer, TAPS_MSG_PRIORITY).integer;
    op->priority = priority > UINT32_MAX ? UINT32_MAX : (uint32_t)priority;
    op->flags = (uint16_t)(op->flags & ~TAPSI_OP_EARLY);
    op->flags |= boolean(c, context, TAPS_SAFELY_REPLAYABLE) ? TAPSI_OP_EARLY : 0;
    op->flags |= boolean(c, context, TAPS_FINAL) ? TAPSI_OP_FINAL : 0;
    op->flags |= boolean(c, context, TAPS_NO_FRAGMENTATION) ? TAPSI_OP_NO_FRAGMENT : 0;
    op->flags |= boolean(c, context, TAPS_NO_SEGMENTATION) ? TAPSI_OP_NO_SEGMENT : 0;
}

static struct tapsi_op *make_op(struct taps_connection *c, const void *data, size_t length,
                                const struct taps_message_context *context, unsigned flags, void *tag)
{
    struct tapsi_op *op = tapsi_op_new(&c->context->loop);
    if (!op)
        return NULL;
    op->owner = c;
    op->done = on_done;
    op->tag = tag;
    if (!(flags & TAPS_SEND_PARTIAL))
        op->flags |= TAPSI_OP_END;
    fill_in(c, op, context);
    if (flags & TAPS_SEND_LEND) {
        tapsi_op_lend(op, data, length, NULL);
    } else if (tapsi_op_copy(op, data, length)) {
        tapsi_op_unref(op);
        return NULL;
    }
    return op;
}

static void go(struct taps_connection *c, struct tapsi_op *op)
{
    bool direct = tapsi_list_empty(&c->sends) && c->top && !c->batch && c->state == TAPS_ESTABLISHED &&
                  (!c->below || c->below + op->length <= c->top->ahead);
    if (direct) {
        hand_down(c, op);
        return;
    }
    enqueue(c, op);
    tapsi_connection_pump(c);
}

static int send_message(struct taps_connection *c, const void *data, size_t length,
                        const struct taps_message_context *context, unsigned flags, void *tag, unsigned mark)
{
    if (c->closing || c->pending_end || c->state >= TAPS_CLOSING)
        return TAPS_E_CLOSED;
    if (c->properties->values[TAPS_DIRECTION].enumeration == TAPS_UNIDIRECTIONAL_RECEIVE)
        return TAPS_E_NOT_APPLICABLE;
    struct tapsi_op *op = make_op(c, data, length, context, flags, tag);
    if (!op)
        return TAPS_E_MEMORY;
    op->flags |= (uint16_t)(mark | (c->partial_send ? TAPSI_OP_CONTINUES : 0u));
    int err = c->final_sent ? TAPS_E_CLOSED : check_properties(c, context);
    if (err) {
        c->below += op->length;
        tapsi_op_finish(op, err);
        return 0;
    }
    if ((op->flags & TAPSI_OP_FINAL) && (op->flags & TAPSI_OP_END))
        c->final_sent = true;
    else
        op->flags = (uint16_t)(op->flags & ~TAPSI_OP_FINAL);
    go(c, op);
    c->partial_send = flags & TAPS_SEND_PARTIAL;
    return 0;
}

int tapsi_connection_send(struct taps_connection *c, const void *data, size_t length,
                          const struct taps_message_context *context, unsigned flags, void *tag)
{
    return send_message(c, data, length, context, flags, tag, 0);
}

int tapsi_connection_send_first(struct taps_connection *c, const void *data, size_t length,
                                const struct taps_message_context *context, unsigned flags, void *tag)
{
    return send_message(c, data, length, context, flags, tag, TAPSI_OP_FIRST);
}

int tapsi_connection_batch(struct taps_connection *c, int step)
{
    if ((step < 0 && !c->batch) || (step > 0 && c->batch == UINT8_MAX))
        return TAPS_E_STATE;
    c->batch = (uint8_t)(c->batch + step);
    tapsi_connection_pump(c);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- ends */

/* The creator settles its own ops: the stack will drop them without a word. */
static void orphan(struct taps_connection *c, struct tapsi_link *orphans)
{
    tapsi_list_splice(orphans, &c->under_way);
    for (struct tapsi_link *l = orphans->next; l != orphans; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, owned);
        op->done = NULL;
        tapsi_op_ref(op);
    }
}

void tapsi_connection_fail_sends(struct taps_connection *c, int result, int reason)
{
    struct tapsi_link orphans, *link;
    tapsi_link_init(&orphans);
    orphan(c, &orphans);
    tapsi_connection_drop_stack(c, reason);
    c->below = 0;
    while ((link = tapsi_list_pop(&orphans))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, owned);
        tapsi_list_remove(&op->link);
        settle(c, op, result);
        tapsi_op_unref(op);
    }
    while ((link = tapsi_list_first(&c->sends))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        c->unsent -= op->length;
        c->below += op->length;
        tapsi_op_finish(op, result);
    }
}

void tapsi_connection_drop_sends(struct taps_connection *c)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&c->sends)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    while ((link = tapsi_list_first(&c->settled)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    c->unsent = 0;
}

void tapsi_connection_send_done(struct taps_connection *c)
{
    tapsi_connection_drop_sends(c);
    if (!c->expiry)
        return;
    tapsi_timer_done(&c->context->loop, c->expiry);
    tapsi_free(&c->context->loop.mem, TAPSI_CONTAINER(c->expiry, struct expiry, timer));
    c->expiry = NULL;
}
