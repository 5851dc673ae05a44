#include "stack/tls/test_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stack/caches.h"
#include "stack/registry.h"

#define WINDOW (1024 * 1024)

/* ---------------------------------------------------------------------------------------------- identities */

static struct tapsi_test_identity authority, server_identity;

__attribute__((destructor)) static void forget(void)
{
    tapsi_test_identity_free(&authority);
    tapsi_test_identity_free(&server_identity);
}

const struct tapsi_test_identity *tapsi_test_authority(void)
{
    if (!authority.certificate)
        authority =
            tapsi_test_identity(&(struct tapsi_test_subject){.name = "Test Authority", .authority = true}, NULL);
    return &authority;
}

const struct tapsi_test_identity *tapsi_test_server(void)
{
    static const struct tapsi_test_subject subject = {
        .name = "example", .names = "example.test,*.wild.test,192.0.2.1,2001:db8::1", .purpose = TAPSI_TEST_SERVER};
    if (!server_identity.certificate)
        server_identity = tapsi_test_identity(&subject, tapsi_test_authority());
    return &server_identity;
}

void tapsi_test_trust(struct tapsi_security *s, const struct tapsi_test_identity *a)
{
    if (tapsi_security_add_authority(s, a->certificate, strlen(a->certificate)) != 0)
        abort();
}

void tapsi_test_show(struct tapsi_security *s, bool server, const struct tapsi_test_identity *i)
{
    int err = server ? tapsi_security_add_server(s, i->certificate, strlen(i->certificate), i->key, strlen(i->key))
                     : tapsi_security_add_client(s, i->certificate, strlen(i->certificate), i->key, strlen(i->key));
    if (err)
        abort();
}

/* -------------------------------------------------------------------------------------------------- the sink */

static struct tapsi_test_end *of(struct tapsi_sink *sink)
{
    return TAPSI_CONTAINER(sink, struct tapsi_test_end, sink);
}

void tapsi_test_destroy(struct tapsi_test_end *end, int reason)
{
    tapsi_layer_destroy(end->top, reason);
    end->top = NULL;
    end->stream = NULL;
}

static bool leave(struct tapsi_test_end *end, enum tapsi_test_moment moment)
{
    if (!end->top || end->destroy_in != moment)
        return false;
    tapsi_test_destroy(end, 0);
    return true;
}

static void on_ready(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_ready_info *info)
{
    struct tapsi_test_end *end = of(sink);
    end->misplaced += layer != end->top || end->ready || end->closed;
    end->ready++;
    end->info = *info;
    if (leave(end, TAPSI_TEST_READY))
        return;
    if (end->window)
        tapsi_layer_want(layer, end->window);
    if (end->reply)
        tapsi_test_send_text(end, end->reply, 0);
}

static void on_data(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_slice *slice)
{
    struct tapsi_test_end *end = of(sink);
    end->misplaced += layer != end->top || end->closed || end->final;
    end->slices++;
    if (slice->length) {
        end->got = realloc(end->got, end->got_length + slice->length);
        if (!end->got)
            abort();
        memcpy(end->got + end->got_length, slice->data, slice->length);
        end->got_length += slice->length;
        if (slice->flags & TAPSI_SLICE_EARLY)
            end->got_early += slice->length;
        end->misplaced += slice->flags & TAPSI_SLICE_EARLY && end->got_early != end->got_length;
    }
    end->final += (slice->flags & TAPSI_SLICE_FINAL) != 0;
    if (leave(end, TAPSI_TEST_DATA))
        return;
    if (end->window)
        tapsi_layer_want(layer, end->window);
}

static void on_closed(struct tapsi_sink *sink, struct tapsi_layer *layer, const struct tapsi_error *error)
{
    struct tapsi_test_end *end = of(sink);
    end->misplaced += layer != end->top || end->closed;
    end->closed++;
    if (error)
        tapsi_error_copy(&end->error, error);
    leave(end, TAPSI_TEST_CLOSED);
}

static void on_done(struct tapsi_op *op, int result)
{
    struct tapsi_test_end *end = op->owner;
    end->misplaced += end->closed != 0;
    end->out_of_order += (uintptr_t)op->tag != end->next_done;
    end->next_done++;
    end->last_result = result;
    if (result == 0)
        end->sent++;
    else
        end->failed++;
    leave(end, TAPSI_TEST_DONE);
}

static const struct tapsi_sink_ops sink_ops = {.ready = on_ready, .data = on_data, .closed = on_closed};

void tapsi_test_grant(struct tapsi_test_end *end, size_t window)
{
    end->window = window;
    if (end->top)
        tapsi_layer_want(end->top, window);
}

int tapsi_test_send(struct tapsi_test_end *end, const void *bytes, size_t count, unsigned flags)
{
    struct tapsi_op *op = tapsi_op_new(end->env->loop);
    if (!op)
        return TAPS_E_MEMORY;
    int err = count ? tapsi_op_copy(op, bytes, count) : 0;
    op->flags = (uint16_t)flags;
    op->owner = end;
    op->done = on_done;
    op->tag = (void *)(uintptr_t)end->next_sent;
    if (!err)
        err = tapsi_layer_send(end->top, op);
    if (err)
        tapsi_op_unref(op);
    else
        end->next_sent++;
    return err;
}

