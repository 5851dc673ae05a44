#include "base/test.h"
#include "stack/framer/test_framing.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* The examples of the text (cr.yp.to/proto/netstrings.txt), and sizes with one more digit. */
TEST(messages_are_written_and_read_as_the_text_has_it)
{
    static const uint8_t hello[] = {0x31, 0x32, 0x3a, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
                                    0x20, 0x77, 0x6f, 0x72, 0x6c, 0x64, 0x21, 0x2c};
    struct test_framing t;
    test_framing_open_text(&t, "netstring", false);
    CHECK_INT(test_framing_send_text(&t, "hello world!"), 0);
    CHECK(test_framing_wrote(&t, hello, sizeof(hello)));
    CHECK_INT(test_framing_send_text(&t, ""), 0);
    CHECK_INT(test_framing_send_text(&t, "a,b:c"), 0);
    CHECK(test_framing_wrote_text(&t, "0:,5:a,b:c,"));
    test_framing_feed(&t, hello, sizeof(hello));
    test_framing_feed_text(&t, "0:,5:a,b:c,");
    CHECK_INT(t.count, 3);
    CHECK(test_framing_got_text(&t, 0, "hello world!"));
    CHECK(test_framing_got_text(&t, 1, ""));
    CHECK(test_framing_got_text(&t, 2, "a,b:c"));
    test_framing_end(&t);
    CHECK_INT(t.ends, 1);
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

TEST(slices_of_any_size_give_the_same_messages)
{
    static const char wire[] = "0:,1:,,12:hello world!,3:9:,,0:,10:abcdefghij,";
    static const char *const messages[] = {"", ",", "hello world!", "9:,", "", "abcdefghij"};
    for (size_t step = 1; step < sizeof(wire); step++) {
        struct test_framing t;
        test_framing_open_text(&t, "netstring", true);
        test_framing_feed_split(&t, wire, sizeof(wire) - 1, step);
        CHECK_INT(t.count, COUNT(messages));
        for (size_t i = 0; i < t.count; i++)
            CHECK(test_framing_got_text(&t, i, messages[i]));
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        test_framing_close(&t);
    }
}

TEST(an_end_anywhere_but_between_two_is_an_error)
{
    static const char wire[] = "5:hello,0:,";
    for (size_t length = 0; length < sizeof(wire); length++) {
        bool between = length == 0 || length == 8 || length == 11;
        struct test_framing t;
        test_framing_open_text(&t, "netstring", true);
        test_framing_feed(&t, wire, length);
        test_framing_end(&t);
        CHECK_INT(t.ends, between);
        CHECK(between ? t.closed == 0 : test_framing_failed(&t, TAPS_E_TRUNCATED));
        test_framing_close(&t);
    }
}

TEST(what_is_no_netstring_is_an_error_that_names_the_cause)
{
    static const struct {
        const char *wire, *words;
    } rows[] = {
        {":,", "byte 0x3a where a length must begin"},
        {"a", "byte 0x61 where a length must begin"},
        {" 5:hello,", "byte 0x20 where a length must begin"},
        {"-1:,", "byte 0x2d where a length must begin"},
        {"+5:hello,", "byte 0x2b where a length must begin"},
        {"\r\n5:hello,", "byte 0x0d where a length must begin"},
        {"5 :hello,", "byte 0x20 in a length, where a digit or a colon must be"},
        {"0x5:hello,", "byte 0x78 in a length"},
        {"5,hello,", "byte 0x2c in a length"},
        {"5.0:hello,", "byte 0x2e in a length"},
        {"00:,", "a length that begins with 0"},
        {"05:hello,", "a length that begins with 0"},
        {"0000000000000000000000000000000000000000:,", "a length that begins with 0"},
        {"16777217:", "a length that begins with 16777217, and the maximum is 16777216"},
        {"99999999", "a length that begins with 99999999, and the maximum is 16777216"},
        {"9223372036854775808:", "a length that begins with 92233720, and the maximum is 16777216"},
        {"18446744073709551621:hello,", "a length that begins with 18446744, and the maximum is 16777216"},
        {"5:hello;", "byte 0x3b where the comma behind a Message must be"},
        {"5:hello!,", "byte 0x21 where the comma"},
        {"5:hello\n", "byte 0x0a where the comma"},
        {"0:0:,", "byte 0x30 where the comma"},
        {"5:hello,,", "byte 0x2c where a length must begin"},
        {"5:hello,\n", "byte 0x0a where a length must begin"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t step = 1; step < 64; step += 62) {
            struct test_framing t;
            test_framing_open_text(&t, "netstring", true);
            test_framing_feed_split(&t, rows[i].wire, strlen(rows[i].wire), step);
            CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
            if (!strstr(t.error.text, rows[i].words))
                tapsi_test_fail(__FILE__, __LINE__, "%s: \"%s\", without \"%s\"", rows[i].wire, t.error.text,
                                rows[i].words);
            test_framing_close(&t);
        }
    }
}

TEST(a_length_that_no_integer_holds_is_beyond_every_maximum)
{
    static const char *const lengths[] = {"9223372036854775808:", "18446744073709551616:", "99999999999999999999",
                                          "184467440737095516160:"};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct test_framing t;
        test_framing_open_text(&t, "netstring:maximum=unlimited", true);
        test_framing_feed_text(&t, lengths[i]);
        CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
        CHECK(strstr(t.error.text, "and the maximum is 9223372036854775807") != NULL);
        test_framing_close(&t);
    }
}

