/*
 * From Messages to bytes. new_sent_message says, piece by piece, what stands for the Message; when it has returned the
 * op's ranges are replaced by that, and the op goes on down: it is still the Connection's, and done when its last byte
 * has left. A head that is written first, and fits into the room in front of the Message's copy, costs no range.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/meta.h"
#include "stack/framer/framing.h"

/* A datagram that is being filled with several Messages: done when it has left, and they with it. */
struct tapsi_framing_pack {
    struct tapsi_op *op;
    struct tapsi_buffer *buffer;
    struct tapsi_link covered; /* ops, by their `link` */
    struct tapsi_link link;    /* of those under way */
    struct tapsi_mem *mem;
};

static struct tapsi_layer *layer_of(const struct taps_framing *f)
{
    return &f->adapter->layer;
}

/* ------------------------------------------------------------------------------------------------- assembling */

static void drop_ranges(struct tapsi_framing_out *out)
{
    while (out->count)
        tapsi_buffer_unref(out->ranges[--out->count].buffer);
}

/* Two neighbours become one: the last two, unless the Message's own stand between them. */
static int merge(struct taps_framing *f)
{
    struct tapsi_framing_out *out = &f->out;
    bool parted = out->message && out->before == out->count - 1;
    unsigned at = parted ? out->before - 2 : out->count - 2;
    struct tapsi_range *a = &out->ranges[at], *b = a + 1;
    struct tapsi_buffer *one = tapsi_buffer_new(&layer_of(f)->env->loop->mem, a->length + b->length);
    if (!one)
        return TAPS_E_MEMORY;
    memcpy(one->data, a->data, a->length);
    memcpy(one->data + a->length, b->data, b->length);
    one->used = (uint32_t)(a->length + b->length);
    tapsi_buffer_unref(a->buffer);
    tapsi_buffer_unref(b->buffer);
    *a = (struct tapsi_range){one->data, one->used, one};
    memmove(b, b + 1, (out->count - at - 2) * sizeof(*b));
    if (out->message && at + 1 < out->before)
        out->before--;
    out->count--;
    return 0;
}

/* More comes between what was put in front and the Message: then that is a range like others. */
static void part_front(struct tapsi_framing_out *out)
{
    struct tapsi_range *first = &out->op->ranges[0];
    if (!out->front || out->message)
        return;
    out->ranges[out->count++] =
        (struct tapsi_range){first->data - out->front, out->front, tapsi_buffer_ref(first->buffer)};
    out->op->room = 0;
    out->front = 0;
}

/* Takes the reference. */
static int add_range(struct taps_framing *f, const uint8_t *data, size_t length, struct tapsi_buffer *buffer)
{
    struct tapsi_framing_out *out = &f->out;
    part_front(out);
    struct tapsi_range *last = out->count ? &out->ranges[out->count - 1] : NULL;
    bool joins = last && last->buffer == buffer && last->data + last->length == data &&
                 (!out->message || out->count > out->before);
    if (joins) {
        last->length += length;
        tapsi_buffer_unref(buffer);
        return 0;
    }
    if (out->count == TAPSI_FRAMING_RANGES) {
        int err = merge(f);
        if (err) {
            tapsi_buffer_unref(buffer);
            return err;
        }
    }
    out->ranges[out->count++] = (struct tapsi_range){data, length, buffer};
    return 0;
}

/* Into the room right in front of the Message's copy; what was put there before moves up. */
static bool put_in_front(struct taps_framing *f, const void *data, size_t length)
{
    struct tapsi_framing_out *out = &f->out;
    struct tapsi_op *op = out->op;
    if (out->message || out->count || length > op->room)
        return false;
    uint8_t *start = (uint8_t *)(uintptr_t)op->ranges[0].data - out->front;
    if (out->front)
        memmove(start - length, start, out->front);
    memcpy(start - length + out->front, data, length);
    out->front += length;
    op->room = (uint8_t)(op->room - length);
    return true;
}

