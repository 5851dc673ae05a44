/*
 * SPDX-License-Identifier: MIT
 *
 * Design. Callbacks only record; `transfer_advance` looks at the record and takes the next steps, and what is to be
 * polled for follows from it, too.
 *
 * Messages are taken from the source only while less than UNSENT_MAX bytes wait to be Sent, and Receive is called only
 * while nothing waits to be written, so memory is bounded and a slow reader on either end slows the other end down.
 *
 * Streams take turns: each Message of the source goes over the next one, and waits for it; what comes over any is
 * written as it comes. Each has its own end.
 *
 * The end. After the end of input a stream gets Final and goes on receiving; datagrams have no end, so `idle` after the
 * last one is it. With a Framer an empty final Message would be a Message of its own: there Final is said of the last
 * one if it is known to be the last when it goes, else `idle` is the end, too. After the peer's end everything that
 * input has ready is still sent (a peer that only receives ends its direction first of all), until input ends or is
 * quiet for `idle`; a terminal is not waited for. Then Close, which delivers.
 */
#include "transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "complain.h"
#include "transfer_tell.h"

enum { UNSENT_MAX = 256 * 1024, STREAM_CHUNK = 64 * 1024, DATAGRAM_CHUNK = 1200 };

/* --------------------------------------------------------------------------------------------------- events */

static bool has(taps_connection *connection, enum taps_property property, bool otherwise)
{
    struct taps_value value;

    if (taps_connection_get_value(connection, property, &value) < 0 || value.type != TAPS_TYPE_BOOLEAN)
        return otherwise;
    return value.boolean;
}

static size_t largest_message(taps_connection *connection)
{
    struct taps_value value;

    if (taps_connection_get_value(connection, TAPS_SEND_MSG_MAX_LEN, &value) < 0 || value.type != TAPS_TYPE_INTEGER ||
        value.integer == 0 || value.integer > SIZE_MAX)
        return SIZE_MAX;
    return (size_t)value.integer;
}

/* What may be one Message. A size that was asked for is not made smaller: it is refused where it does not fit. */
static int set_chunk(struct transfer *transfer, size_t largest)
{
    struct source *source = &transfer->shared->source;
    size_t usual = transfer->datagrams && !transfer->framed ? DATAGRAM_CHUNK : STREAM_CHUNK;

    transfer->chunk = largest;
    if (source->cut == SOURCE_PIECES && source->piece > largest)
        return complain_usage("--size %zu is more than a Message of this stack can have: %zu", source->piece, largest);
    if (source->cut == SOURCE_READS)
        source->piece = pace_piece(transfer->shared->pace.rate, largest < usual ? largest : usual);
    return DONE;
}

/* Framers that make no boundaries (STARTTLS) leave a stream as it is. */
static void settle_framing(struct transfer *transfer)
{
    struct source *source = &transfer->shared->source;

    transfer->framed = transfer->framed && transfer->boundaries;
    source->foresee = transfer->framed;
    if (!transfer->framed && source->cut == SOURCE_LINES)
        source->cut = SOURCE_READS;
}

static void begin(struct transfer *transfer, taps_connection *connection)
{
    transfer->datagrams = !has(connection, TAPS_RELIABILITY, true);
    transfer->boundaries = has(connection, TAPS_PRESERVE_MSG_BOUNDARIES, false);
    transfer->can_receive = has(connection, TAPS_CAN_RECEIVE, true);
    settle_framing(transfer);
    if (!has(connection, TAPS_CAN_SEND, true)) {
        transfer->no_input = transfer->final_sent = true;
        transfer->chunk = STREAM_CHUNK;
    } else {
        transfer->code = set_chunk(transfer, largest_message(connection));
    }
    pace_start(&transfer->shared->pace, transfer->shared->pace.rate, pace_now_ms());
    if (transfer->code != DONE)
        transfer->over = true;
}

void transfer_begin(struct transfer *transfer, taps_connection *connection)
{
    taps_connection_set_events(connection, &transfer_events, transfer);
    transfer->connection = connection;
    transfer_tell_where(transfer, connection, "connection from");
    begin(transfer, connection);
}

