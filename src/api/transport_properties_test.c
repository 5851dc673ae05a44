#include <math.h>
#include <taps/taps.h>

#include "base/test.h"

static taps_transport_properties *fresh(void)
{
    taps_transport_properties *properties = NULL;
    CHECK_INT(taps_transport_properties_new(&properties), 0);
    return properties;
}

static const char *text_of(const taps_transport_properties *properties, enum taps_property property)
{
    static char text[512];
    int length = taps_transport_properties_get_text(properties, property, text, sizeof(text));
    CHECK_INT(length, strlen(text));
    return text;
}

/* proves API-022 */
TEST(preferences_are_set_in_every_way)
{
    taps_transport_properties *properties = fresh();
    struct taps_value value;
    NEED(properties);
    CHECK_INT(taps_transport_properties_require(properties, TAPS_KEEP_ALIVE), 0);
    CHECK_TEXT(text_of(properties, TAPS_KEEP_ALIVE), "require");
    CHECK_INT(taps_transport_properties_prefer(properties, TAPS_KEEP_ALIVE), 0);
    CHECK_TEXT(text_of(properties, TAPS_KEEP_ALIVE), "prefer");
    CHECK_INT(taps_transport_properties_no_preference(properties, TAPS_KEEP_ALIVE), 0);
    CHECK_TEXT(text_of(properties, TAPS_KEEP_ALIVE), "no preference");
    CHECK_INT(taps_transport_properties_avoid(properties, TAPS_KEEP_ALIVE), 0);
    CHECK_TEXT(text_of(properties, TAPS_KEEP_ALIVE), "avoid");
    CHECK_INT(taps_transport_properties_prohibit(properties, TAPS_KEEP_ALIVE), 0);
    CHECK_TEXT(text_of(properties, TAPS_KEEP_ALIVE), "prohibit");
    CHECK_INT(taps_transport_properties_set(properties, "KEEPALIVE", "Prefer"), 0);
    CHECK_INT(taps_transport_properties_get(properties, TAPS_KEEP_ALIVE, &value), 0);
    CHECK_INT(value.type, TAPS_TYPE_PREFERENCE);
    CHECK_INT(value.preference, TAPS_PREFER);
    CHECK(taps_transport_properties_is_set(properties, TAPS_KEEP_ALIVE));
    CHECK(!taps_transport_properties_is_set(properties, TAPS_RELIABILITY));
    taps_transport_properties_free(properties);
}

TEST(typed_setters_take_their_type_only)
{
    taps_transport_properties *properties = fresh();
    NEED(properties);
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        enum taps_property property = (enum taps_property)i;
        const struct taps_property_info *info = taps_property_info(property);
        bool read_only = info->scope == TAPS_SCOPE_READ_ONLY;
        int wrong = read_only ? TAPS_E_READ_ONLY : TAPS_E_TYPE, right = read_only ? TAPS_E_READ_ONLY : 0;
        CHECK_INT(taps_transport_properties_set_preference(properties, property, TAPS_PREFER),
                  info->type == TAPS_TYPE_PREFERENCE ? right : wrong);
        CHECK_INT(taps_transport_properties_set_boolean(properties, property, true),
                  info->type == TAPS_TYPE_BOOLEAN ? right : wrong);
        CHECK_INT(taps_transport_properties_set_integer(properties, property, 1),
                  info->type == TAPS_TYPE_INTEGER ? right : wrong);
        CHECK_INT(taps_transport_properties_set_number(properties, property, 1),
                  info->type == TAPS_TYPE_NUMBER ? right : wrong);
        CHECK_INT(taps_transport_properties_set_enumeration(properties, property, 1),
                  info->type == TAPS_TYPE_ENUMERATION ? right : wrong);
        CHECK_INT(taps_transport_properties_add(properties, property, TAPS_AVOID, "eth0"),
                  info->type == TAPS_TYPE_SET ? 0 : wrong);
    }
    taps_transport_properties_free(properties);
}

