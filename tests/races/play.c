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
#define DATA_MAX    65536

static void act(struct play *p, const struct script_line *line);

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

static uint64_t elapsed(const struct play *p)
{
    return tapsi_sim_now(p->stage.sim) - p->begun;
}

static void mix(struct play *p, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        p->hash = (p->hash ^ at[i]) * UINT64_C(0x100000001b3);
}

static void __attribute__((format(printf, 2, 3))) say(struct play *p, const char *format, ...)
{
    char text[400];
    uint64_t now = elapsed(p);
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

static void *counted(void *user, void *block, size_t size)
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
        p->syn_after_ready = elapsed(p);
    if (is_known(p, packet) || p->attempt_count == PLAY_ATTEMPTS)
        return;
    struct play_attempt *a = &p->attempts[p->attempt_count++];
    a->time = elapsed(p);
    snprintf(a->interface, sizeof(a->interface), "%s", packet->interface);
    a->from = packet->from;
    a->to = packet->to;
}

/* ------------------------------------------------------------------------------------------------------- events */

/* After this the Connection may be gone. */
static void fire(struct play *p, enum script_event event)
{
    unsigned nth = ++p->occurrences[event];
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        if (line->when == SCRIPT_ON && line->event == event && line->nth == nth)
            act(p, line);
    }
}

/* The interface of the client whose address the Connection uses. */
static void find_interface(struct play *p, taps_connection *c)
{
    const taps_report *report = taps_connection_report(c);
    struct taps_candidate_info info;
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        if (taps_report_candidate(report, i, &info) == 0 && info.kind == TAPS_CANDIDATE_ENDPOINT &&
            info.state == TAPS_CANDIDATE_WON)
            snprintf(p->winner_interface, sizeof(p->winner_interface), "%s", info.interface ? info.interface : "");
    }
}

static void on_ready(taps_connection *c, void *user)
{
    struct play *p = user;
    p->is_ready = true;
    p->ready_at = elapsed(p);
    p->sockets_at_ready = tapsi_sim_host_sockets(stage_host(&p->stage, "client"));
    snprintf(p->winner_stack, sizeof(p->winner_stack), "%s", taps_connection_stack(c));
    taps_endpoint_text(taps_connection_remote(c), p->winner_remote, sizeof(p->winner_remote));
    p->is_stream = strcmp(p->winner_stack, "udp") != 0;
    find_interface(p, c);
    say(p, "Ready: %s %s on %s", p->winner_stack, p->winner_remote, p->winner_interface);
    fire(p, SCRIPT_ON_READY);
}

static void over(struct play *p, enum play_end end, const struct taps_error *error)
{
    static const char *const names[] = {"", "refused", "EstablishmentError", "Closed", "ConnectionError", "freed"};
    p->end = end;
    p->end_at = elapsed(p);
    if (error) {
        p->code = error->code;
        snprintf(p->detail, sizeof(p->detail), "%s", error->detail);
    }
    say(p, "%s%s%s %s", names[end], error ? ": " : "", error ? taps_err_name(error->code) : "",
        error ? error->detail : "");
    fire(p, SCRIPT_ON_END);
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    over(user, PLAY_ESTABLISHMENT_ERROR, error);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    over(user, PLAY_CLOSED, NULL);
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    over(user, PLAY_CONNECTION_ERROR, error);
}

/* A tag is the number of the Message, from 1. */
static struct play_message *told(struct play *p, void *tag, const char *event)
{
    unsigned number = (unsigned)(uintptr_t)tag;
    say(p, "%s %u", event, number);
    if (number == 0 || number > p->message_count) {
        play_wrong(p, "%s has the tag %u, which no Send has", event, number);
        return NULL;
    }
    struct play_message *m = &p->messages[number - 1];
    if (m->state != PLAY_WAITS)
        play_wrong(p, "%s of Message %u, which had its event before", event, number);
    return m;
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct play *p = user;
    struct play_message *m = told(p, tag, "Sent");
    (void)c;
    if (m) {
        m->state = PLAY_SENT;
        p->sent_order[p->sent_count++] = (unsigned)(m - p->messages);
    }
    fire(p, SCRIPT_ON_SENT);
}

static void on_expired(taps_connection *c, void *tag, void *user)
{
    struct play_message *m = told(user, tag, "Expired");
    (void)c;
    if (m)
        m->state = PLAY_EXPIRED;
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    struct play_message *m = told(user, tag, "SendError");
    (void)c;
    (void)error;
    if (m)
        m->state = PLAY_SEND_ERROR;
    fire(user, SCRIPT_ON_SEND_ERROR);
}

