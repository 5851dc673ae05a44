/*
 * Connection IDs that the peer takes back twice. ngtcp2 before 1.4 ends the process when it is to retire one that it is
 * retiring already, and it retires each that a NEW_CONNECTION_ID frame brings too late: whose sequence number is below
 * a "retire prior to" that came before. A peer can send such frames as it likes, and an honest one may repeat a frame
 * that got lost. So they are taken out of what was decrypted, before the engine sees it.
 *
 * Frames are told apart as that engine does it, not as RFC 9000 has it, or a peer could hide some from us: a type is
 * one byte, and one that is not known is STREAM if that bit is set. Where the engine finds an error the walk may end,
 * since it ends the connection.
 *
 * The engine may drop a packet that was looked at (it came twice, or by a path that it does not take). Then `retired`
 * is ahead of what the engine knows: the peer, whose packet is not acknowledged, will say it again.
 *
 * A client's engine, of any version, must not be made to retire its first one before the handshake is over: it ends the
 * process when it then writes the last packet of that. So "retire prior to" is zero until then (OPENING).
 *
 * What is taken out becomes PATH_RESPONSE, which answers nothing, and padding: like the frame that it was it is to be
 * acknowledged, and is no sign that the peer has moved. Early data cannot have it; there it is padding alone.
 */
#include <string.h>
#include "stack/quic/quic.h"

enum frame {
    PADDING = 0x00,
    ACK = 0x02,
    ACK_ECN = 0x03,
    STREAM = 0x08,
    STREAM_LENGTH = 0x02,
    STREAM_OFFSET = 0x04,
    NEW_CONNECTION_ID = 0x18,
    PATH_RESPONSE = 0x1b
};

#define RESPONSE    8
#define RESET_TOKEN 16

struct walk {
    uint8_t *at, *end;
};

/* Numbers, and behind them bytes: as many as the last number says, or a fixed count. */
struct shape {
    uint8_t known, numbers, counted, bytes;
};

static const struct shape shapes[] = {
    [0x01] = {1, 0, 0, 0},                               /* PING */
    [0x04] = {1, 3, 0, 0},                               /* RESET_STREAM */
    [0x05] = {1, 2, 0, 0},                               /* STOP_SENDING */
    [0x06] = {1, 2, 1, 0},                               /* CRYPTO */
    [0x07] = {1, 1, 1, 0},                               /* NEW_TOKEN */
    [0x10] = {1, 1, 0, 0},                               /* MAX_DATA */
    [0x11] = {1, 2, 0, 0},                               /* MAX_STREAM_DATA */
    [0x12] = {1, 1, 0, 0},                               /* MAX_STREAMS */
    [0x13] = {1, 1, 0, 0},        [0x14] = {1, 1, 0, 0}, /* DATA_BLOCKED */
    [0x15] = {1, 2, 0, 0},                               /* STREAM_DATA_BLOCKED */
    [0x16] = {1, 1, 0, 0},                               /* STREAMS_BLOCKED */
    [0x17] = {1, 1, 0, 0},        [0x19] = {1, 1, 0, 0}, /* RETIRE_CONNECTION_ID */
    [0x1a] = {1, 0, 0, RESPONSE},                        /* PATH_CHALLENGE */
    [0x1b] = {1, 0, 0, RESPONSE}, [0x1c] = {1, 3, 1, 0}, /* CONNECTION_CLOSE */
    [0x1d] = {1, 2, 1, 0},        [0x1e] = {1, 0, 0, 0}, /* HANDSHAKE_DONE */
    [0x31] = {1, 1, 1, 0},                               /* DATAGRAM */
};

static bool skip(struct walk *w, uint64_t count)
{
    if (count > (uint64_t)(w->end - w->at))
        return false;
    w->at += count;
    return true;
}

static bool take_number(struct walk *w, uint64_t *ret)
{
    if (w->at == w->end)
        return false;
    const uint8_t *p = w->at;
    unsigned length = 1u << (*p >> 6);
    uint64_t value = *p & 0x3f;
    if (!skip(w, length))
        return false;
    for (unsigned i = 1; i < length; i++)
        value = value << 8 | p[i];
    *ret = value;
    return true;
}

static bool skip_numbers(struct walk *w, uint64_t count, uint64_t *ret_last)
{
    for (; count > 0; count--) {
        if (!take_number(w, ret_last))
            return false;
    }
    return true;
}

