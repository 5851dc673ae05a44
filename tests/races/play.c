/*
 * How a play goes: the world is built, Initiate is called, what the script has for a time is done at that time, between
 * two turns of the loop; what it has for an event is done inside that event's callback. When nothing is left to do, the
 * Connection has as long as it asked for to be Ready or fail, a while to talk, is closed, and must end.
 */
#include "play.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/test.h"
#include "connection/context.h"

#define CALM        (2 * TAPSI_SIM_S)        /* after the last statement, before Close */
#define END_LIMIT   (100 * TAPSI_SIM_S)      /* Close ends an eighth after _closeTimeout with a peer that is silent */
#define LOSSY_LIMIT (2 * 3600 * TAPSI_SIM_S) /* what the peer does acknowledge now and then may take long */
#define TURNS_LIMIT 200000                   /* at one time of the clock, or in all */

void play_wrong(struct play *p, const char *format, ...)
{
    char text[500];
    va_list args;
    (void)p;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tapsi_test_fail("races", 0, "%s", text);
}

uint64_t play_elapsed(const struct play *p)
{
    return tapsi_sim_now(p->stage.sim) - p->begun;
}

static void mix(struct play *p, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        p->hash = (p->hash ^ at[i]) * UINT64_C(0x100000001b3);
}

void play_say(struct play *p, const char *format, ...)
{
    char text[400];
    uint64_t now = play_elapsed(p);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mix(p, &now, sizeof(now));
    mix(p, text, strlen(text));
    if (p->verbose)
        printf("# %10.3f ms application: %s\n", (double)(now + p->begun - TAPSI_SIM_START) / 1e6, text);
}

/* ------------------------------------------------------------------------------------------------------- memory */

void *play_counted(void *user, void *block, size_t size)
{
    struct play *p = user;
    if (size == 0) {
        p->blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (p->fail_allocation && --p->fail_allocation == 0) {
        p->allocation_failed = true;
        return NULL;
    }
    void *grown = realloc(block, size);
    if (grown && !block)
        p->blocks++;
    return grown;
}

/* ----------------------------------------------------------------------------------------------------- the wire */

static bool is_known(const struct play *p, const struct tapsi_sim_packet *packet)
{
    for (unsigned i = 0; i < p->attempt_count; i++) {
        const struct play_attempt *a = &p->attempts[i];
        if (tapsi_addr_equal(&a->from, &packet->from) && tapsi_addr_equal(&a->to, &packet->to))
            return true;
    }
    return false;
}

static void on_packet(void *arg, const struct tapsi_sim_packet *packet)
{
    struct play *p = arg;
    mix(p, &packet->time_ns, sizeof(packet->time_ns));
    mix(p, packet->kind, strlen(packet->kind));
    mix(p, &packet->length, sizeof(packet->length));
    if (p->verbose)
        tapsi_sim_trace_print(NULL, packet);
    if (strcmp(packet->kind, "SYN") != 0 || !p->began || packet->host != stage_host(&p->stage, "client"))
        return;
    if (p->is_ready && !p->syn_after_ready)
        p->syn_after_ready = play_elapsed(p);
    bool asks_a_name = tapsi_addr_port(&packet->to) == 53;
    if (asks_a_name || is_known(p, packet) || p->attempt_count == PLAY_ATTEMPTS)
        return;
    struct play_attempt *a = &p->attempts[p->attempt_count++];
    a->time = play_elapsed(p);
    snprintf(a->interface, sizeof(a->interface), "%s", packet->interface);
    a->from = packet->from;
    a->to = packet->to;
}

/* --------------------------------------------------------------------------------------------------- going on */

/* Until `until` ns after Initiate, or `done`. */
static bool run_until(struct play *p, uint64_t until, bool (*done)(const struct play *))
{
    unsigned turns = 0;
    uint64_t before = 0;
    while (play_elapsed(p) < until && !(done && done(p))) {
        uint64_t left = (until - play_elapsed(p) + TAPSI_SIM_MS - 1) / TAPSI_SIM_MS;
        taps_context_run_once(p->context, left < 1000 ? (int)left : 1000);
        turns = play_elapsed(p) == before ? turns + 1 : 0;
        before = play_elapsed(p);
        if (turns > TURNS_LIMIT) {
            play_wrong(p, "the loop spins at %.3f ms", (double)before / 1e6);
            return false;
        }
    }
    return true;
}

static bool is_decided(const struct play *p)
{
    return p->is_ready || p->end;
}

static bool has_ended(const struct play *p)
{
    return p->end != PLAY_ALIVE;
}

/* The earliest time after `after` that the script has something for; false if it has nothing more. */
static bool next_time(const struct play *p, uint64_t after, bool from_zero, uint64_t *ret)
{
    bool found = false;
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        if (line->when != SCRIPT_AT || (from_zero ? line->at < after : line->at <= after))
            continue;
        if (!found || line->at < *ret)
            *ret = line->at;
        found = true;
    }
    return found;
}

