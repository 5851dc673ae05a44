/* What the script itself expects. */
#include <stdlib.h>
#include <string.h>
#include "play.h"

static bool expect_between(const struct play *p, const char *rest)
{
    char from[24], and[8], to[24];
    uint64_t low, high;
    return script_next_word(&rest, from, sizeof(from)) && script_next_word(&rest, and, sizeof(and)) &&
           script_next_word(&rest, to, sizeof(to)) && script_time(from, &low) && script_time(to, &high) &&
           p->is_ready && p->ready_at >= low && p->ready_at <= high;
}

static bool expect_attempts(const struct play *p, const char *rest)
{
    char word[80], text[TAPSI_ADDR_TEXT];
    unsigned i = 0;
    for (; script_next_word(&rest, word, sizeof(word)); i++) {
        if (i >= p->attempt_count || strcmp(word, tapsi_addr_text(&p->attempts[i].to, text)) != 0)
            return false;
    }
    return i == p->attempt_count;
}

/* "expect WHAT REST". */
static bool is_as_expected(const struct play *p, const char *what, const char *rest)
{
    rest += strspn(rest, " ");
    if (strcmp(what, "ready") == 0)
        return p->is_ready && strcmp(p->winner_remote, rest) == 0;
    if (strcmp(what, "between") == 0)
        return expect_between(p, rest);
    if (strcmp(what, "stack") == 0)
        return strcmp(p->winner_stack, rest) == 0;
    if (strcmp(what, "interface") == 0)
        return strcmp(p->winner_interface, rest) == 0;
    if (strcmp(what, "attempts") == 0)
        return expect_attempts(p, rest);
    if (strcmp(what, "refused") == 0)
        return p->end == PLAY_REFUSED && strcmp(taps_err_name(p->code), rest) == 0;
    if (strcmp(what, "error") == 0)
        return p->end == PLAY_ESTABLISHMENT_ERROR && strcmp(taps_err_name(p->code), rest) == 0;
    if (strcmp(what, "connection-error") == 0)
        return p->end == PLAY_CONNECTION_ERROR && strcmp(taps_err_name(p->code), rest) == 0;
    if (strcmp(what, "closed") == 0)
        return p->end == PLAY_CLOSED;
    return strcmp(what, "received") == 0 && p->received_length == strtoul(rest, NULL, 10);
}

void check_expected(struct play *p)
{
    char what[32];
    for (unsigned i = 0; i < p->script->count; i++) {
        const struct script_line *line = &p->script->lines[i];
        const char *rest = line->words[0];
        if (line->verb == SCRIPT_EXPECT && script_next_word(&rest, what, sizeof(what)) &&
            !is_as_expected(p, what, rest))
            play_wrong(p, "line %u: expected %s", line->number, line->words[0]);
    }
}
