#include "streams.h"

#include <stdio.h>
#include <string.h>

static const struct taps_connection_events hearing, deaf;

static void remember(struct stream *t, const struct taps_error *error)
{
    t->code = error->code;
    snprintf(t->detail, sizeof(t->detail), "%s", error->detail);
}

static void act(struct stream *t)
{
    void (*now)(struct stream *) = t->act;
    t->act = NULL;
    if (now)
        now(t);
}

static void on_ready(taps_connection *c, void *user)
{
    struct stream *t = user;
    t->ready++;
    if (t->end->reads)
        taps_connection_receive(c, 1, 65536, NULL);
    act(t);
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct stream *t = user;
    (void)c;
    t->establishment_error++;
    remember(t, error);
    act(t);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct stream *t = user;
    (void)c;
    t->sent++;
    t->bytes += (uintptr_t)tag;
    if (t->load)
        streams_send_bytes(t, t->load);
    act(t);
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    (void)error;
    ((struct stream *)user)->send_error++;
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct stream *t = user;
    size_t room = sizeof(t->data) - 1 - (t->length < sizeof(t->data) - 1 ? t->length : sizeof(t->data) - 1);
    if (room && m->length)
        memcpy(t->data + t->length, m->data, m->length < room ? m->length : room);
    t->received++;
    t->length += m->length;
    t->final += m->final;
    if (t->end->reads && !m->final)
        taps_connection_receive(c, 1, 65536, NULL);
    act(t);
}

static void on_closed(taps_connection *c, void *user)
{
    struct stream *t = user;
    (void)c;
    t->closed++;
    act(t);
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct stream *t = user;
    (void)c;
    t->connection_error++;
    remember(t, error);
    act(t);
}

static void on_path(taps_connection *c, void *user)
{
    struct stream *t = user;
    (void)c;
    t->path_changes++;
    act(t);
}

static void on_clone_error(taps_connection *c, const struct taps_error *error, void *user)
{
    struct stream *t = user;
    (void)c;
    t->clone_error++;
    t->clone_code = error->code;
}

static void came(struct end *e, taps_connection *c)
{
    if (e->frees || e->count == STREAMS) {
        taps_connection_free(c);
    } else {
        struct stream *t = &e->streams[e->count++];
        t->connection = c;
        taps_connection_set_events(c, e->deaf ? &deaf : &hearing, t);
        if (e->reads)
            taps_connection_receive(c, 1, 65536, NULL);
    }
    if (e->frees_all)
        streams_free_end(e);
}

static void on_stream(taps_connection *c, taps_connection *stream, void *user)
{
    struct stream *t = user;
    (void)c;
    t->end->by_member++;
    came(t->end, stream);
}

#define ALL_BUT_STREAMS                                                                                                \
    .ready = on_ready, .establishment_error = on_establishment_error, .sent = on_sent, .send_error = on_send_error,    \
    .received = on_data, .received_partial = on_data, .closed = on_closed, .connection_error = on_connection_error,    \
    .clone_error = on_clone_error, .path_change = on_path

static const struct taps_connection_events hearing = {ALL_BUT_STREAMS, .connection_received = on_stream};
static const struct taps_connection_events deaf = {ALL_BUT_STREAMS};

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    struct end *e = user;
    (void)l;
    e->by_listener++;
    came(e, c);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received};

/* ------------------------------------------------------------------------------------------------- the ends */

void streams_new(struct streams *s)
{
    memset(s, 0, sizeof(*s));
    world_new(&s->w);
    taps_transport_properties_set(s->w.properties, "multistreaming", "require");
    s->client.w = s->server.w = &s->w;
    s->client.reads = s->server.reads = true;
    for (unsigned i = 0; i < STREAMS; i++) {
        s->client.streams[i].end = &s->client;
        s->server.streams[i].end = &s->server;
    }
    world_start(&s->w);
    s->client.context = s->w.context;
    s->client.preconnection = s->w.preconnection;
    s->server.context = world_context(s->w.sim, s->w.server, NULL);
    taps_preconnection_new(s->server.context, &s->server.preconnection);
}

