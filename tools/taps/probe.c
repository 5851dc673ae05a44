/*
 * taps probe: connects, tells why the connection went the way it did, and closes it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include <taps/taps.h>

#include "command.h"
#include "complain.h"
#include "json.h"
#include "migrate.h"
#include "options.h"
#include "outcome.h"
#include "term.h"
#include "text.h"

struct probe {
    struct options options;
    bool json;
    taps_connection *connection;
    taps_preconnection *preconnection;
    const char *target;
    bool established, over, closed, changed; /* changed: its path */
    struct taps_error error;                 /* with `detail` */
    char detail[1024];
};

static void keep_error(struct probe *probe, const struct taps_error *error)
{
    probe->error = *error;
    snprintf(probe->detail, sizeof probe->detail, "%s", error->detail);
    probe->error.detail = probe->detail;
}

static void on_ready(taps_connection *connection, void *user)
{
    struct probe *probe = user;

    (void)connection;
    probe->established = true;
    probe->over = true;
}

static void on_establishment_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    struct probe *probe = user;

    (void)connection;
    keep_error(probe, error);
    probe->over = true;
    probe->closed = true;
}

static void on_closed(taps_connection *connection, void *user)
{
    (void)connection;
    ((struct probe *)user)->closed = true;
}

static void on_connection_error(taps_connection *connection, const struct taps_error *error, void *user)
{
    (void)connection;
    (void)error;
    ((struct probe *)user)->closed = true;
}

static void on_path_change(taps_connection *connection, void *user)
{
    (void)connection;
    ((struct probe *)user)->changed = true;
}

static const struct taps_connection_events events = {
    .path_change = on_path_change,
    .ready = on_ready,
    .establishment_error = on_establishment_error,
    .closed = on_closed,
    .connection_error = on_connection_error,
};

/* The report of the race, or of the refusal if there was none. */
static const taps_report *report_of(const struct probe *probe)
{
    return probe->connection ? taps_connection_report(probe->connection)
                             : taps_preconnection_report(probe->preconnection);
}

/* ----------------------------------------------------------------------------------------------------- JSON */

static bool is_candidate(const struct taps_candidate_info *info)
{
    return info->kind == TAPS_CANDIDATE_ENDPOINT || info->state == TAPS_CANDIDATE_PRUNED;
}

