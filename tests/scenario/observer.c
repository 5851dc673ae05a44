/*
 * One record for each Connection, Listener and Resolve, kept until its context is freed, because an event after free
 * is one of the things looked for. The application's events are called from ours; only those it has are set, so that
 * the library takes the same way as without us.
 */
#include "observer.h"

#include <stdlib.h>
#include <taps/taps.h>
#include "base/test.h"
#include "platform/sim/sim.h"

enum kind { CONNECTION, LISTENER, RESOLVE };

struct record {
    struct record *next;
    enum kind kind;
    const void *object, *context;
    bool freed, over;
    void *user;
    /* Connection */
    const struct taps_connection_events *events;
    struct taps_connection_events installed;
    bool initiated, ready, with_first, final;
    bool switched; /* other events were set in between: what was taken before may have been told to nobody */
    unsigned sends, sends_told, receives, receives_told;
    /* Listener */
    const struct taps_listener_events *listener_events;
    struct taps_listener_events listener_installed;
    bool listening;
    /* Resolve */
    taps_resolve_fn resolve_fn;
};

static _Thread_local struct record *records;
static _Thread_local const char *call; /* the one in progress */
static _Thread_local unsigned running, in_event, events_seen;

unsigned observer_events(void)
{
    return events_seen;
}

static void wrong(const struct record *r, const char *event, const char *what)
{
    static const char *const names[] = {"Connection", "Listener", "Resolve"};
    tapsi_test_fail("observer", 0, "%s %p: %s %s", names[r->kind], r->object, event, what);
}

/* ------------------------------------------------------------------------------------------------- records */

static struct record *add(enum kind kind, const void *object, const void *context, void *user)
{
    struct record *r = calloc(1, sizeof(*r));
    if (!r)
        abort();
    r->kind = kind;
    r->object = object;
    r->context = context;
    r->user = user;
    r->next = records;
    records = r;
    return r;
}

static struct record *find(enum kind kind, const void *object)
{
    for (struct record *r = records; r; r = r->next) {
        if (r->kind == kind && r->object == object && !r->freed)
            return r;
    }
    return NULL;
}

static void forget(const void *context)
{
    for (struct record **at = &records, *r; (r = *at);) {
        if (r->context == context) {
            *at = r->next;
            free(r);
        } else {
            at = &r->next;
        }
    }
}

/* ------------------------------------------------------------------------------------------- calls and time */

struct visit {
    const char *before;
    uint64_t time;
    bool simulated;
};

static struct visit enter(const char *name)
{
    struct visit v = {.before = call};
    int64_t wall;
    v.simulated = tapsi_sim_clock(&v.time, &wall);
    call = name;
    return v;
}

static void leave(struct visit v)
{
    uint64_t now;
    int64_t wall;
    if (v.simulated && tapsi_sim_clock(&now, &wall) && now != v.time)
        tapsi_test_fail("observer", 0, "%s took %llu ns of virtual time", call, (unsigned long long)(now - v.time));
    call = v.before;
}

/* What every event must keep; then the application is called. */
static void begin(const struct record *r, const char *event)
{
    events_seen++;
    if (call)
        tapsi_test_fail("observer", 0, "%s came inside %s", event, call);
    if (in_event)
        wrong(r, event, "came inside another event");
    if (!running)
        wrong(r, event, "came though nobody ran the context");
    if (r->freed)
        wrong(r, event, "came after free");
    else if (r->over)
        wrong(r, event, "came after the last event");
    in_event++;
}

static void end(void)
{
    in_event--;
}

/* --------------------------------------------------------------------------------------------- Connections */

static bool tells_sends(const struct record *r)
{
    return r->events->sent && r->events->expired && r->events->send_error;
}

static bool tells_receives(const struct record *r)
{
    return r->events->received && r->events->received_partial && r->events->receive_error;
}

static void begin_after_ready(const struct record *r, const char *event)
{
    begin(r, event);
    if (r->initiated && !r->ready && r->events->ready)
        wrong(r, event, "came before Ready");
}

static void on_ready(taps_connection *c, void *user)
{
    struct record *r = user;
    begin(r, "Ready");
    if (r->ready)
        wrong(r, "Ready", "came twice");
    if (!r->initiated)
        wrong(r, "Ready", "came on a Connection of a Listener");
    r->ready = true;
    r->events->ready(c, r->user);
    end();
}

