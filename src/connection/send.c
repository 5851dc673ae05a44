/*
 * Sending. Ops wait in `sends` until the stack has room (its `ahead`), ordered by priority; from there they belong to
 * the stack until `done`. An op handed down and not touched yet can still expire (expiry.c).
 */
#include <assert.h>
#include <string.h>
#include "connection/connection.h"

/* --------------------------------------------------------------------------------------------------- outbox */

struct tapsi_outbox tapsi_outbox_none = {
    .sends = {&tapsi_outbox_none.sends, &tapsi_outbox_none.sends},
    .under_way = {&tapsi_outbox_none.under_way, &tapsi_outbox_none.under_way},
    .settled = {&tapsi_outbox_none.settled, &tapsi_outbox_none.settled},
};

static bool open_outbox(struct taps_connection *c)
{
    if (c->out != &tapsi_outbox_none)
        return true;
    struct tapsi_outbox *out = tapsi_pool_get(&c->context->outboxes);
    if (!out)
        return false;
    tapsi_link_init(&out->sends);
    tapsi_link_init(&out->under_way);
    tapsi_link_init(&out->settled);
    out->unsent = out->below = out->ops = 0;
    c->out = out;
    return true;
}

static void close_outbox(struct taps_connection *c)
{
    if (c->out == &tapsi_outbox_none)
        return;
    tapsi_pool_put(&c->context->outboxes, c->out);
    c->out = &tapsi_outbox_none;
}

/* An op of the Connection is gone. */
static void count_down(struct taps_connection *c)
{
    if (--c->out->ops == 0)
        close_outbox(c);
}

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
    bool silent = result < 0 && c->state == TAPS_ESTABLISHING && (op->flags & TAPSI_OP_FIRST);
    op->result = (int16_t)result;
    if (c->logs)
        tapsi_connection_log_settled(c, op, result);
    if (silent || !told(c, result)) {
        count_down(c);
        return;
    }
    tapsi_list_append(&c->out->settled, &tapsi_op_ref(op)->link);
    tapsi_connection_post(c);
}

static void on_done(struct tapsi_op *op, int result)
{
    struct taps_connection *c = op->owner;
    tapsi_list_remove(&op->owned);
    assert(op->length - op->added <= c->out->below);
    c->out->below -= op->length - op->added;
    settle(c, op, result);
    if (c->shares)
        tapsi_group_done(c->member);
    else if (!tapsi_list_empty(&c->out->sends) && c->top)
        tapsi_connection_pump(c);
}

/* `meta`: where a Framer may have said why. */
static void tell_send_error(struct taps_connection *c, void *tag, int result, const struct tapsi_meta *meta)
{
    char text[320];
    const char *why = tapsi_meta_get(meta, TAPSI_META_OWN, TAPSI_META_REFUSAL);
    tapsi_format(text, sizeof(text), "the Message was not sent: %s%s%s", taps_err_text(result), why ? ": " : "",
                 why ? why : "");
    struct taps_error error = {.code = result, .reason = taps_err_reason(result), .detail = text};
    c->events->send_error(c, tag, &error, c->user);
}

bool tapsi_connection_tell_send(struct taps_connection *c)
{
    struct tapsi_link *link = tapsi_list_pop(&c->out->settled);
    if (!link)
        return false;
    struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
    const struct taps_connection_events *events = c->events;
    void *tag = op->tag;
    int result = op->result;
    struct tapsi_meta *meta = result < 0 ? tapsi_meta_ref(op->meta) : NULL;
    tapsi_op_unref(op);
    count_down(c);
    if (events && result == 0 && events->sent)
        events->sent(c, tag, c->user);
    else if (events && result == TAPSI_OP_EXPIRED && events->expired)
        events->expired(c, tag, c->user);
    else if (events && result < 0 && events->send_error)
        tell_send_error(c, tag, result, meta);
    tapsi_meta_unref(meta);
    return true;
}

/* ------------------------------------------------------------------------------------------- handing down */

