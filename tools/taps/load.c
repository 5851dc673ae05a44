/*
 * SPDX-License-Identifier: MIT
 *
 * Design. A flow is one Connection. Its Messages have numbers; a slot of its ring holds the time of each from `head`,
 * the oldest that is open, to `next`. Whatever becomes of a Message - its answer, Sent, Expired, an error, the end of
 * patience - closes its slot once, and `head` moves over closed ones.
 *
 * Answers are found by what the stack keeps: without boundaries `size` bytes are one and the order is that of sending;
 * Messages over what is reliable come in that order, too; datagrams carry their number, since any may be missing.
 *
 * The course: all Connections are established first, then the clock starts. load_stop ends the sending; when every slot
 * is closed, or patience is over, each Connection is closed. One that ends early stops all: a measurement with fewer
 * Connections than asked for would be another one.
 *
 * With a rate the n-th Message is due at begin + n * interval, whatever became of those before, and its time runs from
 * there: a server that stalls makes all those late that should have been sent meanwhile. (Measured from the sending
 * itself, a stall would count as one slow Message: "coordinated omission".)
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "complain.h"
#include "message.h"

enum { SPAN_MIN = 64, LEND_MIN = 16 * 1024 };
#define SECOND_NS ((uint64_t)1000000000)

struct slot {
    uint64_t since_ns;
    bool open;
};

struct flow {
    struct load *load;
    taps_connection *connection;
    struct slot *slots; /* `span` of them: those of the numbers from head to next, modulo span */
    uint64_t head, next;
    size_t span, open;
    size_t filled;   /* bytes of the answer that is coming */
    bool boundaries; /* answers are Messages, else bytes */
    bool numbered;   /* datagrams, which carry their number */
    bool ready, closing, over;
};

uint64_t load_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --------------------------------------------------------------------------------------------------- slots */

static struct slot *slot_of(struct flow *flow, uint64_t number)
{
    return &flow->slots[number % flow->span];
}

static bool is_open(struct flow *flow, uint64_t number)
{
    return number >= flow->head && number < flow->next && slot_of(flow, number)->open;
}

static void close_slot(struct flow *flow, uint64_t number)
{
    slot_of(flow, number)->open = false;
    flow->open--;
    while (flow->head < flow->next && !slot_of(flow, flow->head)->open)
        flow->head++;
}

static void message_done(struct flow *flow, uint64_t number)
{
    struct load *load = flow->load;
    uint64_t now = load_now(), since = slot_of(flow, number)->since_ns;

    histogram_add(&load->tally.latency, now > since ? now - since : 0);
    load->tally.done++;
    load->tally.bytes += load->size;
    load->last_ns = load->moved_ns = now;
    close_slot(flow, number);
    if (load->end_ns && now >= load->end_ns)
        load_stop(load);
}

static void message_failed(struct flow *flow, uint64_t number)
{
    if (!is_open(flow, number))
        return;
    flow->load->tally.failed++;
    close_slot(flow, number);
}

/* -------------------------------------------------------------------------------------------------- sending */

static bool has_room(const struct flow *flow)
{
    return flow->ready && !flow->closing && flow->open < flow->load->depth && flow->next - flow->head < flow->span;
}

static bool more_to_send(const struct load *load)
{
    return load->measuring && !load->stopping && (load->count == 0 || load->given < load->count);
}

static void send_error(struct load *load, int error)
{
    if (load->tally.failed++ == 0)
        load->code = complain_code("send", error);
    load_stop(load);
}

/* False if the stack has no room now. */
static bool send_one(struct flow *flow, uint64_t since_ns)
{
    struct load *load = flow->load;
    unsigned flags = load->size >= LEND_MIN && !flow->numbered ? TAPS_SEND_LEND : 0;
    int error;

    if (flow->numbered) {
        char number[LOAD_NUMBER + 1];

        snprintf(number, sizeof number, "%08x", (unsigned)(uint32_t)flow->next);
        memcpy(load->message, number, LOAD_NUMBER);
    }
    error = taps_connection_send(flow->connection, load->message, load->size, load->properties, flags,
                                 (void *)(uintptr_t)flow->next);
    if (error == TAPS_E_FULL && flow->open > 0)
        return false;
    load->given++;
    if (error < 0) {
        send_error(load, error);
        return false;
    }
    if (flow->open == 0)
        load->moved_ns = load_now();
    *slot_of(flow, flow->next++) = (struct slot){.since_ns = since_ns, .open = true};
    flow->open++;
    load->tally.sent++;
    return true;
}

