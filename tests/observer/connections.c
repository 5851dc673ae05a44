/* Connections under the observer: their events, and the calls that take operations. */
#include <stdlib.h>
#include "base/test.h"
#include "parts.h"

static bool tells_sends(const struct observer_record *r)
{
    return r->events && r->events->sent && r->events->expired && r->events->send_error;
}

static bool tells_receives(const struct observer_record *r)
{
    return r->events && r->events->received && r->events->received_partial && r->events->receive_error;
}

/* ------------------------------------------------------------------------------------------------------ tags */

static void push(struct observer_tags *tags, void *tag)
{
    if (tags->first + tags->count == tags->capacity) {
        size_t capacity = 2 * tags->count + 16;
        void **items = malloc(capacity * sizeof(*items));
        if (!items)
            abort();
        for (size_t i = 0; i < tags->count; i++)
            items[i] = tags->items[tags->first + i];
        free(tags->items);
        *tags = (struct observer_tags){.items = items, .count = tags->count, .capacity = capacity};
    }
    tags->items[tags->first + tags->count++] = tag;
}

/* The place of this tag among those that wait, or their number. */
static size_t place_of(const struct observer_tags *tags, const void *tag)
{
    size_t i = 0;
    while (i < tags->count && tags->items[tags->first + i] != tag)
        i++;
    return i;
}

static void remove_at(struct observer_tags *tags, size_t place)
{
    void **at = tags->items + tags->first;
    for (; place > 0; place--)
        at[place] = at[place - 1];
    tags->first++;
    tags->count--;
}

static void told_send(struct observer_record *r, const char *event, const void *tag, bool sent)
{
    if (++r->sends_told > r->sends)
        observer_wrong(r, event, "has no Send");
    if (r->switched || !tells_sends(r))
        return;
    size_t place = place_of(&r->send_tags, tag);
    if (place == r->send_tags.count)
        observer_wrong(r, event, "has a tag that no Send has which waits");
    else if (sent && place && !r->unordered)
        observer_wrong(r, event, "came before that of a Message which was sent earlier");
    if (place < r->send_tags.count)
        remove_at(&r->send_tags, place);
}

static void told_receive(struct observer_record *r, const char *event, const void *tag)
{
    if (++r->receives_told > r->receives)
        observer_wrong(r, event, "has no Receive");
    if (r->switched || !tells_receives(r))
        return;
    size_t place = place_of(&r->receive_tags, tag);
    if (place)
        observer_wrong(r, event, "answers another Receive than the first that waits");
    if (place < r->receive_tags.count)
        remove_at(&r->receive_tags, place);
}

/* ---------------------------------------------------------------------------------------------------- events */

/* A Connection is Establishing, Established, Closing, Closed, and never goes back. */
static void begin(struct observer_record *r, const taps_connection *c, const char *event)
{
    observer_begin(r, event);
    if (r->freed)
        return;
    int state = taps_connection_state(c);
    if (state < r->state)
        observer_wrong(r, event, "came in a state before the one it had");
    r->state = state;
}

static void begin_after_ready(struct observer_record *r, const taps_connection *c, const char *event)
{
    begin(r, c, event);
    if (r->initiated && !r->ready && r->events->ready)
        observer_wrong(r, event, "came before Ready");
    if (!r->freed && r->state == TAPS_ESTABLISHING)
        observer_wrong(r, event, "came while Establishing");
}

static void on_ready(taps_connection *c, void *user)
{
    struct observer_record *r = user;
    begin(r, c, "Ready");
    if (r->ready)
        observer_wrong(r, "Ready", "came twice");
    if (!r->initiated)
        observer_wrong(r, "Ready", "came on a Connection of a Listener");
    if (r->state == TAPS_ESTABLISHING)
        observer_wrong(r, "Ready", "came while Establishing");
    r->ready = true;
    r->events->ready(c, r->user);
    observer_end();
}

static void last(struct observer_record *r, const char *event, bool establishing)
{
    unsigned silent = establishing && r->with_first;
    if (!r->freed && r->state != TAPS_CLOSED)
        observer_wrong(r, event, "came on a Connection that is not Closed");
    r->over = true;
    if (r->switched)
        return;
    if (tells_sends(r) && r->sends_told != r->sends && r->sends_told + silent != r->sends)
        observer_wrong(r, event, "came before every Send had its event");
    if (tells_receives(r) && r->receives_told != r->receives)
        observer_wrong(r, event, "came before every Receive had its event");
}