/* What was said of order and reliability, against what the stack does (RFC 9622, 9.1.3). Not to need order is no
   contradiction to having it; to give up reliability is, unless it can be chosen for each Message. */
static bool contradicts(const struct taps_connection *c, unsigned flags)
{
    const struct tapsi_offer *offer = &c->row->offer;
    const struct tapsi_properties *p = c->config->properties;
    bool reliable = tapsi_select_has(offer, p, TAPS_RELIABILITY);
    return (flags & TAPSI_OP_ORDERED && !tapsi_select_has(offer, p, TAPS_PRESERVE_ORDER)) ||
           (flags & TAPSI_OP_RELIABLE && !reliable) ||
           (flags & TAPSI_OP_UNRELIABLE && reliable && !tapsi_select_has(offer, p, TAPS_PER_MSG_RELIABILITY));
}

/* What the stack must be able to do for this op, checked when the stack is known. 0 or why not. */
static int check_against_stack(const struct taps_connection *c, const struct tapsi_op *op)
{
    const struct tapsi_layer *top = c->top;
    if (top->max_message && op->length > top->max_message)
        return TAPS_E_MESSAGE_TOO_LARGE;
    if (!c->is_stream && !c->framed && !(op->flags & TAPSI_OP_END))
        return TAPS_E_MESSAGE_PROPERTIES; /* a datagram is sent whole */
    if (c->may_duplicate && !(op->flags & TAPSI_OP_EARLY))
        return TAPS_E_MESSAGE_PROPERTIES; /* RFC 9622, 9.1.3.4 */
    const unsigned claims = TAPSI_OP_ORDERED | TAPSI_OP_RELIABLE | TAPSI_OP_UNRELIABLE;
    if (op->flags & claims && contradicts(c, op->flags))
        return TAPS_E_MESSAGE_PROPERTIES;
    bool one_packet = op->flags & (TAPSI_OP_NO_FRAGMENT | TAPSI_OP_NO_SEGMENT);
    if (one_packet && top->mtu && op->length > top->mtu) /* 9.1.3.9 and 10 */
        return TAPS_E_MESSAGE_TOO_LARGE;
    return 0;
}

static void hand_down(struct taps_connection *c, struct tapsi_op *op)
{
    int err = check_against_stack(c, op);
    c->out->below += op->length;
    tapsi_list_append(&c->out->under_way, &op->owned);
    bool open = !(op->flags & TAPSI_OP_END);
    if (!err)
        err = tapsi_layer_send(c->top, op);
    if (!err) {
        c->open_below = open;
        return;
    }
    tapsi_op_finish(op, err);
    if (open)
        tapsi_connection_lose_parts(c, err);
}

/* Close ends a batch. */
struct tapsi_op *tapsi_connection_next_send(const struct taps_connection *c)
{
    struct tapsi_link *link = tapsi_list_first(&c->out->sends);
    if (!link || !c->top || (c->batch && !c->closing) || c->state == TAPS_ESTABLISHING)
        return NULL;
    struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
    if (c->bounds_send && !tapsi_rates_may_send(c, op->length))
        return NULL;
    return tapsi_connection_may_go(c, op) ? op : NULL;
}

bool tapsi_connection_has_room(const struct taps_connection *c, const struct tapsi_op *op, size_t ahead)
{
    return !c->out->below || c->out->below + op->length <= (ahead < c->top->ahead ? ahead : c->top->ahead);
}

void tapsi_connection_send_next(struct taps_connection *c, struct tapsi_op *op)
{
    tapsi_list_remove(&op->link);
    c->out->unsent -= op->length;
    if (c->bounds_send)
        tapsi_rates_sent(c, op->length);
    hand_down(c, op);
}

