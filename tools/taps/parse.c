/* The command line itself: rows of options, letters and names, bundles, help.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"
#include "message.h"
#include "options.h"
#include "term.h"

bool options_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || number > (max - (uint64_t)(*text - '0')) / 10)
            return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret_number = number;
    return true;
}

bool options_seconds(const char *text, uint64_t *ret_ms)
{
    char *end;
    double seconds;

    if (!*text || strspn(text, "0123456789.") != strlen(text))
        return false;
    seconds = strtod(text, &end);
    if (*end || !isfinite(seconds) || seconds > 86400)
        return false;
    *ret_ms = (uint64_t)(seconds * 1000 + 0.999);
    return true;
}

bool options_size(const char *text, uint64_t max, uint64_t *ret_size)
{
    static const char letters[] = "kKmMgG";
    size_t digits = strspn(text, "0123456789");
    const char *letter = text[digits] ? strchr(letters, text[digits]) : NULL;
    unsigned shift = letter ? 10 * ((unsigned)(letter - letters) / 2 + 1) : 0;
    char number[32];
    uint64_t value;

    if (digits >= sizeof number || (text[digits] && (!letter || text[digits + 1])))
        return false;
    snprintf(number, sizeof number, "%.*s", (int)digits, text);
    if (!options_number(number, max >> shift, &value) || value == 0)
        return false;
    *ret_size = value << shift;
    return true;
}

bool options_pair(const char *text, char *name, size_t size, const char **ret_value)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || (size_t)(equals - text) >= size)
        return false;
    snprintf(name, size, "%.*s", (int)(equals - text), text);
    *ret_value = equals + 1;
    return true;
}

int options_append(struct options_list *list, const char *option, const char *value)
{
    if (list->count == OPTIONS_LIST_MAX)
        return complain_usage("%s was given more than %d times", option, OPTIONS_LIST_MAX);
    list->items[list->count++] = value;
    return DONE;
}

static int take_property(void *target, const char *value)
{
    struct options *options = target;
    const char *equals = strchr(value, '=');

    if (!equals || equals == value)
        return complain_usage("-p takes NAME=VALUE, as in -p reliability=require, not '%s'", value);
    return options_append(&options->properties, "-p", value);
}

static int take_profile(void *target, const char *value)
{
    enum taps_properties_profile profile;

    if (taps_properties_profile_find(value, &profile) < 0)
        return complain_usage("there is no profile '%s': it is reliable-inorder-stream, reliable-message or "
                              "unreliable-datagram",
                              value);
    if (((struct options *)target)->datagrams)
        return complain_usage("--profile and --datagrams exclude each other: --datagrams is one");
    ((struct options *)target)->profile = value;
    return DONE;
}

static int take_datagrams(void *target, const char *value)
{
    struct options *options = target;

    (void)value;
    if (options->profile && !options->datagrams)
        return complain_usage("--profile and --datagrams exclude each other: --datagrams is one");
    options->profile = "unreliable-datagram";
    options->datagrams = true;
    return DONE;
}

static int take_security(void *target, const char *value)
{
    struct options *options = target;

    if (strcmp(value, "required") == 0)
        options->mode = TAPS_SECURITY_REQUIRED;
    else if (strcmp(value, "disabled") == 0)
        options->mode = TAPS_SECURITY_DISABLED;
    else if (strcmp(value, "opportunistic") == 0)
        options->mode = TAPS_SECURITY_OPPORTUNISTIC;
    else
        return complain_usage("--security is required, disabled or opportunistic, not '%s'", value);
    return DONE;
}

static int take_cafile(void *target, const char *value)
{
    ((struct options *)target)->cafile = value;
    return DONE;
}

static int take_pin(void *target, const char *value)
{
    return options_append(&((struct options *)target)->pins, "--pin", value);
}

static int take_psk(void *target, const char *value)
{
    return options_append(&((struct options *)target)->psks, "--psk", value);
}

static int take_client_cert(void *target, const char *value)
{
    ((struct options *)target)->client_cert = value;
    return DONE;
}

static int take_client_key(void *target, const char *value)
{
    ((struct options *)target)->client_key = value;
    return DONE;
}

static int take_password_file(void *target, const char *value)
{
    ((struct options *)target)->password_file = value;
    return DONE;
}

static int take_keylog(void *target, const char *value)
{
    ((struct options *)target)->key_log = value;
    return DONE;
}

static int take_session_file(void *target, const char *value)
{
    if (!*value)
        return complain_usage("--session-file takes the name of a file, not ''");
    ((struct options *)target)->session_file = value;
    return DONE;
}

static int take_security_protocol(void *target, const char *value)
{
    ((struct options *)target)->protocols = value;
    return DONE;
}

static int take_cert(void *target, const char *value)
{
    ((struct options *)target)->cert = value;
    return DONE;
}

static int take_key(void *target, const char *value)
{
    ((struct options *)target)->key = value;
    return DONE;
}

static int take_server_name(void *target, const char *value)
{
    ((struct options *)target)->server_name = value;
    return DONE;
}

static int take_min_version(void *target, const char *value)
{
    struct options *options = target;

    if (strcmp(value, "1.2") == 0)
        options->min_version = TAPS_TLS_1_2;
    else if (strcmp(value, "1.3") == 0)
        options->min_version = TAPS_TLS_1_3;
    else
        return complain_usage("--min-version is 1.2 or 1.3, not '%s'", value);
    return DONE;
}

static int take_alpn(void *target, const char *value)
{
    return options_append(&((struct options *)target)->alpn, "--alpn", value);
}

static int take_framer(void *target, const char *value)
{
    if (!*value || *value == ':')
        return complain_usage("--framer takes NAME or NAME:OPTION=VALUE,..., as in --framer length-prefix, not '%s'",
                              value);
    return options_append(&((struct options *)target)->framers, "--framer", value);
}

static int take_timeout(void *target, const char *value)
{
    struct options *options = target;

    if (!options_seconds(value, &options->timeout_ms) || options->timeout_ms == 0)
        return complain_usage("--timeout takes seconds above 0, as in --timeout 2.5, not '%s'", value);
    return DONE;
}

static int take_interface(void *target, const char *value)
{
    ((struct options *)target)->interface = value;
    return DONE;
}

static int take_family(struct options *options, int family)
{
    if (options->family && options->family != family)
        return complain_usage("-4 and -6 exclude each other; without either both are used");
    options->family = family;
    return DONE;
}

static int take_4(void *target, const char *value)
{
    (void)value;
    return take_family(target, 4);
}

static int take_6(void *target, const char *value)
{
    (void)value;
    return take_family(target, 6);
}

static int take_resolver(void *target, const char *value)
{
    if (!*value)
        return complain_usage("--resolver takes an address like 192.0.2.53 or [2001:db8::53]:5353, not ''");
    ((struct options *)target)->resolver = value;
    return DONE;
}

static int take_attempt_delay(void *target, const char *value)
{
    uint64_t ms;

    if (!options_number(value, 2000, &ms) || ms < 10)
        return complain_usage("--attempt-delay takes 10 to 2000 milliseconds, not '%s'", value);
    ((struct options *)target)->attempt_delay_ms = (uint32_t)ms;
    return DONE;
}

static int take_verbose(void *target, const char *value)
{
    (void)value;
    ((struct options *)target)->verbose++;
    return DONE;
}

static const struct option_row common_rows[] = {
    {'p', "property", "NAME=VALUE", "set a transport property (`taps help properties`); repeatable", take_property},
    {0, "profile", "NAME", "start from reliable-inorder-stream, reliable-message or unreliable-datagram", take_profile},
    {0, "datagrams", NULL,
     "Messages that may be lost, each a datagram: over QUIC (with --alpn) or DTLS, without security over UDP; the "
     "profile unreliable-datagram",
     take_datagrams},
    {0, "security", "MODE", "required (the default), opportunistic or disabled", take_security},
    {0, "cafile", "FILE", "trust the authorities in this PEM file instead of the system's", take_cafile},
    {0, "pin", "FILE|sha256//...",
     "and accept only the server certificate in this PEM file, or the public key with this SHA-256 (`taps probe` shows "
     "it); repeatable",
     take_pin},
    {0, "cert", "FILE", "own certificate chain, PEM or a URI pkcs11:...; with --key", take_cert},
    {0, "key", "FILE", "its private key, PEM or a URI", take_key},
    {0, "client-cert", "FILE", "the same when connecting, by another name", take_client_cert},
    {0, "client-key", "FILE", "its private key", take_client_key},
    {0, "password-file", "FILE", "the password of an encrypted key, or the PIN of a token, in the first line",
     take_password_file},
    {0, "psk", "IDENTITY:HEXKEY",
     "a key that both ends have, instead of certificates; @FILE has one a line, and no other user sees it; repeatable, "
     "a client shows the first",
     take_psk},
    {0, "keylog", "FILE", "append the secrets of every session, for programs that look into captures", take_keylog},
    {0, "session-file", "FILE", "keep sessions (TLS, DTLS, QUIC) here, to be resumed the next time; whoever connects",
     take_session_file},
    {0, "security-protocol", "NAME[,NAME]", "only these: tls1.3, tls1.2, dtls1.2, quic", take_security_protocol},
    {0, "alpn", "NAME[,NAME]", "application protocols, best first; repeatable. QUIC is there only with one", take_alpn},
    {0, "server-name", "NAME", "the name to send and to expect in the certificate", take_server_name},
    {0, "min-version", "VERSION", "no TLS below 1.2 or 1.3", take_min_version},
    {'f', "framer", "NAME[:OPTIONS]",
     "put a Message Framer above the transport, with options as in length-prefix:length=2,order=little; repeatable, "
     "the "
     "last one is the outermost",
     take_framer},
    {0, "timeout", "SECONDS", "for all of it, from DNS to the last handshake (default 30)", take_timeout},
    {0, "interface", "NAME", "only this interface, or interfaces of this type (ethernet, wifi ...)", take_interface},
    {'4', NULL, NULL, "only IPv4", take_4},
    {'6', NULL, NULL, "only IPv6", take_6},
    {0, "resolver", "ADDR[:PORT]", "ask this DNS server; several with commas", take_resolver},
    {0, "attempt-delay", "MS", "between the starts of two attempts (default 250)", take_attempt_delay},
    {'v', "verbose", NULL, "tell what happens on standard error; twice: everything", take_verbose},
    {0, NULL, NULL, NULL, NULL},
};

static const struct option_row no_rows[] = {{0, NULL, NULL, NULL, NULL}};

struct parser {
    struct options *options;
    void *own;
    const struct command *command;
    int argc, at;
    char **argv;
};

static const struct option_row *rows_own(const struct command *command)
{
    return command->options ? command->options : no_rows;
}

static const struct option_row *rows_messages(const struct command *command)
{
    return command->messages ? message_rows : no_rows;
}

static const struct option_row *rows_common(const struct command *command)
{
    return command->common ? common_rows : no_rows;
}

static const struct option_row *find(const struct option_row *rows, char letter, const char *name, size_t length)
{
    for (; rows->help; rows++) {
        if (letter && rows->letter == letter)
            return rows;
        if (name && rows->name && strlen(rows->name) == length && strncmp(rows->name, name, length) == 0)
            return rows;
    }
    return NULL;
}

/* Looks in all tables and finds the right target for the row. */
static const struct option_row *look_up(struct parser *parser, char letter, const char *name, size_t length,
                                        void **ret_target)
{
    const struct option_row *row = find(rows_own(parser->command), letter, name, length);

    *ret_target = parser->own;
    if (row)
        return row;
    *ret_target = parser->options;
    row = find(rows_messages(parser->command), letter, name, length);
    return row ? row : find(rows_common(parser->command), letter, name, length);
}

