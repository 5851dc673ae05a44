#include "pair.h"

#include <stdlib.h>
#include <string.h>
#include "connection/context.h"
#include "stack/secure/test_certificates.h"

#define HELD    (4 * 1024 * 1024)
#define ADDRESS "192.0.2.1:4000"

/* ------------------------------------------------------------------------------------------------- events */

static void *count_blocks(void *user, void *block, size_t size)
{
    struct side *s = user;
    if (size == 0) {
        s->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    void *grown = realloc(block, size);
    s->blocks += grown && !block;
    return grown;
}

static void ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct side *)user)->ready++;
}

static void sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    ((struct side *)user)->sent++;
}

static void send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    struct side *s = user;
    s->send_errors++;
    s->last_send_error = error->code;
}

static void received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct side *s = user;
    if (s->length + m->length <= HELD && m->length)
        memcpy(s->bytes + s->length, m->data, m->length);
    s->length += m->length;
    if (s->messages < 512)
        s->lengths[s->messages] += m->length;
    s->messages += m->end_of_message;
    s->final |= m->final;
    if (s->echo && m->length)
        taps_connection_send(c, m->data, m->length, NULL, 0, NULL);
    if (m->final && s->answer)
        taps_connection_close(c);
    else if (s->reading && !m->final)
        taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL);
}

static void receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)tag;
    struct side *s = user;
    s->final |= error->code == TAPS_E_CLOSED;
    if (s->answer && error->code == TAPS_E_CLOSED)
        taps_connection_close(c);
}

static void closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct side *)user)->ends++;
}

static void failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    struct side *s = user;
    s->ends++;
    s->errors++;
    s->last_error = error->code;
}

static const struct taps_connection_events events = {.ready = ready,
                                                     .establishment_error = failed,
                                                     .sent = sent,
                                                     .send_error = send_error,
                                                     .received = received,
                                                     .received_partial = received,
                                                     .receive_error = receive_error,
                                                     .closed = closed,
                                                     .connection_error = failed};

static void accepted(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    struct pair *p = user;
    p->accepted++;
    if (p->server.connection) {
        taps_connection_free(c);
        return;
    }
    p->server.connection = c;
    taps_connection_set_events(c, &events, &p->server);
    if (p->server.reading)
        taps_connection_receive(c, SIZE_MAX, SIZE_MAX, NULL);
}

static void refused(taps_listener *l, const struct taps_error *error, void *user)
{
    (void)l;
    ((struct pair *)user)->refused++;
    tapsi_test_fail(__FILE__, __LINE__, "no Listener: %s", error->detail);
}

static const struct taps_listener_events listener_events = {.connection_received = accepted,
                                                            .establishment_error = refused};

/* ------------------------------------------------------------------------------------------------- making */

static struct tapsi_test_identity authority, certificate;

static void free_certificates(void)
{
    tapsi_test_identity_free(&certificate);
    tapsi_test_identity_free(&authority);
}

static void make_certificates(void)
{
    if (authority.certificate)
        return;
    authority = tapsi_test_identity(&(struct tapsi_test_subject){.name = "Test Authority", .authority = true}, NULL);
    certificate = tapsi_test_identity(
        &(struct tapsi_test_subject){.name = "server", .names = "192.0.2.1", .purpose = TAPSI_TEST_SERVER}, &authority);
    atexit(free_certificates);
}

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

static struct tapsi_mem platform_mem;

static void open_side(struct pair *p, struct side *s, struct tapsi_sim_host *host)
{
    struct tapsi_platform *platform = NULL;
    struct taps_allocator allocator = {count_blocks, s};
    struct taps_context_options options = {.allocator = &allocator};
    s->reading = true;
    s->bytes = malloc(HELD);
    tapsi_mem_init(&platform_mem, NULL);
    tapsi_sim_platform_new(host, &platform_mem, &platform);
    CHECK_INT(tapsi_context_new(&options, platform, &s->context), 0);
    tapsi_sim_attach(p->sim, platform, pump, s->context);
    tapsi_loop_embed(&s->context->loop);
}

static taps_security_parameters *security_for(const struct pair_row *row, bool server)
{
    taps_security_parameters *security;
    if (!row->secure) {
        taps_security_parameters_new_disabled(&security);
        return security;
    }
    make_certificates();
    taps_security_parameters_new(&security);
    if (strncmp(row->stack, "quic", 4) == 0)
        taps_security_parameters_add_alpn(security, "libtaps-test");
    if (server)
        taps_security_parameters_add_server_certificate_pem(security, certificate.certificate,
                                                            strlen(certificate.certificate), certificate.key,
                                                            strlen(certificate.key));
    else
        taps_security_parameters_add_ca_pem(security, authority.certificate, strlen(authority.certificate));
    return security;
}

/* Only by stacks whose top is the row's: others may be eligible for the same properties. */
static taps_endpoint *endpoint_for(const struct pair_row *row, bool server)
{
    taps_endpoint *endpoint;
    char top[32] = "";
    memcpy(top, row->stack, strcspn(row->stack, "/"));
    CHECK_INT(server ? taps_local_endpoint_new(&endpoint) : taps_remote_endpoint_new(&endpoint), 0);
    CHECK_INT(taps_endpoint_with_text(endpoint, ADDRESS), 0);
    CHECK_INT(taps_endpoint_with_protocol(endpoint, top), 0);
    return endpoint;
}

