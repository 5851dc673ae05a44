#include "base/test.h"
#include "stack/framer/test_framing.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

struct vector {
    const char *framer;
    const char *type;
    const char *message;
    size_t message_length;
    const char *wire;
    size_t length;
};
#define VECTOR(framer, type, message, wire)                                                                            \
    {                                                                                                                  \
        framer, type, message, sizeof(message) - 1, wire, sizeof(wire) - 1                                             \
    }

static const struct vector vectors[] = {
    VECTOR("tlv", "42", "hello", "\x2a\0\5hello"),
    VECTOR("tlv", "0", "", "\0\0\0"),
    VECTOR("tlv", "255", "x", "\xff\0\1x"),
    VECTOR("tlv:type=2,length=2", "258", "hello", "\1\2\0\5hello"),
    VECTOR("tlv:type=2,length=2,order=little", "258", "hello", "\2\1\5\0hello"),
    VECTOR("tlv:type=4,length=4", "4294967295", "hello", "\xff\xff\xff\xff\0\0\0\5hello"),
    VECTOR("tlv:type=4,length=1,order=little", "1", "hello", "\1\0\0\0\5hello"),
    VECTOR("tlv:type=1,length=1,counts=length", "7", "hello", "\7\6hello"),
    VECTOR("tlv:type=1,length=1,counts=all", "7", "", "\7\2"),
    /* RFC 2865, 7.1: User-Name "nemo", Service-Type, NAS-Port. */
    VECTOR("tlv:type=1,length=1,counts=all", "1", "nemo", "\1\6nemo"),
    VECTOR("tlv:type=1,length=1,counts=all", "5", "\0\0\0\3", "\5\6\0\0\0\3"),
    /* PostgreSQL's protocol: Query, ReadyForQuery. */
    VECTOR("tlv:type=1,length=4,counts=length", "81", "SELECT 1\0", "Q\0\0\0\x0dSELECT 1\0"),
    VECTOR("tlv:type=1,length=4,counts=length", "90", "I", "Z\0\0\0\5I"),
    /* RFC 8448, 3: the record of a ChangeCipherSpec (appendix D.4 of RFC 8446), and the head of a ClientHello. */
    VECTOR("tlv:type=3,length=2", "1311491", "\1", "\x14\3\3\0\1\1"),
    VECTOR("tlv:type=1,length=3", "1", "\3\3\xcb\x34", "\1\0\0\4\3\3\xcb\x34"),
};

static struct tapsi_meta *metadata(struct test_framing *t, const char *type)
{
    struct tapsi_meta *meta = NULL;
    CHECK_INT(tapsi_meta_add(&meta, &t->mem, "tlv", "type", type), 0);
    return meta;
}

static int send_typed(struct test_framing *t, const void *bytes, size_t length, const char *type)
{
    struct tapsi_meta *meta = metadata(t, type);
    int err = test_framing_send(t, bytes, length, TAPSI_OP_END, meta);
    tapsi_meta_unref(meta);
    return err;
}

/* proves API-131 */
TEST(a_message_and_its_type_go_both_ways)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct test_framing t;
        test_framing_open_text(&t, v->framer, false);
        CHECK_INT(send_typed(&t, v->message, v->message_length, v->type), 0);
        CHECK(test_framing_wrote(&t, v->wire, v->length));
        for (size_t step = 1; step <= v->length; step++)
            test_framing_feed_split(&t, v->wire, v->length, step);
        CHECK_INT(t.count, v->length);
        for (size_t k = 0; k < t.count; k++) {
            CHECK(test_framing_got(&t, k, v->message, v->message_length));
            CHECK_TEXT(test_framing_meta(&t, k, "tlv", "type"), v->type);
        }
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        CHECK_INT(t.closed, 0);
        test_framing_close(&t);
    }
}

