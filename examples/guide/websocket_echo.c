/* websocket_echo [ADDRESS]:PORT [FRAMER]: a server of WebSocket, in clear, that sends everything back as it comes: text
   as text, long Messages part by part. FRAMER: "websocket:path=/echo,deflate=on", or without it "websocket". */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>

/* What is told of each text that is sent; Messages are binary otherwise. */
static taps_message_context *as_text;

/* [echo] */
static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    const char *type = taps_message_context_metadata(part->context, "websocket", "type");
    bool is_text = type && strcmp(type, "text") == 0;
    (void)user;
    taps_connection_send(c, part->data, part->length, is_text ? as_text : NULL,
                         part->end_of_message ? 0 : TAPS_SEND_PARTIAL, NULL);
}

static void sent(taps_connection *c, void *tag, void *user)
{
    (void)user;
    taps_connection_receive(c, 1, 65536, tag); /* a slow client is not overrun: its own sending stalls */
}
/* [/echo] */

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void broken(taps_connection *c, const struct taps_error *error, void *user)
{
    fprintf(stderr, "websocket_echo: %s\n", error->detail);
    closed(c, user);
}

static const struct taps_connection_events connection_events = {
    .received = received, .received_partial = received, .sent = sent, .closed = closed, .connection_error = broken};

static void listening(taps_listener *l, void *user)
{
    (void)user;
    printf("listening on port %u\n", taps_endpoint_port(taps_listener_local(l, 0)));
    fflush(stdout);
}

static void connection_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    taps_connection_set_events(c, &connection_events, user);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void cannot_listen(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    *(int *)user = fprintf(stderr, "websocket_echo: %s\n", error->detail) != 0;
}

static const struct taps_listener_events listener_events = {listening, connection_received, cannot_listen, NULL};

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    taps_framer *framer = NULL;
    taps_listener *listener;
    int failure = 0;
    if (argc < 2 || argc > 3)
        return fprintf(stderr, "usage: websocket_echo [ADDRESS]:PORT [FRAMER]\n"), 2;
    if (taps_context_new(NULL, &context) || taps_security_parameters_new_disabled(&security) ||
        taps_message_context_new(&as_text) || taps_message_context_add_metadata(as_text, "websocket", "type", "text") ||
        taps_framer_new_text(argc > 2 ? argv[2] : "websocket", &framer) ||
        taps_preconnection_new(context, &preconnection) || taps_preconnection_add_local_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_add_framer(preconnection, framer) ||
        taps_preconnection_listen(preconnection, &listener_events, &failure, &listener))
        return fprintf(stderr, "websocket_echo: the address or the Framer's options cannot be used\n"), 1;
    taps_context_run(context);
    taps_framer_free(framer);
    taps_message_context_free(as_text);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return failure;
}
