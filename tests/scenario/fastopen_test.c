/*
 * TCP Fast Open with the kernel's own TCP, in a network namespace where it is switched on: the simulator has none. What
 * was in a SYN is read from the kernel's counters.
 */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <taps/taps.h>
#include <unistd.h>
#include "base/test.h"
#include "stack/secure/test_certificates.h"

#define FIRST "in the SYN"

/* --------------------------------------------------------------------------------------------- the namespace */

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

static bool loopback_up(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
    if (fd >= 0)
        close(fd);
    return up;
}

/* Each test has its own, so that there is no cookie from another. */
static bool enter(const char *fast_open)
{
    if ((unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) && loopback_up() &&
        write_file("/proc/sys/net/ipv4/tcp_fastopen", fast_open))
        return true;
    tapsi_test_skip("no network namespace of its own");
    return false;
}

/* SYNs with data that were acknowledged with it. */
static long fast_opens(void)
{
    static char text[16384];
    int fd = open("/proc/net/netstat", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    char *names = strtok(text, "\n"), *values = strtok(NULL, "\n");
    char *name_at = NULL, *value_at = NULL;
    char *name = names ? strtok_r(names, " ", &name_at) : NULL,
         *value = values ? strtok_r(values, " ", &value_at) : NULL;
    while (name && value && strcmp(name, "TCPFastOpenActive") != 0) {
        name = strtok_r(NULL, " ", &name_at);
        value = strtok_r(NULL, " ", &value_at);
    }
    return name && value ? atol(value) : -1;
}

/* ------------------------------------------------------------------------------------------------- both ends */

struct ends {
    taps_context *context;
    taps_transport_properties *properties;
    taps_security_parameters *client, *server;
    taps_listener *listener;
    taps_connection *connection, *accepted;
    unsigned ready, failed, sent, received;
    int code;
    char data[100];
    size_t length, early;
};

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct ends *)user)->ready++;
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct ends *)user)->sent++;
}

static void on_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    struct ends *e = user;
    (void)c;
    e->failed++;
    e->code = error->code;
}

static const struct taps_connection_events client_events = {
    .ready = on_ready, .sent = on_sent, .establishment_error = on_failed};

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct ends *e = user;
    if (m->length <= sizeof(e->data) - e->length && m->length)
        memcpy(e->data + e->length, m->data, m->length);
    e->length += m->length;
    e->early += m->early ? m->length : 0;
    if (!m->final)
        taps_connection_receive(c, 1, 1000, NULL);
}

static const struct taps_connection_events server_events = {.received = on_data, .received_partial = on_data};

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    struct ends *e = user;
    (void)l;
    e->received++;
    taps_connection_free(e->accepted);
    e->accepted = c;
    taps_connection_set_events(c, &server_events, e);
    taps_connection_receive(c, 1, 1000, NULL);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received};

static void listen_on_loopback(struct ends *e)
{
    taps_preconnection *p;
    taps_preconnection_new(e->context, &p);
    CHECK_INT(taps_preconnection_add_local_text(p, "127.0.0.1:4040"), 0);
    taps_preconnection_set_transport_properties(p, e->properties);
    taps_preconnection_set_security_parameters(p, e->server);
    CHECK_INT(taps_preconnection_listen(p, &listener_events, e, &e->listener), 0);
    taps_preconnection_free(p);
    for (int i = 0; i < 5; i++)
        taps_context_run_once(e->context, 1);
}

static void begin(struct ends *e, bool secure)
{
    memset(e, 0, sizeof(*e));
    CHECK_INT(taps_context_new(NULL, &e->context), 0);
    taps_transport_properties_new(&e->properties);
    taps_transport_properties_prefer(e->properties, TAPS_ZERO_RTT_MSG);
    if (!secure) {
        taps_security_parameters_new_disabled(&e->client);
        taps_security_parameters_new_disabled(&e->server);
    } else {
        struct tapsi_test_identity authority =
            tapsi_test_identity(&(struct tapsi_test_subject){.name = "Authority", .authority = true}, NULL);
        struct tapsi_test_identity server = tapsi_test_identity(
            &(struct tapsi_test_subject){.name = "server", .names = "127.0.0.1", .purpose = TAPSI_TEST_SERVER},
            &authority);
        taps_security_parameters_new(&e->client);
        taps_security_parameters_new(&e->server);
        CHECK_INT(taps_security_parameters_add_ca_pem(e->client, authority.certificate, strlen(authority.certificate)),
                  0);
        CHECK_INT(taps_security_parameters_add_server_certificate_pem(
                      e->server, server.certificate, strlen(server.certificate), server.key, strlen(server.key)),
                  0);
        tapsi_test_identity_free(&server);
        tapsi_test_identity_free(&authority);
    }
    listen_on_loopback(e);
}

static void end(struct ends *e)
{
    taps_connection_free(e->connection);
    taps_connection_free(e->accepted);
    taps_listener_free(e->listener);
    taps_transport_properties_free(e->properties);
    taps_security_parameters_free(e->client);
    taps_security_parameters_free(e->server);
    CHECK_INT(taps_context_free(e->context), 0);
}

