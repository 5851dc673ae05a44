#include "plain_quic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define CID_LENGTH 8
#define TABLE      (1U << 16)
#define WINDOW     (4U << 20)

struct quic_peer *quic_peers;
static struct quic_peer *table[TABLE]; /* by a connection id's first bytes: a server's are its own and random */
static struct quic_job *the_job;
uint8_t quic_payload[BENCH_CHUNK];
uint8_t quic_answer[BENCH_MESSAGE];

static void check(int status, const char *what)
{
    if (status < 0) {
        bench_die(what, gnutls_strerror(status));
    }
}

static void check_quic(int status, const char *what)
{
    if (status < 0) {
        bench_die(what, ngtcp2_strerror(status));
    }
}

/* --------------------------------------------------------------------------------------------------- set-up */

void quic_begin(struct quic_job *job, const struct bench_options *options)
{
    the_job = job;
    job->server = options->server;
    if (options->certificate == NULL || (options->server && options->key == NULL)) {
        bench_die("quic", "needs --certificate and, on the server, --key");
    }
    check(gnutls_priority_init(&job->priority,
                               "%DISABLE_TLS13_COMPAT_MODE:NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:"
                               "+AES-256-GCM:+CHACHA20-POLY1305:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1",
                               NULL),
          "priority");
    check(gnutls_certificate_allocate_credentials(&job->credentials), "credentials");
    if (options->server) {
        check(gnutls_certificate_set_x509_key_file(job->credentials, options->certificate, options->key,
                                                   GNUTLS_X509_FMT_PEM),
              "certificate");
    } else {
        check(gnutls_certificate_set_x509_trust_file(job->credentials, options->certificate, GNUTLS_X509_FMT_PEM),
              "trust file");
    }
}

void quic_end(struct quic_job *job)
{
    gnutls_certificate_free_credentials(job->credentials);
    gnutls_priority_deinit(job->priority);
}

int quic_socket(bool server, uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, room = WINDOW;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server ? 0 : *port)};
    socklen_t length = sizeof address;
    inet_pton(AF_INET, BENCH_ADDRESS, &address.sin_addr);
    if (fd < 0 || setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0) {
        bench_die_errno("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (server ? bind(fd, (struct sockaddr *)&address, sizeof address)
               : connect(fd, (struct sockaddr *)&address, sizeof address)) {
        bench_die_errno("bind or connect");
    }
    if (server) {
        getsockname(fd, (struct sockaddr *)&address, &length);
        *port = ntohs(address.sin_port);
    }
    return fd;
}

/* ------------------------------------------------------------------------------------------- connection ids */

static size_t slot_of(const uint8_t *id)
{
    return (id[0] | (size_t)id[1] << 8) % TABLE;
}

static void remember(struct quic_peer *peer, const ngtcp2_cid *id)
{
    size_t at = slot_of(id->data);
    if (!peer->server || peer->cid_count == QUIC_CIDS) {
        return;
    }
    while (table[at] != NULL) {
        at = (at + 1) % TABLE;
    }
    table[at] = peer;
    peer->cids[peer->cid_count++] = *id;
}

static bool has(const struct quic_peer *peer, const uint8_t *id, size_t length)
{
    for (size_t i = 0; i < peer->cid_count; i++) {
        if (peer->cids[i].datalen == length && memcmp(peer->cids[i].data, id, length) == 0) {
            return true;
        }
    }
    return false;
}

static struct quic_peer *find(const uint8_t *id, size_t length)
{
    size_t at = slot_of(id);
    for (; table[at] != NULL; at = (at + 1) % TABLE) {
        if (has(table[at], id, length)) {
            return table[at];
        }
    }
    return NULL;
}

/* All of the table is put in again: connections end seldom where that counts. */
static void forget(const struct quic_peer *gone)
{
    memset(table, 0, sizeof table);
    for (struct quic_peer *peer = quic_peers; peer != NULL; peer = peer->next) {
        for (size_t i = 0; peer != gone && i < peer->cid_count; i++) {
            size_t at = slot_of(peer->cids[i].data);
            while (table[at] != NULL) {
                at = (at + 1) % TABLE;
            }
            table[at] = peer;
        }
    }
}