static void check_error(const struct observer_record *r, const char *event, const struct taps_error *error)
{
    if (!error || error->code >= 0 || !error->detail || !error->detail[0] ||
        error->reason != taps_err_reason(error->code))
        observer_wrong(r, event, "does not say why");
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    begin(r, c, "EstablishmentError");
    if (r->ready || !r->initiated)
        observer_wrong(r, "EstablishmentError", "came after the establishment");
    check_error(r, "EstablishmentError", error);
    last(r, "EstablishmentError", true);
    r->events->establishment_error(c, error, r->user);
    observer_end();
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct observer_record *r = user;
    begin_after_ready(r, c, "Sent");
    told_send(r, "Sent", tag, true);
    r->events->sent(c, tag, r->user);
    observer_end();
}

static void on_expired(taps_connection *c, void *tag, void *user)
{
    struct observer_record *r = user;
    begin(r, c, "Expired");
    told_send(r, "Expired", tag, false);
    r->events->expired(c, tag, r->user);
    observer_end();
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    begin(r, c, "SendError");
    check_error(r, "SendError", error);
    told_send(r, "SendError", tag, false);
    r->events->send_error(c, tag, error, r->user);
    observer_end();
}

static void begin_data(struct observer_record *r, const taps_connection *c, const char *event,
                       const struct taps_received *m)
{
    begin_after_ready(r, c, event);
    told_receive(r, event, m->tag);
    if (r->final)
        observer_wrong(r, event, "came after the final Message");
    if (r->closing || r->aborted)
        observer_wrong(r, event, "came after Close or Abort");
    if (m->length && !m->data)
        observer_wrong(r, event, "has no data");
    if (m->final && !m->end_of_message)
        observer_wrong(r, event, "is final without being the end");
    r->final = m->final;
}

static void on_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct observer_record *r = user;
    begin_data(r, c, "Received", m);
    if (!m->end_of_message)
        observer_wrong(r, "Received", "is not whole");
    r->events->received(c, m, r->user);
    observer_end();
}

static void on_received_partial(taps_connection *c, const struct taps_received *m, void *user)
{
    struct observer_record *r = user;
    begin_data(r, c, "ReceivedPartial", m);
    r->events->received_partial(c, m, r->user);
    observer_end();
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    begin(r, c, "ReceiveError");
    check_error(r, "ReceiveError", error);
    told_receive(r, "ReceiveError", tag);
    r->events->receive_error(c, tag, error, r->user);
    observer_end();
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    begin_after_ready(r, c, "SoftError");
    r->events->soft_error(c, error, r->user);
    observer_end();
}

static void on_path_change(taps_connection *c, void *user)
{
    struct observer_record *r = user;
    begin_after_ready(r, c, "PathChange");
    r->events->path_change(c, r->user);
    observer_end();
}

static void on_closed(taps_connection *c, void *user)
{
    struct observer_record *r = user;
    begin_after_ready(r, c, "Closed");
    if (r->aborted)
        observer_wrong(r, "Closed", "came after Abort");
    last(r, "Closed", false);
    r->events->closed(c, r->user);
    observer_end();
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    begin_after_ready(r, c, "ConnectionError");
    check_error(r, "ConnectionError", error);
    if (r->aborted && error->code != TAPS_E_LOCAL_ABORT)
        observer_wrong(r, "ConnectionError", "after Abort says something else");
    last(r, "ConnectionError", false);
    r->events->connection_error(c, error, r->user);
    observer_end();
}

static void on_clone_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct observer_record *r = user;
    begin(r, c, "CloneError");
    check_error(r, "CloneError", error);
    r->events->clone_error(c, error, r->user);
    observer_end();
}

static void on_connection_received(taps_connection *c, taps_connection *stream, void *user)
{
    struct observer_record *r = user;
    begin_after_ready(r, c, "ConnectionReceived");
    if (!stream || taps_connection_state(stream) != TAPS_ESTABLISHED)
        observer_wrong(r, "ConnectionReceived", "has no Connection that is ready to use");
    if (observer_find(OBSERVER_CONNECTION, stream))
        observer_wrong(r, "ConnectionReceived", "has a Connection that was there before");
    else
        observer_add(OBSERVER_CONNECTION, stream, taps_connection_context(c), NULL);
    bool member = false;
    for (const taps_connection *m = NULL; (m = taps_connection_group_next(c, m));)
        member = member || m == stream;
    if (!member)
        observer_wrong(r, "ConnectionReceived", "has a Connection of another group");
    r->events->connection_received(c, stream, r->user);
    observer_end();
}

