/* The server's side: as much of each protocol as leads to TLS. Everything else is refused until then, kindly. */
#include <string.h>
#include "base/str.h"
#include "message/starttls.h"

#define TAG_MAX 64

/* What comes of a command. */
enum outcome { GOES_ON, BEGINS, LEAVES };

/* A command, with what it is answered; NULL answer: it begins TLS, and has `dialect.begin`. */
struct command {
    const char *name;
    const char *answer;
    enum outcome outcome;
};

struct dialect {
    const char *greeting;
    const struct command *commands;
    const char *otherwise;
};

/* In answers: %n is this end's name, %t the client's tag. */
static const struct command smtp[] = {
    {"EHLO", "250-%n\r\n250 STARTTLS\r\n", GOES_ON},
    {"HELO", "250 %n\r\n", GOES_ON},
    {"NOOP", "250 yes\r\n", GOES_ON},
    {"RSET", "250 yes\r\n", GOES_ON},
    {"QUIT", "221 %n good-bye\r\n", LEAVES},
    {"STARTTLS", "220 go ahead\r\n", BEGINS},
    {NULL, NULL, GOES_ON},
};

static const struct command imap[] = {
    {"CAPABILITY", "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n%t OK done\r\n", GOES_ON},
    {"NOOP", "%t OK done\r\n", GOES_ON},
    {"LOGOUT", "* BYE good-bye\r\n%t OK done\r\n", LEAVES},
    {"STARTTLS", "%t OK go ahead\r\n", BEGINS},
    {NULL, NULL, GOES_ON},
};

static const struct command pop3[] = {
    {"CAPA", "+OK here they are\r\nSTLS\r\n.\r\n", GOES_ON},
    {"QUIT", "+OK good-bye\r\n", LEAVES},
    {"STLS", "+OK go ahead\r\n", BEGINS},
    {NULL, NULL, GOES_ON},
};

static const struct dialect dialects[] = {
    [TAPSI_STARTTLS_SMTP] = {"220 %n ESMTP\r\n", smtp, "530 STARTTLS first\r\n"},
    [TAPSI_STARTTLS_IMAP] = {"* OK %n\r\n", imap, "%t NO STARTTLS first\r\n"},
    [TAPSI_STARTTLS_POP3] = {"+OK %n\r\n", pop3, "-ERR STLS first\r\n"},
};

static int answer(taps_framing *framing, const char *text, const char *tag)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    char reply[sizeof(o->name) + TAG_MAX + 64];
    size_t used = 0;
    for (const char *at = text; *at; at++) {
        const char *piece = at[0] != '%' ? NULL : at[1] == 'n' ? o->name : tag;
        if (piece) {
            used += tapsi_format(reply + used, sizeof(reply) - used, "%s", piece);
            at++;
        } else if (used < sizeof(reply)) {
            reply[used++] = *at;
        }
    }
    return taps_framing_send(framing, reply, used);
}

int tapsi_starttls_start_server(taps_framing *framing)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    int err = o->protocol == TAPSI_STARTTLS_POSTGRESQL ? 0 : answer(framing, dialects[o->protocol].greeting, "");
    if (!taps_framing_is_secure(framing))
        tapsi_starttls_step_aside(framing);
    return err;
}

/* ---------------------------------------------------------------------------------------------- postgresql */

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

#define SSL_REQUEST    80877103u
#define GSSENC_REQUEST 80877104u

static int serve_postgresql(taps_framing *framing)
{
    struct tapsi_starttls *s = taps_framing_state(framing);
    const uint8_t *data;
    size_t there;
    int result = taps_framing_parse(framing, 8, 8, &data, &there);
    if (result <= 0)
        return result;
    uint32_t length = number(data), code = number(data + 4);
    taps_framing_advance(framing, 8);
    if (length == 8 && code == GSSENC_REQUEST && s->lines++ == 0)
        return taps_framing_send(framing, "N", 1);
    if (length != 8 || code != SSL_REQUEST)
        return taps_framing_fail(framing, TAPS_E_PROTOCOL, "the client begins without TLS");
    int err = taps_framing_send(framing, "S", 1);
    return err ? err : tapsi_starttls_begin(framing);
}

/* --------------------------------------------------------------------------------------------------- lines */

/* The tag of IMAP: characters that no answer of ours would be changed by. */
static bool take_tag(struct tapsi_starttls_line *line, char *tag)
{
    const char *word;
    size_t length;
    if (!tapsi_starttls_next_word(line, &word, &length) || length >= TAG_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (word[i] <= ' ' || word[i] > '~' || strchr("+*%(){\"\\", word[i]))
            return false;
    }
    memcpy(tag, word, length);
    tag[length] = '\0';
    return true;
}

static const struct command *find(const struct command *commands, const char *word, size_t length)
{
    while (commands->name && !tapsi_starttls_is(word, length, commands->name))
        commands++;
    return commands->name ? commands : NULL;
}

int tapsi_starttls_serve(taps_framing *framing)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    struct tapsi_starttls_line line;
    char tag[TAG_MAX] = "";
    const char *word;
    size_t length;
    if (o->protocol == TAPSI_STARTTLS_POSTGRESQL)
        return serve_postgresql(framing);
    int err = tapsi_starttls_read_line(framing, &line);
    if (err <= 0)
        return err;
    const struct dialect *dialect = &dialects[o->protocol];
    size_t taken = line.length + 2;
    if (o->protocol == TAPSI_STARTTLS_IMAP && !take_tag(&line, tag))
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a command without a tag: \"%s\"", line.quoted);
    tapsi_starttls_next_word(&line, &word, &length);
    const struct command *command = find(dialect->commands, word, length);
    if (command && command->outcome == BEGINS && line.length)
        command = NULL; /* it has no arguments */
    taps_framing_advance(framing, taken);
    err = answer(framing, command ? command->answer : dialect->otherwise, tag);
    if (err || !command || command->outcome == GOES_ON)
        return err;
    return command->outcome == BEGINS ? tapsi_starttls_begin(framing)
                                      : taps_framing_fail(framing, TAPS_E_PROTOCOL, "the client left before TLS");
}
