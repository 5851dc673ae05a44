/*
 * The log of what happens to each Connection (RFC 9622, 11): one line an event, at TAPS_LOG_EVENT. The format is a
 * promise, written down in docs/design/007-what-receives-and-sends-promise.md. A Connection that is not logged pays for
 * it with a look at one bit.
 */
#include "connection/connection.h"

#include <stdarg.h>
#include <stdio.h>

void tapsi_connection_log_begin(struct taps_connection *c)
{
    struct tapsi_rare *rare = tapsi_connection_rare(c);
    if (!rare)
        return; /* no memory for its number: it goes unlogged */
    rare->number = ++c->context->numbered;
    rare->begun = tapsi_loop_now(&c->context->loop);
    c->logs = true;
}

void tapsi_connection_log(const struct taps_connection *c, const char *format, ...)
{
    struct tapsi_loop *loop = &c->context->loop;
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    tapsi_log(loop, TAPS_LOG_EVENT, "connection %llu %.3f %s %s", (unsigned long long)c->rare->number,
              (double)(tapsi_loop_now(loop) - c->rare->begun) / (double)TAPSI_MS, c->row ? c->row->offer.stack : "-",
              text);
}

/* -------------------------------------------------------------------------------------------- establishment */

void tapsi_connection_log_initiate(const struct taps_connection *c, uint64_t timeout_ms)
{
    char text[TAPSI_HOST_MAX + 8];
    for (size_t i = 0; i < c->config->remote_count; i++) {
        tapsi_endpoint_text(&c->config->remotes[i], text, sizeof(text));
        tapsi_connection_log(c, "initiate remote=%s timeout=%llu", text, (unsigned long long)timeout_ms);
    }
}

static void log_query(const struct taps_connection *c, const struct tapsi_lookup *name, int family)
{
    const struct tapsi_lookup_query *q = &name->queries[family];
    const char *type = family == TAPSI_LOOKUP_AAAA ? "AAAA" : "A";
    tapsi_connection_log(c, "resolved name=%s type=%s source=%s count=%zu%s%s", name->endpoint->host_name, type,
                         q->source[0] ? q->source : "dns", q->count, q->reason[0] ? ": " : "", q->reason);
}

void tapsi_connection_log_names(const struct taps_connection *c, struct tapsi_lookups *names)
{
    for (size_t i = 0; i < names->count; i++) {
        for (int f = 0; f < TAPSI_LOOKUP_FAMILIES; f++) {
            struct tapsi_lookup_query *q = &names->items[i].queries[f];
            if (!q->done || !q->wanted || q->logged || names->items[i].endpoint->has_address)
                continue;
            q->logged = true;
            log_query(c, &names->items[i], f);
        }
    }
}

static void write_id(const struct tapsi_node *node, char *text, size_t size)
{
    const struct tapsi_node *protocol = node->parent, *path = protocol->parent;
    tapsi_format(text, size, "%u.%u.%u", path->number, protocol->number, node->number);
}

void tapsi_connection_log_attempt(const struct taps_connection *c, const struct tapsi_node *node)
{
    static const char *const words[] = {
        [TAPS_CANDIDATE_WON] = "won", [TAPS_CANDIDATE_FAILED] = "failed", [TAPS_CANDIDATE_CANCELLED] = "cancelled"};
    char id[40], remote[TAPSI_ADDR_TEXT];
    write_id(node, id, sizeof(id));
    if (node->state == TAPS_CANDIDATE_ACTIVE)
        tapsi_connection_log(c, "attempt id=%s stack=%s remote=%s interface=%s", id, node->row->offer.stack,
                             tapsi_addr_text(&node->leaf->remote, remote), node->interface->name);
    else
        tapsi_connection_log(c, "attempt-%s id=%s: %s", words[node->state], id,
                             node->reason ? node->reason : taps_err_text(node->error));
}

static const char *asked(const struct taps_connection *c, int what)
{
    union tapsi_got got;
    return c->top && tapsi_layer_get(c->top, what, &got) == 0 ? got.text : NULL;
}

void tapsi_connection_log_start(struct taps_connection *c, const char *event)
{
    const struct taps_endpoint *local = tapsi_connection_endpoint(c, false);
    const struct taps_endpoint *remote = tapsi_connection_endpoint(c, true);
    const char *security = asked(c, TAPSI_GET_SECURITY), *alpn = asked(c, TAPSI_GET_ALPN);
    char from[TAPSI_HOST_MAX + 8] = "-", to[TAPSI_HOST_MAX + 8] = "-";
    if (local)
        tapsi_endpoint_text(local, from, sizeof(from));
    if (remote)
        tapsi_endpoint_text(remote, to, sizeof(to));
    tapsi_connection_log(c, "%s local=%s remote=%s%s%s%s%s", event, from, to, security ? " security=" : "",
                         security ? security : "", alpn ? " alpn=" : "", alpn ? alpn : "");
}

/* -------------------------------------------------------------------------------------------------- Messages */

void tapsi_connection_log_send(const struct taps_connection *c, const struct tapsi_op *op)
{
    tapsi_connection_log(c, "send bytes=%zu%s%s", op->length, op->flags & TAPSI_OP_END ? " end" : "",
                         op->flags & TAPSI_OP_FINAL ? " final" : "");
}

void tapsi_connection_log_settled(const struct taps_connection *c, const struct tapsi_op *op, int result)
{
    size_t bytes = op->length - op->added;
    if (result < 0)
        tapsi_connection_log(c, "send-error bytes=%zu code=%s: %s", bytes, taps_err_name(result),
                             taps_err_text(result));
    else
        tapsi_connection_log(c, "%s bytes=%zu", result == TAPSI_OP_EXPIRED ? "expired" : "sent", bytes);
}

void tapsi_connection_log_received(const struct taps_connection *c, const struct taps_received *message)
{
    tapsi_connection_log(c, "received bytes=%zu%s%s%s", message->length, message->end_of_message ? " end" : "",
                         message->final ? " final" : "", message->early ? " early" : "");
}

void tapsi_connection_log_error(const struct taps_connection *c, const char *event, const struct taps_error *error)
{
    tapsi_connection_log(c, "%s code=%s: %s", event, taps_err_name(error->code), error->detail);
}