static void keep(struct play *p, const struct taps_received *m)
{
    if (p->received_capacity - p->received_length < m->length) {
        p->received_capacity = 2 * p->received_capacity + m->length + 4096;
        p->received = realloc(p->received, p->received_capacity);
        if (!p->received)
            abort();
    }
    if (m->length)
        memcpy(p->received + p->received_length, m->data, m->length);
    p->received_length += m->length;
}

/* One of ours that came back whole: they differ in their first byte or their length. */
static void match_datagram(struct play *p, const struct taps_received *m)
{
    const char *data = m->data;
    for (unsigned i = 0; i < p->message_count; i++) {
        size_t k = 0;
        while (k < m->length && data[k] == play_byte(i, k))
            k++;
        if (p->messages[i].length == m->length && k == m->length) {
            p->messages[i].copies++;
            return;
        }
    }
    play_wrong(p, "a datagram of %zu bytes came that nobody sent", m->length);
}

static void on_data(taps_connection *c, const struct taps_received *m, void *user)
{
    struct play *p = user;
    (void)c;
    if (p->received_end)
        play_wrong(p, "Received after the end");
    p->received_end |= m->final;
    say(p, "Received %zu bytes%s", m->length, m->final ? ", the last" : "");
    if (p->is_stream)
        keep(p, m);
    else if (p->whole_datagrams)
        match_datagram(p, m);
    fire(p, SCRIPT_ON_RECEIVED);
    if (p->connection && p->keep_max && !p->received_end)
        taps_connection_receive(p->connection, p->keep_min, p->keep_max, NULL);
}

static void on_receive_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    (void)c;
    (void)tag;
    say(user, "ReceiveError: %s", error->detail);
    fire(user, SCRIPT_ON_RECEIVE_ERROR);
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    say(user, "SoftError: %s", error->detail);
}

static void on_path_change(taps_connection *c, void *user)
{
    (void)c;
    say(user, "PathChange");
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_establishment_error,
                                                     .sent = on_sent,
                                                     .expired = on_expired,
                                                     .send_error = on_send_error,
                                                     .received = on_data,
                                                     .received_partial = on_data,
                                                     .receive_error = on_receive_error,
                                                     .soft_error = on_soft_error,
                                                     .path_change = on_path_change,
                                                     .closed = on_closed,
                                                     .connection_error = on_connection_error};

/* ------------------------------------------------------------------------------------------------------ actions */

/* "final lifetime 0.02 priority 5": property names and values for this Message, or the flags "partial" and "lent". */
static taps_message_context *message_of(const char *rest, unsigned *ret_flags)
{
    taps_message_context *context = NULL;
    char name[32], value[32];
    while (script_next_word(&rest, name, sizeof(name))) {
        if (strcmp(name, "partial") == 0) {
            *ret_flags |= TAPS_SEND_PARTIAL;
            continue;
        }
        if (!context && taps_message_context_new(&context))
            return NULL;
        if (strcmp(name, "final") == 0)
            taps_message_context_set(context, "final", "true");
        else if (script_next_word(&rest, value, sizeof(value)))
            taps_message_context_set(context, name, value);
    }
    return context;
}

static size_t fill(char *data, unsigned message, uint64_t length)
{
    size_t count = length < DATA_MAX ? length : DATA_MAX;
    for (size_t i = 0; i < count; i++)
        data[i] = play_byte(message, i);
    return count;
}

static void send_message(struct play *p, const struct script_line *line)
{
    static char data[DATA_MAX];
    unsigned flags = 0, number = p->message_count;
    if (number == PLAY_MESSAGES)
        return;
    taps_message_context *context = message_of(line->words[0], &flags);
    size_t length = fill(data, number, line->numbers[0]);
    p->messages[p->message_count++] = (struct play_message){.length = length};
    int err = taps_connection_send(p->connection, data, length, context, flags, (void *)(uintptr_t)(number + 1));
    say(p, "Send %u, %zu bytes: %s", number + 1, length, taps_err_name(err));
    if (err)
        p->message_count--;
    taps_message_context_free(context);
}

static size_t or_all(uint64_t count)
{
    return count >= DATA_MAX ? SIZE_MAX : count;
}

