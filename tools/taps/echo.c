/* SPDX-License-Identifier: MIT */
#include "echo.h"

#include <stdlib.h>

enum { UNSENT_MAX = 256 * 1024, PIECE_MAX = 64 * 1024 };

struct echo_peer {
    struct echo *echo;
    taps_connection *connection;
    struct echo_peer *next, **link; /* in echo->peers; link points at what points here */
    taps_timer *timer;
    double moved_ms;
    uint64_t bytes;
    size_t unsent;
    bool boundaries; /* a Message comes and goes whole */
    bool datagrams;  /* no end of its own */
    bool receiving;
    bool closing;
};

int echo_init(struct echo *echo)
{
    int error = taps_message_context_new(&echo->final);

    echo->peers = NULL;
    echo->active = 0;
    return error < 0 ? error : taps_message_context_set(echo->final, "final", "true");
}

static void unlink_peer(struct echo_peer *peer)
{
    *peer->link = peer->next;
    if (peer->next)
        peer->next->link = peer->link;
    if (peer->timer)
        taps_timer_cancel(peer->timer);
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

static void receive(struct echo_peer *peer)
{
    size_t piece = peer->boundaries ? SIZE_MAX : PIECE_MAX;
    int error;

    if (peer->receiving || peer->closing || peer->unsent >= UNSENT_MAX)
        return;
    error = taps_connection_receive(peer->connection, peer->boundaries ? SIZE_MAX : 1, piece, NULL);
    if (error < 0)
        close_peer(peer);
    else
        peer->receiving = true;
}

/* An empty Message weighs one byte, so that a flood of them is held back, too. */
static size_t weight(size_t length)
{
    return length ? length : 1;
}

static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct echo_peer *peer = user;
    size_t cost = weight(message->length);
    const taps_message_context *context = message->final ? peer->echo->final : NULL;
    int error;

    peer->receiving = false;
    peer->bytes += message->length;
    peer->moved_ms = taps_context_now_ms(peer->echo->context);
    error = taps_connection_send(connection, message->length ? message->data : "", message->length, context, 0,
                                 (void *)(uintptr_t)cost);
    if (error == 0)
        peer->unsent += cost;
    if (message->final || error < 0)
        close_peer(peer);
    else
        receive(peer);
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
    receive(peer);
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
}
