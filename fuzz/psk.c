/*
 * Pre-shared keys. The input makes the keys of a server and of a client by the library's calls, and says how they meet:
 * as they are; with an identity and a key of any bytes and length, as another's client may have; with one byte of the
 * handshake changed on its way; or not at all, where the client is a ClientHello made here whose identities and binders
 * the input has written, and what comes behind it.
 *
 * Both are ready only if the server has the client's key by the client's identity, byte for byte, and then both are
 * authenticated; a refusal is in words that a terminal can bear.
 */
#include "input.h"
#include "stack/secure/credentials.h"
#include "stack/tls/test_pair.h"
#include "support.h"

#define KEYS 4

enum way { AS_THEY_ARE, OTHER_IDENTITY, CHANGED, HELLO };

static struct {
    struct fuzz_input in;
    struct tapsi_test_pair pair;
    gnutls_datum_t identity, key; /* that the client shows; borrowed */
} m;

static gnutls_datum_t read_datum(size_t max)
{
    size_t count;
    size_t length = (size_t)fuzz_number(&m.in, 1) | (max > 256 ? (size_t)fuzz_number(&m.in, 1) << 8 : 0);
    const uint8_t *at = fuzz_bytes(&m.in, length < max ? length : max, &count);
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)at, (unsigned)count};
}

/* ----------------------------------------------------------------------------------------------------- the keys */

/* As text in hexadecimal digits, or as bytes. */
static int add_key(struct tapsi_security *s)
{
    bool hex = fuzz_bool(&m.in);
    gnutls_datum_t name = read_datum(256), key = read_datum(1024);
    char *identity = fuzz_copy(name.data, name.size), *bytes = fuzz_copy(key.data, key.size);
    size_t before = s->psk_count;
    int err =
        hex ? tapsi_security_add_psk_hex(s, identity, bytes) : tapsi_security_add_psk(s, identity, bytes, key.size);
    CHECK(err == 0 || err == TAPS_E_RANGE);
    CHECK(s->psk_count <= before + (err == 0) && s->psk_count <= TAPSI_SECURITY_LIST_MAX);
    free(identity);
    free(bytes);
    return err;
}

static void add_keys(struct tapsi_security *s)
{
    unsigned count = 1 + fuzz_below(&m.in, KEYS);
    for (unsigned i = 0; i < count; i++)
        add_key(s);
    if (s->psk_count == 0)
        CHECK_INT(tapsi_security_add_psk(s, "one", "0123456789abcdef", 16), 0);
    for (size_t i = 0; i < s->psk_count; i++) {
        CHECK(s->psks[i].identity.length >= 1 && s->psks[i].identity.length <= 128);
        CHECK(s->psks[i].key.length >= 16 && s->psks[i].key.length <= 256);
    }
}

/* What the client is to show: one of the server's, or what it was given. */
static void choose_shown(enum way way)
{
    const struct tapsi_security *client = m.pair.security[0], *server = m.pair.security[1];
    const struct tapsi_psk *psk = &client->psks[0];
    if (way == OTHER_IDENTITY && fuzz_bool(&m.in)) {
        m.identity = read_datum(65535);
        m.key = read_datum(1024);
        return;
    }
    if (way != AS_THEY_ARE)
        psk = &server->psks[fuzz_below(&m.in, (unsigned)server->psk_count)];
    m.identity = (gnutls_datum_t){psk->identity.data, (unsigned)psk->identity.length};
    m.key = (gnutls_datum_t){psk->key.data, (unsigned)psk->key.length};
}

static bool is_known(void)
{
    const struct tapsi_security *server = m.pair.security[1];
    for (size_t i = 0; i < server->psk_count; i++) {
        const struct tapsi_psk *psk = &server->psks[i];
        if (psk->identity.length == m.identity.size && psk->key.length == m.key.size &&
            memcmp(psk->identity.data, m.identity.data, m.identity.size) == 0 &&
            memcmp(psk->key.data, m.key.data, m.key.size) == 0)
            return true;
    }
    return false;
}