static void act_on_connection(struct play *p, const struct script_line *line)
{
    switch (line->verb) {
    case SCRIPT_SEND:
        send_message(p, line);
        break;
    case SCRIPT_KEEP_RECEIVING:
    case SCRIPT_RECEIVE:
        say(p, "Receive");
        if (line->verb == SCRIPT_KEEP_RECEIVING) {
            p->keep_min = or_all(line->numbers[0]);
            p->keep_max = line->numbers[1];
        }
        taps_connection_receive(p->connection, or_all(line->numbers[0]), line->numbers[1], NULL);
        break;
    case SCRIPT_CLOSE:
        p->close_called = true;
        say(p, "Close: %s", taps_err_name(taps_connection_close(p->connection)));
        break;
    case SCRIPT_ABORT:
        p->abort_called = true;
        say(p, "Abort: %s", taps_err_name(taps_connection_abort(p->connection)));
        break;
    case SCRIPT_FREE:
        say(p, "Free");
        taps_connection_free(p->connection);
        p->connection = NULL;
        p->end = p->end ? p->end : PLAY_FREED;
        break;
    default:
        say(p, "Set %s: %s", line->words[0],
            taps_err_name(taps_connection_set_property(p->connection, line->words[0], line->words[1])));
        break;
    }
}

static void act(struct play *p, const struct script_line *line)
{
    if (line->verb == SCRIPT_FAIL_ALLOCATION) {
        p->fail_allocation = line->numbers[0];
    } else if (line->verb >= SCRIPT_SEND && line->verb <= SCRIPT_SET) {
        if (p->connection)
            act_on_connection(p, line);
    } else if (!stage_do(&p->stage, line)) {
        play_wrong(p, "%s", p->stage.problem);
    }
}

/* ------------------------------------------------------------------------------------------------- the beginning */

static bool set_properties(struct play *p)
{
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        if (line->verb != SCRIPT_PROPERTY)
            continue;
        int err = taps_transport_properties_set(p->properties, line->words[0], line->words[1]);
        if (err) {
            play_wrong(p, "line %u: %s", line->number, taps_err_text(err));
            return false;
        }
    }
    return true;
}

static bool set_security(struct play *p)
{
    const struct script_line *line = script_find(p->script, SCRIPT_SECURITY);
    const char *mode = line ? line->words[0] : "disabled";
    if (strcmp(mode, "disabled") == 0)
        return taps_security_parameters_new_disabled(&p->security) == 0;
    if (strcmp(mode, "opportunistic") == 0)
        return taps_security_parameters_new_opportunistic(&p->security) == 0;
    const char *pem = listen_authority();
    return strcmp(mode, "required") == 0 && taps_security_parameters_new(&p->security) == 0 &&
           taps_security_parameters_add_ca_pem(p->security, pem, strlen(pem)) == 0;
}

/* "example.test:80 protocol tcp interface eth0": the text, then names of identifiers and their values. */
static bool describe_endpoint(taps_endpoint *e, const char *rest)
{
    char name[80], value[80];
    while (script_next_word(&rest, name, sizeof(name))) {
        bool named = strcmp(name, "protocol") == 0 || strcmp(name, "interface") == 0 || strcmp(name, "address") == 0;
        if (named && !script_next_word(&rest, value, sizeof(value)))
            return false;
        int err = !named                           ? taps_endpoint_with_text(e, name)
                  : strcmp(name, "protocol") == 0  ? taps_endpoint_with_protocol(e, value)
                  : strcmp(name, "interface") == 0 ? taps_endpoint_with_interface(e, value)
                                                   : taps_endpoint_with_ip_address(e, value);
        if (err)
            return false;
    }
    return true;
}

static bool add_endpoints(struct play *p)
{
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        taps_endpoint *e = NULL;
        if (line->verb != SCRIPT_REMOTE && line->verb != SCRIPT_LOCAL)
            continue;
        bool remote = line->verb == SCRIPT_REMOTE;
        bool ok = (remote ? taps_remote_endpoint_new(&e) : taps_local_endpoint_new(&e)) == 0 &&
                  describe_endpoint(e, line->words[0]);
        if (ok)
            ok = (remote ? taps_preconnection_add_remote(p->preconnection, e)
                         : taps_preconnection_add_local(p->preconnection, e)) == 0;
        taps_endpoint_free(e);
        if (!ok) {
            play_wrong(p, "line %u: no such endpoint", line->number);
            return false;
        }
    }
    return true;
}

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

static struct tapsi_mem *platform_mem(void)
{
    static struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    return &mem;
}

