/* The session: frames over TCP. All calls up are made from TCP's calls up, or from a flush. */
#include "mux.h"

#include <string.h>

#define UNDER_WAY (16 * 1024)

static struct mux_stream *stream_at(struct tapsi_link *link)
{
    return TAPSI_CONTAINER(link, struct mux_stream, link);
}

/* ------------------------------------------------------------------------------------------------- its life */

void mux_session_unref(struct mux_session *s)
{
    if (--s->refs)
        return;
    struct tapsi_env *env = s->env;
    tapsi_bond_done(&s->bond);
    tapsi_free(&env->loop->mem, s);
    tapsi_env_unref(env);
}

void mux_session_end(struct mux_session *s, int reason)
{
    if (s->over)
        return;
    s->over = true;
    tapsi_list_remove(&s->link);
    tapsi_task_cancel(&s->task);
    tapsi_layer_destroy(s->below, reason);
    s->below = NULL;
    mux_session_unref(s);
}

void mux_session_check(struct mux_session *s, int reason)
{
    struct tapsi_link *link;
    if (s->over || s->listener || !tapsi_list_empty(&s->streams))
        return;
    s->refs++;
    while ((link = tapsi_list_first(&s->strangers)))
        tapsi_layer_destroy(&stream_at(link)->layer, TAPS_E_CLOSED);
    mux_session_end(s, reason);
    mux_session_unref(s);
}

/* Each stream hears it once; one of them may take others along. */
static void fail(struct mux_session *s, const struct tapsi_error *error)
{
    struct tapsi_link *link, told;
    tapsi_error_copy(&s->error, error);
    tapsi_link_init(&told);
    s->refs++;
    while ((link = tapsi_list_first(&s->strangers)))
        tapsi_layer_destroy(&stream_at(link)->layer, 0);
    while ((link = tapsi_list_first(&s->streams))) {
        struct mux_stream *stream = stream_at(link);
        tapsi_list_remove(link);
        tapsi_list_append(&told, link);
        if (!mux_stream_complete(stream))
            tapsi_layer_closed(&stream->layer, &s->error);
    }
    tapsi_list_splice(&s->streams, &told);
    mux_session_end(s, 0);
    mux_session_unref(s);
}

void mux_session_wrong(struct mux_session *s, const char *why)
{
    struct tapsi_error error;
    tapsi_error_set(&error, TAPS_E_PROTOCOL, "%s", why);
    fail(s, &error);
}

/* -------------------------------------------------------------------------------------------------- output */

