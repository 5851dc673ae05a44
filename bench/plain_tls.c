/*
 * The TLS rows: GnuTLS on a non-blocking socket, priority NORMAL, certificate and name checked, custom push and pull
 * functions (plain_channel.h). A server serves many sessions from one loop; the client has one at a time, but for the
 * idle ones. In ping-pong, bulk and idle the handshake is not measured; connect is a full handshake and the end.
 */
#include "plain_channel.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum job { JOB_PINGPONG, JOB_BULK, JOB_CONNECT, JOB_IDLE };

struct peer {
    struct plain_channel channel;
    gnutls_session_t session;
    bool secure;
    uint64_t bytes; /* bulk: all of them; else those of the next ping */
    struct peer *next;
};

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
static enum job job;
static uint64_t accepted;
static char buffer[BENCH_CHUNK];
static char message[BENCH_MESSAGE];

static void check(int status, const char *what)
{
    if (status < 0) {
        bench_die(what, gnutls_strerror(status));
    }
}

static void begin(const struct bench_options *options)
{
    static const char *const names[] = {"pingpong", "bulk", "connect", "idle"};
    for (job = JOB_PINGPONG; strcmp(names[job], options->job) != 0; job++) {
    }
    if (options->certificate == NULL || (options->server && options->key == NULL)) {
        bench_die("tls", "needs --certificate and, on the server, --key");
    }
    check(gnutls_priority_init(&priority, "NORMAL", NULL), "priority");
    check(gnutls_certificate_allocate_credentials(&credentials), "credentials");
    if (options->server) {
        check(gnutls_certificate_set_x509_key_file(credentials, options->certificate, options->key,
                                                   GNUTLS_X509_FMT_PEM),
              "certificate");
    } else {
        check(gnutls_certificate_set_x509_trust_file(credentials, options->certificate, GNUTLS_X509_FMT_PEM),
              "trust file");
    }
}

static void end(void)
{
    gnutls_certificate_free_credentials(credentials);
    gnutls_priority_deinit(priority);
}

static struct peer *new_peer(int fd, bool server)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        bench_die("peer", "no memory");
    }
    check(gnutls_init(&peer->session, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK), "session");
    check(gnutls_priority_set(peer->session, priority), "priority");
    check(gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    if (!server) {
        check(gnutls_server_name_set(peer->session, GNUTLS_NAME_DNS, BENCH_NAME, strlen(BENCH_NAME)), "server name");
        gnutls_session_set_verify_cert(peer->session, BENCH_NAME, 0);
    }
    plain_channel_init(&peer->channel, fd, peer->session);
    return peer;
}

static void free_peer(struct peer *peer)
{
    gnutls_deinit(peer->session);
    plain_channel_close(&peer->channel);
    free(peer);
}

/* False: it is over. */
static bool shake_hands(struct peer *peer)
{
    int status;
    do {
        status = gnutls_handshake(peer->session);
    } while (status < 0 && status != GNUTLS_E_AGAIN && gnutls_error_is_fatal(status) == 0);
    plain_channel_flush(&peer->channel);
    peer->secure = status == 0;
    return status == 0 || status == GNUTLS_E_AGAIN;
}

/* Up to the size of the buffer; 0 at the end of data; GNUTLS_E_AGAIN when there is nothing now. */
static ssize_t receive(struct peer *peer)
{
    ssize_t count;
    do {
        count = gnutls_record_recv(peer->session, buffer, sizeof buffer);
    } while (count == GNUTLS_E_INTERRUPTED);
    return count;
}

static void send_small(struct peer *peer, const void *bytes, size_t count)
{
    if (gnutls_record_send(peer->session, bytes, count) != (ssize_t)count) {
        bench_die("gnutls_record_send", "short");
    }
}

/* -------------------------------------------------------------------------------------------------- server */

static void serve_bytes(struct peer *peer, size_t count)
{
    peer->bytes += count;
    for (; job != JOB_BULK && peer->bytes >= BENCH_MESSAGE; peer->bytes -= BENCH_MESSAGE) {
        if (job == JOB_IDLE) {
            bench_memory_write(accepted, message);
        }
        send_small(peer, message, sizeof message);
    }
}

/* False: the peer is finished. */
static bool serve(struct peer *peer)
{
    if (!peer->secure) {
        if (!shake_hands(peer)) {
            return false;
        }
        if (!peer->secure) {
            return true;
        }
        accepted++;
    }
    ssize_t count;
    while ((count = receive(peer)) > 0) {
        serve_bytes(peer, (size_t)count);
    }
    if (count == 0) {
        if (job == JOB_BULK) {
            send_small(peer, &peer->bytes, BENCH_COUNT);
        }
        gnutls_bye(peer->session, GNUTLS_SHUT_WR);
    }
    plain_channel_flush(&peer->channel);
    return count == GNUTLS_E_AGAIN;
}

static void accept_peer(int epoll, int listener, const struct bench_options *options)
{
    int fd = plain_accept(listener, options);
    if (fd >= 0) {
        plain_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, new_peer(fd, true));
    }
}

void plain_tls_server(const struct bench_options *options)
{
    uint16_t port;
    int epoll = plain_epoll();
    int listener = plain_listen(SOCK_STREAM, &port);
    begin(options);
    plain_watch(epoll, listener, EPOLLIN, NULL);
    bench_ready(port);
    for (;;) {
        struct epoll_event events[64];
        int ready = plain_wait(epoll, events, 64);
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer == NULL) {
                accept_peer(epoll, listener, options);
                continue;
            }
            peer->channel.readable = (events[i].events & ~(uint32_t)EPOLLOUT) != 0 || peer->channel.readable;
            plain_channel_flush(&peer->channel);
            if (!serve(peer)) {
                free_peer(peer);
            }
        }
    }
}