/* In new credentials: GnuTLS loses what was in them before. It may find that this cannot be shown. */
static bool show(void)
{
    const struct tapsi_credentials *made;
    CHECK_INT(tapsi_credentials(m.pair.security[0], TAPSI_ROLE_CLIENT, TAPSI_SECURE_TLS, &made, NULL), 0);
    struct tapsi_credentials *c = m.pair.security[0]->derived[0];
    CHECK(c == made);
    gnutls_psk_free_client_credentials(c->psk_client);
    CHECK(gnutls_psk_allocate_client_credentials(&c->psk_client) >= 0);
    return gnutls_psk_set_client_credentials2(c->psk_client, &m.identity, &m.key, GNUTLS_PSK_KEY_RAW) >= 0;
}

/* --------------------------------------------------------------------------------------------------- a ClientHello */

struct text {
    uint8_t bytes[16384];
    size_t length;
};

static void put(struct text *t, const void *bytes, size_t count)
{
    if (count > sizeof(t->bytes) - t->length)
        count = sizeof(t->bytes) - t->length;
    if (count)
        memcpy(t->bytes + t->length, bytes, count);
    t->length += count;
}

static void put_number(struct text *t, size_t number, unsigned width)
{
    while (width-- > 0)
        put(t, &(uint8_t){(uint8_t)(number >> (8 * width))}, 1);
}

/* With its length in front, in so many bytes. */
static void put_sized(struct text *t, const struct text *inner, unsigned width)
{
    put_number(t, inner->length, width);
    put(t, inner->bytes, inner->length);
}

/* RFC 8446, 4.2.11: identities with their ages, and as many binders, or so. */
static void put_keys(struct text *t)
{
    static struct text identities, binders, all;
    unsigned count = fuzz_below(&m.in, 6);
    identities.length = binders.length = all.length = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct tapsi_psk *known = &m.pair.security[1]->psks[0];
        gnutls_datum_t identity = {known->identity.data, (unsigned)known->identity.length};
        if (fuzz_bool(&m.in))
            identity = read_datum(2048);
        put_number(&identities, identity.size, 2);
        put(&identities, identity.data, identity.size);
        put_number(&identities, 0, 4);
    }
    for (unsigned i = fuzz_bool(&m.in) ? fuzz_below(&m.in, 6) : count; i > 0; i--) {
        gnutls_datum_t binder = read_datum(256);
        put_number(&binders, binder.size, 1);
        put(&binders, binder.data, binder.size);
    }
    put_sized(&all, &identities, 2);
    put_sized(&all, &binders, 2);
    if (fuzz_bool(&m.in)) { /* cut, or more than it says */
        gnutls_datum_t more = read_datum(256);
        all.length -= more.size < all.length ? more.size : 0;
        put(&all, more.data, more.size);
    }
    put_number(t, 41, 2);
    put_sized(t, &all, 2);
}

static void put_extensions(struct text *t)
{
    static const uint8_t usual[] = {
        0, 43, 0, 5,  4, 3,  4, 3,  3,                       /* versions: 1.3 and 1.2 */
        0, 10, 0, 4,  0, 2,  0, 29,                          /* groups: x25519 */
        0, 13, 0, 6,  0, 4,  4, 3,  8, 7,                    /* signatures */
        0, 23, 0, 0,                                         /* extended master secret */
        0, 51, 0, 38, 0, 36, 0, 29, 0, 32, 9, 8, 7, 6, 5, 4, /* a share: any 32 bytes are a point */
        3, 2,  1, 0,  9, 8,  7, 6,  5, 4,  3, 2, 1, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9, 8,
    };
    static const uint8_t modes[] = {0, 45, 0, 3, 2, 0, 1};
    static struct text all;
    all.length = 0;
    put(&all, usual, sizeof(usual));
    if (!fuzz_bool(&m.in))
        put(&all, modes, sizeof(modes));
    gnutls_datum_t more = read_datum(256);
    put(&all, more.data, more.size);
    put_keys(&all);
    put_sized(t, &all, 2);
}