static void json_candidates(struct json *json, const taps_report *report)
{
    size_t count = report ? taps_report_candidate_count(report) : 0;

    json_open(json, "candidates", '[');
    for (size_t i = 0; i < count; i++) {
        struct taps_candidate_info info;

        if (taps_report_candidate(report, i, &info) < 0 || !is_candidate(&info))
            continue;
        json_open(json, NULL, '{');
        json_text(json, "id", info.id);
        json_text(json, "stack", info.stack);
        json_text(json, "remote", info.remote);
        json_text(json, "local", info.local);
        json_text(json, "interface", info.interface);
        json_text(json, "state", taps_candidate_state_name(info.state));
        json_ms(json, "start_ms", info.start_ms);
        json_ms(json, "end_ms", info.end_ms);
        json_text(json, "reason", info.reason);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void json_resolutions(struct json *json, const taps_report *report)
{
    size_t count = report ? taps_report_resolution_count(report) : 0;

    json_open(json, "resolutions", '[');
    for (size_t i = 0; i < count; i++) {
        struct taps_resolution_info info;

        if (taps_report_resolution(report, i, &info) < 0)
            continue;
        json_open(json, NULL, '{');
        json_text(json, "name", info.name);
        json_text(json, "type", info.type);
        json_ms(json, "start_ms", info.start_ms);
        json_ms(json, "end_ms", info.end_ms);
        json_integer(json, "count", info.count);
        json_text(json, "reason", info.reason);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Booleans and numbers as such; everything that is a word ("disabled", "unlimited", "require") as text. */
static void json_property(struct json *json, const char *name, const struct taps_value *value, const char *text)
{
    if (value && value->type == TAPS_TYPE_BOOLEAN)
        json_boolean(json, name, value->boolean);
    else if (value && value->type == TAPS_TYPE_INTEGER && value->integer != TAPS_INFINITE)
        json_integer(json, name, value->integer);
    else if (value && value->type == TAPS_TYPE_NUMBER && value->number >= 0)
        json_number(json, name, value->number);
    else
        json_text(json, name, text);
}

/* The properties of the Connection; where there is none, those that were asked for. */
static int json_properties(struct json *json, const struct probe *probe)
{
    taps_transport_properties *asked = NULL;

    if (!probe->established && options_properties(&probe->options, false, &asked) != DONE)
        return FAILED;
    json_open(json, "properties", '{');
    for (enum taps_property i = 1; i < TAPS_PROPERTY_COUNT; i++) {
        const struct taps_property_info *info = taps_property_info(i);
        struct taps_value value;
        char text[512];
        int error, has;

        if (!info || (asked && info->scope == TAPS_SCOPE_READ_ONLY))
            continue;
        has = asked ? taps_transport_properties_get(asked, i, &value)
                    : taps_connection_get_value(probe->connection, i, &value);
        error = asked ? taps_transport_properties_get_text(asked, i, text, sizeof text)
                      : taps_connection_get_property(probe->connection, info->name, text, sizeof text);
        json_property(json, info->name, has < 0 ? NULL : &value, error < 0 ? NULL : text);
    }
    json_close(json, '}');
    taps_transport_properties_free(asked);
    return DONE;
}

/* Empty where there is no Connection; those that its protocols do not have are left out. */
static void json_statistics(struct json *json, const struct probe *probe)
{
    uint64_t values[TAPS_STATISTIC_COUNT];
    int known = probe->established ? taps_connection_statistics(probe->connection, values, TAPS_STATISTIC_COUNT) : 0;

    json_open(json, "statistics", '{');
    for (int i = 0; known > 0 && i < TAPS_STATISTIC_COUNT; i++) {
        if (values[i] != TAPS_UNKNOWN)
            json_integer(json, taps_statistic_name((enum taps_statistic)i), values[i]);
    }
    json_close(json, '}');
}

static const char *find_chosen(const taps_report *report)
{
    size_t count = report ? taps_report_candidate_count(report) : 0;

    for (size_t i = 0; i < count; i++) {
        struct taps_candidate_info info;

        if (taps_report_candidate(report, i, &info) == 0 && info.kind == TAPS_CANDIDATE_ENDPOINT &&
            info.state == TAPS_CANDIDATE_WON)
            return info.id;
    }
    return NULL;
}

/* As they were given, the last one the outermost. */
static void json_framers(struct json *json, const struct probe *probe)
{
    json_open(json, "framers", '[');
    for (size_t i = 0; i < probe->options.framers.count; i++)
        json_text(json, NULL, probe->options.framers.items[i]);
    json_close(json, ']');
}

static int print_json(const struct probe *probe)
{
    const taps_report *report = report_of(probe);
    struct json json;
    int code;

    json_init(&json, stdout);
    json_open(&json, NULL, '{');
    json_text(&json, "result", probe->established ? "established" : "error");
    if (probe->established) {
        json_text(&json, "error", NULL);
    } else {
        json_open(&json, "error", '{');
        json_text(&json, "reason", taps_reason_name(probe->error.reason));
        json_text(&json, "detail", probe->error.detail);
        json_close(&json, '}');
    }
    json_ms(&json, "ready_ms", report && probe->established ? taps_report_ready_ms(report) : -1);
    json_text(&json, "chosen", probe->established ? find_chosen(report) : NULL);
    outcome_json_security(&json, probe->established ? probe->connection : NULL);
    outcome_json_race(&json, report);
    json_framers(&json, probe);
    json_candidates(&json, report);
    json_resolutions(&json, report);
    code = json_properties(&json, probe);
    json_statistics(&json, probe);
    json_close(&json, '}');
    json_end(&json);
    return code;
}

/* ----------------------------------------------------------------------------------------------------- text */

static void print_property(const struct term *term, const char *name, const char *text, int width)
{
    fputs("  ", term->out);
    term_pad(term, name, width / 2 - 1);
    fputc(' ', term->out);
    term_pad(term, *text ? text : "-", width - width / 2 - 2);
}

static void print_scope(const struct term *term, taps_connection *connection, enum taps_scope scope, const char *title)
{
    enum { COLUMN = 52 };
    int columns = term->width / COLUMN > 0 ? term->width / COLUMN : 1, at = 0;

    term_heading(term, title);
    for (enum taps_property i = 1; i < TAPS_PROPERTY_COUNT; i++) {
        const struct taps_property_info *info = taps_property_info(i);
        struct taps_value value;
        char text[256];

        if (!info || info->scope != scope)
            continue;
        if (taps_connection_get_property(connection, info->name, text, sizeof text) < 0)
            continue;
        if (scope == TAPS_SCOPE_SELECTION && taps_connection_get_value(connection, i, &value) == 0 &&
            value.type == TAPS_TYPE_BOOLEAN)
            snprintf(text, sizeof text, "%s", value.boolean ? "yes" : "no");
        print_property(term, info->name, text, term->width / columns);
        if (++at % columns == 0)
            fputc('\n', term->out);
    }
    if (at % columns != 0)
        fputc('\n', term->out);
}

static void print_statistics(const struct term *term, const taps_connection *connection)
{
    enum { COLUMN = 52 };
    int columns = term->width / COLUMN > 0 ? term->width / COLUMN : 1, at = 0;
    uint64_t values[TAPS_STATISTIC_COUNT];

    if (taps_connection_statistics(connection, values, TAPS_STATISTIC_COUNT) <= 0)
        return;
    term_heading(term, "Statistics");
    for (int i = 0; i < TAPS_STATISTIC_COUNT; i++) {
        char text[32];

        if (values[i] == TAPS_UNKNOWN)
            continue;
        snprintf(text, sizeof text, "%llu", (unsigned long long)values[i]);
        print_property(term, taps_statistic_name((enum taps_statistic)i), text, term->width / columns);
        if (++at % columns == 0)
            fputc('\n', term->out);
    }
    if (at % columns != 0)
        fputc('\n', term->out);
}

static void print_framers(const struct term *term, const struct probe *probe)
{
    const struct options_list *framers = &probe->options.framers;

    for (size_t i = framers->count; i > 0; i--) {
        fprintf(term->out, "  %s ", term_glyph(term, GLYPH_DOT));
        term_put(term, framers->items[i - 1], term->width - 30);
        fputs(i == framers->count ? " frames its Messages\n" : " frames those of the one above\n", term->out);
    }
}

static void print_text(const struct probe *probe)
{
    const taps_report *report = report_of(probe);
    struct term term;

    term_init(&term, stdout);
    printf("%staps probe%s ", term_ink(&term, INK_HEAD), term_ink(&term, INK_PLAIN));
    term_put(&term, probe->target, term.width - (int)sizeof "taps probe");
    fputc('\n', stdout);
    if (report) {
        text_resolutions(&term, report);
        text_tree(&term, report, true);
        text_timeline(&term, report);
        outcome_text_race(&term, report);
    }
    term_heading(&term, "Result");
    if (!probe->established) {
        printf("  %s%s %s:%s ", term_ink(&term, INK_BAD), term_glyph(&term, GLYPH_BAD),
               taps_reason_name(probe->error.reason), term_ink(&term, INK_PLAIN));
        term_wrap(&term, probe->error.detail, 4);
        return;
    }
    text_chosen(&term, probe->connection);
    print_framers(&term, probe);
    outcome_text_security(&term, probe->connection);
    print_scope(&term, probe->connection, TAPS_SCOPE_SELECTION, "What the stack and the path have");
    print_scope(&term, probe->connection, TAPS_SCOPE_CONNECTION, "Connection properties");
    print_scope(&term, probe->connection, TAPS_SCOPE_READ_ONLY, "State and limits");
    print_statistics(&term, probe->connection);
    print_scope(&term, probe->connection, TAPS_SCOPE_MESSAGE, "Defaults of Messages");
}

/* ---------------------------------------------------------------------------------------------------- course */

static int wait_until(taps_context *context, const bool *flag, double limit_ms)
{
    double end = limit_ms < 0 ? -1 : taps_context_now_ms(context) + limit_ms;

    while (!*flag) {
        int timeout = end < 0 ? -1 : (int)(end - taps_context_now_ms(context)) + 1;
        int more = end >= 0 && timeout <= 0 ? 0 : taps_context_run_once(context, timeout);

        if (more < 0)
            return more;
        if (more == 0)
            return 0;
    }
    return 0;
}

/* A ticket comes some time after the handshake, and only with a file is it of any use. Nothing tells that it has come:
   some round trips are time enough. */
static void wait_for_ticket(struct probe *probe, taps_context *context)
{
    enum { LEAST_MS = 20, MOST_MS = 1000, TRIPS = 4 };
    uint64_t values[TAPS_STATISTIC_COUNT];
    double limit = LEAST_MS;

    if (!probe->options.session_file || taps_connection_receive(probe->connection, 1, SIZE_MAX, NULL) < 0)
        return;
    if (taps_connection_statistics(probe->connection, values, TAPS_STATISTIC_COUNT) > TAPS_ROUND_TRIP_US &&
        values[TAPS_ROUND_TRIP_US] != TAPS_UNKNOWN)
        limit += TRIPS * (double)values[TAPS_ROUND_TRIP_US] / 1000;
    wait_until(context, &probe->closed, limit > MOST_MS ? MOST_MS : limit);
}

static size_t moves_of(const struct probe *probe)
{
    const taps_report *report = taps_connection_report(probe->connection);

    return report ? taps_report_move_count(report) : 0;
}

/* One after the other: the next when it has moved, or time is over. */
static int move(struct probe *probe, taps_context *context)
{
    enum { PATIENCE_MS = 5000 };
    const struct options_list *to = &probe->options.migrate_to;
    struct migrate migrate = {.to = to};
    int code = DONE;

    for (size_t i = 0; i < to->count && code == DONE && !probe->closed; i++) {
        size_t moves = moves_of(probe);
        double end = taps_context_now_ms(context) + PATIENCE_MS;

        code = migrate_to(probe->connection, to->items[i]);
        while (code == DONE && !probe->closed && moves_of(probe) == moves && end > taps_context_now_ms(context)) {
            probe->changed = false;
            wait_until(context, &probe->changed, end - taps_context_now_ms(context));
        }
    }
    migrate_tell(&migrate, probe->connection);
    return code;
}

static int run_probe(struct probe *probe, taps_context *context)
{
    enum { GOODBYE_MS = 500 };
    char what[512];
    int code, error = taps_preconnection_initiate(probe->preconnection, probe->options.timeout_ms, &events, probe,
                                                  &probe->connection);

    if (error < 0) {
        const struct taps_error *why = taps_preconnection_error(probe->preconnection);
        struct taps_error plain = {.code = error, .reason = taps_err_reason(error), .detail = taps_err_text(error)};

        keep_error(probe, why && why->code ? why : &plain);
    } else {
        error = wait_until(context, &probe->over, -1);
        if (error < 0 || !probe->over)
            return complain_code("wait for the connection", error < 0 ? error : TAPS_E_STATE);
    }
    code = DONE;
    if (probe->json)
        code = print_json(probe);
    else
        print_text(probe);
    if (finish_output() != DONE)
        code = FAILED;
    if (!probe->established) {
        snprintf(what, sizeof what, "connect to %s", probe->target);
        return complain_error(what, &probe->error);
    }
    wait_for_ticket(probe, context);
    if (move(probe, context) != DONE)
        code = FAILED;
    if (taps_connection_close(probe->connection) == 0)
        wait_until(context, &probe->closed, GOODBYE_MS);
    return code;
}

static int take_migrate_to(void *target, const char *value)
{
    return migrate_take(&((struct probe *)target)->options, value);
}

static int take_json(void *target, const char *value)
{
    (void)value;
    ((struct probe *)target)->json = true;
    return DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct probe probe = {0};
    taps_context *context = NULL;
    int code = options_parse(&probe.options, &probe, command, argc, argv);

    if (code != OPTIONS_RUN)
        return code;
    if (probe.options.argument_count != 1)
        return complain_usage(probe.options.argument_count ? "one HOST:PORT at a time" : "HOST:PORT is missing");
    probe.target = probe.options.arguments[0];
    code = options_context(&probe.options, &context);
    if (code == DONE)
        code = options_preconnection(&probe.options, context, probe.target, false, false, &probe.preconnection);
    if (code == DONE)
        code = run_probe(&probe, context);
    taps_connection_free(probe.connection);
    taps_preconnection_free(probe.preconnection);
    taps_context_free(context);
    return code;
}

static const struct option_row rows[] = {
    {'j', "json", NULL, "one JSON object instead of text", take_json},
    {0, "migrate-to", "WHERE",
     "then move to this address or interface (quic; multipath is active), and say where it is; repeatable: one after "
     "the other",
     take_migrate_to},
    {0, NULL, NULL, NULL, NULL},
};

const struct command probe_command = {
    .name = "probe",
    .arguments = "HOST:PORT|SERVICE",
    .summary = "connect, and show why it went the way it did",
    .description =
        "Resolves the name, gathers the candidates, races them, and shows the tree, a timeline, the race between\n"
        "stacks, what was chosen, what the handshake has agreed on with the peer's certificates, and every\n"
        "property of the connection. Nothing is sent but what the handshakes need.\n"
        "\n"
        "  taps probe example.org:https\n"
        "  taps probe --alpn h3,h2 example.org:443\n"
        "  taps probe --json --timeout 3 [2001:db8::1]:443\n"
        "  taps probe --security disabled --profile unreliable-datagram 192.0.2.1:53\n"
        "\n"
        "In JSON, `properties` are those of the connection, or those asked for if there is none.\n",
    .options = rows,
    .common = true,
    .run = run,
};
