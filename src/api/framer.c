/* taps_framer_*: the Framer as the application has it. What a Framer's own functions call is in src/stack/framer. */
#include <string.h>
#include <taps/framer.h>
#include "message/framers.h"
#include "stack/framer/framer.h"

#define NAME_MAX_LENGTH 64

TAPS_API int taps_framer_new_custom(const struct taps_framer_definition *definition, taps_framer **ret_framer)
{
    if (!definition || !definition->name || !definition->name[0] || !ret_framer)
        return TAPS_E_ARGUMENT;
    struct taps_framer *framer = tapsi_framer_new(tapsi_mem_default(), definition);
    if (!framer)
        return TAPS_E_MEMORY;
    *ret_framer = framer;
    return 0;
}

TAPS_API int taps_framer_new(const char *name, taps_framer **ret_framer)
{
    if (!name || !ret_framer)
        return TAPS_E_ARGUMENT;
    const struct taps_framer_definition *definition = tapsi_framers_find(name);
    return definition ? taps_framer_new_custom(definition, ret_framer) : TAPS_E_UNKNOWN_PROPERTY;
}

TAPS_API int taps_framer_set(taps_framer *framer, const char *key, const char *value)
{
    if (!framer || !key || !value)
        return TAPS_E_ARGUMENT;
    return framer->definition->set ? framer->definition->set(framer->options, key, value) : TAPS_E_UNKNOWN_PROPERTY;
}

/* "key=value,key=value": a comma that belongs to a value is written "\,". */
static int set_all(taps_framer *framer, char *text)
{
    int err = 0;
    while (*text && !err) {
        char *to = text, *at = text;
        for (; *at && *at != ','; at++) {
            if (at[0] == '\\' && at[1] == ',')
                at++;
            *to++ = *at;
        }
        bool more = *at != '\0';
        *to = '\0';
        char *value = strchr(text, '=');
        if (value)
            *value++ = '\0';
        err = *text ? taps_framer_set(framer, text, value ? value : "true") : TAPS_E_RANGE;
        text = more ? at + 1 : at;
    }
    return err;
}

TAPS_API int taps_framer_new_text(const char *text, taps_framer **ret_framer)
{
    char name[NAME_MAX_LENGTH];
    if (!text || !ret_framer)
        return TAPS_E_ARGUMENT;
    size_t length = strcspn(text, ":");
    if (length >= sizeof(name))
        return TAPS_E_UNKNOWN_PROPERTY;
    memcpy(name, text, length);
    name[length] = '\0';
    taps_framer *framer;
    int err = taps_framer_new(name, &framer);
    char *options = err || !text[length] ? NULL : tapsi_strdup(tapsi_mem_default(), text + length + 1);
    if (!err && text[length])
        err = options ? set_all(framer, options) : TAPS_E_MEMORY;
    else if (err)
        return err;
    tapsi_free(tapsi_mem_default(), options);
    if (err) {
        taps_framer_free(framer);
        return err;
    }
    *ret_framer = framer;
    return 0;
}

TAPS_API void *taps_framer_options(taps_framer *framer)
{
    return framer ? framer->options : NULL;
}

TAPS_API const char *taps_framer_name(const taps_framer *framer)
{
    return framer ? framer->definition->name : NULL;
}

TAPS_API void taps_framer_free(taps_framer *framer)
{
    tapsi_framer_unref(framer);
}

TAPS_API const char *taps_framer_known(size_t index)
{
    const struct taps_framer_definition *definition = tapsi_framers_at(index);
    return definition ? definition->name : NULL;
}