/* ---------------------------------------------------------------------------------------------- callbacks */

static ngtcp2_conn *conn_of(ngtcp2_crypto_conn_ref *ref)
{
    return ((struct quic_peer *)ref->user_data)->conn;
}

static void on_random(uint8_t *to, size_t length, const ngtcp2_rand_ctx *context)
{
    (void)context;
    if (getrandom(to, length, 0) != (ssize_t)length) {
        bench_die("getrandom", "short");
    }
}

static int on_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t length, void *user)
{
    (void)conn;
    cid->datalen = length;
    on_random(cid->data, length, NULL);
    on_random(token, NGTCP2_STATELESS_RESET_TOKENLEN, NULL);
    remember(user, cid);
    return 0;
}

static int on_handshake(ngtcp2_conn *conn, void *user)
{
    (void)conn;
    ((struct quic_peer *)user)->ready = true;
    return 0;
}

static int on_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *data, size_t length,
                   void *user, void *stream_user)
{
    struct quic_peer *peer = user;
    struct quic_stream *stream = quic_find(peer, id);
    (void)offset;
    (void)stream_user;
    if (length == sizeof quic_answer) {
        memcpy(quic_answer, data, sizeof quic_answer);
    }
    stream->received += length;
    stream->fin_received = stream->fin_received || (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0;
    ngtcp2_conn_extend_max_stream_offset(conn, id, length);
    ngtcp2_conn_extend_max_offset(conn, length);
    if (the_job->received != NULL) {
        the_job->received(peer, stream, length);
    }
    return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code, void *user, void *stream_user)
{
    struct quic_peer *peer = user;
    struct quic_stream **at = &peer->streams;
    (void)flags;
    (void)code;
    (void)stream_user;
    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        struct quic_stream *gone = *at;
        *at = gone->next;
        free(gone);
    }
    if (peer->server) {
        ngtcp2_conn_extend_max_streams_bidi(conn, 1);
    }
    peer->ended++;
    return 0;
}

static const ngtcp2_callbacks callbacks = {
    .client_initial = ngtcp2_crypto_client_initial_cb,
    .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
    .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
    .handshake_completed = on_handshake,
    .encrypt = ngtcp2_crypto_encrypt_cb,
    .decrypt = ngtcp2_crypto_decrypt_cb,
    .hp_mask = ngtcp2_crypto_hp_mask_cb,
    .recv_stream_data = on_data,
    .stream_close = on_stream_close,
    .recv_retry = ngtcp2_crypto_recv_retry_cb,
    .rand = on_random,
    .get_new_connection_id = on_new_cid,
    .update_key = ngtcp2_crypto_update_key_cb,
    .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
    .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
    .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
    .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

/* ------------------------------------------------------------------------------------------------- connections */

static void secure(struct quic_peer *peer)
{
    static unsigned char name[] = "bench";
    static const gnutls_datum_t alpn = {name, sizeof name - 1};
    unsigned side = peer->server ? GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_CLIENT;
    check(gnutls_init(&peer->session, side | GNUTLS_NO_END_OF_EARLY_DATA), "session");
    check(gnutls_priority_set(peer->session, the_job->priority), "priority");
    check(gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE, the_job->credentials), "credentials");
    check(gnutls_alpn_set_protocols(peer->session, &alpn, 1, GNUTLS_ALPN_MANDATORY), "alpn");
    if (peer->server) {
        check(ngtcp2_crypto_gnutls_configure_server_session(peer->session), "crypto");
    } else {
        check(gnutls_server_name_set(peer->session, GNUTLS_NAME_DNS, BENCH_NAME, strlen(BENCH_NAME)), "server name");
        gnutls_session_set_verify_cert(peer->session, BENCH_NAME, 0);
        check(ngtcp2_crypto_gnutls_configure_client_session(peer->session), "crypto");
    }
    peer->ref = (ngtcp2_crypto_conn_ref){conn_of, peer};
    gnutls_session_set_ptr(peer->session, &peer->ref);
    ngtcp2_conn_set_tls_native_handle(peer->conn, peer->session);
}