int tapsi_test_send_text(struct tapsi_test_end *end, const char *text, unsigned flags)
{
    return tapsi_test_send(end, text, strlen(text), flags);
}

bool tapsi_test_got(const struct tapsi_test_end *end, const char *text)
{
    return end->got_length == strlen(text) && memcmp(end->got, text, end->got_length) == 0;
}

/* -------------------------------------------------------------------------------------------------- the pair */

static void *resize(void *user, void *block, size_t size)
{
    struct tapsi_test_pair *p = user;
    if (size == 0) {
        p->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (++p->allocations == p->fail_at)
        return NULL;
    void *fresh = realloc(block, size);
    p->blocks += !block && fresh;
    return fresh;
}

bool tapsi_test_pair_init(struct tapsi_test_pair *p)
{
    *p = (struct tapsi_test_pair){.server_name = "example.test"};
    tapsi_mem_init(&p->mem, &(struct taps_allocator){resize, p});
    if (tapsi_test_loop_init(&p->loop, &p->mem) != 0)
        return false;
    p->properties = tapsi_properties_new(&p->mem);
    for (int i = 0; i < 2; i++)
        p->security[i] = tapsi_security_new(&p->mem, TAPS_SECURITY_REQUIRED);
    for (int i = 0; i < 2; i++)
        p->caches[i] = tapsi_caches_new(&p->mem);
    tapsi_test_trust(p->security[0], tapsi_test_authority());
    tapsi_test_show(p->security[1], true, tapsi_test_server());
    p->client.window = p->server.window = WINDOW;
    return true;
}

static int open_end(struct tapsi_test_pair *p, struct tapsi_test_end *end, int side)
{
    enum tapsi_role role = side ? TAPSI_ROLE_SERVER : TAPSI_ROLE_CLIENT;
    union tapsi_addr remote;
    struct tapsi_target target = {0};
    if (side == 0) {
        target.server_name = p->server_name;
        if (p->remote && tapsi_addr_parse(p->remote, &remote) == 0) {
            tapsi_addr_set_port(&remote, (uint16_t)p->port);
            target.remote = &remote;
        }
    }
    end->sink.ops = &sink_ops;
    end->env = tapsi_env_new(&p->loop, p->properties, p->security[side], NULL);
    if (!end->env)
        return TAPS_E_MEMORY;
    end->env->caches = p->caches[side];
    end->stream = tapsi_test_stream_new(end->env, role, side == 1);
    if (!end->stream)
        return TAPS_E_MEMORY;
    end->top = &end->stream->layer;
    if (p->plain[side])
        return 0;
    return tapsi_proto_tls.make(end->env, &target, role, &end->stream->layer, &end->top, &p->make_error);
}

static int start_end(struct tapsi_test_end *end)
{
    end->top->up = &end->sink;
    if (end->top->state == TAPSI_LAYER_READY) {
        tapsi_layer_want(end->top, end->window);
        return 0;
    }
    return tapsi_layer_start(end->top);
}

int tapsi_test_pair_prepare(struct tapsi_test_pair *p)
{
    int err = open_end(p, &p->client, 0);
    if (!err)
        err = open_end(p, &p->server, 1);
    if (err)
        return err;
    tapsi_test_stream_join(p->client.stream, p->server.stream);
    if (p->client.early)
        p->client.early_result = tapsi_test_send_text(&p->client, p->client.early, TAPSI_OP_EARLY);
    return 0;
}

int tapsi_test_pair_start(struct tapsi_test_pair *p)
{
    int err = start_end(&p->server);
    return err ? err : start_end(&p->client);
}

int tapsi_test_pair_open(struct tapsi_test_pair *p)
{
    int err = tapsi_test_pair_prepare(p);
    return err ? err : tapsi_test_pair_start(p);
}

void tapsi_test_pair_run(struct tapsi_test_pair *p)
{
    tapsi_test_loop_run(&p->loop);
}

bool tapsi_test_pair_handshake(struct tapsi_test_pair *p)
{
    if (tapsi_test_pair_open(p) != 0)
        return false;
    tapsi_test_pair_run(p);
    return p->client.ready && p->server.ready;
}

static long close_end(struct tapsi_test_end *end)
{
    tapsi_layer_destroy(end->top, 0);
    if (end->env)
        tapsi_env_unref(end->env);
    free(end->got);
    return end->misplaced + end->out_of_order;
}

void tapsi_test_pair_again(struct tapsi_test_pair *p)
{
    p->wrong += close_end(&p->client) + close_end(&p->server);
    tapsi_loop_settle(&p->loop);
    p->client = p->server = (struct tapsi_test_end){.window = WINDOW};
}

long tapsi_test_pair_done(struct tapsi_test_pair *p)
{
    long wrong = p->wrong + close_end(&p->client) + close_end(&p->server);
    tapsi_loop_settle(&p->loop);
    for (int i = 0; i < 2; i++) {
        tapsi_security_unref(p->security[i]);
        tapsi_caches_free(p->caches[i]);
    }
    tapsi_properties_unref(p->properties);
    tapsi_loop_done(&p->loop);
    return wrong + p->blocks;
}
