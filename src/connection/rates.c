/*
 * maxSendRate and maxRecvRate (RFC 9622, 8.1.8), on every stack alike: what the application sends is handed down, and
 * what has come is delivered, when the bound lets it. Until then it waits here, so that the peer's flow control is told
 * by the window that fills up. Members of a Connection Group have the same bound, and each has its own second.
 *
 * A Connection without bounds has none of this but two bits. minSendRate and minRecvRate are what the application tells
 * of itself: nothing can be forced by them.
 */
#include "connection/connection.h"

struct tapsi_rates {
    struct taps_connection *connection;
    struct tapsi_meter send, receive;
    struct tapsi_timer send_timer, receive_timer;
};

static void on_send_timer(struct tapsi_timer *timer)
{
    tapsi_connection_pump(TAPSI_CONTAINER(timer, struct tapsi_rates, send_timer)->connection);
}

static void on_receive_timer(struct tapsi_timer *timer)
{
    tapsi_connection_post(TAPSI_CONTAINER(timer, struct tapsi_rates, receive_timer)->connection);
}

static bool is_bounded(const struct tapsi_properties *p)
{
    return p->values[TAPS_MAX_SEND_RATE].integer != TAPS_INFINITE ||
           p->values[TAPS_MAX_RECV_RATE].integer != TAPS_INFINITE;
}

static int make(struct taps_connection *c)
{
    struct tapsi_loop *loop = &c->context->loop;
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    struct tapsi_rates *r = rare ? tapsi_zalloc(&loop->mem, sizeof(*r)) : NULL;
    if (!r)
        return TAPS_E_MEMORY;
    r->connection = c;
    if (tapsi_timer_init(loop, &r->send_timer, on_send_timer) < 0)
        goto no_timer;
    if (tapsi_timer_init(loop, &r->receive_timer, on_receive_timer) < 0)
        goto no_receive_timer;
    tapsi_meter_init(&r->send, TAPS_INFINITE);
    tapsi_meter_init(&r->receive, TAPS_INFINITE);
    rare->rates = r;
    return 0;

no_receive_timer:
    tapsi_timer_done(loop, &r->send_timer);
no_timer:
    tapsi_free(&loop->mem, r);
    return TAPS_E_MEMORY;
}

int tapsi_rates_prepare(struct taps_connection *c, const struct tapsi_properties *properties)
{
    return is_bounded(properties) && !(c->rare && c->rare->rates) ? make(c) : 0;
}

int tapsi_rates_prepare_value(struct taps_connection *c, enum taps_property property, const struct taps_value *value)
{
    bool bounds = property == TAPS_MAX_SEND_RATE || property == TAPS_MAX_RECV_RATE;
    return bounds && value->integer != TAPS_INFINITE && !(c->rare && c->rare->rates) ? make(c) : 0;
}

/* From now on; what waits for the old bound asks again. */
static void take(struct tapsi_loop *loop, struct tapsi_meter *meter, uint64_t rate, struct tapsi_timer *timer)
{
    if (meter->rate == rate)
        return;
    tapsi_meter_init(meter, rate);
    if (tapsi_timer_running(timer))
        tapsi_timer_start_at(loop, timer, tapsi_loop_now(loop));
}

void tapsi_rates_learn(struct taps_connection *c)
{
    struct tapsi_rates *r = c->rare ? c->rare->rates : NULL;
    const struct taps_value *values = c->properties->values;
    if (!r)
        return;
    take(&c->context->loop, &r->send, values[TAPS_MAX_SEND_RATE].integer, &r->send_timer);
    take(&c->context->loop, &r->receive, values[TAPS_MAX_RECV_RATE].integer, &r->receive_timer);
    c->bounds_send = r->send.rate != TAPS_INFINITE;
    c->bounds_receive = r->receive.rate != TAPS_INFINITE;
}

static bool may_go(const struct taps_connection *c, struct tapsi_meter *meter, struct tapsi_timer *timer, size_t bytes)
{
    struct tapsi_loop *loop = &c->context->loop;
    uint64_t now = tapsi_loop_now(loop), when = tapsi_meter_when(meter, now, bytes);
    if (when <= now)
        return true;
    tapsi_timer_start_at(loop, timer, when);
    return false;
}

bool tapsi_rates_may_send(const struct taps_connection *c, size_t bytes)
{
    struct tapsi_rates *r = c->rare->rates;
    return may_go(c, &r->send, &r->send_timer, bytes);
}

void tapsi_rates_sent(const struct taps_connection *c, size_t bytes)
{
    tapsi_meter_count(&c->rare->rates->send, tapsi_loop_now(&c->context->loop), bytes);
}

bool tapsi_rates_may_receive(const struct taps_connection *c, size_t bytes)
{
    struct tapsi_rates *r = c->rare->rates;
    return may_go(c, &r->receive, &r->receive_timer, bytes);
}

void tapsi_rates_received(const struct taps_connection *c, size_t bytes)
{
    tapsi_meter_count(&c->rare->rates->receive, tapsi_loop_now(&c->context->loop), bytes);
}

size_t tapsi_rates_portion(const struct taps_connection *c)
{
    return tapsi_meter_portion(&c->rare->rates->receive);
}

void tapsi_rates_done(struct taps_connection *c)
{
    struct tapsi_loop *loop = &c->context->loop;
    struct tapsi_rates *r = c->rare ? c->rare->rates : NULL;
    c->bounds_send = c->bounds_receive = false;
    if (!r)
        return;
    tapsi_timer_done(loop, &r->send_timer);
    tapsi_timer_done(loop, &r->receive_timer);
    tapsi_free(&loop->mem, r);
    c->rare->rates = NULL;
}