static void on_ready(taps_connection *connection, void *user)
{
    transfer_tell_where(user, connection, "connected to");
    transfer_tell_early(user, connection);
    begin(user, connection);
}

static void on_establishment_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct transfer *transfer = user;
    char what[512];

    (void)connection;
    snprintf(what, sizeof what, "connect to %s", transfer->target);
    transfer->code = transfer->shared->told_failure ? FAILED : complain_error(what, error);
    transfer->shared->told_failure = true;
    transfer->over = true;
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    struct transfer *transfer = user;

    (void)connection;
    transfer->unsent -= (uintptr_t)tag;
}

/* With a Framer it may have been the final one: then the peer was told of no end. */
static void not_sent(struct transfer *transfer, size_t length)
{
    transfer->unsent -= length;
    if (transfer->framed)
        transfer->final_sent = false;
}

static void on_send_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct transfer *transfer = user;

    (void)connection;
    not_sent(transfer, (uintptr_t)tag);
    if (!transfer->told_send_error)
        transfer->code = complain_error("send", error);
    transfer->told_send_error = true;
}

static void on_expired(taps_connection *connection, void *tag, void *user)
{
    struct transfer *transfer = user;

    (void)connection;
    not_sent(transfer, (uintptr_t)tag);
    complain("%zu bytes were not sent: their msgLifetime was over", (size_t)(uintptr_t)tag);
    transfer->code = FAILED;
}

static void cancel_timer(struct transfer *transfer)
{
    if (transfer->timer)
        taps_timer_cancel(transfer->timer);
    transfer->timer = NULL;
}

/* There is no end of input that the peer is told of. */
static bool is_endless(const struct transfer *transfer)
{
    return transfer->datagrams || (transfer->framed && !transfer->final_sent);
}

static bool has_enough(const struct transfer *transfer)
{
    const struct transfer_shared *shared = transfer->shared;

    if (transfer->count == 0)
        return false;
    if (transfer->boundaries)
        return shared->received >= transfer->count;
    return transfer->size > 0 && shared->received_bytes / transfer->size >= transfer->count;
}

/* Each stream has at most one part on its way since the sink was empty, so there is room for all of them. */
static void put(struct sink *sink, const void *data, size_t length)
{
    if (sink_empty(sink))
        sink_put(sink, data, length);
    else
        sink_add(sink, data, length);
}

static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct transfer *transfer = user;

    (void)connection;
    transfer->receiving = false;
    put(&transfer->shared->sink, message->data, message->length);
    transfer->shared->received_bytes += message->length;
    if (message->early && transfer->verbose)
        complain("%zu bytes came as early data", message->length);
    if (message->end_of_message) {
        transfer_tell_metadata(transfer, message->context);
        transfer->shared->received++;
        if (transfer->framed)
            sink_add(&transfer->shared->sink, "\n", 1);
    }
    if (is_endless(transfer))
        cancel_timer(transfer);
    if (message->final || has_enough(transfer)) {
        transfer->peer_end = true;
        transfer_tell_statistics(transfer);
    }
}

/* A Receive that waits when the Connection ends fails as well: that is no loss. */
static void on_receive_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct transfer *transfer = user;

    (void)connection;
    (void)tag;
    transfer->receiving = false;
    transfer->peer_end = true;
    if (!transfer->closing && error->code != TAPS_E_CLOSED)
        transfer->code = complain_error("receive all of it", error);
}

static void on_soft_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    if (((struct transfer *)user)->verbose)
        complain("the network says: %s", error->detail);
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)connection;
    ((struct transfer *)user)->over = true;
}

static bool input_ended(const struct transfer *transfer)
{
    return transfer->no_input || source_ended(&transfer->shared->source);
}

/* Once both directions are through, how the peer lets go of the connection is its own business. */
static void on_connection_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct transfer *transfer = user;

    (void)connection;
    transfer->over = true;
    if (transfer->code == DONE &&
        (!transfer->peer_end || transfer->unsent > 0 || !(input_ended(transfer) || transfer->closing)))
        transfer->code = complain_error("finish the transfer", error);
}