TEST(the_longest_length_of_all_is_believed_and_its_bytes_flow)
{
    struct test_framing t;
    test_framing_open_text(&t, "netstring:maximum=unlimited", true);
    t.keeps = false;
    test_framing_feed_text(&t, "9223372036854775807:abc");
    CHECK_INT(t.bytes, 3);
    CHECK_INT(t.closed, 0);
    test_framing_close(&t);
}

TEST(a_message_that_is_too_long_is_refused)
{
    struct test_framing t;
    test_framing_open_text(&t, "netstring:maximum=4", false);
    CHECK_INT(test_framing_send_text(&t, "hello"), TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(test_framing_send_text(&t, "hell"), 0);
    CHECK(test_framing_wrote_text(&t, "4:hell,"));
    test_framing_close(&t);
}

TEST(parts_go_between_head_and_comma)
{
    struct test_framing t;
    struct tapsi_meta *meta = NULL;
    test_framing_open_text(&t, "netstring", false);
    CHECK_INT(tapsi_meta_add(&meta, &t.mem, "netstring", "length", "5"), 0);
    CHECK_INT(test_framing_send(&t, "he", 2, 0, NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send(&t, "hello!", 6, 0, meta), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send(&t, "he", 2, 0, meta), 0);
    CHECK_INT(test_framing_send(&t, "ll", 2, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send(&t, "ll", 2, TAPSI_OP_CONTINUES, NULL), 0);
    CHECK_INT(test_framing_send(&t, "o", 1, TAPSI_OP_CONTINUES | TAPSI_OP_END, NULL), 0);
    CHECK(test_framing_wrote_text(&t, "5:hello,"));
    tapsi_meta_unref(meta);
    test_framing_close(&t);
}

TEST(options_that_are_none_are_refused)
{
    taps_framer *framer = NULL;
    CHECK_INT(taps_framer_new_text("netstring:maximum=0", &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("netstring:maximum=9223372036854775808", &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("netstring:length=4", &framer), TAPS_E_UNKNOWN_PROPERTY);
    CHECK(framer == NULL);
}

TEST(a_datagram_carries_whole_netstrings)
{
    static const char *const bad[] = {"5:hell", "5:hello", "5:hello;", "5", "x", "16777217:"};
    taps_framer *framer = NULL;
    struct test_framing t;
    CHECK_INT(taps_framer_new_text("netstring", &framer), 0);
    test_framing_open(&t, (const taps_framer *const *)&framer, 1, false, true);
    taps_framer_free(framer);
    for (size_t i = 0; i < COUNT(bad); i++) {
        test_framing_feed_text(&t, bad[i]);
        CHECK_INT(t.soft_errors, i + 1);
        CHECK_INT(t.error.pub.code, TAPS_E_DEFRAMING);
        CHECK_INT(t.count, 2 * i);
        test_framing_feed_text(&t, "5:hello,2:hi,");
        CHECK_INT(t.count, 2 * i + 2);
    }
    CHECK_INT(t.closed, 0);
    CHECK(test_framing_got_text(&t, 0, "hello"));
    CHECK(test_framing_got_text(&t, 1, "hi"));
    test_framing_close(&t);
}