static ngtcp2_path path_of(struct quic_peer *peer)
{
    return (ngtcp2_path){.local = {(void *)&peer->local, sizeof peer->local},
                         .remote = {(void *)&peer->remote, sizeof peer->remote}};
}

static struct quic_peer *new_peer(bool server, int fd, const ngtcp2_pkt_hd *first, const struct sockaddr_in *remote)
{
    struct quic_peer *peer = calloc(1, sizeof *peer);
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_cid scid = {.datalen = CID_LENGTH}, dcid = {.datalen = 18};
    socklen_t length = sizeof peer->local;
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    peer->server = server;
    peer->fd = fd;
    getsockname(fd, (struct sockaddr *)&peer->local, &length);
    peer->remote = *remote;
    on_random(scid.data, scid.datalen, NULL);
    on_random(dcid.data, dcid.datalen, NULL);
    ngtcp2_settings_default(&settings);
    ngtcp2_transport_params_default(&params);
    settings.initial_ts = bench_now_ns();
    settings.max_stream_window = settings.max_window = WINDOW;
    params.initial_max_stream_data_bidi_local = params.initial_max_stream_data_bidi_remote = WINDOW / 2;
    params.initial_max_data = WINDOW / 2;
    params.initial_max_streams_bidi = 1000;
    params.max_idle_timeout = 0;
    params.active_connection_id_limit = 7;
    ngtcp2_path path = path_of(peer);
    if (server) {
        tapsi_ngtcp2_set_original_dcid(&params, &first->dcid);
        check_quic(ngtcp2_conn_server_new(&peer->conn, &first->scid, &scid, &path, first->version, &callbacks,
                                          &settings, &params, NULL, peer),
                   "server");
        remember(peer, &first->dcid);
        remember(peer, &scid);
    } else {
        check_quic(ngtcp2_conn_client_new(&peer->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, &callbacks, &settings,
                                          &params, NULL, peer),
                   "client");
    }
    secure(peer);
    return peer;
}

struct quic_peer *quic_connect(struct quic_job *job, const struct bench_options *options)
{
    uint16_t port = options->port;
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(port)};
    (void)job;
    inet_pton(AF_INET, BENCH_ADDRESS, &remote.sin_addr);
    return new_peer(false, quic_socket(false, &port), NULL, &remote);
}

void quic_free(struct quic_peer *peer)
{
    struct quic_peer **at = &quic_peers;
    while (*at != NULL && *at != peer) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = peer->next;
        forget(peer);
    }
    ngtcp2_conn_del(peer->conn);
    gnutls_deinit(peer->session);
    while (peer->streams != NULL) {
        struct quic_stream *stream = peer->streams;
        peer->streams = stream->next;
        free(stream);
    }
    if (!peer->server) {
        close(peer->fd);
    }
    free(peer->blocked);
    free(peer);
}

struct quic_stream *quic_find(struct quic_peer *peer, int64_t id)
{
    struct quic_stream *stream = peer->streams;
    while (stream != NULL && stream->id != id) {
        stream = stream->next;
    }
    if (stream == NULL) {
        stream = calloc(1, sizeof *stream);
        if (stream == NULL) {
            bench_die("stream", "no memory");
        }
        stream->id = id;
        stream->next = peer->streams;
        peer->streams = stream;
    }
    return stream;
}

struct quic_stream *quic_open(struct quic_peer *peer)
{
    int64_t id;
    int status = ngtcp2_conn_open_bidi_stream(peer->conn, &id, NULL);
    if (status == NGTCP2_ERR_STREAM_ID_BLOCKED) {
        return NULL;
    }
    check_quic(status, "stream");
    return quic_find(peer, id);
}

/* ------------------------------------------------------------------------------------------------------ sending */

