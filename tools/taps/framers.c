/* SPDX-License-Identifier: MIT */
#include "framers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <taps/framer.h>

#include "complain.h"

static size_t name_length(const char *text)
{
    return strcspn(text, ":");
}

static int bad_name(const char *text)
{
    char known[512] = "";
    size_t used = 0;

    for (size_t i = 0; taps_framer_known(i) && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", taps_framer_known(i));
    complain("there is no Framer '%.*s'", (int)name_length(text), text);
    complain_hint("There are: %s.", used ? known : "none in this build");
    return USAGE;
}

/* The length of the option at `text`: to the next comma that is none of its value. */
static size_t option_length(const char *text)
{
    size_t length = 0;

    while (text[length] && text[length] != ',')
        length += text[length] == '\\' && text[length + 1] == ',' ? 2 : 1;
    return length;
}

/* Is this the option that is refused? Each is tried alone. */
static bool is_refused(const char *text, const char *option, size_t length, int *ret_error)
{
    size_t name = name_length(text);
    taps_framer *framer = NULL;
    char *alone = malloc(name + length + 2);
    int error;

    if (!alone)
        return false;
    sprintf(alone, "%.*s:%.*s", (int)name, text, (int)length, option);
    error = taps_framer_new_text(alone, &framer);
    taps_framer_free(framer);
    free(alone);
    if (error < 0)
        *ret_error = error;
    return error < 0;
}

static int bad_option(const char *text, int error)
{
    const char *option = text + name_length(text) + 1;
    size_t length = option_length(option);

    while (length > 0 && !is_refused(text, option, length, &error) && option[length]) {
        option += length + 1;
        length = option_length(option);
    }
    if (length > 0 && error == TAPS_E_UNKNOWN_PROPERTY)
        complain("the Framer %.*s has no option '%.*s'", (int)name_length(text), text, (int)strcspn(option, "=,"),
                 option);
    else
        complain("the Framer %.*s cannot have '%.*s'", (int)name_length(text), text, (int)length, option);
    complain_hint("Options are NAME=VALUE with commas between; a comma in a value is written \\,. "
                  "docs/framers/%.*s.md lists them.",
                  (int)name_length(text), text);
    return USAGE;
}

static int make(const char *text, taps_framer **ret_framer)
{
    int error = taps_framer_new_text(text, ret_framer);
    char name[65];

    if (error >= 0)
        return DONE;
    if (error == TAPS_E_MEMORY)
        return complain_code("make a Framer", error);
    if (name_length(text) >= sizeof name)
        return bad_name(text);
    snprintf(name, sizeof name, "%.*s", (int)name_length(text), text);
    if (taps_framer_new(name, ret_framer) < 0)
        return bad_name(text);
    taps_framer_free(*ret_framer);
    *ret_framer = NULL;
    return bad_option(text, error);
}

int framers_add(const struct options *options, taps_preconnection *preconnection)
{
    int code = DONE;

    for (size_t i = 0; i < options->framers.count && code == DONE; i++) {
        taps_framer *framer = NULL;

        code = make(options->framers.items[i], &framer);
        if (code == DONE) {
            int error = taps_preconnection_add_framer(preconnection, framer);

            if (error == TAPS_E_RANGE)
                code = complain_usage("--framer was given %zu times: a connection takes %zu at most",
                                      options->framers.count, i);
            else if (error < 0)
                code = complain_code("use the Framer", error);
        }
        taps_framer_free(framer);
    }
    return code;
}

/* A WebSocket peer answers Close with Close, and an MQTT server closes after DISCONNECT: what is on its way is lost. */
bool framers_end_both(const struct options *options)
{
    static const char *const names[] = {"websocket", "mqtt"};

    for (size_t i = 0; i < options->framers.count; i++) {
        const char *text = options->framers.items[i];

        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++)
            if (name_length(text) == strlen(names[j]) && strncasecmp(text, names[j], name_length(text)) == 0)
                return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------- metadata */

static bool is_prefix(const char *text, const char *framer, size_t length)
{
    return strncmp(text, framer, length) == 0 && text[length] == '/';
}

/* The Framer that is meant: the one whose name and "/" the text begins with, else the outermost. */
static const char *framer_of(const struct options *options, const char **text)
{
    size_t count = options->framers.count;

    for (size_t i = 0; i < count; i++) {
        const char *framer = options->framers.items[i];

        if (is_prefix(*text, framer, name_length(framer))) {
            *text += name_length(framer) + 1;
            return framer;
        }
    }
    return count > 0 ? options->framers.items[count - 1] : NULL;
}

static int add_one(const struct options *options, taps_message_context *context, const char *text)
{
    const char *which = framer_of(options, &text), *value;
    taps_framer *framer = NULL;
    char key[256];
    int code, error;

    if (!which)
        return complain_usage("--metadata is for a Framer: name one with --framer");
    if (!options_pair(text, key, sizeof key, &value))
        return complain_usage("--metadata takes KEY=VALUE with a key of at most 255 bytes, not '%s'", text);
    code = make(which, &framer);
    if (code != DONE)
        return code;
    error = taps_message_context_add_metadata(context, taps_framer_name(framer), key, value);
    taps_framer_free(framer);
    return error < 0 ? complain_code("add metadata", error) : DONE;
}

int framers_add_metadata(const struct options *options, taps_message_context *context)
{
    const struct options_list *metadata = &options->message.metadata;
    int code = DONE;

    for (size_t i = 0; i < metadata->count && code == DONE; i++)
        code = add_one(options, context, metadata->items[i]);
    return code;
}
