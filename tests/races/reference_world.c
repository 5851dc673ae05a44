/* Packets and the time they take, routes and servers, as the script has them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reference_parts.h"

const char *reference_security(const struct script *script)
{
    const struct script_line *line = script_find(script, SCRIPT_SECURITY);
    return line ? line->words[0] : "disabled";
}

bool reference_parse(const char *text, union tapsi_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    return tapsi_addr_parse(text, ret) == 0;
}

/* Does this interface (of any host) have the address in the script? */
bool reference_has_address(const struct script *script, const char *full_name, const union tapsi_addr *address)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        char word[64];
        union tapsi_addr a;
        if ((line->verb != SCRIPT_INTERFACE && line->verb != SCRIPT_ADDRESS) || strcmp(line->words[0], full_name) != 0)
            continue;
        const char *rest = line->verb == SCRIPT_INTERFACE ? line->words[2] : line->words[1];
        while (script_next_word(&rest, word, sizeof(word))) {
            word[strcspn(word, "/")] = 0;
            if (reference_parse(word, &a) && tapsi_addr_same_host(&a, address))
                return true;
        }
    }
    return false;
}

/* The link from `interface` to whoever has the address, or the interface's first link; NULL: it has none. */
static const struct script_line *link_to(const struct script *script, const struct reference_interface *interface,
                                         const union tapsi_addr *address, bool *ret_somebody)
{
    const struct script_line *first = NULL;
    *ret_somebody = false;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb != SCRIPT_LINK || strcmp(line->words[0], interface->full_name) != 0)
            continue;
        if (reference_has_address(script, line->words[1], address)) {
            *ret_somebody = true;
            return line;
        }
        first = first ? first : line;
    }
    return first;
}

static const struct script_line *about(const struct script *script, enum script_verb verb, const char *subject)
{
    const struct script_line *last = NULL;
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb == verb && line->when == SCRIPT_FROM_THE_START && strcmp(line->words[0], subject) == 0)
            last = line;
    }
    return last;
}

static const char *fault_of(const struct script *script, const struct reference_interface *interface,
                            const union tapsi_addr *address)
{
    char text[TAPSI_ADDR_TEXT];
    const struct script_line *line = about(script, SCRIPT_FAULT, interface->full_name);
    if (line && strcmp(line->words[1], "none") != 0)
        return line->words[1];
    line = about(script, SCRIPT_FAULT, tapsi_addr_text(address, text)); /* the port's own goes before the host's */
    if (!line)
        line = about(script, SCRIPT_FAULT, tapsi_addr_host_text(address, text));
    return line ? line->words[1] : "none";
}

/* From the interface to the address and back. */
struct trip reference_trip(const struct script *script, const struct reference_interface *interface,
                           const union tapsi_addr *address)
{
    char text[TAPSI_ADDR_TEXT];
    struct trip trip = {.arrives = false, .fault = fault_of(script, interface, address)};
    const struct script_line *link = link_to(script, interface, address, &trip.arrives);
    const struct script_line *slow = about(script, SCRIPT_SLOW, tapsi_addr_host_text(address, text));
    const struct script_line *delay = about(script, SCRIPT_DELAY, interface->full_name);
    if (!link)
        return trip;
    trip.back = delay ? delay->numbers[0] : link->numbers[0];
    trip.there = trip.back + (slow ? slow->numbers[0] : 0);
    return trip;
}

bool reference_has_family(const struct reference_interface *interface, int family)
{
    for (unsigned i = 0; i < interface->address_count; i++) {
        const union tapsi_addr *a = &interface->addresses[i].address;
        if (a->sa.sa_family == family && !tapsi_addr_is_link_local(a))
            return true;
    }
    return false;
}

/* Which interface the system itself would take: the longest prefix, then the lowest metric. */
const struct reference_interface *reference_route(const struct reference_client *client, const union tapsi_addr *to)
{
    const struct reference_interface *best = NULL;
    unsigned best_bits = 0;
    for (unsigned i = 0; i < client->count; i++) {
        const struct reference_interface *interface = &client->interfaces[i];
        if (!interface->up || !reference_has_family(interface, to->sa.sa_family))
            continue;
        unsigned bits = 0;
        for (unsigned k = 0; k < interface->address_count; k++) {
            const struct reference_address *a = &interface->addresses[k];
            if (a->address.sa.sa_family == to->sa.sa_family && a->bits > bits &&
                tapsi_addr_in_prefix(to, &a->address, a->bits))
                bits = a->bits;
        }
        if (!best || bits > best_bits) {
            best = interface;
            best_bits = bits;
        }
    }
    return best;
}

const char *reference_service(const struct script *script, uint16_t port, bool datagrams)
{
    for (unsigned i = 0; i < script->count; i++) {
        const struct script_line *line = &script->lines[i];
        if (line->verb == SCRIPT_SERVE && line->numbers[0] == port) {
            bool is_datagrams = !strcmp(line->words[1], "udp-echo") || !strcmp(line->words[1], "datagrams");
            if (is_datagrams == datagrams)
                return line->words[1];
        }
    }
    return NULL;
}

uint64_t reference_time(const struct script *script, enum script_verb verb, uint64_t normal)
{
    const struct script_line *line = script_find(script, verb);
    return line ? line->numbers[0] : normal;
}

uint64_t reference_timeout(const struct script *script)
{
    const struct script_line *a = script_find(script, SCRIPT_INITIATE);
    const struct script_line *b = script_find(script, SCRIPT_INITIATE_SENDING);
    uint64_t timeout = a ? a->numbers[0] : b ? b->numbers[0] : 0;
    return timeout ? timeout : 30000 * MS;
}
