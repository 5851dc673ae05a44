#include "message/ws_deflate.h"
#include <assert.h>
#include <string.h>

/* What a flush ends with, and what is left out at the end of a Message (RFC 7692, 7.2.1). */
static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};

static void *allocate(void *owner, unsigned count, unsigned size)
{
    struct tapsi_ws_deflate *d = owner;
    return d->resize(d->owner, NULL, (size_t)count * size);
}

static void release(void *owner, void *block)
{
    struct tapsi_ws_deflate *d = owner;
    d->resize(d->owner, block, 0);
}

static uint8_t whole_bits(uint8_t bits)
{
    return bits ? bits : 15;
}

void tapsi_ws_deflate_init(struct tapsi_ws_deflate *d, const struct tapsi_ws_agreement *agreed, bool server,
                           tapsi_ws_resize resize, void *owner)
{
    *d = (struct tapsi_ws_deflate){
        .owner = owner,
        .resize = resize,
        .out_no_context = server ? agreed->server_no_context : agreed->client_no_context,
        .in_no_context = server ? agreed->client_no_context : agreed->server_no_context,
        .out_bits = whole_bits(server ? agreed->server_bits : agreed->client_bits),
        .in_bits = whole_bits(server ? agreed->client_bits : agreed->server_bits),
    };
    d->out.zalloc = d->in.zalloc = allocate;
    d->out.zfree = d->in.zfree = release;
    d->out.opaque = d->in.opaque = d;
}

void tapsi_ws_deflate_done(struct tapsi_ws_deflate *d)
{
    if (d->out_made)
        deflateEnd(&d->out);
    if (d->in_made)
        inflateEnd(&d->in);
    d->out_made = d->in_made = false;
}

/* ---------------------------------------------------------------------------------------------------- deflate */

size_t tapsi_ws_deflate_bound(struct tapsi_ws_deflate *d, size_t length)
{
    if (!d->out_made) {
        if (deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -d->out_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
            return 0;
        d->out_made = true;
    }
    /* zlib's bound is for a stream that ends; a flush instead of the end takes a few bytes more. */
    return deflateBound(&d->out, length) + 16;
}

void tapsi_ws_deflate_begin(struct tapsi_ws_deflate *d, uint8_t *to, size_t room)
{
    d->out_begin = to;
    d->out.next_out = to;
    d->out.avail_out = (unsigned)room;
}

static void compress_some(struct tapsi_ws_deflate *d, const void *from, size_t length, int flush)
{
    d->out.next_in = from;
    d->out.avail_in = (unsigned)length;
    deflate(&d->out, flush);
    assert(d->out.avail_in == 0 && d->out.avail_out > 0);
}

void tapsi_ws_deflate_add(struct tapsi_ws_deflate *d, const void *from, size_t length)
{
    if (length)
        compress_some(d, from, length, Z_NO_FLUSH);
}

/* A flush that has nothing to flush writes nothing: the Message then ends with an empty block (RFC 7692, 7.2.3.6). */
size_t tapsi_ws_deflate_finish(struct tapsi_ws_deflate *d, bool end)
{
    compress_some(d, NULL, 0, Z_SYNC_FLUSH);
    size_t written = (size_t)(d->out.next_out - d->out_begin);
    if (end && written >= sizeof(tail)) {
        written -= sizeof(tail);
        assert(memcmp(d->out_begin + written, tail, sizeof(tail)) == 0);
    }
    if (end && written == 0)
        d->out_begin[written++] = 0;
    if (end && d->out_no_context)
        deflateReset(&d->out);
    return written;
}

/* ---------------------------------------------------------------------------------------------------- inflate */

static bool make_in(struct tapsi_ws_deflate *d)
{
    if (!d->in_made)
        d->in_made = inflateInit2(&d->in, -(d->in_bits > 8 ? d->in_bits : 9)) == Z_OK;
    return d->in_made;
}

/* False: not DEFLATE. A last block does not end the stream: others may follow it, and refer to what was before
   (RFC 7692, 7.2.3.4). */
static bool inflate_some(struct tapsi_ws_deflate *d)
{
    for (;;) {
        int result = inflate(&d->in, Z_SYNC_FLUSH);
        if (result == Z_STREAM_END) {
            inflateResetKeep(&d->in);
            if (d->in.avail_in && d->in.avail_out)
                continue;
            return true;
        }
        return result == Z_OK || result == Z_BUF_ERROR;
    }
}

static bool inflate_tail(struct tapsi_ws_deflate *d)
{
    uint8_t copy[sizeof(tail)];
    memcpy(copy, tail, sizeof(tail));
    d->in.next_in = copy + d->tail;
    d->in.avail_in = (unsigned)(sizeof(tail) - d->tail);
    bool good = inflate_some(d);
    d->tail = (uint8_t)(sizeof(tail) - d->in.avail_in);
    return good;
}

/* Between two blocks, with no bits left over: nowhere else can a Message end. */
static bool between_blocks(const struct tapsi_ws_deflate *d)
{
    return d->in.data_type == 128;
}

enum tapsi_ws_inflated tapsi_ws_inflate(struct tapsi_ws_deflate *d, const uint8_t *from, size_t length, bool end,
                                        uint8_t *to, size_t room, size_t *ret_taken, size_t *ret_written)
{
    if (!make_in(d))
        return TAPSI_WS_INFLATE_MEMORY;
    d->in.next_in = from;
    d->in.avail_in = (unsigned)length;
    d->in.next_out = to;
    d->in.avail_out = (unsigned)room;
    bool good = length == 0 || inflate_some(d);
    *ret_taken = length - d->in.avail_in;
    if (good && length == 0)
        good = inflate_some(d);
    if (good && end && *ret_taken == length && d->in.avail_out)
        good = inflate_tail(d);
    *ret_written = room - d->in.avail_out;
    if (!good)
        return TAPSI_WS_INFLATE_WRONG;
    if (d->in.avail_out == 0)
        return TAPSI_WS_INFLATE_AGAIN;
    if (!end)
        return TAPSI_WS_INFLATE_MORE;
    if (!between_blocks(d))
        return TAPSI_WS_INFLATE_WRONG;
    d->tail = 0;
    if (d->in_no_context)
        inflateReset(&d->in);
    return TAPSI_WS_INFLATE_MORE;
}
