/*
 * Who may come in: a ClientHello whose cookie shows that its sender receives what is sent to where it says it is. Until
 * then nothing is kept of it, and it is answered with less than it sent.
 *
 * A cookie is a keyed hash of the sender's address and of the time in steps of DTLS_COOKIE_LIFE; that of the step
 * before is still good. The key is the process's: several Listeners at one port (reusePort) take each other's cookies.
 */
#include "stack/dtls/dtls.h"

#include <gnutls/crypto.h>
#include <pthread.h>
#include <string.h>

#define CLIENT_HELLO     1
#define HANDSHAKE_RECORD 22
#define HANDSHAKE_HEAD   12
#define HELLO_LEAST      (DTLS_HEAD + HANDSHAKE_HEAD + 2 + 32 + 1 + 1) /* version, random, no session, no cookie */
#define REPLY_MAX        2048

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint8_t key[GNUTLS_COOKIE_KEY_SIZE];
static bool has_key;

static void make_key(void)
{
    has_key = gnutls_rnd(GNUTLS_RND_KEY, key, sizeof(key)) == 0;
}

static unsigned number(const uint8_t *at, unsigned bytes)
{
    unsigned n = 0;
    while (bytes--)
        n = n << 8 | *at++;
    return n;
}

/* In the clear, and whole as far as the cookie, which is all that GnuTLS looks at. */
static bool is_client_hello(const uint8_t *bytes, size_t length)
{
    return length >= HELLO_LEAST && bytes[0] == HANDSHAKE_RECORD && bytes[1] == 0xfe && number(bytes + 3, 2) == 0 &&
           DTLS_HEAD + number(bytes + 11, 2) <= length && bytes[DTLS_HEAD] == CLIENT_HELLO &&
           number(bytes + DTLS_HEAD + 6, 3) == 0;
}

/* What the cookie stands for, in `to`. */
struct claim {
    uint64_t step;
    uint16_t port, family;
    uint8_t address[16];
    uint32_t scope;
};

static void claim(const union tapsi_addr *from, uint64_t step, struct claim *to)
{
    unsigned count;
    const uint8_t *bytes = tapsi_addr_bytes(from, &count);
    memset(to, 0, sizeof(*to));
    to->step = step;
    to->port = tapsi_addr_port(from);
    to->family = from->sa.sa_family;
    to->scope = from->sa.sa_family == AF_INET6 ? from->in6.sin6_scope_id : 0;
    memcpy(to->address, bytes, count);
}

struct written {
    uint8_t *to;
    size_t length;
};

static ssize_t write_reply(gnutls_transport_ptr_t ptr, const void *bytes, size_t length)
{
    struct written *w = ptr;
    if (length > REPLY_MAX)
        return -1;
    memcpy(w->to, bytes, length);
    w->length = length;
    return (ssize_t)length;
}

enum tapsi_dtls_visit tapsi_dtls_visitor(struct tapsi_loop *loop, const union tapsi_addr *from, const uint8_t *bytes,
                                         size_t length, uint8_t *reply, size_t *reply_length,
                                         gnutls_dtls_prestate_st *ret)
{
    struct claim now, before;
    struct written w = {.to = reply};
    *reply_length = 0;
    *ret = (gnutls_dtls_prestate_st){0};
    pthread_once(&once, make_key);
    if (!has_key || !is_client_hello(bytes, length))
        return TAPSI_DTLS_IGNORE;
    const gnutls_datum_t secret = {key, sizeof(key)};
    uint64_t step = tapsi_loop_now(loop) / DTLS_COOKIE_LIFE + 1;
    void *hello = (void *)(uintptr_t)bytes; /* only read */
    claim(from, step, &now);
    claim(from, step - 1, &before);
    gnutls_datum_t given = secret;
    int r = gnutls_dtls_cookie_verify(&given, &now, sizeof(now), hello, length, ret);
    if (r == GNUTLS_E_BAD_COOKIE)
        r = gnutls_dtls_cookie_verify(&given, &before, sizeof(before), hello, length, ret);
    if (r >= 0)
        return TAPSI_DTLS_ADMIT;
    if (r != GNUTLS_E_BAD_COOKIE || gnutls_dtls_cookie_send(&given, &now, sizeof(now), ret, &w, write_reply) < 0)
        return TAPSI_DTLS_IGNORE;
    if (!w.length || w.length > length)
        return TAPSI_DTLS_IGNORE;
    *reply_length = w.length;
    return TAPSI_DTLS_ASK;
}

static bool stranger(struct tapsi_env *env, const struct tapsi_datagram *datagram, uint8_t *reply, size_t *reply_length)
{
    gnutls_dtls_prestate_st unused;
    return tapsi_dtls_visitor(env->loop, &datagram->from, datagram->data, datagram->length, reply, reply_length,
                              &unused) == TAPSI_DTLS_ADMIT;
}

const struct tapsi_gate tapsi_dtls_gate = {.class = TAPSI_PORT_DTLS, .stranger = stranger};