static void last(struct record *r, const char *event, bool establishing)
{
    unsigned silent = establishing && r->with_first;
    r->over = true;
    if (r->switched)
        return;
    if (tells_sends(r) && r->sends_told != r->sends && r->sends_told + silent != r->sends)
        wrong(r, event, "came before every Send had its event");
    if (tells_receives(r) && r->receives_told != r->receives)
        wrong(r, event, "came before every Receive had its event");
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct record *r = user;
    begin(r, "EstablishmentError");
    if (r->ready || !r->initiated)
        wrong(r, "EstablishmentError", "came after the establishment");
    if (!error || !error->code || !error->detail || !error->detail[0] || error->reason != taps_err_reason(error->code))
        wrong(r, "EstablishmentError", "does not say why");
    last(r, "EstablishmentError", true);
    r->events->establishment_error(c, error, r->user);
    end();
}

static void told_send(struct record *r, const char *event)
{
    if (++r->sends_told > r->sends)
        wrong(r, event, "has no Send");
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct record *r = user;
    begin_after_ready(r, "Sent");
    told_send(r, "Sent");
    r->events->sent(c, tag, r->user);
    end();
}

static void on_expired(taps_connection *c, void *tag, void *user)
{
    struct record *r = user;
    begin(r, "Expired");
    told_send(r, "Expired");
    r->events->expired(c, tag, r->user);
    end();
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct record *r = user;
    begin(r, "SendError");
    if (!error || error->code >= 0)
        wrong(r, "SendError", "does not say why");
    told_send(r, "SendError");
    r->events->send_error(c, tag, error, r->user);
    end();
}

static void told_receive(struct record *r, const char *event)
{
    if (++r->receives_told > r->receives)
        wrong(r, event, "has no Receive");
}

static void begin_data(struct record *r, const char *event, const struct taps_received *m)
{
    begin_after_ready(r, event);
    told_receive(r, event);
    if (r->final)
        wrong(r, event, "came after the final Message");
    if (m->length && !m->data)
        wrong(r, event, "has no data");
    if (m->final && !m->end_of_message)
        wrong(r, event, "is final without being the end");
    r->final = m->final;
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct record *r = user;
    begin_data(r, "Received", m);
    if (!m->end_of_message)
        wrong(r, "Received", "is not whole");
    r->events->received(c, m, r->user);
    end();
}

static void on_received_partial(taps_connection *c, const struct taps_received *m, void *user)
{
    struct record *r = user;
    begin_data(r, "ReceivedPartial", m);
    r->events->received_partial(c, m, r->user);
    end();
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct record *r = user;
    begin(r, "ReceiveError");
    told_receive(r, "ReceiveError");
    r->events->receive_error(c, tag, error, r->user);
    end();
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct record *r = user;
    begin_after_ready(r, "SoftError");
    r->events->soft_error(c, error, r->user);
    end();
}

static void on_path_change(taps_connection *c, void *user)
{
    struct record *r = user;
    begin_after_ready(r, "PathChange");
    r->events->path_change(c, r->user);
    end();
}

static void on_closed(taps_connection *c, void *user)
{
    struct record *r = user;
    begin_after_ready(r, "Closed");
    last(r, "Closed", false);
    r->events->closed(c, r->user);
    end();
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct record *r = user;
    begin_after_ready(r, "ConnectionError");
    last(r, "ConnectionError", false);
    r->events->connection_error(c, error, r->user);
    end();
}

static const struct taps_connection_events *install(struct record *r, const struct taps_connection_events *events,
                                                    void *user)
{
    r->switched = r->sends || r->receives;
    r->events = events;
    r->user = user;
    if (!events)
        return NULL;
#define OURS(name) .name = events->name ? on_##name : NULL
    r->installed = (struct taps_connection_events){
        OURS(ready),    OURS(establishment_error), OURS(sent),          OURS(expired),    OURS(send_error),
        OURS(received), OURS(received_partial),    OURS(receive_error), OURS(soft_error), OURS(path_change),
        OURS(closed),   OURS(connection_error)};
#undef OURS
    return &r->installed;
}

/* ----------------------------------------------------------------------------------------------- Listeners */

static void on_listening(taps_listener *l, void *user)
{
    struct record *r = user;
    begin(r, "Listening");
    if (r->listening)
        wrong(r, "Listening", "came twice");
    r->listening = true;
    r->listener_events->listening(l, r->user);
    end();
}

