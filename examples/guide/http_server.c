/* http_server [ADDRESS]:PORT: a small server of HTTP/1.1, in clear. GET / is greeted, what is posted is sent back. */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>

/* [answer] */
static void answer(taps_connection *c, const char *status, const char *text)
{
    taps_message_context *context;
    if (taps_message_context_new(&context))
        return;
    taps_message_context_add_metadata(context, "http", "status", status);
    taps_message_context_add_metadata(context, "http", "Content-Type", "text/plain");
    taps_connection_send(c, text, strlen(text), context, 0, NULL);
    taps_message_context_free(context);
}

/* A request, or a part of one. An echo goes back as it comes, part by part: that makes chunks. */
static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    const char *method = taps_message_context_metadata(part->context, "http", "method");
    const char *target = taps_message_context_metadata(part->context, "http", "target");
    (void)user;
    if (strcmp(method, "POST") == 0)
        taps_connection_send(c, part->data, part->length, NULL, part->end_of_message ? 0 : TAPS_SEND_PARTIAL, NULL);
    else if (!part->end_of_message)
        taps_connection_receive(c, 1, 65536, NULL);
    else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        answer(c, "405", "GET, HEAD and POST are what there is\n");
    else if (strcmp(target, "/") == 0)
        answer(c, "200", "Hello from taps\n");
    else
        answer(c, "404", "there is only /\n");
    if (part->final) /* the client has said "Connection: close" */
        taps_connection_close(c);
}

static void sent(taps_connection *c, void *tag, void *user)
{
    (void)user;
    taps_connection_receive(c, 1, 65536, tag);
}
/* [/answer] */

/* The direction has ended between two requests. */
static void nothing_more(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    (void)error;
    (void)user;
    taps_connection_close(c);
}

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void broken(taps_connection *c, const struct taps_error *error, void *user)
{
    fprintf(stderr, "http_server: %s\n", error->detail);
    closed(c, user);
}

static const struct taps_connection_events connection_events = {.received = received,
                                                                .received_partial = received,
                                                                .sent = sent,
                                                                .receive_error = nothing_more,
                                                                .closed = closed,
                                                                .connection_error = broken};

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
    *(int *)user = fprintf(stderr, "http_server: %s\n", error->detail) != 0;
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
    if (argc != 2)
        return fprintf(stderr, "usage: http_server [ADDRESS]:PORT\n"), 2;
    if (taps_context_new(NULL, &context) || taps_security_parameters_new_disabled(&security) ||
        taps_framer_new_text("http:body-maximum=unlimited", &framer) ||
        taps_preconnection_new(context, &preconnection) || taps_preconnection_add_local_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_add_framer(preconnection, framer) ||
        taps_preconnection_listen(preconnection, &listener_events, &failure, &listener))
        return fprintf(stderr, "http_server: the address cannot be used\n"), 1;
    taps_context_run(context);
    taps_framer_free(framer);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return failure;
}
