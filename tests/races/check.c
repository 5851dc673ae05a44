/* What is wrong with a race that was played: by the rules that hold for every race, by the reference, by the script. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "play.h"
#include "reference.h"

#define MS    1e6
#define SLACK (2 * TAPSI_SIM_MS) /* a deadline is kept to the turn of the loop */

static bool has(const struct play *p, enum script_verb verb)
{
    return script_find(p->script, verb) != NULL;
}

/* -------------------------------------------------------------------------------------------------------- all races */

static void check_times(struct play *p)
{
    uint64_t timeout = (p->timeout ? p->timeout : 30 * TAPSI_SIM_S) + p->leaps;
    if (p->is_ready && p->ready_at > timeout + SLACK)
        play_wrong(p, "Ready at %.3f ms, after the timeout", (double)p->ready_at / MS);
    if (p->end == PLAY_ESTABLISHMENT_ERROR && p->end_at > timeout + SLACK)
        play_wrong(p, "EstablishmentError at %.3f ms, after the timeout", (double)p->end_at / MS);
    if (p->syn_after_ready)
        play_wrong(p, "an attempt at %.3f ms, after the win", (double)p->syn_after_ready / MS);
    bool may_be_gone = p->close_called || p->end == PLAY_CONNECTION_ERROR;
    if (p->is_ready && p->sockets_at_ready != 1 && !(p->sockets_at_ready == 0 && may_be_gone))
        play_wrong(p, "%u sockets are open at Ready, and the winner is one", p->sockets_at_ready);
}

/* A send or receive that was interrupted, or would have waited, is made again: it is no reason to end. */
static void check_reason(struct play *p)
{
    bool moves_data = strstr(p->detail, "sending:") || strstr(p->detail, "receiving:");
    bool again = strstr(p->detail, "Interrupted system call") || strstr(p->detail, "temporarily unavailable");
    if (p->is_ready && moves_data && again)
        play_wrong(p, "the end came because of a call to be made again: %s", p->detail);
}

static void check_completions(struct play *p)
{
    if (p->end == PLAY_FREED || p->end == PLAY_REFUSED || p->end == PLAY_ALIVE)
        return;
    bool silent = p->end == PLAY_ESTABLISHMENT_ERROR && has(p, SCRIPT_INITIATE_SENDING);
    for (unsigned i = silent ? 1 : 0; i < p->message_count; i++) {
        if (p->messages[i].state == PLAY_WAITS)
            play_wrong(p, "Message %u had no event", i + 1);
    }
}

/* ------------------------------------------------------------------------------------------------------------ bytes */

static const char *service_of_winner(const struct play *p)
{
    const char *colon = strrchr(p->winner_remote, ':');
    for (unsigned i = 0; colon && i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        bool datagrams =
            line->verb == SCRIPT_SERVE && (!strcmp(line->words[1], "udp-echo") || !strcmp(line->words[1], "datagrams"));
        if (line->verb == SCRIPT_SERVE && line->numbers[0] == strtoul(colon + 1, NULL, 10) && datagrams != p->is_stream)
            return line->words[1];
    }
    return "";
}

static bool echoes(const char *service)
{
    return strcmp(service, "echo") == 0 || strcmp(service, "listener") == 0 || strncmp(service, "tls", 3) == 0;
}

/* How many bytes from `at` are those of the Message, from its first. */
static size_t same_bytes(const struct play *p, size_t at, unsigned message)
{
    size_t n = 0;
    while (n < p->messages[message].length && at + n < p->received_length &&
           p->received[at + n] == play_byte(message, n))
        n++;
    return n;
}

/* What was cut off in the middle is not Sent, and yet the peer has its beginning. */
static bool is_cut_off(const struct play *p, size_t at)
{
    for (unsigned i = 0; i < p->message_count; i++) {
        if (p->messages[i].state != PLAY_SENT && at + same_bytes(p, at, i) == p->received_length)
            return true;
    }
    return false;
}

