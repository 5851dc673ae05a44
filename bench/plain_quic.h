/*
 * The QUIC twin: ngtcp2 with GnuTLS on one UDP socket, trains of datagrams both ways (UDP_SEGMENT, UDP_GRO). One stream
 * under way per connection, but for the server, which answers every stream.
 */
#ifndef BENCH_PLAIN_QUIC_H
#define BENCH_PLAIN_QUIC_H

#include "plain.h"
#include "stack/quic/ngtcp2.h"

#include <gnutls/gnutls.h>

#define QUIC_CIDS  16 /* connection ids of one connection at a time */
#define QUIC_TRAIN 65000

struct quic_stream {
    int64_t id;
    uint64_t to_send, sent; /* bytes of the answer or question; they are all the same, so nothing is kept */
    uint64_t received;
    bool fin_sent, fin_wanted, fin_received;
    uint8_t count[BENCH_COUNT]; /* the bulk server's answer, in place of nothing */
    bool answers_count;
    struct quic_stream *next;
};

struct quic_peer {
    ngtcp2_crypto_conn_ref ref; /* first: the session's pointer */
    ngtcp2_conn *conn;
    gnutls_session_t session;
    int fd;
    bool server, ready, over;
    int why; /* it is over */
    struct sockaddr_in local, remote;
    struct quic_stream *streams;
    ngtcp2_cid cids[QUIC_CIDS];
    size_t cid_count;
    uint64_t ended;   /* streams that have closed */
    uint8_t *blocked; /* a train that the kernel did not take */
    size_t blocked_length, blocked_segment;
    struct quic_peer *next;
};

struct quic_job {
    bool server;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priority;
    /* Bytes came on a stream, or its end: the server answers here. */
    void (*received)(struct quic_peer *peer, struct quic_stream *stream, size_t count);
};

void quic_begin(struct quic_job *job, const struct bench_options *options);
void quic_end(struct quic_job *job);
/* A client's, on a socket of its own. */
struct quic_peer *quic_connect(struct quic_job *job, const struct bench_options *options);
void quic_free(struct quic_peer *peer);
/* Reads what there is; then writes what may go. */
void quic_read(struct quic_job *job, int fd, struct quic_peer *only);
void quic_write(struct quic_peer *peer);
/* Milliseconds until something is due for epoll_wait, and does what is due. */
int quic_timeout(struct quic_peer *peer);
void quic_expire(struct quic_peer *peer);
struct quic_stream *quic_open(struct quic_peer *peer);
struct quic_stream *quic_find(struct quic_peer *peer, int64_t id);
/* CONNECTION_CLOSE. */
void quic_close(struct quic_peer *peer);
/* What is sent, and the last answer of this length. */
extern uint8_t quic_payload[BENCH_CHUNK], quic_answer[BENCH_MESSAGE];
/* The server's. */
extern struct quic_peer *quic_peers;
int quic_socket(bool server, uint16_t *port);

#endif