static bool write_train(struct quic_peer *peer, const uint8_t *bytes, size_t length, size_t segment)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {.bytes = {0}};
    struct iovec piece = {(void *)(uintptr_t)bytes, length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (peer->server) {
        message.msg_name = &peer->remote;
        message.msg_namelen = sizeof peer->remote;
    }
    if (length > segment) {
        uint16_t size = (uint16_t)segment;
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    if (sendmsg(peer->fd, &message, MSG_NOSIGNAL) >= 0 || errno != EAGAIN) {
        return true; /* what is lost is sent again */
    }
    peer->blocked = malloc(length);
    if (peer->blocked == NULL) {
        bench_die("train", "no memory");
    }
    memcpy(peer->blocked, bytes, length);
    peer->blocked_length = length;
    peer->blocked_segment = segment;
    return false;
}

static bool write_blocked(struct quic_peer *peer)
{
    uint8_t *bytes = peer->blocked;
    if (bytes == NULL) {
        return true;
    }
    peer->blocked = NULL;
    bool gone = write_train(peer, bytes, peer->blocked_length, peer->blocked_segment);
    free(bytes);
    return gone;
}

static struct quic_stream *next_to_send(struct quic_peer *peer)
{
    struct quic_stream *stream = peer->streams;
    while (stream != NULL && stream->sent == stream->to_send && stream->fin_wanted == stream->fin_sent) {
        stream = stream->next;
    }
    return stream;
}

static ngtcp2_ssize make_packet(struct quic_peer *peer, uint8_t *to, size_t room)
{
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    ngtcp2_path_storage_zero(&path);
    for (;;) {
        struct quic_stream *stream = peer->ready ? next_to_send(peer) : NULL;
        uint64_t left = stream != NULL ? stream->to_send - stream->sent : 0;
        ngtcp2_vec vec = {stream != NULL && stream->answers_count ? stream->count + stream->sent : quic_payload,
                          left < sizeof quic_payload ? (size_t)left : sizeof quic_payload};
        bool fin = stream != NULL && stream->fin_wanted && vec.len == left;
        ngtcp2_ssize taken = -1;
        ngtcp2_ssize count =
            ngtcp2_conn_writev_stream(peer->conn, &path.path, &info, to, room, &taken,
                                      NGTCP2_WRITE_STREAM_FLAG_MORE | (fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0),
                                      stream != NULL ? stream->id : -1, &vec, vec.len != 0 ? 1 : 0, bench_now_ns());
        if (taken >= 0 && stream != NULL) {
            stream->sent += (uint64_t)taken;
            stream->fin_sent = fin && stream->sent == stream->to_send;
        }
        if (count == NGTCP2_ERR_WRITE_MORE) {
            continue;
        }
        if (count == NGTCP2_ERR_STREAM_DATA_BLOCKED || count == NGTCP2_ERR_STREAM_SHUT_WR) {
            count = ngtcp2_conn_write_pkt(peer->conn, &path.path, &info, to, room, bench_now_ns());
        }
        if (count < 0) {
            peer->over = true;
            peer->why = (int)count;
            return 0;
        }
        return count;
    }
}

void quic_write(struct quic_peer *peer)
{
    static uint8_t train[QUIC_TRAIN + 2000];
    size_t used = 0, segment = 0;
    size_t quantum = ngtcp2_conn_get_send_quantum(peer->conn);
    if (!write_blocked(peer) || peer->over) {
        return;
    }
    for (;;) {
        size_t room = ngtcp2_conn_get_path_max_tx_udp_payload_size(peer->conn);
        ngtcp2_ssize count = make_packet(peer, train + used, room < 2000 ? room : 2000);
        if (count == 0) {
            break;
        }
        if (segment != 0 && (size_t)count > segment) { /* it begins the next train */
            uint8_t *begin = train + used;
            if (!write_train(peer, train, used, segment)) {
                return; /* lost, as the network may */
            }
            memmove(train, begin, (size_t)count);
            used = 0;
            segment = 0;
        }
        segment = segment != 0 ? segment : (size_t)count;
        used += (size_t)count;
        if ((size_t)count < segment || used + segment > QUIC_TRAIN || used + segment > quantum ||
            used / segment == 64) {
            if (!write_train(peer, train, used, segment)) {
                break;
            }
            used = 0;
            segment = 0;
        }
    }
    if (used != 0) {
        write_train(peer, train, used, segment);
    }
    if (peer->ready) {
        ngtcp2_conn_update_pkt_tx_time(peer->conn, bench_now_ns());
    }
}

void quic_close(struct quic_peer *peer)
{
    uint8_t packet[1500];
    ngtcp2_path_storage path;
    ngtcp2_pkt_info info;
    ngtcp2_ccerr why;
    ngtcp2_path_storage_zero(&path);
    ngtcp2_ccerr_default(&why);
    ngtcp2_ssize count =
        ngtcp2_conn_write_connection_close(peer->conn, &path.path, &info, packet, sizeof packet, &why, bench_now_ns());
    if (count > 0) {
        write_train(peer, packet, (size_t)count, (size_t)count);
    }
    peer->over = true;
}

/* ---------------------------------------------------------------------------------------------------- receiving */

static struct quic_peer *meet(int fd, const uint8_t *packet, size_t length, const struct sockaddr_in *from)
{
    ngtcp2_version_cid id;
    ngtcp2_pkt_hd head;
    if (ngtcp2_pkt_decode_version_cid(&id, packet, length, CID_LENGTH) != 0) {
        return NULL;
    }
    struct quic_peer *peer = find(id.dcid, id.dcidlen);
    if (peer == NULL && ngtcp2_accept(&head, packet, length) == 0) {
        peer = new_peer(true, fd, &head, from);
        peer->next = quic_peers;
        quic_peers = peer;
    }
    return peer;
}

static void take(struct quic_peer *peer, const uint8_t *packet, size_t length)
{
    ngtcp2_pkt_info info = {0};
    ngtcp2_path path = path_of(peer);
    if (peer->over) {
        return;
    }
    peer->why = ngtcp2_conn_read_pkt(peer->conn, &path, &info, packet, length, bench_now_ns());
    if (peer->why != 0) {
        peer->over = true;
    }
}

void quic_read(struct quic_job *job, int fd, struct quic_peer *only)
{
    static uint8_t bytes[BENCH_CHUNK];
    (void)job;
    for (;;) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct sockaddr_in from;
        struct iovec piece = {bytes, sizeof bytes};
        struct msghdr message = {.msg_name = &from,
                                 .msg_namelen = sizeof from,
                                 .msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        ssize_t count = recvmsg(fd, &message, 0);
        if (count < 0) {
            return;
        }
        size_t segment = (size_t)count;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
            if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
                int size;
                memcpy(&size, CMSG_DATA(c), sizeof size);
                segment = (size_t)size;
            }
        }
        struct quic_peer *peer = only;
        for (size_t at = 0; at < (size_t)count; at += segment) {
            size_t length = (size_t)count - at < segment ? (size_t)count - at : segment;
            if (only == NULL && (peer == NULL || at == 0)) {
                peer = meet(fd, bytes + at, length, &from);
            }
            if (peer != NULL) {
                take(peer, bytes + at, length);
            }
        }
        if (peer != NULL) {
            quic_write(peer);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------- timers */

int quic_timeout(struct quic_peer *peer)
{
    uint64_t due = ngtcp2_conn_get_expiry(peer->conn), now = bench_now_ns();
    if (due == UINT64_MAX) {
        return -1;
    }
    return due <= now ? 0 : (int)((due - now + 999999) / 1000000);
}

void quic_expire(struct quic_peer *peer)
{
    uint64_t now = bench_now_ns();
    if (peer->over || ngtcp2_conn_get_expiry(peer->conn) > now) {
        return;
    }
    peer->why = ngtcp2_conn_handle_expiry(peer->conn, now);
    if (peer->why != 0) {
        peer->over = true;
    } else {
        quic_write(peer);
    }
}
