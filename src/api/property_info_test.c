#include <taps/taps.h>

#include "base/test.h"

/* proves API-001 */
TEST(every_property_can_be_looked_up_by_its_name)
{
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        const struct taps_property_info *info = taps_property_info((enum taps_property)i);
        NEED(info);
        CHECK_INT(info->property, i);
        CHECK_INT(taps_property_find(info->name), i);
        CHECK(info->default_text && info->section && info->summary);
    }
    CHECK_INT(taps_property_find("RELIABILITY"), TAPS_RELIABILITY);
    CHECK_INT(taps_property_find("tcp.usertimeoutvalue"), TAPS_TCP_USER_TIMEOUT_VALUE);
}

TEST(values_of_enumerations_are_listed_in_order)
{
    const struct taps_property_info *info = taps_property_info(TAPS_DIRECTION);
    NEED(info && info->values);
    CHECK_TEXT(info->values[TAPS_BIDIRECTIONAL], "bidirectional");
    CHECK_TEXT(info->values[TAPS_UNIDIRECTIONAL_SEND], "unidirectional send");
    CHECK_TEXT(info->values[TAPS_UNIDIRECTIONAL_RECEIVE], "unidirectional receive");
    CHECK(!info->values[3]);
    CHECK_TEXT(taps_property_info(TAPS_CONN_SCHEDULER)->values[TAPS_SCHEDULER_WEIGHTED_FAIR_QUEUEING],
               "weighted fair queueing");
    CHECK_TEXT(taps_property_info(TAPS_CONN_CAPACITY_PROFILE)->values[TAPS_PROFILE_CAPACITY_SEEKING],
               "capacity-seeking");
    CHECK_TEXT(taps_property_info(TAPS_MULTIPATH_POLICY)->values[TAPS_POLICY_AGGREGATE], "aggregate");
    CHECK_TEXT(taps_property_info(TAPS_MULTIPATH)->values[TAPS_MULTIPATH_PASSIVE], "passive");
    CHECK_TEXT(taps_property_info(TAPS_CONN_STATE)->values[TAPS_CLOSED], "closed");
    CHECK(!taps_property_info(TAPS_RELIABILITY)->values);
}

TEST(what_is_no_property_is_not_found)
{
    CHECK(!taps_property_info(TAPS_PROPERTY_NONE));
    CHECK(!taps_property_info(TAPS_PROPERTY_COUNT));
    CHECK(!taps_property_info((enum taps_property) - 1));
    CHECK(!taps_property_info((enum taps_property)0x7fffffff));
    CHECK_INT(taps_property_find(NULL), TAPS_PROPERTY_NONE);
    CHECK_INT(taps_property_find(""), TAPS_PROPERTY_NONE);
    CHECK_INT(taps_property_find("reliability "), TAPS_PROPERTY_NONE);
}