/* Right behind the Message's copy, where nothing else has been put into the buffer since. */
static bool put_behind(struct taps_framing *f, const void *data, size_t length)
{
    struct tapsi_framing_out *out = &f->out;
    if (!out->message || out->count > out->before)
        return false;
    struct tapsi_range *last = out->op->count ? &out->op->ranges[out->op->count - 1] : NULL;
    struct tapsi_buffer *b = last ? last->buffer : NULL;
    if (!b || b != layer_of(f)->env->loop->write_buffer || last->data + last->length != b->data + b->used ||
        b->size - b->used < length)
        return false;
    memcpy(b->data + b->used, data, length);
    b->used += (uint32_t)length;
    last->length += length;
    out->op->length += length;
    out->op->added += (int64_t)length;
    return true;
}

static struct tapsi_buffer *copy(struct tapsi_loop *loop, const void *data, size_t length, const uint8_t **ret)
{
    struct tapsi_buffer *b =
        length <= TAPSI_OP_SMALL ? tapsi_loop_write_buffer(loop, length) : tapsi_loop_large_buffer(loop, length);
    if (!b)
        return NULL;
    memcpy(b->data + b->used, data, length);
    *ret = b->data + b->used;
    b->used += (uint32_t)length;
    return b;
}

/* ------------------------------------------------------------------------------------------------- own bytes */

static void own_done(struct tapsi_op *op, int result)
{
    struct taps_framing *f = op->owner;
    (void)result; /* below says `closed` if it has failed */
    bool was_over = f->own > TAPSI_FRAMING_OWN_MAX;
    f->own -= (size_t)((int64_t)op->length - op->added); /* Framers below have put bytes around them */
    if (was_over && f->own <= TAPSI_FRAMING_OWN_MAX)
        tapsi_framing_dirty(f);
}

/* Takes the reference of `buffer`. */
static int send_own(struct taps_framing *f, const uint8_t *data, size_t length, struct tapsi_buffer *buffer)
{
    struct tapsi_layer *below = layer_of(f)->below;
    struct tapsi_op *op = tapsi_op_new(layer_of(f)->env->loop);
    if (!op) {
        tapsi_buffer_unref(buffer);
        return TAPS_E_MEMORY;
    }
    op->owner = f;
    op->done = own_done;
    op->flags = TAPSI_OP_END | (below->max_message ? TAPSI_OP_EARLY : 0);
    tapsi_op_lend(op, data, length, buffer);
    tapsi_buffer_unref(buffer);
    f->own += length;
    tapsi_framing_send_pack(f);
    int err = tapsi_layer_send(below, op);
    if (err) {
        f->own -= length;
        tapsi_op_unref(op);
    }
    return err;
}

static bool may_send(const struct taps_framing *f)
{
    const struct tapsi_layer *layer = layer_of(f);
    return f->early || (!layer->dead && f->started && !f->close_passed && !f->adapter->passing &&
                        layer->below->state == TAPSI_LAYER_READY);
}

TAPS_API int taps_framing_send(taps_framing *f, const void *data, size_t length)
{
    const uint8_t *bytes;
    if (!length)
        return 0;
    if (!may_send(f))
        return TAPS_E_STATE;
    if (f->out.op && (put_in_front(f, data, length) || put_behind(f, data, length)))
        return 0;
    struct tapsi_buffer *b = copy(layer_of(f)->env->loop, data, length, &bytes);
    if (!b)
        return TAPS_E_MEMORY;
    return f->out.op ? add_range(f, bytes, length, b) : send_own(f, bytes, length, b);
}

TAPS_API int taps_framing_send_reserved(taps_framing *f, size_t length)
{
    struct tapsi_buffer *b = f->reserved;
    if (!b || length > b->size || !may_send(f))
        return TAPS_E_STATE;
    f->reserved = NULL;
    b->used = (uint32_t)length;
    if (!length) {
        tapsi_buffer_unref(b);
        return 0;
    }
    return f->out.op ? add_range(f, b->data, length, b) : send_own(f, b->data, length, b);
}

TAPS_API int taps_framing_send_message(taps_framing *f)
{
    if (!f->out.op || f->out.message)
        return TAPS_E_STATE;
    f->out.message = true;
    f->out.before = f->out.count;
    return 0;
}