/* An op that is refused at once is done at once, which asks for the next: hence `pumping`. */
void tapsi_connection_pump(struct taps_connection *c)
{
    struct tapsi_op *op;
    if ((c->batch && !c->closing) || c->state == TAPS_ESTABLISHING || c->pumping)
        return;
    if (c->shares) {
        tapsi_group_pump(c->member);
        tapsi_connection_pass_close(c);
        return;
    }
    c->pumping = true;
    while ((op = tapsi_connection_next_send(c)) && tapsi_connection_has_room(c, op, SIZE_MAX))
        tapsi_connection_send_next(c, op);
    c->pumping = false;
    tapsi_connection_pass_close(c);
}

/* ------------------------------------------------------------------------------------------------- early data */

/* A whole Message that may arrive twice, and asks for nothing that a stream does not have. */
static bool may_go_early(const struct tapsi_op *op)
{
    const unsigned needed = TAPSI_OP_EARLY | TAPSI_OP_END;
    const unsigned against = TAPSI_OP_CONTINUES | TAPSI_OP_UNRELIABLE | TAPSI_OP_NO_FRAGMENT | TAPSI_OP_NO_SEGMENT;
    return (op->flags & needed) == needed && !(op->flags & against) && op->length;
}

/* The same bytes in an op of its own. `done` NULL until it is adopted. */
static struct tapsi_op *copy_op(struct tapsi_op *original)
{
    struct tapsi_op *op = tapsi_op_new(original->loop);
    if (!op)
        return NULL;
    if (tapsi_op_expect(op, original->count)) {
        tapsi_op_unref(op);
        return NULL;
    }
    for (unsigned i = 0; i < original->count; i++)
        tapsi_op_lend(op, original->ranges[i].data, original->ranges[i].length, original->ranges[i].buffer);
    op->meta = original->meta ? tapsi_meta_ref(original->meta) : NULL;
    op->flags = original->flags & (TAPSI_OP_EARLY | TAPSI_OP_END | TAPSI_OP_FINAL | TAPSI_OP_FIRST);
    op->dscp = original->dscp;
    op->priority = original->priority;
    op->tag = original;
    return op;
}

/* A Message that may have gone does not expire until the race is over: hence TOUCHED. */
bool tapsi_connection_early(void *connection, size_t room, struct tapsi_link *ops)
{
    const struct taps_connection *c = connection;
    const struct tapsi_link *sends = &c->out->sends;
    if (c->member || c->batch)
        return false;
    bool any = false;
    for (struct tapsi_link *l = sends->next; l != sends; l = l->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(l, struct tapsi_op, link), *copy;
        if (!may_go_early(op))
            break;
        if (!ops)
            return true;
        if (op->length > room || !(copy = copy_op(op)))
            break;
        op->flags |= TAPSI_OP_TOUCHED;
        tapsi_list_append(ops, &copy->owned);
        room -= op->length;
        any = true;
    }
    return any;
}

static void adopt(struct taps_connection *c, struct tapsi_op *op)
{
    struct tapsi_op *original = op->tag;
    tapsi_list_remove(&original->link);
    c->out->unsent -= original->length;
    if (c->bounds_send)
        tapsi_rates_sent(c, op->length);
    c->out->below += op->length - op->added; /* a Framer has put bytes around it already */
    op->owner = c;
    op->done = on_done;
    op->tag = original->tag;
    tapsi_list_append(&c->out->under_way, &op->owned);
    tapsi_op_unref(original);
}

void tapsi_connection_adopt_early(struct taps_connection *c, struct tapsi_link *ops)
{
    const struct tapsi_link *sends = &c->out->sends;
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(ops))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, owned);
        adopt(c, op);
        tapsi_op_unref(op); /* the race's */
    }
    for (link = sends->next; link != sends; link = link->next) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        if (op->flags & TAPSI_OP_TOUCHED && op->deadline != TAPSI_FOREVER)
            tapsi_connection_arm_expiry(c, op->deadline);
        op->flags = (uint16_t)(op->flags & ~TAPSI_OP_TOUCHED);
    }
}

/* ---------------------------------------------------------------------------------------------------- send */

