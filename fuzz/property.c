/*
 * Properties by name and text, and typed. A line is "name=text", "=name" (a profile) or "!" with a property, a type and
 * the bytes of a value. What was taken must read back as text that is taken again and means the same; what was refused
 * must have changed nothing.
 */
#include <math.h>
#include <stdio.h>
#include "input.h"
#include "support.h"

#define LINES 64

struct subject {
    taps_transport_properties *properties;
    taps_message_context *message;
};

static char *text_of(const taps_transport_properties *p, enum taps_property property)
{
    int length = taps_transport_properties_get_text(p, property, NULL, 0);
    CHECK(length >= 0);
    char *text = fuzz_copy("", 0);
    text = realloc(text, (size_t)length + 1);
    CHECK_INT(taps_transport_properties_get_text(p, property, text, (size_t)length + 1), length);
    CHECK_INT(strlen(text), length);
    return text;
}

/* Each size that is too small gets the beginning. */
static void check_sizes(const taps_transport_properties *p, enum taps_property property, const char *text)
{
    size_t length = strlen(text);
    for (size_t size = 1; size <= length; size += 1 + length / 8) {
        char *part = malloc(size);
        CHECK_INT(taps_transport_properties_get_text(p, property, part, size), length);
        CHECK(strlen(part) == size - 1 && strncmp(part, text, size - 1) == 0);
        free(part);
    }
}

static bool same_value(struct taps_value a, struct taps_value b)
{
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case TAPS_TYPE_PREFERENCE:
        return a.preference == b.preference;
    case TAPS_TYPE_BOOLEAN:
        return a.boolean == b.boolean;
    case TAPS_TYPE_INTEGER:
        return a.integer == b.integer;
    case TAPS_TYPE_NUMBER: /* its text has nanoseconds */
        return fabs(a.number - b.number) <= 1e-9 + fabs(a.number) * 1e-15;
    case TAPS_TYPE_ENUMERATION:
        return a.enumeration == b.enumeration;
    case TAPS_TYPE_SET:
        return true;
    }
    return false;
}

/* Another object that is told the text has the same value and the same text. */
static void check_round_trip(const taps_transport_properties *p, enum taps_property property)
{
    const struct taps_property_info *info = taps_property_info(property);
    taps_transport_properties *other;
    struct taps_value a = {.type = info->type}, b = {.type = info->type};
    char *text = text_of(p, property);
    check_sizes(p, property, text);
    CHECK_INT(taps_transport_properties_new(&other), 0);
    CHECK_INT(taps_transport_properties_set(other, info->name, text), 0);
    char *again = text_of(other, property);
    CHECK_TEXT(again, text);
    CHECK(taps_transport_properties_is_set(other, property));
    CHECK(taps_transport_properties_has(other, property) == taps_transport_properties_has(p, property));
    if (info->type != TAPS_TYPE_SET) {
        CHECK_INT(taps_transport_properties_get(p, property, &a), 0);
        CHECK_INT(taps_transport_properties_get(other, property, &b), 0);
    }
    CHECK(same_value(a, b));
    free(text);
    free(again);
    taps_transport_properties_free(other);
}

static void check_refusal(int err)
{
    CHECK(err < 0 && err >= TAPS_E_SYSTEM);
    CHECK(taps_err_name(err)[0] && taps_err_text(err)[0]);
}

/* Messages take the same text, and keep the same value, where the property is one of theirs. */
static void set_message(struct subject *s, const char *name, const char *text, enum taps_property property, int taken)
{
    struct taps_value ours, theirs;
    int err = taps_message_context_set(s->message, name, text);
    if (property == TAPS_PROPERTY_NONE || taps_property_info(property)->scope != TAPS_SCOPE_MESSAGE) {
        check_refusal(err);
        return;
    }
    CHECK(err == 0 || err == taken || taken == 0);
    if (err || taken)
        return;
    CHECK_INT(taps_message_context_get(s->message, property, &theirs), 0);
    CHECK_INT(taps_transport_properties_get(s->properties, property, &ours), 0);
    CHECK(same_value(ours, theirs));
}

