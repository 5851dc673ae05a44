#include <taps/taps.h>

#include "base/test.h"
#include "select/message_properties.h"

static taps_message_context *fresh(void)
{
    taps_message_context *context = NULL;
    CHECK_INT(taps_message_context_new(&context), 0);
    return context;
}

/* proves API-100, API-101, API-104 (values) */
TEST(what_was_set_can_be_read_and_nothing_else)
{
    taps_message_context *context = fresh();
    struct taps_value value;
    NEED(context);
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++)
        CHECK_INT(taps_message_context_get(context, (enum taps_property)i, &value), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_message_context_set(context, "MsgLifetime", "1.5"), 0);
    CHECK_INT(taps_message_context_set(context, "final", "true"), 0);
    CHECK_INT(taps_message_context_get(context, TAPS_MSG_LIFETIME, &value), 0);
    CHECK(value.type == TAPS_TYPE_NUMBER && value.number == 1.5);
    CHECK_INT(taps_message_context_get(context, TAPS_FINAL, &value), 0);
    CHECK(value.type == TAPS_TYPE_BOOLEAN && value.boolean);
    value = (struct taps_value){.type = TAPS_TYPE_INTEGER, {.integer = 3}};
    CHECK_INT(taps_message_context_set_value(context, TAPS_MSG_PRIORITY, value), 0);
    CHECK_INT(taps_message_context_get(context, TAPS_MSG_PRIORITY, &value), 0);
    CHECK_INT(value.integer, 3);
    CHECK_INT(taps_message_context_get(context, TAPS_MSG_ORDERED, &value), TAPS_E_NOT_APPLICABLE);
    taps_message_context_free(context);
}

TEST(nothing_and_nonsense_are_refused)
{
    taps_message_context *context = fresh(), *other = (taps_message_context *)1;
    struct taps_value value = {.type = TAPS_TYPE_INTEGER, {.integer = 1}};
    NEED(context);
    CHECK_INT(taps_message_context_new(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_copy(NULL, &other), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_copy(context, NULL), TAPS_E_ARGUMENT);
    CHECK(other == (taps_message_context *)1);
    CHECK_INT(taps_message_context_set(NULL, "final", "true"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_set(context, NULL, "true"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_set(context, "final", NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_set(context, "finale", "true"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_message_context_set(context, "final", "perhaps"), TAPS_E_RANGE);
    CHECK_INT(taps_message_context_set(context, "reliability", "require"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_message_context_set(context, "connState", "closed"), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_message_context_set_value(NULL, TAPS_MSG_PRIORITY, value), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_set_value(context, TAPS_FINAL, value), TAPS_E_TYPE);
    CHECK_INT(taps_message_context_set_value(context, TAPS_CONN_PRIORITY, value), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_message_context_set_value(context, (enum taps_property) - 9, value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_message_context_get(NULL, TAPS_FINAL, &value), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_get(context, TAPS_FINAL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_message_context_get(context, TAPS_PROPERTY_NONE, &value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_message_context_get(context, TAPS_FINAL, &value), TAPS_E_NOT_APPLICABLE);
    taps_message_context_free(NULL);
    taps_message_context_free(context);
}

/* proves API-003 (values): a copy may also be made of a context that is part of a received Message */
TEST(a_copy_is_independent_and_freed_on_its_own)
{
    struct taps_message_context received;
    taps_message_context *copy = NULL;
    struct taps_value value;
    tapsi_message_context_init(&received, NULL);
    CHECK_INT(tapsi_message_context_set_text(&received, TAPS_FINAL, "true"), 0);
    received.head.received = TAPSI_RECEIVED;
    CHECK_INT(tapsi_message_context_set_text(&received, TAPS_FINAL, "false"), TAPS_E_READ_ONLY);
    CHECK_INT(taps_message_context_copy(&received, &copy), 0);
    NEED(copy);
    taps_message_context_free(&received);
    CHECK_INT(taps_message_context_set(copy, "final", "false"), 0);
    CHECK_INT(taps_message_context_get(&received, TAPS_FINAL, &value), 0);
    CHECK(value.boolean);
    taps_message_context_free(copy);
}
