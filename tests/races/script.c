#include "script.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* %w a word, %t a time, %n a number, %p a share ("2.5%"), %* the rest of the line, ? what follows may be missing. Where
   two patterns begin alike, the longer one is first. */
static const struct {
    enum script_verb verb;
    const char *pattern;
} grammar[] = {
    {SCRIPT_INTERFACE, "interface %w %w %*"},
    {SCRIPT_LINK, "link %w %w %t"},
    {SCRIPT_NAMESERVER, "nameserver %w"},
    {SCRIPT_DNS_FAILS, "dns %w %w after %t fails %w"},
    {SCRIPT_DNS, "dns %w %w after %t %*"},
    {SCRIPT_DNS_TCP, "dns tcp %w"},
    {SCRIPT_LIE, "lie %w %w %w ? %n"},
    {SCRIPT_SERVE, "serve %w %n %w ? %n"},
    {SCRIPT_DICE, "dice %n"},
    {SCRIPT_ADDRESS, "address %w %w ? %w"},
    {SCRIPT_REMOVE, "remove %w %w"},
    {SCRIPT_UP, "up %w"},
    {SCRIPT_DOWN, "down %w"},
    {SCRIPT_MTU, "mtu %w %n"},
    {SCRIPT_LOSS, "loss %w %p"},
    {SCRIPT_DELAY, "delay %w %t"},
    {SCRIPT_RATE, "rate %w %n"},
    {SCRIPT_JITTER, "jitter %w %t"},
    {SCRIPT_BURSTS, "bursts %w %p %p"},
    {SCRIPT_REORDER, "reorder %w %p %t"},
    {SCRIPT_DUPLICATE, "duplicate %w %p"},
    {SCRIPT_QUEUE, "queue %w %n"},
    {SCRIPT_PATH_MTU, "path mtu %w %n ? %w"},
    {SCRIPT_CUT, "cut %w"},
    {SCRIPT_MEND, "mend %w"},
    {SCRIPT_CLOCK_FORWARDS, "clock forwards %t"},
    {SCRIPT_CLOCK_BACK, "clock back %t"},
    {SCRIPT_LEAP, "leap %t"},
    {SCRIPT_FAULT, "fault %w %w"},
    {SCRIPT_SLOW, "slow %w %t"},
    {SCRIPT_SERVER_ENDS, "server ends %n"},
    {SCRIPT_SERVER_RESETS, "server resets %n"},
    {SCRIPT_FAIL_CALL, "fail call %n %w"},
    {SCRIPT_FAIL_ALLOCATION, "fail allocation %n"},
    {SCRIPT_ATTEMPT_DELAY, "attempt delay %t"},
    {SCRIPT_RESOLUTION_DELAY, "resolution delay %t"},
    {SCRIPT_PROPERTY, "property %w %*"},
    {SCRIPT_SECURITY, "security %w"},
    {SCRIPT_REMOTE, "remote %*"},
    {SCRIPT_LOCAL, "local %*"},
    {SCRIPT_INITIATE_SENDING, "initiate within %t sending %n"},
    {SCRIPT_INITIATE, "initiate within %t"},
    {SCRIPT_SEND, "send %n %*"},
    {SCRIPT_RECEIVE, "receive %n %n"},
    {SCRIPT_KEEP_RECEIVING, "keep receiving %n %n"},
    {SCRIPT_CLOSE, "close"},
    {SCRIPT_ABORT, "abort"},
    {SCRIPT_FREE, "free"},
    {SCRIPT_SET, "set %w %*"},
    {SCRIPT_EXPECT, "expect %*"},
};

static const char *const events[SCRIPT_EVENTS] = {"ready", "sent", "send-error", "received", "receive-error", "end"};

const char *script_event_name(enum script_event event)
{
    return events[event];
}

/* ---------------------------------------------------------------------------------------------------- words */

struct token {
    char *start;
    size_t length;
};

static bool next_token(char **at, struct token *ret)
{
    char *start = *at + strspn(*at, " ");
    ret->start = start;
    ret->length = strcspn(start, " ");
    *at = start + ret->length;
    return ret->length > 0;
}

