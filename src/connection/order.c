/*
 * The order of what waits in `sends`: by priority, the final Message last, and the parts of one Message together.
 *
 * At most one Message is open: its last part has not been sent yet, and every Send continues it. A part goes right
 * behind the one before it; when that has been handed down already (`open_below`), it goes first, and nothing else is
 * handed down until the Message has ended. Its first part decides for all: it alone has a priority and a lifetime, and
 * when it expires or is refused, so do the others, those yet to come included (`lost_part`).
 */
#include "connection/connection.h"

static struct tapsi_op *op_at(const struct tapsi_link *link)
{
    return TAPSI_CONTAINER((void *)(uintptr_t)link, struct tapsi_op, link);
}

/* Of the Message whose last op is at `link`, as far as it is here. */
static struct tapsi_link *first_part(const struct tapsi_link *sends, struct tapsi_link *link)
{
    while (op_at(link)->flags & TAPSI_OP_CONTINUES && link->prev != sends)
        link = link->prev;
    return link;
}

/* Lower numbers first. A Message that has begun to go is not overtaken. */
static struct tapsi_link *place_by_priority(struct tapsi_link *sends, const struct tapsi_op *op)
{
    struct tapsi_link *at = sends;
    while (at->prev != sends) {
        struct tapsi_link *first = first_part(sends, at->prev);
        if (op_at(first)->flags & TAPSI_OP_CONTINUES || op_at(first)->priority <= op->priority)
            break;
        at = first;
    }
    return at;
}

/* Behind the last part of the open Message, or in front of all where that has gone. */
static struct tapsi_link *place_of_part(struct tapsi_link *sends)
{
    for (struct tapsi_link *l = sends->prev; l != sends; l = l->prev) {
        bool continued = l->next != sends && op_at(l->next)->flags & TAPSI_OP_CONTINUES;
        if (!(op_at(l)->flags & TAPSI_OP_END) && !continued)
            return l->next;
    }
    return sends->next;
}

void tapsi_connection_enqueue(struct taps_connection *c, struct tapsi_op *op, bool final)
{
    struct tapsi_link *sends = &c->out->sends, *at = sends;
    if (op->flags & TAPSI_OP_CONTINUES)
        at = place_of_part(sends);
    else if (!final)
        at = place_by_priority(sends, op);
    tapsi_list_insert_before(at, &op->link);
    c->out->unsent += op->length;
    if (op->flags & TAPSI_OP_FINAL && op->link.next != sends) { /* said so only at its end: the others go first */
        struct tapsi_op *last = op_at(sends->prev);
        op->flags = (uint16_t)(op->flags & ~TAPSI_OP_FINAL);
        last->flags |= TAPSI_OP_FINAL;
        last->deadline = TAPSI_FOREVER;
    }
}

bool tapsi_connection_may_go(const struct taps_connection *c, const struct tapsi_op *op)
{
    return !c->open_below || op->flags & TAPSI_OP_CONTINUES || c->closing;
}

void tapsi_connection_lose_parts(struct taps_connection *c, int result)
{
    struct tapsi_link *link;
    bool open = true;
    while (open && (link = tapsi_list_first(&c->out->sends)) && op_at(link)->flags & TAPSI_OP_CONTINUES) {
        struct tapsi_op *op = op_at(link);
        open = !(op->flags & TAPSI_OP_END);
        tapsi_list_remove(link);
        c->out->unsent -= op->length;
        c->out->below += op->length;
        tapsi_op_finish(op, result);
    }
    if (open && c->partial_send)
        c->lost_part = (int16_t)result;
}
