/*
 * The session file: tickets, and what did not come through (select/history.h). It is read when it is given, and written
 * some time after a change, and when the context is freed: under a lock, with what other processes have added since.
 * What this context has used is not taken back from it.
 *
 * Whatever goes wrong with it costs nothing but the cache, and is told in the log, once for each kind of failure.
 */
#include "connection/sessions.h"

#include <errno.h>
#include <string.h>
#include "select/history.h"
#include "stack/secure/sessionfile.h"

#define DELAY    (2 * TAPSI_S) /* several Connections in a row are one write */
#define PATIENCE 100           /* ms that the last write waits for another process */
#define FOREIGN  (-EILSEQ)     /* a file that is no session file: a key, say, whose name was given by mistake */

struct tapsi_sessions {
    struct taps_context *context;
    struct tapsi_timer timer;
    uint64_t written; /* the generation of the store that is in the file */
    int problem;      /* errno of the last failure that was told */
    char path[];
};

static struct tapsi_platform *platform_of(const struct taps_context *context)
{
    return context->loop.platform;
}

static void tell(struct tapsi_sessions *s, int err, const char *what)
{
    if (err == s->problem)
        return;
    s->problem = err;
    if (err)
        tapsi_log(&s->context->loop, TAPS_LOG_WARNING, "session file %s: %s: %s", s->path, what,
                  err == FOREIGN ? "it holds something else" : strerror(-err));
}

/* ------------------------------------------------------------------------------------------------------- reading */

static void on_line(void *user, const char *line, uint64_t age)
{
    struct taps_context *context = user;
    struct tapsi_caches *caches = context->caches;
    if (!caches->history)
        caches->history = tapsi_history_new(caches->mem);
    if (caches->history && age < TAPSI_TICKET_AGE)
        tapsi_history_load(caches->history, line, age * TAPSI_S, tapsi_loop_now(&context->loop));
}