/* -------------------------------------------------------------------------------------------------- client */

/* Waits for the next event of `peer`; those of others say nothing here. */
static void await(int epoll, struct peer *peer)
{
    struct epoll_event event;
    do {
        plain_wait(epoll, &event, 1);
    } while (event.data.ptr != peer);
    peer->channel.readable = (event.events & ~(uint32_t)EPOLLOUT) != 0 || peer->channel.readable;
}

/* Bytes until `wanted` have come into the buffer, one read after the other. */
static void await_bytes(int epoll, struct peer *peer, size_t wanted)
{
    for (size_t have = 0; have < wanted;) {
        ssize_t count = receive(peer);
        if (count == GNUTLS_E_AGAIN) {
            await(epoll, peer);
            continue;
        }
        if (count == 0) {
            bench_die("gnutls_record_recv", "the server closed");
        }
        check((int)count, "gnutls_record_recv");
        have += (size_t)count;
    }
}

static struct peer *connect_peer(int epoll, const struct bench_options *options)
{
    int fd = plain_connect(SOCK_STREAM, options);
    struct peer *peer = new_peer(fd, false);
    plain_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, peer);
    await(epoll, peer);
    plain_connected(fd);
    while (!peer->secure) {
        if (!shake_hands(peer)) {
            bench_die("tls", "the handshake failed");
        }
        if (!peer->secure) {
            await(epoll, peer);
        }
    }
    return peer;
}

static void ping(int epoll, struct peer *peer)
{
    send_small(peer, message, sizeof message);
    plain_channel_flush(&peer->channel);
    await_bytes(epoll, peer, BENCH_MESSAGE);
}

static void run_bulk(int epoll, struct peer *peer, struct bench_window *window)
{
    const struct bench_options *options = window->options;
    const uint64_t bytes = options->ops != 0 ? options->ops * BENCH_CHUNK : options->bytes;
    uint64_t counted = 0;
    size_t at = 0;
    for (uint64_t left = bytes; left > 0;) {
        if (plain_channel_unsent(&peer->channel) >= BENCH_CHUNK && !plain_channel_flush(&peer->channel)) {
            await(epoll, peer);
            continue;
        }
        ssize_t count = gnutls_record_send(peer->session, buffer + at, sizeof buffer - at);
        check((int)count, "gnutls_record_send");
        at = (at + (size_t)count) % sizeof buffer;
        left -= (uint64_t)count;
    }
    gnutls_bye(peer->session, GNUTLS_SHUT_WR);
    while (!plain_channel_flush(&peer->channel)) {
        await(epoll, peer);
    }
    await_bytes(epoll, peer, BENCH_COUNT);
    memcpy(&counted, buffer, BENCH_COUNT);
    if (counted != bytes) {
        bench_die("bulk", "the server has another count");
    }
    bench_window_close(window, bytes / BENCH_CHUNK);
}

/* close_notify and the end of data, then those of the server. */
static void finish(int epoll, struct peer *peer)
{
    ssize_t count;
    gnutls_bye(peer->session, GNUTLS_SHUT_WR);
    plain_channel_flush(&peer->channel);
    shutdown(peer->channel.fd, SHUT_WR);
    while ((count = receive(peer)) != 0) {
        if (count != GNUTLS_E_AGAIN) {
            check((int)count, "end of data");
        }
        await(epoll, peer);
    }
    free_peer(peer);
}

static void run_connect(int epoll, struct bench_window *window)
{
    do {
        finish(epoll, connect_peer(epoll, window->options));
    } while (bench_window_count(window));
}

static void run_idle(int epoll, const struct bench_options *options)
{
    struct bench_memory own[2], peer[2];
    struct peer *asker = connect_peer(epoll, options), *crowd = NULL;
    ping(epoll, asker);
    memcpy(&peer[0], buffer, sizeof peer[0]);
    bench_memory_read(&own[0]);
    for (uint64_t i = 0; i < options->idle; i++) {
        struct peer *idle = connect_peer(epoll, options);
        idle->next = crowd;
        crowd = idle;
    }
    do {
        ping(epoll, asker);
        memcpy(&peer[1], buffer, sizeof peer[1]);
    } while (peer[1].connections <= options->idle);
    bench_memory_read(&own[1]);
    bench_report_memory(options->idle, own, peer);
    while (crowd != NULL) {
        struct peer *idle = crowd;
        crowd = idle->next;
        free_peer(idle);
    }
    free_peer(asker);
}

static void run_on_one(int epoll, struct bench_window *window)
{
    struct peer *peer = connect_peer(epoll, window->options);
    char *note = gnutls_session_get_desc(peer->session);
    bench_window_open(window, window->options, 15);
    if (job == JOB_BULK) {
        run_bulk(epoll, peer, window);
    } else {
        do {
            ping(epoll, peer);
        } while (bench_window_count(window));
        gnutls_bye(peer->session, GNUTLS_SHUT_WR);
        plain_channel_flush(&peer->channel);
    }
    bench_window_report(window, note);
    gnutls_free(note);
    free_peer(peer);
}

void plain_tls_client(const struct bench_options *options)
{
    struct bench_window window = {.options = options};
    int epoll = plain_epoll();
    begin(options);
    if (job == JOB_IDLE) {
        run_idle(epoll, options);
    } else if (job == JOB_CONNECT) {
        bench_window_open(&window, options, 0);
        run_connect(epoll, &window);
        bench_window_report(&window, "tls");
    } else {
        run_on_one(epoll, &window);
    }
    end();
    close(epoll);
}
