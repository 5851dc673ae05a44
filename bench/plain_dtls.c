/*
 * The DTLS rows: GnuTLS on a UDP socket as its manual shows it, with cookies, AES-128-GCM first, certificate and name
 * checked. The client's socket is connected; the server has one peer at a time and answers to where it is. Level-
 * triggered, one read per event where one datagram is the rule. The handshake is not measured.
 */
#include "plain.h"

#include <errno.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAM_MTU 1472
#define AT_ONCE      64 /* datagrams of one event, where they come in floods */

static struct {
    int fd;
    bool server, secure;
    gnutls_session_t session; /* NULL: no peer yet */
    struct sockaddr_storage peer;
    socklen_t peer_length;
} end;

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
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
    if (options->certificate == NULL || (options->server && options->key == NULL)) {
        bench_die("dtls", "needs --certificate and, on the server, --key");
    }
    check(gnutls_priority_init(&priority, "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM", NULL),
          "priority");
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

/* ------------------------------------------------------------------------------------------- GnuTLS's hands */

static ssize_t push(gnutls_transport_ptr_t unused, const void *bytes, size_t count)
{
    (void)unused;
    if (!end.server) {
        return send(end.fd, bytes, count, MSG_NOSIGNAL);
    }
    return sendto(end.fd, bytes, count, MSG_NOSIGNAL, (struct sockaddr *)&end.peer, end.peer_length);
}

static ssize_t pull(gnutls_transport_ptr_t unused, void *to, size_t room)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    (void)unused;
    if (!end.server) {
        return recv(end.fd, to, room, 0);
    }
    ssize_t count = recvfrom(end.fd, to, room, 0, (struct sockaddr *)&from, &length);
    if (count >= 0 && (length != end.peer_length || memcmp(&from, &end.peer, length) != 0)) {
        errno = EAGAIN;
        return -1;
    }
    return count;
}

static int wait_for_input(gnutls_transport_ptr_t unused, unsigned ms)
{
    struct pollfd one = {.fd = end.fd, .events = POLLIN};
    (void)unused;
    return poll(&one, 1, (int)ms);
}

static void open_session(void)
{
    check(gnutls_init(&end.session, (end.server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK),
          "session");
    check(gnutls_priority_set(end.session, priority), "priority");
    check(gnutls_credentials_set(end.session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    gnutls_transport_set_push_function(end.session, push);
    gnutls_transport_set_pull_function(end.session, pull);
    gnutls_transport_set_pull_timeout_function(end.session, wait_for_input);
    gnutls_dtls_set_mtu(end.session, DATAGRAM_MTU);
    end.secure = false;
}

static void shake_hands(void)
{
    int status = gnutls_handshake(end.session);
    if (status < 0 && gnutls_error_is_fatal(status)) {
        bench_die("handshake", gnutls_strerror(status));
    }
    end.secure = status == 0;
}

/* -------------------------------------------------------------------------------------------------- server */

static gnutls_datum_t cookie_key;

/* A datagram of nobody: asks for a cookie, or begins a session with who has it. The ClientHello stays in the socket. */
static void meet(void)
{
    gnutls_dtls_prestate_st prestate = {0};
    end.peer_length = sizeof end.peer;
    ssize_t count = recvfrom(end.fd, buffer, sizeof buffer, MSG_PEEK, (struct sockaddr *)&end.peer, &end.peer_length);
    if (count < 0) {
        return;
    }
    if (gnutls_dtls_cookie_verify(&cookie_key, &end.peer, end.peer_length, buffer, (size_t)count, &prestate) < 0) {
        gnutls_dtls_cookie_send(&cookie_key, &end.peer, end.peer_length, &prestate, NULL, push);
        recv(end.fd, buffer, sizeof buffer, 0);
        return;
    }
    open_session();
    gnutls_dtls_prestate_set(end.session, &prestate);
}

static void serve(bool answers)
{
    for (int i = 0; i < (answers ? 1 : AT_ONCE); i++) {
        ssize_t count = gnutls_record_recv(end.session, buffer, sizeof buffer);
        if (count > 0 && answers) {
            gnutls_record_send(end.session, buffer, (size_t)count);
        } else if (count == 0 || (count < 0 && gnutls_error_is_fatal((int)count))) {
            gnutls_deinit(end.session);
            end.session = NULL;
            return;
        } else if (count < 0) {
            return;
        }
    }
}

void plain_dtls_server(const struct bench_options *options)
{
    uint16_t port;
    int epoll = plain_epoll();
    bool answers = strcmp(options->job, "pingpong") == 0;
    end.fd = plain_listen(SOCK_DGRAM, &port);
    end.server = true;
    begin(options);
    check(gnutls_key_generate(&cookie_key, GNUTLS_COOKIE_KEY_SIZE), "cookie key");
    plain_watch(epoll, end.fd, EPOLLIN, NULL);
    bench_ready(port);
    for (;;) {
        struct epoll_event event;
        plain_wait(epoll, &event, 1);
        if (end.session == NULL) {
            meet();
        } else if (!end.secure) {
            shake_hands();
        } else {
            serve(answers);
        }
    }
}

/* -------------------------------------------------------------------------------------------------- client */

static int open_client(const struct bench_options *options)
{
    int epoll = plain_epoll();
    end.fd = plain_connect(SOCK_DGRAM, options);
    begin(options);
    plain_watch(epoll, end.fd, EPOLLIN, NULL);
    open_session();
    check(gnutls_server_name_set(end.session, GNUTLS_NAME_DNS, BENCH_NAME, strlen(BENCH_NAME)), "server name");
    gnutls_session_set_verify_cert(end.session, BENCH_NAME, 0);
    for (shake_hands(); !end.secure; shake_hands()) {
        wait_for_input(NULL, gnutls_dtls_get_timeout(end.session));
    }
    return epoll;
}

static void close_client(int epoll)
{
    gnutls_bye(end.session, GNUTLS_SHUT_WR);
    gnutls_deinit(end.session);
    gnutls_certificate_free_credentials(credentials);
    gnutls_priority_deinit(priority);
    close(end.fd);
    close(epoll);
}

void plain_dtls_pingpong_client(const struct bench_options *options)
{
    int epoll = open_client(options);
    struct bench_window window;
    bench_window_open(&window, options, 15);
    do {
        struct epoll_event event;
        ssize_t count;
        check((int)gnutls_record_send(end.session, message, sizeof message), "send");
        do {
            plain_wait(epoll, &event, 1);
            count = gnutls_record_recv(end.session, buffer, sizeof buffer);
        } while (count == GNUTLS_E_AGAIN);
        if (count != BENCH_MESSAGE) {
            bench_die("recv", "not what was sent");
        }
    } while (bench_window_count(&window));
    bench_window_report(&window, "dtls");
    close_client(epoll);
}

/* What is given to the kernel counts; the server takes what it can. */
void plain_dtls_flood_client(const struct bench_options *options)
{
    int epoll = open_client(options);
    struct bench_window window;
    uint64_t sent = 0;
    bench_window_open(&window, options, 0);
    while (options->ops != 0 ? sent < options->ops : sent % 64 != 0 || bench_now_ns() < window.next_ns) {
        ssize_t count = gnutls_record_send(end.session, message, sizeof message);
        if (count == GNUTLS_E_AGAIN) {
            struct pollfd one = {.fd = end.fd, .events = POLLOUT};
            poll(&one, 1, -1);
            continue;
        }
        check((int)count, "send");
        sent++;
    }
    bench_window_close(&window, sent);
    bench_window_report(&window, "dtls");
    close_client(epoll);
}
