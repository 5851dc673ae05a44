/*
 * SPDX-License-Identifier: MIT
 *
 * Design. All Connections are established first, then the clock starts. load_stop ends the sending; when nothing is
 * open any more, or nothing moved for too long, each Connection is closed. One that ends early stops all: a measurement
 * with fewer Connections than asked for would be another one.
 *
 * With a rate the n-th Message is due at begin + n * interval, whatever became of those before, and its time runs from
 * there: a server that stalls makes all those late that should have been sent meanwhile. (Measured from the sending
 * itself, a stall would count as one slow Message: "coordinated omission".)
 */
#include "load.h"

#include <stdlib.h>
#include <time.h>

#include "complain.h"
#include "flow.h"
#include "source.h"

#define SECOND_NS ((uint64_t)1000000000)

uint64_t load_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------------------------------------------------- sending */

bool load_may_send(const struct load *load)
{
    return load->measuring && !load->stopping && (load->count == 0 || load->given < load->count);
}

static struct flow *next_with_room(struct load *load)
{
    for (size_t i = 0; i < load->connections; i++) {
        struct flow *flow = &load->flows[load->turn];

        load->turn = (load->turn + 1) % load->connections;
        if (flow_has_room(flow))
            return flow;
    }
    return NULL;
}

uint64_t load_send_due(struct load *load)
{
    uint64_t now = load_now();

    while (load->interval_ns > 0 && load_may_send(load)) {
        uint64_t due = load->begin_ns + (uint64_t)((double)load->given * load->interval_ns);
        struct flow *flow;

        if (load->end_ns && due >= load->end_ns)
            return load->end_ns > now ? load->end_ns - now : 0;
        if (due > now)
            return due - now;
        flow = next_with_room(load);
        if (!flow || !flow_send(flow, due))
            return UINT64_MAX;
    }
    return UINT64_MAX;
}

/* ----------------------------------------------------------------------------------------------------------- course */

static bool anything_open(const struct load *load)
{
    for (size_t i = 0; i < load->connections; i++)
        if (load->flows[i].open > 0 && !load->flows[i].over)
            return true;
    return false;
}

static bool all_given(const struct load *load)
{
    return load->count > 0 && load->given >= load->count;
}

void load_close_if_done(struct load *load)
{
    if (!load->measuring || load->closing || !(load->stopping || all_given(load)) || anything_open(load))
        return;
    load->stopping = load->closing = true;
    load->moved_ns = load_now();
    for (size_t i = 0; i < load->connections; i++)
        flow_close(&load->flows[i]);
}

static void count_behind(struct load *load)
{
    uint64_t now = load_now(), due;

    if (load->interval_ns <= 0 || !load->measuring)
        return;
    if (load->end_ns && now > load->end_ns)
        now = load->end_ns;
    due = (uint64_t)((double)(now - load->begin_ns) / load->interval_ns);
    if (load->count > 0 && due > load->count)
        due = load->count;
    load->tally.behind = due > load->given ? due - load->given : 0;
}

void load_stop(struct load *load)
{
    if (load->stopping)
        return;
    count_behind(load);
    load->stopping = true;
    load->moved_ns = load_now();
    load->timed_out = load->end_ns && load->moved_ns >= load->end_ns;
    for (size_t i = 0; i < load->connections && !load->measuring; i++)
        flow_over(&load->flows[i]);
}

void load_give_up(struct load *load)
{
    for (size_t i = 0; i < load->connections; i++)
        flow_abort(&load->flows[i]);
}

/* How long nothing may move. Goodbyes of an echo are short, since all has come back; what goes one way may still have
   to leave the system's buffers. */
static uint64_t patience_ns(const struct load *load)
{
    if (load->closing)
        return load->one_way ? 30 * SECOND_NS : 2 * SECOND_NS;
    if (load->patience_ns)
        return load->patience_ns;
    return load->flows[0].numbered ? SECOND_NS : 10 * SECOND_NS;
}

static void stalled(struct load *load)
{
    if (load->code == DONE && (!load->closing || load->one_way)) {
        complain(load->one_way ? "%s took nothing for %.1f s" : "%s answered nothing for %.1f s", load->target,
                 (double)patience_ns(load) / 1e9);
        if (!load->one_way)
            complain_hint(
                "Does it echo? `taps serve` does; --one-way is for those that only take; --wait waits longer.");
        load->code = FAILED;
    }
    load_stop(load);
    load_give_up(load);
}

void load_look_at_clock(struct load *load)
{
    uint64_t now = load_now();

    if (!load->measuring)
        return;
    for (size_t i = 0; i < load->connections && !load->one_way && !load->closing; i++)
        if (load->flows[i].numbered)
            flow_look_for_lost(&load->flows[i], now, patience_ns(load));
    if (load->end_ns && now >= load->end_ns)
        load_stop(load);
    if ((anything_open(load) || load->closing) && now > load->moved_ns && now - load->moved_ns >= patience_ns(load) &&
        (!load->flows[0].numbered || load->closing || load->one_way))
        stalled(load);
    load_close_if_done(load);
}

static void begin(struct load *load)
{
    load->measuring = true;
    load->begin_ns = load->last_ns = load->moved_ns = load_now();
    load->setup_ms = (double)(load->begin_ns - load->start_ns) / 1e6;
    load->end_ns = load->duration_ns ? load->begin_ns + load->duration_ns : 0;
    for (size_t i = 0; i < load->connections && load->interval_ns <= 0; i++)
        flow_fill(&load->flows[i]);
}

void load_flow_ready(struct load *load)
{
    if (++load->ready == load->connections)
        begin(load);
}

bool load_over(const struct load *load)
{
    return load->over == load->connections;
}

/* ---------------------------------------------------------------------------------------------------- begin and end */

int load_start(struct load *load, taps_preconnection *preconnection, uint64_t timeout_ms)
{
    int code = DONE;

    load->start_ns = load_now();
    load->message = malloc(load->size);
    load->flows = calloc(load->connections, sizeof *load->flows);
    if (!load->message || !load->flows)
        return complain_code("prepare", TAPS_E_MEMORY);
    source_pattern(load->message, load->size);
    for (size_t i = 0; i < load->connections && code == DONE; i++) {
        load->flows[i].load = load;
        code = i % load->streams ? flow_clone(&load->flows[i], &load->flows[i - i % load->streams])
                                 : flow_start(&load->flows[i], preconnection, timeout_ms);
    }
    return code;
}

void load_done(struct load *load)
{
    for (size_t i = 0; load->flows && i < load->connections; i++)
        flow_done(&load->flows[i]);
    free(load->flows);
    free(load->message);
}