static void check_echo(struct play *p)
{
    size_t at = 0, total = 0;
    for (unsigned i = 0; i < p->sent_count; i++)
        total += p->messages[p->sent_order[i]].length;
    for (unsigned i = 0; i < p->sent_count && at < p->received_length; i++) {
        unsigned number = p->sent_order[i];
        size_t same = same_bytes(p, at, number);
        at += same;
        if (same < p->messages[number].length && at < p->received_length) {
            play_wrong(p, "byte %zu of Message %u came back as another", same, number + 1);
            return;
        }
    }
    if (at < p->received_length && !is_cut_off(p, at))
        play_wrong(p, "%zu bytes came back, and %zu were sent", p->received_length, total);
    bool cut = has(p, SCRIPT_SERVER_ENDS) || has(p, SCRIPT_SERVER_RESETS);
    if (p->received_end && !cut && p->received_length < total)
        play_wrong(p, "the end came after %zu of %zu bytes", p->received_length, total);
}

/* Did the peer end in time for that to have come before we closed? */
static bool peer_has_ended(const struct play *p, const char *service)
{
    const struct script_line *keeps = script_find(p->script, SCRIPT_KEEP_RECEIVING);
    if (!p->is_stream || !keeps || keeps->event != SCRIPT_ON_READY || p->close_called || p->abort_called ||
        !p->close_at || p->attempt_count == 0 || !reference_is_quiet(p->script, UINT64_MAX))
        return false;
    uint64_t round_trip = p->ready_at - p->attempts[0].time; /* at least */
    uint64_t since = p->last_sent_at > p->ready_at ? p->last_sent_at : p->ready_at;
    bool at_once = strcmp(service, "says") == 0 || strcmp(service, "discard") == 0;
    return at_once && p->close_at > since + 5 * round_trip;
}

static void check_said(struct play *p)
{
    static const char says[] = "what a server says to whoever comes";
    size_t n = p->received_length < sizeof(says) - 1 ? p->received_length : sizeof(says) - 1;
    if (n && memcmp(p->received, says, n) != 0)
        play_wrong(p, "what the server says came as something else");
}

static void check_bytes(struct play *p)
{
    const char *service = service_of_winner(p);
    bool talks_past = strncmp(service, "tls", 3) == 0 && strcmp(p->winner_stack, "tls/tcp") != 0;
    if (!p->winner_remote[0] || talks_past)
        return; /* no memory even to say who it is; or in clear to a server of TLS, whose alert may come back */
    if (p->is_stream && echoes(service))
        check_echo(p);
    else if (p->is_stream && strcmp(service, "says") == 0)
        check_said(p);
    else if (p->is_stream && p->received_length)
        play_wrong(p, "%zu bytes came from a server that says nothing", p->received_length);
    if (!p->received_end && peer_has_ended(p, service))
        play_wrong(p, "the peer has ended, and nobody was told");
    for (unsigned i = 0; i < p->message_count; i++) {
        if (p->messages[i].copies > 1 && !has(p, SCRIPT_DUPLICATE))
            play_wrong(p, "Message %u came back %u times", i + 1, p->messages[i].copies);
    }
}

/* Answers that are none of ours, and records that nobody asked for, name the liar. (c-ares takes the name server's own
   answer also where it is marked as a query.) */
static void check_lies(struct play *p)
{
    char text[TAPSI_ADDR_TEXT];
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        if (line->verb == SCRIPT_LIE && strncmp(line->words[2], "no-answer", 9) == 0)
            return;
    }
    for (unsigned i = 0; i < p->attempt_count; i++) {
        const char *to = tapsi_addr_host_text(&p->attempts[i].to, text);
        if (strcmp(to, TAPSI_SIM_DNS_LIAR4) == 0 || strcmp(to, TAPSI_SIM_DNS_LIAR6) == 0)
            play_wrong(p, "a lie was believed: %s was tried", text);
    }
    if (strstr(p->winner_remote, TAPSI_SIM_DNS_LIAR4) || strstr(p->winner_remote, TAPSI_SIM_DNS_LIAR6))
        play_wrong(p, "a lie was believed: %s won", p->winner_remote);
}

void check_race(struct play *p)
{
    check_times(p);
    check_reason(p);
    check_completions(p);
    check_bytes(p);
    check_lies(p);
    check_by_reference(p);
}