TAPS_API size_t taps_framing_message_pieces(const taps_framing *f, struct iovec *pieces, size_t max)
{
    const struct tapsi_op *op = f->out.op;
    for (size_t i = 0; op && i < op->count && i < max; i++) {
        /* iovec has no const: the Framer only reads. */
        pieces[i] = (struct iovec){(void *)(uintptr_t)op->ranges[i].data, op->ranges[i].length};
    }
    return op ? op->count : 0;
}

TAPS_API const char *taps_framing_message_metadata(const taps_framing *f, const char *key)
{
    return f->out.op ? tapsi_meta_get(f->out.op->meta, f->definition->name, key) : NULL;
}

TAPS_API int taps_framing_message_metadata_at(const taps_framing *f, size_t index, const char **ret_key,
                                              const char **ret_value)
{
    const char *space;
    const struct tapsi_meta *meta = f->out.op ? f->out.op->meta : NULL;
    return tapsi_meta_at(meta, f->definition->name, index, &space, ret_key, ret_value) ? 0 : TAPS_E_RANGE;
}

/* ------------------------------------------------------------------------------------------------- framing */

static size_t total(const struct tapsi_framing_out *out)
{
    size_t bytes = out->front + (out->message ? out->op->length : 0);
    for (unsigned i = 0; i < out->count; i++)
        bytes += out->ranges[i].length;
    return bytes;
}

/* Everything in one buffer: there are more pieces than an op has ranges. */
static int flatten(struct taps_framing *f, size_t bytes)
{
    struct tapsi_framing_out *out = &f->out;
    struct tapsi_op *op = out->op;
    struct tapsi_buffer *b = tapsi_loop_large_buffer(layer_of(f)->env->loop, bytes ? bytes : 1);
    if (!b)
        return TAPS_E_MEMORY;
    unsigned before = out->message ? out->before : out->count;
    for (unsigned i = 0; i < before; i++) {
        memcpy(b->data + b->used, out->ranges[i].data, out->ranges[i].length);
        b->used += (uint32_t)out->ranges[i].length;
    }
    for (unsigned i = 0; out->message && i < op->count; i++) {
        memcpy(b->data + b->used, op->ranges[i].data, op->ranges[i].length);
        b->used += (uint32_t)op->ranges[i].length;
    }
    for (unsigned i = before; i < out->count; i++) {
        memcpy(b->data + b->used, out->ranges[i].data, out->ranges[i].length);
        b->used += (uint32_t)out->ranges[i].length;
    }
    drop_ranges(out);
    tapsi_op_replace(op, b->data, bytes, b);
    return 0;
}

/* What was put in front belongs to the first range from now on. */
static void join_front(struct tapsi_framing_out *out)
{
    struct tapsi_op *op = out->op;
    op->ranges[0].data -= out->front;
    op->ranges[0].length += out->front;
    op->length += out->front;
    op->added += (int64_t)out->front;
    out->front = 0;
}

/* The op becomes what was said to stand for it. */
static int assemble(struct taps_framing *f)
{
    struct tapsi_framing_out *out = &f->out;
    struct tapsi_op *op = out->op;
    if (out->front && !out->message) { /* it was not asked for the Message's own after all */
        op->ranges[0].data -= out->front;
        op->ranges[0].length = out->front;
        struct tapsi_range head = op->ranges[0];
        tapsi_buffer_ref(head.buffer);
        tapsi_op_replace(op, head.data, head.length, head.buffer);
        out->front = 0;
        out->message = true;
        out->before = 0;
    }
    if (out->front)
        join_front(out);
    if (out->count == 0 && out->message)
        return 0;
    if (!out->message && out->count == 1) { /* transformed: memory of its own, or shared with others that are small */
        tapsi_op_replace(op, out->ranges[0].data, out->ranges[0].length, out->ranges[0].buffer);
        out->count = 0;
        return 0;
    }
    if (!out->message || op->count + out->count >= tapsi_op_room(op)) /* one is left for layers below */
        return flatten(f, total(out));
    unsigned before = out->before, after = out->count - before;
    if (before)
        op->room = 0; /* it is not in front of the first range any more */
    memmove(&op->ranges[before], &op->ranges[0], op->count * sizeof(op->ranges[0]));
    memcpy(&op->ranges[0], &out->ranges[0], before * sizeof(op->ranges[0]));
    memcpy(&op->ranges[before + op->count], &out->ranges[before], after * sizeof(op->ranges[0]));
    for (unsigned i = 0; i < out->count; i++) {
        op->length += out->ranges[i].length;
        op->added += (int64_t)out->ranges[i].length;
    }
    op->count = (uint8_t)(op->count + out->count);
    out->count = 0;
    return 0;
}