/* Without a rate: the next goes when one has come back. */
static void fill_flow(struct flow *flow)
{
    while (more_to_send(flow->load) && has_room(flow) && send_one(flow, load_now()))
        ;
}

static struct flow *next_with_room(struct load *load)
{
    for (size_t i = 0; i < load->connections; i++) {
        struct flow *flow = &load->flows[load->turn];

        load->turn = (load->turn + 1) % load->connections;
        if (has_room(flow))
            return flow;
    }
    return NULL;
}

uint64_t load_send_due(struct load *load)
{
    uint64_t now = load_now();

    while (load->interval_ns > 0 && more_to_send(load)) {
        uint64_t due = load->begin_ns + (uint64_t)((double)load->given * load->interval_ns);
        struct flow *flow;

        if (load->end_ns && due >= load->end_ns)
            return load->end_ns > now ? load->end_ns - now : 0;
        if (due > now)
            return due - now;
        flow = next_with_room(load);
        if (!flow || !send_one(flow, due))
            return UINT64_MAX;
    }
    return UINT64_MAX;
}

/* --------------------------------------------------------------------------------------------------- course */

static void flow_over(struct flow *flow)
{
    if (flow->over)
        return;
    flow->over = true;
    flow->load->over++;
}

static void close_flow(struct flow *flow)
{
    flow->closing = true;
    if (flow->over)
        return;
    if (!flow->connection || taps_connection_close(flow->connection) < 0)
        flow_over(flow);
}

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

static void close_if_done(struct load *load)
{
    if (!load->measuring || load->closing || !(load->stopping || all_given(load)) || anything_open(load))
        return;
    load->stopping = load->closing = true;
    load->moved_ns = load_now();
    for (size_t i = 0; i < load->connections; i++)
        close_flow(&load->flows[i]);
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
    for (size_t i = 0; i < load->connections && !load->measuring; i++)
        flow_over(&load->flows[i]);
}

static void give_up(struct load *load)
{
    for (size_t i = 0; i < load->connections; i++) {
        struct flow *flow = &load->flows[i];

        if (flow->connection && !flow->over)
            taps_connection_abort(flow->connection);
        flow_over(flow);
    }
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

/* Datagrams that nobody answered in time. */
static void look_for_lost(struct flow *flow, uint64_t now)
{
    struct load *load = flow->load;

    while (flow->head < flow->next && now - slot_of(flow, flow->head)->since_ns >= patience_ns(load)) {
        load->tally.lost++;
        close_slot(flow, flow->head);
    }
    if (load->interval_ns <= 0)
        fill_flow(flow);
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
    give_up(load);
}

void load_look_at_clock(struct load *load)
{
    uint64_t now = load_now();

    if (!load->measuring)
        return;
    for (size_t i = 0; i < load->connections && !load->one_way && !load->closing; i++)
        if (load->flows[i].numbered)
            look_for_lost(&load->flows[i], now);
    if (load->end_ns && now >= load->end_ns)
        load_stop(load);
    if ((anything_open(load) || load->closing) && now > load->moved_ns && now - load->moved_ns >= patience_ns(load) &&
        (!load->flows[0].numbered || load->closing || load->one_way))
        stalled(load);
    close_if_done(load);
}

static void begin(struct load *load)
{
    load->measuring = true;
    load->begin_ns = load->last_ns = load->moved_ns = load_now();
    load->setup_ms = (double)(load->begin_ns - load->start_ns) / 1e6;
    load->end_ns = load->duration_ns ? load->begin_ns + load->duration_ns : 0;
    for (size_t i = 0; i < load->connections && load->interval_ns <= 0; i++)
        fill_flow(&load->flows[i]);
}

bool load_over(const struct load *load)
{
    return load->over == load->connections;
}

/* --------------------------------------------------------------------------------------------------- events */

static bool has(taps_connection *connection, enum taps_property property, bool otherwise)
{
    struct taps_value value;

    if (taps_connection_get_value(connection, property, &value) < 0 || value.type != TAPS_TYPE_BOOLEAN)
        return otherwise;
    return value.boolean;
}

static void receive(struct flow *flow)
{
    size_t least = flow->numbered ? SIZE_MAX : 1;

    if (!flow->closing && !flow->over)
        taps_connection_receive(flow->connection, least, SIZE_MAX, NULL);
}

static int check_size(const struct flow *flow)
{
    struct taps_value value;

    if (flow->numbered && flow->load->size < LOAD_NUMBER && !flow->load->one_way)
        return complain_usage("--size is at least %d over datagrams: each carries its number", LOAD_NUMBER);
    if (taps_connection_get_value(flow->connection, TAPS_SEND_MSG_MAX_LEN, &value) == 0 &&
        value.type == TAPS_TYPE_INTEGER && value.integer > 0 && flow->load->size > value.integer)
        return complain_usage("--size %zu is more than a Message of this stack can have: %llu", flow->load->size,
                              (unsigned long long)value.integer);
    return DONE;
}

static int make_slots(struct flow *flow)
{
    size_t span = flow->numbered ? 4 * flow->load->depth : flow->load->depth;

    flow->span = span < SPAN_MIN ? SPAN_MIN : span;
    flow->slots = calloc(flow->span, sizeof *flow->slots);
    return flow->slots ? DONE : complain_code("prepare", TAPS_E_MEMORY);
}

static void on_ready(taps_connection *connection, void *user)
{
    struct flow *flow = user;
    struct load *load = flow->load;
    const char *security = taps_connection_security(connection);

    flow->boundaries = has(connection, TAPS_PRESERVE_MSG_BOUNDARIES, false);
    flow->numbered = !has(connection, TAPS_RELIABILITY, true);
    snprintf(load->stack, sizeof load->stack, "%s", taps_connection_stack(connection));
    snprintf(load->security, sizeof load->security, "%s", security ? security : "");
    if (load->code == DONE)
        load->code = check_size(flow);
    if (load->code == DONE)
        load->code = make_slots(flow);
    if (load->code != DONE) {
        load_stop(load);
        return;
    }
    flow->ready = true;
    receive(flow);
    if (++load->ready == load->connections)
        begin(load);
}

static void on_establishment_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct flow *flow = user;
    struct load *load = flow->load;
    char what[512];

    (void)connection;
    flow_over(flow);
    if (load->code == DONE) {
        snprintf(what, sizeof what, "connect to %s", load->target);
        load->code = complain_error(what, error);
    }
    load_stop(load);
}

