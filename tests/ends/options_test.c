/*
 * The timeouts and the capacity profile of a Connection on the kernel's socket (RFC 9622, 8.1.3, 8.1.4, 8.1.6 and 8.2):
 * given before Initiate or Listen, and changed while it lives; over TCP, and through TLS to the TCP below it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <taps/taps.h>
#include <unistd.h>
#include "base/test.h"
#include "stack/secure/test_certificates.h"

struct pair {
    taps_context *context;
    struct tapsi_test_identity authority, identity;
    taps_listener *listener;
    taps_connection *client, *server;
    unsigned ready, errors;
    uint16_t port;
};

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct pair *)user)->ready++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct pair *)user)->errors++;
}

static const struct taps_connection_events events = {
    .ready = on_ready, .establishment_error = on_error, .connection_error = on_error};

static void on_listening(taps_listener *l, void *user)
{
    ((struct pair *)user)->port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_accepted(taps_listener *l, taps_connection *c, void *user)
{
    struct pair *p = user;
    (void)l;
    p->server = c;
    taps_connection_set_events(c, &events, p);
}

static const struct taps_listener_events listener_events = {.listening = on_listening,
                                                            .connection_received = on_accepted};

/* ---------------------------------------------------------------------------------------------------- the pair */

enum stack { TCP, TLS, UDP };

static taps_security_parameters *security(const struct pair *p, enum stack stack, bool listens)
{
    const char *ca = p->authority.certificate, *own = p->identity.certificate, *key = p->identity.key;
    taps_security_parameters *s;
    if (stack != TLS) {
        taps_security_parameters_new_disabled(&s);
        return s;
    }
    taps_security_parameters_new(&s);
    if (listens)
        CHECK_INT(taps_security_parameters_add_server_certificate_pem(s, own, strlen(own), key, strlen(key)), 0);
    else
        CHECK_INT(taps_security_parameters_add_ca_pem(s, ca, strlen(ca)), 0);
    return s;
}

/* `settings`: "connTimeout=2;keepAlive=require", or NULL. */
static taps_transport_properties *properties(enum stack stack, const char *settings)
{
    taps_transport_properties *t;
    char text[256];
    taps_transport_properties_new_profile(stack == UDP ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM, &t);
    snprintf(text, sizeof(text), "%s", settings ? settings : "");
    for (char *save = NULL, *row = strtok_r(text, ";", &save); row; row = strtok_r(NULL, ";", &save)) {
        char *value = strchr(row, '=');
        *value++ = '\0';
        CHECK_INT(taps_transport_properties_set(t, row, value), 0);
    }
    return t;
}

static taps_preconnection *preconnection(const struct pair *p, enum stack stack, bool listens, const char *settings)
{
    taps_preconnection *precon;
    taps_security_parameters *s = security(p, stack, listens);
    taps_transport_properties *t = properties(stack, settings);
    char address[40];
    snprintf(address, sizeof(address), "127.0.0.1:%u", p->port);
    taps_preconnection_new(p->context, &precon);
    CHECK_INT(listens ? taps_preconnection_add_local_text(precon, address)
                      : taps_preconnection_add_remote_text(precon, address),
              0);
    CHECK_INT(taps_preconnection_set_security_parameters(precon, s), 0);
    CHECK_INT(taps_preconnection_set_transport_properties(precon, t), 0);
    taps_security_parameters_free(s);
    taps_transport_properties_free(t);
    return precon;
}

static bool there(const struct pair *p, enum stack stack)
{
    return p->errors || (p->ready && (p->server || stack == UDP));
}

static bool pair_new(struct pair *p, enum stack stack, const char *at_initiate, const char *at_listen)
{
    static const struct tapsi_test_subject root = {.name = "root", .authority = true};
    static const struct tapsi_test_subject subject = {
        .name = "server", .names = "127.0.0.1", .purpose = TAPSI_TEST_SERVER};
    *p = (struct pair){0};
    p->authority = tapsi_test_identity(&root, NULL);
    p->identity = tapsi_test_identity(&subject, &p->authority);
    taps_context_new(NULL, &p->context);
    taps_preconnection *l = preconnection(p, stack, true, at_listen);
    CHECK_INT(taps_preconnection_listen(l, &listener_events, p, &p->listener), 0);
    taps_preconnection_free(l);
    for (int i = 0; i < 500 && !p->port; i++)
        taps_context_run_once(p->context, 10);
    taps_preconnection *c = preconnection(p, stack, false, at_initiate);
    CHECK_INT(taps_preconnection_initiate(c, 5000, &events, p, &p->client), 0);
    taps_preconnection_free(c);
    for (int i = 0; i < 1000 && !there(p, stack); i++)
        taps_context_run_once(p->context, 10);
    return p->ready && !p->errors && (p->server || stack == UDP);
}