static int parse_long(struct parser *parser, const char *name)
{
    size_t length = strcspn(name, "=");
    const char *value = name[length] ? name + length + 1 : NULL;
    void *target;
    const struct option_row *row = look_up(parser, 0, name, length, &target);

    if (!row)
        return complain_usage("there is no option --%.*s", (int)length, name);
    if (value && !row->value)
        return complain_usage("--%s takes no value", row->name);
    if (!value && row->value) {
        if (parser->at + 1 >= parser->argc)
            return complain_usage("--%s needs a value: --%s %s", row->name, row->name, row->value);
        value = parser->argv[++parser->at];
    }
    return row->take(target, value);
}

static int parse_letters(struct parser *parser, const char *letters)
{
    for (; *letters; letters++) {
        void *target;
        const struct option_row *row = look_up(parser, *letters, NULL, 0, &target);
        const char *value = letters[1] ? letters + 1 : NULL;
        int code;

        if (!row)
            return complain_usage("there is no option -%c", *letters);
        if (row->value && !value) {
            if (parser->at + 1 >= parser->argc)
                return complain_usage("-%c needs a value: -%c %s", row->letter, row->letter, row->value);
            value = parser->argv[++parser->at];
        }
        code = row->take(target, row->value ? value : NULL);
        if (code || row->value)
            return code;
    }
    return DONE;
}

