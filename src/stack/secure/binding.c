#include "stack/secure/binding.h"

#include <gnutls/crypto.h>
#include <string.h>

struct digest {
    gnutls_hash_hd_t hash;
    bool failed;
};

/* With its length, so that nothing can be moved from one field to the next. */
static void add(struct digest *d, const void *bytes, size_t length)
{
    uint8_t size[4] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    if (!d->failed)
        d->failed = gnutls_hash(d->hash, size, sizeof(size)) < 0 || (length && gnutls_hash(d->hash, bytes, length) < 0);
}

static void add_number(struct digest *d, uint64_t number)
{
    char text[24];
    add(d, text, tapsi_format(text, sizeof(text), "%llu", (unsigned long long)number));
}

static void add_names(struct digest *d, const struct tapsi_names *names)
{
    add_number(d, names->count);
    for (size_t i = 0; i < names->count; i++)
        add(d, names->names[i], strlen(names->names[i]));
}

static void add_list(struct digest *d, const struct tapsi_bytes *list, size_t count)
{
    add_number(d, count);
    for (size_t i = 0; i < count; i++)
        add(d, list[i].data, list[i].length);
}

/* No more than a ClientHello shows: there too stands a MAC made with it. */
static void add_key(struct digest *d, const struct tapsi_bytes *key)
{
    static const char label[] = "taps pre-shared key";
    uint8_t mac[32];
    d->failed |= gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->data, key->length, label, sizeof(label), mac) < 0;
    add(d, mac, sizeof(mac));
}

static void add_all(struct digest *d, const struct tapsi_security *s)
{
    add_number(d, 2); /* of this list of fields */
    add_number(d, s->mode);
    add_number(d, tapsi_security_versions(s));
    add_names(d, &s->alpn);
    add_names(d, &s->groups);
    add_names(d, &s->ciphersuites);
    add_names(d, &s->signatures);
    add_list(d, s->authorities, s->authority_count);
    add_list(d, s->pins, s->pin_count);
    add_list(d, s->key_pins, s->key_pin_count);
    add_number(d, s->psk_count);
    for (size_t i = 0; i < s->psk_count; i++) {
        add(d, s->psks[i].identity.data, s->psks[i].identity.length);
        add_key(d, &s->psks[i].key);
    }
    add_number(d, s->client_count);
    for (size_t i = 0; i < s->client_count; i++)
        add(d, s->client[i].chain.data, s->client[i].chain.length);
}

static bool make(const struct tapsi_security *s, uint8_t *ret)
{
    struct digest d = {NULL, false};
    if (gnutls_hash_init(&d.hash, GNUTLS_DIG_SHA256) < 0)
        return false;
    add_all(&d, s);
    gnutls_hash_deinit(d.hash, ret);
    return !d.failed;
}

bool tapsi_binding(const struct tapsi_security *security, uint8_t ret[TAPSI_BINDING])
{
    struct tapsi_credentials *c = security->derived[0];
    if (!c->has_binding)
        c->has_binding = make(security, c->binding);
    memcpy(ret, c->binding, TAPSI_BINDING);
    return c->has_binding;
}