bool script_next_word(const char **rest, char *word, size_t size)
{
    const char *start = *rest + strspn(*rest, " ");
    size_t length = strcspn(start, " ");
    *rest = start + length;
    if (!length)
        return false;
    length = length < size ? length : size - 1;
    memcpy(word, start, length);
    word[length] = 0;
    return true;
}

static bool parse_number(const char *text, uint64_t *ret, const char **ret_end)
{
    uint64_t value = 0;
    const char *at = text;
    for (; isdigit((unsigned char)*at) && at - text < 18; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *ret = value;
    *ret_end = at;
    return at > text;
}

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {{"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}};

bool script_time(const char *text, uint64_t *ret_ns)
{
    uint64_t value;
    const char *end;
    if (!parse_number(text, &value, &end))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0) {
            *ret_ns = value * units[i].ns;
            return true;
        }
    }
    *ret_ns = 0;
    return value == 0 && !*end;
}

const char *script_time_text(uint64_t ns, char text[24])
{
    size_t i = 0;
    while (ns % units[i].ns)
        i++;
    snprintf(text, 24, "%" PRIu64 "%s", ns / units[i].ns, ns ? units[i].name : "ms");
    return text;
}

/* "30%", "2.5%": in millionths. */
static bool parse_share(const char *text, uint64_t *ret)
{
    char *end;
    double percent = strtod(text, &end);
    if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100))
        return false;
    *ret = (uint64_t)(percent * 10000 + 0.5);
    return true;
}

/* --------------------------------------------------------------------------------------------------- lines */

struct arguments {
    struct token words[SCRIPT_ARGUMENTS];
    unsigned word_count, number_count;
};

static bool take(char kind, struct token token, struct script_line *line, struct arguments *a)
{
    char text[64];
    const char *end;
    if (kind == 'w') {
        a->words[a->word_count++] = token;
        return true;
    }
    if (token.length >= sizeof(text))
        return false;
    memcpy(text, token.start, token.length);
    text[token.length] = 0;
    uint64_t *number = &line->numbers[a->number_count++];
    switch (kind) {
    case 't':
        return script_time(text, number);
    case 'p':
        return parse_share(text, number);
    default:
        return parse_number(text, number, &end) && !*end;
    }
}

static bool match(const char *pattern, char *at, struct script_line *line, struct arguments *a)
{
    bool optional = false;
    char want[32];
    struct token token;
    *a = (struct arguments){.word_count = 0};
    memset(line->numbers, 0, sizeof(line->numbers));
    while (script_next_word(&pattern, want, sizeof(want))) {
        if (strcmp(want, "?") == 0) {
            optional = true;
        } else if (strcmp(want, "%*") == 0) {
            at += strspn(at, " ");
            a->words[a->word_count++] = (struct token){at, strlen(at)};
            return true;
        } else if (!next_token(&at, &token)) {
            return optional;
        } else if (want[0] == '%') {
            if (!take(want[1], token, line, a))
                return false;
        } else if (strlen(want) != token.length || memcmp(want, token.start, token.length) != 0) {
            return false;
        }
    }
    return !next_token(&at, &token);
}

static bool find_pattern(char *at, struct script_line *line)
{
    struct arguments a;
    for (size_t i = 0; i < sizeof(grammar) / sizeof(grammar[0]); i++) {
        /* The first two letters already tell most of them apart. */
        if (strncmp(grammar[i].pattern, at, 2) != 0 || !match(grammar[i].pattern, at, line, &a))
            continue;
        line->verb = grammar[i].verb;
        for (unsigned w = 0; w < a.word_count; w++) {
            line->words[w] = a.words[w].start;
            a.words[w].start[a.words[w].length] = 0;
        }
        return true;
    }
    return false;
}

static bool parse_event(struct token token, struct script_line *line)
{
    const char *end;
    char *mark = memchr(token.start, '#', token.length);
    size_t length = mark ? (size_t)(mark - token.start) : token.length;
    uint64_t nth = 1;
    if (mark && (!parse_number(mark + 1, &nth, &end) || end != token.start + token.length || nth == 0))
        return false;
    line->nth = (unsigned)nth;
    for (int e = 0; e < SCRIPT_EVENTS; e++) {
        if (strlen(events[e]) == length && memcmp(events[e], token.start, length) == 0) {
            line->event = (enum script_event)e;
            return true;
        }
    }
    return false;
}

