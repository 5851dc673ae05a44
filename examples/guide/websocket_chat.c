/* websocket_chat HOST:PORT CAFILE FRAMER TEXT...: says each TEXT over WebSocket, and prints one answer to each. CAFILE
   "-": in clear. FRAMER: "websocket:path=/chat,protocol=chat". */
#include <stdio.h>
#include <string.h>
#include <taps/framer.h>

struct chat {
    taps_message_context *as_text;
    char **texts; /* that are not said yet; NULL behind the last */
    int result;
};

/* [chat] */
static void say_next(taps_connection *c, struct chat *chat)
{
    const char *text = *chat->texts++;
    taps_connection_send(c, text, strlen(text), chat->as_text, 0, NULL);
    taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL); /* whole Messages */
}

static void ready(taps_connection *c, void *user)
{
    say_next(c, user);
}

static void received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct chat *chat = user;
    printf("%.*s\n", (int)m->length, (const char *)m->data);
    if (*chat->texts)
        say_next(c, chat);
    else
        taps_connection_close(c); /* Close goes to the server, and closed comes when it has answered */
}

/* The server has closed, which the Connection then does by itself. */
static void nothing_more(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)user;
    fprintf(stderr, "websocket_chat: %s\n", error->detail);
}
/* [/chat] */

static void closed(taps_connection *c, void *user)
{
    ((struct chat *)user)->result = 0;
    taps_connection_free(c);
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)user;
    fprintf(stderr, "websocket_chat: %s\n", error->detail);
    taps_connection_free(c);
}

static const struct taps_connection_events events = {.ready = ready,
                                                     .received = received,
                                                     .receive_error = nothing_more,
                                                     .closed = closed,
                                                     .establishment_error = failed,
                                                     .connection_error = failed};

static int security_of(const char *authorities, taps_security_parameters **ret_security)
{
    if (strcmp(authorities, "-") == 0)
        return taps_security_parameters_new_disabled(ret_security);
    int err = taps_security_parameters_new(ret_security);
    if (!err)
        err = taps_security_parameters_add_ca_file(*ret_security, authorities);
    return err ? err : taps_security_parameters_add_alpn(*ret_security, "http/1.1");
}

int main(int argc, char **argv)
{
    struct chat chat = {.result = 1};
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    taps_framer *framer = NULL;
    taps_connection *connection;
    if (argc < 5)
        return fprintf(stderr, "usage: websocket_chat HOST:PORT CAFILE FRAMER TEXT...\n"), 2;
    chat.texts = argv + 4;
    if (taps_context_new(NULL, &context) || security_of(argv[2], &security) ||
        taps_message_context_new(&chat.as_text) ||
        taps_message_context_add_metadata(chat.as_text, "websocket", "type", "text") ||
        taps_framer_new_text(argv[3], &framer) || taps_preconnection_new(context, &preconnection) ||
        taps_preconnection_add_remote_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_add_framer(preconnection, framer) ||
        taps_preconnection_initiate(preconnection, 10000, &events, &chat, &connection))
        fprintf(stderr, "websocket_chat: the endpoint, the authorities or the Framer's options cannot be used\n");
    else
        taps_context_run(context);
    taps_framer_free(framer);
    taps_message_context_free(chat.as_text);
    taps_security_parameters_free(security);
    taps_context_free(context);
    return chat.result;
}