static bool boolean(const struct taps_connection *c, const struct taps_message_context *context,
                    enum taps_property property)
{
    if (!context && !tapsi_properties_is_set(c->properties, property))
        return false;
    return tapsi_message_value(context, c->properties, c->row ? &c->row->offer : NULL, property).boolean;
}

/* Was it set, for this Message or for all of the Connection? */
static bool is_set(const struct taps_connection *c, const struct taps_message_context *context,
                   enum taps_property property)
{
    return (context && tapsi_message_context_is_set(context, property)) ||
           tapsi_properties_is_set(c->properties, property);
}

/* Only what was set can contradict the stack, which is not known yet, perhaps. */
static unsigned claims_of(const struct taps_connection *c, const struct taps_message_context *context)
{
    unsigned flags = 0;
    if (is_set(c, context, TAPS_MSG_ORDERED))
        flags |= boolean(c, context, TAPS_MSG_ORDERED) ? TAPSI_OP_ORDERED : TAPSI_OP_UNORDERED;
    if (is_set(c, context, TAPS_MSG_RELIABLE))
        flags |= boolean(c, context, TAPS_MSG_RELIABLE) ? TAPSI_OP_RELIABLE : TAPSI_OP_UNRELIABLE;
    return flags;
}

static void fill_in(struct taps_connection *c, struct tapsi_op *op, const struct taps_message_context *context)
{
    const struct tapsi_offer *offer = c->row ? &c->row->offer : NULL;
    if (c->replayable)
        op->flags |= TAPSI_OP_EARLY;
    if (!context && c->message_defaults)
        return;
    if (context)
        op->meta = tapsi_meta_ref(context->head.meta);
    double lifetime = tapsi_message_value(context, c->properties, offer, TAPS_MSG_LIFETIME).number;
    bool final = boolean(c, context, TAPS_FINAL);
    if (lifetime >= 0 && lifetime < 1e9 && !final && !c->partial_send) {
        op->deadline = tapsi_loop_now(&c->context->loop) + (uint64_t)(lifetime * (double)TAPSI_S);
        tapsi_connection_arm_expiry(c, op->deadline);
    }
    uint64_t priority = tapsi_message_value(context, c->properties, offer, TAPS_MSG_PRIORITY).integer;
    op->priority = priority > UINT32_MAX ? UINT32_MAX : (uint32_t)priority;
    op->flags = (uint16_t)(op->flags & ~TAPSI_OP_EARLY);
    op->flags |= boolean(c, context, TAPS_SAFELY_REPLAYABLE) ? TAPSI_OP_EARLY : 0;
    op->flags |= final ? TAPSI_OP_FINAL : 0;
    op->flags |= (uint16_t)claims_of(c, context);
    if (is_set(c, context, TAPS_MSG_CAPACITY_PROFILE))
        op->dscp = (int8_t)tapsi_capacity_dscp(
            tapsi_message_value(context, c->properties, offer, TAPS_MSG_CAPACITY_PROFILE).enumeration);
    op->flags |= boolean(c, context, TAPS_NO_FRAGMENTATION) ? TAPSI_OP_NO_FRAGMENT : 0;
    op->flags |= boolean(c, context, TAPS_NO_SEGMENTATION) ? TAPSI_OP_NO_SEGMENT : 0;
}

static void close_unused(struct taps_connection *c)
{
    if (c->out->ops == 0)
        close_outbox(c);
}

static size_t head_room(const struct taps_connection *c)
{
    return c->top ? c->top->head_room : 0;
}

static int lend(struct tapsi_op *op, const struct tapsi_sending *s)
{
    int err = tapsi_op_expect(op, s->count);
    for (size_t i = 0; i < s->count && !err; i++)
        tapsi_op_lend(op, s->pieces[i].iov_base, s->pieces[i].iov_len, s->keeper);
    return err;
}

