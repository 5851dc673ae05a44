/*
 * First flights with early data are remembered as long as the ticket in them is good, so that one that is played again
 * is found out. GnuTLS's own window of 10 s would refuse early data of all older tickets whenever it begins anew.
 *
 * The set is open addressing over digests made with the secret, so that nobody can choose where his falls. It doubles
 * up to TAPSI_SEEN_MAX; what has expired is thrown out first. When it is full, early data is refused, and the handshake
 * goes on without.
 */
#include "stack/secure/issuer.h"

#include <gnutls/crypto.h>
#include <string.h>

#define SECRET   64 /* what GnuTLS takes for a ticket key */
#define SEEN_MIN 64

struct seen {
    uint8_t digest[24];
    uint64_t expires; /* 0 = free */
};

struct tapsi_issuer {
    struct tapsi_mem *mem;
    unsigned lifetime; /* seconds */
    uint8_t secret[SECRET];
    gnutls_anti_replay_t replay; /* NULL: no session has asked for it */
    struct seen *seen;
    size_t count, capacity; /* a power of two, or 0 */
    uint64_t cleaned;       /* seconds: when it was last looked through for what has expired */
};

struct tapsi_issuer *tapsi_issuer_new(struct tapsi_mem *mem, unsigned lifetime_seconds)
{
    struct tapsi_issuer *i = tapsi_zalloc(mem, sizeof(*i));
    if (!i)
        return NULL;
    i->mem = mem;
    i->lifetime = lifetime_seconds;
    if (gnutls_rnd(GNUTLS_RND_KEY, i->secret, sizeof(i->secret)) < 0) {
        tapsi_free(mem, i);
        return NULL;
    }
    return i;
}

void tapsi_issuer_free(struct tapsi_issuer *i)
{
    if (!i)
        return;
    struct tapsi_mem *mem = i->mem;
    if (i->replay)
        gnutls_anti_replay_deinit(i->replay);
    tapsi_free(mem, i->seen);
    explicit_bzero(i, sizeof(*i));
    tapsi_free(mem, i);
}

int tapsi_issuer_enable(struct tapsi_issuer *i, gnutls_session_t session, const void *binding, size_t length)
{
    uint8_t own[SECRET];
    gnutls_datum_t key = {i->secret, sizeof(i->secret)};
    int r = 0;
    if (length) {
        r = gnutls_hmac_fast(GNUTLS_MAC_SHA512, i->secret, sizeof(i->secret), binding, length, own);
        key.data = own;
    }
    gnutls_db_set_cache_expiration(session, (int)i->lifetime); /* the key is made of it: it goes first */
    if (r >= 0)
        r = gnutls_session_ticket_enable_server(session, &key);
    explicit_bzero(own, sizeof(own));
    return r;
}

/* ------------------------------------------------------------------------------------------- seen before */

static struct seen *place_of(const struct tapsi_issuer *i, const uint8_t *digest)
{
    size_t at;
    memcpy(&at, digest, sizeof(at));
    for (;; at++) {
        struct seen *s = &i->seen[at & (i->capacity - 1)];
        if (!s->expires || memcmp(s->digest, digest, sizeof(s->digest)) == 0)
            return s;
    }
}

/* Into a table of this capacity, without what has expired. False = no memory. */
static bool rebuild(struct tapsi_issuer *i, size_t capacity, uint64_t now)
{
    struct seen *old = i->seen;
    size_t old_capacity = i->capacity;
    struct seen *fresh = tapsi_calloc(i->mem, capacity, sizeof(*fresh));
    if (!fresh)
        return false;
    i->seen = fresh;
    i->capacity = capacity;
    i->count = 0;
    for (size_t k = 0; k < old_capacity; k++) {
        if (old[k].expires <= now)
            continue;
        *place_of(i, old[k].digest) = old[k];
        i->count++;
    }
    tapsi_free(i->mem, old);
    return true;
}

/* At most three quarters are in use. */
static bool make_room(struct tapsi_issuer *i, uint64_t now)
{
    if (i->count < i->capacity / 4 * 3)
        return true;
    if (!i->capacity)
        return rebuild(i, SEEN_MIN, now);
    if (i->cleaned == now && i->capacity == TAPSI_SEEN_MAX)
        return false; /* not for each one of a flood */
    i->cleaned = now;
    if (!rebuild(i, i->capacity, now))
        return false;
    if (i->count >= i->capacity / 2 && i->capacity < TAPSI_SEEN_MAX && !rebuild(i, i->capacity * 2, now))
        return false;
    return i->count < i->capacity / 4 * 3;
}

bool tapsi_issuer_first_time(struct tapsi_issuer *i, const void *key, size_t length, uint64_t expires)
{
    uint8_t digest[32];
    uint64_t now = expires > i->lifetime ? expires - i->lifetime : 0;
    if (!expires || gnutls_hmac_fast(GNUTLS_MAC_SHA256, i->secret, sizeof(i->secret), key, length, digest) < 0 ||
        !make_room(i, now))
        return false;
    struct seen *s = place_of(i, digest);
    if (s->expires > now)
        return false;
    if (!s->expires)
        i->count++;
    memcpy(s->digest, digest, sizeof(s->digest));
    s->expires = expires;
    return true;
}

/* Called within the handshake. */
static int add(void *issuer, time_t expires, const gnutls_datum_t *key, const gnutls_datum_t *data)
{
    (void)data;
    bool fresh = expires > 0 && tapsi_issuer_first_time(issuer, key->data, key->size, (uint64_t)expires);
    return fresh ? 0 : GNUTLS_E_DB_ENTRY_EXISTS;
}

int tapsi_issuer_allow_early(struct tapsi_issuer *i, gnutls_session_t session, size_t most)
{
    if (!i->replay) {
        int r = gnutls_anti_replay_init(&i->replay);
        if (r < 0) {
            i->replay = NULL;
            return r;
        }
        gnutls_anti_replay_set_window(i->replay, i->lifetime * 1000U); /* at most 7 days: it fits */
        gnutls_anti_replay_set_add_function(i->replay, add);
        gnutls_anti_replay_set_ptr(i->replay, i);
    }
    gnutls_anti_replay_enable(session, i->replay);
    return gnutls_record_set_max_early_data_size(session, most);
}
