/* Listeners and Resolves under the observer. */
#include "parts.h"

static void on_listening(taps_listener *l, void *user)
{
    struct observer_record *r = user;
    observer_begin(r, "Listening");
    if (r->listening)
        observer_wrong(r, "Listening", "came twice");
    r->listening = true;
    r->listener_events->listening(l, r->user);
    observer_end();
}

static void on_connection_received(taps_listener *l, taps_connection *c, void *user)
{
    struct observer_record *r = user;
    observer_begin(r, "ConnectionReceived");
    if (r->listener_events->listening && !r->listening)
        observer_wrong(r, "ConnectionReceived", "came before Listening");
    if (!c || taps_connection_state(c) != TAPS_ESTABLISHED)
        observer_wrong(r, "ConnectionReceived", "has no Connection that is ready to use");
    if (r->allowed == 0)
        observer_wrong(r, "ConnectionReceived", "came beyond the limit of new Connections");
    r->allowed -= r->allowed != 0 && r->allowed != TAPS_INFINITE;
    if (observer_find(OBSERVER_CONNECTION, c))
        observer_wrong(r, "ConnectionReceived", "has a Connection that was there before");
    else
        observer_add(OBSERVER_CONNECTION, c, taps_listener_context(l), NULL);
    r->listener_events->connection_received(l, c, r->user);
    observer_end();
}

static void on_listener_error(taps_listener *l, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    observer_begin(r, "the Listener's EstablishmentError");
    if (!error || !error->code || !error->detail || !error->detail[0])
        observer_wrong(r, "EstablishmentError", "does not say why");
    r->over = true;
    r->listener_events->establishment_error(l, error, r->user);
    observer_end();
}

static void on_stopped(taps_listener *l, void *user)
{
    struct observer_record *r = user;
    observer_begin(r, "Stopped");
    r->over = true;
    r->listener_events->stopped(l, r->user);
    observer_end();
}

static const struct taps_listener_events *install(struct observer_record *r, const struct taps_listener_events *events)
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

WRAPPED(int, taps_preconnection_listen,
        (taps_preconnection * p, const struct taps_listener_events *events, void *user, taps_listener **ret))
{
    struct observer_record *r = observer_add(OBSERVER_LISTENER, NULL, NULL, user);
    struct observer_visit v = observer_enter("taps_preconnection_listen");
    int err = __real_taps_preconnection_listen(p, install(r, events), r, ret);
    observer_leave(v);
    if (err) {
        observer_refused(ret);
        observer_drop(r);
    } else {
        observer_bind(r, *ret, taps_listener_context(*ret));
    }
    return err;
}

WRAPPED(int, taps_listener_stop, (taps_listener * l))
{
    struct observer_visit v = observer_enter("taps_listener_stop");
    int err = __real_taps_listener_stop(l);
    observer_leave(v);
    return err;
}

WRAPPED(int, taps_listener_set_new_connection_limit, (taps_listener * l, uint64_t limit))
{
    struct observer_record *r = observer_find(OBSERVER_LISTENER, l);
    struct observer_visit v = observer_enter("taps_listener_set_new_connection_limit");
    int err = __real_taps_listener_set_new_connection_limit(l, limit);
    observer_leave(v);
    if (r && !err)
        r->allowed = limit;
    return err;
}

WRAPPED(void, taps_listener_free, (taps_listener * l))
{
    struct observer_record *r = observer_find(OBSERVER_LISTENER, l);
    struct observer_visit v = observer_enter("taps_listener_free");
    observer_retire(r, OBSERVER_LISTENER, l);
    __real_taps_listener_free(l);
    observer_leave(v);
}

/* ------------------------------------------------------------------------------------------------- Resolves */

static void on_resolved(void *user, const struct taps_error *error, const taps_endpoint *const *locals,
                        size_t local_count, const taps_endpoint *const *remotes, size_t remote_count)
{
    struct observer_record *r = user;
    observer_begin(r, "Resolve's answer");
    if (error && (!error->code || !error->detail || !error->detail[0]))
        observer_wrong(r, "Resolve's answer", "does not say why");
    r->over = true;
    r->resolve_fn(r->user, error, locals, local_count, remotes, remote_count);
    observer_end();
}

/* Which context a Preconnection belongs to cannot be asked, so this record stays until the program ends. */
WRAPPED(int, taps_preconnection_resolve, (taps_preconnection * p, uint64_t timeout_ms, taps_resolve_fn fn, void *user))
{
    struct observer_record *r = observer_add(OBSERVER_RESOLVE, p, p, user);
    struct observer_visit v = observer_enter("taps_preconnection_resolve");
    r->resolve_fn = fn;
    int err = __real_taps_preconnection_resolve(p, timeout_ms, fn ? on_resolved : NULL, r);
    observer_leave(v);
    return err;
}