static int parse_argument(struct options *options, const char *argument)
{
    if (options->argument_count == sizeof options->arguments / sizeof options->arguments[0])
        return complain_usage("'%s' is one argument too many", argument);
    options->arguments[options->argument_count++] = argument;
    return DONE;
}

int options_parse(struct options *options, void *own, const struct command *command, int argc, char **argv)
{
    struct parser parser = {.options = options, .own = own, .command = command, .argc = argc, .argv = argv, .at = 1};
    bool only_arguments = false;
    int code = DONE;

    *options = (struct options){.mode = TAPS_SECURITY_REQUIRED};
    for (; parser.at < argc && code == DONE; parser.at++) {
        const char *word = argv[parser.at];

        if (only_arguments || word[0] != '-' || !word[1]) {
            code = parse_argument(options, word);
        } else if (strcmp(word, "--") == 0) {
            only_arguments = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            options_help(command);
            return finish_output();
        } else if (word[1] == '-') {
            code = parse_long(&parser, word + 2);
        } else {
            code = parse_letters(&parser, word + 1);
        }
    }
    return code == DONE ? OPTIONS_RUN : code;
}

static void help_rows(const struct term *term, const char *heading, const struct option_row *rows)
{
    enum { COLUMN = 30 };

    if (rows->help)
        printf("\n%s%s%s\n", term_ink(term, INK_HEAD), heading, term_ink(term, INK_PLAIN));
    for (; rows->help; rows++) {
        char left[64], letter[8] = "    ";

        if (rows->letter)
            snprintf(letter, sizeof letter, "-%c%s", rows->letter, rows->name ? ", " : "");
        snprintf(left, sizeof left, "  %s%s%s%s%s", letter, rows->name ? "--" : "", rows->name ? rows->name : "",
                 rows->value ? " " : "", rows->value ? rows->value : "");
        if (term_columns(left) < COLUMN) {
            term_pad(term, left, COLUMN - 1);
            fputc(' ', term->out);
        } else {
            fprintf(term->out, "%s\n%*s", left, COLUMN, "");
        }
        term_wrap(term, rows->help, COLUMN);
    }
}

void options_help(const struct command *command)
{
    struct term term;

    term_init(&term, stdout);
    printf("usage: taps %s [OPTIONS]%s%s\n\n%s", command->name, command->arguments ? " " : "",
           command->arguments ? command->arguments : "", command->description);
    help_rows(&term, "Options", rows_own(command));
    help_rows(&term, "Options of Messages", rows_messages(command));
    help_rows(&term, "Common options", rows_common(command));
    printf("\nExit codes: 0 it worked, 1 establishment or transfer failed, 2 the command line is wrong.\n");
}