/* Until it arrived, or there is none. */
static void say(struct ends *e, const char *remote, bool replayable)
{
    taps_preconnection *p;
    taps_message_context *context;
    taps_connection_free(e->connection);
    e->ready = e->failed = e->sent = 0;
    e->length = e->early = 0;
    taps_message_context_new(&context);
    taps_message_context_set(context, "safelyReplayable", replayable ? "true" : "false");
    taps_preconnection_new(e->context, &p);
    CHECK_INT(taps_preconnection_add_remote_text(p, remote), 0);
    taps_preconnection_set_transport_properties(p, e->properties);
    taps_preconnection_set_security_parameters(p, e->client);
    CHECK_INT(taps_preconnection_initiate_with_send(p, 5000, &client_events, e, FIRST, strlen(FIRST), context, 0, NULL,
                                                    &e->connection),
              0);
    for (int i = 0; i < 500 && !e->failed && !(e->sent && e->length >= strlen(FIRST)); i++)
        taps_context_run_once(e->context, 10);
    taps_preconnection_free(p);
    taps_message_context_free(context);
}

static void check_said(const struct ends *e)
{
    CHECK_INT(e->ready, 1);
    CHECK_INT(e->sent, 1);
    CHECK(e->length == strlen(FIRST) && memcmp(e->data, FIRST, e->length) == 0);
}

/* ----------------------------------------------------------------------------------------------------- tests */

/* proves IMPL-30, API-074: a cookie is asked for first; from then on the first Message is in the SYN */
TEST(a_first_message_is_in_the_syn_when_there_is_a_cookie)
{
    struct ends e;
    if (!enter("3"))
        return;
    begin(&e, false);
    say(&e, "127.0.0.1:4040", true);
    check_said(&e);
    CHECK(!taps_connection_early_data(e.connection));
    CHECK_INT(fast_opens(), 0);
    for (int i = 1; i <= 3; i++) {
        say(&e, "127.0.0.1:4040", true);
        check_said(&e);
        CHECK(taps_connection_early_data(e.connection));
        CHECK_INT(fast_opens(), i);
    }
    end(&e);
}

TEST(what_is_not_safely_replayable_is_in_no_syn)
{
    struct ends e;
    if (!enter("3"))
        return;
    begin(&e, false);
    say(&e, "127.0.0.1:4040", true);
    say(&e, "127.0.0.1:4040", false);
    check_said(&e);
    CHECK(!taps_connection_early_data(e.connection));
    CHECK_INT(fast_opens(), 0);
    taps_transport_properties_avoid(e.properties, TAPS_ZERO_RTT_MSG);
    say(&e, "127.0.0.1:4040", true);
    check_said(&e);
    CHECK_INT(fast_opens(), 0);
    end(&e);
}

/* A cookie is the host's, and says nothing of the port. */
TEST(a_port_where_nobody_listens_is_refused_cookie_or_not)
{
    struct ends e;
    if (!enter("3"))
        return;
    begin(&e, false);
    say(&e, "127.0.0.1:4040", true);
    say(&e, "127.0.0.1:4041", true);
    CHECK_INT(e.ready, 0);
    CHECK_INT(e.failed, 1);
    CHECK_INT(e.code, TAPS_E_REFUSED);
    CHECK_INT(e.sent, 0);
    end(&e);
}

TEST(where_it_is_switched_off_it_is_an_ordinary_connection)
{
    static const char *const modes[] = {"0", "1", "2"};
    for (int i = 0; i < 3; i++) {
        struct ends e;
        if (!enter(modes[i]))
            return;
        begin(&e, false);
        for (int k = 0; k < 2; k++) {
            say(&e, "127.0.0.1:4040", true);
            check_said(&e);
            CHECK(!taps_connection_early_data(e.connection));
        }
        CHECK_INT(fast_opens(), 0);
        end(&e);
    }
}

/* The ClientHello and the early data behind it. */
TEST(the_first_flight_of_tls_is_in_the_syn)
{
    struct ends e;
    if (!enter("3"))
        return;
    begin(&e, true);
    say(&e, "127.0.0.1:4040", true); /* no ticket, and so nothing early */
    check_said(&e);
    say(&e, "127.0.0.1:4040", true); /* a ticket, but no cookie */
    check_said(&e);
    CHECK(taps_connection_early_data(e.connection));
    CHECK_INT(fast_opens(), 0);
    say(&e, "127.0.0.1:4040", true);
    check_said(&e);
    CHECK(taps_connection_resumed(e.connection));
    CHECK(taps_connection_early_data(e.connection));
    CHECK_INT(e.early, strlen(FIRST));
    CHECK_INT(fast_opens(), 1);
    say(&e, "127.0.0.1:4041", true);
    CHECK_INT(e.failed, 1);
    CHECK_INT(e.code, TAPS_E_REFUSED);
    end(&e);
}
