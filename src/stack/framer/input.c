/* From bytes to Messages: what came is held in pieces until the Framer has taken it or promised it to the application.
 */
#include <string.h>
#include "base/meta.h"
#include "stack/framer/framing.h"

#define FIRST_PIECES 4
#define GATHER_MORE  1024 /* a parse across pieces shows so much, if it is there */
#define SMALL_REST   4096 /* rests up to this do not pin the large buffer they came in */
#define FEW_PIECES   8    /* so many blocks may be pinned by next to nothing */
#define TAIL_SIZE    (16 * 1024)

static struct tapsi_layer *layer_of(const struct taps_framing *f)
{
    return &f->adapter->layer;
}

/* -------------------------------------------------------------------------------------------------- pieces */

static struct tapsi_framing_piece *piece_at(const struct taps_framing *f, uint32_t i)
{
    return &f->pieces[(f->head + i) & (f->capacity - 1)];
}

static int grow(struct taps_framing *f)
{
    struct tapsi_mem *mem = &layer_of(f)->env->loop->mem;
    uint32_t capacity = f->capacity ? f->capacity * 2 : FIRST_PIECES;
    struct tapsi_framing_piece *grown = tapsi_calloc(mem, capacity, sizeof(*grown));
    if (!grown)
        return TAPS_E_MEMORY;
    for (uint32_t i = 0; i < f->count; i++)
        grown[i] = *piece_at(f, i);
    tapsi_free(mem, f->pieces);
    f->pieces = grown;
    f->capacity = capacity;
    f->head = 0;
    return 0;
}

/* Its reference is the caller's from now on. */
static struct tapsi_framing_piece pop(struct taps_framing *f)
{
    struct tapsi_framing_piece first = *piece_at(f, 0);
    f->head = (f->head + 1) & (f->capacity - 1);
    f->count--;
    f->held -= first.length;
    return first;
}

static void drop_first(struct taps_framing *f)
{
    struct tapsi_framing_piece first = pop(f);
    tapsi_buffer_unref(first.buffer);
}

static bool extends(const struct tapsi_framing_piece *last, const struct tapsi_slice *slice)
{
    return last->buffer && last->buffer == slice->buffer && last->data + last->length == slice->data &&
           last->ecn == slice->ecn && !((last->flags ^ slice->flags) & TAPSI_SLICE_EARLY);
}

/* A small piece of a block that nothing held here is part of yet: its bytes are copied, and `slice` says where to.
   Without memory it stays where it is. */
static void copy_together(struct taps_framing *f, struct tapsi_slice *slice)
{
    if (f->count < FEW_PIECES || !slice->buffer || !slice->length || slice->length > SMALL_REST ||
        slice->buffer->size < TAPSI_READ_SIZE || piece_at(f, f->count - 1)->buffer == slice->buffer)
        return;
    if (!f->tail || f->tail->size - f->tail->used < slice->length) {
        tapsi_buffer_unref(f->tail);
        f->tail = tapsi_buffer_new(&layer_of(f)->env->loop->mem, TAIL_SIZE);
    }
    if (!f->tail)
        return;
    uint8_t *to = f->tail->data + f->tail->used;
    memcpy(to, slice->data, slice->length);
    f->tail->used += (uint32_t)slice->length;
    slice->data = to;
    slice->buffer = f->tail;
}

int tapsi_framing_hold(struct taps_framing *f, const struct tapsi_slice *arrived)
{
    struct tapsi_slice moved = *arrived, *slice = &moved;
    copy_together(f, slice);
    f->at_end = f->at_end || slice->flags & TAPSI_SLICE_FINAL;
    if (!slice->length && (!f->datagram || slice->flags & TAPSI_SLICE_FINAL))
        return 0;
    if (!f->datagram && f->count && extends(piece_at(f, f->count - 1), slice)) {
        struct tapsi_framing_piece *last = piece_at(f, f->count - 1);
        last->length += slice->length;
        last->flags = slice->flags;
        f->held += slice->length;
        return 0;
    }
    int err = f->count == f->capacity ? grow(f) : 0;
    if (err)
        return err;
    *piece_at(f, f->count++) =
        (struct tapsi_framing_piece){.data = slice->data,
                                     .length = slice->length,
                                     .buffer = slice->buffer ? tapsi_buffer_ref(slice->buffer) : NULL,
                                     .flags = slice->flags,
                                     .ecn = slice->ecn};
    f->held += slice->length;
    return 0;
}

