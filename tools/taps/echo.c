/* SPDX-License-Identifier: MIT */
#include "echo.h"

#include <stdlib.h>

#include "source.h"

enum { UNSENT_MAX = 256 * 1024, PIECE_MAX = 64 * 1024 };

struct echo_peer {
    struct echo *echo;
    taps_connection *connection;
    struct echo_peer *next, **link; /* in echo->peers; link points at what points here */
    taps_timer *timer;
    taps_timer *paced; /* until the next may go */
    struct pace pace;
    double moved_ms;
    uint64_t bytes;
    size_t unsent;
    bool boundaries; /* a Message comes and goes whole */
    bool datagrams;  /* no end of its own */
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
    echo->final = NULL;
    free(echo->pattern);
    echo->pattern = NULL;
}

static void close_peer(struct echo_peer *peer)
{
    if (peer->closing)
        return;
    peer->closing = true;
    if (taps_connection_close(peer->connection) < 0)
        finish(peer, NULL);
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

static int send_message(struct echo_peer *peer, const void *data, size_t length, bool final)
{
    struct echo *echo = peer->echo;
    int error = taps_connection_send(peer->connection, length ? data : "", length,
                                     final ? echo->final : echo->properties, 0, (void *)(uintptr_t)weight(length));

    if (error < 0)
        return error;
    peer->unsent += weight(length);
    echo->bytes_out += length;
    pace_took(&peer->pace, length, pace_now_ms());
    return 0;
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

        if (send_message(peer, echo->pattern, echo->size, last && !peer->datagrams) < 0) {
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

/* A Framer tells the end in an event of its own, which is no Message, and has no final one without a Message. */
static bool is_only_end(const struct echo_peer *peer, const struct taps_received *message)
{
    return message->final && message->length == 0 && (peer->echo->framed || peer->echo->mode != ECHO_BACK);
}

static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct echo_peer *peer = user;
    struct echo *echo = peer->echo;
    bool only_end = is_only_end(peer, message);
    int error = 0;

    (void)connection;
    peer->receiving = false;
    peer->ended = message->final;
    echo->bytes_in += message->length;
    peer->moved_ms = taps_context_now_ms(echo->context);
    if (echo->mode == ECHO_SOURCE) {
        receive(peer);
        return;
    }
    peer->bytes += message->length;
    if (echo->mode == ECHO_BACK && !only_end)
        error = send_message(peer, message->data, message->length, message->final);
    if (message->final || error < 0)
        close_peer(peer);
    else
        receive(peer);
    if (message->length > 0 || !message->final)
        has_enough(echo);
}

static void on_receive_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)connection;
    (void)tag;
    (void)error;
    close_peer(user);
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
    (void)connection;
    finish(user, NULL);
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
