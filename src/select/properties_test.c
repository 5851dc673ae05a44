#include "select/properties.h"

#include <stdlib.h>
#include "base/test.h"

/* Memory that runs out after some blocks. */
struct limited {
    size_t left, live;
};

static void *limited_resize(void *user, void *block, size_t size)
{
    struct limited *l = user;
    if (size == 0) {
        l->live--;
        free(block);
        return NULL;
    }
    if (l->left == 0)
        return NULL;
    l->left--;
    l->live += block == NULL;
    return realloc(block, size);
}

static void setup(struct tapsi_mem *mem, struct limited *l, size_t blocks)
{
    *l = (struct limited){.left = blocks};
    tapsi_mem_init(mem, &(struct taps_allocator){.resize = limited_resize, .user = l});
}

static struct tapsi_properties *fresh(void)
{
    return tapsi_properties_new(tapsi_mem_default());
}

static void check_text(const struct tapsi_properties *p, enum taps_property property, const char *expected)
{
    struct tapsi_str out;
    tapsi_str_init(&out, tapsi_mem_default());
    tapsi_properties_text(p, property, &out);
    CHECK_TEXT(tapsi_str_text(&out), expected);
    tapsi_str_done(&out);
}

/* proves ARCH-05 */
TEST(new_properties_are_the_defaults_and_none_is_set)
{
    struct tapsi_properties *p = fresh();
    NEED(p);
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        check_text(p, (enum taps_property)i, tapsi_property_row((enum taps_property)i)->info.default_text);
        CHECK(!tapsi_properties_is_set(p, (enum taps_property)i));
    }
    CHECK(!tapsi_properties_is_set(p, TAPS_PROPERTY_NONE));
    CHECK(!tapsi_properties_is_set(p, TAPS_PROPERTY_COUNT));
    tapsi_properties_unref(p);
}

/* Every property, whatever is put into it as text, gives a text that gives the same value again. */
TEST(text_makes_the_round_trip_for_every_property)
{
    struct tapsi_properties *p = fresh(), *q = fresh();
    NEED(p && q);
    static const char *const texts[] = {"require",
                                        "avoid",
                                        "no preference",
                                        "true",
                                        "1",
                                        "1.5",
                                        "passive",
                                        "closed",
                                        "interactive",
                                        "unidirectional receive",
                                        "require eth0, prohibit wifi",
                                        "scavenger",
                                        "full",
                                        "disabled",
                                        "unlimited",
                                        "infinite",
                                        "priority",
                                        ""};
    for (int i = TAPS_PROPERTY_NONE + 1; i < TAPS_PROPERTY_COUNT; i++) {
        enum taps_property property = (enum taps_property)i;
        int understood = 0;
        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
            struct tapsi_str out;
            if (tapsi_properties_set_text(p, property, texts[k]))
                continue;
            understood++;
            tapsi_str_init(&out, tapsi_mem_default());
            tapsi_properties_text(p, property, &out);
            CHECK_INT(tapsi_properties_set_text(q, property, ""),
                      tapsi_property_row(property)->info.type == TAPS_TYPE_SET ? 0 : TAPS_E_RANGE);
            CHECK_INT(tapsi_properties_set_text(q, property, tapsi_str_text(&out)), 0);
            check_text(q, property, tapsi_str_text(&out));
            tapsi_str_done(&out);
        }
        CHECK(understood > 0 || tapsi_property_row(property)->info.scope == TAPS_SCOPE_READ_ONLY);
    }
    tapsi_properties_unref(p);
    tapsi_properties_unref(q);
}

TEST(read_only_and_unknown_properties_cannot_be_set)
{
    struct tapsi_properties *p = fresh();
    NEED(p);
    struct taps_value state = {.type = TAPS_TYPE_ENUMERATION, {.enumeration = TAPS_CLOSED}};
    CHECK_INT(tapsi_properties_set(p, TAPS_CONN_STATE, state), TAPS_E_READ_ONLY);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_CONN_STATE, "closed"), TAPS_E_READ_ONLY);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_SEND_MSG_MAX_LEN, "garbage"), TAPS_E_READ_ONLY);
    CHECK_INT(tapsi_properties_add(p, TAPS_CAN_SEND, TAPS_REQUIRE, "eth0"), TAPS_E_READ_ONLY);
    CHECK_INT(tapsi_properties_set(p, TAPS_PROPERTY_NONE, state), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_PROPERTY_COUNT, "x"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(tapsi_properties_add(p, (enum taps_property) - 5, TAPS_REQUIRE, "x"), TAPS_E_UNKNOWN_PROPERTY);
    CHECK_INT(p->generation, 0);
    CHECK(p->set == 0);
    tapsi_properties_unref(p);
}