static struct tapsi_op *make_op(struct taps_connection *c, const struct tapsi_sending *s)
{
    struct tapsi_op *op = open_outbox(c) ? tapsi_op_new(&c->context->loop) : NULL;
    if (!op) {
        close_unused(c);
        return NULL;
    }
    op->owner = c;
    op->done = on_done;
    op->tag = s->tag;
    if (!(s->flags & TAPS_SEND_PARTIAL))
        op->flags |= TAPSI_OP_END;
    fill_in(c, op, s->context);
    bool lent = s->keeper || s->flags & TAPS_SEND_LEND;
    if (lent ? lend(op, s) : tapsi_op_gather(op, s->pieces, s->count, s->length, head_room(c))) {
        tapsi_op_unref(op);
        close_unused(c);
        return NULL;
    }
    c->out->ops++;
    return op;
}

static void go(struct taps_connection *c, struct tapsi_op *op, bool final)
{
    const struct tapsi_outbox *out = c->out;
    bool direct = tapsi_list_empty(&out->sends) && c->top && !c->batch && c->state == TAPS_ESTABLISHED && !c->shares &&
                  !c->bounds_send && (!out->below || out->below + op->length <= c->top->ahead);
    if (c->member)
        op->order = tapsi_group_order(c->member);
    if (direct) {
        hand_down(c, op);
        return;
    }
    tapsi_connection_enqueue(c, op, final);
    tapsi_connection_pump(c);
}

/* Does a Message find room under sendBuffer? Each counts what the library keeps of it beside its bytes, so that many
   small ones have a bound too. One is taken in any case, so that none is too large to be sent. */
static bool has_room(const struct taps_connection *c, size_t length)
{
    const struct tapsi_outbox *out = c->out;
    uint64_t bound = c->properties->values[TAPS_SEND_BUFFER].integer;
    uint64_t taken = out->unsent + out->below + out->ops * TAPS_MESSAGE_COST;
    if (tapsi_list_empty(&out->sends) && tapsi_list_empty(&out->under_way))
        return true;
    return taken < bound && length + TAPS_MESSAGE_COST <= bound - taken;
}

int tapsi_connection_send(struct taps_connection *c, const struct tapsi_sending *s)
{
    if (c->closing || c->pending_end || c->state >= TAPS_CLOSING)
        return TAPS_E_CLOSED;
    if (c->sends_nothing)
        return TAPS_E_NOT_APPLICABLE;
    if (c->bounded && !has_room(c, s->length))
        return TAPS_E_FULL;
    struct tapsi_op *op = make_op(c, s);
    if (!op)
        return TAPS_E_MEMORY;
    op->flags |= (uint16_t)(s->mark | (c->partial_send ? TAPSI_OP_CONTINUES : 0u));
    if (c->logs)
        tapsi_connection_log_send(c, op);
    int result = c->final_sent ? TAPS_E_CLOSED : c->lost_part;
    bool part = s->flags & TAPS_SEND_PARTIAL, final = op->flags & TAPSI_OP_FINAL;
    c->partial_send = part;
    if (!part)
        c->lost_part = 0;
    if (result) {
        c->out->below += op->length;
        tapsi_op_finish(op, result);
        return 0;
    }
    if (final && !part)
        c->final_sent = true;
    else
        op->flags = (uint16_t)(op->flags & ~TAPSI_OP_FINAL);
    go(c, op, final);
    return 0;
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
    tapsi_list_splice(orphans, &c->out->under_way);
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
    if (c->out->ops)
        c->out->below = 0;
    while ((link = tapsi_list_pop(&orphans))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, owned);
        tapsi_list_remove(&op->link);
        settle(c, op, result);
        tapsi_op_unref(op);
    }
    while ((link = tapsi_list_first(&c->out->sends))) {
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        c->out->unsent -= op->length;
        c->out->below += op->length;
        tapsi_op_finish(op, result);
    }
}

void tapsi_connection_drop_sends(struct taps_connection *c)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&c->out->sends)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    while ((link = tapsi_list_first(&c->out->settled)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    close_outbox(c);
}

void tapsi_connection_send_done(struct taps_connection *c)
{
    tapsi_connection_drop_sends(c);
    tapsi_connection_expiry_done(c);
}
