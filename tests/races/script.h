/*
 * A race as text: the world, what the application asks for, what happens when, and what must come of it. One statement
 * a line, so that a scenario fits on a screen and can be shortened by leaving lines out.
 *
 *     interface client/eth0 ethernet 192.0.2.2/24 2001:db8::2/64
 *     interface server/eth0 ethernet 192.0.2.1/24 2001:db8::1/64
 *     link client/eth0 server/eth0 5ms
 *     serve server 80 echo
 *     fault 2001:db8::1 blackhole
 *     remote 2001:db8::1:80
 *     initiate within 5s
 *     on ready send 100
 *     at 400ms close
 *     expect ready 192.0.2.1:80
 *
 * A statement without "at TIME" or "on EVENT" holds from the beginning. The grammar is the table in script.c, and
 * docs/design/009-random-races.md says what each statement means.
 */
#ifndef TESTS_RACES_SCRIPT_H
#define TESTS_RACES_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_TEXT_MAX  8192
#define SCRIPT_LINES_MAX 96
#define SCRIPT_ARGUMENTS 4

enum script_verb {
    /* the world */
    SCRIPT_INTERFACE,
    SCRIPT_LINK,
    SCRIPT_NAMESERVER,
    SCRIPT_DNS,
    SCRIPT_DNS_FAILS,
    SCRIPT_DNS_TCP,
    SCRIPT_LIE,
    SCRIPT_SERVE,
    SCRIPT_DICE,
    /* the world, at any time */
    SCRIPT_ADDRESS,
    SCRIPT_REMOVE,
    SCRIPT_UP,
    SCRIPT_DOWN,
    SCRIPT_MTU,
    SCRIPT_LOSS,
    SCRIPT_DELAY,
    SCRIPT_RATE,
    SCRIPT_JITTER,
    SCRIPT_BURSTS,
    SCRIPT_REORDER,
    SCRIPT_DUPLICATE,
    SCRIPT_QUEUE,
    SCRIPT_PATH_MTU,
    SCRIPT_CUT,
    SCRIPT_MEND,
    SCRIPT_CLOCK_FORWARDS,
    SCRIPT_CLOCK_BACK,
    SCRIPT_LEAP,
    SCRIPT_FAULT,
    SCRIPT_SLOW,
    SCRIPT_SERVER_ENDS,
    SCRIPT_SERVER_RESETS,
    SCRIPT_FAIL_CALL,
    SCRIPT_FAIL_ALLOCATION,
    /* what is asked for */
    SCRIPT_ATTEMPT_DELAY,
    SCRIPT_RESOLUTION_DELAY,
    SCRIPT_PROPERTY,
    SCRIPT_SECURITY,
    SCRIPT_REMOTE,
    SCRIPT_LOCAL,
    SCRIPT_INITIATE,
    SCRIPT_INITIATE_SENDING,
    /* what the application does */
    SCRIPT_SEND,
    SCRIPT_RECEIVE,
    SCRIPT_KEEP_RECEIVING,
    SCRIPT_CLOSE,
    SCRIPT_ABORT,
    SCRIPT_FREE,
    SCRIPT_SET,
    /* what must come of it */
    SCRIPT_EXPECT,
    SCRIPT_VERBS
};

enum script_event {
    SCRIPT_ON_READY,
    SCRIPT_ON_SENT,
    SCRIPT_ON_SEND_ERROR,
    SCRIPT_ON_RECEIVED,
    SCRIPT_ON_RECEIVE_ERROR,
    SCRIPT_ON_END,
    SCRIPT_EVENTS
};

enum script_when { SCRIPT_FROM_THE_START, SCRIPT_AT, SCRIPT_ON };

struct script_line {
    enum script_when when;
    uint64_t at; /* ns after Initiate */
    enum script_event event;
    unsigned nth; /* from 1: which occurrence of the event */
    enum script_verb verb;
    char *words[SCRIPT_ARGUMENTS];      /* those of the pattern in order; a rest of the line is one word, perhaps "" */
    uint64_t numbers[SCRIPT_ARGUMENTS]; /* times in ns, shares in millionths; 0 where an optional one is missing */
    unsigned number;                    /* of the line in the text, from 1 */
    size_t start, length;               /* of the line in the text, with its end */
};

/* Large: not for the stack. Points into itself: not to be copied. */
struct script {
    char text[SCRIPT_TEXT_MAX];
    size_t length;
    struct script_line lines[SCRIPT_LINES_MAX];
    unsigned count, line_count; /* statements; lines with the comments */
    char words[SCRIPT_TEXT_MAX];
    char problem[200];
};

void script_clear(struct script *script);
/* Adds lines. False: `problem` says what is wrong, and where. */
bool script_add(struct script *script, const char *text);
bool script_say(struct script *script, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same script without one of its statements. */
void script_without(const struct script *script, unsigned line, struct script *ret);

/* "250ms", "1500us", "2s": false if it is none. */
bool script_time(const char *text, uint64_t *ret_ns);
const char *script_time_text(uint64_t ns, char text[24]);
/* Takes the next word of a rest of line: false at its end. `size` counts the terminator; longer words are cut. */
bool script_next_word(const char **rest, char *word, size_t size);
/* The first line with this verb, or NULL. */
const struct script_line *script_find(const struct script *script, enum script_verb verb);
const char *script_event_name(enum script_event event);

#endif
