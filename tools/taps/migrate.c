/* SPDX-License-Identifier: MIT */
#include "migrate.h"

#include <string.h>

#include "complain.h"

enum { EVERY_MS = 1000, PATIENCE_MS = 3000, AGAIN_MS = 10 };

int migrate_take(struct options *options, const char *value)
{
    return options_append(&options->migrate_to, "--migrate-to", value);
}

/* What is no address is an interface. */
static int make(const char *where, taps_endpoint **ret)
{
    taps_endpoint *endpoint;
    int error = taps_local_endpoint_new(&endpoint);

    if (error < 0)
        return error;
    error = taps_endpoint_with_ip_address(endpoint, where);
    if (error == TAPS_E_RANGE)
        error = taps_endpoint_with_interface(endpoint, where);
    if (error < 0)
        taps_endpoint_free(endpoint);
    else
        *ret = endpoint;
    return error;
}

static bool is_there(const taps_endpoint *now, const taps_endpoint *wanted)
{
    const char *address = taps_endpoint_ip_address(wanted), *interface = taps_endpoint_interface(wanted);
    const char *here = taps_endpoint_ip_address(now), *by = taps_endpoint_interface(now);

    if (address)
        return here && strcmp(address, here) == 0;
    return by && strcmp(interface, by) == 0;
}

static int leave(taps_connection *connection, const taps_endpoint *now)
{
    const taps_endpoint *old;
    taps_endpoint *copy;
    int error = make(taps_endpoint_ip_address(now), &copy);

    if (error < 0)
        return error;
    old = copy;
    error = taps_connection_remove_local(connection, &old, 1);
    taps_endpoint_free(copy);
    return error;
}

static int tell_failure(taps_connection *connection, const char *where, int error)
{
    complain("cannot move to %s: %s", where, taps_err_text(error));
    if (error == TAPS_E_NOT_APPLICABLE)
        complain_hint("%s stays on its path: only QUIC moves (with --alpn).", taps_connection_stack(connection));
    return FAILED;
}

int migrate_to(taps_connection *connection, const char *where)
{
    const taps_endpoint *now = taps_connection_local(connection), *one;
    taps_endpoint *wanted;
    int error = now ? make(where, &wanted) : TAPS_E_STATE;

    if (error < 0)
        return tell_failure(connection, where, error);
    one = wanted;
    if (!is_there(now, wanted)) {
        error = taps_connection_add_local(connection, &one, 1);
        if (error == 0)
            error = leave(connection, now);
    }
    taps_endpoint_free(wanted);
    return error < 0 ? tell_failure(connection, where, error) : DONE;
}

static size_t moves_of(taps_connection *connection)
{
    const taps_report *report = taps_connection_report(connection);
    struct taps_move_info last;
    size_t count = report ? taps_report_move_count(report) : 0;

    return count && taps_report_move(report, count - 1, &last) == 0 ? last.number : 0;
}

static bool is_due(const struct migrate *migrate, uint64_t done, uint64_t total, double now_ms)
{
    if (migrate->next >= migrate->to->count)
        return false;
    if (total == UINT64_MAX)
        return migrate->last_ms <= 0 || now_ms >= migrate->last_ms + EVERY_MS;
    return (double)done >= (double)total * (double)(migrate->next + 1) / (double)(migrate->to->count + 1);
}

static bool is_under_way(const struct migrate *migrate, taps_connection *connection, double now_ms)
{
    return migrate->last_ms > 0 && now_ms < migrate->last_ms + PATIENCE_MS && moves_of(connection) == migrate->moves;
}

double migrate_wait_ms(const struct migrate *migrate, uint64_t total, double now_ms)
{
    double wait = migrate->last_ms > 0 ? migrate->last_ms + EVERY_MS - now_ms : 0;

    if (total != UINT64_MAX || migrate->next >= migrate->to->count)
        return -1;
    return wait > 0 ? wait : migrate->last_ms > 0 ? AGAIN_MS : 0; /* it may be under way still */
}

int migrate_advance(struct migrate *migrate, taps_connection *connection, uint64_t done, uint64_t total, double now_ms)
{
    if (!is_due(migrate, done, total, now_ms) || is_under_way(migrate, connection, now_ms))
        return DONE;
    migrate->last_ms = now_ms;
    migrate->moves = moves_of(connection);
    return migrate_to(connection, migrate->to->items[migrate->next++]);
}

void migrate_tell(const struct migrate *migrate, taps_connection *connection)
{
    const taps_report *report = taps_connection_report(connection);
    size_t count = report ? taps_report_move_count(report) : 0;
    struct taps_move_info last;

    if (!migrate->to->count)
        return;
    if (count == 0 || taps_report_move(report, count - 1, &last) < 0)
        complain("it did not move");
    else
        complain("moved %u time%s, the last time to %s (%s), with the peer at %s", last.number,
                 last.number == 1 ? "" : "s", last.local, last.interface ? last.interface : "-", last.remote);
}
