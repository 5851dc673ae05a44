/* When which addresses of the Remote Endpoints are known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reference_parts.h"

/* When the answer to a query of this type is there, and what is in it. */
static void ask(struct race *r, struct name *name, const char *host, int type)
{
    static const char *const types[] = {"AAAA", "A"};
    const struct script_line *server = script_find(r->script, SCRIPT_NAMESERVER);
    union tapsi_addr address;
    bool failed = false;
    name->asked[type] = true;
    name->answer[type] = NEVER;
    if (!server || !reference_parse(server->words[0], &address))
        return;
    const struct reference_interface *out = reference_route(r->client, &address);
    struct trip trip = {.arrives = false};
    if (out)
        trip = reference_trip(r->script, out, &address);
    if (!trip.arrives || strcmp(trip.fault, "none") != 0) {
        r->result->known = false;
        return;
    }
    name->answer[type] = trip.there + trip.back;
    for (unsigned i = 0; i < r->script->count; i++) {
        const struct script_line *line = &r->script->lines[i];
        if ((line->verb != SCRIPT_DNS && line->verb != SCRIPT_DNS_FAILS) || strcmp(line->words[0], host) != 0 ||
            strcmp(line->words[1], types[type]) != 0)
            continue;
        name->answer[type] = trip.there + trip.back + line->numbers[0];
        failed |= line->verb == SCRIPT_DNS_FAILS;
        if (line->verb == SCRIPT_DNS_FAILS && strcmp(line->words[2], "never") == 0)
            name->answer[type] = NEVER; /* the queries after it are too late to matter: see known_until */
        else if (line->verb == SCRIPT_DNS_FAILS && strcmp(line->words[2], "empty") != 0 &&
                 strcmp(line->words[2], "nxdomain") != 0)
            r->result->known = false; /* the server is asked again, or another is */
        const char *rest = line->verb == SCRIPT_DNS ? line->words[2] : "";
        char word[64];
        while (script_next_word(&rest, word, sizeof(word)) && name->counts[type] < REFERENCE_ADDRESSES) {
            if (reference_parse(word, &name->addresses[type][name->counts[type]]))
                name->counts[type]++;
        }
    }
    if (failed)
        name->counts[type] = 0;
}

/* "host:port", "[address]:port", "192.0.2.1:80". */
static void split(const char *text, char host[80], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':'), *end = colon;
    if (text[0] == '[') {
        text++;
        end = strchr(text, ']');
    }
    snprintf(host, 80, "%.*s", (int)(end - text), text);
    *ret_port = (uint16_t)atoi(colon + 1);
}

/* Which families are of use: those of the Local Endpoints' addresses, if all have one; only IPv6 has temporary ones. */
static void useful_families(const struct script *script, bool ret[2])
{
    bool every = true, any = false, mine[2] = {false, false};
    for (unsigned i = 0; i < script->count; i++) {
        const char *rest = script->lines[i].words[0];
        char word[80];
        bool has = false;
        if (script->lines[i].verb != SCRIPT_LOCAL)
            continue;
        any = true;
        while (script_next_word(&rest, word, sizeof(word))) {
            if (strcmp(word, "address") == 0 && script_next_word(&rest, word, sizeof(word))) {
                mine[strchr(word, ':') ? 0 : 1] = true;
                has = true;
            }
        }
        every &= has;
    }
    ret[0] = !any || !every || mine[0];
    ret[1] = !any || !every || mine[1];
    if ((!any || !every) && reference_wish(script, "useTemporaryLocalAddress") == 2)
        ret[1] = false;
}

void reference_add_name(struct race *r, const struct script_line *line)
{
    const char *rest = line->words[0];
    char text[80] = "", host[80], word[80];
    bool useful[2];
    if (r->name_count == REFERENCE_NAMES)
        return;
    struct name *name = &r->names[r->name_count++];
    script_next_word(&rest, text, sizeof(text));
    split(text, host, &name->port);
    while (script_next_word(&rest, word, sizeof(word))) {
        char *into = strcmp(word, "protocol") == 0 ? name->protocol : name->interface;
        script_next_word(&rest, into, into == name->protocol ? sizeof(name->protocol) : sizeof(name->interface));
    }
    name->release = NEVER;
    union tapsi_addr address;
    if (reference_parse(host, &address)) {
        int type = address.sa.sa_family == AF_INET6 ? 0 : 1;
        name->literal = name->released = true;
        name->addresses[type][0] = address;
        name->counts[type] = 1;
        return;
    }
    useful_families(r->script, useful);
    for (int type = 0; type < 2; type++) {
        if (useful[type])
            ask(r, name, host, type);
    }
}

bool reference_is_answered(const struct name *name, int type)
{
    return !name->asked[type] || name->answered[type];
}

bool reference_answers_are_due(const struct race *r)
{
    for (unsigned i = 0; i < r->name_count; i++) {
        if (!r->names[i].released || !reference_is_answered(&r->names[i], 0) || !reference_is_answered(&r->names[i], 1))
            return true;
    }
    return false;
}

/* RFC 8305, 3. */
void reference_release(struct race *r, struct name *name)
{
    bool has_aaaa = reference_is_answered(name, 0) && name->counts[0] > 0;
    if (name->released)
        return;
    if (reference_is_answered(name, 0) && (has_aaaa || reference_is_answered(name, 1)))
        name->released = true;
    else if (name->answered[1] && name->counts[1] && name->release == NEVER)
        name->release = r->now + r->resolution_delay;
}
