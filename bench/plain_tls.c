/* The TLS rows: ping-pong and bulk as GnuTLS's own examples do it on a non-blocking socket: priority NORMAL, the
   library's own socket functions, certificate and name checked. The handshake is not measured. Level-triggered, because
   the library reads a record in two pieces and may hold one back. */
#include "plain.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[BENCH_CHUNK];
static char message[BENCH_MESSAGE];

static void check(int status, const char *what)
{
    if (status < 0) {
        bench_die(what, gnutls_strerror(status));
    }
}

static gnutls_certificate_credentials_t load_credentials(const struct bench_options *options)
{
    gnutls_certificate_credentials_t credentials;
    if (options->certificate == NULL || (options->server && options->key == NULL)) {
        bench_die("tls", "needs --certificate and, on the server, --key");
    }
    check(gnutls_certificate_allocate_credentials(&credentials), "credentials");
    if (options->server) {
        check(gnutls_certificate_set_x509_key_file(credentials, options->certificate, options->key,
                                                   GNUTLS_X509_FMT_PEM),
              "certificate");
    } else {
        check(gnutls_certificate_set_x509_trust_file(credentials, options->certificate, GNUTLS_X509_FMT_PEM),
              "trust file");
    }
    return credentials;
}

/* Waits until the library can go on after GNUTLS_E_AGAIN. */
static void await(int epoll, int fd, gnutls_session_t session)
{
    struct epoll_event event = {.events = gnutls_record_get_direction(session) != 0 ? EPOLLOUT : EPOLLIN};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0) {
        bench_die_errno("epoll_ctl");
    }
    plain_wait(epoll, &event, 1);
}

static gnutls_session_t handshake(int epoll, int fd, gnutls_certificate_credentials_t credentials, bool server)
{
    gnutls_session_t session;
    int status;
    check(gnutls_init(&session, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK), "session");
    check(gnutls_priority_set_direct(session, "NORMAL", NULL), "priority");
    check(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    if (!server) {
        check(gnutls_server_name_set(session, GNUTLS_NAME_DNS, BENCH_NAME, strlen(BENCH_NAME)), "server name");
        gnutls_session_set_verify_cert(session, BENCH_NAME, 0);
    }
    gnutls_transport_set_int(session, fd);
    while ((status = gnutls_handshake(session)) < 0) {
        if (gnutls_error_is_fatal(status) != 0) {
            bench_die("handshake", gnutls_strerror(status));
        }
        if (status == GNUTLS_E_AGAIN) {
            await(epoll, fd, session);
        }
    }
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0) {
        bench_die_errno("epoll_ctl");
    }
    return session;
}

static void send_message(gnutls_session_t session)
{
    if (gnutls_record_send(session, message, sizeof message) != BENCH_MESSAGE) {
        bench_die("gnutls_record_send", "short");
    }
}

/* Up to the size of the buffer; 0 at the end of data; -1 when there is nothing now. */
static ssize_t receive(gnutls_session_t session)
{
    ssize_t count = gnutls_record_recv(session, buffer, sizeof buffer);
    if (count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED) {
        return -1;
    }
    check((int)count, "gnutls_record_recv");
    return count;
}

static void serve_pings(int epoll, gnutls_session_t session)
{
    for (size_t have = 0;;) {
        struct epoll_event event;
        if (gnutls_record_check_pending(session) == 0) {
            plain_wait(epoll, &event, 1);
        }
        ssize_t count = receive(session);
        if (count == 0) {
            return;
        }
        for (have += count > 0 ? (size_t)count : 0; have >= BENCH_MESSAGE; have -= BENCH_MESSAGE) {
            send_message(session);
        }
    }
}

static void serve_bulk(int epoll, gnutls_session_t session)
{
    uint64_t bytes = 0;
    for (;;) {
        ssize_t count = receive(session);
        if (count == 0) {
            break;
        }
        if (count < 0) {
            struct epoll_event event;
            plain_wait(epoll, &event, 1);
            continue;
        }
        bytes += (uint64_t)count;
    }
    check((int)gnutls_record_send(session, &bytes, BENCH_COUNT), "gnutls_record_send");
}

