/*
 * The streams of permessage-deflate (RFC 7692, 7.2), through zlib. They take and give pieces, so that neither what is
 * large nor what inflates a thousandfold needs more memory than a piece.
 */
#ifndef TAPSI_MESSAGE_WS_DEFLATE_H
#define TAPSI_MESSAGE_WS_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define ZLIB_CONST
#include <zlib.h>
#include "message/ws_extension.h"

/* ---------------------------------------------------------------------------------------------------- streams */

/* The memory of a stream: realloc; block NULL allocates, size 0 frees. */
typedef void *(*tapsi_ws_resize)(void *owner, void *block, size_t size);

struct tapsi_ws_deflate {
    void *owner;
    tapsi_ws_resize resize;
    z_stream out, in;
    bool out_made, in_made;
    bool out_no_context, in_no_context;
    uint8_t out_bits, in_bits; /* 8 to 15 */
    uint8_t tail;              /* in: so many of the four bytes that end every Message were given */
    uint8_t *out_begin;        /* of the piece that is being compressed */
};

/* No memory is taken before there is something to compress, or to inflate. */
void tapsi_ws_deflate_init(struct tapsi_ws_deflate *d, const struct tapsi_ws_agreement *agreed, bool server,
                           tapsi_ws_resize resize, void *owner);
void tapsi_ws_deflate_done(struct tapsi_ws_deflate *d);
/* zlib has no window of 2^8 bytes: with a peer that insists on it, Messages go as they are. */
static inline bool tapsi_ws_deflate_possible(const struct tapsi_ws_deflate *d)
{
    return d->out_bits > 8;
}

/* The most that a piece of `length` bytes becomes, and the memory of the stream: 0 = no memory. */
size_t tapsi_ws_deflate_bound(struct tapsi_ws_deflate *d, size_t length);
/* A piece is compressed from any number of buffers into `to`, which has room for its bound. finish returns how many
   bytes it became; all of the piece is in them. `end`: the Message ends with it. */
void tapsi_ws_deflate_begin(struct tapsi_ws_deflate *d, uint8_t *to, size_t room);
void tapsi_ws_deflate_add(struct tapsi_ws_deflate *d, const void *from, size_t length);
size_t tapsi_ws_deflate_finish(struct tapsi_ws_deflate *d, bool end);

enum tapsi_ws_inflated {
    TAPSI_WS_INFLATE_MORE,  /* all that came is taken; nothing more comes of it */
    TAPSI_WS_INFLATE_AGAIN, /* `to` is full, there may be more */
    TAPSI_WS_INFLATE_WRONG, /* that was not DEFLATE */
    TAPSI_WS_INFLATE_MEMORY,
};
/* Inflates into `to`. `end`: the Message's last bytes are among these; then MORE means that it is whole, and the
   stream is ready for the next. */
enum tapsi_ws_inflated tapsi_ws_inflate(struct tapsi_ws_deflate *d, const uint8_t *from, size_t length, bool end,
                                        uint8_t *to, size_t room, size_t *ret_taken, size_t *ret_written);

#endif
