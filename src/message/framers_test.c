#include "message/framers.h"

#include "base/test.h"

TEST(every_framer_is_found_by_its_name_and_by_its_place)
{
    size_t count = 0;
    for (; tapsi_framers_at(count); count++)
        CHECK(tapsi_framers_find(tapsi_framers_at(count)->name) == tapsi_framers_at(count));
    CHECK(count >= 4);
    CHECK(tapsi_framers_at(count + 1) == NULL);
    CHECK(tapsi_framers_at(SIZE_MAX) == NULL);
    CHECK_TEXT(taps_framer_known(0), "length-prefix");
    CHECK(taps_framer_known(count) == NULL);
}

TEST(names_may_be_spelled_as_properties_are)
{
    CHECK(tapsi_framers_find("Length_Prefix") == tapsi_framers_find("length-prefix"));
    CHECK(tapsi_framers_find("TLV") != NULL);
}

TEST(a_name_that_is_none_is_not_found)
{
    static const char *const names[] = {"",   "length", "length-prefix ", "length-prefixes", "lengthprefix",
                                        "tl", "tlvs"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK(tapsi_framers_find(names[i]) == NULL);
}

/* What a Framer with none of these would say to its users. */
TEST(every_framer_has_defaults_for_its_options)
{
    for (size_t i = 0; tapsi_framers_at(i); i++) {
        const struct taps_framer_definition *definition = tapsi_framers_at(i);
        CHECK(definition->name[0] != '\0');
        CHECK(definition->options_size == 0 || (definition->defaults && definition->set));
    }
}