static int load(struct tapsi_sessions *s)
{
    struct taps_context *context = s->context;
    struct tapsi_platform *p = platform_of(context);
    uint8_t *bytes = NULL;
    size_t length = 0;
    int err = p->ops->load_private(p, s->path, TAPSI_SESSIONFILE_MAX, &bytes, &length);
    if (err == -ENOENT)
        return 0;
    if (err)
        return err == -EFBIG ? FOREIGN : err; /* none of ours is so long */
    if (!tapsi_sessionfile_is(bytes, length)) {
        explicit_bzero(bytes, length);
        tapsi_free(p->mem, bytes);
        return FOREIGN;
    }
    struct tapsi_sessionfile_found found =
        tapsi_sessionfile_read(context->caches->tickets, context->caches->mem, bytes, length,
                               tapsi_loop_wall(&context->loop), &(struct tapsi_sessionfile_lines){on_line, context});
    explicit_bzero(bytes, length);
    tapsi_free(p->mem, bytes);
    if (found.damaged)
        tapsi_log(&context->loop, TAPS_LOG_WARNING, "session file %s: damaged in %zu places, and used where it is not",
                  s->path, found.damaged);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static int write_all(struct tapsi_sessions *s)
{
    struct taps_context *context = s->context;
    struct tapsi_platform *p = platform_of(context);
    struct tapsi_str lines;
    size_t length = 0;
    tapsi_str_init(&lines, &context->loop.mem);
    if (context->caches->history)
        tapsi_history_save(context->caches->history, tapsi_loop_now(&context->loop), &lines);
    uint8_t *bytes = tapsi_sessionfile_write(context->caches->tickets, tapsi_str_text(&lines),
                                             tapsi_loop_wall(&context->loop), context->caches->mem, &length);
    tapsi_str_done(&lines);
    if (!bytes)
        return -ENOMEM;
    int err = p->ops->store_private(p, s->path, bytes, length);
    explicit_bzero(bytes, length);
    tapsi_free(context->caches->mem, bytes);
    return err;
}

/* -EAGAIN: another process has it. */
static int save(struct tapsi_sessions *s, unsigned wait_ms)
{
    struct tapsi_platform *p = platform_of(s->context);
    int lock = p->ops->lock_private(p, s->path, wait_ms);
    if (lock < 0)
        return lock;
    int err = load(s);
    if (!err)
        err = write_all(s);
    p->ops->unlock_private(p, lock);
    if (!err)
        s->written = tapsi_tickets_generation(s->context->caches->tickets);
    return err;
}

static void on_time(struct tapsi_timer *timer)
{
    struct tapsi_sessions *s = TAPSI_CONTAINER(timer, struct tapsi_sessions, timer);
    if (tapsi_tickets_generation(s->context->caches->tickets) == s->written)
        return;
    int err = save(s, 0);
    if (err == -EAGAIN)
        tapsi_timer_start(&s->context->loop, &s->timer, DELAY);
    else
        tell(s, err, "it is not written");
}

/* Within a handshake, perhaps: nothing but the timer. */
static void on_change(void *sessions)
{
    struct tapsi_sessions *s = sessions;
    if (!tapsi_timer_running(&s->timer))
        tapsi_timer_start(&s->context->loop, &s->timer, DELAY);
}

/* ----------------------------------------------------------------------------------------------------- the file */

void tapsi_sessions_done(struct taps_context *context)
{
    struct tapsi_sessions *s = context->sessions;
    if (!s)
        return;
    struct tapsi_tickets *tickets = context->caches->tickets;
    if (tapsi_tickets_generation(tickets) != s->written || context->caches->history)
        tell(s, save(s, PATIENCE), "it is not written");
    tapsi_tickets_watch(tickets, NULL, NULL);
    tapsi_timer_done(&context->loop, &s->timer);
    tapsi_free(&context->loop.mem, s);
    context->sessions = NULL;
}

static struct tapsi_sessions *new_sessions(struct taps_context *context, const char *path)
{
    size_t length = strlen(path);
    if (!context->caches->tickets)
        context->caches->tickets = tapsi_tickets_new(context->caches->mem);
    struct tapsi_sessions *s =
        context->caches->tickets ? tapsi_zalloc(&context->loop.mem, sizeof(*s) + length + 1) : NULL;
    if (!s)
        return NULL;
    if (tapsi_timer_init(&context->loop, &s->timer, on_time)) {
        tapsi_free(&context->loop.mem, s);
        return NULL;
    }
    s->context = context;
    memcpy(s->path, path, length);
    return s;
}

static int error_of(int err)
{
    switch (err) {
    case -ENOMEM:
        return TAPS_E_MEMORY;
    case -EPERM:
    case -EACCES:
        return TAPS_E_PERMISSION;
    case FOREIGN:
        return TAPS_E_RANGE;
    default:
        return TAPS_E_SYSTEM;
    }
}

static int begin(struct tapsi_sessions *s)
{
    uint64_t before = tapsi_tickets_generation(s->context->caches->tickets);
    bool had = tapsi_tickets_count(s->context->caches->tickets) != 0;
    int err = load(s);
    if (err) {
        tell(s, err, err == -EPERM ? "it is not used, since others can read or change it" : "it is not used");
        return error_of(err);
    }
    s->written = had ? before : tapsi_tickets_generation(s->context->caches->tickets);
    return 0;
}

int tapsi_sessions_use(struct taps_context *context, const char *path)
{
    tapsi_sessions_done(context);
    if (!path)
        return 0;
    if (!context->caches || !platform_of(context)->ops->load_private)
        return TAPS_E_NOT_APPLICABLE;
    struct tapsi_sessions *s = new_sessions(context, path);
    if (!s)
        return TAPS_E_MEMORY;
    int err = begin(s);
    if (err) {
        tapsi_timer_done(&context->loop, &s->timer);
        tapsi_free(&context->loop.mem, s);
        return err;
    }
    context->sessions = s;
    tapsi_tickets_watch(context->caches->tickets, on_change, s);
    return 0;
}
