#include "stack/quic/test_net.h"

#include <stdlib.h>
#include <string.h>
#include "stack/caches.h"
#include "stack/secure/test_certificates.h"

#define WINDOW (128 * 1024)

/* ---------------------------------------------------------------------------------------------- identities */

static struct tapsi_test_identity authority, identity;

__attribute__((destructor)) static void forget(void)
{
    tapsi_test_identity_free(&authority);
    tapsi_test_identity_free(&identity);
}

static void make_identities(void)
{
    static const struct tapsi_test_subject subject = {
        .name = "example", .names = "example.test", .purpose = TAPSI_TEST_SERVER};
    if (authority.certificate)
        return;
    authority = tapsi_test_identity(&(struct tapsi_test_subject){.name = "Test Authority", .authority = true}, NULL);
    identity = tapsi_test_identity(&subject, &authority);
}

/* -------------------------------------------------------------------------------------------------- sinks */

static struct end *of(struct tapsi_sink *sink)
{
    return TAPSI_CONTAINER(sink, struct end, sink);
}

uint8_t net_byte(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct end *e = of(sink);
    e->misplaced += e->ready || e->closed || layer != e->layer;
    e->ready++;
    e->info = *info;
    if (e->window)
        tapsi_layer_want(layer, e->window);
}

static void write_down(struct end *e, const struct tapsi_slice *slice)
{
    for (size_t i = 0; i < slice->length; i++)
        e->wrong += slice->data[i] != net_byte(e->got_length + i);
    if (e->keeps && slice->length) {
        e->got = realloc(e->got, e->got_length + slice->length);
        memcpy(e->got + e->got_length, slice->data, slice->length);
    }
    e->got_length += slice->length;
    e->got_early += slice->flags & TAPSI_SLICE_EARLY ? slice->length : 0;
    e->last_length = slice->length;
}

static void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    struct end *e = of(sink);
    bool final = slice->flags & TAPSI_SLICE_FINAL;
    e->misplaced += e->closed || e->final || layer != e->layer;
    e->slices++;
    write_down(e, slice);
    e->final += final;
    if (e->echo)
        net_send(e, slice->data, slice->length, final ? TAPSI_OP_FINAL | TAPSI_OP_END : 0);
    if (e->layer && e->window)
        tapsi_layer_want(layer, e->window);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct end *e = of(sink);
    e->misplaced += e->closed || layer != e->layer;
    e->closed++;
    if (error)
        tapsi_error_copy(&e->error, error);
    net_destroy(e, 0);
}

static void on_event(struct tapsi_sink *sink, struct tapsi_layer *layer, enum tapsi_event event, const void *value)
{
    struct end *e = of(sink);
    e->misplaced += e->closed || layer != e->layer;
    e->stops += event == TAPSI_EVENT_PEER_STOP;
    e->moves += event == TAPSI_EVENT_PATH;
    e->warnings += event == TAPSI_EVENT_SOFT_ERROR;
    if (event == TAPSI_EVENT_SOFT_ERROR)
        tapsi_error_copy(&e->warning, value);
}

static void on_stream(struct tapsi_sink *sink, struct tapsi_layer *by, struct tapsi_layer *child);

static const struct tapsi_sink_ops end_ops = {
    .ready = on_ready, .data = on_data, .closed = on_closed, .event = on_event, .child = on_stream};

static struct end *new_end(struct net *n)
{
    struct end *e = n->count < ENDS_MAX ? &n->ends[n->count++] : NULL;
    if (e)
        *e = (struct end){.sink = {&end_ops}, .net = n, .window = WINDOW, .keeps = true};
    return e;
}

static void adopt(struct net *n, struct tapsi_layer *child)
{
    struct end *e = new_end(n);
    n->accepted++;
    if (!e) {
        tapsi_layer_destroy(child, TAPS_E_CANCELLED);
        return;
    }
    n->server = n->server ? n->server : e;
    e->layer = child;
    child->up = &e->sink;
    e->echo = n->server_echo;
    e->window = n->server_window;
    if (e->window)
        tapsi_layer_want(child, e->window);
}

static void on_stream(struct tapsi_sink *sink, struct tapsi_layer *by, struct tapsi_layer *child)
{
    struct end *e = of(sink);
    e->misplaced += e->closed || by != e->layer;
    adopt(e->net, child);
}

static void on_child(struct tapsi_sink *sink, struct tapsi_layer *listener, struct tapsi_layer *child)
{
    (void)listener;
    adopt(TAPSI_CONTAINER(sink, struct net, listener_sink), child);
}

static void on_listener_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    (void)sink;
    (void)layer;
    (void)error;
}

static const struct tapsi_sink_ops listener_ops = {.child = on_child, .closed = on_listener_closed};

/* ------------------------------------------------------------------------------------------------- making */