static bool skip_ack(struct walk *w, bool ecn)
{
    uint64_t ranges;
    return skip_numbers(w, 3, &ranges) && ranges <= (uint64_t)(w->end - w->at) &&
           skip_numbers(w, 1 + 2 * ranges + (ecn ? 3 : 0), &ranges);
}

static bool skip_shape(struct walk *w, const struct shape *shape)
{
    uint64_t last = 0;
    return shape->known && skip_numbers(w, shape->numbers, &last) && skip(w, shape->counted ? last : shape->bytes);
}

/* One without a length is the last. */
static bool skip_stream(struct walk *w, uint8_t type)
{
    const struct shape shape = {1, type & STREAM_OFFSET ? 3 : 2, 1, 0};
    return type & STREAM_LENGTH && skip_shape(w, &shape);
}

static void take_out(uint8_t *from, const uint8_t *to, bool early)
{
    memset(from, PADDING, (size_t)(to - from));
    if (!early)
        *from = PATH_RESPONSE;
}

/* In as many bytes. */
static void become_zero(uint8_t *from, const uint8_t *to)
{
    *from &= 0xc0;
    memset(from + 1, 0, (size_t)(to - from) - 1);
}

static bool look_at_id(struct walk *w, uint8_t *frame, enum quic_scrub how, uint64_t *retired)
{
    uint64_t number, prior;
    if (!take_number(w, &number))
        return false;
    uint8_t *at = w->at;
    if (!take_number(w, &prior) || prior > number)
        return false;
    if (how == QUIC_SCRUB_OPENING && prior) {
        become_zero(at, w->at);
        prior = 0;
    }
    if (w->at == w->end || !skip(w, 1u + *w->at + RESET_TOKEN))
        return false;
    if (number < *retired)
        take_out(frame, w->at, how == QUIC_SCRUB_EARLY);
    else if (prior > *retired)
        *retired = prior;
    return true;
}

static bool skip_padding(struct walk *w)
{
    while (w->at != w->end && *w->at == PADDING)
        w->at++;
    return true;
}

static bool look_at_frame(struct walk *w, enum quic_scrub how, uint64_t *retired)
{
    uint8_t *frame = w->at++, type = *frame;
    if (type == PADDING)
        return skip_padding(w);
    if (type == NEW_CONNECTION_ID)
        return look_at_id(w, frame, how, retired);
    if (type == ACK || type == ACK_ECN)
        return skip_ack(w, type == ACK_ECN);
    if (type < sizeof(shapes) / sizeof(shapes[0]) && shapes[type].known)
        return skip_shape(w, &shapes[type]);
    return type & STREAM && skip_stream(w, type);
}

void tapsi_quic_scrub(uint8_t *frames, size_t length, enum quic_scrub how, uint64_t *retired)
{
    struct walk w = {frames, frames + length};
    while (w.at != w.end && look_at_frame(&w, how, retired))
        ;
}

/* ------------------------------------------------------------------------------------------------ the callback */

/* The engine does not tell it whose packet it is, but calls it only while one is read. */
static _Thread_local struct quic_session *reader;

void tapsi_quic_reads(struct quic_session *s)
{
    reader = s;
}

/* Which guard there is for a packet, by the first byte of its header. */
static bool is_guarded(const struct quic_session *s, uint8_t first, enum quic_scrub *ret_how)
{
    bool opening = s->role == TAPSI_ROLE_CLIENT && s->state == QUIC_HANDSHAKE;
    bool early = (first & 0xb0) == 0x90;
    *ret_how = early ? QUIC_SCRUB_EARLY : opening ? QUIC_SCRUB_OPENING : QUIC_SCRUB_OPEN;
    return (QUIC_RETIRES_ONCE || opening) && (early || !(first & 0x80));
}

int tapsi_quic_decrypt(uint8_t *to, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *context,
                       const uint8_t *from, size_t length, const uint8_t *nonce, size_t nonce_length,
                       const uint8_t *header, size_t header_length)
{
    enum quic_scrub how;
    int r = ngtcp2_crypto_decrypt_cb(to, aead, context, from, length, nonce, nonce_length, header, header_length);
    if (r == 0 && reader && header_length && is_guarded(reader, *header, &how))
        tapsi_quic_scrub(to, length - aead->max_overhead, how, &reader->retired);
    return r;
}
