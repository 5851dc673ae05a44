/*
 * A peer that takes the same connection IDs back again and again, by frames in the place of its packets' padding.
 * ngtcp2 before 1.4 ends the process when it is to retire one for the second time; nothing of that may reach it
 * (scrub.c). Here both ends are such a peer for the other.
 */
#include <stdlib.h>
#include "stack/quic/test_net.h"

#define S      TAPSI_SIM_S
#define FRAME  (1 + 1 + 1 + 1 + QUIC_CID + 16) /* of a small sequence number */
#define NUMBER 3                               /* to be repeated */
#define LAST   6                               /* before it, all are taken back; the first is in use then */

/* The linker gives us the calls of the engine's callback (meson.build). */
int __wrap_ngtcp2_crypto_encrypt_cb(uint8_t *to, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *context,
                                    const uint8_t *from, size_t length, const uint8_t *nonce, size_t nonce_length,
                                    const uint8_t *header, size_t header_length);

/* What one end, known by its key, has told of its IDs. */
struct hostile {
    const void *key;
    uint8_t last[FRAME];
    bool has_last;
    unsigned frames, packets; /* of ours: repeated, and with them */
};

static struct {
    bool on, dead; /* dead: an ID that nobody has is told as well */
    struct hostile ends[8];
} hostility;

static struct hostile *end_of(const void *key)
{
    struct hostile *h = hostility.ends;
    while (h < hostility.ends + 7 && h->key && h->key != key)
        h++;
    h->key = key;
    return h;
}

/* NEW_CONNECTION_ID of the session's own are written one behind the other. */
static void note_ids(struct hostile *h, const uint8_t *frames, size_t length)
{
    for (size_t i = 0; i + FRAME <= length && !h->has_last; i++) {
        if (frames[i] == 0x18 && frames[i + 1] == LAST && !frames[i + 2] && frames[i + 3] == QUIC_CID) {
            memcpy(h->last, frames + i, FRAME);
            h->last[2] = LAST; /* retire prior to */
            h->has_last = true;
        }
    }
}

static uint8_t *put_id(uint8_t *at, uint8_t number, uint8_t prior)
{
    at[0] = 0x18;
    at[1] = number;
    at[2] = prior;
    at[3] = QUIC_CID;
    memset(at + 4, 0x40 + number, QUIC_CID + 16);
    return at + FRAME;
}

/* All of them are taken back, then some are told again. */
static void fill(struct hostile *h, uint8_t *at, const uint8_t *end)
{
    memcpy(at, h->last, FRAME);
    at += FRAME;
    if (hostility.dead && end - at >= FRAME)
        at = put_id(at, 20, 20);
    for (; end - at >= FRAME; h->frames++)
        at = put_id(at, h->frames % 2 == 0 ? NUMBER : (uint8_t)(1 + h->frames / 2 % (LAST - 1)), 0);
    h->packets++;
}

int __wrap_ngtcp2_crypto_encrypt_cb(uint8_t *to, const ngtcp2_crypto_aead *aead, const ngtcp2_crypto_aead_ctx *context,
                                    const uint8_t *from, size_t length, const uint8_t *nonce, size_t nonce_length,
                                    const uint8_t *header, size_t header_length)
{
    static uint8_t changed[65536];
    struct hostile *h = end_of(context->native_handle);
    size_t used = length;
    bool application = !(header[0] & 0x80);
    while (used > 0 && !from[used - 1])
        used--;
    if (application)
        note_ids(h, from, length);
    if (application && h->has_last && hostility.on && length - used >= 24 + 3 * FRAME) {
        memcpy(changed, from, length);
        fill(h, changed + used + 24, changed + length); /* the zeros may be the end of a frame */
        from = changed;
    }
    return ngtcp2_crypto_encrypt(to, aead, context, from, length, nonce, nonce_length, header, header_length) ? -1 : 0;
}

static void begin(struct net *n, bool dead)
{
    memset(&hostility, 0, sizeof(hostility));
    hostility.dead = dead;
    net_begin(n);
    n->server_echo = true;
    net_open(n);
}

static void check_echo(struct net *n, struct end *e, size_t from)
{
    CHECK(e->layer);
    if (!e->layer)
        return;
    net_send_many(e, from, 100000, 0);
    net_run(n, 3 * S);
    CHECK_INT(e->got_length, from + 100000);
    CHECK_INT(e->wrong, 0);
}

static unsigned repeated(unsigned *ret_ends)
{
    unsigned ret = 0;
    *ret_ends = 0;
    for (unsigned i = 0; i < 8; i++) {
        ret += hostility.ends[i].frames;
        *ret_ends += hostility.ends[i].packets > 1;
    }
    return ret;
}

/* proves IMPL-36 */
TEST(a_peer_that_takes_connection_ids_back_twice_is_served_on)
{
    struct net n;
    unsigned ends;
    begin(&n, false);
    struct end *e = net_handshake(&n);
    CHECK(e && e->ready);
    hostility.on = true;
    for (unsigned i = 0; e && e->ready && i < 4; i++) {
        check_echo(&n, e, i * 100000);
        if (e->layer)
            net_rebind(e); /* paths are validated by padded packets */
    }
    CHECK(repeated(&ends) > 20);
    CHECK_INT(ends, 2);
    CHECK(!e || (e->layer && !e->closed));
    net_finish(&n);
}

/* proves IMPL-36 */
TEST(a_peer_whose_ids_are_then_none_of_its_own_harms_only_itself)
{
    struct net n;
    unsigned ends;
    begin(&n, true);
    struct end *first = net_handshake(&n);
    CHECK(first && first->ready);
    hostility.on = true;
    if (first && first->ready)
        net_rebind(first);
    if (first && first->ready)
        net_send_text(first, "one", 0);
    net_run(&n, 3 * S);
    CHECK(repeated(&ends) > 20);
    hostility.on = false;
    struct end *e = net_handshake(&n);
    CHECK(e && e->ready);
    if (e && e->ready)
        check_echo(&n, e, 0);
    net_finish(&n);
}

/* The client's engine, of any version, ends the process when it is to take back its first one so early. */
TEST(ids_that_are_taken_back_before_the_handshake_is_over_harm_nobody)
{
    struct net n;
    unsigned ends;
    begin(&n, false);
    hostility.on = true;
    struct end *first = net_handshake(&n); /* it may fail, by the rules */
    if (first && first->ready)
        net_send_text(first, "one", 0);
    net_run(&n, 3 * S);
    CHECK(repeated(&ends) > 0);
    hostility.on = false;
    struct end *e = net_handshake(&n);
    CHECK(e && e->ready);
    if (e && e->ready)
        check_echo(&n, e, 0);
    net_finish(&n);
}