static const struct taps_connection_events *install(struct observer_record *r,
                                                    const struct taps_connection_events *events, void *user)
{
    r->switched = r->sends || r->receives;
    r->events = events;
    r->user = user;
    if (!events)
        return NULL;
#define OURS(name) .name = events->name ? on_##name : NULL
    r->installed = (struct taps_connection_events){OURS(ready),
                                                   OURS(establishment_error),
                                                   OURS(sent),
                                                   OURS(expired),
                                                   OURS(send_error),
                                                   OURS(received),
                                                   OURS(received_partial),
                                                   OURS(receive_error),
                                                   OURS(soft_error),
                                                   OURS(path_change),
                                                   OURS(closed),
                                                   OURS(connection_error),
                                                   OURS(clone_error),
                                                   OURS(connection_received)};
#undef OURS
    return &r->installed;
}

/* ----------------------------------------------------------------------------------------------------- calls */

WRAPPED(int, taps_preconnection_initiate,
        (taps_preconnection * p, uint64_t timeout_ms, const struct taps_connection_events *events, void *user,
         taps_connection **ret))
{
    struct observer_record *r = observer_add(OBSERVER_CONNECTION, NULL, NULL, user);
    struct observer_visit v = observer_enter("taps_preconnection_initiate");
    r->initiated = true;
    int err = __real_taps_preconnection_initiate(p, timeout_ms, install(r, events, user), r, ret);
    observer_leave(v);
    if (err) {
        observer_refused(ret);
        observer_drop(r);
    } else {
        observer_bind(r, *ret, taps_connection_context(*ret));
    }
    return err;
}

WRAPPED(int, taps_preconnection_initiate_with_send,
        (taps_preconnection * p, uint64_t timeout_ms, const struct taps_connection_events *events, void *user,
         const void *data, size_t length, const taps_message_context *message, unsigned flags, void *tag,
         taps_connection **ret))
{
    struct observer_record *r = observer_add(OBSERVER_CONNECTION, NULL, NULL, user);
    struct observer_visit v = observer_enter("taps_preconnection_initiate_with_send");
    r->initiated = r->with_first = true;
    r->unordered = message;
    int err = __real_taps_preconnection_initiate_with_send(p, timeout_ms, install(r, events, user), r, data, length,
                                                           message, flags, tag, ret);
    observer_leave(v);
    if (err) {
        observer_refused(ret);
        observer_drop(r);
        return err;
    }
    r->sends = 1;
    push(&r->send_tags, tag);
    observer_bind(r, *ret, taps_connection_context(*ret));
    return 0;
}

WRAPPED(int, taps_connection_clone,
        (taps_connection * c, const taps_framer *framer, const taps_transport_properties *properties,
         const struct taps_connection_events *events, void *user, taps_connection **ret))
{
    struct observer_record *r = observer_add(OBSERVER_CONNECTION, NULL, NULL, user);
    struct observer_visit v = observer_enter("taps_connection_clone");
    r->initiated = true;
    int err = __real_taps_connection_clone(c, framer, properties, install(r, events, user), r, ret);
    observer_leave(v);
    if (err) {
        observer_refused(ret);
        observer_drop(r);
    } else {
        observer_bind(r, *ret, taps_connection_context(*ret));
        if (taps_connection_state(*ret) != TAPS_ESTABLISHING)
            observer_wrong(r, "Clone", "gave a Connection that is not Establishing");
        if (taps_connection_group_count(*ret) < 2)
            observer_wrong(r, "Clone", "gave a Connection that is in no group");
    }
    return err;
}

WRAPPED(void, taps_connection_set_events,
        (taps_connection * c, const struct taps_connection_events *events, void *user))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    if (c && !r)
        r = observer_add(OBSERVER_CONNECTION, c, taps_connection_context(c), user);
    struct observer_visit v = observer_enter("taps_connection_set_events");
    __real_taps_connection_set_events(c, r ? install(r, events, user) : NULL, r);
    observer_leave(v);
}

WRAPPED(void *, taps_connection_user, (const taps_connection *c))
{
    const struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    return r ? r->user : __real_taps_connection_user(c);
}

WRAPPED(void, taps_connection_free, (taps_connection * c))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_free");
    observer_retire(r, OBSERVER_CONNECTION, c);
    __real_taps_connection_free(c);
    observer_leave(v);
}