/* Bytes up to the end of what the Framer may see at once: of this datagram, or all. */
static size_t in_sight(const struct taps_framing *f)
{
    if (!f->datagram)
        return f->held;
    size_t bytes = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        bytes += piece_at(f, i)->length;
        if (piece_at(f, i)->flags & TAPSI_SLICE_END)
            break;
    }
    return bytes;
}

/* Takes `length` bytes off the front. An empty piece stays only where it is the end of a datagram. */
static void consume(struct taps_framing *f, size_t length)
{
    while (length) {
        struct tapsi_framing_piece *first = piece_at(f, 0);
        size_t part = length < first->length ? length : first->length;
        first->data += part;
        first->length -= part;
        f->held -= part;
        length -= part;
        if (!first->length && !f->datagram)
            drop_first(f);
        else if (!first->length && !(first->flags & TAPSI_SLICE_END))
            drop_first(f);
    }
}

static void drop_datagram(struct taps_framing *f)
{
    bool end = false;
    while (f->count && !end) {
        end = piece_at(f, 0)->flags & TAPSI_SLICE_END;
        drop_first(f);
    }
}

/* The first `bytes`, which are in several pieces, become one. */
static int gather(struct taps_framing *f, size_t bytes)
{
    struct tapsi_buffer *b = tapsi_buffer_new(&layer_of(f)->env->loop->mem, bytes);
    if (!b)
        return TAPS_E_MEMORY;
    struct tapsi_framing_piece one = *piece_at(f, 0);
    one.data = b->data;
    one.buffer = b;
    one.length = bytes;
    while (b->used < bytes) {
        struct tapsi_framing_piece *first = piece_at(f, 0);
        size_t part = bytes - b->used < first->length ? bytes - b->used : first->length;
        memcpy(b->data + b->used, first->data, part);
        b->used += (uint32_t)part;
        one.flags = first->flags;
        first->data += part;
        first->length -= part;
        f->held -= part;
        if (!first->length)
            drop_first(f);
    }
    if (f->count && f->datagram)
        one.flags &= ~(unsigned)TAPSI_SLICE_END;
    /* There is room: at least one piece went. */
    f->head = (f->head - 1) & (f->capacity - 1);
    f->count++;
    f->held += bytes;
    *piece_at(f, 0) = one;
    return 0;
}

void tapsi_framing_drop_input(struct taps_framing *f)
{
    while (f->count)
        drop_first(f);
    tapsi_free(&layer_of(f)->env->loop->mem, f->pieces);
    f->pieces = NULL;
    tapsi_meta_unref(f->meta);
    f->meta = NULL;
    tapsi_meta_unref(f->meta_before);
    f->meta_before = NULL;
    tapsi_buffer_unref(f->reserved);
    f->reserved = NULL;
    tapsi_buffer_unref(f->tail);
    f->tail = NULL;
}

/* What waits for the rest of a head must not pin a large buffer. */
static void copy_small_rest(struct taps_framing *f)
{
    if (f->count != 1)
        return;
    struct tapsi_framing_piece *rest = piece_at(f, 0);
    if (!rest->buffer || !rest->length || rest->length > SMALL_REST || rest->buffer->size < TAPSI_READ_SIZE)
        return;
    struct tapsi_buffer *small = tapsi_buffer_new(&layer_of(f)->env->loop->mem, rest->length);
    if (!small)
        return;
    memcpy(small->data, rest->data, rest->length);
    small->used = (uint32_t)rest->length;
    tapsi_buffer_unref(rest->buffer);
    rest->buffer = small;
    rest->data = small->data;
}

/* ---------------------------------------------------------------------------------------------- delivering */

/* Where the bottom calls up outside of any call of the Framer's, the application may be told as the bytes come. */
static bool may_be_prompt(const struct taps_framing *f)
{
    const struct tapsi_layer *below = layer_of(f)->below;
    return !f->calling && (!below->below || below->prompt);
}