/* What put_behind has added stays with the op, which is counted without it. */
static int refuse(struct taps_framing *f, int err)
{
    drop_ranges(&f->out);
    f->out.op = NULL;
    return err;
}

/* The words travel with the Message's metadata; without memory for them the code must do. */
TAPS_API int taps_framing_refuse(taps_framing *f, int code, const char *format, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (f->out.op)
        tapsi_meta_add(&f->out.op->meta, &layer_of(f)->env->loop->mem, TAPSI_META_OWN, TAPSI_META_REFUSAL, text);
    return code < 0 ? code : TAPS_E_MESSAGE_PROPERTIES;
}

static bool is_part(const struct tapsi_op *op)
{
    return !(op->flags & TAPSI_OP_END) || op->flags & TAPSI_OP_CONTINUES;
}

static bool takes(const struct taps_framing *f, const struct tapsi_op *op)
{
    return !is_part(op) || (f->definition->flags & TAPS_FRAMER_TAKES_PARTS && !f->datagram) ||
           !f->definition->new_sent_message;
}

static void note_head(struct taps_framing *f)
{
    size_t front = f->out.front;
    if (f->out.message && f->out.before == 1 && !front)
        front = f->out.ranges[0].length;
    layer_of(f)->head_room = (uint8_t)(front <= TAPSI_OP_HEAD_ROOM ? front : 0);
}

/* ------------------------------------------------------------------------------------------------- packing */

static void pack_done(struct tapsi_op *op, int result)
{
    struct tapsi_framing_pack *pack = op->owner;
    struct tapsi_link *link;
    tapsi_op_ref(op);
    while ((link = tapsi_list_pop(&pack->covered)))
        tapsi_op_finish(TAPSI_CONTAINER(link, struct tapsi_op, link), result);
    op->done = NULL;
    tapsi_list_remove(&pack->link);
    tapsi_free(pack->mem, pack);
    tapsi_op_unref(op);
}

static void free_pack(struct tapsi_framing_pack *pack)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&pack->covered)))
        tapsi_op_drop(TAPSI_CONTAINER(link, struct tapsi_op, link));
    tapsi_buffer_unref(pack->buffer);
    if (pack->op)
        tapsi_op_unref(pack->op);
    tapsi_free(pack->mem, pack);
}

static struct tapsi_framing_pack *new_pack(struct taps_framing *f, size_t size)
{
    struct tapsi_loop *loop = layer_of(f)->env->loop;
    struct tapsi_framing_pack *pack = tapsi_zalloc(&loop->mem, sizeof(*pack));
    if (!pack)
        return NULL;
    pack->mem = &loop->mem;
    tapsi_link_init(&pack->covered);
    tapsi_link_init(&pack->link);
    pack->op = tapsi_op_new(loop);
    pack->buffer = tapsi_loop_large_buffer(loop, size);
    if (pack->op && pack->buffer)
        return pack;
    free_pack(pack);
    return NULL;
}

void tapsi_framing_send_pack(struct taps_framing *f)
{
    struct tapsi_framing_pack *pack = f->pack;
    if (!pack)
        return;
    f->pack = NULL;
    struct tapsi_op *op = pack->op;
    op->owner = pack;
    op->done = pack_done;
    tapsi_list_append(&f->packs, &pack->link);
    op->flags = TAPSI_OP_END | TAPSI_OP_EARLY;
    tapsi_op_lend(op, pack->buffer->data, pack->buffer->used, pack->buffer);
    tapsi_buffer_unref(pack->buffer);
    int err = layer_of(f)->dead ? TAPS_E_CLOSED : tapsi_layer_send(layer_of(f)->below, op);
    if (err)
        tapsi_op_finish(op, err);
}

