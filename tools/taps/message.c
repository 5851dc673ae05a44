/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdio.h>
#include <string.h>

#include "complain.h"
#include "framers.h"

static int take_count(void *target, const char *value)
{
    struct options *options = target;

    if (!options_number(value, UINT64_MAX / 2, &options->message.count) || options->message.count == 0)
        return complain_usage("--count takes a number of Messages from 1, not '%s'", value);
    return DONE;
}

static int take_size(void *target, const char *value)
{
    struct options *options = target;
    uint64_t size;

    if (!options_size(value, MESSAGE_SIZE_MAX, &size))
        return complain_usage("--size takes bytes from 1 to 64M, as in --size 1200 or --size 64k, not '%s'", value);
    options->message.size = (size_t)size;
    return DONE;
}

static int take_rate(void *target, const char *value)
{
    if (!rate_parse(value, &((struct options *)target)->message.rate))
        return complain_usage("--rate takes Messages per second, as in --rate 250 or --rate 10k, or bytes per second, "
                              "as in --rate 2.5MB or --rate 64KiB, not '%s'",
                              value);
    return DONE;
}

static int take_property(void *target, const char *value)
{
    const char *equals = strchr(value, '=');

    if (!equals || equals == value)
        return complain_usage("--message-property takes NAME=VALUE, as in --message-property msgPriority=10, not '%s'",
                              value);
    return options_append(&((struct options *)target)->message.properties, "--message-property", value);
}

static int take_metadata(void *target, const char *value)
{
    const char *equals = strchr(value, '=');

    if (!equals || equals == value)
        return complain_usage("--metadata takes KEY=VALUE, not '%s'", value);
    return options_append(&((struct options *)target)->message.metadata, "--metadata", value);
}

static int take_progress(void *target, const char *value)
{
    struct options *options = target;

    (void)value;
    options->message.progress = true;
    return options->message.quiet ? complain_usage("--progress and --quiet exclude each other") : DONE;
}

static int take_quiet(void *target, const char *value)
{
    struct options *options = target;

    (void)value;
    options->message.quiet = true;
    return options->message.progress ? complain_usage("--progress and --quiet exclude each other") : DONE;
}

const struct option_row message_rows[] = {
    {'n', "count", "N", "end after N Messages", take_count},
    {'s', "size", "BYTES", "size of a Message: 1200, 64k, 1M (of 1024)", take_size},
    {'r', "rate", "RATE", "Messages per second (250, 10k) or bytes per second (1500B, 2.5MB, 64KiB)", take_rate},
    {'m', "message-property", "NAME=VALUE",
     "set a Message Property (`taps help properties`) on every Message sent; repeatable", take_property},
    {0, "metadata", "[FRAMER/]KEY=VALUE",
     "tell the outermost Framer, or the one named, something of every Message; repeatable", take_metadata},
    {0, "progress", NULL, "tell on standard error how far it is, though that is no terminal", take_progress},
    {'q', "quiet", NULL, "never tell how far it is; without either: where standard error is a terminal", take_quiet},
    {0, NULL, NULL, NULL, NULL},
};

static void list_properties(void)
{
    char text[512] = "";
    size_t used = 0;

    for (enum taps_property i = 1; i < TAPS_PROPERTY_COUNT; i++) {
        const struct taps_property_info *info = taps_property_info(i);

        if (info && info->scope == TAPS_SCOPE_MESSAGE && used + strlen(info->name) + 3 < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", info->name);
    }
    complain_hint("Messages have: %s.", text);
}

static int bad_property(const char *name, const char *value, int error)
{
    const struct taps_property_info *info = taps_property_info(taps_property_find(name));

    if (info && info->scope == TAPS_SCOPE_MESSAGE)
        return options_bad_property(info->name, value, error);
    if (info)
        complain("%s is no property of a Message: -p sets those of the connection", info->name);
    else
        complain("there is no Message Property '%s'", name);
    list_properties();
    return USAGE;
}

static int set_property(taps_message_context *context, const char *text)
{
    const char *value;
    char name[128];
    int error;

    if (!options_pair(text, name, sizeof name, &value))
        return bad_property(text, "", TAPS_E_UNKNOWN_PROPERTY);
    if (taps_property_find(name) == TAPS_FINAL)
        return complain_usage("final is not for every Message: the last one is final by itself");
    error = taps_message_context_set(context, name, value);
    return error < 0 ? bad_property(name, value, error) : DONE;
}

static int fill(const struct options *options, bool final, taps_message_context *context)
{
    const struct options_list *properties = &options->message.properties;
    int code = DONE;

    for (size_t i = 0; i < properties->count && code == DONE; i++)
        code = set_property(context, properties->items[i]);
    if (code == DONE)
        code = framers_add_metadata(options, context);
    if (code == DONE && final && taps_message_context_set(context, "final", "true") < 0)
        code = complain_code("make a message context", TAPS_E_MEMORY);
    return code;
}

static int make(const struct options *options, bool final, bool early, taps_message_context **ret_context)
{
    taps_message_context *context = NULL;
    int code, error = taps_message_context_new(&context);

    if (error < 0)
        return complain_code("make a message context", error);
    code = fill(options, final, context);
    if (code == DONE && early && taps_message_context_set(context, "safelyReplayable", "true") < 0)
        code = complain_code("make a message context", TAPS_E_MEMORY);
    if (code == DONE)
        *ret_context = context;
    else
        taps_message_context_free(context);
    return code;
}

int message_context(const struct options *options, taps_message_context **ret_context)
{
    if (options->message.properties.count > 0 || options->message.metadata.count > 0)
        return make(options, false, false, ret_context);
    *ret_context = NULL;
    return DONE;
}

int message_final_context(const struct options *options, taps_message_context **ret_context)
{
    return make(options, true, false, ret_context);
}

int message_early_context(const struct options *options, bool final, taps_message_context **ret_context)
{
    return make(options, final, true, ret_context);
}