static bool is_for_us(const struct script_line *line, uint64_t at)
{
    return line->when == SCRIPT_AT && line->at == at && line->verb >= SCRIPT_FAIL_ALLOCATION;
}

static bool follow_script(struct play *p)
{
    uint64_t at = 0;
    for (bool first = true; next_time(p, at, first, &at); first = false) {
        if (!run_until(p, at, NULL))
            return false;
        for (unsigned i = 0; i < p->script->count; i++) {
            if (is_for_us(&p->script->lines[i], at))
                play_act(p, &p->script->lines[i]);
        }
    }
    return true;
}

static bool is_lossy(const struct script *script)
{
    return script_find(script, SCRIPT_LOSS) || script_find(script, SCRIPT_BURSTS) ||
           script_find(script, SCRIPT_REORDER) || script_find(script, SCRIPT_QUEUE) || script_find(script, SCRIPT_LEAP);
}

static void come_to_an_end(struct play *p)
{
    if (!run_until(p, p->timeout + p->leaps + TAPSI_SIM_S, is_decided) ||
        !run_until(p, play_elapsed(p) + CALM, has_ended))
        return;
    if (!is_decided(p))
        play_wrong(p, "neither Ready nor EstablishmentError within the timeout");
    if (p->connection && !p->end) {
        p->close_at = play_elapsed(p);
        play_say(p, "Close at last: %s", taps_err_name(taps_connection_close(p->connection)));
    }
    uint64_t limit = is_lossy(p->script) ? LOSSY_LIMIT : END_LIMIT;
    run_until(p, play_elapsed(p) + limit, has_ended);
    if (!p->end)
        play_wrong(p, "no end within %d s of Close", (int)(limit / TAPSI_SIM_S));
}

static void free_all(struct play *p)
{
    p->fail_allocation = 0;
    taps_connection_free(p->connection);
    taps_preconnection_free(p->preconnection);
    taps_transport_properties_free(p->properties);
    taps_security_parameters_free(p->security);
    if (p->context && taps_context_free(p->context))
        play_wrong(p, "the context cannot be freed");
    if (p->blocks)
        play_wrong(p, "%ld blocks of memory are left", p->blocks);
    struct tapsi_sim_host *client = stage_host(&p->stage, "client");
    if (tapsi_sim_host_leaked(client))
        play_wrong(p, "%u sockets were never closed", tapsi_sim_host_leaked(client));
    stage_clear(&p->stage);
    free(p->received);
}

static unsigned long predicted;

unsigned long play_predicted(void)
{
    return predicted;
}

bool play(const struct script *script, bool verbose, uint64_t *ret_hash)
{
    static struct play play;
    struct play *p = &play;
    const struct script_line *initiate = script_find(script, SCRIPT_INITIATE);
    memset(p, 0, sizeof(*p));
    p->script = script;
    p->verbose = verbose;
    p->hash = UINT64_C(0xcbf29ce484222325);
    initiate = initiate ? initiate : script_find(script, SCRIPT_INITIATE_SENDING);
    const struct script_line *keeps = script_find(script, SCRIPT_KEEP_RECEIVING);
    p->whole_datagrams = keeps && keeps->numbers[1] >= PLAY_DATA_MAX && !script_find(script, SCRIPT_RECEIVE);
    bool built = stage_build(&p->stage, script);
    tapsi_sim_trace(p->stage.sim, on_packet, p);
    if (!built || !initiate)
        play_wrong(p, "%s", built ? "no \"initiate\"" : p->stage.problem);
    else if (play_prepare(p)) {
        if (p->stage.service_count)
            tapsi_sim_run(p->stage.sim, tapsi_sim_now(p->stage.sim) + TAPSI_SIM_MS); /* Listeners begin */
        play_begin(p, initiate);
        if (follow_script(p))
            come_to_an_end(p);
        check_race(p);
        check_expected(p);
        predicted += p->predicted;
    }
    free_all(p);
    if (ret_hash)
        *ret_hash = p->hash;
    return !tapsi_test_failed();
}
