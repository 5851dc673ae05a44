/*
 * Order: what a TCP end makes of segments that come early, late or twice. What is next goes into `in`; what is early
 * waits in `early`, sorted, until the gap before it is filled; what is old is acknowledged again by the caller and
 * otherwise forgotten. Early bytes are within the window that was offered, which bounds them.
 */
#include <string.h>
#include "platform/sim/flow.h"

struct early {
    struct tapsi_link link;
    uint64_t seq;
    bool fin;
    size_t length;
    uint8_t bytes[];
};

static uint64_t end_of(const struct tapsi_simsegment *segment)
{
    return segment->seq + segment->length + (segment->kind == TAPSI_SIM_FIN);
}

bool tapsi_simtcp_is_new(const struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    return end_of(segment) > s->tcp.received + s->tcp.fin_received;
}

static void take_bytes(struct tapsi_simsock *s, uint64_t seq, const uint8_t *bytes, size_t length)
{
    size_t known = (size_t)(s->tcp.received - seq);
    if (known >= length)
        return;
    if (tapsi_simbytes_add(&s->tcp.in, &s->sim->mem, bytes + known, length - known) < 0)
        tapsi_sim_say_memory(s->sim);
    s->tcp.received += length - known;
}

static void take_fin(struct tapsi_simsock *s)
{
    s->tcp.fin_received = s->tcp.no_read = s->tcp.done_reading = true;
}

static void keep(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    struct tapsi_link *at = s->tcp.early.next;
    for (; at != &s->tcp.early; at = at->next) {
        const struct early *e = TAPSI_CONTAINER(at, struct early, link);
        if (e->seq == segment->seq && e->length == segment->length)
            return;
        if (e->seq > segment->seq)
            break;
    }
    struct early *e = tapsi_alloc(&s->sim->mem, sizeof *e + segment->length);
    if (!e) {
        tapsi_sim_say_memory(s->sim);
        return;
    }
    e->seq = segment->seq;
    e->fin = segment->kind == TAPSI_SIM_FIN;
    e->length = segment->length;
    if (e->length)
        memcpy(e->bytes, segment->bytes, e->length);
    tapsi_list_insert_before(at, &e->link);
}

static void take_early(struct tapsi_simsock *s)
{
    for (struct tapsi_link *l; (l = tapsi_list_first(&s->tcp.early));) {
        struct early *e = TAPSI_CONTAINER(l, struct early, link);
        if (e->seq > s->tcp.received)
            return;
        take_bytes(s, e->seq, e->bytes, e->length);
        if (e->fin)
            take_fin(s);
        tapsi_list_remove(l);
        tapsi_free(&s->sim->mem, e);
    }
}

void tapsi_simtcp_take(struct tapsi_simsock *s, const struct tapsi_simsegment *segment)
{
    if (segment->seq > s->tcp.received) {
        keep(s, segment);
        return;
    }
    take_bytes(s, segment->seq, segment->bytes, segment->length);
    if (segment->kind == TAPSI_SIM_FIN)
        take_fin(s);
    take_early(s);
    tapsi_simsock_wake(s);
}

void tapsi_simtcp_forget_early(struct tapsi_simsock *s)
{
    for (struct tapsi_link *l; (l = tapsi_list_pop(&s->tcp.early));)
        tapsi_free(&s->sim->mem, TAPSI_CONTAINER(l, struct early, link));
}