/* The Message is over. What was said of it is kept, if it is one pair. */
static void end_meta(struct taps_framing *f)
{
    if (tapsi_meta_is_one(f->meta)) {
        tapsi_meta_unref(f->meta_before);
        f->meta_before = f->meta;
    } else {
        tapsi_meta_unref(f->meta);
    }
    f->meta = NULL;
}

/* What was added since the last part goes with this one, together with all that was said of the Message before. */
static void deliver(struct taps_framing *f, struct tapsi_slice *slice)
{
    struct tapsi_layer *layer = layer_of(f);
    f->taken++;
    slice->meta = f->meta_is_new ? tapsi_meta_ref(f->meta) : NULL;
    f->meta_is_new = false;
    f->in_message = !(slice->flags & TAPSI_SLICE_END);
    if (!f->in_message)
        end_meta(f);
    layer->prompt = may_be_prompt(f);
    tapsi_layer_deliver(layer, slice);
    layer->prompt = false;
    tapsi_meta_unref(slice->meta);
}

static void deliver_end(struct taps_framing *f)
{
    struct tapsi_slice end = {.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1};
    f->end_told = true;
    deliver(f, &end);
}

static void keep_promise_at_end(struct taps_framing *f)
{
    f->promised = false;
    if (f->promise == TAPS_INFINITE)
        deliver_end(f);
    else
        f->in_message = true; /* which its end will not follow */
}

/* One piece of what was promised goes up. False: there is none. */
static bool keep_promise(struct taps_framing *f)
{
    if (!f->count && f->promise) {
        if (f->at_end)
            keep_promise_at_end(f);
        return f->at_end;
    }
    struct tapsi_framing_piece *first = f->count ? piece_at(f, 0) : NULL;
    struct tapsi_slice slice = {.ecn = first ? first->ecn : -1};
    struct tapsi_buffer *whole = NULL;
    if (first && f->promise) {
        slice.data = first->data;
        slice.buffer = first->buffer;
        slice.length = first->length < f->promise ? first->length : (size_t)f->promise;
        slice.flags = first->flags & TAPSI_SLICE_EARLY;
    }
    bool more = first && (first->flags & TAPSI_SLICE_MORE || f->count > 1);
    if (slice.length && slice.length == first->length && !f->datagram) {
        whole = pop(f).buffer;
    } else {
        if (slice.buffer && f->datagram)
            whole = tapsi_buffer_ref(slice.buffer);
        consume(f, slice.length);
    }
    if (f->promise != TAPS_INFINITE)
        f->promise -= slice.length;
    f->promised = f->promise > 0;
    if (!f->promised && f->promise_ends)
        slice.flags |= TAPSI_SLICE_END;
    else if (more)
        slice.flags |= TAPSI_SLICE_MORE;
    if (slice.length || slice.flags & TAPSI_SLICE_END)
        deliver(f, &slice);
    tapsi_buffer_unref(whole);
    return true;
}

/* What was promised before, as far as it is here: what follows belongs behind it. True: all of it. */
static bool settle_promise(struct taps_framing *f)
{
    while (f->promised && (f->count || !f->promise) && !layer_of(f)->dead)
        keep_promise(f);
    return !f->promised;
}

static bool may_deliver(const struct taps_framing *f)
{
    const struct tapsi_layer *layer = layer_of(f);
    return !layer->dead && layer->state >= TAPSI_LAYER_READY && layer->state < TAPSI_LAYER_CLOSED && !f->end_told;
}

TAPS_API int taps_framing_deliver_and_advance(taps_framing *f, uint64_t length, bool end_of_message)
{
    if (!settle_promise(f) || !may_deliver(f))
        return TAPS_E_STATE;
    size_t here = f->datagram ? in_sight(f) : 0;
    if (f->datagram && length == TAPS_INFINITE)
        length = here;
    if (f->datagram && length > here)
        return taps_framing_fail(f, TAPS_E_DEFRAMING, "a Message of %llu bytes in a datagram that has %zu left",
                                 (unsigned long long)length, here);
    f->taken += length > 0 || f->count;
    f->promised = true;
    f->promise = length;
    f->promise_ends = end_of_message || length == TAPS_INFINITE;
    if (!f->calling)
        tapsi_framing_dirty(f);
    return 0;
}

