#include "listen.h"

#include <stdlib.h>
#include <string.h>
#include <taps/taps.h>
#include "base/test.h"
#include "connection/context.h"
#include "stack/secure/test_certificates.h"

#define CONNECTIONS_MAX 64

struct listen {
    struct tapsi_mem mem;
    taps_context *context;
    taps_listener *listener;
    taps_connection *connections[CONNECTIONS_MAX];
};

/* ------------------------------------------------------------------------------------------------ certificates */

static struct tapsi_test_identity authority, stranger, certificates[4];
static const char *const kinds[] = {"tls", "tls-expired", "tls-stranger", "tls-other-name"};

static void free_certificates(void)
{
    tapsi_test_identity_free(&authority);
    tapsi_test_identity_free(&stranger);
    for (size_t i = 0; i < 4; i++)
        tapsi_test_identity_free(&certificates[i]);
}

/* Made once in a program: they cost more than a race. */
static void make_certificates(void)
{
    static const char names[] =
        "example.test,one.test,two.test,192.0.2.1,192.0.2.11,192.0.2.12,192.0.2.13,10.0.0.1,169.254.7.7,"
        "2001:db8::1,2001:db8::11,2001:db8:0:1::12,fd00::1,2002:c000:201::1,2001:0:7::1";
    struct tapsi_test_subject subject = {.name = "server", .names = names, .purpose = TAPSI_TEST_SERVER};
    if (authority.certificate)
        return;
    atexit(free_certificates);
    authority = tapsi_test_identity(&(struct tapsi_test_subject){.name = "Authority", .authority = true}, NULL);
    stranger = tapsi_test_identity(&(struct tapsi_test_subject){.name = "Stranger", .authority = true}, NULL);
    certificates[0] = tapsi_test_identity(&subject, &authority);
    certificates[2] = tapsi_test_identity(&subject, &stranger);
    subject.names = "elsewhere.test";
    certificates[3] = tapsi_test_identity(&subject, &authority);
    subject.names = names;
    subject.until = "2026-01-01";
    certificates[1] = tapsi_test_identity(&subject, &authority);
}

const char *listen_authority(void)
{
    make_certificates();
    return authority.certificate;
}

/* ------------------------------------------------------------------------------------------------------ events */

static void forget(struct listen *l, taps_connection *c)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (l->connections[i] == c)
            l->connections[i] = NULL;
    }
    taps_connection_free(c);
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    (void)user;
    if (m->length)
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    if (m->final)
        taps_connection_close(c);
    else
        taps_connection_receive(c, 1, 65536, NULL);
}

static void on_closed(taps_connection *c, void *user)
{
    forget(user, c);
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    forget(user, c);
}

static const struct taps_connection_events events = {
    .received = on_data, .received_partial = on_data, .closed = on_closed, .connection_error = on_error};

static void on_received(taps_listener *listener, taps_connection *c, void *user)
{
    struct listen *l = user;
    (void)listener;
    unsigned i = 0;
    while (i < CONNECTIONS_MAX && l->connections[i])
        i++;
    if (i == CONNECTIONS_MAX) {
        taps_connection_free(c);
        return;
    }
    l->connections[i] = c;
    taps_connection_set_events(c, &events, l);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void on_listener_error(taps_listener *listener, const struct taps_error *error, void *user)
{
    (void)listener;
    (void)user;
    tapsi_test_fail(__FILE__, __LINE__, "the server does not listen: %s", error->detail);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received,
                                                            .establishment_error = on_listener_error};

/* ------------------------------------------------------------------------------------------------------ a server */

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

static taps_security_parameters *security_of(const char *kind)
{
    taps_security_parameters *s = NULL;
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(kinds[i], kind) != 0)
            continue;
        make_certificates();
        taps_security_parameters_new(&s);
        taps_security_parameters_add_server_certificate_pem(s, certificates[i].certificate,
                                                            strlen(certificates[i].certificate), certificates[i].key,
                                                            strlen(certificates[i].key));
    }
    if (!s && (strcmp(kind, "listener") == 0 || strcmp(kind, "datagrams") == 0))
        taps_security_parameters_new_disabled(&s);
    return s;
}

static void open_listener(struct listen *l, uint16_t port, taps_security_parameters *security, bool datagrams)
{
    taps_preconnection *pre;
    taps_endpoint *local;
    taps_transport_properties *properties;
    taps_preconnection_new(l->context, &pre);
    taps_local_endpoint_new(&local);
    taps_endpoint_with_port(local, port);
    taps_preconnection_add_local(pre, local);
    taps_preconnection_set_security_parameters(pre, security);
    taps_transport_properties_new_profile(datagrams ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM,
                                          &properties);
    taps_preconnection_set_transport_properties(pre, properties);
    if (taps_preconnection_listen(pre, &listener_events, l, &l->listener) != 0)
        tapsi_test_fail(__FILE__, __LINE__, "the server does not listen: %s", taps_preconnection_error(pre)->detail);
    taps_transport_properties_free(properties);
    taps_endpoint_free(local);
    taps_preconnection_free(pre);
}

struct listen *listen_new(struct tapsi_sim *sim, struct tapsi_sim_host *host, uint16_t port, const char *kind)
{
    struct tapsi_platform *platform;
    taps_security_parameters *security = security_of(kind);
    struct listen *l = security ? calloc(1, sizeof(*l)) : NULL;
    if (!l)
        return NULL;
    tapsi_mem_init(&l->mem, NULL);
    if (tapsi_sim_platform_new(host, &l->mem, &platform) || tapsi_context_new(NULL, platform, &l->context))
        abort();
    tapsi_sim_attach(sim, platform, pump, l->context);
    tapsi_loop_embed(&l->context->loop);
    open_listener(l, port, security, strcmp(kind, "datagrams") == 0);
    taps_security_parameters_free(security);
    return l;
}

void listen_end_all(struct listen *l, bool abort)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (l->connections[i] && abort)
            taps_connection_abort(l->connections[i]);
        else if (l->connections[i])
            taps_connection_close(l->connections[i]);
    }
}

void listen_free(struct listen *l)
{
    if (!l)
        return;
    taps_listener_free(l->listener);
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        taps_connection_free(l->connections[i]);
    CHECK_INT(taps_context_free(l->context), 0);
    free(l);
}