static void on_connection_received(taps_listener *l, taps_connection *c, void *user)
{
    struct record *r = user;
    begin(r, "ConnectionReceived");
    if (r->listener_events->listening && !r->listening)
        wrong(r, "ConnectionReceived", "came before Listening");
    if (!c || taps_connection_state(c) != TAPS_ESTABLISHED)
        wrong(r, "ConnectionReceived", "has no Connection that is ready to use");
    r->listener_events->connection_received(l, c, r->user);
    end();
}

static void on_listener_error(taps_listener *l, const struct taps_error *error, void *user)
{
    struct record *r = user;
    begin(r, "the Listener's EstablishmentError");
    r->over = true;
    r->listener_events->establishment_error(l, error, r->user);
    end();
}

static void on_stopped(taps_listener *l, void *user)
{
    struct record *r = user;
    begin(r, "Stopped");
    r->over = true;
    r->listener_events->stopped(l, r->user);
    end();
}

static const struct taps_listener_events *install_listener(struct record *r, const struct taps_listener_events *events)
{
    r->listener_events = events;
    if (!events)
        return NULL;
    r->listener_installed = (struct taps_listener_events){
        .listening = events->listening ? on_listening : NULL,
        .connection_received = events->connection_received ? on_connection_received : NULL,
        .establishment_error = events->establishment_error ? on_listener_error : NULL,
        .stopped = events->stopped ? on_stopped : NULL};
    return &r->listener_installed;
}

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    struct record *r = user;
    begin(r, "Resolve's answer");
    r->over = true;
    r->resolve_fn(r->user, error, locals, local_count, remotes, remote_count);
    end();
}

/* ------------------------------------------------------------------------------- in front of the public functions */

/* The linker gives these their meaning: a call of taps_x goes to __wrap_taps_x, and __real_taps_x is the library's. */
#define WRAPPED(type, name, parameters)                                                                                \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters

WRAPPED(int, taps_context_run, (taps_context * context))
{
    running++;
    int err = __real_taps_context_run(context);
    running--;
    return err;
}

WRAPPED(int, taps_context_run_once, (taps_context * context, int timeout_ms))
{
    running++;
    int err = __real_taps_context_run_once(context, timeout_ms);
    running--;
    return err;
}

WRAPPED(int, taps_context_dispatch, (taps_context * context))
{
    running++;
    int err = __real_taps_context_dispatch(context);
    running--;
    return err;
}

WRAPPED(int, taps_context_free, (taps_context * context))
{
    struct visit v = enter("taps_context_free");
    int err = __real_taps_context_free(context);
    leave(v);
    if (!err && context)
        forget(context);
    return err;
}

WRAPPED(int, taps_preconnection_initiate,
        (taps_preconnection * p, uint64_t timeout_ms, const struct taps_connection_events *events, void *user,
         taps_connection **ret))
{
    struct record *r = add(CONNECTION, NULL, NULL, user);
    struct visit v = enter("taps_preconnection_initiate");
    r->initiated = true;
    int err = __real_taps_preconnection_initiate(p, timeout_ms, install(r, events, user), r, ret);
    leave(v);
    if (err) {
        forget(NULL);
        return err;
    }
    r->object = *ret;
    r->context = taps_connection_context(*ret);
    return 0;
}

WRAPPED(int, taps_preconnection_initiate_with_send,
        (taps_preconnection * p, uint64_t timeout_ms, const struct taps_connection_events *events, void *user,
         const void *data, size_t length, const taps_message_context *message, unsigned flags, void *tag,
         taps_connection **ret))
{
    struct record *r = add(CONNECTION, NULL, NULL, user);
    struct visit v = enter("taps_preconnection_initiate_with_send");
    r->initiated = r->with_first = true;
    int err = __real_taps_preconnection_initiate_with_send(p, timeout_ms, install(r, events, user), r, data, length,
                                                           message, flags, tag, ret);
    leave(v);
    if (err) {
        forget(NULL);
        return err;
    }
    r->sends = 1;
    r->object = *ret;
    r->context = taps_connection_context(*ret);
    return 0;
}

WRAPPED(int, taps_preconnection_listen,
        (taps_preconnection * p, const struct taps_listener_events *events, void *user, taps_listener **ret))
{
    struct record *r = add(LISTENER, NULL, NULL, user);
    struct visit v = enter("taps_preconnection_listen");
    int err = __real_taps_preconnection_listen(p, install_listener(r, events), r, ret);
    leave(v);
    if (err) {
        forget(NULL);
        return err;
    }
    r->object = *ret;
    r->context = taps_listener_context(*ret);
    return 0;
}