TEST(values_out_of_range_are_refused)
{
    taps_transport_properties *properties = fresh();
    NEED(properties);
    CHECK_INT(taps_transport_properties_set_preference(properties, TAPS_RELIABILITY, (enum taps_preference)3),
              TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_preference(properties, TAPS_RELIABILITY, (enum taps_preference) - 3),
              TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_number(properties, TAPS_CONN_TIMEOUT, (double)NAN), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_number(properties, TAPS_CONN_TIMEOUT, 1e300), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_number(properties, TAPS_CONN_TIMEOUT, 0), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_number(properties, TAPS_CONN_TIMEOUT, TAPS_DISABLED), 0);
    CHECK_INT(taps_transport_properties_set_integer(properties, TAPS_CONN_PRIORITY, TAPS_INFINITE), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_enumeration(properties, TAPS_DIRECTION, 3), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set_enumeration(properties, TAPS_DIRECTION, -1), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_add(properties, TAPS_INTERFACE, TAPS_AVOID, ""), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set(properties, "reliability", "please"), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_set(properties, "reliabilities", "require"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_transport_properties_set(properties, "connState", "closed"), TAPS_E_READ_ONLY);
    CHECK_TEXT(text_of(properties, TAPS_RELIABILITY), "require");
    taps_transport_properties_free(properties);
}

TEST(nothing_in_the_place_of_something_is_an_argument_error)
{
    taps_transport_properties *properties = fresh(), *other = (taps_transport_properties *)1;
    enum taps_properties_profile profile;
    struct taps_value value = {.type = TAPS_TYPE_BOOLEAN, {.boolean = true}};
    char text[4];
    NEED(properties);
    CHECK_INT(taps_transport_properties_new(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_new_profile(TAPS_RELIABLE_MESSAGE, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_new_profile((enum taps_properties_profile)9, &other), TAPS_E_RANGE);
    CHECK_INT(taps_transport_properties_copy(NULL, &other), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_copy(properties, NULL), TAPS_E_ARGUMENT);
    CHECK(other == (taps_transport_properties *)1);
    CHECK_INT(taps_properties_profile_find(NULL, &profile), TAPS_E_ARGUMENT);
    CHECK_INT(taps_properties_profile_find("reliable-message", NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_set(NULL, "reliability", "require"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_set(properties, NULL, "require"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_set(properties, "reliability", NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_set_value(NULL, TAPS_FINAL, value), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_set_value(properties, TAPS_PROPERTY_NONE, value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_transport_properties_require(NULL, TAPS_RELIABILITY), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_prefer(properties, TAPS_PROPERTY_COUNT), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_transport_properties_add(NULL, TAPS_INTERFACE, TAPS_AVOID, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_add(properties, TAPS_INTERFACE, TAPS_AVOID, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_get(NULL, TAPS_FINAL, &value), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_get(properties, TAPS_FINAL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_get(properties, TAPS_PROPERTY_COUNT, &value), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(taps_transport_properties_get(properties, TAPS_INTERFACE, &value), TAPS_E_TYPE);
    CHECK_INT(taps_transport_properties_get_text(NULL, TAPS_FINAL, text, 4), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_get_text(properties, TAPS_FINAL, NULL, 4), TAPS_E_ARGUMENT);
    CHECK_INT(taps_transport_properties_get_text(properties, TAPS_PROPERTY_NONE, text, 4), TAPS_E_UNKNOWN_PROPERTY);
    CHECK(!taps_transport_properties_is_set(NULL, TAPS_FINAL));
    CHECK(!taps_transport_properties_is_set(properties, TAPS_PROPERTY_COUNT));
    CHECK(!taps_transport_properties_has(NULL, TAPS_FINAL));
    CHECK(!taps_transport_properties_has(properties, (enum taps_property) - 1));
    taps_transport_properties_free(NULL);
    taps_transport_properties_free(properties);
}

TEST(text_is_cut_to_the_room_there_is)
{
    taps_transport_properties *properties = fresh();
    char text[6] = "xxxxx";
    NEED(properties);
    CHECK_INT(taps_transport_properties_get_text(properties, TAPS_RELIABILITY, NULL, 0), 7);
    CHECK_INT(taps_transport_properties_get_text(properties, TAPS_RELIABILITY, text, sizeof(text)), 7);
    CHECK_TEXT(text, "requi");
    CHECK_INT(taps_transport_properties_get_text(properties, TAPS_INTERFACE, text, sizeof(text)), 0);
    CHECK_TEXT(text, "");
    CHECK_INT(taps_transport_properties_add(properties, TAPS_INTERFACE, TAPS_REQUIRE, "eth0"), 0);
    CHECK_INT(taps_transport_properties_set(properties, "Interface", "avoid:wifi"), 0);
    CHECK_TEXT(text_of(properties, TAPS_INTERFACE), "require eth0, avoid wifi");
    taps_transport_properties_free(properties);
}

/* proves API-022 */
TEST(profiles_by_name)
{
    static const struct {
        const char *name, *reliability, *boundaries, *replayable;
    } expected[] = {{"reliable-inorder-stream", "require", "no preference", "false"},
                    {"Reliable_Message", "require", "require", "false"},
                    {"unreliable datagram", "avoid", "require", "true"}};
    for (int i = 0; i < 3; i++) {
        enum taps_properties_profile profile;
        taps_transport_properties *properties = NULL;
        CHECK_INT(taps_properties_profile_find(expected[i].name, &profile), 0);
        CHECK_INT(taps_transport_properties_new_profile(profile, &properties), 0);
        NEED(properties);
        CHECK_TEXT(text_of(properties, TAPS_RELIABILITY), expected[i].reliability);
        CHECK_TEXT(text_of(properties, TAPS_PRESERVE_MSG_BOUNDARIES), expected[i].boundaries);
        CHECK_TEXT(text_of(properties, TAPS_SAFELY_REPLAYABLE), expected[i].replayable);
        taps_transport_properties_free(properties);
    }
    enum taps_properties_profile profile = TAPS_RELIABLE_MESSAGE;
    CHECK_INT(taps_properties_profile_find("", &profile), TAPS_E_RANGE);
    CHECK_INT(taps_properties_profile_find("tcp", &profile), TAPS_E_RANGE);
    CHECK_INT(profile, TAPS_RELIABLE_MESSAGE);
}

/* proves API-003 (values) */
TEST(a_copy_is_independent)
{
    taps_transport_properties *properties = fresh(), *copy = NULL;
    NEED(properties);
    CHECK_INT(taps_transport_properties_set(properties, "connTimeout", "2.5"), 0);
    CHECK_INT(taps_transport_properties_set(properties, "interface", "require eth0"), 0);
    CHECK_INT(taps_transport_properties_copy(properties, &copy), 0);
    NEED(copy);
    CHECK_INT(taps_transport_properties_set(properties, "connTimeout", "9"), 0);
    CHECK_INT(taps_transport_properties_set(properties, "interface", ""), 0);
    taps_transport_properties_free(properties);
    CHECK_TEXT(text_of(copy, TAPS_CONN_TIMEOUT), "2.5");
    CHECK_TEXT(text_of(copy, TAPS_INTERFACE), "require eth0");
    CHECK(taps_transport_properties_is_set(copy, TAPS_CONN_TIMEOUT));
    taps_transport_properties_free(copy);
}

TEST(has_is_for_preferences_and_booleans)
{
    taps_transport_properties *properties = fresh();
    NEED(properties);
    CHECK(taps_transport_properties_has(properties, TAPS_RELIABILITY));
    CHECK(taps_transport_properties_has(properties, TAPS_MULTISTREAMING));
    CHECK(!taps_transport_properties_has(properties, TAPS_KEEP_ALIVE));
    CHECK(!taps_transport_properties_has(properties, TAPS_ADVERTISES_ALTADDR));
    CHECK(!taps_transport_properties_has(properties, TAPS_CONN_PRIORITY));
    CHECK(!taps_transport_properties_has(properties, TAPS_INTERFACE));
    CHECK_INT(taps_transport_properties_set_boolean(properties, TAPS_ADVERTISES_ALTADDR, true), 0);
    CHECK(taps_transport_properties_has(properties, TAPS_ADVERTISES_ALTADDR));
    CHECK_INT(taps_transport_properties_avoid(properties, TAPS_RELIABILITY), 0);
    CHECK(!taps_transport_properties_has(properties, TAPS_RELIABILITY));
    taps_transport_properties_free(properties);
}