TEST(a_failed_change_changes_nothing)
{
    struct tapsi_properties *p = fresh();
    NEED(p);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_CONN_TIMEOUT, "5"), 0);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, "require eth0"), 0);
    struct tapsi_properties before = *p;
    struct taps_value wrong = {.type = TAPS_TYPE_INTEGER, {.integer = 6}};
    CHECK_INT(tapsi_properties_set(p, TAPS_CONN_TIMEOUT, wrong), TAPS_E_TYPE);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_CONN_TIMEOUT, "soon"), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, "avoid wifi, require"), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, "avoid wifi,"), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, (enum taps_preference)7, "wifi"), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_add(p, TAPS_CONN_TIMEOUT, TAPS_REQUIRE, "wifi"), TAPS_E_TYPE);
    CHECK_INT(p->generation, before.generation);
    CHECK(p->set == before.set);
    CHECK(p->values[TAPS_CONN_TIMEOUT].number == 5);
    check_text(p, TAPS_INTERFACE, "require eth0");
    tapsi_properties_unref(p);
}

/* proves API-040, API-041 (values) */
TEST(sets_hold_one_preference_for_each_text)
{
    struct tapsi_properties *p = fresh();
    NEED(p);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_PREFER, "eth0"), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_PROHIBIT, "Wi-Fi"), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_REQUIRE, "eth0"), 0);
    check_text(p, TAPS_INTERFACE, "require eth0, prohibit wifi");
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_NO_PREFERENCE, "eth0"), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_NO_PREFERENCE, "absent"), 0);
    check_text(p, TAPS_INTERFACE, "prohibit wifi");
    check_text(p, TAPS_PVD, "");
    CHECK(tapsi_properties_is_set(p, TAPS_INTERFACE) && !tapsi_properties_is_set(p, TAPS_PVD));
    CHECK_INT(tapsi_properties_add(p, TAPS_PVD, TAPS_AVOID, "home.example.net"), 0);
    check_text(p, TAPS_PVD, "avoid home.example.net");
    tapsi_properties_unref(p);
}

TEST(sets_are_written_in_many_ways)
{
    static const char *const texts[] = {"require eth0",       "require:eth0",  "REQUIRE: eth0",
                                        "  require   eth0  ", "require :eth0", "avoid eth0, require eth0"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct tapsi_properties *p = fresh();
        NEED(p);
        CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, texts[i]), 0);
        check_text(p, TAPS_INTERFACE, "require eth0");
        CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, "no preference ETHERNET"), 0);
        CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, "Avoid ETHERNET"), 0);
        check_text(p, TAPS_INTERFACE, "require eth0, avoid ethernet");
        CHECK_INT(tapsi_properties_set_text(p, TAPS_INTERFACE, ""), 0);
        check_text(p, TAPS_INTERFACE, "");
        tapsi_properties_unref(p);
    }
}

TEST(garbage_is_no_entry_of_a_set)
{
    static const char *const texts[] = {"eth0",
                                        "require",
                                        "require ",
                                        "require:",
                                        " ",
                                        ",",
                                        "require eth0,,avoid wifi",
                                        "requireeth0",
                                        "require eth/0",
                                        "require a b",
                                        "require sixteen-letters!",
                                        "require \x01",
                                        "require eth0\n",
                                        "sometimes eth0",
                                        "prefer:,",
                                        "require:eth0,avoid"};
    struct tapsi_properties *p = fresh();
    NEED(p);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int err = tapsi_properties_set_text(p, TAPS_INTERFACE, texts[i]);
        if (err != TAPS_E_RANGE)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" gives %d", texts[i], err);
    }
    char endless[1000];
    memset(endless, 'x', sizeof(endless));
    memcpy(endless, "avoid ", 6);
    endless[sizeof(endless) - 1] = '\0';
    CHECK_INT(tapsi_properties_set_text(p, TAPS_PVD, endless), TAPS_E_RANGE);
    endless[6 + TAPSI_SET_TEXT_MAX] = '\0';
    CHECK_INT(tapsi_properties_set_text(p, TAPS_PVD, endless), TAPS_E_RANGE);
    endless[6 + TAPSI_SET_TEXT_MAX - 1] = '\0';
    CHECK_INT(tapsi_properties_set_text(p, TAPS_PVD, endless), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_PVD, TAPS_AVOID, "a,b"), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_add(p, TAPS_PVD, TAPS_AVOID, ""), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_add(p, TAPS_PVD, TAPS_AVOID, " a"), TAPS_E_RANGE);
    CHECK_INT(p->interfaces.count, 0);
    tapsi_properties_unref(p);
}

