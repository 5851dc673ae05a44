/* SPDX-License-Identifier: MIT */
#include "echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"

enum { UNSENT_MAX = 256 * 1024, PIECE_MAX = 64 * 1024, MESSAGE_MAX = 16 * 1024 * 1024 };

struct echo_peer {
    struct echo *echo;
    taps_connection *connection;
    struct echo_peer *next, **link; /* in echo->peers; link points at what points here */
    taps_timer *timer;
    taps_timer *paced; /* until the next may go */
    struct pace pace;
    double moved_ms;
    uint64_t bytes;
    unsigned char *parts; /* of a Message that is not all there */
    size_t parts_length, parts_room;
    size_t unsent;
    bool boundaries;       /* a Message comes and goes whole */
    bool datagrams;        /* no end of its own */
    struct taps_error why; /* of what ended it before its time; code 0: nothing */
    char detail[256];
    bool receiving;
    bool ended; /* nothing more is received */
    bool closing;
};

static int make_final(struct echo *echo)
{
    int error = taps_message_context_new(&echo->final);

    return error < 0 ? error : taps_message_context_set(echo->final, "final", "true");
}

int echo_init(struct echo *echo)
{
    echo->peers = NULL;
    echo->active = 0;
    echo->messages = echo->bytes_in = echo->bytes_out = 0;
    echo->pattern = NULL;
    echo->typed = NULL;
    if (echo->mode == ECHO_SOURCE) {
        echo->pattern = malloc(echo->size);
        if (!echo->pattern)
            return TAPS_E_MEMORY;
        source_pattern(echo->pattern, echo->size);
    }
    return echo->final ? 0 : make_final(echo);
}

static void unlink_peer(struct echo_peer *peer)
{
    *peer->link = peer->next;
    if (peer->next)
        peer->next->link = peer->link;
    if (peer->timer)
        taps_timer_cancel(peer->timer);
    if (peer->paced)
        taps_timer_cancel(peer->paced);
    peer->echo->active--;
}

static void free_peer(struct echo_peer *peer)
{
    taps_connection_free(peer->connection);
    free(peer->parts);
    free(peer);
}

static void finish(struct echo_peer *peer, const struct taps_error *why)
{
    unlink_peer(peer);
    if (peer->echo->closed)
        peer->echo->closed(peer->echo, peer->connection, peer->bytes, why);
    free_peer(peer);
}

void echo_done(struct echo *echo)
{
    while (echo->peers) {
        struct echo_peer *peer = echo->peers;

        unlink_peer(peer);
        free_peer(peer);
    }
    taps_message_context_free(echo->final);
    taps_message_context_free(echo->typed);
    echo->final = echo->typed = NULL;
    free(echo->pattern);
    echo->pattern = NULL;
}

static void close_peer(struct echo_peer *peer)
{
    if (peer->closing)
        return;
    peer->closing = true;
    if (taps_connection_close(peer->connection) < 0)
        finish(peer, peer->why.code ? &peer->why : NULL);
}

void echo_close_all(struct echo *echo)
{
    struct echo_peer *next;

    for (struct echo_peer *peer = echo->peers; peer; peer = next) {
        next = peer->next;
        close_peer(peer);
    }
}

/* Moving the timer at every Message would cost more than looking at the clock again when it fires. */
static void on_idle(void *arg)
{
    struct echo_peer *peer = arg;
    double idle = taps_context_now_ms(peer->echo->context) - peer->moved_ms;

    peer->timer = NULL;
    if (idle + 1 >= (double)peer->echo->idle_ms ||
        taps_context_after(peer->echo->context, peer->echo->idle_ms - (uint64_t)idle, on_idle, peer, &peer->timer) < 0)
        close_peer(peer);
}

static void go_on(struct echo_peer *peer);

static void on_due(void *arg)
{
    struct echo_peer *peer = arg;

    peer->paced = NULL;
    go_on(peer);
}

/* May the next be sent, as far as --rate says? Else it is tried again when it may. */
static bool is_due(struct echo_peer *peer)
{
    double wait = pace_wait_ms(&peer->pace, pace_now_ms());

    if (wait <= 0 || peer->paced)
        return wait <= 0;
    return taps_context_after(peer->echo->context, (uint64_t)wait + 1, on_due, peer, &peer->paced) < 0;
}

