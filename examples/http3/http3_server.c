/* http3_server [ADDRESS]:PORT CERTIFICATE KEY FILE: answers every request over HTTP/3 with the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "h3.h"

struct page {
    char *bytes;
    size_t length;
    const char *type;
};

/* A request is over when its stream is: what it asks for does not matter here. */
static void answer(taps_connection *c, const struct page *page)
{
    uint8_t head[H3_HEAD_MAX + 16];
    taps_message_context *context;
    size_t length = h3_response(head, H3_HEAD_MAX, page->type, page->length);
    if (!length || taps_message_context_new(&context))
        return taps_connection_abort(c), (void)0;
    length += h3_frame(head + length, H3_DATA, page->length);
    taps_connection_send(c, head, length, NULL, TAPS_SEND_PARTIAL, NULL);
    taps_message_context_set(context, "final", "true");
    taps_connection_send(c, page->bytes, page->length, context, 0, NULL);
    taps_connection_close(c);
    taps_message_context_free(context);
}

static bool can_send(taps_connection *c)
{
    struct taps_value value;
    return taps_connection_get_value(c, TAPS_CAN_SEND, &value) == 0 && value.boolean;
}

static void received(taps_connection *c, const struct taps_received *part, void *user)
{
    if (part->end_of_message && can_send(c))
        answer(c, user);
    else if (!part->end_of_message)
        taps_connection_receive(c, 1, 65536, NULL);
}

static void closed(taps_connection *c, void *user)
{
    (void)user;
    taps_connection_free(c);
}

static void broken(taps_connection *c, const struct taps_error *error, void *user)
{
    fprintf(stderr, "http3_server: %s\n", error->detail);
    closed(c, user);
}

static const struct taps_connection_events events = {
    .received = received, .received_partial = received, .closed = closed, .connection_error = broken};

/* [streams] */
/* Each stream of each peer: a request, or a unidirectional one of HTTP/3's own, which is read and not minded. The first
   of a session is answered with our own control stream. */
static void connection_received(taps_listener *l, taps_connection *c, void *user)
{
    taps_connection *control;
    (void)l;
    taps_connection_set_events(c, &events, user);
    taps_connection_receive(c, 1, 65536, NULL);
    if (taps_connection_group_count(c) == 1)
        h3_open_control(c, &control);
}
/* [/streams] */

static void listening(taps_listener *l, void *user)
{
    (void)user;
    printf("listening on port %u\n", taps_endpoint_port(taps_listener_local(l, 0)));
    fflush(stdout);
}

static void cannot_listen(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    (void)user;
    fprintf(stderr, "http3_server: %s\n", error->detail);
}

static const struct taps_listener_events listener_events = {listening, connection_received, cannot_listen, NULL};

static int read_page(const char *path, struct page *page)
{
    FILE *file = fopen(path, "rb");
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    size_t name = strlen(path);
    if (size >= 0 && (page->bytes = malloc((size_t)size + 1)) && fseek(file, 0, SEEK_SET) == 0)
        page->length = fread(page->bytes, 1, (size_t)size, file);
    page->type = name > 5 && strcmp(path + name - 5, ".html") == 0 ? "text/html; charset=utf-8" : "text/plain";
    if (file)
        fclose(file);
    return page->bytes ? 0 : -1;
}

int main(int argc, char **argv)
{
    taps_context *context = NULL;
    taps_security_parameters *security = NULL;
    taps_preconnection *preconnection = NULL;
    taps_listener *listener;
    struct page page = {0};
    if (argc != 5)
        return fprintf(stderr, "usage: http3_server [ADDRESS]:PORT CERTIFICATE KEY FILE\n"), 2;
    if (read_page(argv[4], &page))
        return fprintf(stderr, "http3_server: %s cannot be read\n", argv[4]), 1;
    if (taps_context_new(NULL, &context) || taps_security_parameters_new(&security) ||
        taps_security_parameters_add_server_certificate(security, argv[2], argv[3]) ||
        taps_security_parameters_add_alpn(security, "h3") || taps_preconnection_new(context, &preconnection) ||
        taps_preconnection_add_local_text(preconnection, argv[1]) ||
        taps_preconnection_set_security_parameters(preconnection, security) ||
        taps_preconnection_listen(preconnection, &listener_events, &page, &listener))
        return fprintf(stderr, "http3_server: the address, the certificate or its key cannot be used\n"), 1;
    taps_context_run(context);
    taps_preconnection_free(preconnection);
    taps_security_parameters_free(security);
    taps_context_free(context);
    free(page.bytes);
    return 0;
}
