#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <taps/framer.h>
#include "connection/context.h"

/* ------------------------------------------------------------------------------------------- certificates */

static struct tapsi_test_identity authority;

static void free_authority(void)
{
    tapsi_test_identity_free(&authority);
}

const struct tapsi_test_identity *peer_authority(void)
{
    if (!authority.certificate) {
        /* Steady: the same seed, the same trace. ECDSA's signatures vary in length. */
        authority = tapsi_test_identity(
            &(struct tapsi_test_subject){.name = "Test Authority", .authority = true, .steady = true}, NULL);
        atexit(free_authority);
    }
    return &authority;
}

struct tapsi_test_identity peer_certificate(const char *names, const char *from, const char *until)
{
    struct tapsi_test_subject subject = {
        .name = "server", .names = names, .from = from, .until = until, .purpose = TAPSI_TEST_SERVER, .steady = true};
    return tapsi_test_identity(&subject, peer_authority());
}

void world_secure(struct world *w)
{
    const char *pem = peer_authority()->certificate;
    taps_security_parameters_free(w->security);
    taps_security_parameters_new(&w->security);
    CHECK_INT(taps_security_parameters_add_ca_pem(w->security, pem, strlen(pem)), 0);
}

/* ------------------------------------------------------------------------------------------------- events */

static void note(struct peer *p, const struct taps_received *m)
{
    size_t room = sizeof(p->data) - p->length, n = m->length < room ? m->length : room;
    if (n)
        memcpy(p->data + p->length, m->data, n);
    p->length += n;
    p->early += m->early ? m->length : 0;
    p->final |= m->final;
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct peer *p = user;
    note(p, m);
    if (p->echo && m->length)
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    if (!m->final)
        taps_connection_receive(c, 1, 65536, NULL);
    else if (p->close_at_final)
        taps_connection_close(c);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct peer *)user)->closed++;
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct peer *)user)->failed++;
}

static const struct taps_connection_events events = {
    .received = on_data, .received_partial = on_data, .closed = on_closed, .connection_error = on_error};

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    struct peer *p = user;
    (void)l;
    taps_connection_set_events(c, &events, p);
    if (p->received < 64)
        p->connections[p->received] = c;
    p->received++;
    p->last = c;
    if (p->greeting)
        taps_connection_send(c, p->greeting, strlen(p->greeting), NULL, 0, NULL);
    taps_connection_receive(c, 1, 65536, NULL);
}

static void on_listener_error(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    (void)user;
    tapsi_test_fail(__FILE__, __LINE__, "the peer does not listen: %s", error->detail);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received,
                                                            .establishment_error = on_listener_error};

/* ------------------------------------------------------------------------------------------------- the peer */

void peer_new(struct world *w, struct tapsi_sim_host *host, struct peer *p)
{
    memset(p, 0, sizeof(*p));
    p->close_at_final = true;
    p->context = world_context(w->sim, host, NULL);
    taps_preconnection_new(p->context, &p->preconnection);
    taps_security_parameters_new_disabled(&p->security);
}

void peer_secure(struct peer *p, const struct tapsi_test_identity *identity)
{
    taps_security_parameters_free(p->security);
    taps_security_parameters_new(&p->security);
    CHECK_INT(taps_security_parameters_add_server_certificate_pem(p->security, identity->certificate,
                                                                  strlen(identity->certificate), identity->key,
                                                                  strlen(identity->key)),
              0);
}

void peer_listen(struct world *w, struct peer *p, const char *local)
{
    taps_preconnection *pre;
    taps_preconnection_new(p->context, &pre);
    CHECK_INT(taps_preconnection_add_local_text(pre, local), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(pre, p->security), 0);
    CHECK_INT(taps_preconnection_set_transport_properties(pre, w->properties), 0);
    for (unsigned i = 0; i < 4; i++) {
        if (p->framers[i])
            CHECK_INT(taps_preconnection_add_framer(pre, p->framers[i]), 0);
    }
    CHECK_INT(taps_preconnection_listen(pre, &listener_events, p, &p->listeners[p->listener_count++]), 0);
    taps_preconnection_free(pre);
    if (!w->context)
        world_start(w);
    world_run_ms(w, 1);
}

bool peer_has(const struct peer *p, const char *text)
{
    return memmem(p->data, p->length, text, strlen(text)) != NULL;
}

void peer_done(struct peer *p)
{
    for (unsigned i = 0; i < p->listener_count; i++)
        taps_listener_free(p->listeners[i]);
    taps_preconnection_free(p->preconnection);
    taps_security_parameters_free(p->security);
    for (unsigned i = 0; i < 4; i++)
        taps_framer_free(p->framers[i]);
    CHECK_INT(taps_context_free(p->context), 0);
}
