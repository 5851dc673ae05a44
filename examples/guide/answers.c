/* answers [ADDRESS]:PORT CERTIFICATE KEY: says in capitals what the program questions asks, and on a stream of its own,
 * where the protocol has streams, how many have asked so far. */
#include <ctype.h>
#include <stdio.h>
#include <taps/taps.h>

static int asked;

static int say(taps_connection *c, const void *text, size_t length)
{
    taps_message_context *last;
    int err = taps_message_context_new(&last);
    if (err)
        return err;
    err = taps_message_context_set(last, "final", "true");
    if (!err)
        err = taps_connection_send(c, text, length, last, 0, NULL);
    taps_message_context_free(last);
    return err;
}

/* The question ends with the Message that is final. A real server would put the parts together. */
static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    char text[1000];
    size_t length = part->length < sizeof(text) ? part->length : sizeof(text);
    (void)user;
    for (size_t i = 0; i < length; i++)
        text[i] = (char)toupper(((const unsigned char *)part->data)[i]);
    if (!part->final)
        taps_connection_send(c, text, length, NULL, 0, NULL);
    else
        say(c, text, length);
    if (part->final)
        taps_connection_close(c); /* delivers what was sent first */
    else
        taps_connection_receive(c, 1, sizeof(text), NULL);
}

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void broken(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    closed(c, user);
}

static const struct taps_connection_events events = {
    .received = received, .received_partial = received, .closed = closed, .connection_error = broken};

/* [clone] */
/* One stream more, which only this side writes to. Over TCP it is refused: only the client can open another Connection.
 */
static void tell_news(taps_connection *c)
{
    taps_transport_properties *properties;
    taps_connection *news;
    char text[64];
    if (taps_transport_properties_new(&properties))
        return;
    taps_transport_properties_set(properties, "direction", "unidirectional send");
    if (taps_connection_clone(c, NULL, properties, &events, NULL, &news) == 0) {
        say(news, text, (size_t)snprintf(text, sizeof(text), "%d have asked", ++asked));
        taps_connection_close(news);
    }
    taps_transport_properties_free(properties);
}

/* Each stream of a session comes here; the first of them is alone in its group. */
static void connection_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    taps_connection_set_events(c, &events, user);
    taps_connection_receive(c, 1, 1000, NULL);
    if (taps_connection_group_count(c) == 1)
        tell_news(c);
}
/* [/clone] */

static void listening(taps_listener *l, void *user)
{
    (void)user;
    printf("listening on port %u\n", taps_endpoint_port(taps_listener_local(l, 0)));
    fflush(stdout);
}

static void cannot_listen(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    *(int *)user = fprintf(stderr, "answers: %s\n", error->detail) != 0;
}

static const struct taps_listener_events listener_events = {listening, connection_received, cannot_listen, NULL};

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    taps_listener *listener;
    int failure = 0;
    if (argc != 4)
        return fprintf(stderr, "usage: answers [ADDRESS]:PORT CERTIFICATE KEY\n"), 2;
    if (taps_context_new(NULL, &context) || taps_security_parameters_new(&security) ||
        taps_security_parameters_add_server_certificate(security, argv[2], argv[3]) ||
        taps_security_parameters_add_alpn(security, "questions") || taps_preconnection_new(context, &preconnection) ||
        taps_preconnection_add_local_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_listen(preconnection, &listener_events, &failure, &listener))
        return fprintf(stderr, "answers: the address, the certificate or its key cannot be used\n"), 1;
    taps_context_run(context);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return failure;
}