static void pair_done(struct pair *p)
{
    taps_connection_free(p->client);
    taps_connection_free(p->server);
    taps_listener_free(p->listener);
    CHECK_INT(taps_context_free(p->context), 0);
    tapsi_test_identity_free(&p->identity);
    tapsi_test_identity_free(&p->authority);
}

/* The option of this process's socket between these two ports, or -1. */
static int option_of(taps_connection *c, int level, int option)
{
    uint16_t local = taps_endpoint_port(taps_connection_local(c));
    uint16_t remote = taps_endpoint_port(taps_connection_remote(c));
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in a, b;
        socklen_t la = sizeof(a), lb = sizeof(b), size = sizeof(int);
        int value;
        if (getsockname(fd, (struct sockaddr *)&a, &la) == 0 && getpeername(fd, (struct sockaddr *)&b, &lb) == 0 &&
            a.sin_family == AF_INET && ntohs(a.sin_port) == local && ntohs(b.sin_port) == remote &&
            getsockopt(fd, level, option, &value, &size) == 0)
            return value;
    }
    return -1;
}

struct wanted {
    int user_ms;    /* TCP_USER_TIMEOUT */
    int idle, each; /* TCP_KEEPIDLE, TCP_KEEPINTVL; idle 0: no keep-alive packets */
};

/* What the kernel does when nobody asks it for anything else (net.ipv4.tcp_keepalive_time and _intvl). */
static struct wanted systems_own(void)
{
    struct wanted own = {0};
    socklen_t size = sizeof(int);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &own.idle, &size);
    getsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &own.each, &size);
    close(fd);
    return own;
}

static void check_kernel(taps_connection *c, struct wanted w, const char *when)
{
    int user = option_of(c, IPPROTO_TCP, TCP_USER_TIMEOUT), on = option_of(c, SOL_SOCKET, SO_KEEPALIVE);
    int idle = option_of(c, IPPROTO_TCP, TCP_KEEPIDLE), each = option_of(c, IPPROTO_TCP, TCP_KEEPINTVL);
    if (user != w.user_ms || on != (w.idle != 0) || (w.idle && (idle != w.idle || each != w.each)))
        tapsi_test_fail(__FILE__, __LINE__, "%s: user timeout %d ms, keep-alive %d, idle %d s, interval %d s", when,
                        user, on, idle, each);
}

/* ------------------------------------------------------------------------------------ given before the Connection */

/* proves API-082, API-083 and API-094: what the properties say at Initiate and Listen is what the socket has, over TCP
   and through TLS. */