static void go_on(struct flow *flow)
{
    if (flow->load->interval_ns <= 0)
        fill_flow(flow);
    close_if_done(flow->load);
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    struct flow *flow = user;

    (void)connection;
    if (!flow->load->one_way || !is_open(flow, (uintptr_t)tag))
        return;
    message_done(flow, (uintptr_t)tag);
    go_on(flow);
}

static void on_send_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct flow *flow = user;
    struct load *load = flow->load;

    (void)connection;
    if (load->tally.failed == 0 && !load->stopping)
        load->code = complain_error("send", error);
    message_failed(flow, (uintptr_t)tag);
    if (!flow->numbered)
        load_stop(load);
    go_on(flow);
}

static void on_expired(taps_connection *connection, void *tag, void *user)
{
    (void)connection;
    message_failed(user, (uintptr_t)tag);
    go_on(user);
}

static void not_an_echo(struct flow *flow)
{
    struct load *load = flow->load;

    if (load->code == DONE) {
        complain("%s sends something else back than it was sent", load->target);
        complain_hint("`taps serve` is a server that echoes; --one-way is for those that only take.");
    }
    load->code = FAILED;
    load_stop(load);
    give_up(load);
}

/* The number of a datagram, or UINT64_MAX if it is none of ours. Those answered before are below head, or closed. */
static uint64_t number_in(const struct flow *flow, const unsigned char *data)
{
    uint32_t number = 0;

    for (int i = 0; i < LOAD_NUMBER; i++) {
        unsigned char digit = data[i];

        if (digit >= '0' && digit <= '9')
            number = number << 4 | (digit - (unsigned)'0');
        else if (digit >= 'a' && digit <= 'f')
            number = number << 4 | (digit - (unsigned)'a' + 10);
        else
            return UINT64_MAX;
    }
    return flow->head + (uint32_t)(number - (uint32_t)flow->head);
}

static void take_datagram(struct flow *flow, const struct taps_received *message)
{
    const unsigned char *data = message->data;
    struct load *load = flow->load;
    uint64_t number;

    if (message->length != load->size ||
        memcmp(data + LOAD_NUMBER, load->message + LOAD_NUMBER, load->size - LOAD_NUMBER) != 0 ||
        (number = number_in(flow, data)) == UINT64_MAX) {
        not_an_echo(flow);
        return;
    }
    if (is_open(flow, number))
        message_done(flow, number);
    else
        load->tally.late++;
}

