/*
 * SPDX-License-Identifier: MIT
 *
 * Design. The Messages of a flow have numbers; a slot of its ring holds the time of each from `head`, the oldest that
 * is open, to `next`. Whatever becomes of a Message - its answer, Sent, Expired, an error, the end of patience - closes
 * its slot once, and `head` moves over closed ones.
 *
 * Answers are found by what the stack keeps: without boundaries `size` bytes are one and the order is that of sending;
 * Messages over what is reliable come in that order, too; datagrams carry their number, since any may be missing.
 */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"

enum { SPAN_MIN = 64, LEND_MIN = 16 * 1024 };

struct slot {
    uint64_t since_ns;
    bool open;
};

/* ------------------------------------------------------------------------------------------------------------ slots */

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

/* ---------------------------------------------------------------------------------------------------------- sending */

bool flow_has_room(const struct flow *flow)
{
    return flow->ready && !flow->closing && flow->open < flow->load->depth && flow->next - flow->head < flow->span;
}

static void send_error(struct load *load, int error)
{
    if (load->tally.failed++ == 0)
        load->code = complain_code("send", error);
    load_stop(load);
}

bool flow_send(struct flow *flow, uint64_t since_ns)
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

void flow_fill(struct flow *flow)
{
    while (load_may_send(flow->load) && flow_has_room(flow) && flow_send(flow, load_now()))
        ;
}

/* ------------------------------------------------------------------------------------------------------------- ends */

void flow_over(struct flow *flow)
{
    if (flow->over)
        return;
    flow->over = true;
    flow->load->over++;
}

void flow_close(struct flow *flow)
{
    flow->closing = true;
    if (flow->over)
        return;
    if (!flow->connection || taps_connection_close(flow->connection) < 0)
        flow_over(flow);
}

void flow_abort(struct flow *flow)
{
    if (flow->connection && !flow->over)
        taps_connection_abort(flow->connection);
    flow_over(flow);
}

void flow_look_for_lost(struct flow *flow, uint64_t now, uint64_t patience_ns)
{
    struct load *load = flow->load;

    while (flow->head < flow->next && now - slot_of(flow, flow->head)->since_ns >= patience_ns) {
        load->tally.lost++;
        close_slot(flow, flow->head);
    }
    if (load->interval_ns <= 0)
        flow_fill(flow);
}

/* ----------------------------------------------------------------------------------------------------------- events */

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
    load_flow_ready(load);
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
        flow_fill(flow);
    load_close_if_done(flow->load);
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
    load_give_up(load);
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

/* Bytes of answers, in order. The end of a Message may come behind its last byte, by itself. */
static bool take_bytes(struct flow *flow, const unsigned char *data, size_t length, bool end_of_message)
{
    struct load *load = flow->load;

    while (length > 0) {
        size_t part = load->size - flow->filled < length ? load->size - flow->filled : length;

        if (part == 0 || flow->open == 0 || memcmp(data, load->message + flow->filled, part) != 0)
            return false;
        data += part;
        length -= part;
        flow->filled += part;
        if (flow->boundaries || flow->filled < load->size)
            continue;
        flow->filled = 0;
        message_done(flow, flow->head);
    }
    if (!flow->boundaries || !end_of_message)
        return true;
    if (flow->filled != load->size || flow->open == 0)
        return false;
    flow->filled = 0;
    message_done(flow, flow->head);
    return true;
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
    } else if (message->final && message->length == 0 && flow->filled == 0) {
        ended_early(flow, NULL);
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
        ended_early(flow, error->code == TAPS_E_CLOSED ? NULL : error);
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
    load_close_if_done(load);
}

static void on_connection_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct flow *flow = user;

    (void)connection;
    if (!flow->over && (!flow->closing || flow->load->one_way))
        ended_early(flow, error);
    flow_over(flow);
    load_close_if_done(flow->load);
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

/* ------------------------------------------------------------------------------------------------------------ start */

int flow_start(struct flow *flow, taps_preconnection *preconnection, uint64_t timeout_ms)
{
    int error = taps_preconnection_initiate(preconnection, timeout_ms, &events, flow, &flow->connection);
    const struct taps_error *why;
    char what[512];

    if (error >= 0)
        return DONE;
    snprintf(what, sizeof what, "connect to %s", flow->load->target);
    why = taps_preconnection_error(preconnection);
    return why && why->code ? complain_error(what, why) : complain_code(what, error);
}

int flow_clone(struct flow *flow, const struct flow *of)
{
    int error = taps_connection_clone(of->connection, NULL, NULL, &events, flow, &flow->connection);

    return error < 0 ? complain_code("clone the connection", error) : DONE;
}

void flow_done(struct flow *flow)
{
    taps_connection_free(flow->connection);
    free(flow->slots);
}
