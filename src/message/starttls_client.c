/* The client's side. Each protocol reads a line and says what it means; what follows from that is the same for all. */
#include <stdio.h>
#include <string.h>
#include "message/starttls.h"

enum step { GREETING, CAPABILITIES, GO_AHEAD };

/* What a line means at this step. */
enum meaning {
    MORE, /* there is another line to come */
    YES,
    NO,
    NONSENSE
};

struct dialect {
    /* It may change `listing` and `offered`. */
    enum meaning (*read)(struct tapsi_starttls *state, struct tapsi_starttls_line line);
    const char *ask, *begin; /* what is sent for the capabilities (%s: this end's name), and then */
    const char *command;     /* as people call it */
};

/* ---------------------------------------------------------------------------------------------------- smtp */

static int code_of(const struct tapsi_starttls_line *line)
{
    int code = 0;
    for (size_t i = 0; i < 3; i++) {
        if (i >= line->length || line->text[i] < '0' || line->text[i] > '9')
            return -1;
        code = code * 10 + (line->text[i] - '0');
    }
    return line->length == 3 || line->text[3] == ' ' || line->text[3] == '-' ? code : -1;
}

/* "250-SIZE 1000": its keyword. The first line of the answer to EHLO has a name there. */
static void note_keyword(struct tapsi_starttls *s, struct tapsi_starttls_line line)
{
    const char *word;
    size_t length, skipped = line.length < 4 ? line.length : 4;
    line.text += skipped;
    line.length -= skipped;
    tapsi_starttls_next_word(&line, &word, &length);
    if (s->listing && tapsi_starttls_is(word, length, "STARTTLS"))
        s->offered = true;
}

static enum meaning read_smtp(struct tapsi_starttls *s, struct tapsi_starttls_line line)
{
    int code = code_of(&line), good = s->step == CAPABILITIES ? 250 : 220;
    if (code < 0)
        return NONSENSE;
    if (code != good)
        return NO;
    if (s->step == CAPABILITIES)
        note_keyword(s, line);
    s->listing = line.length > 3 && line.text[3] == '-';
    return s->listing ? MORE : YES;
}

/* ---------------------------------------------------------------------------------------------------- imap */

static enum meaning read_status(struct tapsi_starttls_line *line)
{
    const char *word;
    size_t length;
    tapsi_starttls_next_word(line, &word, &length);
    if (tapsi_starttls_is(word, length, "OK"))
        return YES;
    static const char *const others[] = {"NO", "BAD", "BYE", "PREAUTH"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (tapsi_starttls_is(word, length, others[i]))
            return NO;
    }
    return NONSENSE;
}

static enum meaning read_untagged(struct tapsi_starttls *s, struct tapsi_starttls_line line)
{
    const char *word;
    size_t length;
    if (s->step == GREETING)
        return read_status(&line);
    tapsi_starttls_next_word(&line, &word, &length);
    if (tapsi_starttls_is(word, length, "BYE"))
        return NO;
    if (s->step != CAPABILITIES || !tapsi_starttls_is(word, length, "CAPABILITY"))
        return MORE;
    while (tapsi_starttls_next_word(&line, &word, &length))
        s->offered = s->offered || tapsi_starttls_is(word, length, "STARTTLS");
    return MORE;
}

static enum meaning read_imap(struct tapsi_starttls *s, struct tapsi_starttls_line line)
{
    const char *word;
    size_t length;
    tapsi_starttls_next_word(&line, &word, &length);
    if (tapsi_starttls_is(word, length, "*"))
        return read_untagged(s, line);
    const char *tag = s->step == CAPABILITIES ? "a1" : s->step == GO_AHEAD ? "a2" : NULL;
    return tag && tapsi_starttls_is(word, length, tag) ? read_status(&line) : NONSENSE;
}

/* ---------------------------------------------------------------------------------------------------- pop3 */

static enum meaning read_pop3(struct tapsi_starttls *s, struct tapsi_starttls_line line)
{
    const char *word;
    size_t length;
    bool end = line.length == 1 && *line.text == '.';
    tapsi_starttls_next_word(&line, &word, &length);
    if (s->listing) {
        s->offered = s->offered || tapsi_starttls_is(word, length, "STLS");
        return end ? YES : MORE;
    }
    if (tapsi_starttls_is(word, length, "-ERR"))
        return NO;
    if (!tapsi_starttls_is(word, length, "+OK"))
        return NONSENSE;
    s->listing = s->step == CAPABILITIES;
    return s->listing ? MORE : YES;
}