const struct taps_connection_events transfer_events = {
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

/* --------------------------------------------------------------------------------------------------- sending */

static bool is_out(const struct transfer *transfer)
{
    return transfer->no_input || transfer->closing || transfer->over;
}

/* To the next stream that can still send. */
static void pass_turn(struct transfer_shared *shared)
{
    for (size_t i = 1; i <= shared->count; i++) {
        size_t next = (shared->turn + i) % shared->count;

        if (!is_out(&shared->transfers[next])) {
            shared->turn = next;
            return;
        }
    }
}

/* Is it this one's turn, is there room for a Message, and time for it? One is always let through where nothing waits.
 */
static bool may_send(const struct transfer *transfer)
{
    size_t room = transfer->shared->source.piece ? transfer->shared->source.piece : 1;

    return transfer->chunk && !is_out(transfer) && transfer->shared->turn == transfer->index &&
           (transfer->unsent == 0 || transfer->unsent + room <= UNSENT_MAX);
}

bool transfer_wants_input(const struct transfer *transfer)
{
    return may_send(transfer) && source_wants_input(&transfer->shared->source) &&
           pace_wait_ms(&transfer->shared->pace, pace_now_ms()) == 0;
}

double transfer_wait_ms(const struct transfer *transfer)
{
    return may_send(transfer) && !source_ended(&transfer->shared->source)
               ? pace_wait_ms(&transfer->shared->pace, pace_now_ms())
               : -1;
}

void transfer_read_input(struct transfer *transfer)
{
    int error = source_read(&transfer->shared->source);

    cancel_timer(transfer);
    if (!error)
        return;
    if (error == EMSGSIZE)
        complain("a line of standard input is longer than %d bytes", SOURCE_LINE_MAX);
    else
        complain("cannot read standard input: %s", strerror(error));
    transfer->code = FAILED;
}

static bool send_next(struct transfer *transfer)
{
    const void *data;
    size_t length, weight;
    bool last, final;
    int error;

    if (!may_send(transfer) || pace_wait_ms(&transfer->shared->pace, pace_now_ms()) > 0 ||
        !source_next(&transfer->shared->source, &data, &length, &last))
        return false;
    weight = length ? length : 1;
    final = last && transfer->framed && !transfer->datagrams && !transfer->keep_open;
    error = taps_connection_send(transfer->connection, data, length, final ? transfer->final : transfer->properties, 0,
                                 (void *)(uintptr_t)weight);
    pace_took(&transfer->shared->pace, length, pace_now_ms());
    if (error < 0) {
        transfer->code = complain_code("send", error);
        transfer->no_input = true;
        return false;
    }
    transfer->unsent += weight;
    transfer->sent_bytes += length;
    transfer->final_sent = final;
    pass_turn(transfer->shared);
    return true;
}

static void send_final(struct transfer *transfer)
{
    if (transfer->final_sent || transfer->datagrams || transfer->framed || transfer->keep_open)
        return;
    transfer->final_sent = true;
    if (taps_connection_send(transfer->connection, "", 0, transfer->final, 0, (void *)(uintptr_t)1) == 0)
        transfer->unsent++;
}

/* The first Message goes with Initiate, so it is waited for; a Connection without input is initiated as ever. */
int transfer_initiate_early(struct transfer *transfer, taps_preconnection *preconnection, uint64_t timeout_ms,
                            const taps_message_context *first, const taps_message_context *only)
{
    const void *data;
    size_t length, weight;
    bool last, final;
    int error;

    if (transfer->shared->source.cut == SOURCE_READS)
        transfer->shared->source.piece = DATAGRAM_CHUNK;
    while (source_wants_input(&transfer->shared->source))
        transfer_read_input(transfer);
    if (!source_next(&transfer->shared->source, &data, &length, &last))
        return taps_preconnection_initiate(preconnection, timeout_ms, &transfer_events, transfer,
                                           &transfer->connection);
    weight = length ? length : 1;
    final = last && transfer->framed && !transfer->keep_open;
    error = taps_preconnection_initiate_with_send(preconnection, timeout_ms, &transfer_events, transfer, data, length,
                                                  final ? only : first, 0, (void *)(uintptr_t)weight,
                                                  &transfer->connection);
    if (error < 0)
        return error;
    transfer->early = true;
    transfer->unsent += weight;
    transfer->sent_bytes += length;
    transfer->final_sent = final;
    pass_turn(transfer->shared);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the steps */

/* No more than is still wanted where the stack does not tell Messages apart, nor than this stream's part of the sink,
   with room for a newline. */
static size_t receive_most(const struct transfer *transfer)
{
    const struct transfer_shared *shared = transfer->shared;
    uint64_t most = SINK_SIZE / shared->count - 1, wanted;

    if (transfer->count == 0 || transfer->boundaries || transfer->size == 0 ||
        transfer->count > UINT64_MAX / transfer->size)
        return (size_t)most;
    wanted = transfer->count * transfer->size;
    wanted = wanted > shared->received_bytes ? wanted - shared->received_bytes : 1;
    return wanted < most ? (size_t)wanted : (size_t)most;
}

static void receive(struct transfer *transfer)
{
    int error = taps_connection_receive(transfer->connection, 1, receive_most(transfer), NULL);

    if (error == 0)
        transfer->receiving = true;
    else if (error == TAPS_E_CLOSED)
        transfer->peer_end = true;
    else
        transfer->can_receive = false;
}

static void close_connection(struct transfer *transfer)
{
    cancel_timer(transfer);
    transfer->closing = true;
    transfer_tell_statistics(transfer);
    if (taps_connection_close(transfer->connection) < 0)
        transfer->over = true;
}

static void on_quiet(void *arg)
{
    struct transfer *transfer = arg;

    transfer->timer = NULL;
    transfer->quiet = true;
}

/* The idle timer runs while nothing but the next input, or the next datagram, is waited for; what moves cancels it. */
static void wait_for_quiet(struct transfer *transfer)
{
    bool waiting = transfer->peer_end ? transfer_wants_input(transfer)
                                      : is_endless(transfer) && input_ended(transfer) && transfer->unsent == 0;

    if (!waiting)
        cancel_timer(transfer);
    if (!waiting || transfer->timer || transfer->quiet)
        return;
    if (transfer->idle_ms == 0 || (transfer->peer_end && isatty(STDIN_FILENO)))
        transfer->quiet = true;
    else if (taps_context_after(transfer->context, transfer->idle_ms, on_quiet, transfer, &transfer->timer) < 0)
        transfer->quiet = true;
}

static bool both_ended(const struct transfer *transfer)
{
    bool received_all = transfer->peer_end || (!transfer->can_receive && transfer->unsent == 0);

    return transfer->quiet || (received_all && input_ended(transfer));
}

void transfer_advance(struct transfer *transfer)
{
    if (is_out(&transfer->shared->transfers[transfer->shared->turn]))
        pass_turn(transfer->shared);
    if (!transfer->chunk || transfer->closing || transfer->over)
        return;
    if (has_enough(transfer))
        transfer->peer_end = true;
    while (send_next(transfer))
        ;
    if (input_ended(transfer))
        send_final(transfer);
    if (transfer->can_receive && !transfer->receiving && !transfer->peer_end && sink_empty(&transfer->shared->sink))
        receive(transfer);
    wait_for_quiet(transfer);
    if (both_ended(transfer) && sink_empty(&transfer->shared->sink))
        close_connection(transfer);
}

void transfer_write_output(struct transfer *transfer)
{
    int error = sink_write(&transfer->shared->sink);

    if (!error)
        return;
    if (error != EPIPE)
        complain("cannot write to standard output: %s", strerror(error));
    for (size_t i = 0; i < transfer->shared->count; i++) {
        struct transfer *one = &transfer->shared->transfers[i];

        one->code = FAILED;
        taps_connection_abort(one->connection);
        one->over = true;
    }
    sink_put(&transfer->shared->sink, NULL, 0);
}

int transfer_clone(struct transfer *transfer, const struct transfer *of)
{
    return taps_connection_clone(of->connection, NULL, NULL, &transfer_events, transfer, &transfer->connection);
}
