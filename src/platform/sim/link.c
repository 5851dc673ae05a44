/*
 * Links: who is on them, and what they do to packets. A packet first waits for those its sender sent before (rate,
 * queue), then may be lost (alone or in a burst), then travels: delay, jitter, and perhaps late or twice.
 *
 * Chance is asked only for what is switched on, so a world that uses no more than before runs as before.
 */
#include <string.h>
#include "base/str.h"
#include "platform/sim/link.h"
#include "platform/sim/trace.h"

#define DOUBLE_BITS 53
#define QUEUE_MAX   ((size_t)1 << 30)
#define MTU_MIN     1228 /* a QUIC datagram of 1200 bytes over IPv4 */

/* A link is named by its first two interfaces. Numbers are nanoseconds, millionths, bits or bytes. */
static void note(const struct tapsi_sim_link *link, const char *what, uint64_t value, uint64_t second)
{
    char more[32] = "";
    if (!link->sim->trace_to || link->member_count < 2)
        return;
    if (second)
        tapsi_format(more, sizeof more, " %llu", (unsigned long long)second);
    const struct tapsi_sim_interface *a = link->members[0], *b = link->members[1];
    tapsi_simtrace_line(link->sim, NULL, "link", "%s/%s %s/%s %s %llu%s", a->host->name, a->name, b->host->name,
                        b->name, what, (unsigned long long)value, more);
}

struct tapsi_sim_link *tapsi_sim_link_new(struct tapsi_sim_interface *a, struct tapsi_sim_interface *b,
                                          uint64_t delay_ns)
{
    if (!a || !b)
        return NULL;
    struct tapsi_sim *sim = a->host->sim;
    struct tapsi_sim_link *link = tapsi_zalloc(&sim->mem, sizeof *link);
    if (!link) {
        tapsi_sim_say_memory(sim);
        return NULL;
    }
    link->sim = sim;
    link->delay = delay_ns;
    tapsi_list_append(&sim->links, &link->link);
    tapsi_sim_link_join(link, a);
    tapsi_sim_link_join(link, b);
    note(link, "delay", delay_ns, 0);
    return link;
}

void tapsi_simlink_done(struct tapsi_sim *sim)
{
    for (struct tapsi_link *l; (l = tapsi_list_pop(&sim->links));) {
        struct tapsi_sim_link *link = TAPSI_CONTAINER(l, struct tapsi_sim_link, link);
        tapsi_free(&sim->mem, link->members);
        tapsi_free(&sim->mem, link);
    }
}

static void check_unique(struct tapsi_sim_link *link, const struct tapsi_sim_interface *newcomer)
{
    for (size_t i = 0; i < newcomer->address_count; i++) {
        for (size_t k = 0; k < link->member_count; k++) {
            char text[TAPSI_ADDR_TEXT];
            if (tapsi_siminterface_has(link->members[k], &newcomer->addresses[i].address))
                tapsi_sim_say(link->sim, "two hosts on one link have %s",
                              tapsi_addr_host_text(&newcomer->addresses[i].address, text));
        }
    }
}

void tapsi_sim_link_join(struct tapsi_sim_link *link, struct tapsi_sim_interface *interface)
{
    if (!link || !interface)
        return;
    struct tapsi_mem *mem = &link->sim->mem;
    check_unique(link, interface);
    if (tapsi_grow(mem, &link->members, &link->member_capacity, link->member_count, sizeof *link->members) < 0 ||
        tapsi_grow(mem, &interface->ports, &interface->port_capacity, interface->port_count, sizeof *interface->ports) <
            0) {
        tapsi_sim_say_memory(link->sim);
        return;
    }
    link->members[link->member_count++] = interface;
    interface->ports[interface->port_count++] = (struct tapsi_sim_port){.on = link};
}

static uint64_t per_million(double probability)
{
    return (uint64_t)(probability * 1000000 + 0.5);
}

void tapsi_sim_link_delay(struct tapsi_sim_link *link, uint64_t delay_ns)
{
    if (!link)
        return;
    link->delay = delay_ns;
    note(link, "delay", delay_ns, 0);
}

void tapsi_sim_link_jitter(struct tapsi_sim_link *link, uint64_t jitter_ns)
{
    if (!link)
        return;
    link->jitter = jitter_ns;
    note(link, "jitter", jitter_ns, 0);
}

/* NaN is none either. */
static bool is_probability(struct tapsi_sim_link *link, double p)
{
    bool good = p >= 0 && p <= 1;
    if (!good)
        tapsi_sim_say(link->sim, "not a probability: %g", p);
    return good;
}

void tapsi_sim_link_loss(struct tapsi_sim_link *link, double probability)
{
    if (!link || !is_probability(link, probability))
        return;
    link->loss = probability;
    note(link, "loss", per_million(probability), 0);
}

void tapsi_sim_link_bursts(struct tapsi_sim_link *link, double enter, double leave)
{
    if (!link || !is_probability(link, enter) || !is_probability(link, leave))
        return;
    link->enter = enter;
    link->leave = leave;
    note(link, "bursts", per_million(enter), per_million(leave));
}

void tapsi_sim_link_reorder(struct tapsi_sim_link *link, double probability, uint64_t late_ns)
{
    if (!link || !is_probability(link, probability))
        return;
    link->late = late_ns ? probability : 0;
    link->late_by = late_ns;
    note(link, "reorder", per_million(probability), late_ns);
}

