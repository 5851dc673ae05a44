#include "select/message_properties.h"

#include "base/test.h"

static const struct tapsi_offer stream = {
    .stack = "tcp", .capability = {[TAPS_RELIABILITY] = TAPSI_CAP_ALWAYS, [TAPS_PRESERVE_ORDER] = TAPSI_CAP_ALWAYS}};
static const struct tapsi_offer datagram = {.stack = "udp"};

static struct taps_message_context fresh(void)
{
    struct taps_message_context context;
    tapsi_message_context_init(&context, NULL);
    return context;
}

/* proves API-100..108 (types) */
TEST(message_properties_and_no_others_can_be_set)
{
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        enum taps_property property = (enum taps_property)i;
        const struct tapsi_property_row *row = tapsi_property_row(property);
        struct taps_message_context context = fresh();
        bool message = row->info.scope == TAPS_SCOPE_MESSAGE;
        CHECK(!tapsi_message_context_is_set(&context, property));
        CHECK_INT(tapsi_message_context_set(&context, property, row->initial), message ? 0 : TAPS_E_NOT_APPLICABLE);
        CHECK_INT(tapsi_message_context_is_set(&context, property), message);
        CHECK_INT(tapsi_message_context_set_text(&context, property, row->info.default_text),
                  message ? 0 : TAPS_E_NOT_APPLICABLE);
        CHECK(message == (i >= TAPS_MSG_LIFETIME));
    }
}

TEST(what_is_wrong_is_refused_and_changes_nothing)
{
    struct taps_message_context context = fresh();
    struct taps_value value = {.type = TAPS_TYPE_INTEGER, {.integer = 1}};
    CHECK_INT(tapsi_message_context_set(&context, TAPS_PROPERTY_NONE, value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(tapsi_message_context_set(&context, (enum taps_property)1000, value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(tapsi_message_context_set_text(&context, TAPS_PROPERTY_COUNT, "1"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(tapsi_message_context_set(&context, TAPS_FINAL, value), TAPS_E_TYPE);
    CHECK_INT(tapsi_message_context_set_text(&context, TAPS_FINAL, "perhaps"), TAPS_E_RANGE);
    CHECK_INT(tapsi_message_context_set_text(&context, TAPS_MSG_LIFETIME, "0"), TAPS_E_RANGE);
    CHECK(context.head.set == 0);
    CHECK(!tapsi_message_context_is_set(&context, TAPS_PROPERTY_NONE));
    CHECK(!tapsi_message_context_is_set(&context, (enum taps_property) - 1));
}

/* proves API-102, API-106 */
TEST(order_and_reliability_come_from_the_stack)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    NEED(p);
    CHECK(tapsi_message_value(NULL, p, &stream, TAPS_MSG_ORDERED).boolean);
    CHECK(tapsi_message_value(NULL, p, &stream, TAPS_MSG_RELIABLE).boolean);
    CHECK(!tapsi_message_value(NULL, p, &datagram, TAPS_MSG_ORDERED).boolean);
    CHECK(!tapsi_message_value(NULL, p, &datagram, TAPS_MSG_RELIABLE).boolean);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MSG_RELIABLE, "true"), 0);
    CHECK(tapsi_message_value(NULL, p, &datagram, TAPS_MSG_RELIABLE).boolean);
    tapsi_properties_unref(p);
}

/* proves API-107, API-110 (values) */
TEST(a_message_overrides_the_connection_which_overrides_the_default)
{
    struct tapsi_properties *p = tapsi_properties_new(tapsi_mem_default());
    struct taps_message_context context = fresh();
    NEED(p);
    CHECK_INT(tapsi_message_value(&context, p, &stream, TAPS_MSG_PRIORITY).integer, 100);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MSG_PRIORITY, "50"), 0);
    CHECK_INT(tapsi_message_value(&context, p, &stream, TAPS_MSG_PRIORITY).integer, 50);
    CHECK_INT(tapsi_message_context_set_text(&context, TAPS_MSG_PRIORITY, "7"), 0);
    CHECK_INT(tapsi_message_value(&context, p, &stream, TAPS_MSG_PRIORITY).integer, 7);

    CHECK_INT(tapsi_message_value(&context, p, &stream, TAPS_MSG_CAPACITY_PROFILE).enumeration, TAPS_PROFILE_DEFAULT);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_CONN_CAPACITY_PROFILE, "scavenger"), 0);
    CHECK_INT(tapsi_message_value(&context, p, &stream, TAPS_MSG_CAPACITY_PROFILE).enumeration, TAPS_PROFILE_SCAVENGER);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_MSG_CAPACITY_PROFILE, "capacity-seeking"), 0);
    CHECK_INT(tapsi_message_value(&context, p, &stream, TAPS_MSG_CAPACITY_PROFILE).enumeration,
              TAPS_PROFILE_CAPACITY_SEEKING);
    CHECK(!tapsi_message_value(&context, p, &stream, TAPS_FINAL).boolean);
    CHECK(tapsi_message_value(&context, p, &stream, TAPS_MSG_LIFETIME).number == TAPS_DISABLED);
    tapsi_properties_unref(p);
}

/* It is copied with every send. */
TEST(a_context_is_small)
{
    CHECK(sizeof(struct taps_message_context) <= 216);
}