/* One connection: the rows have one. */
void plain_tls_server(const struct bench_options *options)
{
    uint16_t port;
    struct epoll_event event;
    gnutls_certificate_credentials_t credentials = load_credentials(options);
    int epoll = plain_epoll();
    int listener = plain_listen(SOCK_STREAM, &port);
    plain_watch(epoll, listener, EPOLLIN, NULL);
    bench_ready(port);
    plain_wait(epoll, &event, 1);
    int fd = plain_accept(listener, options);
    close(listener);
    if (fd < 0) {
        bench_die("accept4", "nobody there");
    }
    plain_watch(epoll, fd, EPOLLIN, NULL);
    gnutls_session_t session = handshake(epoll, fd, credentials, true);
    if (strcmp(options->job, "bulk") == 0) {
        serve_bulk(epoll, session);
    } else {
        serve_pings(epoll, session);
    }
    gnutls_bye(session, GNUTLS_SHUT_WR);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(fd);
    close(epoll);
    for (;;) {
        pause(); /* the harness ends servers, and reads their CPU clock until then */
    }
}

static void await_bytes(int epoll, gnutls_session_t session, size_t wanted)
{
    for (size_t have = 0; have < wanted;) {
        struct epoll_event event;
        if (gnutls_record_check_pending(session) == 0) {
            plain_wait(epoll, &event, 1);
        }
        ssize_t count = receive(session);
        if (count == 0) {
            bench_die("gnutls_record_recv", "the server closed");
        }
        have += count > 0 ? (size_t)count : 0;
    }
}

static void send_all(int epoll, int fd, gnutls_session_t session, uint64_t bytes)
{
    size_t at = 0;
    while (bytes > 0) {
        ssize_t count = gnutls_record_send(session, buffer + at, sizeof buffer - at);
        if (count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED) {
            await(epoll, fd, session);
            continue;
        }
        check((int)count, "gnutls_record_send");
        at = (at + (size_t)count) % sizeof buffer;
        bytes -= (uint64_t)count;
    }
    check(gnutls_bye(session, GNUTLS_SHUT_WR), "gnutls_bye");
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0) {
        bench_die_errno("epoll_ctl");
    }
}

static void run_bulk(int epoll, int fd, gnutls_session_t session, struct bench_window *window)
{
    const struct bench_options *options = window->options;
    uint64_t bytes = options->ops != 0 ? options->ops * BENCH_CHUNK : options->bytes;
    uint64_t counted = 0;
    send_all(epoll, fd, session, bytes);
    await_bytes(epoll, session, BENCH_COUNT);
    memcpy(&counted, buffer, BENCH_COUNT);
    if (counted != bytes) {
        bench_die("bulk", "the server has another count");
    }
    bench_window_close(window, bytes / BENCH_CHUNK);
}

void plain_tls_client(const struct bench_options *options)
{
    struct bench_window window;
    gnutls_certificate_credentials_t credentials = load_credentials(options);
    int epoll = plain_epoll();
    int fd = plain_connect_now(epoll, SOCK_STREAM, options);
    gnutls_session_t session = handshake(epoll, fd, credentials, false);
    char *note = gnutls_session_get_desc(session);
    bench_window_open(&window, options, 15);
    if (strcmp(options->job, "bulk") == 0) {
        run_bulk(epoll, fd, session, &window);
    } else {
        do {
            send_message(session);
            await_bytes(epoll, session, BENCH_MESSAGE);
        } while (bench_window_count(&window));
        gnutls_bye(session, GNUTLS_SHUT_WR);
    }
    bench_window_report(&window, note);
    gnutls_free(note);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(fd);
    close(epoll);
}

static void write_file(const char *path, const gnutls_datum_t *text)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(text->data, 1, text->size, file) != text->size || fclose(file) != 0) {
        bench_die_errno(path);
    }
}

void plain_tls_make_certificate(const char *certificate_path, const char *key_path)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    gnutls_datum_t text;
    time_t now = time(NULL);
    check(gnutls_x509_privkey_init(&key), "key");
    check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
          "key");
    check(gnutls_x509_crt_init(&certificate), "certificate");
    check(gnutls_x509_crt_set_version(certificate, 3), "version");
    check(gnutls_x509_crt_set_key(certificate, key), "key");
    check(gnutls_x509_crt_set_serial(certificate, "\x01", 1), "serial");
    check(gnutls_x509_crt_set_activation_time(certificate, now - 3600), "time");
    check(gnutls_x509_crt_set_expiration_time(certificate, now + 86400), "time");
    check(gnutls_x509_crt_set_dn(certificate, "CN=" BENCH_NAME, NULL), "name");
    check(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, BENCH_NAME, strlen(BENCH_NAME),
                                               GNUTLS_FSAN_SET),
          "name");
    check(gnutls_x509_crt_set_basic_constraints(certificate, 1, 0), "constraints");
    check(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), "signature");
    check(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text), "certificate");
    write_file(certificate_path, &text);
    gnutls_free(text.data);
    check(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &text), "key");
    write_file(key_path, &text);
    gnutls_free(text.data);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}