static int deliver_buffer(struct taps_framing *f, const uint8_t *data, size_t length, struct tapsi_buffer *buffer,
                          bool end)
{
    struct tapsi_slice slice = {.data = data,
                                .length = length,
                                .buffer = length ? buffer : NULL,
                                .flags = end ? TAPSI_SLICE_END : 0u,
                                .ecn = f->count ? piece_at(f, 0)->ecn : -1};
    if (length || end)
        deliver(f, &slice);
    return 0;
}

TAPS_API int taps_framing_deliver(taps_framing *f, const void *data, size_t length, bool end_of_message)
{
    struct tapsi_loop *loop = layer_of(f)->env->loop;
    if (!settle_promise(f) || !may_deliver(f))
        return TAPS_E_STATE;
    struct tapsi_buffer *b =
        length <= TAPSI_OP_SMALL ? tapsi_loop_write_buffer(loop, length) : tapsi_loop_large_buffer(loop, length);
    if (!b)
        return TAPS_E_MEMORY;
    uint8_t *to = b->data + b->used;
    if (length)
        memcpy(to, data, length);
    b->used += (uint32_t)length;
    deliver_buffer(f, to, length, b, end_of_message);
    tapsi_buffer_unref(b);
    return 0;
}

TAPS_API int taps_framing_deliver_reserved(taps_framing *f, size_t length, bool end_of_message)
{
    struct tapsi_buffer *b = f->reserved;
    if (!b || length > b->size || !settle_promise(f) || !may_deliver(f))
        return TAPS_E_STATE;
    f->reserved = NULL;
    b->used = (uint32_t)length;
    deliver_buffer(f, b->data, length, b, end_of_message);
    tapsi_buffer_unref(b);
    return 0;
}

TAPS_API int taps_framing_deliver_end(taps_framing *f)
{
    if (!settle_promise(f) || !may_deliver(f))
        return TAPS_E_STATE;
    if (layer_of(f)->want)
        deliver_end(f);
    else
        f->end_waits = true;
    return 0;
}

TAPS_API int taps_framing_add_metadata(taps_framing *f, const char *key, const char *value)
{
    settle_promise(f);
    f->meta_is_new = true;
    const char *same = f->meta ? NULL : tapsi_meta_get(f->meta_before, f->definition->name, key);
    if (same && value && strcmp(same, value) == 0) { /* shared: nothing is allocated for it */
        f->meta = tapsi_meta_ref(f->meta_before);
        return 0;
    }
    return tapsi_meta_add(&f->meta, &layer_of(f)->env->loop->mem, f->definition->name, key, value);
}

TAPS_API void *taps_framing_reserve(taps_framing *f, size_t size)
{
    tapsi_buffer_unref(f->reserved);
    f->reserved = size <= UINT32_MAX ? tapsi_loop_large_buffer(layer_of(f)->env->loop, size ? size : 1) : NULL;
    return f->reserved ? f->reserved->data : NULL;
}

/* ------------------------------------------------------------------------------------------------ parsing */

TAPS_API int taps_framing_parse(taps_framing *f, size_t min, size_t max, const uint8_t **ret_data, size_t *ret_length)
{
    if (!settle_promise(f))
        return 0;
    size_t here = in_sight(f), least = min ? min : 1;
    if (min > TAPS_PARSE_MAX)
        return taps_framing_fail(f, TAPS_E_DEFRAMING, "it needs %zu bytes at once; %zu is the limit", min,
                                 TAPS_PARSE_MAX);
    if (here < least) {
        f->need = least;
        return 0;
    }
    if (piece_at(f, 0)->length < least) {
        size_t show = least < GATHER_MORE ? GATHER_MORE : least;
        show = show < max ? show : max;
        show = show < least ? least : show;
        int err = gather(f, show < here ? show : here);
        if (err)
            return err;
    }
    const struct tapsi_framing_piece *first = piece_at(f, 0);
    *ret_data = first->data;
    *ret_length = first->length < max ? first->length : max;
    return 1;
}

TAPS_API size_t taps_framing_available(const taps_framing *f)
{
    size_t here = in_sight(f);
    return !f->promised ? here : f->promise < here ? here - (size_t)f->promise : 0;
}

TAPS_API bool taps_framing_at_end(const taps_framing *f)
{
    return f->datagram || f->at_end;
}