static size_t packet_size(const struct tapsi_layer *below)
{
    size_t size = below->mtu ? below->mtu : 1200;
    return below->max_message && below->max_message < size ? below->max_message : size;
}

/* 0: it lies in the datagram that is being filled. 1: it goes alone. */
static int pack_op(struct taps_framing *f, struct tapsi_op *op)
{
    size_t size = packet_size(layer_of(f)->below);
    if (f->pack && f->pack->buffer->used + op->length > size)
        tapsi_framing_send_pack(f);
    if (op->length > size)
        return 1;
    if (!f->pack)
        f->pack = new_pack(f, size);
    if (!f->pack)
        return TAPS_E_MEMORY;
    struct tapsi_buffer *b = f->pack->buffer;
    for (unsigned i = 0; i < op->count; i++) {
        memcpy(b->data + b->used, op->ranges[i].data, op->ranges[i].length);
        b->used += (uint32_t)op->ranges[i].length;
    }
    op->flags |= TAPSI_OP_TOUCHED;
    tapsi_list_append(&f->pack->covered, &op->link);
    tapsi_framing_dirty(f);
    return 0;
}

/* --------------------------------------------------------------------------------------------- handing down */

static int hand_down(struct taps_framing *f, struct tapsi_op *op)
{
    struct tapsi_layer *below = layer_of(f)->below;
    if (below->max_message && op->length > below->max_message)
        return TAPS_E_MESSAGE_TOO_LARGE;
    if (is_part(op) || !(f->definition->flags & TAPS_FRAMER_STATELESS))
        op->flags |= TAPSI_OP_TOUCHED;
    bool final = op->flags & TAPSI_OP_FINAL;
    bool packs = f->datagram && f->definition->flags & TAPS_FRAMER_PACKS && !final;
    int result = packs ? pack_op(f, op) : 1;
    if (result <= 0)
        return result;
    tapsi_framing_send_pack(f); /* those before it */
    if (final && f->definition->flags & TAPS_FRAMER_ENDS_ITSELF)
        op->flags &= (uint16_t)~TAPSI_OP_FINAL;
    int err = tapsi_layer_send(below, op);
    if (!err && final) {
        f->final_sent = true;
        if (!f->early)
            tapsi_framing_dirty(f);
    }
    return err;
}

int tapsi_framing_frame(struct taps_framing *f, struct tapsi_op *op)
{
    struct taps_sent_message message = {.length = op->length,
                                        .start = !(op->flags & TAPSI_OP_CONTINUES),
                                        .end_of_message = op->flags & TAPSI_OP_END,
                                        .final = op->flags & TAPSI_OP_FINAL};
    if (!takes(f, op))
        return TAPS_E_MESSAGE_PROPERTIES;
    if (!f->definition->new_sent_message)
        return hand_down(f, op);
    f->out.op = op;
    f->out.count = f->out.before = 0;
    f->out.front = 0;
    f->out.message = false;
    bool calling = f->calling;
    f->calling = true;
    int result = f->definition->new_sent_message(f, &message);
    f->calling = calling;
    if (result)
        return refuse(f, result);
    note_head(f);
    if (f->out.message && !f->out.count)
        join_front(&f->out); /* the usual case */
    else
        result = assemble(f);
    f->out.op = NULL;
    return result ? refuse(f, result) : hand_down(f, op);
}

void tapsi_framing_drop_output(struct taps_framing *f)
{
    drop_ranges(&f->out);
    if (f->pack)
        free_pack(f->pack);
    f->pack = NULL;
    struct tapsi_link *link;
    while ((link = tapsi_list_pop(&f->packs))) { /* what is below drops their ops without a word */
        struct tapsi_framing_pack *pack = TAPSI_CONTAINER(link, struct tapsi_framing_pack, link);
        pack->op->done = NULL;
        pack->op = NULL;
        pack->buffer = NULL;
        free_pack(pack);
    }
}
