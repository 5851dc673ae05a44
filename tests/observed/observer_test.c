/*
 * Does the observer complain? Events that the library would never send are put into its mouth, one misdeed a run, and
 * what the observer says of it is read. Without the harness of the other tests, whose checks would take that for their
 * own failure.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>
#include "base/test.h"
#include "connection/connection.h"

static char said[1000]; /* by the observer */

void tapsi_test_fail(const char *file, int line, const char *format, ...)
{
    size_t used = strlen(said);
    va_list ap;
    (void)file;
    (void)line;
    va_start(ap, format);
    vsnprintf(said + used, sizeof(said) - used, format, ap);
    va_end(ap);
}

/* ------------------------------------------------------------------------------------------- the application */

static void ignore(taps_connection *c, void *user)
{
    (void)c;
    (void)user;
}

static void ignore_tag(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    (void)user;
}

static void ignore_tag_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    (void)user;
}

static void ignore_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    (void)user;
}

static void ignore_data(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)c;
    (void)m;
    (void)user;
}

static const struct taps_connection_events events = {.ready = ignore,
                                                     .establishment_error = ignore_error,
                                                     .sent = ignore_tag,
                                                     .expired = ignore_tag,
                                                     .send_error = ignore_tag_error,
                                                     .received = ignore_data,
                                                     .received_partial = ignore_data,
                                                     .receive_error = ignore_tag_error,
                                                     .soft_error = ignore_error,
                                                     .path_change = ignore,
                                                     .closed = ignore,
                                                     .connection_error = ignore_error};

/* ----------------------------------------------------------------------------------------------- misdeeds */

static char first, second, third;

static void told(taps_connection *c, void *tag)
{
    c->events->sent(c, tag, c->user);
}

/* Received, of any Receive that waits with this tag. */
static void received(taps_connection *c, void *tag)
{
    struct taps_received m = {.data = "x", .length = 1, .tag = tag, .end_of_message = true};
    c->events->received(c, &m, c->user);
}

static void in_order(taps_connection *c)
{
    told(c, &first);
    told(c, &second);
    told(c, &third);
}

static void out_of_order(taps_connection *c)
{
    told(c, &first);
    told(c, &third);
}

static void failed_before(taps_connection *c)
{
    struct taps_error error = {.code = TAPS_E_ABORTED, .reason = taps_err_reason(TAPS_E_ABORTED), .detail = "no"};
    c->events->send_error(c, &third, &error, c->user);
    told(c, &first);
    told(c, &second);
}

static void sent_twice(taps_connection *c)
{
    told(c, &first);
    told(c, &first);
}

static void ready_twice(taps_connection *c)
{
    c->events->ready(c, c->user);
}

static void second_receive_first(taps_connection *c)
{
    received(c, &second);
}

static void closed_too_early(taps_connection *c)
{
    uint8_t state = c->state;
    c->state = TAPS_CLOSED;
    c->events->closed(c, c->user);
    c->state = state;
}

static void closed_while_open(taps_connection *c)
{
    in_order(c);
    received(c, &first);
    received(c, &second);
    c->events->closed(c, c->user);
}

static void closed_and_then(taps_connection *c)
{
    uint8_t state = c->state;
    in_order(c);
    received(c, &first);
    received(c, &second);
    c->state = TAPS_CLOSED;
    c->events->closed(c, c->user);
    c->events->path_change(c, c->user);
    c->state = state;
}

static const struct misdeed {
    const char *name;
    void (*commit)(taps_connection *c);
    const char *complaint; /* NULL: it is none */
    bool urgent;           /* one of the Messages has a context, and so perhaps a priority */
} misdeeds[] = {
    {"Sent in the order of the Sends is no misdeed", in_order, NULL, false},
    {"Sent of a later Message before an earlier one's", out_of_order, "Sent came before that of a Message", false},
    {"a SendError may come before an earlier Message's Sent", failed_before, NULL, false},
    {"a Message with a context may overtake", out_of_order, NULL, true},
    {"Sent twice", sent_twice, "has a tag that no Send has", false},
    {"Ready twice", ready_twice, "Ready came twice", false},
    {"a later Receive answered first", second_receive_first, "answers another Receive", false},
    {"Closed while Sends and Receives wait", closed_too_early, "Closed came before every Send", false},
    {"Closed in a state that is not", closed_while_open, "not Closed", false},
    {"an event after the last", closed_and_then, "PathChange came after the last event", false},
};

/* ------------------------------------------------------------------------------------------------- a run */

struct run {
    taps_connection *connection;
    const struct misdeed *misdeed;
};

static void commit(void *arg)
{
    const struct run *run = arg;
    run->misdeed->commit(run->connection);
}

static void send_all(taps_connection *c, bool urgent)
{
    taps_message_context *context = NULL;
    if (urgent && taps_message_context_new(&context))
        abort();
    taps_connection_start_batch(c); /* so that the library tells nothing of them by itself */
    taps_connection_send(c, "1", 1, NULL, 0, &first);
    taps_connection_send(c, "2", 1, NULL, 0, &second);
    taps_connection_send(c, "3", 1, context, 0, &third);
    taps_connection_receive(c, 1, 10, &first);
    taps_connection_receive(c, 1, 10, &second);
    taps_message_context_free(context);
}

static taps_connection *open_one(taps_context *context)
{
    taps_preconnection *p;
    taps_security_parameters *none;
    taps_transport_properties *datagrams;
    taps_connection *c = NULL;
    taps_preconnection_new(context, &p);
    taps_security_parameters_new_disabled(&none);
    taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &datagrams);
    taps_preconnection_set_security_parameters(p, none);
    taps_preconnection_set_transport_properties(p, datagrams);
    taps_preconnection_add_remote_text(p, "127.0.0.1:9");
    if (taps_preconnection_initiate(p, 5000, &events, NULL, &c))
        abort();
    taps_transport_properties_free(datagrams);
    taps_security_parameters_free(none);
    taps_preconnection_free(p);
    return c;
}

static bool complains(const struct misdeed *misdeed)
{
    taps_context *context;
    struct run run = {.misdeed = misdeed};
    if (taps_context_new(NULL, &context))
        abort();
    said[0] = '\0';
    run.connection = open_one(context);
    for (int i = 0; i < 100 && taps_connection_state(run.connection) != TAPS_ESTABLISHED; i++)
        taps_context_run_once(context, 10);
    taps_context_run_once(context, 0);
    send_all(run.connection, misdeed->urgent);
    bool quiet = !said[0];
    taps_context_post(context, commit, &run);
    taps_context_run_once(context, 10);
    bool right = quiet && (misdeed->complaint ? strstr(said, misdeed->complaint) != NULL : !said[0]);
    if (!right)
        printf("# it said: %s\n", said);
    taps_connection_free(run.connection);
    taps_context_free(context);
    return right;
}

int main(void)
{
    unsigned count = sizeof(misdeeds) / sizeof(misdeeds[0]), wrong = 0;
    printf("1..%u\n", count);
    for (unsigned i = 0; i < count; i++) {
        bool ok = complains(&misdeeds[i]);
        printf("%sok %u - %s\n", ok ? "" : "not ", i + 1, misdeeds[i].name);
        wrong += !ok;
    }
    return wrong != 0;
}
