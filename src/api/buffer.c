/* taps_buffer_*, and what sends and receives them. */
#include "connection/buffer.h"

#include <string.h>
#include "connection/connection.h"

TAPS_API int taps_buffer_new(taps_context *context, size_t length, size_t headroom, taps_buffer **ret_buffer)
{
    if (!context || !ret_buffer)
        return TAPS_E_ARGUMENT;
    if (length > TAPSI_BUFFER_MAX || headroom > TAPSI_BUFFER_MAX - length)
        return TAPS_E_RANGE;
    struct tapsi_loop *loop = &context->loop;
    size_t size = headroom + length;
    struct tapsi_buffer *bytes =
        size <= TAPSI_OP_SMALL ? tapsi_loop_write_buffer(loop, size) : tapsi_loop_large_buffer(loop, size);
    if (!bytes)
        return TAPS_E_MEMORY;
    int err = tapsi_app_buffer_new(context, bytes, bytes->data + bytes->used, headroom, length, ret_buffer);
    if (err)
        tapsi_buffer_unref(bytes);
    else
        bytes->used += (uint32_t)size;
    return err;
}

TAPS_API int taps_received_keep(const struct taps_received *message, taps_buffer **ret_buffer)
{
    if (!message || !message->context || !ret_buffer)
        return TAPS_E_ARGUMENT;
    struct taps_context *context = tapsi_received_by(message->context);
    if (!context)
        return TAPS_E_ARGUMENT;
    if (!message->held)
        return message->length ? TAPS_E_ARGUMENT : taps_buffer_new(context, 0, 0, ret_buffer);
    struct tapsi_buffer *bytes = tapsi_buffer_ref(message->held);
    uint8_t *first = bytes->data + ((const uint8_t *)message->data - bytes->data);
    int err = tapsi_app_buffer_new(context, bytes, first, 0, message->length, ret_buffer);
    if (err)
        tapsi_buffer_unref(bytes);
    return err;
}

TAPS_API taps_buffer *taps_buffer_ref(taps_buffer *b)
{
    if (b)
        tapsi_buffer_ref(&b->foreign.buffer);
    return b;
}

TAPS_API void taps_buffer_unref(taps_buffer *b)
{
    if (b)
        tapsi_buffer_unref(&b->foreign.buffer);
}

TAPS_API void *taps_buffer_data(const taps_buffer *b)
{
    return b ? b->data : NULL;
}

TAPS_API size_t taps_buffer_length(const taps_buffer *b)
{
    return b ? b->length : 0;
}

static int check_alone(const taps_buffer *b)
{
    return !b ? TAPS_E_ARGUMENT : b->foreign.buffer.refs > 1 ? TAPS_E_STATE : 0;
}

TAPS_API int taps_buffer_trim(taps_buffer *b, size_t offset, size_t length)
{
    int err = check_alone(b);
    if (err)
        return err;
    if (offset > b->length || (length != SIZE_MAX && length > b->length - offset))
        return TAPS_E_RANGE;
    b->data += offset;
    b->length = length == SIZE_MAX ? b->length - offset : length;
    return 0;
}

TAPS_API int taps_buffer_prepend(taps_buffer *b, const void *data, size_t length)
{
    int err = check_alone(b);
    if (err)
        return err;
    if (!data && length)
        return TAPS_E_ARGUMENT;
    if (length > (size_t)(b->data - b->first))
        return TAPS_E_RANGE;
    b->data -= length;
    b->length += length;
    if (length)
        memmove(b->data, data, length);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- sending */

/* Of the bytes of all pieces: 0, TAPS_E_ARGUMENT or TAPS_E_RANGE. */
static int check_pieces(const struct iovec *pieces, size_t count, size_t *ret_length)
{
    size_t length = 0;
    if (!pieces && count)
        return TAPS_E_ARGUMENT;
    if (count > TAPS_PIECES_MAX)
        return TAPS_E_RANGE;
    for (size_t i = 0; i < count; i++) {
        if ((!pieces[i].iov_base && pieces[i].iov_len) || pieces[i].iov_len > PTRDIFF_MAX - length)
            return TAPS_E_ARGUMENT;
        length += pieces[i].iov_len;
    }
    *ret_length = length;
    return 0;
}

TAPS_API int taps_connection_sendv(taps_connection *c, const struct iovec *pieces, size_t count,
                                   const taps_message_context *context, unsigned flags, void *tag)
{
    struct tapsi_sending s = {.pieces = pieces, .count = count, .context = context, .flags = flags, .tag = tag};
    if (!c || !tapsi_send_arguments_ok(NULL, 0, flags))
        return TAPS_E_ARGUMENT;
    int err = check_pieces(pieces, count, &s.length);
    return err ? err : tapsi_connection_send(c, &s);
}

TAPS_API int taps_connection_send_lent(taps_connection *c, const struct iovec *pieces, size_t count,
                                       const taps_message_context *context, unsigned flags, void *tag,
                                       void (*release)(void *arg), void *arg)
{
    struct tapsi_sending s = {.pieces = pieces, .count = count, .context = context, .flags = flags, .tag = tag};
    if (!c || !release || flags & ~(unsigned)TAPS_SEND_PARTIAL)
        return TAPS_E_ARGUMENT;
    int err = check_pieces(pieces, count, &s.length);
    if (err)
        return err;
    struct tapsi_lent *lent = tapsi_lent_new(c->context, release, arg);
    if (!lent)
        return TAPS_E_MEMORY;
    s.keeper = tapsi_lent_keeper(lent);
    err = tapsi_connection_send(c, &s);
    if (err)
        tapsi_lent_forget(lent);
    else
        tapsi_buffer_unref(s.keeper);
    return err;
}

TAPS_API int taps_connection_send_buffer(taps_connection *c, taps_buffer *b, const taps_message_context *context,
                                         unsigned flags, void *tag)
{
    if (!c || !b || b->context != c->context || flags & ~(unsigned)TAPS_SEND_PARTIAL)
        return TAPS_E_ARGUMENT;
    struct iovec piece = {b->data, b->length};
    return tapsi_connection_send(c, &(struct tapsi_sending){.pieces = &piece,
                                                            .count = 1,
                                                            .length = b->length,
                                                            .context = context,
                                                            .flags = flags,
                                                            .tag = tag,
                                                            .keeper = &b->foreign.buffer});
}
