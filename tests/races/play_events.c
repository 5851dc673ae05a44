/* What the application is told, kept for the checks, and what the script has for it. */
#include <stdlib.h>
#include <string.h>
#include "play.h"

/* After this the Connection may be gone. */
static void fire(struct play *p, enum script_event event)
{
    unsigned nth = ++p->occurrences[event];
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        if (line->when == SCRIPT_ON && line->event == event && line->nth == nth)
            play_act(p, line);
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
    p->ready_at = play_elapsed(p);
    p->sockets_at_ready = tapsi_sim_host_sockets(stage_host(&p->stage, "client"));
    snprintf(p->winner_stack, sizeof(p->winner_stack), "%s", taps_connection_stack(c));
    taps_endpoint_text(taps_connection_remote(c), p->winner_remote, sizeof(p->winner_remote));
    p->is_stream = strcmp(p->winner_stack, "udp") != 0;
    find_interface(p, c);
    play_say(p, "Ready: %s %s on %s", p->winner_stack, p->winner_remote, p->winner_interface);
    fire(p, SCRIPT_ON_READY);
}

void play_over(struct play *p, enum play_end end, const struct taps_error *error)
{
    static const char *const names[] = {"", "refused", "EstablishmentError", "Closed", "ConnectionError", "freed"};
    p->end = end;
    p->end_at = play_elapsed(p);
    if (error) {
        p->code = error->code;
        snprintf(p->detail, sizeof(p->detail), "%s", error->detail);
    }
    play_say(p, "%s%s%s %s", names[end], error ? ": " : "", error ? taps_err_name(error->code) : "",
             error ? error->detail : "");
    fire(p, SCRIPT_ON_END);
}

static void on_establishment_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    play_over(user, PLAY_ESTABLISHMENT_ERROR, error);
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    play_over(user, PLAY_CLOSED, NULL);
}

static void on_connection_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    play_over(user, PLAY_CONNECTION_ERROR, error);
}

/* A tag is the number of the Message, from 1. */
static struct play_message *told(struct play *p, void *tag, const char *event)
{
    unsigned number = (unsigned)(uintptr_t)tag;
    play_say(p, "%s %u", event, number);
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
        p->last_sent_at = play_elapsed(p);
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
    play_say(p, "Received %zu bytes%s", m->length, m->final ? ", the last" : "");
    if (p->is_stream)
        keep(p, m);
    else if (p->whole_datagrams && !m->end_of_message)
        play_wrong(p, "a part of a datagram came, and there was room for all of it");
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
    play_say(user, "ReceiveError: %s", error->detail);
    fire(user, SCRIPT_ON_RECEIVE_ERROR);
}

static void on_soft_error(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    play_say(user, "SoftError: %s", error->detail);
}

static void on_path_change(taps_connection *c, void *user)
{
    (void)c;
    play_say(user, "PathChange");
}

const struct taps_connection_events play_events = {.ready = on_ready,
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
