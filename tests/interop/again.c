/*
 * Connects to a TLS server several times, says something first each time, prints what comes back, and tells what became
 * of the session: "resumed=1 early=1". For tests against foreign servers.
 *
 *     again HOST:PORT CA-FILE TIMES MESSAGE [replayable] [alpn=NAME] [file=SESSION-FILE] [tls1.2]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>

#define QUIET_MS  400  /* nothing came for so long: that was all */
#define SILENT_MS 2000 /* for the tickets of a server that says nothing, from Ready on */

struct again {
    taps_context *context;
    taps_preconnection *preconnection;
    taps_connection *connection;
    const char *message;
    bool replayable, server_is_silent, silent, over, heard;
    int status;
};

static void on_end(taps_connection *c, const struct taps_error *error, void *user)
{
    struct again *a = user;
    (void)c;
    a->over = true;
    if (error && !a->heard) {
        fprintf(stderr, "again: %s\n", error->detail);
        a->status = 1;
    }
}

static void on_closed(taps_connection *c, void *user)
{
    on_end(c, NULL, user);
}

static void on_ready(taps_connection *c, void *user)
{
    (void)user;
    printf("resumed=%d early=%d %s\n", taps_connection_resumed(c), taps_connection_early_data(c),
           taps_connection_security(c));
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct again *a = user;
    a->heard = true;
    fwrite(m->data, 1, m->length, stdout);
    if (m->final)
        taps_connection_close(c);
    else
        taps_connection_receive(c, 1, 65536, NULL);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_end,
                                                     .connection_error = on_end,
                                                     .received = on_received,
                                                     .received_partial = on_received,
                                                     .closed = on_closed};

static void once(struct again *a)
{
    taps_message_context *context;
    taps_message_context_new(&context);
    taps_message_context_set(context, "safelyReplayable", a->replayable ? "true" : "false");
    a->over = a->heard = false;
    a->silent = a->server_is_silent;
    if (taps_preconnection_initiate_with_send(a->preconnection, 10000, &events, a, a->message, strlen(a->message),
                                              context, 0, NULL, &a->connection))
        exit(1);
    taps_connection_receive(a->connection, 1, 65536, NULL);
    double quiet = taps_context_now_ms(a->context) + 10000;
    while (!a->over && taps_context_now_ms(a->context) < quiet) {
        bool heard = a->heard;
        taps_context_run_once(a->context, 50);
        if (a->silent && taps_connection_state(a->connection) == TAPS_ESTABLISHED) {
            quiet = taps_context_now_ms(a->context) + SILENT_MS;
            a->silent = false;
        }
        if (a->heard && !heard)
            quiet = taps_context_now_ms(a->context) + QUIET_MS;
    }
    taps_connection_close(a->connection);
    for (int i = 0; i < 40 && !a->over; i++)
        taps_context_run_once(a->context, 50);
    taps_connection_free(a->connection);
    taps_message_context_free(context);
    fflush(stdout);
}

static void set_up(struct again *a, char **argv, taps_security_parameters *security,
                   taps_transport_properties *properties)
{
    taps_transport_properties_prefer(properties, TAPS_ZERO_RTT_MSG);
    if (taps_security_parameters_add_ca_file(security, argv[2]) ||
        taps_preconnection_new(a->context, &a->preconnection) ||
        taps_preconnection_add_remote_text(a->preconnection, argv[1]) ||
        taps_preconnection_set_transport_properties(a->preconnection, properties) ||
        taps_preconnection_set_security_parameters(a->preconnection, security))
        exit(2);
}

int main(int argc, char **argv)
{
    struct again a = {.message = argc > 4 ? argv[4] : NULL};
    taps_security_parameters *security;
    taps_transport_properties *properties;
    if (argc < 5 || taps_context_new(NULL, &a.context) || taps_security_parameters_new(&security) ||
        taps_transport_properties_new(&properties))
        return 2;
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "replayable") == 0)
            a.replayable = true;
        else if (strcmp(argv[i], "silent") == 0)
            a.server_is_silent = true;
        else if (strcmp(argv[i], "tls1.2") == 0)
            taps_security_parameters_allow_protocol(security, TAPS_TLS_1_2);
        else if (strncmp(argv[i], "alpn=", 5) == 0)
            taps_security_parameters_add_alpn(security, argv[i] + 5);
        else if (strncmp(argv[i], "file=", 5) == 0)
            a.status = taps_context_set_session_file(a.context, argv[i] + 5) ? 3 : 0;
        else
            return 2;
    }
    set_up(&a, argv, security, properties);
    for (int i = 0; i < atoi(argv[3]); i++)
        once(&a);
    taps_preconnection_free(a.preconnection);
    taps_security_parameters_free(security);
    taps_transport_properties_free(properties);
    taps_context_free(a.context);
    return a.status;
}