static void begin_listening(struct streams *s)
{
    taps_security_parameters *security = NULL;
    if (streams_row.alpn) {
        struct tapsi_test_identity identity = peer_certificate("192.0.2.1", NULL, NULL);
        taps_security_parameters_new(&security);
        taps_security_parameters_add_alpn(security, streams_row.alpn);
        taps_security_parameters_add_server_certificate_pem(
            security, identity.certificate, strlen(identity.certificate), identity.key, strlen(identity.key));
        tapsi_test_identity_free(&identity);
    } else {
        taps_security_parameters_new_disabled(&security);
    }
    taps_preconnection_add_local_text(s->server.preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(s->server.preconnection, s->w.properties);
    taps_preconnection_set_security_parameters(s->server.preconnection, security);
    taps_preconnection_listen(s->server.preconnection, &listener_events, &s->server, &s->listener);
    taps_security_parameters_free(security);
}

struct stream *streams_initiate(struct streams *s)
{
    struct stream *t = &s->client.streams[s->client.count++];
    begin_listening(s);
    streams_run(s, 10);
    if (streams_row.alpn) {
        world_secure(&s->w);
        taps_security_parameters_add_alpn(s->w.security, streams_row.alpn);
    }
    taps_preconnection_add_remote_text(s->client.preconnection, "192.0.2.1:443");
    taps_preconnection_set_transport_properties(s->client.preconnection, s->w.properties);
    taps_preconnection_set_security_parameters(s->client.preconnection, s->w.security);
    taps_preconnection_initiate(s->client.preconnection, 0, s->client.deaf ? &deaf : &hearing, t, &t->connection);
    return t;
}

struct stream *streams_begin(struct streams *s)
{
    struct stream *t = streams_initiate(s);
    streams_run(s, 100);
    CHECK_INT(t->ready, 1);
    return t;
}

void streams_grow(struct streams *s, unsigned clones)
{
    struct stream *t = streams_begin(s), *ret;
    CHECK_INT(streams_send(t, "0"), 0);
    streams_run(s, 100);
    for (unsigned i = 0; i < clones; i++) {
        CHECK_INT(streams_clone(t, NULL, &ret), 0);
        CHECK_INT(streams_send(ret, "x"), 0);
        streams_run(s, 100);
        CHECK_INT(ret->ready, 1);
    }
    CHECK_INT(s->server.count, clones + 1);
}

int streams_clone(struct stream *parent, const taps_transport_properties *properties, struct stream **ret)
{
    struct end *e = parent->end;
    struct stream *t = &e->streams[e->count];
    *ret = t;
    int err =
        taps_connection_clone(parent->connection, NULL, properties, e->deaf ? &deaf : &hearing, t, &t->connection);
    if (!err)
        e->count++;
    return err;
}

void streams_run(struct streams *s, uint64_t ms)
{
    world_run_ms(&s->w, ms);
}

int streams_send(struct stream *t, const char *text)
{
    size_t length = strlen(text);
    return taps_connection_send(t->connection, text, length, NULL, 0, (void *)(uintptr_t)length);
}

int streams_send_bytes(struct stream *t, size_t length)
{
    static char bytes[300000];
    length = length < sizeof(bytes) ? length : sizeof(bytes);
    return taps_connection_send(t->connection, bytes, length, NULL, TAPS_SEND_LEND, (void *)(uintptr_t)length);
}

bool streams_has(struct stream *t, const char *name, const char *text)
{
    char now[100] = "";
    taps_connection_get_property(t->connection, name, now, sizeof(now));
    return strcmp(now, text) == 0;
}

unsigned streams_ends(const struct stream *t)
{
    return t->closed + t->connection_error + t->establishment_error;
}

void streams_free(struct stream *t)
{
    taps_connection_free(t->connection);
    t->connection = NULL;
}

void streams_free_end(struct end *e)
{
    for (unsigned i = 0; i < STREAMS; i++)
        streams_free(&e->streams[i]);
}

void streams_finish(struct streams *s)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        CHECK(streams_ends(&s->client.streams[i]) <= 1);
        CHECK(streams_ends(&s->server.streams[i]) <= 1);
    }
    streams_free_end(&s->client);
    streams_free_end(&s->server);
    taps_listener_free(s->listener);
    taps_preconnection_free(s->server.preconnection);
    taps_context_free(s->server.context);
    world_finish(&s->w);
}