static taps_preconnection *preconnection_for(const struct pair *p, const struct side *s, bool server)
{
    taps_preconnection *pre;
    taps_transport_properties *properties;
    taps_security_parameters *security = security_for(p->row, server);
    taps_endpoint *endpoint = endpoint_for(p->row, server);
    taps_transport_properties_new_profile(p->row->profile, &properties);
    taps_transport_properties_set(properties, "safelyReplayable", p->row->reliable ? "false" : "true");
    taps_preconnection_new(s->context, &pre);
    taps_preconnection_set_transport_properties(pre, properties);
    taps_preconnection_set_security_parameters(pre, security);
    CHECK_INT(server ? taps_preconnection_add_local(pre, endpoint) : taps_preconnection_add_remote(pre, endpoint), 0);
    taps_endpoint_free(endpoint);
    taps_transport_properties_free(properties);
    taps_security_parameters_free(security);
    if (p->row->framer) {
        taps_framer *framer = NULL;
        CHECK_INT(taps_framer_new_text(p->row->framer, &framer), 0);
        CHECK_INT(taps_preconnection_add_framer(pre, framer), 0);
        taps_framer_free(framer);
    }
    return pre;
}

void pair_new(struct pair *p, const struct pair_row *row)
{
    *p = (struct pair){.row = row, .sim = tapsi_sim_new(1)};
    p->hosts[0] = tapsi_sim_host_new(p->sim, "client");
    p->hosts[1] = tapsi_sim_host_new(p->sim, "server");
    struct tapsi_sim_interface *c = tapsi_sim_interface_new(p->hosts[0], "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24");
    struct tapsi_sim_interface *s = tapsi_sim_interface_new(p->hosts[1], "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24");
    p->link = tapsi_sim_link_new(c, s, 2 * TAPSI_SIM_MS);
    open_side(p, &p->client, p->hosts[0]);
    open_side(p, &p->server, p->hosts[1]);
    taps_preconnection *pre = preconnection_for(p, &p->server, true);
    CHECK_INT(taps_preconnection_listen(pre, &listener_events, p, &p->listener), 0);
    taps_preconnection_free(pre);
    pair_run_ms(p, 1);
}

void pair_initiate(struct pair *p)
{
    taps_preconnection *pre = preconnection_for(p, &p->client, false);
    CHECK_INT(taps_preconnection_initiate(pre, 0, &events, &p->client, &p->client.connection), 0);
    taps_preconnection_free(pre);
    taps_connection_receive(p->client.connection, SIZE_MAX, SIZE_MAX, NULL);
}

void pair_open(struct pair *p)
{
    pair_initiate(p);
    CHECK_INT(pair_send(&p->client, 0, 10, NULL), 0);
    pair_run_ms(p, 100);
    CHECK_INT(p->client.ready, 1);
    if (p->client.connection)
        CHECK_TEXT(taps_connection_stack(p->client.connection), p->row->stack);
    CHECK(p->server.connection != NULL);
    if (p->server.connection)
        CHECK_TEXT(taps_connection_stack(p->server.connection), p->row->stack);
}

void pair_run_ms(struct pair *p, uint64_t ms)
{
    tapsi_sim_run(p->sim, tapsi_sim_now(p->sim) + ms * TAPSI_SIM_MS);
}

void pair_done(struct pair *p)
{
    struct side *sides[] = {&p->client, &p->server};
    for (unsigned i = 0; i < 2; i++)
        taps_connection_free(sides[i]->connection);
    taps_listener_free(p->listener);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(sides[i]->ends <= 1);
        CHECK_INT(taps_context_free(sides[i]->context), 0);
        CHECK_INT(sides[i]->blocks, 0);
        CHECK_INT(tapsi_sim_host_leaked(p->hosts[i]), 0);
        free(sides[i]->bytes);
    }
    tapsi_sim_free(p->sim);
}

/* ------------------------------------------------------------------------------------------------ Messages */

static uint8_t byte_of(unsigned number, size_t at)
{
    return (uint8_t)(number * 37 + at * 7 + (at >> 8));
}

int pair_send(struct side *from, unsigned number, size_t length, const taps_message_context *context)
{
    uint8_t *bytes = malloc(length ? length : 1);
    if (!bytes)
        return TAPS_E_MEMORY;
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_of(number, i);
    int err = taps_connection_send(from->connection, bytes, length, context, 0, NULL);
    free(bytes);
    return err;
}

void pair_check_got(struct side *side, const struct pair_row *row, unsigned first, const size_t *lengths,
                    unsigned count)
{
    size_t at = 0, wrong = 0;
    for (unsigned m = 0; m < count; m++) {
        if (row->boundaries)
            CHECK_INT(side->lengths[m], lengths[m]);
        for (size_t i = 0; i < lengths[m] && at < HELD; i++)
            wrong += at >= side->length || side->bytes[at++] != byte_of(first + m, i);
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(side->length, at);
    if (row->boundaries)
        CHECK_INT(side->messages, count);
}