/* "at TIME" or "on EVENT" or nothing. */
static bool parse_when(char **at, struct script_line *line)
{
    char *from = *at;
    struct token first, second;
    line->when = SCRIPT_FROM_THE_START;
    if (!next_token(&from, &first) || first.length != 2)
        return true;
    bool is_at = memcmp(first.start, "at", 2) == 0, is_on = memcmp(first.start, "on", 2) == 0;
    if (!is_at && !is_on)
        return true;
    if (!next_token(&from, &second) || !*from)
        return false;
    second.start[second.length] = 0;
    *at = from + 1 + strspn(from + 1, " ");
    line->when = is_at ? SCRIPT_AT : SCRIPT_ON;
    return is_at ? script_time(second.start, &line->at) : parse_event(second, line);
}

static bool wrong(struct script *script, unsigned number, const char *what, const char *text)
{
    snprintf(script->problem, sizeof(script->problem), "line %u: %s: %.120s", number, what, text);
    return false;
}

static bool may_have_a_time(enum script_verb verb)
{
    return verb >= SCRIPT_ADDRESS && verb <= SCRIPT_FAIL_ALLOCATION;
}

static bool needs_a_time(enum script_verb verb)
{
    return verb >= SCRIPT_SEND && verb <= SCRIPT_SET;
}

static bool parse_line(struct script *script, char *at, struct script_line *line)
{
    const char *text = script->text + line->start;
    if (!parse_when(&at, line))
        return wrong(script, line->number, "no time or event", text);
    if (!find_pattern(at, line))
        return wrong(script, line->number, "no such statement", text);
    if (line->when == SCRIPT_FROM_THE_START && needs_a_time(line->verb))
        return wrong(script, line->number, "needs \"at\" or \"on\"", text);
    if (line->when != SCRIPT_FROM_THE_START && !needs_a_time(line->verb) && !may_have_a_time(line->verb))
        return wrong(script, line->number, "holds from the beginning", text);
    return true;
}

/* -------------------------------------------------------------------------------------------------- scripts */

void script_clear(struct script *script)
{
    script->length = 0;
    script->text[0] = 0;
    script->count = script->line_count = 0;
    script->problem[0] = 0;
}

/* One line, without its end, which has been copied to the text already. */
static bool add_line(struct script *script, size_t start, size_t length)
{
    char *words = script->words + start;
    memcpy(words, script->text + start, length);
    words[length] = 0;
    script->line_count++;
    if (words[strspn(words, " ")] == 0 || words[strspn(words, " ")] == '#')
        return true;
    if (script->count == SCRIPT_LINES_MAX)
        return wrong(script, SCRIPT_LINES_MAX, "too many statements", words);
    struct script_line *line = &script->lines[script->count];
    memset(line, 0, sizeof(*line));
    line->start = start;
    line->length = length + 1;
    line->number = script->line_count;
    if (!parse_line(script, words + strspn(words, " "), line))
        return false;
    script->count++;
    return true;
}

bool script_add(struct script *script, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        size_t start = script->length;
        if (start + length + 2 > sizeof(script->text))
            return wrong(script, script->count, "too long", text);
        memcpy(script->text + start, text, length);
        memcpy(script->text + start + length, "\n", 2);
        script->length = start + length + 1;
        if (!add_line(script, start, length))
            return false;
        text += length + (text[length] == '\n');
    }
    return true;
}

bool script_say(struct script *script, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return script_add(script, text);
}

void script_without(const struct script *script, unsigned line, struct script *ret)
{
    char text[SCRIPT_TEXT_MAX];
    const struct script_line *l = &script->lines[line];
    size_t after = l->start + l->length;
    memcpy(text, script->text, l->start);
    memcpy(text + l->start, script->text + after, script->length - after);
    text[script->length - l->length] = 0;
    script_clear(ret);
    script_add(ret, text);
}

const struct script_line *script_find(const struct script *script, enum script_verb verb)
{
    for (unsigned i = 0; i < script->count; i++) {
        if (script->lines[i].verb == verb)
            return &script->lines[i];
    }
    return NULL;
}