void tapsi_sim_link_duplicate(struct tapsi_sim_link *link, double probability)
{
    if (!link || !is_probability(link, probability))
        return;
    link->twice = probability;
    note(link, "duplicate", per_million(probability), 0);
}

void tapsi_sim_link_mark(struct tapsi_sim_link *link, double probability)
{
    if (!link || !is_probability(link, probability))
        return;
    link->mark = probability;
    note(link, "mark", per_million(probability), 0);
}

void tapsi_sim_link_rate(struct tapsi_sim_link *link, uint64_t bits_per_second)
{
    if (!link)
        return;
    link->rate = bits_per_second;
    note(link, "rate", bits_per_second, 0);
}

void tapsi_sim_link_queue(struct tapsi_sim_link *link, size_t bytes)
{
    if (!link)
        return;
    link->queue = bytes < QUEUE_MAX ? bytes : QUEUE_MAX;
    note(link, "queue", link->queue, 0);
}

void tapsi_sim_link_mtu(struct tapsi_sim_link *link, unsigned mtu, bool silent)
{
    if (!link)
        return;
    if (mtu && mtu < MTU_MIN) {
        tapsi_sim_say(link->sim, "the MTU of a link is at least %u", MTU_MIN);
        return;
    }
    link->mtu = mtu;
    link->mtu_silent = silent;
    note(link, silent ? "silent MTU" : "MTU", mtu, 0);
}

void tapsi_sim_link_fault(struct tapsi_sim_link *link, enum tapsi_sim_fault fault)
{
    if (!link)
        return;
    link->fault = fault;
    note(link, tapsi_simtrace_fault(fault), 0, 0);
}

void tapsi_sim_link_up(struct tapsi_sim_link *link, bool up)
{
    if (!link || link->down == !up)
        return;
    link->down = !up;
    for (size_t i = 0; i < link->member_count; i++)
        tapsi_simhost_changed(link->members[i]->host, "%s cable %s", link->members[i]->name, up ? "in" : "out");
}

bool tapsi_simlink_carrier(const struct tapsi_sim_interface *interface)
{
    for (size_t i = 0; i < interface->port_count; i++) {
        if (!interface->ports[i].on->down)
            return true;
    }
    return interface->port_count == 0;
}

/* Packets. */

static bool chance(struct tapsi_sim *sim, double probability)
{
    if (probability <= 0)
        return false;
    double drawn = (double)(tapsi_sim_dice(&sim->dice) >> (64 - DOUBLE_BITS)) / (double)(UINT64_C(1) << DOUBLE_BITS);
    return drawn < probability;
}

/* 1 .. max */
static uint64_t some(struct tapsi_sim *sim, uint64_t max)
{
    return 1 + tapsi_sim_dice(&sim->dice) % max;
}

/* How long it waits for its own last bit to leave; false: the queue is full. */
static bool wait_in_queue(struct tapsi_sim *sim, struct tapsi_sim_port *port, size_t bytes, uint64_t *ret)
{
    const struct tapsi_sim_link *link = port->on;
    *ret = 0;
    if (!link->rate)
        return true;
    uint64_t waiting = port->busy_until > sim->now ? port->busy_until - sim->now : 0;
    uint64_t own = bytes * 8 * TAPSI_SIM_S / link->rate;
    if (waiting && link->queue && waiting + own > link->queue * 8 * TAPSI_SIM_S / link->rate)
        return false;
    *ret = waiting + own;
    port->busy_until = sim->now + *ret;
    return true;
}

/* Bursts of loss after Gilbert and Elliott: each packet may begin or end one for its sender. */
static bool in_burst(struct tapsi_sim *sim, struct tapsi_sim_port *port)
{
    const struct tapsi_sim_link *link = port->on;
    if (link->enter <= 0)
        return false;
    if (port->burst)
        port->burst = !chance(sim, link->leave);
    else
        port->burst = chance(sim, link->enter);
    return port->burst;
}

/* One trip that begins `queueing` from now. What is late lets others pass; jitter alone keeps the order. */
static uint64_t travel(struct tapsi_sim *sim, struct tapsi_sim_port *port, uint64_t queueing)
{
    const struct tapsi_sim_link *link = port->on;
    uint64_t delay = queueing + link->delay;
    if (link->jitter) {
        delay += some(sim, link->jitter);
        if (sim->now + delay < port->last_arrival)
            delay = port->last_arrival - sim->now;
        port->last_arrival = sim->now + delay;
    }
    return chance(sim, link->late) ? delay + some(sim, link->late_by) : delay;
}

void tapsi_simlink_pass(struct tapsi_sim *sim, struct tapsi_sim_port *port, size_t bytes,
                        struct tapsi_simlink_passage *ret)
{
    const struct tapsi_sim_link *link = port->on;
    uint64_t queueing = 0;
    *ret = (struct tapsi_simlink_passage){.delay = link->delay};
    if (link->down)
        ret->lost = "link down";
    else if (!wait_in_queue(sim, port, bytes, &queueing))
        ret->lost = "queue full";
    else if (in_burst(sim, port))
        ret->lost = "burst";
    else if (chance(sim, link->loss))
        ret->lost = "loss";
    if (ret->lost)
        return;
    ret->delay = travel(sim, port, queueing);
    ret->marked = chance(sim, link->mark);
    if (chance(sim, link->twice))
        ret->copy_delay = travel(sim, port, queueing);
}
