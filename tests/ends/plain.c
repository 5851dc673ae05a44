#include "plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PERIOD ((size_t)1021 * 64)
#define BLOCK  ((size_t)16384)

/* ----------------------------------------------------------------------------------------------------- content */

static uint8_t table[PLAIN_PIECE + PERIOD];

__attribute__((constructor)) static void fill_table(void)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof(table); i++) {
        if (i < PERIOD) {
            x = x * 1664525 + 1013904223;
            table[i] = (uint8_t)(x >> 24);
        } else {
            table[i] = table[i - PERIOD];
        }
    }
}

const uint8_t *plain_content(unsigned number, uint64_t offset)
{
    return table + (offset + (uint64_t)number * 977) % PERIOD;
}

static void check(struct plain_peer *peer, const uint8_t *bytes, size_t count)
{
    for (unsigned i = 0; !peer->numbered && i < peer->peers->expected; i++) {
        if (count >= 8 && memcmp(bytes, plain_content(i, 0), 8) == 0) {
            peer->number = i;
            peer->numbered = true;
        }
    }
    peer->wrong |= !peer->numbered || memcmp(bytes, plain_content(peer->number, peer->got), count) != 0;
    peer->got += count;
}

/* --------------------------------------------------------------------------------------------------- one peer */

/* What recv and gnutls_record_recv have in common. */
struct channel {
    int fd;
    gnutls_session_t session; /* or NULL */
    gnutls_certificate_credentials_t credentials;
};

static bool open_channel(struct channel *c, const struct plain_peers *p)
{
    gnutls_datum_t certificate = {(unsigned char *)p->identity.certificate,
                                  p->secure ? (unsigned)strlen(p->identity.certificate) : 0};
    gnutls_datum_t key = {(unsigned char *)p->identity.key, p->secure ? (unsigned)strlen(p->identity.key) : 0};
    int r;
    if (!p->secure)
        return true;
    gnutls_certificate_allocate_credentials(&c->credentials);
    gnutls_certificate_set_x509_key_mem(c->credentials, &certificate, &key, GNUTLS_X509_FMT_PEM);
    gnutls_init(&c->session, GNUTLS_SERVER);
    gnutls_set_default_priority(c->session);
    gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE, c->credentials);
    gnutls_transport_set_int(c->session, c->fd);
    do {
        r = gnutls_handshake(c->session);
    } while (r < 0 && !gnutls_error_is_fatal(r));
    return r == 0;
}

static ssize_t take(const struct channel *c, void *to, size_t room)
{
    if (!c->session)
        return recv(c->fd, to, room, 0);
    for (;;) {
        ssize_t r = gnutls_record_recv(c->session, to, room);
        if (r >= 0 || gnutls_error_is_fatal((int)r))
            return r;
    }
}

static enum plain_end ended_by(const struct channel *c, ssize_t r)
{
    if (r == 0)
        return PLAIN_ENDED;
    if (c->session && r == GNUTLS_E_PREMATURE_TERMINATION)
        return PLAIN_TRUNCATED;
    return errno == ECONNRESET ? PLAIN_RESET : PLAIN_FAILED;
}

static void wait_for_permission(struct plain_peers *p)
{
    pthread_mutex_lock(&p->lock);
    p->ready++;
    while (!p->may_read)
        pthread_cond_wait(&p->told, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static ssize_t give(const struct channel *c, const void *bytes, size_t count)
{
    return c->session ? gnutls_record_send(c->session, bytes, count) : send(c->fd, bytes, count, MSG_NOSIGNAL);
}

/* As servers do that are asked to close: the whole answer, the end, and nobody is there any more. */
static void answer(struct plain_peer *peer, const struct channel *c)
{
    uint8_t block[BLOCK];
    ssize_t r = take(c, block, sizeof(block)), sent = 1;
    size_t rest = peer->peers->answer;
    for (; r > 0 && rest && sent > 0; rest -= sent > 0 ? (size_t)sent : 0)
        sent = give(c, plain_content(0, peer->peers->answer - rest), rest < PLAIN_PIECE ? rest : PLAIN_PIECE);
    peer->end = r > 0 && !rest ? PLAIN_ENDED : PLAIN_FAILED;
    if (c->session)
        gnutls_bye(c->session, GNUTLS_SHUT_WR);
}

static bool read_all(struct plain_peer *peer, const struct channel *c)
{
    uint8_t block[BLOCK];
    uint64_t limit = peer->peers->reset_at;
    ssize_t r;
    while ((r = take(c, block, sizeof(block))) > 0) {
        check(peer, block, (size_t)r);
        if (limit && peer->got >= limit)
            return false;
    }
    peer->end = ended_by(c, r);
    return true;
}

static void *run_peer(void *arg)
{
    struct plain_peer *peer = arg;
    struct channel c = {.fd = peer->fd};
    bool open = open_channel(&c, peer->peers);
    wait_for_permission(peer->peers);
    if (!open)
        peer->end = PLAIN_FAILED;
    else if (peer->peers->answer)
        answer(peer, &c);
    else if (!read_all(peer, &c))
        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    if (c.session) {
        gnutls_deinit(c.session);
        gnutls_certificate_free_credentials(c.credentials);
    }
    close(c.fd);
    return NULL;
}

/* --------------------------------------------------------------------------------------------------- all of them */

static void *accept_all(void *arg)
{
    struct plain_peers *p = arg;
    while (p->accepted < p->expected) {
        int fd = accept(p->listening, NULL, NULL);
        if (fd < 0)
            break;
        struct plain_peer *peer = &p->peers[p->accepted++];
        *peer = (struct plain_peer){.peers = p, .fd = fd};
        if (pthread_create(&peer->thread, NULL, run_peer, peer) != 0)
            abort();
    }
    return NULL;
}

bool plain_begin(struct plain_peers *p, unsigned expected, bool secure)
{
    static const struct tapsi_test_subject root = {.name = "root", .authority = true};
    static const struct tapsi_test_subject subject = {
        .name = "server", .names = "127.0.0.1", .purpose = TAPSI_TEST_SERVER};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    int room = 32768;
    *p = (struct plain_peers){.expected = expected, .secure = secure};
    p->authority = tapsi_test_identity(&root, NULL);
    p->identity = tapsi_test_identity(&subject, &p->authority);
    p->peers = calloc(expected, sizeof(*p->peers));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->told, NULL);
    p->listening = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(p->listening, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)); /* little waits in the kernel */
    if (bind(p->listening, (struct sockaddr *)&a, sizeof(a)) || listen(p->listening, (int)expected) ||
        getsockname(p->listening, (struct sockaddr *)&a, &length))
        return false;
    p->port = ntohs(a.sin_port);
    return p->peers && pthread_create(&p->thread, NULL, accept_all, p) == 0;
}

void plain_read_now(struct plain_peers *p)
{
    pthread_mutex_lock(&p->lock);
    p->may_read = true;
    pthread_cond_broadcast(&p->told);
    pthread_mutex_unlock(&p->lock);
}

void plain_end(struct plain_peers *p)
{
    shutdown(p->listening, SHUT_RDWR); /* whoever has not come yet will not */
    pthread_join(p->thread, NULL);
    for (unsigned i = 0; i < p->accepted; i++)
        pthread_join(p->peers[i].thread, NULL);
}

void plain_done(struct plain_peers *p)
{
    close(p->listening);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->told);
    free(p->peers);
    tapsi_test_identity_free(&p->identity);
    tapsi_test_identity_free(&p->authority);
}
