/* embed_uv HOST:PORT [CAFILE]: a Connection in a libuv loop, beside a timer of the program's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>
#include <uv.h>

struct app {
    uv_loop_t loop;
    uv_poll_t poll; /* the whole context is one descriptor */
    uv_timer_t timer;
    taps_context *context;
    taps_connection *connection;
    int ticks, failure;
};

static void must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "embed_uv: %s: %s\n", what, taps_err_text(result));
        exit(1);
    }
}

static void must_uv(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "embed_uv: %s: %s\n", what, uv_strerror(result));
        exit(1);
    }
}

static void on_context(uv_poll_t *poll, int status, int events)
{
    struct app *app = poll->data;

    (void)events;
    must_uv(status, "poll");
    must(taps_context_dispatch(app->context), "dispatch");
}

static void on_tick(uv_timer_t *timer)
{
    ((struct app *)timer->data)->ticks++;
}

/* Without handles uv_run returns. */
static void finish(struct app *app)
{
    uv_close((uv_handle_t *)&app->poll, NULL);
    uv_close((uv_handle_t *)&app->timer, NULL);
}

static void ready(taps_connection *connection, void *user)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";

    (void)user;
    must(taps_connection_send(connection, request, strlen(request), NULL, 0, NULL), "send");
    must(taps_connection_receive(connection, 1, SIZE_MAX, NULL), "receive");
}

static void received(taps_connection *connection, const struct taps_received *part, void *user)
{
    (void)user;
    fwrite(part->data, 1, part->length, stdout);
    if (part->final)
        must(taps_connection_close(connection), "close");
    else
        must(taps_connection_receive(connection, 1, SIZE_MAX, NULL), "receive");
}

/* What comes after the first error only follows from it. */
static void tell(struct app *app, const struct taps_error *error)
{
    if (!app->failure)
        fprintf(stderr, "embed_uv: %s\n", error->detail);
    app->failure = 1;
}

static void cut_short(taps_connection *connection, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    tell(user, error);
    taps_connection_abort(connection);
}

static void closed(taps_connection *connection, void *user)
{
    (void)connection;
    finish(user);
}

static void failed(taps_connection *connection, const struct taps_error *error, void *user)
{
    tell(user, error);
    closed(connection, user);
}

static const struct taps_connection_events events = {
    .ready = ready,
    .establishment_error = failed,
    .received = received,
    .received_partial = received,
    .receive_error = cut_short,
    .send_error = cut_short,
    .closed = closed,
    .connection_error = failed,
};

static void start(struct app *app, const char *server, const char *cafile)
{
    taps_endpoint *remote;
    taps_security_parameters *security;
    taps_preconnection *preconnection;

    must(taps_remote_endpoint_new(&remote), "endpoint");
    must(taps_endpoint_with_text(remote, server), server);
    must(taps_security_parameters_new(&security), "security");
    if (cafile)
        must(taps_security_parameters_add_ca_file(security, cafile), cafile);
    must(taps_preconnection_new(app->context, &preconnection), "preconnection");
    must(taps_preconnection_add_remote(preconnection, remote), "remote");
    must(taps_preconnection_set_security_parameters(preconnection, security), "security");
    must(taps_preconnection_initiate(preconnection, 10000, &events, app, &app->connection), "initiate");
    taps_preconnection_free(preconnection);
    taps_security_parameters_free(security);
    taps_endpoint_free(remote);
}

int main(int argc, char **argv)
{
    struct app app = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: embed_uv HOST:PORT [CAFILE]\n");
        return 2;
    }
    must(taps_context_new(NULL, &app.context), "context");
    must_uv(uv_loop_init(&app.loop), "loop");
    must_uv(uv_poll_init(&app.loop, &app.poll, taps_context_fd(app.context)), "poll");
    must_uv(uv_timer_init(&app.loop, &app.timer), "timer");
    app.poll.data = app.timer.data = &app;
    must_uv(uv_poll_start(&app.poll, UV_READABLE, on_context), "poll");
    must_uv(uv_timer_start(&app.timer, on_tick, 0, 10), "timer");
    start(&app, argv[1], argc > 2 ? argv[2] : NULL);
    must_uv(uv_run(&app.loop, UV_RUN_DEFAULT), "run");

    fprintf(stderr, "the timer ticked %d times meanwhile\n", app.ticks);
    taps_connection_free(app.connection);
    must(taps_context_free(app.context), "context");
    must_uv(uv_loop_close(&app.loop), "loop");
    return fflush(stdout) || app.failure;
}