/* Which context a Preconnection belongs to cannot be asked, so this record stays until the program ends. */
WRAPPED(int, taps_preconnection_resolve, (taps_preconnection * p, uint64_t timeout_ms, taps_resolve_fn fn, void *user))
{
    struct record *r = add(RESOLVE, p, p, user);
    struct visit v = enter("taps_preconnection_resolve");
    r->resolve_fn = fn;
    int err = __real_taps_preconnection_resolve(p, timeout_ms, fn ? on_resolved : NULL, r);
    leave(v);
    return err;
}

WRAPPED(void, taps_connection_set_events,
        (taps_connection * c, const struct taps_connection_events *events, void *user))
{
    struct record *r = find(CONNECTION, c);
    if (c && !r)
        r = add(CONNECTION, c, taps_connection_context(c), user);
    struct visit v = enter("taps_connection_set_events");
    __real_taps_connection_set_events(c, r ? install(r, events, user) : NULL, r);
    leave(v);
}

WRAPPED(void *, taps_connection_user, (const taps_connection *c))
{
    const struct record *r = find(CONNECTION, c);
    return r ? r->user : __real_taps_connection_user(c);
}

WRAPPED(void, taps_connection_free, (taps_connection * c))
{
    struct record *r = c ? find(CONNECTION, c) : NULL;
    struct visit v = enter("taps_connection_free");
    if (r)
        r->freed = true;
    __real_taps_connection_free(c);
    leave(v);
}

WRAPPED(int, taps_connection_send,
        (taps_connection * c, const void *data, size_t length, const taps_message_context *message, unsigned flags,
         void *tag))
{
    struct record *r = find(CONNECTION, c);
    struct visit v = enter("taps_connection_send");
    int err = __real_taps_connection_send(c, data, length, message, flags, tag);
    leave(v);
    if (r && !err)
        r->sends++;
    return err;
}

WRAPPED(int, taps_connection_receive, (taps_connection * c, size_t min, size_t max, void *tag))
{
    struct record *r = find(CONNECTION, c);
    struct visit v = enter("taps_connection_receive");
    int err = __real_taps_connection_receive(c, min, max, tag);
    leave(v);
    if (r && !err)
        r->receives++;
    return err;
}

WRAPPED(int, taps_connection_end_batch, (taps_connection * c))
{
    struct visit v = enter("taps_connection_end_batch");
    int err = __real_taps_connection_end_batch(c);
    leave(v);
    return err;
}

WRAPPED(int, taps_connection_close, (taps_connection * c))
{
    struct visit v = enter("taps_connection_close");
    int err = __real_taps_connection_close(c);
    leave(v);
    return err;
}

WRAPPED(int, taps_connection_abort, (taps_connection * c))
{
    struct visit v = enter("taps_connection_abort");
    int err = __real_taps_connection_abort(c);
    leave(v);
    return err;
}

WRAPPED(int, taps_connection_set_property, (taps_connection * c, const char *name, const char *text))
{
    struct visit v = enter("taps_connection_set_property");
    int err = __real_taps_connection_set_property(c, name, text);
    leave(v);
    return err;
}

WRAPPED(int, taps_connection_get_properties, (taps_connection * c, taps_transport_properties **ret))
{
    struct visit v = enter("taps_connection_get_properties");
    int err = __real_taps_connection_get_properties(c, ret);
    leave(v);
    return err;
}

WRAPPED(int, taps_listener_stop, (taps_listener * l))
{
    struct visit v = enter("taps_listener_stop");
    int err = __real_taps_listener_stop(l);
    leave(v);
    return err;
}

WRAPPED(int, taps_listener_set_new_connection_limit, (taps_listener * l, uint64_t limit))
{
    struct visit v = enter("taps_listener_set_new_connection_limit");
    int err = __real_taps_listener_set_new_connection_limit(l, limit);
    leave(v);
    return err;
}

WRAPPED(void, taps_listener_free, (taps_listener * l))
{
    struct record *r = l ? find(LISTENER, l) : NULL;
    struct visit v = enter("taps_listener_free");
    if (r)
        r->freed = true;
    __real_taps_listener_free(l);
    leave(v);
}