static void put(uint8_t *frame, enum mux_type type, uint32_t number, uint32_t value)
{
    frame[0] = (uint8_t)type;
    for (int i = 0; i < 4; i++) {
        frame[1 + i] = (uint8_t)(number >> (24 - 8 * i));
        frame[5 + i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

void mux_say(struct mux_session *s, enum mux_type type, uint32_t number, uint32_t value)
{
    if (s->over)
        return;
    if (sizeof(s->control) - s->control_length < MUX_FRAME) {
        s->broken = true;
    } else {
        put(s->control + s->control_length, type, number, value);
        s->control_length += MUX_FRAME;
    }
    tapsi_loop_flush(s->env->loop, &s->task, 1);
}

static void on_done(struct tapsi_op *op, int result)
{
    struct mux_session *s = op->owner;
    (void)result;
    s->under_way -= op->length;
    s->done += op->length;
    tapsi_loop_flush(s->env->loop, &s->task, 1);
}

/* All streams, of which any may vanish. */
static void for_all(struct mux_session *s, void (*what)(struct mux_stream *))
{
    struct tapsi_link *link, seen;
    tapsi_link_init(&seen);
    s->refs++;
    while ((link = tapsi_list_first(&s->streams))) {
        tapsi_list_remove(link);
        tapsi_list_append(&seen, link);
        what(stream_at(link));
    }
    tapsi_list_splice(&s->streams, &seen);
    mux_session_check(s, 0);
    mux_session_unref(s);
}

/* False: it could not be. */
static bool emit(struct mux_session *s, const uint8_t *bytes, size_t length)
{
    struct tapsi_op *op = tapsi_op_new(s->env->loop);
    if (!op || tapsi_op_copy(op, bytes, length) || !s->below) {
        if (op)
            tapsi_op_unref(op);
        s->broken = true;
        return false;
    }
    op->owner = s;
    op->done = on_done;
    s->under_way += length;
    s->emitted += length;
    if (tapsi_layer_send(s->below, op)) {
        s->under_way -= length;
        tapsi_op_unref(op);
        return false; /* its end is to come */
    }
    return true;
}

static bool emit_piece(struct mux_session *s, struct mux_stream *stream)
{
    uint8_t bytes[MUX_FRAME + MUX_PIECE];
    uint32_t number = stream->number;
    size_t length = mux_stream_take(stream, bytes + MUX_FRAME, MUX_PIECE);
    put(bytes, MUX_DATA, number, (uint32_t)length);
    return emit(s, bytes, MUX_FRAME + length);
}

/* What is finished calls up, and anybody may vanish. */
void mux_session_flush(struct mux_session *s)
{
    struct tapsi_sched_entry *entry;
    if (s->over || !s->below || s->below->state != TAPSI_LAYER_READY)
        return;
    s->refs++;
    mux_session_move(s);
    while (!s->over && !s->broken && s->greeted && s->under_way < UNDER_WAY && (entry = tapsi_sched_first(&s->sched))) {
        if (!emit_piece(s, TAPSI_CONTAINER(entry, struct mux_stream, entry)))
            break;
    }
    if (!s->over && s->control_length && emit(s, s->control, s->control_length))
        s->control_length = 0;
    if (!s->over && !s->listener)
        mux_session_tell_strangers(s);
    if (!s->over && !s->control_length)
        for_all(s, mux_stream_done);
    if (s->broken && !s->over)
        mux_session_wrong(s, "no memory for a frame");
    mux_session_unref(s);
}

static void on_task(struct tapsi_task *task)
{
    mux_session_flush(TAPSI_CONTAINER(task, struct mux_session, task));
}

void mux_session_limit(struct mux_session *s, uint64_t limit)
{
    s->limit = limit < MUX_STREAMS ? (uint32_t)limit : MUX_STREAMS;
    uint32_t granted = s->peers_ever - s->peers + s->limit;
    if (granted <= s->granted)
        return;
    s->granted = granted;
    if (s->started)
        mux_say(s, MUX_LIMIT, 0, granted);
}

/* --------------------------------------------------------------------------------------------------- input */

static struct mux_stream *find(struct mux_session *s, uint32_t number)
{
    struct tapsi_link *lists[] = {&s->streams, &s->strangers};
    for (size_t i = 0; i < 2; i++) {
        for (struct tapsi_link *l = lists[i]->next; l != lists[i]; l = l->next) {
            if (stream_at(l)->numbered && stream_at(l)->number == number)
                return stream_at(l);
        }
    }
    return NULL;
}

/* Whoever can be told: the Listener, else a member. */
static void tell(struct mux_session *s, struct mux_stream *stranger)
{
    struct tapsi_link *first = tapsi_list_first(&s->streams);
    if (s->listener) {
        mux_listener_child(s->listener, stranger);
        return;
    }
    tapsi_list_remove(&stranger->link);
    tapsi_list_append(&s->streams, &stranger->link);
    if (first)
        tapsi_layer_child(&stream_at(first)->layer, &stranger->layer);
    else
        tapsi_layer_destroy(&stranger->layer, TAPS_E_CLOSED);
}

void mux_session_tell_strangers(struct mux_session *s)
{
    struct tapsi_link *link;
    while (!s->over && (link = tapsi_list_first(&s->strangers))) {
        tell(s, stream_at(link));
        if (tapsi_list_first(&s->strangers) == link)
            return;
    }
}

/* A stream of this number: one that is there, or a new one of the peer. NULL: it is over, or cannot be. */
static struct mux_stream *stream_of(struct mux_session *s, uint32_t number)
{
    struct mux_stream *stream = find(s, number);
    bool of_peer = !(number & MUX_OF_SERVER) == s->server;
    uint8_t *seen = s->seen[(number & MUX_ONE_WAY) != 0];
    uint32_t index = number >> 2;
    if (stream || !of_peer)
        return stream;
    if (index >= MUX_NUMBERS) {
        mux_session_wrong(s, "the peer opens a stream that it may not");
        return NULL;
    }
    if (seen[index / 8] & 1u << index % 8)
        return NULL;
    seen[index / 8] |= (uint8_t)(1u << index % 8);
    if (s->peers_ever >= s->granted) {
        mux_session_wrong(s, "the peer opens more streams than it may");
        return NULL;
    }
    stream = mux_stream_new(s, s->env, false, number);
    if (!stream) {
        mux_session_wrong(s, "no memory for a stream");
        return NULL;
    }
    s->peers++;
    s->peers_ever++;
    tapsi_list_append(&s->strangers, &stream->link);
    mux_session_tell_strangers(s);
    return find(s, number);
}

static void greet(struct mux_session *s, uint32_t allowed)
{
    s->allowed = allowed > s->allowed ? allowed : s->allowed;
    s->greeted = true;
    for (struct tapsi_link *l = s->streams.next; l != &s->streams; l = l->next) {
        if (stream_at(l)->layer.state == TAPSI_LAYER_STARTING)
            tapsi_layer_dirty(&stream_at(l)->layer);
    }
    tapsi_loop_flush(s->env->loop, &s->task, 1);
}

static uint32_t number_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void reset(struct mux_session *s, uint32_t number)
{
    struct tapsi_error error;
    struct mux_stream *stream = stream_of(s, number);
    if (!stream)
        return;
    tapsi_error_set(&error, TAPS_E_ABORTED, "the peer has reset the stream");
    tapsi_layer_closed(&stream->layer, &error);
}

static void act(struct mux_session *s, enum mux_type type, uint32_t number, uint32_t value)
{
    struct mux_stream *stream;
    switch (type) {
    case MUX_HELLO:
    case MUX_LIMIT:
        greet(s, value);
        return;
    case MUX_DATA:
        s->number = number;
        s->rest = value;
        return;
    case MUX_END:
        if ((stream = stream_of(s, number)))
            mux_stream_end(stream);
        return;
    case MUX_RESET:
        reset(s, number);
        return;
    default:
        if ((stream = find(s, number)))
            mux_stream_credit(stream, value);
    }
}

static const uint8_t *take(struct mux_session *s, const struct tapsi_slice *slice, const uint8_t *at,
                           const uint8_t *stop)
{
    if (s->rest) {
        size_t length = (size_t)(stop - at) < s->rest ? (size_t)(stop - at) : s->rest;
        struct mux_stream *stream = stream_of(s, s->number);
        s->rest -= (uint32_t)length;
        if (stream)
            mux_stream_data(stream, slice, at, length);
        return at + length;
    }
    s->frame[s->frame_length++] = *at++;
    if (s->frame_length < MUX_FRAME)
        return at;
    s->frame_length = 0;
    if (s->frame[0] >= MUX_TYPES)
        mux_session_wrong(s, "the peer says what is no frame");
    else
        act(s, (enum mux_type)s->frame[0], number_at(s->frame + 1), number_at(s->frame + 5));
    return at;
}

/* What lies in the kernel has its place already. */
static void keep_little_below(struct mux_session *s)
{
    tapsi_layer_set(s->below, TAPS_CONN_SCHEDULER, &s->env->properties->values[TAPS_CONN_SCHEDULER]);
}

static void below_ready(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_ready_info *info)
{
    struct mux_session *s = TAPSI_CONTAINER(sink, struct mux_session, lower);
    s->info = *info;
    keep_little_below(s);
    tapsi_layer_want(below, SIZE_MAX / 2);
    tapsi_loop_flush(s->env->loop, &s->task, 1);
}

static void below_data(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_slice *slice)
{
    struct mux_session *s = TAPSI_CONTAINER(sink, struct mux_session, lower);
    const uint8_t *at = slice->data, *stop = slice->length ? at + slice->length : at;
    (void)below;
    s->refs++;
    while (at < stop && !s->over)
        at = take(s, slice, at, stop);
    if (slice->flags & TAPSI_SLICE_FINAL && !s->over) {
        struct tapsi_error error;
        tapsi_error_set(&error, TAPS_E_ABORTED, "the peer has ended the session");
        fail(s, &error);
    }
    if (!s->over)
        tapsi_layer_want(s->below, SIZE_MAX / 2);
    mux_session_unref(s);
}

static void below_closed(struct tapsi_sink *sink, struct tapsi_layer *below, const struct tapsi_error *error)
{
    struct tapsi_error ended;
    (void)below;
    tapsi_error_set(&ended, TAPS_E_ABORTED, "the session has ended");
    fail(TAPSI_CONTAINER(sink, struct mux_session, lower), error ? error : &ended);
}

static const struct tapsi_sink_ops lower_ops = {.ready = below_ready, .data = below_data, .closed = below_closed};

/* --------------------------------------------------------------------------------------------------- making */

struct mux_session *mux_session_new(struct tapsi_env *env, struct tapsi_layer *below, bool server)
{
    const struct taps_value *values = env->properties->values;
    struct mux_session *s = tapsi_zalloc(&env->loop->mem, sizeof(*s));
    if (!s)
        return NULL;
    s->refs = 1;
    s->env = tapsi_env_ref(env);
    s->lower.ops = &lower_ops;
    s->below = below;
    s->server = server;
    below->up = &s->lower;
    tapsi_link_init(&s->link);
    tapsi_link_init(&s->streams);
    tapsi_link_init(&s->strangers);
    tapsi_task_init(&s->task, on_task);
    tapsi_sched_init(&s->sched, (enum taps_scheduler)values[TAPS_CONN_SCHEDULER].enumeration, MUX_PIECE);
    mux_session_limit(s, values[TAPS_GROUP_CONN_LIMIT].integer);
    return s;
}

int mux_session_start(struct mux_session *s)
{
    if (s->started)
        return 0;
    int err = s->below->state == TAPSI_LAYER_NEW ? tapsi_layer_start(s->below) : 0;
    if (err)
        return err;
    s->started = true;
    mux_say(s, MUX_HELLO, 0, s->granted);
    if (s->below->state == TAPSI_LAYER_READY) {
        keep_little_below(s);
        tapsi_layer_want(s->below, SIZE_MAX / 2);
    }
    return 0;
}

void mux_session_orphan(struct mux_session *s)
{
    s->listener = NULL;
    tapsi_list_remove(&s->link);
    mux_session_check(s, 0);
}

static int make(struct tapsi_env *env, const struct tapsi_target *target, enum tapsi_role role,
                struct tapsi_layer *below, struct tapsi_layer **ret, struct tapsi_error *ret_error)
{
    struct tapsi_layer *tcp;
    int err = tapsi_proto_tcp.make(env, target, role, below, &tcp, ret_error);
    if (err)
        return err;
    struct mux_session *s = mux_session_new(env, tcp, false);
    if (!s) {
        tapsi_layer_destroy(tcp, 0);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a session");
    }
    struct mux_stream *stream = mux_stream_new(s, env, true, 0);
    if (!stream) {
        mux_session_end(s, 0);
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a stream");
    }
    tapsi_list_append(&s->streams, &stream->link);
    *ret = &stream->layer;
    return 0;
}

const struct tapsi_proto tapsi_proto_mux = {
    .name = "mux", .needs = TAPSI_NEEDS_NOTHING, .offers = TAPSI_OFFERS_STREAM, .make = make, .listen = mux_listen};