TAPS_API void taps_framing_advance(taps_framing *f, size_t length)
{
    if (!settle_promise(f))
        return;
    size_t here = in_sight(f);
    consume(f, length < here ? length : here);
    f->taken += length > 0;
}

/* ---------------------------------------------------------------------------------------------- processing */

/* Nobody asks for Messages, but the Framer's own words are looked for. */
static bool reads_ahead(const struct taps_framing *f)
{
    return f->definition->flags & TAPS_FRAMER_READS_AHEAD && !f->promised && !f->unwanted && !f->end_waits;
}

TAPS_API bool taps_framing_is_wanted(taps_framing *f)
{
    const struct tapsi_layer *layer = layer_of(f);
    f->unwanted = layer->state == TAPSI_LAYER_READY && !layer->want;
    return !f->unwanted;
}

TAPS_API bool taps_framing_is_held_up(const taps_framing *f)
{
    const struct tapsi_layer *layer = layer_of(f);
    return layer->state == TAPSI_LAYER_READY && !layer->want && (f->promised || f->unwanted);
}

void tapsi_framing_grant(struct taps_framing *f)
{
    struct tapsi_layer *layer = layer_of(f), *below = layer->below;
    size_t credit = layer->want, held = f->held + (f->datagram ? f->count : 0); /* empty ones cost, too */
    if (layer->dead || f->failed || below->state == TAPSI_LAYER_CLOSED)
        return;
    if (layer->state == TAPSI_LAYER_STARTING)
        credit = TAPSI_FRAMING_HANDSHAKE;
    else if (f->closing)
        credit = SIZE_MAX;
    else if (!credit && reads_ahead(f))
        credit = 1;
    if (f->own > TAPSI_FRAMING_OWN_MAX)
        credit = 0;
    if (credit && credit < SIZE_MAX - TAPSI_FRAMING_AHEAD)
        credit += TAPSI_FRAMING_AHEAD;
    if (credit && credit < f->need)
        credit = f->need;
    bool full = held >= TAPS_PARSE_MAX; /* nothing that it could ask for is missing */
    credit = credit > held ? credit - held : credit && !full ? 1 : 0;
    if (below->want != credit)
        tapsi_layer_want(below, credit);
}

static bool may_process(const struct taps_framing *f)
{
    const struct tapsi_layer *layer = layer_of(f);
    if (layer->dead || f->failed || f->deaf || f->calling || !f->started || f->adapter->passing ||
        layer->state >= TAPSI_LAYER_CLOSED || f->own > TAPSI_FRAMING_OWN_MAX)
        return false;
    if (layer->state == TAPSI_LAYER_STARTING)
        return true;
    return (!f->said_passthrough || f->promised) && (layer->want || f->closing || reads_ahead(f));
}

static void drop_malformed(struct taps_framing *f, size_t rest)
{
    struct tapsi_error error;
    if (!f->dropping) {
        tapsi_error_set(&error, TAPS_E_DEFRAMING, "%s: a datagram that does not parse: %zu bytes are left",
                        f->definition->name, rest);
        tapsi_layer_event(layer_of(f), TAPSI_EVENT_SOFT_ERROR, &error);
    }
    f->dropping = false;
    f->promised = false;
    f->in_message = false;
    drop_datagram(f);
}

static int pass_all(struct taps_framing *f)
{
    size_t here = in_sight(f);
    return here ? taps_framing_deliver_and_advance(f, here, f->datagram) : 0;
}

/* False: it is over. `ret_stuck`: it took no bytes, so it is not asked again before there are more. */
static bool ask(struct taps_framing *f, bool *ret_stuck)
{
    const struct tapsi_layer *layer = layer_of(f);
    uint64_t before = f->taken;
    bool starting = layer->state == TAPSI_LAYER_STARTING, at_end = f->at_end;
    f->need = 0;
    if (!tapsi_framing_call(f, f->definition->handle_received_data ? f->definition->handle_received_data : pass_all))
        return false;
    bool took = f->taken != before || (starting && layer->state == TAPSI_LAYER_READY);
    while (f->datagram && f->promised && !layer->dead)
        keep_promise(f);
    if (layer->dead)
        return false;
    bool leaves = !took && (f->said_wait || (f->unwanted && !layer->want));
    if (f->datagram && f->count && (f->dropping || (!leaves && (!took || !in_sight(f))))) {
        size_t rest = in_sight(f);
        if (rest || f->dropping)
            drop_malformed(f, rest);
        else
            drop_datagram(f);
        return true;
    }
    f->end_asked = f->end_asked || (at_end && !took && !f->unwanted && !f->said_wait);
    *ret_stuck = !took;
    return true;
}

