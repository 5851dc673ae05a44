#include "message/mqtt_packet.h"

#include <taps/taps.h>
#include "base/test.h"

/* Table 2.4 of the standard. */
TEST(lengths_are_written_and_read_as_the_standard_shows)
{
    static const struct {
        uint32_t length;
        const char *bytes;
        size_t size;
    } rows[] = {
        {0, "\x00", 1},
        {127, "\x7f", 1},
        {128, "\x80\x01", 2},
        {321, "\xc1\x02", 2},
        {16383, "\xff\x7f", 2},
        {16384, "\x80\x80\x01", 3},
        {2097151, "\xff\xff\x7f", 3},
        {2097152, "\x80\x80\x80\x01", 4},
        {268435455, "\xff\xff\xff\x7f", 4},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[TAPSI_MQTT_HEAD_MAX];
        struct tapsi_mqtt_head head;
        const char *why;
        CHECK_INT(tapsi_mqtt_head_write(bytes, TAPSI_MQTT_PUBLISH, 1, rows[i].length), rows[i].size + 1);
        CHECK_INT(bytes[0], 0x31);
        CHECK(memcmp(bytes + 1, rows[i].bytes, rows[i].size) == 0);
        for (size_t cut = 0; cut <= rows[i].size; cut++)
            CHECK_INT(tapsi_mqtt_head_read(bytes, cut, &head, &why), 0);
        CHECK_INT(tapsi_mqtt_head_read(bytes, rows[i].size + 1, &head, &why), 1);
        CHECK_INT(head.type, TAPSI_MQTT_PUBLISH);
        CHECK_INT(head.flags, 1);
        CHECK_INT(head.length, rows[i].length);
        CHECK_INT(head.size, rows[i].size + 1);
    }
}

TEST(heads_that_are_not_allowed_are_refused)
{
    static const struct {
        const char *bytes;
        const char *why;
    } rows[] = {
        {"\x01", "a packet of a reserved type"},
        {"\xf0", "a packet of a reserved type"},
        {"\x11", "a packet with flags that are reserved"},
        {"\x21", "a packet with flags that are reserved"},
        {"\x41", "a packet with flags that are reserved"},
        {"\x60", "a packet with flags that are reserved"},
        {"\x63", "a packet with flags that are reserved"},
        {"\x80", "a packet with flags that are reserved"},
        {"\xa0", "a packet with flags that are reserved"},
        {"\xc8", "a packet with flags that are reserved"},
        {"\xe2", "a packet with flags that are reserved"},
        {"\x36", "a PUBLISH of QoS 3"},
        {"\x38", "a PUBLISH of QoS 0 that is a duplicate"},
        {"\x30\x80\x80\x80\x80", "a remaining length of more than four bytes"},
        {"\x30\xff\xff\xff\xff", "a remaining length of more than four bytes"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tapsi_mqtt_head head;
        const char *why = NULL;
        CHECK_INT(tapsi_mqtt_head_read((const uint8_t *)rows[i].bytes, strlen(rows[i].bytes), &head, &why),
                  TAPS_E_DEFRAMING);
        CHECK_TEXT(why, rows[i].why);
    }
}

static bool topic(const char *text)
{
    return tapsi_mqtt_is_topic((const uint8_t *)text, strlen(text));
}

static bool filter(const char *text)
{
    return tapsi_mqtt_is_filter((const uint8_t *)text, strlen(text));
}

TEST(topics_have_no_wildcards)
{
    CHECK(topic("a") && topic("/") && topic("a/b c/\xc3\xa9") && topic("$SYS/x"));
    CHECK(!topic("") && !topic("a/+") && !topic("#") && !topic("a\xff") && !topic("\xc0\x80"));
    CHECK(!tapsi_mqtt_is_topic((const uint8_t *)"a\0b", 3));
    CHECK(!topic("\xed\xa0\x80")); /* a surrogate, MQTT-1.5.3-1 */
}

/* 4.7.1 of the standard has most of these. */
TEST(wildcards_of_filters_stand_for_whole_levels)
{
    static const char *const good[] = {"#", "+", "/", "a/#", "a/+", "+/a/#", "/+", "a/+/b", "+/+", "sport/tennis/#"};
    static const char *const bad[] = {"",       "a#", "a/#/b", "#/a",   "a+",    "+a",     "a/b+",
                                      "a/+b/c", "##", "++",    "a\xff", "#\xff", "a/+\xff"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK(filter(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!filter(bad[i]));
}

TEST(fields_behind_the_end_are_empty_and_say_so)
{
    struct tapsi_mqtt_reader reader = {.at = (const uint8_t *)"\0\1a\0\5bc", .left = 7};
    struct tapsi_mqtt_bytes a = tapsi_mqtt_read_bytes(&reader);
    CHECK(a.length == 1 && a.data[0] == 'a' && !reader.failed);
    CHECK_INT(tapsi_mqtt_read_bytes(&reader).length, 0);
    CHECK(reader.failed);
    CHECK_INT(tapsi_mqtt_read_byte(&reader), 0);
    CHECK_INT(tapsi_mqtt_read_number(&reader), 0);
}

TEST(names_of_types_are_read_back)
{
    for (unsigned i = TAPSI_MQTT_CONNECT; i < TAPSI_MQTT_TYPES; i++)
        CHECK_INT(tapsi_mqtt_type_of(tapsi_mqtt_type_text((enum tapsi_mqtt_type)i)), i);
    CHECK_INT(tapsi_mqtt_type_of(""), 0);
    CHECK_INT(tapsi_mqtt_type_of("publishes"), 0);
    CHECK_INT(tapsi_mqtt_type_of("auth"), 0);
}

TEST(return_codes_have_words_but_for_the_reserved)
{
    CHECK(!tapsi_mqtt_refusal(0));
    for (unsigned code = 1; code <= 5; code++)
        CHECK(tapsi_mqtt_refusal(code) != NULL);
    CHECK(!tapsi_mqtt_refusal(6));
    CHECK(!tapsi_mqtt_refusal(255));
}