TEST(timeouts_given_before_reach_the_socket)
{
    const struct wanted own = systems_own();
    const struct {
        const char *settings;
        struct wanted wanted;
    } rows[] = {
        {NULL, {0}},
        {"connTimeout=2.5", {.user_ms = 2500}},
        {"connTimeout=disabled", {0}},
        {"connTimeout=0.0001", {.user_ms = 1}},
        {"connTimeout=1000000000", {.user_ms = INT32_MAX}},
        {"keepAlive=require", {.idle = own.idle, .each = own.each}},
        {"keepAliveTimeout=20", {.idle = 20, .each = 2}},
        {"keepAliveTimeout=0.2", {.idle = 1, .each = 1}},
        {"keepAliveTimeout=1000000", {.idle = 32767, .each = 32767}},
        {"keepAlive=require;keepAliveTimeout=30", {.idle = 30, .each = 3}},
        {"keepAlive=require;keepAliveTimeout=disabled", {0}},
        {"keepAlive=prohibit;keepAliveTimeout=30", {0}},
        {"keepAliveTimeout=30;connTimeout=30", {.user_ms = 30000, .idle = 30, .each = 3}},
        {"keepAliveTimeout=31;connTimeout=30", {.user_ms = 30000}}, /* beyond it: none */
        {"tcp.userTimeoutValue=60", {0}},                           /* not enabled */
        {"tcp.userTimeoutEnabled=true", {0}},                       /* TCP's own */
        {"tcp.userTimeoutEnabled=true;tcp.userTimeoutValue=60", {.user_ms = 60000}},
        {"tcp.userTimeoutEnabled=true;tcp.userTimeoutValue=60;connTimeout=5", {.user_ms = 5000}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (enum stack stack = TCP; stack <= TLS; stack++) {
            struct pair p;
            NEED(pair_new(&p, stack, rows[i].settings, rows[i].settings));
            check_kernel(p.client, rows[i].wanted, rows[i].settings);
            check_kernel(p.server, rows[i].wanted, rows[i].settings);
            pair_done(&p);
        }
    }
}

/* proves API-082, API-083: each side has its own. */
TEST(a_listeners_timeouts_are_not_its_peers)
{
    struct pair p;
    NEED(pair_new(&p, TCP, "connTimeout=3", "keepAliveTimeout=50"));
    check_kernel(p.client, (struct wanted){.user_ms = 3000}, "the client");
    check_kernel(p.server, (struct wanted){.idle = 50, .each = 5}, "the server");
    pair_done(&p);
}

/* ------------------------------------------------------------------------------------------------ while it lives */

static void set(taps_connection *c, const char *name, const char *value, struct wanted w)
{
    char text[64] = "";
    CHECK_INT(taps_connection_set_property(c, name, value), 0);
    CHECK(taps_connection_get_property(c, name, text, sizeof(text)) > 0);
    CHECK_TEXT(text, value);
    check_kernel(c, w, name);
}

/* proves API-082, API-083, API-094 and API-095: changed while connected, on either side; a value that is refused
   changes nothing. */
TEST(timeouts_set_on_a_live_connection_reach_the_socket)
{
    for (enum stack stack = TCP; stack <= TLS; stack++) {
        struct pair p;
        NEED(pair_new(&p, stack, NULL, NULL));
        taps_connection *sides[] = {p.client, p.server};
        for (int i = 0; i < 2; i++) {
            taps_connection *c = sides[i];
            check_kernel(c, (struct wanted){0}, "at first");
            set(c, "tcp.userTimeoutValue", "60", (struct wanted){0}); /* not enabled */
            set(c, "tcp.userTimeoutEnabled", "true", (struct wanted){.user_ms = 60000});
            set(c, "connTimeout", "2.5", (struct wanted){.user_ms = 2500});
            set(c, "keepAliveTimeout", "2", (struct wanted){2500, 2, 1});
            set(c, "keepAliveTimeout", "3", (struct wanted){.user_ms = 2500}); /* beyond connTimeout */
            set(c, "connTimeout", "disabled", (struct wanted){60000, 3, 1});
            set(c, "keepAliveTimeout", "disabled", (struct wanted){.user_ms = 60000});
            set(c, "keepAliveTimeout", "40", (struct wanted){60000, 40, 4});
            set(c, "tcp.userTimeoutValue", "7", (struct wanted){7000, 40, 4});
            set(c, "tcp.userTimeoutEnabled", "false", (struct wanted){0, 40, 4});
            CHECK_INT(taps_connection_set_property(c, "connTimeout", "0"), TAPS_E_RANGE);
            CHECK_INT(taps_connection_set_property(c, "keepAliveTimeout", "-1"), TAPS_E_RANGE);
            CHECK_INT(taps_connection_set_property(c, "tcp.userTimeoutValue", "0"), TAPS_E_RANGE);
            check_kernel(c, (struct wanted){0, 40, 4}, "refused");
        }
        CHECK_INT(p.errors, 0);
        pair_done(&p);
    }
}

static bool changeable(taps_connection *c)
{
    struct taps_value value = {.boolean = false};
    CHECK_INT(taps_connection_get_value(c, TAPS_TCP_USER_TIMEOUT_CHANGEABLE, &value), 0);
    return value.boolean;
}

/* proves API-094: tcp.userTimeoutChangeable is true until connTimeout is used; then the application must say it again.
 */
TEST(conn_timeout_makes_the_user_timeout_unchangeable)
{
    struct pair p;
    NEED(pair_new(&p, TCP, NULL, "connTimeout=4"));
    CHECK(changeable(p.client));
    CHECK(!changeable(p.server));
    CHECK_INT(taps_connection_set_property(p.client, "connTimeout", "disabled"), 0);
    CHECK(changeable(p.client));
    CHECK_INT(taps_connection_set_property(p.client, "connTimeout", "9"), 0);
    CHECK(!changeable(p.client));
    CHECK_INT(taps_connection_set_property(p.client, "tcp.userTimeoutChangeable", "true"), 0);
    CHECK(changeable(p.client));
    check_kernel(p.client, (struct wanted){.user_ms = 9000}, "changeable");
    pair_done(&p);
}

/* -------------------------------------------------------------------------------------------------------- on UDP */

/* proves ARCH-06, API-082, API-083, API-094: on udp the generic ones are kept and have no effect; TCP's own do not
   apply, and the Connection goes on. */
TEST(on_udp_timeouts_have_no_effect)
{
    struct pair p;
    NEED(pair_new(&p, UDP, "connTimeout=1;keepAliveTimeout=1;tcp.userTimeoutEnabled=true;_tls.allowTruncation=true",
                  NULL));
    char text[64];
    CHECK_INT(taps_connection_set_property(p.client, "connTimeout", "2"), 0);
    CHECK(taps_connection_get_property(p.client, "connTimeout", text, sizeof(text)) > 0);
    CHECK_TEXT(text, "2");
    CHECK_INT(taps_connection_set_property(p.client, "keepAliveTimeout", "5"), 0);
    CHECK_INT(option_of(p.client, SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_INT(taps_connection_set_property(p.client, "tcp.userTimeoutValue", "10"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_connection_set_property(p.client, "tcp.userTimeoutEnabled", "true"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_connection_set_property(p.client, "tcp.userTimeoutChangeable", "true"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_connection_state(p.client), TAPS_ESTABLISHED);
    CHECK_INT(p.errors, 0);
    pair_done(&p);
}

/* ------------------------------------------------------------------------------------------- the capacity profile */

#define HURRY_UNSENT (16 * 1024)
#define GROUP_UNSENT (32 * 1024)

static void check_profile(taps_connection *c, int dscp, bool hurry, int unsent, const char *when)
{
    int tos = option_of(c, IPPROTO_IP, IP_TOS), no_delay = option_of(c, IPPROTO_TCP, TCP_NODELAY);
    int low = option_of(c, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
    if (tos >> 2 != dscp || (no_delay != 0) != hurry || low != unsent)
        tapsi_test_fail(__FILE__, __LINE__, "%s: DSCP %d, no delay %d, %d bytes kept", when, tos >> 2, no_delay, low);
}

static const struct {
    const char *profile;
    int dscp;
    bool hurry;
} profiles[] = {{"scavenger", 1, false},
                {"low latency interactive", 34, true},
                {"low latency non-interactive", 18, true},
                {"constant-rate streaming", 26, false},
                {"capacity-seeking", 10, false},
                {"default", 0, false}};

/* proves API-085 */
TEST(a_profile_given_before_reaches_the_socket)
{
    for (enum stack stack = TCP; stack <= TLS; stack++) {
        for (int i = 0; i < 6; i++) {
            struct pair p;
            char text[64];
            snprintf(text, sizeof(text), "connCapacityProfile=%s", profiles[i].profile);
            NEED(pair_new(&p, stack, text, text));
            int unsent = profiles[i].hurry ? HURRY_UNSENT : 0;
            check_profile(p.client, profiles[i].dscp, profiles[i].hurry, unsent, text);
            check_profile(p.server, profiles[i].dscp, profiles[i].hurry, unsent, text);
            pair_done(&p);
        }
    }
}

/* proves API-085, API-095: there and back, and a group's bound is not lost by it. */
TEST(a_profile_set_on_a_live_connection_reaches_the_socket)
{
    struct pair p;
    taps_connection *clone = NULL;
    NEED(pair_new(&p, TCP, NULL, NULL));
    for (int i = 0; i < 6; i++) {
        CHECK_INT(taps_connection_set_property(p.client, "connCapacityProfile", profiles[i].profile), 0);
        check_profile(p.client, profiles[i].dscp, profiles[i].hurry, profiles[i].hurry ? HURRY_UNSENT : 0,
                      profiles[i].profile);
    }
    CHECK_INT(taps_connection_set_property(p.client, "connCapacityProfile", "fast"), TAPS_E_RANGE);
    check_profile(p.client, 0, false, 0, "refused");
    CHECK_INT(taps_connection_clone(p.client, NULL, NULL, &events, &p, &clone), 0);
    check_profile(p.client, 0, false, GROUP_UNSENT, "in a group");
    CHECK_INT(taps_connection_set_property(p.client, "connCapacityProfile", "low latency interactive"), 0);
    check_profile(p.client, 34, true, HURRY_UNSENT, "in a hurry in a group");
    CHECK_INT(taps_connection_set_property(p.client, "connCapacityProfile", "default"), 0);
    check_profile(p.client, 0, false, GROUP_UNSENT, "in a group again");
    taps_connection_free(clone);
    pair_done(&p);
}
