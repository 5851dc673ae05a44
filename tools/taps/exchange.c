/* SPDX-License-Identifier: MIT */
#include "exchange.h"

#include <stdio.h>
#include <string.h>

static void end(struct exchange *exchange, const struct taps_error *error)
{
    exchange->over = true;
    if (!error || exchange->error)
        return;
    exchange->error = error->code;
    snprintf(exchange->detail, sizeof exchange->detail, "%s", error->detail);
}

static void end_with(struct exchange *exchange, int code)
{
    struct taps_error error = {.code = code, .reason = taps_err_reason(code), .detail = taps_err_text(code)};

    end(exchange, &error);
}

static void receive(struct exchange *exchange)
{
    size_t least = exchange->boundaries ? SIZE_MAX : 1;
    size_t most = exchange->boundaries ? SIZE_MAX : strlen(exchange->messages[exchange->returned]) - exchange->filled;
    int error = taps_connection_receive(exchange->connection, least, most, NULL);

    if (error < 0)
        end_with(exchange, error);
}

static void on_ready(taps_connection *connection, void *user)
{
    struct exchange *exchange = user;
    struct taps_value value;

    exchange->ready = true;
    if (taps_connection_get_value(connection, TAPS_PRESERVE_MSG_BOUNDARIES, &value) == 0 &&
        value.type == TAPS_TYPE_BOOLEAN)
        exchange->boundaries = value.boolean;
    for (size_t i = 0; i < exchange->count; i++) {
        int error =
            taps_connection_send(connection, exchange->messages[i], strlen(exchange->messages[i]), NULL, 0, NULL);

        if (error < 0)
            end_with(exchange, error);
    }
    if (exchange->count > 0)
        receive(exchange);
    else
        exchange->over = true;
}

static void on_received(taps_connection *connection, const struct taps_received *message, void *user)
{
    struct exchange *exchange = user;
    char *answer = exchange->answers[exchange->returned];

    (void)connection;
    if (exchange->over)
        return;
    if (message->length >= EXCHANGE_LENGTH - exchange->filled) {
        end_with(exchange, TAPS_E_MESSAGE_TOO_LARGE);
        return;
    }
    memcpy(answer + exchange->filled, message->data, message->length);
    exchange->filled += message->length;
    answer[exchange->filled] = '\0';
    if (exchange->boundaries || exchange->filled == strlen(exchange->messages[exchange->returned])) {
        exchange->returned++;
        exchange->filled = 0;
    }
    if (exchange->returned == exchange->count || message->final)
        exchange->over = true;
    else
        receive(exchange);
}

static void on_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    ((struct exchange *)user)->closed = true;
    end(user, error);
}

static void on_tagged_error(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)connection;
    (void)tag;
    end(user, error);
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)connection;
    ((struct exchange *)user)->closed = true;
    end(user, NULL);
}

static const struct taps_connection_events events = {
    .ready = on_ready,
    .establishment_error = on_error,
    .send_error = on_tagged_error,
    .received = on_received,
    .received_partial = on_received,
    .receive_error = on_tagged_error,
    .closed = on_closed,
    .connection_error = on_error,
};

int exchange_start(struct exchange *exchange, taps_preconnection *preconnection, unsigned timeout_ms)
{
    int error = taps_preconnection_initiate(preconnection, timeout_ms, &events, exchange, &exchange->connection);
    const struct taps_error *why;

    if (error >= 0)
        return 0;
    why = taps_preconnection_error(preconnection);
    if (why && why->code)
        end(exchange, why);
    else
        end_with(exchange, error);
    return error;
}

bool exchange_complete(const struct exchange *exchange)
{
    if (!exchange->ready || exchange->returned != exchange->count)
        return false;
    for (size_t i = 0; i < exchange->count; i++)
        if (strcmp(exchange->answers[i], exchange->messages[i]) != 0)
            return false;
    return true;
}

void exchange_done(struct exchange *exchange)
{
    taps_connection_free(exchange->connection);
    exchange->connection = NULL;
}
