/*
 * starttls: asks in clear whether there is TLS, and steps aside when it begins. docs/framers/starttls.md has the
 * conversations. It stands below the security protocol; the stack above it starts when it is ready.
 *
 * Client: GREETING -read-> CAPABILITIES -offered-> GO_AHEAD -yes-> out of the way. PostgreSQL has the last step only.
 * Where no security follows (taps_framing_is_secure is false) the greeting alone is taken, so that the application's
 * first word is the same with TLS and without.
 * Server: the opposite, command by command, until the one that begins TLS.
 *
 * Nothing may stand between the go-ahead and the handshake: bytes that came with it were put there by somebody on the
 * way, to be read as if they had been protected (CVE-2011-0411, CVE-2021-23222). They end the Connection, whoever sent
 * them.
 */
#include <string.h>
#include <taps/framer.h>
#include "base/str.h"
#include "message/framers.h"
#include "message/options.h"
#include "message/starttls.h"

#define LINE_MAX_LENGTH 8192 /* capabilities of IMAP come in one line */
#define LINES_MAX       128

static const char *const protocols[] = {"smtp", "imap", "pop3", "postgresql", NULL};

/* ------------------------------------------------------------------------------------------------- options */

static void defaults(void *memory)
{
    *(struct tapsi_starttls_options *)memory =
        (struct tapsi_starttls_options){.protocol = TAPSI_STARTTLS_NONE, .name = "localhost"};
}

static int set_name(char *name, size_t size, const char *value)
{
    size_t length = strlen(value);
    if (length == 0 || length >= size)
        return TAPS_E_RANGE;
    for (size_t i = 0; i < length; i++) {
        if (value[i] <= ' ' || value[i] > '~')
            return TAPS_E_RANGE;
    }
    memcpy(name, value, length + 1);
    return 0;
}

static int set(void *memory, const char *key, const char *value)
{
    struct tapsi_starttls_options *o = memory;
    unsigned word;
    if (tapsi_options_is(key, "name"))
        return set_name(o->name, sizeof(o->name), value);
    if (!tapsi_options_is(key, "protocol"))
        return TAPS_E_UNKNOWN_PROPERTY;
    if (tapsi_options_word(value, protocols, &word) != 0)
        return TAPS_E_RANGE;
    o->protocol = (uint8_t)word;
    return 0;
}

/* --------------------------------------------------------------------------------------------------- lines */

int tapsi_starttls_say(taps_framing *framing, const char *text)
{
    return taps_framing_send(framing, text, strlen(text));
}

static void quote(struct tapsi_starttls_line *line)
{
    size_t shown = line->length < sizeof(line->quoted) - 1 ? line->length : sizeof(line->quoted) - 1;
    for (size_t i = 0; i < shown; i++)
        line->quoted[i] = line->text[i] < ' ' || line->text[i] > '~' ? '?' : line->text[i];
    line->quoted[shown] = '\0';
}

int tapsi_starttls_read_line(taps_framing *framing, struct tapsi_starttls_line *line)
{
    struct tapsi_starttls *s = taps_framing_state(framing);
    const uint8_t *data;
    size_t there, here = taps_framing_available(framing), most = here < LINE_MAX_LENGTH ? here : LINE_MAX_LENGTH;
    int result = taps_framing_parse(framing, most, LINE_MAX_LENGTH, &data, &there);
    if (result <= 0)
        return result;
    const uint8_t *end = memchr(data, '\n', there);
    if (!end && there == LINE_MAX_LENGTH)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a line of more than %d bytes", LINE_MAX_LENGTH);
    if (!end)
        return 0;
    if (end == data || end[-1] != '\r' || memchr(data, '\0', (size_t)(end - data)))
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "a line that does not end with CR LF, or has NUL in it");
    if (++s->lines > LINES_MAX)
        return taps_framing_fail(framing, TAPS_E_DEFRAMING, "more than %d lines before TLS", LINES_MAX);
    line->text = (const char *)data;
    line->length = (size_t)(end - data) - 1;
    quote(line);
    return 1;
}

bool tapsi_starttls_next_word(struct tapsi_starttls_line *line, const char **word, size_t *length)
{
    while (line->length && *line->text == ' ') {
        line->text++;
        line->length--;
    }
    *word = line->text;
    *length = 0;
    while (line->length && *line->text != ' ') {
        line->text++;
        line->length--;
        ++*length;
    }
    return *length > 0;
}

bool tapsi_starttls_is(const char *word, size_t length, const char *text)
{
    return length == strlen(text) && tapsi_text_equal_n(word, text, length);
}

/* -------------------------------------------------------------------------------------------- stepping aside */

int tapsi_starttls_begin(taps_framing *framing)
{
    size_t more = taps_framing_available(framing);
    if (more)
        return taps_framing_fail(
            framing, TAPS_E_PROTOCOL,
            "%zu bytes in clear came together with the word that begins TLS: somebody may have put "
            "them there",
            more);
    tapsi_starttls_step_aside(framing);
    return 0;
}

void tapsi_starttls_step_aside(taps_framing *framing)
{
    taps_framing_make_ready(framing);
    taps_framing_start_passthrough(framing);
}

/* --------------------------------------------------------------------------------------------------- all */

static int start(taps_framing *framing)
{
    const struct tapsi_starttls_options *o = taps_framing_options(framing);
    if (o->protocol == TAPSI_STARTTLS_NONE)
        return taps_framing_fail(framing, TAPS_E_CONFIGURATION, "it needs protocol=smtp, imap, pop3 or postgresql");
    if (taps_framing_is_datagram(framing))
        return taps_framing_fail(framing, TAPS_E_CONFIGURATION, "it needs a stream");
    return taps_framing_is_server(framing) ? tapsi_starttls_start_server(framing)
                                           : tapsi_starttls_start_client(framing);
}

static int handle_received_data(taps_framing *framing)
{
    return taps_framing_is_server(framing) ? tapsi_starttls_serve(framing) : tapsi_starttls_ask(framing);
}

const struct taps_framer_definition tapsi_framer_starttls = {
    .name = "starttls",
    .flags = TAPS_FRAMER_BELOW_SECURITY | TAPS_FRAMER_TRANSPARENT,
    .options_size = sizeof(struct tapsi_starttls_options),
    .state_size = sizeof(struct tapsi_starttls),
    .defaults = defaults,
    .set = set,
    .start = start,
    .handle_received_data = handle_received_data,
};