/* What has a context may overtake, or be overtaken. */
static int sent_or_refused(struct observer_record *r, struct observer_visit v, int err,
                           const taps_message_context *message, void *tag)
{
    observer_leave(v);
    if (r && !err) {
        r->sends++;
        r->unordered = r->unordered || message;
        push(&r->send_tags, tag);
        if (r->over)
            observer_wrong(r, "Send", "was taken after the last event");
    }
    return err;
}

WRAPPED(int, taps_connection_send,
        (taps_connection * c, const void *data, size_t length, const taps_message_context *message, unsigned flags,
         void *tag))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_send");
    return sent_or_refused(r, v, __real_taps_connection_send(c, data, length, message, flags, tag), message, tag);
}

WRAPPED(int, taps_connection_sendv,
        (taps_connection * c, const struct iovec *pieces, size_t count, const taps_message_context *message,
         unsigned flags, void *tag))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_sendv");
    return sent_or_refused(r, v, __real_taps_connection_sendv(c, pieces, count, message, flags, tag), message, tag);
}

WRAPPED(int, taps_connection_send_lent,
        (taps_connection * c, const struct iovec *pieces, size_t count, const taps_message_context *message,
         unsigned flags, void *tag, void (*release)(void *arg), void *arg))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_send_lent");
    int err = __real_taps_connection_send_lent(c, pieces, count, message, flags, tag, release, arg);
    return sent_or_refused(r, v, err, message, tag);
}

WRAPPED(int, taps_connection_send_buffer,
        (taps_connection * c, taps_buffer *buffer, const taps_message_context *message, unsigned flags, void *tag))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_send_buffer");
    return sent_or_refused(r, v, __real_taps_connection_send_buffer(c, buffer, message, flags, tag), message, tag);
}

WRAPPED(int, taps_connection_receive, (taps_connection * c, size_t min, size_t max, void *tag))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_receive");
    int err = __real_taps_connection_receive(c, min, max, tag);
    observer_leave(v);
    if (r && !err) {
        r->receives++;
        push(&r->receive_tags, tag);
        if (r->over)
            observer_wrong(r, "Receive", "was taken after the last event");
    }
    return err;
}

WRAPPED(int, taps_connection_end_batch, (taps_connection * c))
{
    struct observer_visit v = observer_enter("taps_connection_end_batch");
    int err = __real_taps_connection_end_batch(c);
    observer_leave(v);
    return err;
}

WRAPPED(int, taps_connection_close, (taps_connection * c))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_close");
    int err = __real_taps_connection_close(c);
    observer_leave(v);
    if (r && !err)
        r->closing = true;
    return err;
}

WRAPPED(int, taps_connection_abort, (taps_connection * c))
{
    struct observer_record *r = observer_find(OBSERVER_CONNECTION, c);
    struct observer_visit v = observer_enter("taps_connection_abort");
    int err = __real_taps_connection_abort(c);
    observer_leave(v);
    if (r && !err)
        r->aborted = true;
    return err;
}

/* One that has failed already and not said so yet is as it was: hence their states. */
static void mark_closing(taps_connection *c)
{
    for (taps_connection *m = NULL; (m = taps_connection_group_next(c, m));) {
        struct observer_record *r = observer_find(OBSERVER_CONNECTION, m);
        if (r && taps_connection_state(m) == TAPS_CLOSING)
            r->closing = true;
    }
}

WRAPPED(int, taps_connection_close_group, (taps_connection * c))
{
    struct observer_visit v = observer_enter("taps_connection_close_group");
    int err = __real_taps_connection_close_group(c);
    observer_leave(v);
    if (!err)
        mark_closing(c);
    return err;
}

WRAPPED(int, taps_connection_abort_group, (taps_connection * c))
{
    struct observer_visit v = observer_enter("taps_connection_abort_group");
    int err = __real_taps_connection_abort_group(c);
    observer_leave(v);
    return err;
}

WRAPPED(int, taps_connection_set_property, (taps_connection * c, const char *name, const char *text))
{
    struct observer_visit v = observer_enter("taps_connection_set_property");
    int err = __real_taps_connection_set_property(c, name, text);
    observer_leave(v);
    return err;
}

WRAPPED(int, taps_connection_get_properties, (taps_connection * c, taps_transport_properties **ret))
{
    struct observer_visit v = observer_enter("taps_connection_get_properties");
    int err = __real_taps_connection_get_properties(c, ret);
    observer_leave(v);
    if (err)
        observer_refused(ret);
    return err;
}
