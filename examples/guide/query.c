/* query HOST:PORT TEXT: one datagram there, one back; asked again every 300 ms, five times at most. */
#include <stdio.h>
#include <string.h>
#include <taps/taps.h>

struct query {
    taps_context *context;
    taps_connection *connection;
    taps_timer *timer;
    const char *text;
    int tries, result;
};

static void ask(void *user)
{
    struct query *q = user;
    q->timer = NULL;
    if (q->tries++ == 5) {
        fprintf(stderr, "query: no answer\n");
        taps_connection_close(q->connection);
        return;
    }
    taps_connection_send(q->connection, q->text, strlen(q->text), NULL, 0, NULL);
    taps_context_after(q->context, 300, ask, q, &q->timer);
}

static void ready(taps_connection *c, void *user)
{
    taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL); /* one whole Message */
    ask(user);
}

static void received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct query *q = user;
    printf("%.*s\n", (int)m->length, (const char *)m->data);
    q->result = 0;
    if (q->timer)
        taps_timer_cancel(q->timer);
    q->timer = NULL;
    taps_connection_close(c);
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    struct query *q = user;
    fprintf(stderr, "query: %s\n", error->detail);
    if (q->timer)
        taps_timer_cancel(q->timer);
    q->timer = NULL;
    taps_connection_free(c);
}

static const struct taps_connection_events events = {
    .ready = ready, .received = received, .establishment_error = failed, .connection_error = failed};

int main(int argc, char **argv)
{
    struct query q = {.result = 1};
    taps_preconnection *preconnection = NULL;
    if (argc != 3)
        return fprintf(stderr, "usage: query HOST:PORT TEXT\n"), 2;
    q.text = argv[2];
    /* [datagrams] */
    taps_transport_properties *properties = NULL;
    taps_security_parameters *security = NULL;
    int err = taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &properties);
    if (!err) /* every Message of ours may arrive twice */
        err = taps_transport_properties_set_boolean(properties, TAPS_SAFELY_REPLAYABLE, true);
    if (!err) /* and is worth nothing after a second */
        err = taps_transport_properties_set_number(properties, TAPS_MSG_LIFETIME, 1.0);
    if (!err)
        err = taps_security_parameters_new_disabled(&security); /* udp has none, so it is said aloud */
    /* [/datagrams] */
    if (!err)
        err = taps_context_new(NULL, &q.context);
    if (!err)
        err = taps_preconnection_new(q.context, &preconnection);
    if (!err)
        err = taps_preconnection_add_remote_text(preconnection, argv[1]);
    if (!err)
        err = taps_preconnection_set_transport_properties(preconnection, properties);
    if (!err)
        err = taps_preconnection_set_security_parameters(preconnection, security);
    if (!err)
        err = taps_preconnection_initiate(preconnection, 5000, &events, &q, &q.connection);
    if (err)
        fprintf(stderr, "query: %s\n", taps_err_text(err));
    else
        taps_context_run(q.context);
    taps_transport_properties_free(properties);
    taps_security_parameters_free(security);
    taps_context_free(q.context);
    return err ? 1 : q.result;
}