static void receive(struct echo_peer *peer)
{
    size_t piece = peer->boundaries ? SIZE_MAX : pace_piece(peer->pace.rate, PIECE_MAX);
    int error;

    if (peer->receiving || peer->closing || peer->ended || peer->unsent >= UNSENT_MAX)
        return;
    if (peer->echo->mode == ECHO_BACK && !is_due(peer))
        return;
    error = taps_connection_receive(peer->connection, peer->boundaries ? SIZE_MAX : 1, piece, NULL);
    if (error == TAPS_E_NOT_APPLICABLE && peer->echo->mode == ECHO_SOURCE)
        peer->ended = true;
    else if (error < 0)
        close_peer(peer);
    else
        peer->receiving = true;
}

/* An empty Message weighs one byte, so that a flood of them is held back, too. */
static size_t weight(size_t length)
{
    return length ? length : 1;
}

static int send_message(struct echo_peer *peer, const void *data, size_t length, const taps_message_context *context)
{
    struct echo *echo = peer->echo;
    int error = taps_connection_send(peer->connection, length ? data : "", length, context, 0,
                                     (void *)(uintptr_t)weight(length));

    if (error < 0)
        return error;
    peer->unsent += weight(length);
    echo->bytes_out += length;
    pace_took(&peer->pace, length, pace_now_ms());
    return 0;
}

static taps_message_context *with_type(const taps_message_context *base, const char *framer, const char *type)
{
    taps_message_context *context = NULL;
    int error = base ? taps_message_context_copy(base, &context) : taps_message_context_new(&context);

    if (error >= 0)
        error = taps_message_context_add_metadata(context, framer, "type", type);
    if (error >= 0)
        return context;
    taps_message_context_free(context);
    return NULL;
}

/* A Message goes back as the type it came with, where a Framer has types (text or binary). The last one is kept, since
   the next is mostly of the same. */
static const taps_message_context *context_for(struct echo *echo, const struct taps_received *message)
{
    const taps_message_context *base = message->final ? echo->final : echo->properties;
    const char *framer, *key, *value;
    char type[sizeof echo->type];

    for (size_t i = 0; taps_message_context_metadata_at(message->context, i, &framer, &key, &value) == 0; i++) {
        if (strcmp(key, "type") != 0 || (size_t)snprintf(type, sizeof type, "%s/%s%s", framer, value,
                                                         message->final ? " final" : "") >= sizeof type)
            continue;
        if (echo->typed && strcmp(type, echo->type) == 0)
            return echo->typed;
        taps_message_context_free(echo->typed);
        echo->typed = with_type(base, framer, value);
        memcpy(echo->type, type, sizeof type);
        return echo->typed;
    }
    return base;
}

/* One Message more. True if that was the last one that was wanted: then the peer may be gone. */
static bool has_enough(struct echo *echo)
{
    echo->messages++;
    if (echo->count == 0 || echo->messages < echo->count)
        return false;
    if (echo->enough)
        echo->enough(echo);
    return true;
}

/* Of a source: as many as there is room and time for. */
static void send_own(struct echo_peer *peer)
{
    struct echo *echo = peer->echo;

    while (!peer->closing && (echo->count == 0 || echo->messages < echo->count) &&
           (peer->unsent == 0 || peer->unsent + echo->size <= UNSENT_MAX) && is_due(peer)) {
        bool last = echo->count > 0 && echo->messages + 1 == echo->count;

        if (send_message(peer, echo->pattern, echo->size, last && !peer->datagrams ? echo->final : echo->properties) <
            0) {
            close_peer(peer);
            return;
        }
        peer->bytes += echo->size;
        if (has_enough(echo))
            return;
    }
}

static void go_on(struct echo_peer *peer)
{
    if (peer->echo->mode == ECHO_SOURCE)
        send_own(peer);
    else
        receive(peer);
}

/* Large Messages come in parts, and go back whole. False if there is no room for all of it. */
static bool keep_part(struct echo_peer *peer, const void *data, size_t length)
{
    size_t needed = peer->parts_length + length, room = peer->parts_room ? peer->parts_room : PIECE_MAX;
    unsigned char *parts = peer->parts;

    if (needed > MESSAGE_MAX)
        return false;
    while (room < needed)
        room *= 2;
    if (room > peer->parts_room) {
        parts = realloc(parts, room);
        if (!parts)
            return false;
        peer->parts = parts;
        peer->parts_room = room;
    }
    if (length > 0)
        memcpy(parts + peer->parts_length, data, length);
    peer->parts_length = needed;
    return true;
}