TEST(sets_have_a_cap)
{
    struct tapsi_properties *p = fresh();
    char name[16];
    NEED(p);
    for (unsigned i = 0; i < TAPSI_SET_MAX; i++) {
        tapsi_format(name, sizeof(name), "eth%u", i);
        CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_AVOID, name), 0);
    }
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_AVOID, "one-more"), TAPS_E_RANGE);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_REQUIRE, "eth3"), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_NO_PREFERENCE, "eth7"), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_INTERFACE, TAPS_AVOID, "one-more"), 0);
    tapsi_properties_unref(p);
}

/* proves API-022 */
TEST(profiles_are_those_of_the_appendix)
{
    static const enum taps_preference expected[3][4] = {
        {TAPS_REQUIRE, TAPS_REQUIRE, TAPS_REQUIRE, TAPS_NO_PREFERENCE},
        {TAPS_REQUIRE, TAPS_REQUIRE, TAPS_REQUIRE, TAPS_REQUIRE},
        {TAPS_AVOID, TAPS_AVOID, TAPS_NO_PREFERENCE, TAPS_REQUIRE},
    };
    static const enum taps_properties_profile profiles[3] = {TAPS_RELIABLE_INORDER_STREAM, TAPS_RELIABLE_MESSAGE,
                                                             TAPS_UNRELIABLE_DATAGRAM};
    for (int i = 0; i < 3; i++) {
        struct tapsi_properties *p = fresh();
        NEED(p);
        CHECK_INT(tapsi_properties_set_profile(p, profiles[i]), 0);
        CHECK_INT(tapsi_preference(p, TAPS_RELIABILITY), expected[i][0]);
        CHECK_INT(tapsi_preference(p, TAPS_PRESERVE_ORDER), expected[i][1]);
        CHECK_INT(tapsi_preference(p, TAPS_CONGESTION_CONTROL), expected[i][2]);
        CHECK_INT(tapsi_preference(p, TAPS_PRESERVE_MSG_BOUNDARIES), expected[i][3]);
        CHECK_INT(p->values[TAPS_SAFELY_REPLAYABLE].boolean, i == 2);
        CHECK_INT(tapsi_properties_is_set(p, TAPS_SAFELY_REPLAYABLE), i == 2);
        CHECK(tapsi_properties_is_set(p, TAPS_PRESERVE_MSG_BOUNDARIES));
        CHECK_INT(tapsi_properties_set_profile(p, (enum taps_properties_profile)3), TAPS_E_RANGE);
        tapsi_properties_unref(p);
    }
}

/* proves API-003, API-018 (the values part) */
TEST(shared_properties_are_copied_before_a_change)
{
    struct tapsi_mem mem;
    struct limited l;
    setup(&mem, &l, 2);
    struct tapsi_properties *p = tapsi_properties_new(&mem);
    NEED(p);
    struct tapsi_properties *own = tapsi_properties_ref(p);
    CHECK_INT(tapsi_properties_own(&own), 0);
    CHECK(own != p && own->refs == 1 && p->refs == 1);
    struct tapsi_properties *same = own;
    CHECK_INT(tapsi_properties_own(&own), 0);
    CHECK(own == same);
    CHECK_INT(tapsi_properties_set_text(own, TAPS_CONN_PRIORITY, "7"), 0);
    CHECK_INT(p->values[TAPS_CONN_PRIORITY].integer, 100);
    tapsi_properties_unref(own);
    own = tapsi_properties_ref(p);
    CHECK_INT(tapsi_properties_own(&own), TAPS_E_MEMORY);
    CHECK(own == p && p->refs == 2);
    CHECK(!tapsi_properties_copy(p, &mem));
    CHECK(!tapsi_properties_new(&mem));
    tapsi_properties_unref(own);
    tapsi_properties_unref(p);
    tapsi_properties_unref(NULL);
    CHECK_INT(l.live, 0);
}

TEST(a_change_is_counted)
{
    struct tapsi_properties *p = fresh();
    NEED(p);
    CHECK_INT(tapsi_properties_set_text(p, TAPS_CONN_PRIORITY, "7"), 0);
    CHECK_INT(tapsi_properties_add(p, TAPS_PVD, TAPS_AVOID, "x"), 0);
    CHECK_INT(p->generation, 2);
    tapsi_properties_unref(p);
}
