#include "scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "stack/secure/test_certificates.h"

#define AT_ONCE 64

static struct tapsi_test_identity authority, identity;

bool scale_descriptors(unsigned count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur >= count)
        return true;
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count; /* the privileged may */
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void free_identities(void)
{
    tapsi_test_identity_free(&identity);
    tapsi_test_identity_free(&authority);
}

void scale_certificates(void)
{
    struct tapsi_test_subject root = {.name = "root", .authority = true};
    struct tapsi_test_subject subject = {.name = "localhost", .names = "localhost", .purpose = TAPSI_TEST_SERVER};
    if (identity.certificate)
        return;
    authority = tapsi_test_identity(&root, NULL);
    identity = tapsi_test_identity(&subject, &authority);
    atexit(free_identities);
}

/* ------------------------------------------------------------------------------------------- Preconnections */

static taps_security_parameters *secure(enum scale_stack stack, bool listens)
{
    static const enum taps_security_protocol only[] = {[SCALE_QUIC] = TAPS_QUIC_1, [SCALE_DTLS] = TAPS_DTLS_1_2};
    taps_security_parameters *security;
    CHECK_INT(taps_security_parameters_new(&security), 0);
    if (stack != SCALE_TLS) {
        CHECK_INT(taps_security_parameters_allow_protocol(security, only[stack]), 0);
        CHECK_INT(taps_security_parameters_add_alpn(security, "taps-test"), 0);
    }
    if (listens) {
        CHECK_INT(taps_security_parameters_add_server_certificate_pem(
                      security, identity.certificate, strlen(identity.certificate), identity.key, strlen(identity.key)),
                  0);
    } else {
        const char *pem = authority.certificate;
        CHECK_INT(taps_security_parameters_add_ca_pem(security, pem, strlen(pem)), 0);
        CHECK_INT(taps_security_parameters_set_server_name(security, "localhost"), 0);
    }
    return security;
}

static bool is_secure(enum scale_stack stack)
{
    return stack == SCALE_TLS || stack == SCALE_QUIC || stack == SCALE_DTLS;
}

static void set_security(taps_preconnection *p, enum scale_stack stack, bool listens)
{
    taps_security_parameters *security;
    if (is_secure(stack))
        security = secure(stack, listens);
    else
        CHECK_INT(taps_security_parameters_new_disabled(&security), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(p, security), 0);
    taps_security_parameters_free(security);
}

static void set_properties(taps_preconnection *p, enum scale_stack stack, bool reuse)
{
    taps_transport_properties *properties;
    bool datagrams = stack == SCALE_UDP || stack == SCALE_DTLS;
    CHECK_INT(taps_transport_properties_new_profile(datagrams ? TAPS_UNRELIABLE_DATAGRAM : TAPS_RELIABLE_INORDER_STREAM,
                                                    &properties),
              0);
    CHECK_INT(taps_transport_properties_set_boolean(properties, TAPS_REUSE_PORT, reuse), 0);
    CHECK_INT(taps_preconnection_set_transport_properties(p, properties), 0);
    taps_transport_properties_free(properties);
}

static taps_preconnection *preconnection(taps_context *context, enum scale_stack stack, const char *host, uint16_t port,
                                         bool listens, bool reuse)
{
    taps_preconnection *p = NULL;
    char text[80];
    snprintf(text, sizeof(text), "%s:%u", host, port);
    CHECK_INT(taps_preconnection_new(context, &p), 0);
    set_security(p, stack, listens);
    set_properties(p, stack, reuse);
    CHECK_INT(listens ? taps_preconnection_add_local_text(p, text) : taps_preconnection_add_remote_text(p, text), 0);
    return p;
}

/* --------------------------------------------------------------------------------------------------- server */

static void server_received(taps_connection *c, const struct taps_received *m, void *user)
{
    const struct scale_server *s = user;
    if (m->length)
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    if (m->final || s->brief)
        taps_connection_close(c);
    else
        taps_connection_receive(c, 1, 65536, NULL);
}

static void server_closed(taps_connection *c, void *user)
{
    ((struct scale_server *)user)->alive--;
    taps_connection_free(c);
}

static void server_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)error;
    ((struct scale_server *)user)->errors++;
    server_closed(c, user);
}