/* ---------------------------------------------------------------------------------------------- postgresql */

/* SSLRequest: a length of 8, and 1234, 5679. */
static const uint8_t ssl_request[] = {0, 0, 0, 8, 4, 210, 22, 47};

static int ask_postgresql(taps_framing *framing)
{
    const uint8_t *data;
    size_t there;
    int result = taps_framing_parse(framing, 1, 1, &data, &there);
    if (result <= 0)
        return result;
    uint8_t answer = *data;
    if (answer == 'N')
        return taps_framing_fail(framing, TAPS_E_TLS, "the server does not offer TLS");
    if (answer != 'S')
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the server answers a request for TLS with byte 0x%02x",
                                 answer);
    taps_framing_advance(framing, 1);
    return tapsi_starttls_begin(framing);
}

/* ----------------------------------------------------------------------------------------------------- all */

static const struct dialect dialects[] = {
    [TAPSI_STARTTLS_SMTP] = {read_smtp, "EHLO %s\r\n", "STARTTLS\r\n", "STARTTLS"},
    [TAPSI_STARTTLS_IMAP] = {read_imap, "a1 CAPABILITY\r\n", "a2 STARTTLS\r\n", "STARTTLS"},
    [TAPSI_STARTTLS_POP3] = {read_pop3, "CAPA\r\n", "STLS\r\n", "STLS"},
};

int tapsi_starttls_start_client(taps_framing *framing)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    if (o->protocol != TAPSI_STARTTLS_POSTGRESQL)
        return 0;
    if (taps_framing_is_secure(framing))
        return taps_framing_send(framing, ssl_request, sizeof(ssl_request));
    tapsi_starttls_step_aside(framing);
    return 0;
}

static int say_no(taps_framing *framing, const struct dialect *dialect, enum step step,
                  const struct tapsi_starttls_line *line)
{
    if (step == GREETING)
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the server greets with \"%s\"", line->quoted);
    if (step == CAPABILITIES)
        return taps_framing_fail(framing, TAPS_E_TLS, "the server does not say whether it offers %s: \"%s\"",
                                 dialect->command, line->quoted);
    return taps_framing_fail(framing, TAPS_E_TLS, "the server refuses %s: \"%s\"", dialect->command, line->quoted);
}

static int say_yes(taps_framing *framing, struct tapsi_starttls *s, const struct dialect *dialect)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    char text[sizeof(o->name) + 16];
    switch (s->step) {
    case GREETING:
        if (!taps_framing_is_secure(framing)) {
            tapsi_starttls_step_aside(framing);
            return 0;
        }
        s->step = CAPABILITIES;
        if (o->protocol == TAPSI_STARTTLS_SMTP)
            snprintf(text, sizeof(text), "EHLO %s\r\n", o->name);
        return tapsi_starttls_say(framing, o->protocol == TAPSI_STARTTLS_SMTP ? text : dialect->ask);
    case CAPABILITIES:
        if (!s->offered)
            return taps_framing_fail(framing, TAPS_E_TLS, "the server does not offer %s", dialect->command);
        s->step = GO_AHEAD;
        s->listing = false;
        return tapsi_starttls_say(framing, dialect->begin);
    default:
        return tapsi_starttls_begin(framing);
    }
}

int tapsi_starttls_ask(taps_framing *framing)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    struct tapsi_starttls *s = taps_framing_state(framing);
    struct tapsi_starttls_line line;
    if (o->protocol == TAPSI_STARTTLS_POSTGRESQL)
        return ask_postgresql(framing);
    int result = tapsi_starttls_read_line(framing, &line);
    if (result <= 0)
        return result;
    const struct dialect *dialect = &dialects[o->protocol];
    enum step step = (enum step)s->step;
    size_t taken = line.length + 2;
    enum meaning meaning = dialect->read(s, line);
    taps_framing_advance(framing, taken);
    switch (meaning) {
    case MORE:
        return 0;
    case YES:
        return say_yes(framing, s, dialect);
    case NO:
        return say_no(framing, dialect, step, &line);
    default:
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "the server says \"%s\", which is no answer here",
                                 line.quoted);
    }
}