static void *count_blocks(void *user, void *block, size_t size)
{
    struct net *n = user;
    if (size == 0) {
        n->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (++n->allocations == n->fail_at || (n->fails_on && n->fail_at && n->allocations > n->fail_at))
        return NULL;
    void *fresh = realloc(block, size);
    n->blocks += !block && fresh;
    return fresh;
}

static void pump(void *arg)
{
    tapsi_loop_turn(arg, 0);
}

static void make_host(struct net *n, int side)
{
    static const char *const names[] = {"client", "server"}, *const addresses[] = {"192.0.2.2/24 192.0.2.3/24",
                                                                                   "192.0.2.1/24"};
    n->hosts[side] = tapsi_sim_host_new(n->sim, names[side]);
    n->interfaces[side] = tapsi_sim_interface_new(n->hosts[side], "eth0", TAPSI_IF_ETHERNET, addresses[side]);
    CHECK_INT(tapsi_sim_platform_new(n->hosts[side], &n->plain, &n->platforms[side]), 0);
    CHECK_INT(tapsi_loop_init(&n->loops[side], &n->mem, n->platforms[side]), 0);
    tapsi_sim_attach(n->sim, n->platforms[side], pump, &n->loops[side]);
    tapsi_loop_embed(&n->loops[side]);
    n->properties[side] = tapsi_properties_new(&n->mem);
    n->security[side] = tapsi_security_new(&n->mem, TAPS_SECURITY_REQUIRED);
    CHECK_INT(tapsi_names_append(&n->mem, &n->security[side]->alpn, "test"), 0);
}

void net_begin(struct net *n)
{
    *n = (struct net){.server_window = WINDOW,
                      .server_name = "example.test",
                      .remote = "192.0.2.1",
                      .proto = {&tapsi_proto_quic, &tapsi_proto_quic}};
    make_identities();
    tapsi_mem_init(&n->plain, NULL);
    tapsi_mem_init(&n->mem, &(struct taps_allocator){count_blocks, n});
    n->sim = tapsi_sim_new(7);
    make_host(n, 0);
    make_host(n, 1);
    n->link = tapsi_sim_link_new(n->interfaces[0], n->interfaces[1], DELAY);
    CHECK_INT(tapsi_security_add_authority(n->security[0], authority.certificate, strlen(authority.certificate)), 0);
    CHECK_INT(tapsi_security_add_server(n->security[1], identity.certificate, strlen(identity.certificate),
                                        identity.key, strlen(identity.key)),
              0);
}

void net_open(struct net *n)
{
    union tapsi_addr local;
    struct tapsi_target target = {.local = &local};
    tapsi_addr_parse("192.0.2.1", &local);
    tapsi_addr_set_port(&local, PORT);
    for (int side = 0; side < 2; side++)
        n->envs[side] = tapsi_env_new(&n->loops[side], n->properties[side], n->security[side], NULL);
    if (!n->envs[0] || !n->envs[1])
        return;
    n->envs[1]->half_open = &n->half_open;
    for (int side = 0; side < 2; side++)
        n->envs[side]->caches = n->caches[side];
    n->listener_sink.ops = &listener_ops;
    if (n->proto[1]->listen(n->envs[1], &target, &n->listener_sink, &n->listener, &n->make_error) != 0)
        n->listener = NULL;
    else
        tapsi_layer_want(n->listener, 1000);
}

void net_keep(struct net *n)
{
    for (int side = 0; side < 2; side++)
        n->caches[side] = tapsi_caches_new(&n->mem);
}

static void send_early(struct end *e)
{
    union tapsi_got got;
    struct net *n = e->net;
    bool has = n->early[0] && tapsi_layer_get(e->layer, TAPSI_GET_EARLY_ROOM, &got) == TAPSI_HANDLED;
    n->early_room = has ? (size_t)got.value.integer : 0;
    for (int i = 0; n->early_room && n->early[i]; i++) {
        unsigned last = n->early[i + 1] ? 0 : n->early_flags;
        net_send_text(e, n->early[i], TAPSI_OP_EARLY | TAPSI_OP_END | last);
    }
    n->early[0] = NULL;
    n->early_flags = 0;
}

static bool started(struct end *e)
{
    e->layer->up = &e->sink;
    send_early(e);
    if (tapsi_layer_start(e->layer) == 0)
        return true;
    net_destroy(e, 0);
    return false;
}

struct end *net_connect(struct net *n)
{
    union tapsi_addr remote, local;
    struct tapsi_target target = {.remote = &remote, .server_name = n->server_name};
    if (n->local && tapsi_addr_parse(n->local, &local) == 0)
        target.local = &local;
    tapsi_addr_parse(n->remote, &remote);
    tapsi_addr_set_port(&remote, PORT);
    struct end *e = n->envs[0] ? new_end(n) : NULL;
    if (!e || n->proto[0]->make(n->envs[0], &target, TAPSI_ROLE_CLIENT, NULL, &e->layer, &n->make_error) != 0)
        return NULL;
    return started(e) ? e : NULL;
}

struct end *net_clone(struct net *n, struct end *parent, enum taps_direction direction)
{
    struct tapsi_clone how = {.env = parent->layer->env, .direction = direction};
    struct end *e = new_end(n);
    if (!e || tapsi_layer_clone(parent->layer, &how, &e->layer, &n->make_error) != 0)
        return NULL;
    return started(e) ? e : NULL;
}

struct end *net_handshake(struct net *n)
{
    struct end *e = net_connect(n);
    for (int i = 0; e && i < 30000 && !e->ready && !e->closed; i++)
        net_run(n, MS);
    return e;
}

void net_destroy(struct end *e, int reason)
{
    tapsi_layer_destroy(e->layer, reason);
    e->layer = NULL;
}

void net_finish(struct net *n)
{
    n->fail_at = 0;
    for (unsigned i = 0; i < n->count; i++) {
        net_destroy(&n->ends[i], 0);
        CHECK_INT(n->ends[i].misplaced, 0);
        free(n->ends[i].got);
    }
    tapsi_layer_destroy(n->listener, 0);
    CHECK_INT(n->half_open, 0);
    for (int side = 0; side < 2; side++) {
        tapsi_loop_settle(&n->loops[side]);
        if (n->envs[side])
            tapsi_env_unref(n->envs[side]);
        tapsi_properties_unref(n->properties[side]);
        tapsi_security_unref(n->security[side]);
        tapsi_caches_free(n->caches[side]);
        tapsi_loop_done(&n->loops[side]);
        CHECK_INT(tapsi_sim_host_leaked(n->hosts[side]), 0);
    }
    CHECK(!tapsi_sim_problem(n->sim));
    CHECK_INT(n->blocks, 0);
    tapsi_sim_free(n->sim);
}

/* ------------------------------------------------------------------------------------------------- running */

void net_run(struct net *n, uint64_t ns)
{
    tapsi_sim_run(n->sim, tapsi_sim_now(n->sim) + ns);
}

bool net_run_until(struct net *n, const unsigned *what, unsigned value, uint64_t ns)
{
    for (uint64_t end = tapsi_sim_now(n->sim) + ns; *what < value && tapsi_sim_now(n->sim) < end;)
        net_run(n, MS);
    return *what >= value;
}

bool net_run_until_bytes(struct net *n, const struct end *e, size_t bytes, uint64_t ns)
{
    for (uint64_t end = tapsi_sim_now(n->sim) + ns; e->got_length < bytes && tapsi_sim_now(n->sim) < end;)
        net_run(n, MS);
    return e->got_length >= bytes;
}

static void on_done(struct tapsi_op *op, int result)
{
    struct end *e = op->owner;
    e->misplaced += e->closed != 0;
    e->last_result = result;
    if (result == 0)
        e->sent++;
    else
        e->failed++;
}

int net_send(struct end *e, const void *bytes, size_t count, unsigned flags)
{
    struct tapsi_op *op = tapsi_op_new(e->layer->env->loop);
    if (!op)
        return TAPS_E_MEMORY;
    int err = count ? tapsi_op_copy(op, bytes, count) : 0;
    op->flags = (uint16_t)flags;
    op->owner = e;
    op->done = on_done;
    if (!err)
        err = tapsi_layer_send(e->layer, op);
    if (err)
        tapsi_op_unref(op);
    return err;
}

int net_send_text(struct end *e, const char *text, unsigned flags)
{
    return net_send(e, text, strlen(text), flags);
}

void net_send_many(struct end *e, size_t from, size_t count, unsigned flags)
{
    uint8_t *bytes = malloc(count);
    for (size_t i = 0; i < count; i++)
        bytes[i] = net_byte(from + i);
    CHECK_INT(net_send(e, bytes, count, flags), 0);
    free(bytes);
}

bool net_got(const struct end *e, const char *text)
{
    return e->got_length == strlen(text) && (!e->got_length || memcmp(e->got, text, e->got_length) == 0);
}

struct quic_session *net_session(const struct end *e)
{
    return TAPSI_CONTAINER(e->layer, struct quic_stream, layer)->session;
}

void net_rebind(const struct end *e)
{
    struct quic_session *s = net_session(e);
    struct tapsi_port_user user = s->path->user;
    union tapsi_addr local = s->path->local;
    struct tapsi_target target = {.remote = &s->path->remote, .local = &local};
    tapsi_addr_set_port(&local, 0);
    tapsi_port_leave(&s->path->user);
    tapsi_port_unref(s->path->port);
    s->train_length = 0;
    s->path->user = (struct tapsi_port_user){.ops = user.ops, .class = user.class};
    CHECK_INT(tapsi_port_connect(s->env, &target, &s->path->user, NULL), 0);
    s->path->port = tapsi_port_ref(s->path->user.port);
}