static bool make_context(struct play *p)
{
    struct tapsi_platform *platform = NULL;
    const struct script_line *attempt = script_find(p->script, SCRIPT_ATTEMPT_DELAY);
    const struct script_line *resolution = script_find(p->script, SCRIPT_RESOLUTION_DELAY);
    const struct taps_allocator allocator = {counted, p};
    p->options.allocator = &allocator;
    p->options.attempt_delay_ms = attempt ? (uint32_t)(attempt->numbers[0] / TAPSI_SIM_MS) : 0;
    p->options.resolution_delay_ms = resolution ? (uint32_t)(resolution->numbers[0] / TAPSI_SIM_MS) : 0;
    if (tapsi_sim_platform_new(stage_host(&p->stage, "client"), platform_mem(), &platform) ||
        tapsi_context_new(&p->options, platform, &p->context)) {
        play_wrong(p, "no context");
        return false;
    }
    tapsi_sim_attach(p->stage.sim, platform, pump, p->context);
    tapsi_loop_embed(&p->context->loop);
    taps_preconnection_new(p->context, &p->preconnection);
    taps_transport_properties_new(&p->properties);
    if (!set_properties(p) || !set_security(p) || !add_endpoints(p))
        return false;
    taps_preconnection_set_transport_properties(p->preconnection, p->properties);
    taps_preconnection_set_security_parameters(p->preconnection, p->security);
    return true;
}

static void begin(struct play *p, const struct script_line *line)
{
    p->timeout = line->numbers[0];
    uint64_t timeout_ms = (line->numbers[0] + TAPSI_SIM_MS - 1) / TAPSI_SIM_MS;
    int err;
    p->begun = tapsi_sim_now(p->stage.sim);
    p->began = true;
    stage_plan(&p->stage, p->script);
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *l = &p->script->lines[i];
        if (l->when == SCRIPT_FROM_THE_START && (l->verb == SCRIPT_FAIL_CALL || l->verb == SCRIPT_FAIL_ALLOCATION))
            act(p, l);
    }
    if (line->verb == SCRIPT_INITIATE_SENDING) {
        static char data[DATA_MAX];
        size_t length = fill(data, 0, line->numbers[1]);
        p->messages[0].length = length;
        p->message_count = 1;
        err = taps_preconnection_initiate_with_send(p->preconnection, timeout_ms, &events, p, data, length, NULL, 0,
                                                    (void *)(uintptr_t)1, &p->connection);
    } else {
        err = taps_preconnection_initiate(p->preconnection, timeout_ms, &events, p, &p->connection);
    }
    if (err) {
        const struct taps_error *error = taps_preconnection_error(p->preconnection);
        if (error->code != err && err != TAPS_E_MEMORY)
            play_wrong(p, "Initiate says %s, and taps_preconnection_error %s", taps_err_name(err),
                       taps_err_name(error->code));
        over(p, PLAY_REFUSED, error);
        p->code = err;
    }
}

/* --------------------------------------------------------------------------------------------------- going on */

/* Until `until` ns after Initiate, or `done`. */
static bool run_until(struct play *p, uint64_t until, bool (*done)(const struct play *))
{
    unsigned turns = 0;
    uint64_t before = 0;
    while (elapsed(p) < until && !(done && done(p))) {
        uint64_t left = (until - elapsed(p) + TAPSI_SIM_MS - 1) / TAPSI_SIM_MS;
        taps_context_run_once(p->context, left < 1000 ? (int)left : 1000);
        turns = elapsed(p) == before ? turns + 1 : 0;
        before = elapsed(p);
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
                act(p, &p->script->lines[i]);
        }
    }
    return true;
}

static void come_to_an_end(struct play *p)
{
    if (!run_until(p, p->timeout + TAPSI_SIM_S, is_decided) || !run_until(p, elapsed(p) + CALM, has_ended))
        return;
    if (!is_decided(p))
        play_wrong(p, "neither Ready nor EstablishmentError within the timeout");
    if (p->connection && !p->end) {
        p->close_called = true;
        say(p, "Close at last: %s", taps_err_name(taps_connection_close(p->connection)));
    }
    uint64_t limit = script_find(p->script, SCRIPT_LOSS) ? LOSSY_LIMIT : END_LIMIT;
    run_until(p, elapsed(p) + limit, has_ended);
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
    p->whole_datagrams = keeps && keeps->numbers[1] >= DATA_MAX && !script_find(script, SCRIPT_RECEIVE);
    bool built = stage_build(&p->stage, script);
    tapsi_sim_trace(p->stage.sim, on_packet, p);
    if (!built || !initiate)
        play_wrong(p, "%s", built ? "no \"initiate\"" : p->stage.problem);
    else if (make_context(p)) {
        if (p->stage.service_count)
            tapsi_sim_run(p->stage.sim, tapsi_sim_now(p->stage.sim) + TAPSI_SIM_MS); /* Listeners begin */
        begin(p, initiate);
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