static const struct taps_connection_events server_events = {.received = server_received,
                                                            .received_partial = server_received,
                                                            .closed = server_closed,
                                                            .connection_error = server_error};

static void on_listening(taps_listener *l, void *user)
{
    ((struct scale_server *)user)->port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    struct scale_server *s = user;
    (void)l;
    s->accepted++;
    s->alive++;
    taps_connection_set_events(c, &server_events, s);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void on_listen_error(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    ((struct scale_server *)user)->code = error->code;
}

static const struct taps_listener_events listener_events = {
    .listening = on_listening, .connection_received = on_connection, .establishment_error = on_listen_error};

void scale_listen(struct scale_server *s, taps_context *context, enum scale_stack stack, const char *address,
                  uint16_t port, bool reuse)
{
    *s = (struct scale_server){0};
    taps_preconnection *p = preconnection(context, stack, address, port, true, reuse);
    CHECK_INT(taps_preconnection_listen(p, &listener_events, s, &s->listener), 0);
    taps_preconnection_free(p);
}

/* ---------------------------------------------------------------------------------------------------- crowd */

static void begin_some(struct scale_crowd *crowd);

static void on_ready(taps_connection *c, void *user)
{
    (void)user;
    CHECK_INT(taps_connection_send(c, "?", 1, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(c, 1, 65536, NULL), 0);
}

static void on_echo(taps_connection *c, const struct taps_received *m, void *user)
{
    struct scale_crowd *crowd = user;
    if (crowd->closing || !m->length)
        return;
    CHECK_INT(taps_connection_receive(c, 1, 65536, NULL), 0);
    crowd->arrived++;
    begin_some(crowd);
}

static void on_end(taps_connection *c, void *user)
{
    (void)c;
    ((struct scale_crowd *)user)->closed++;
}

static void on_failure(taps_connection *c, const struct taps_error *error, void *user)
{
    struct scale_crowd *crowd = user;
    if (!crowd->closing || error->code != TAPS_E_LOCAL_ABORT) {
        if (!crowd->failed++)
            tapsi_test_fail(__FILE__, __LINE__, "%s", error->detail);
    }
    on_end(c, user);
}

static const struct taps_connection_events crowd_events = {.ready = on_ready,
                                                           .received = on_echo,
                                                           .received_partial = on_echo,
                                                           .closed = on_end,
                                                           .establishment_error = on_failure,
                                                           .connection_error = on_failure};

static void begin_some(struct scale_crowd *crowd)
{
    for (; crowd->begun < crowd->size && crowd->begun - crowd->arrived < AT_ONCE && !crowd->failed; crowd->begun++) {
        int err =
            taps_preconnection_initiate(crowd->preconnection, 0, &crowd_events, crowd, &crowd->members[crowd->begun]);
        CHECK_INT(err, 0);
        crowd->failed += err != 0;
    }
}

void scale_crowd_start(struct scale_crowd *crowd, taps_context *context, enum scale_stack stack, const char *host,
                       uint16_t port, unsigned size)
{
    *crowd = (struct scale_crowd){.size = size};
    crowd->members = calloc(size ? size : 1, sizeof(*crowd->members));
    crowd->preconnection = preconnection(context, stack, host, port, false, false);
    begin_some(crowd);
}

bool scale_crowd_settled(const struct scale_crowd *crowd)
{
    return crowd->failed || crowd->arrived == crowd->size;
}

void scale_crowd_speak(struct scale_crowd *crowd)
{
    crowd->arrived = 0;
    for (unsigned i = 0; i < crowd->begun; i++)
        CHECK_INT(taps_connection_send(crowd->members[i], "?", 1, NULL, 0, NULL), 0);
}

void scale_crowd_end(struct scale_crowd *crowd, bool abort)
{
    crowd->closing = true;
    for (unsigned i = 0; i < crowd->begun; i++)
        if (abort)
            taps_connection_abort(crowd->members[i]);
        else
            taps_connection_close(crowd->members[i]);
}

void scale_crowd_done(struct scale_crowd *crowd)
{
    for (unsigned i = 0; i < crowd->begun; i++)
        taps_connection_free(crowd->members[i]);
    free(crowd->members);
    taps_preconnection_free(crowd->preconnection);
}