static void set_text(struct subject *s, char *line)
{
    char *equals = strchr(line, '='), *before = NULL;
    if (!equals)
        return;
    *equals = '\0';
    enum taps_property property = taps_property_find(line);
    if (property != TAPS_PROPERTY_NONE)
        before = text_of(s->properties, property);
    int err = taps_transport_properties_set(s->properties, line, equals + 1);
    CHECK((property == TAPS_PROPERTY_NONE) == (err == TAPS_E_UNKNOWN_PROPERTY));
    if (err == 0) {
        check_round_trip(s->properties, property);
    } else {
        check_refusal(err);
        char *after = before ? text_of(s->properties, property) : NULL;
        CHECK(!before || strcmp(before, after) == 0);
        free(after);
    }
    set_message(s, line, equals + 1, property, err);
    free(before);
}

static struct taps_value read_value(struct fuzz_input *in)
{
    struct taps_value value = {.type = (enum taps_type)fuzz_below(in, 8)};
    uint64_t word = fuzz_number(in, 8);
    switch (value.type) {
    case TAPS_TYPE_BOOLEAN:
        value.boolean = word & 1;
        break;
    case TAPS_TYPE_PREFERENCE:
        value.preference = (enum taps_preference)(int8_t)word;
        break;
    case TAPS_TYPE_ENUMERATION:
        value.enumeration = (int)(int8_t)word;
        break;
    case TAPS_TYPE_NUMBER:
        memcpy(&value.number, &word, sizeof(word));
        break;
    default:
        value.integer = word;
    }
    return value;
}

static void set_typed(struct subject *s, const char *line)
{
    struct fuzz_input in = fuzz_input((const uint8_t *)line, strlen(line));
    enum taps_property property = (enum taps_property)fuzz_below(&in, TAPS_PROPERTY_COUNT + 2);
    struct taps_value value = read_value(&in), now;
    char *rest = fuzz_copy(in.at, in.left);
    int err;
    if (value.type == TAPS_TYPE_SET)
        err = taps_transport_properties_add(s->properties, property, (enum taps_preference)(int8_t)value.integer, rest);
    else
        err = taps_transport_properties_set_value(s->properties, property, value);
    if (err)
        check_refusal(err);
    else
        check_round_trip(s->properties, property);
    if (!err && value.type != TAPS_TYPE_SET) {
        CHECK_INT(taps_transport_properties_get(s->properties, property, &now), 0);
        CHECK(same_value(value, now));
    }
    free(rest);
    err = taps_message_context_set_value(s->message, property, value);
    CHECK(err == 0 || taps_err_reason(err) != TAPS_REASON_NONE || err < 0);
}

static void start_again(struct subject *s, const char *profile)
{
    enum taps_properties_profile p;
    taps_transport_properties *copy;
    if (taps_properties_profile_find(profile, &p) == 0) {
        taps_transport_properties_free(s->properties);
        CHECK_INT(taps_transport_properties_new_profile(p, &s->properties), 0);
    }
    CHECK_INT(taps_transport_properties_copy(s->properties, &copy), 0);
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        char *a = text_of(s->properties, (enum taps_property)i), *b = text_of(copy, (enum taps_property)i);
        CHECK_TEXT(a, b);
        free(a);
        free(b);
    }
    taps_transport_properties_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct subject s;
    fuzz_begin();
    CHECK_INT(taps_transport_properties_new(&s.properties), 0);
    CHECK_INT(taps_message_context_new(&s.message), 0);
    for (int i = 0; i < LINES && in.left; i++) {
        char *line = fuzz_line(&in);
        if (line[0] == '!')
            set_typed(&s, line + 1);
        else if (line[0] == '=')
            start_again(&s, line + 1);
        else
            set_text(&s, line);
        free(line);
    }
    taps_message_context_free(s.message);
    taps_transport_properties_free(s.properties);
    return 0;
}