TEST(each_message_has_its_own_type)
{
    struct test_framing t;
    test_framing_open_text(&t, "tlv:length=1", true);
    test_framing_feed(&t, "\1\1a\2\0\3\2bc", 9);
    CHECK_INT(t.count, 3);
    CHECK_TEXT(test_framing_meta(&t, 0, "tlv", "type"), "1");
    CHECK_TEXT(test_framing_meta(&t, 1, "tlv", "type"), "2");
    CHECK_TEXT(test_framing_meta(&t, 2, "tlv", "type"), "3");
    CHECK(test_framing_got_text(&t, 2, "bc"));
    test_framing_close(&t);
}

TEST(a_message_without_a_type_that_fits_is_refused)
{
    static const char *const types[] = {"256", "-1", "", "0x10", "1 ", "seven", "18446744073709551616"};
    struct test_framing t;
    test_framing_open_text(&t, "tlv", false);
    CHECK_INT(test_framing_send_text(&t, "hello"), TAPS_E_MESSAGE_PROPERTIES);
    for (size_t i = 0; i < COUNT(types); i++)
        CHECK_INT(send_typed(&t, "hello", 5, types[i]), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(send_typed(&t, "hello", 5, "1"), 0);
    test_framing_close(&t);
}

TEST(there_may_be_a_type_for_messages_that_have_none)
{
    struct test_framing t;
    test_framing_open_text(&t, "tlv:default-type=7", false);
    CHECK_INT(test_framing_send_text(&t, "a"), 0);
    CHECK_INT(send_typed(&t, "b", 1, "8"), 0);
    CHECK_INT(send_typed(&t, "c", 1, "300"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK(test_framing_wrote(&t, "\7\0\1a\x8\0\1b", 8));
    test_framing_close(&t);
    test_framing_open_text(&t, "tlv:default-type=256", false);
    CHECK_INT(test_framing_send_text(&t, "a"), TAPS_E_MESSAGE_PROPERTIES);
    test_framing_close(&t);
}

TEST(lengths_that_cannot_be_are_errors_that_name_the_cause)
{
    static const struct {
        const char *framer, *wire;
        size_t length;
        const char *words;
    } rows[] = {
        {"tlv:length=4", "\x07\xff\xff\xff\xff", 5,
         "type 7 with 4294967295 bytes was announced, and the maximum is 16777216"},
        {"tlv:length=4", "\x07\1\0\0\1", 5, "type 7 with 16777217 bytes"},
        {"tlv:maximum=4", "\x07\0\5hello", 8, "type 7 with 5 bytes was announced, and the maximum is 4"},
        {"tlv:length=4,order=little", "\x07\0\0\0\x80", 5, "type 7 with 2147483648 bytes"},
        {"tlv:counts=all", "\x07\0\0", 3, "type 7 with a length of 0, which counts 3 bytes of the head too"},
        {"tlv:counts=all", "\x07\0\2", 3, "a length of 2, which counts 3 bytes"},
        {"tlv:counts=length", "\x07\0\1", 3, "a length of 1, which counts 2 bytes"},
        {"tlv:counts=all,maximum=4", "\x07\0\x8hello", 8, "type 7 with 5 bytes was announced, and the maximum is 4"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t step = 1; step < 64; step += 62) {
            struct test_framing t;
            test_framing_open_text(&t, rows[i].framer, true);
            test_framing_feed_split(&t, rows[i].wire, rows[i].length, step);
            CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
            if (!strstr(t.error.text, rows[i].words))
                tapsi_test_fail(__FILE__, __LINE__, "%s: \"%s\", without \"%s\"", rows[i].framer, t.error.text,
                                rows[i].words);
            CHECK_INT(t.count, 0);
            test_framing_close(&t);
        }
    }
}

TEST(an_end_anywhere_but_between_two_is_an_error)
{
    static const char wire[] = "\1\0\2hi\2\0\0";
    for (size_t length = 0; length < sizeof(wire); length++) {
        bool between = length == 0 || length == 5 || length == 8;
        struct test_framing t;
        test_framing_open_text(&t, "tlv", true);
        test_framing_feed(&t, wire, length);
        test_framing_end(&t);
        CHECK_INT(t.ends, between);
        CHECK(between ? t.closed == 0 : test_framing_failed(&t, TAPS_E_TRUNCATED));
        test_framing_close(&t);
    }
}

TEST(a_message_that_is_too_long_is_refused)
{
    static const char *const framers[] = {"tlv:default-type=1,length=1", "tlv:default-type=1,maximum=255",
                                          "tlv:default-type=1,length=1,counts=length",
                                          "tlv:default-type=1,length=1,counts=all,type=4"};
    static const size_t most[] = {255, 255, 254, 250};
    static const uint8_t bytes[300];
    for (size_t i = 0; i < COUNT(framers); i++) {
        struct test_framing t;
        test_framing_open_text(&t, framers[i], false);
        CHECK_INT(test_framing_send(&t, bytes, most[i] + 1, TAPSI_OP_END, NULL), TAPS_E_MESSAGE_TOO_LARGE);
        CHECK_INT(t.out_length, 0);
        CHECK_INT(test_framing_send(&t, bytes, most[i], TAPSI_OP_END, NULL), 0);
        test_framing_close(&t);
    }
}

TEST(parts_go_behind_type_and_length_of_the_first)
{
    struct test_framing t;
    test_framing_open_text(&t, "tlv", false);
    struct tapsi_meta *meta = metadata(&t, "9");
    CHECK_INT(test_framing_send(&t, "he", 2, 0, meta), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(tapsi_meta_add(&meta, &t.mem, "tlv", "length", "5"), 0);
    CHECK_INT(test_framing_send(&t, "he", 2, 0, meta), 0);
    CHECK_INT(test_framing_send(&t, "ll", 2, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send(&t, "lloo", 4, TAPSI_OP_CONTINUES, NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send(&t, "llo", 3, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
    CHECK(test_framing_wrote(&t, "\x9\0\5hello", 8));
    tapsi_meta_unref(meta);
    test_framing_close(&t);
}

TEST(options_that_are_none_are_refused)
{
    static const char *const texts[] = {"tlv:type=0",         "tlv:type=5",          "tlv:length=0",
                                        "tlv:length=8",       "tlv:order=pdp",       "tlv:maximum=0",
                                        "tlv:counts=nothing", "tlv:default-type=-1", "tlv:default-type=4294967296"};
    taps_framer *framer = NULL;
    for (size_t i = 0; i < COUNT(texts); i++)
        CHECK_INT(taps_framer_new_text(texts[i], &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("tlv:value=4", &framer), TAPS_E_UNKNOWN_PROPERTY);
    CHECK(framer == NULL);
}

/* The type of a Message that was refused must not stick to the next. */
TEST(a_datagram_that_does_not_parse_costs_only_itself)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {{"\1\0", 2}, {"\2\0\6hello", 8}, {"\3\xff\xff", 3}};
    taps_framer *framer = NULL;
    struct test_framing t;
    CHECK_INT(taps_framer_new_text("tlv", &framer), 0);
    test_framing_open(&t, (const taps_framer *const *)&framer, 1, false, true);
    taps_framer_free(framer);
    for (size_t i = 0; i < COUNT(rows); i++) {
        test_framing_feed(&t, rows[i].bytes, rows[i].length);
        CHECK_INT(t.soft_errors, i + 1);
        CHECK_INT(t.error.pub.code, TAPS_E_DEFRAMING);
        CHECK_INT(t.count, 2 * i);
        test_framing_feed(&t, "\x9\0\5hello\x8\0\0", 11);
        CHECK_INT(t.count, 2 * i + 2);
        CHECK_TEXT(test_framing_meta(&t, 2 * i, "tlv", "type"), "9");
        CHECK_TEXT(test_framing_meta(&t, 2 * i + 1, "tlv", "type"), "8");
    }
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}
