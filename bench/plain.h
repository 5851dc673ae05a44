/*
 * The plain twins: what a careful C programmer writes with sockets and epoll. Common to all of them: non-blocking
 * sockets, one epoll set, one epoll_ctl per socket for its life, a read shorter than the buffer means the socket is
 * empty. Every function ends the program when something fails.
 */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include "bench.h"

#include <sys/epoll.h>

/* `type` is SOCK_STREAM or SOCK_DGRAM. Binds an ephemeral port of BENCH_ADDRESS, listens if it is a stream. */
int plain_listen(int type, uint16_t *ret_port);
/* accept4, non-blocking. -1: nobody there. */
int plain_accept(int listener, const struct bench_options *options);
/* Non-blocking; the caller waits for EPOLLOUT. */
int plain_connect(int type, const struct bench_options *options);
/* Ends the program if the connect that EPOLLOUT announced has failed. */
void plain_connected(int fd);
int plain_epoll(void);
void plain_watch(int epoll, int fd, uint32_t events, void *data);
/* Without timeout. */
int plain_wait(int epoll, struct epoll_event *events, int count);
/* plain_connect, wait until connected, leave it registered edge-triggered for reading and writing. */
int plain_connect_now(int epoll, int type, const struct bench_options *options);
/* Sends all of a message that always fits into the socket's buffer. */
void plain_send_small(int fd, const void *bytes, size_t count);

/* close() is a reset from now on, which leaves nothing behind in the kernel. */
void plain_reset_on_close(int fd);
/* The bulk server's answer. */
uint64_t plain_await_count(int epoll, int fd);
/* options->idle connections that do nothing, watched like all others. */
void plain_open_crowd(int epoll, const struct bench_options *options);
void plain_close_crowd(void);

/* One job each; they return only from clients. */
void plain_pingpong_server(const struct bench_options *options);
void plain_pingpong_client(const struct bench_options *options);
void plain_udp_server(const struct bench_options *options);
void plain_udp_client(const struct bench_options *options);
void plain_bulk_server(const struct bench_options *options);
void plain_bulk_client(const struct bench_options *options);
void plain_connect_server(const struct bench_options *options);
void plain_connect_client(const struct bench_options *options);
void plain_flood_client(const struct bench_options *options);
void plain_framed_server(const struct bench_options *options);
void plain_framed_flood_client(const struct bench_options *options);
void plain_framed_pingpong_client(const struct bench_options *options);
void plain_framed_bulk_client(const struct bench_options *options);
void plain_hammer_client(const struct bench_options *options);
void plain_idle_client(const struct bench_options *options);
void plain_exchange_client(const struct bench_options *options);
void plain_dtls_server(const struct bench_options *options);
void plain_dtls_pingpong_client(const struct bench_options *options);
void plain_dtls_flood_client(const struct bench_options *options);
void plain_tls_server(const struct bench_options *options);
void plain_tls_client(const struct bench_options *options);
void plain_quic_server(const struct bench_options *options);
void plain_quic_client(const struct bench_options *options);
/* Writes a fresh self-signed certificate for BENCH_NAME and its key, so that the TLS rows need no tool. */
void plain_tls_make_certificate(const char *certificate_path, const char *key_path);

#endif
