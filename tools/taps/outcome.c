/* SPDX-License-Identifier: MIT */
#include "outcome.h"

#include <stdio.h>
#include <string.h>

#include "certificate.h"
#include "text.h"

/* --------------------------------------------------------------------------------------------------------- security */

/* False beyond the last; one that GnuTLS cannot read has "?" for everything. */
static bool look_at(const taps_connection *connection, unsigned index, struct certificate_look *ret_look)
{
    size_t length;
    const void *der = taps_connection_peer_certificate(connection, index, &length);

    if (!der)
        return false;
    if (certificate_look(der, length, ret_look) < 0)
        *ret_look = (struct certificate_look){"?", "?", "?", "?", ""};
    return true;
}

static void json_certificates(struct json *json, const taps_connection *connection)
{
    struct certificate_look look;

    json_open(json, "certificates", '[');
    for (unsigned i = 0; look_at(connection, i, &look); i++) {
        json_open(json, NULL, '{');
        json_text(json, "subject", look.subject);
        json_text(json, "issuer", look.issuer);
        json_text(json, "not_before", look.from);
        json_text(json, "not_after", look.until);
        json_text(json, "pin", *look.pin ? look.pin : NULL);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void outcome_json_security(struct json *json, const taps_connection *connection)
{
    struct taps_security_info info;

    if (!connection || taps_connection_security_info(connection, &info) < 0) {
        json_text(json, "security", NULL);
        return;
    }
    json_open(json, "security", '{');
    json_text(json, "protocol", info.protocol);
    json_text(json, "cipher", info.cipher);
    json_text(json, "group", info.group);
    json_text(json, "signature", info.signature);
    json_boolean(json, "authenticated", info.authenticated);
    json_text(json, "alpn", taps_connection_alpn(connection));
    json_boolean(json, "resumed", taps_connection_resumed(connection));
    json_boolean(json, "early_data", taps_connection_early_data(connection));
    json_certificates(json, connection);
    json_close(json, '}');
}

static void row(const struct term *term, const char *name, const char *text)
{
    enum { COLUMN = 18 };

    fputs("  ", term->out);
    term_pad(term, name, COLUMN - 3);
    fputc(' ', term->out);
    term_wrap(term, text, COLUMN);
}

static void text_certificates(const struct term *term, const taps_connection *connection)
{
    struct certificate_look look;
    char name[32], line[800];

    for (unsigned i = 0; look_at(connection, i, &look); i++) {
        snprintf(name, sizeof name, "certificate %u", i + 1);
        row(term, name, look.subject);
        snprintf(line, sizeof line, "issued by %s, valid until %s", look.issuer, look.until);
        row(term, "", line);
        if (*look.pin)
            row(term, "", look.pin);
    }
}

void outcome_text_security(const struct term *term, const taps_connection *connection)
{
    const char *alpn = taps_connection_alpn(connection);
    struct taps_security_info info;

    if (taps_connection_security_info(connection, &info) < 0)
        return;
    term_heading(term, "Security");
    row(term, "protocol", info.protocol ? info.protocol : "?");
    if (info.cipher)
        row(term, "cipher", info.cipher);
    if (info.group)
        row(term, "key exchange", info.group);
    if (info.signature)
        row(term, "signature", info.signature);
    row(term, "ALPN", alpn ? alpn : "none");
    row(term, "peer", info.authenticated ? "verified" : "not verified");
    row(term, "session", taps_connection_resumed(connection) ? "resumed" : "new");
    row(term, "early data", taps_connection_early_data(connection) ? "taken" : "none");
    text_certificates(term, connection);
}

/* ------------------------------------------------------------------------------------------------------------- race */

enum { STACKS_MAX = 16 };

struct race {
    struct taps_candidate_info best[STACKS_MAX]; /* of each stack: the one that came furthest */
    size_t count;
};

static int rank(enum taps_candidate_state state)
{
    switch (state) {
    case TAPS_CANDIDATE_WON:
        return 4;
    case TAPS_CANDIDATE_ACTIVE:
    case TAPS_CANDIDATE_CANCELLED:
        return 3;
    case TAPS_CANDIDATE_FAILED:
        return 2;
    case TAPS_CANDIDATE_NOT_STARTED:
        return 1;
    case TAPS_CANDIDATE_PRUNED:
        break;
    }
    return 0;
}

static void add(struct race *race, const struct taps_candidate_info *info)
{
    size_t i = 0;

    while (i < race->count && strcmp(race->best[i].stack, info->stack) != 0)
        i++;
    if (i == STACKS_MAX)
        return;
    if (i == race->count)
        race->best[race->count++] = *info;
    else if (rank(info->state) > rank(race->best[i].state))
        race->best[i] = *info;
}

/* A stack whose turn has not come has no addresses yet. */
static bool runs(const struct taps_candidate_info *info)
{
    return info->kind == TAPS_CANDIDATE_ENDPOINT ||
           (info->kind == TAPS_CANDIDATE_PROTOCOL && info->state == TAPS_CANDIDATE_NOT_STARTED);
}

static struct race race_of(const taps_report *report)
{
    size_t count = report ? taps_report_candidate_count(report) : 0;
    struct race race = {.count = 0};

    for (size_t i = 0; i < count; i++) {
        struct taps_candidate_info info;

        if (taps_report_candidate(report, i, &info) == 0 && info.stack && runs(&info))
            add(&race, &info);
    }
    return race;
}

void outcome_json_race(struct json *json, const taps_report *report)
{
    struct race race = race_of(report);

    json_open(json, "race", '[');
    for (size_t i = 0; i < race.count; i++) {
        const struct taps_candidate_info *info = &race.best[i];

        json_open(json, NULL, '{');
        json_text(json, "stack", info->stack);
        json_text(json, "candidate", info->id);
        json_text(json, "state", taps_candidate_state_name(info->state));
        json_ms(json, "start_ms", info->start_ms);
        json_ms(json, "end_ms", info->end_ms);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static enum ink ink_of(enum taps_candidate_state state)
{
    return state == TAPS_CANDIDATE_WON ? INK_GOOD : state == TAPS_CANDIDATE_FAILED ? INK_BAD : INK_WAIT;
}

void outcome_text_race(const struct term *term, const taps_report *report)
{
    struct race race = race_of(report);
    char start[32], end[32], line[200];

    if (race.count < 2)
        return;
    term_heading(term, "Race");
    for (size_t i = 0; i < race.count; i++) {
        const struct taps_candidate_info *info = &race.best[i];
        bool ended = info->end_ms >= 0;

        if (info->start_ms < 0)
            snprintf(line, sizeof line, "%s", taps_candidate_state_name(info->state));
        else
            snprintf(line, sizeof line, "%s, started at %s%s%s", taps_candidate_state_name(info->state),
                     text_ms(info->start_ms, start, sizeof start), ended ? ", ended at " : "",
                     ended ? text_ms(info->end_ms, end, sizeof end) : "");
        fputs("  ", term->out);
        term_pad(term, info->stack, 16);
        fputc(' ', term->out);
        fputs(term_ink(term, ink_of(info->state)), term->out);
        term_wrap_beside(term, line, 19, "", ink_of(info->state));
    }
}