static void say_hello(void)
{
    static const uint8_t suites[] = {0, 10, 0x13, 1, 0x13, 2, 0x13, 3, 0xcc, 0xac, 0xd0, 1, 1, 0};
    static struct text hello, message, record;
    hello.length = message.length = record.length = 0;
    put_number(&hello, 0x0303, 2);
    for (int i = 0; i < 32; i++)
        put_number(&hello, (size_t)i, 1);
    put_number(&hello, 0, 1);
    put(&hello, suites, sizeof(suites));
    put_extensions(&hello);
    put_number(&message, 1, 1);
    put_sized(&message, &hello, 3);
    put_number(&record, 0x160301, 3);
    put_sized(&record, &message, 2);
    tapsi_test_send(&m.pair.client, record.bytes, record.length, 0);
    tapsi_test_pair_run(&m.pair);
    while (m.in.left) { /* a ClientKeyExchange of TLS 1.2 may follow, or anything */
        gnutls_datum_t more = read_datum(1024);
        record.length = 0;
        put_number(&record, 0x160303, 3);
        put_number(&record, more.size, 2);
        put(&record, more.data, more.size);
        if (m.pair.client.top && tapsi_test_send(&m.pair.client, record.bytes, record.length, 0) != 0)
            return;
        tapsi_test_pair_run(&m.pair);
    }
}

/* ------------------------------------------------------------------------------------------------------ the end */

static void check_words(const struct tapsi_test_end *end)
{
    CHECK(!end->closed || end->ready || (end->error.pub.code < 0 && end->error.text[0]));
    for (const char *c = end->error.text; *c; c++)
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_end(enum way way)
{
    const struct tapsi_test_end *client = &m.pair.client, *server = &m.pair.server;
    check_words(server);
    CHECK(way != HELLO || !server->ready);
    if (way == HELLO)
        return;
    check_words(client);
    CHECK(!server->ready || (is_known() && server->info.authenticated));
    CHECK(!client->ready || (is_known() && client->info.authenticated));
    if ((way == AS_THEY_ARE || way == OTHER_IDENTITY) && !m.pair.fail_at && m.identity.size && is_known())
        CHECK(client->ready && server->ready);
}

static void begin(unsigned choice)
{
    CHECK(tapsi_test_pair_init(&m.pair));
    for (int side = 0; side < 2; side++) {
        tapsi_security_unref(m.pair.security[side]);
        m.pair.security[side] = tapsi_security_new(&m.pair.mem, TAPS_SECURITY_REQUIRED);
        if (side == 0 && choice >> 3 & 1)
            tapsi_security_allow(m.pair.security[0], choice >> 2 & 1 ? TAPS_TLS_1_3 : TAPS_TLS_1_2);
        add_keys(m.pair.security[side]);
    }
}

static void meet(enum way way, unsigned fail)
{
    unsigned at = way == CHANGED ? fuzz_below(&m.in, 1024) : 0;
    bool by_server = fuzz_bool(&m.in);
    m.pair.plain[0] = way == HELLO;
    m.pair.fail_at = fail ? m.pair.allocations + fail : 0;
    if (tapsi_test_pair_prepare(&m.pair) != 0)
        return;
    if (way == CHANGED)
        (by_server ? &m.pair.server : &m.pair.client)->stream->flip_at = at;
    if (tapsi_test_pair_start(&m.pair) != 0)
        return;
    tapsi_test_pair_run(&m.pair);
    if (way == HELLO)
        say_hello();
    check_end(way);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&m, 0, sizeof(m));
    m.in = fuzz_input(data, size);
    fuzz_begin();
    unsigned choice = (unsigned)fuzz_number(&m.in, 1), fail = fuzz_below(&m.in, 256);
    enum way way = choice & 3;
    begin(choice);
    choose_shown(way);
    if (way == HELLO || show())
        meet(way, fail);
    CHECK_INT(tapsi_test_pair_done(&m.pair), 0);
    return 0;
}