static int send_back(struct echo_peer *peer, const struct taps_received *message)
{
    const taps_message_context *context = context_for(peer->echo, message);
    const void *data = message->data;
    size_t length = message->length;

    if (peer->boundaries && (!message->end_of_message || peer->parts_length > 0)) {
        if (!keep_part(peer, data, length))
            return TAPS_E_MESSAGE_TOO_LARGE;
        data = peer->parts;
        length = peer->parts_length;
    }
    if (peer->boundaries && !message->end_of_message)
        return 0;
    peer->parts_length = 0;
    return send_message(peer, data, length, context);
}

/* A source only wants to know of the end. What a read gave counts as a Message where there are no boundaries. */
static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct echo_peer *peer = user;
    struct echo *echo = peer->echo;
    bool counts = peer->boundaries ? message->end_of_message : message->length > 0;
    int error = 0;

    (void)connection;
    peer->receiving = false;
    peer->ended = message->final;
    echo->bytes_in += message->length;
    peer->moved_ms = taps_context_now_ms(echo->context);
    if (echo->mode != ECHO_SOURCE)
        peer->bytes += message->length;
    if (echo->mode == ECHO_BACK)
        error = send_back(peer, message);
    if ((message->final && echo->mode != ECHO_SOURCE) || error < 0)
        close_peer(peer);
    else
        receive(peer);
    if (echo->mode != ECHO_SOURCE && counts)
        has_enough(echo);
}

/* The end of the peer between two Messages is TAPS_E_CLOSED. */
static void on_receive_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    struct echo_peer *peer = user;

    (void)connection;
    (void)tag;
    if (error->code != TAPS_E_CLOSED && !peer->closing) {
        snprintf(peer->detail, sizeof peer->detail, "%s", error->detail);
        peer->why = *error;
        peer->why.detail = peer->detail;
    }
    peer->ended = true;
    if (error->code != TAPS_E_CLOSED || peer->echo->mode != ECHO_SOURCE)
        close_peer(peer);
}

static void on_sent(taps_connection *connection, void *tag, void *user)
{
    struct echo_peer *peer = user;

    (void)connection;
    peer->unsent -= (uintptr_t)tag;
    go_on(peer);
}

/* One datagram that could not be sent back is no reason to leave the peer. */
static void on_send_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)error;
    on_sent(connection, tag, user);
}

static void on_connection_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    finish(user, error);
}

static void on_closed(taps_connection *connection, void *user)
{
    struct echo_peer *peer = user;

    (void)connection;
    finish(peer, peer->why.code ? &peer->why : NULL);
}

static const struct taps_connection_events events = {
    .sent = on_sent,
    .expired = on_sent,
    .send_error = on_send_error,
    .received = on_received,
    .received_partial = on_received,
    .receive_error = on_receive_error,
    .closed = on_closed,
    .connection_error = on_connection_error,
};

static bool has(taps_connection *connection, enum taps_property property, bool otherwise)
{
    struct taps_value value;

    if (taps_connection_get_value(connection, property, &value) < 0 || value.type != TAPS_TYPE_BOOLEAN)
        return otherwise;
    return value.boolean;
}

void echo_accept(struct echo *echo, taps_connection *connection)
{
    struct echo_peer *peer = calloc(1, sizeof *peer);

    if (!peer) {
        taps_connection_free(connection);
        return;
    }
    peer->echo = echo;
    peer->connection = connection;
    peer->boundaries = has(connection, TAPS_PRESERVE_MSG_BOUNDARIES, false);
    peer->datagrams = !has(connection, TAPS_RELIABILITY, true);
    peer->moved_ms = taps_context_now_ms(echo->context);
    pace_start(&peer->pace, echo->rate, pace_now_ms());
    peer->link = &echo->peers;
    peer->next = echo->peers;
    if (peer->next)
        peer->next->link = &peer->next;
    echo->peers = peer;
    echo->active++;
    taps_connection_set_events(connection, &events, peer);
    if (echo->opened)
        echo->opened(echo, connection);
    if (peer->datagrams && echo->idle_ms &&
        taps_context_after(echo->context, echo->idle_ms, on_idle, peer, &peer->timer) < 0)
        peer->timer = NULL;
    receive(peer);
    if (echo->mode == ECHO_SOURCE)
        send_own(peer);
}
