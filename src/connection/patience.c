/*
 * How long a Close waits. TCP limits by itself how long its peer may acknowledge nothing, but it is told of the Close
 * only after the last Message, and those of a peer that reads nothing wait above it: here, or in TLS. So while that may
 * be, the Connection looks now and then whether anything has moved.
 */
#include "connection/connection.h"

#define SECONDS_MAX 1e9 /* more is for ever */
#define LOOKS       8   /* in that time */

struct patience {
    struct tapsi_timer timer;
    struct taps_connection *connection;
    uint64_t outstanding; /* at the last look */
    unsigned looks;       /* that found it so */
};

static uint64_t asked(const struct taps_connection *c, enum tapsi_get what)
{
    union tapsi_got got;
    return tapsi_layer_get(c->top, (int)what, &got) == 0 ? got.value.integer : 0;
}

static uint64_t outstanding(const struct taps_connection *c)
{
    return c->out->unsent + asked(c, TAPSI_GET_UNSENT) + asked(c, TAPSI_GET_UNACKED);
}

static void start(struct patience *p)
{
    struct taps_connection *c = p->connection;
    double seconds = c->properties->values[TAPS_CLOSE_TIMEOUT].number;
    if (seconds >= 0 && seconds < SECONDS_MAX)
        tapsi_timer_start(&c->context->loop, &p->timer, (uint64_t)(seconds * (double)TAPSI_S / LOOKS) + 1);
}

static void give_up(struct taps_connection *c, int code, const char *why)
{
    struct tapsi_error error;
    tapsi_error_set(&error, code, "%s", why);
    tapsi_connection_end(c, &error, code);
}

static void on_timer(struct tapsi_timer *timer)
{
    struct patience *p = TAPSI_CONTAINER(timer, struct patience, timer);
    struct taps_connection *c = p->connection;
    if (!c->top)
        return;
    uint64_t now = outstanding(c);
    bool held_back = c->shares || c->bounds_send; /* its group lets others go first, or its rate is low */
    bool passed = held_back && c->out->unsent && c->out->unsent == now;
    p->looks = now && now == p->outstanding && !passed ? p->looks + 1 : 0; /* with nothing left the bottom ends it */
    p->outstanding = now;
    if (p->looks < LOOKS) {
        start(p);
        return;
    }
    give_up(c, TAPS_E_TIMEOUT, "the peer took nothing more of what was sent before Close");
}

static struct patience *make(struct taps_connection *c)
{
    struct tapsi_loop *loop = &c->context->loop;
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    struct patience *p = rare ? tapsi_zalloc(&loop->mem, sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    if (tapsi_timer_init(loop, &p->timer, on_timer)) {
        tapsi_free(&loop->mem, p);
        return NULL;
    }
    p->connection = c;
    p->outstanding = outstanding(c);
    rare->patience = &p->timer;
    return p;
}

void tapsi_connection_watch_close(struct taps_connection *c)
{
    bool bottom_knows = c->close_passed && !c->row->protos[1];
    if (bottom_knows || !c->top || (c->rare && c->rare->patience))
        return;
    struct patience *p = make(c);
    if (p)
        start(p);
    else if (c->out->unsent || asked(c, TAPSI_GET_UNSENT))
        give_up(c, TAPS_E_MEMORY, "no memory to watch whether the peer still takes what was sent before Close");
}

void tapsi_connection_watch_done(struct taps_connection *c)
{
    struct tapsi_timer *timer = c->rare ? c->rare->patience : NULL;
    if (!timer)
        return;
    tapsi_timer_done(&c->context->loop, timer);
    tapsi_free(&c->context->loop.mem, TAPSI_CONTAINER(timer, struct patience, timer));
    c->rare->patience = NULL;
}