/* Bytes of answers, in order. */
static bool take_bytes(struct flow *flow, const unsigned char *data, size_t length, bool end_of_message)
{
    struct load *load = flow->load;

    while (length > 0) {
        size_t part = load->size - flow->filled < length ? load->size - flow->filled : length;

        if (flow->open == 0 || memcmp(data, load->message + flow->filled, part) != 0)
            return false;
        data += part;
        length -= part;
        flow->filled += part;
        if (flow->filled < load->size)
            break;
        if (flow->boundaries && (length > 0 || !end_of_message))
            return false;
        flow->filled = 0;
        message_done(flow, flow->head);
    }
    return !flow->boundaries || !end_of_message || flow->filled == 0;
}

static void ended_early(struct flow *flow, const struct taps_error *error)
{
    struct load *load = flow->load;

    if (load->code == DONE && error)
        load->code = complain_error("go on", error);
    if (load->code == DONE) {
        complain("%s ended the connection before it was asked to", load->target);
        load->code = FAILED;
    }
    load_stop(load);
}

static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct flow *flow = user;
    struct load *load = flow->load;

    (void)connection;
    load->moved_ns = load_now();
    if (load->one_way || load->closing || flow->over) {
        if (message->final && !load->closing && !load->one_way)
            ended_early(flow, NULL);
    } else if (flow->numbered) {
        take_datagram(flow, message);
    } else if (!take_bytes(flow, message->data, message->length, message->end_of_message)) {
        not_an_echo(flow);
    } else if (message->final) {
        ended_early(flow, NULL);
    }
    if (!message->final)
        receive(flow);
    go_on(flow);
}

static void on_receive_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct flow *flow = user;

    (void)connection;
    (void)tag;
    if (!flow->closing && !flow->over)
        ended_early(flow, error);
}

static void on_soft_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    if (((struct flow *)user)->load->verbose)
        complain("the network says: %s", error->detail);
}

static void on_closed(taps_connection *connection, void *user)
{
    struct flow *flow = user;
    struct load *load = flow->load;

    (void)connection;
    if (!flow->closing)
        ended_early(flow, NULL);
    else if (load->one_way && !flow->numbered && !flow->over)
        load->last_ns = load_now();
    flow_over(flow);
    close_if_done(load);
}

static void on_connection_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct flow *flow = user;

    (void)connection;
    if (!flow->over && (!flow->closing || flow->load->one_way))
        ended_early(flow, error);
    flow_over(flow);
    close_if_done(flow->load);
}

static const struct taps_connection_events events = {
    .ready = on_ready,
    .establishment_error = on_establishment_error,
    .sent = on_sent,
    .expired = on_expired,
    .send_error = on_send_error,
    .received = on_received,
    .received_partial = on_received,
    .receive_error = on_receive_error,
    .soft_error = on_soft_error,
    .closed = on_closed,
    .connection_error = on_connection_error,
};

/* ---------------------------------------------------------------------------------------------------- start */

static int initiate(struct load *load, taps_preconnection *preconnection, uint64_t timeout_ms, struct flow *flow)
{
    int error = taps_preconnection_initiate(preconnection, timeout_ms, &events, flow, &flow->connection);
    const struct taps_error *why;
    char what[512];

    if (error >= 0)
        return DONE;
    snprintf(what, sizeof what, "connect to %s", load->target);
    why = taps_preconnection_error(preconnection);
    return why && why->code ? complain_error(what, why) : complain_code(what, error);
}

int load_start(struct load *load, taps_preconnection *preconnection, uint64_t timeout_ms)
{
    int code = DONE;

    load->start_ns = load_now();
    load->message = malloc(load->size);
    load->flows = calloc(load->connections, sizeof *load->flows);
    if (!load->message || !load->flows)
        return complain_code("prepare", TAPS_E_MEMORY);
    message_pattern(load->message, load->size);
    for (size_t i = 0; i < load->connections && code == DONE; i++) {
        load->flows[i].load = load;
        code = initiate(load, preconnection, timeout_ms, &load->flows[i]);
    }
    return code;
}

void load_done(struct load *load)
{
    for (size_t i = 0; load->flows && i < load->connections; i++) {
        taps_connection_free(load->flows[i].connection);
        free(load->flows[i].slots);
    }
    free(load->flows);
    free(load->message);
}
