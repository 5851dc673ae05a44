#include "connection/context.h"

#include <string.h>
#include "connection/buffer.h"
#include "connection/connection.h"
#include "connection/listener.h"
#include "connection/paths.h"
#include "connection/preconnection.h"
#include "connection/resolve.h"
#include "connection/sessions.h"
#include "connection/timer.h"

#define ATTEMPT_DELAY_MS    250 /* RFC 8305, section 8 */
#define ATTEMPT_DELAY_MIN   10
#define ATTEMPT_DELAY_MAX   2000
#define RESOLUTION_DELAY_MS 50
#define HALF_OPEN_LIMIT     1024

static int read_options(struct taps_context *context, const struct taps_context_options *options)
{
    uint32_t attempt = options->attempt_delay_ms ? options->attempt_delay_ms : ATTEMPT_DELAY_MS;
    uint32_t resolution = options->resolution_delay_ms ? options->resolution_delay_ms : RESOLUTION_DELAY_MS;
    if (attempt < ATTEMPT_DELAY_MIN || attempt > ATTEMPT_DELAY_MAX || options->log_level > TAPS_LOG_DEBUG)
        return TAPS_E_RANGE;
    context->attempt_delay = attempt * TAPSI_MS;
    context->resolution_delay = resolution * TAPSI_MS;
    context->half_open_limit = options->half_open_limit ? options->half_open_limit : HALF_OPEN_LIMIT;
    context->loop.log = options->log;
    context->loop.log_user = options->log_user;
    context->loop.log_level = options->log_level;
    return 0;
}

static void init_pools(struct taps_context *context)
{
    struct tapsi_mem *mem = &context->loop.mem;
    tapsi_pool_init(&context->connections, mem, sizeof(struct taps_connection), 64);
    tapsi_pool_init(&context->outboxes, mem, sizeof(struct tapsi_outbox), 64);
    tapsi_pool_init(&context->inboxes, mem, tapsi_inbox_block(TAPSI_INBOX_SMALL), 64);
    tapsi_pool_init(&context->large_inboxes, mem, tapsi_inbox_block(TAPSI_INBOX_LARGE), 8);
    tapsi_pool_init(&context->receives, mem, sizeof(struct tapsi_receive), 256);
    tapsi_buffers_init(context);
}

static void done_pools(struct taps_context *context)
{
    tapsi_pool_done(&context->connections);
    tapsi_pool_done(&context->outboxes);
    tapsi_pool_done(&context->inboxes);
    tapsi_pool_done(&context->large_inboxes);
    tapsi_pool_done(&context->receives);
    tapsi_pool_done(&context->lents);
    tapsi_pool_done(&context->handles);
}

static void init_lists(struct taps_context *context)
{
    tapsi_link_init(&context->preconnections);
    tapsi_link_init(&context->open);
    tapsi_link_init(&context->listeners);
    tapsi_link_init(&context->resolves);
    tapsi_link_init(&context->timers);
    tapsi_link_init(&context->roaming);
}

static int open_resolver(struct taps_context *context, const struct taps_context_options *options)
{
    struct tapsi_resolver_options resolver = {.servers = options->resolver,
                                              .hosts_file = options->hosts_file,
                                              .resolv_conf = options->resolv_conf,
                                              .timeout_ms = options->resolution_timeout_ms};
    return tapsi_resolver_new(&context->loop, &resolver, &context->resolver);
}

static int open_caches(struct taps_context *context, const struct taps_context_options *options)
{
    if (options->no_caches)
        return 0;
    context->caches = tapsi_caches_new(&context->loop.mem);
    return context->caches ? 0 : TAPS_E_MEMORY;
}

/* Frees what was made, the platform too. */
static void undo(struct taps_context *context)
{
    struct tapsi_mem mem = context->loop.mem;
    done_pools(context);
    tapsi_loop_done(&context->loop);
    tapsi_free(&mem, context);
}

int tapsi_context_new(const struct taps_context_options *options, struct tapsi_platform *platform,
                      struct taps_context **ret)
{
    static const struct taps_context_options defaults;
    struct tapsi_mem mem;
    struct tapsi_platform *own = NULL;
    if (!options)
        options = &defaults;
    tapsi_mem_init(&mem, options->allocator);
    struct taps_context *context = tapsi_zalloc(&mem, sizeof(*context));
    if (!context)
        return TAPS_E_MEMORY;
    context->loop.mem = mem; /* the platform allocates from the memory that lives as long as it does */
    int err = platform ? 0 : tapsi_platform_linux_new(&context->loop.mem, &own);
    if (!err)
        err = tapsi_loop_init(&context->loop, &mem, platform ? platform : own);
    if (err) {
        if (own)
            own->ops->destroy(own);
        tapsi_free(&mem, context);
        return err;
    }
    init_pools(context);
    init_lists(context);
    err = read_options(context, options);
    if (!err)
        err = open_caches(context, options);
    if (!err)
        err = open_resolver(context, options);
    if (err) {
        tapsi_caches_free(context->caches);
        if (platform) { /* the caller keeps what it gave */
            done_pools(context);
            tapsi_loop_release(&context->loop);
            tapsi_free(&mem, context);
        } else {
            undo(context);
        }
        return err;
    }
    *ret = context;
    return 0;
}

static void free_all(struct taps_context *context)
{
    struct tapsi_link *link;
    while ((link = tapsi_list_first(&context->open)))
        tapsi_connection_free(TAPSI_CONTAINER(link, struct taps_connection, link));
    while ((link = tapsi_list_first(&context->listeners)))
        tapsi_listener_free(TAPSI_CONTAINER(link, struct taps_listener, link));
    while ((link = tapsi_list_first(&context->resolves)))
        tapsi_resolve_cancel(TAPSI_CONTAINER(link, struct tapsi_resolve, link));
    while ((link = tapsi_list_first(&context->timers)))
        tapsi_app_timer_free(TAPSI_CONTAINER(link, struct taps_timer, link));
    while ((link = tapsi_list_first(&context->preconnections)))
        tapsi_preconnection_free(TAPSI_CONTAINER(link, struct taps_preconnection, link));
}

int tapsi_context_free(struct taps_context *context)
{
    if (context->loop.in_turn)
        return TAPS_E_STATE;
    free_all(context);
    tapsi_paths_deafen(context);
    tapsi_loop_settle(&context->loop);
    tapsi_sessions_done(context);
    tapsi_buffers_done(context);
    tapsi_resolver_free(context->resolver);
    tapsi_loop_settle(&context->loop);
    tapsi_caches_free(context->caches);
    undo(context);
    return 0;
}