static void truncated(struct taps_framing *f)
{
    struct tapsi_error error;
    if (layer_of(f)->state == TAPSI_LAYER_STARTING)
        tapsi_error_set(&error, TAPS_E_ESTABLISHMENT, "%s: the peer ended before its handshake was done",
                        f->definition->name);
    else
        tapsi_error_set(&error, TAPS_E_TRUNCATED, "%s: the peer ended in the middle of a Message", f->definition->name);
    tapsi_framing_failed(f, error.pub.code, &error);
}

/* The peer's end, once the Framer has seen all before it. */
static void end_if_due(struct taps_framing *f)
{
    struct tapsi_layer *layer = layer_of(f);
    if (!layer->dead && !f->failed && f->end_waits && !f->end_told && layer->want)
        deliver_end(f);
    if (layer->dead || f->failed || f->deaf || !f->at_end || f->promised)
        return;
    if (f->end_asked && !f->end_told && !f->closing) {
        bool cut = (f->held || f->in_message) && !layer->drains;
        if (cut || layer->state == TAPSI_LAYER_STARTING) {
            truncated(f);
            return;
        }
        if (!layer->want)
            return;
        deliver_end(f);
    }
    if (!layer->dead && f->below_over && f->end_told)
        tapsi_layer_closed(layer, NULL);
}

/* Both directions have ended in the words of the Framer's protocol: the final Message was sent, or the Framer has
   answered the peer's end with its own. */
static void close_if_over(struct taps_framing *f)
{
    struct tapsi_layer *layer = layer_of(f);
    bool over = f->final_sent || f->said_over;
    if (layer->dead || !f->end_told || !over || f->closing || layer->state != TAPSI_LAYER_READY ||
        !(f->definition->flags & TAPS_FRAMER_ENDS_ITSELF))
        return;
    f->closing = true;
    tapsi_layer_set_state(layer, TAPSI_LAYER_CLOSING);
    tapsi_framing_dirty(f);
}

/* What is left is not its own any more. */
static bool aside(const struct taps_framing *f)
{
    return f->said_passthrough && layer_of(f)->state >= TAPSI_LAYER_READY;
}

void tapsi_framing_process(struct taps_framing *f)
{
    struct tapsi_adapter *a = f->adapter;
    bool goes_on = true, stuck = false;
    while (goes_on && may_process(f) && f->adapter == a) {
        if (f->promised)
            goes_on = keep_promise(f);
        else if (!stuck && !aside(f) && (f->count || f->unwanted || (f->at_end && !f->end_asked)))
            goes_on = ask(f, &stuck);
        else
            goes_on = false;
    }
    if (a->layer.dead || f->adapter != a || a->passing || f->calling)
        return;
    end_if_due(f);
    close_if_over(f);
    if (aside(f) && !f->promised)
        tapsi_framing_dirty(f);
    if (a->layer.dead || a->layer.state == TAPSI_LAYER_CLOSED)
        return;
    copy_small_rest(f);
    if (f->started)
        tapsi_framing_grant(f);
}

void tapsi_framing_pour(struct taps_framing *f, struct tapsi_layer *layer)
{
    while (f->count && layer->want && !layer->dead) {
        struct tapsi_framing_piece first = pop(f);
        struct tapsi_slice slice = {.data = first.data,
                                    .length = first.length,
                                    .buffer = first.buffer,
                                    .flags = first.flags & ~(unsigned)TAPSI_SLICE_FINAL,
                                    .ecn = first.ecn};
        tapsi_layer_deliver(layer, &slice);
        tapsi_buffer_unref(first.buffer);
    }
    if (!f->count && f->at_end && !f->end_told && layer->want && !layer->dead) {
        f->end_told = true;
        tapsi_layer_deliver(layer, &(struct tapsi_slice){.flags = TAPSI_SLICE_END | TAPSI_SLICE_FINAL, .ecn = -1});
    }
}
