#include "base/test.h"
#include "stack/framer/test_framing.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

struct vector {
    const char *framer;
    const char *wire;
    size_t length;
    const char *messages[6]; /* ends with NULL */
};
#define VECTOR(framer, wire, ...)                                                                                      \
    {                                                                                                                  \
        framer, wire, sizeof(wire) - 1,                                                                                \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* What is sent as it is received. */
static const struct vector vectors[] = {
    VECTOR("delimiter", "USER a\n\nQUIT\n", "USER a", "", "QUIT"),
    VECTOR("delimiter", "a\r\nb\r\n", "a\r", "b\r"),
    VECTOR("delimiter:delimiter=crlf", "a\r\n\r\nb\nc\r\n\rd\r\n", "a", "", "b\nc", "\rd"),
    VECTOR("delimiter:delimiter=crlf", "a\r\r\n\r\r\r\n", "a\r", "\r\r"),
    VECTOR("delimiter:delimiter=nul", "a\0\0bc\0", "a", "", "bc"),
    VECTOR("delimiter:delimiter=\\x00\\x00\\x01", "a\2\0\0\1b\0\0\1", "a\2", "b"),
    VECTOR("delimiter:delimiter=\\r\\n.\\r\\n", "Hi\r\n..\r\n.\r\nend\r\n.\r\n", "Hi\r\n..", "end"),
    VECTOR("delimiter:delimiter=ABABC", "xABAB.ABABCABABC", "xABAB.", ""),
    VECTOR("delimiter:delimiter=ABABC", "ABABABCABAABABC", "AB", "ABA"),
    VECTOR("delimiter:delimiter=aab", "aaaaabaaab", "aaa", "a"),
    VECTOR("delimiter:delimiter=--", "a--b- -c--", "a", "b- -c"),
    VECTOR("delimiter:delimiter=\\x2c", "a,b,", "a", "b"),
    VECTOR("delimiter:delimiter=crlf,accept-lf=yes", "a\r\n\r\n\rb\r\r\n", "a", "", "\rb\r"),
};

static void check_received(struct test_framing *t, const char *const *messages)
{
    size_t count = 0;
    for (; messages[count]; count++)
        CHECK(count < t->count && test_framing_got_text(t, count, messages[count]));
    CHECK_INT(t->count, count);
    test_framing_end(t);
    CHECK_INT(t->ends, 1);
    CHECK_INT(t->closed, 0);
}

TEST(messages_are_written_and_read_whatever_the_delimiter_and_the_slices)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct test_framing t;
        test_framing_open_text(&t, v->framer, false);
        for (size_t k = 0; v->messages[k]; k++)
            CHECK_INT(test_framing_send_text(&t, v->messages[k]), 0);
        CHECK(test_framing_wrote(&t, v->wire, v->length));
        test_framing_close(&t);
        for (size_t step = 1; step <= v->length; step++) {
            test_framing_open_text(&t, v->framer, true);
            test_framing_feed_split(&t, v->wire, v->length, step);
            check_received(&t, v->messages);
            test_framing_close(&t);
        }
    }
}

TEST(a_line_feed_alone_ends_a_message_where_that_is_accepted)
{
    static const char wire[] = "a\nb\r\n\n\r\nc\rd\n\r\r\n";
    static const char *const messages[] = {"a", "b", "", "", "c\rd", "\r", NULL};
    for (size_t step = 1; step < sizeof(wire); step++) {
        struct test_framing t;
        test_framing_open_text(&t, "delimiter:accept-lf=true,delimiter=crlf", true);
        test_framing_feed_split(&t, wire, sizeof(wire) - 1, step);
        check_received(&t, messages);
        test_framing_close(&t);
    }
}

/* What a slow, obvious search says, on random short texts of few letters. */
TEST(random_texts_are_cut_where_a_plain_search_cuts_them)
{
    unsigned seed = 12345, rounds = tapsi_test_rounds(400, 100, 20000);
    for (unsigned round = 0; round < rounds; round++) {
        char wire[64], delimiter[8], text[32] = "delimiter:delimiter=";
        unsigned length = 1 + (seed = seed * 1103515245 + 12345) / 65536 % 5;
        for (unsigned i = 0; i < length; i++)
            delimiter[i] = (char)('a' + (seed = seed * 1103515245 + 12345) / 65536 % 2);
        delimiter[length] = '\0';
        strcat(text, delimiter);
        for (unsigned i = 0; i < 48; i++)
            wire[i] = (char)('a' + (seed = seed * 1103515245 + 12345) / 65536 % 2);
        strcpy(wire + 48, delimiter);
        struct test_framing t;
        test_framing_open_text(&t, text, true);
        test_framing_feed_split(&t, wire, strlen(wire), 1 + round % 11);
        size_t count = 0;
        for (char *at = wire, *end; (end = strstr(at, delimiter)); at = end + length)
            CHECK(count < t.count && test_framing_got(&t, count++, at, (size_t)(end - at)));
        CHECK(t.count - count <= 1);
        test_framing_close(&t);
    }
}

/* ------------------------------------------------------------------------------------------ what is refused */

TEST(a_message_that_would_end_early_is_refused_and_nothing_of_it_is_sent)
{
    static const struct {
        const char *framer, *message;
    } rows[] = {
        {"delimiter", "\n"},
        {"delimiter", "a\nb"},
        {"delimiter", "a\n"},
        {"delimiter:delimiter=crlf", "a\r\nb"},
        {"delimiter:delimiter=crlf", "\r\r\n"},
        {"delimiter:delimiter=crlf,accept-lf=true", "a\nb"},
        {"delimiter:delimiter=crlf,accept-lf=true", "\n"},
        {"delimiter:delimiter=--", "a-"},
        {"delimiter:delimiter=--", "-"},
        {"delimiter:delimiter=aba", "xab"},
        {"delimiter:delimiter=ABABC", "ABABABC"},
        {"delimiter:delimiter=aab", "aaaab"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct test_framing t;
        test_framing_open_text(&t, rows[i].framer, false);
        CHECK_INT(test_framing_send_text(&t, rows[i].message), TAPS_E_MESSAGE_PROPERTIES);
        CHECK_INT(t.out_length, 0);
        CHECK_INT(test_framing_send_text(&t, "x"), 0);
        CHECK(t.out_length > 1);
        test_framing_close(&t);
    }
}

static int send_part(struct test_framing *t, const char *text, bool first, bool last)
{
    return test_framing_send(t, text, strlen(text), (first ? 0u : TAPSI_OP_CONTINUES) | (last ? TAPSI_OP_END : 0u),
                             NULL);
}

TEST(parts_need_no_length)
{
    struct test_framing t;
    test_framing_open_text(&t, "delimiter:delimiter=crlf", false);
    CHECK_INT(send_part(&t, "he", true, false), 0);
    CHECK_INT(send_part(&t, "", false, false), 0);
    CHECK_INT(send_part(&t, "llo\r", false, true), 0);
    CHECK_INT(send_part(&t, "", true, false), 0);
    CHECK_INT(send_part(&t, "", false, true), 0);
    CHECK(test_framing_wrote_text(&t, "hello\r\r\n\r\n"));
    test_framing_close(&t);
}

TEST(a_delimiter_over_two_parts_or_more_is_seen)
{
    struct test_framing t;
    test_framing_open_text(&t, "delimiter:delimiter=ABABC", false);
    CHECK_INT(send_part(&t, "xA", true, false), 0);
    CHECK_INT(send_part(&t, "BA", false, false), 0);
    CHECK_INT(send_part(&t, "BC", false, false), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_part(&t, "B", false, false), 0);
    CHECK_INT(send_part(&t, "C", false, true), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_part(&t, "ABABC", false, true), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_part(&t, "ABx", false, true), 0);
    CHECK(test_framing_wrote_text(&t, "xABABABxABABC"));
    CHECK_INT(test_framing_send_text(&t, "C"), 0);
    CHECK(test_framing_wrote_text(&t, "CABABC"));
    test_framing_close(&t);
}

TEST(a_line_feed_behind_a_carriage_return_of_the_part_before_is_seen)
{
    struct test_framing t;
    test_framing_open_text(&t, "delimiter:delimiter=crlf", false);
    CHECK_INT(send_part(&t, "a\r", true, false), 0);
    CHECK_INT(send_part(&t, "\nb", false, true), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_part(&t, "b\n", false, true), 0);
    CHECK(test_framing_wrote_text(&t, "a\rb\n\r\n"));
    test_framing_close(&t);
}

TEST(what_is_longer_than_the_maximum_is_refused_or_an_error)
{
    struct test_framing t;
    test_framing_open_text(&t, "delimiter:maximum=5", true);
    CHECK_INT(test_framing_send_text(&t, "hello!"), TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(send_part(&t, "hell", true, false), 0);
    CHECK_INT(send_part(&t, "o!", false, true), TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(send_part(&t, "o", false, true), 0);
    CHECK_INT(test_framing_send_text(&t, "again"), 0);
    CHECK(test_framing_wrote_text(&t, "hello\nagain\n"));
    test_framing_feed_text(&t, "hello\nagain\n");
    CHECK_INT(t.count, 2);
    test_framing_feed_text(&t, "hello");
    CHECK_INT(t.closed, 0);
    test_framing_feed_text(&t, "!");
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    CHECK(strstr(t.error.text, "6 bytes without the delimiter, and the maximum is 5") != NULL);
    test_framing_close(&t);
    test_framing_open_text(&t, "delimiter:maximum=5", true);
    test_framing_feed_text(&t, "hello!\n");
    CHECK(test_framing_failed(&t, TAPS_E_DEFRAMING));
    test_framing_close(&t);
}

TEST(options_that_are_none_are_refused)
{
    static const char *const texts[] = {
        "delimiter:delimiter=",         "delimiter:delimiter=\\q",
        "delimiter:delimiter=\\x0",     "delimiter:delimiter=123456789012345678901234567890123",
        "delimiter:maximum=0",          "delimiter:accept-lf=maybe",
        "delimiter:unterminated=ignore"};
    taps_framer *framer = NULL;
    for (size_t i = 0; i < COUNT(texts); i++)
        CHECK_INT(taps_framer_new_text(texts[i], &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("delimiter:length=4", &framer), TAPS_E_UNKNOWN_PROPERTY);
    CHECK(framer == NULL);
}

/* ---------------------------------------------------------------------------------------------- the peer's end */

TEST(bytes_that_end_without_a_delimiter_are_an_error)
{
    static const char *const wires[] = {"a", "abc", "abc\r", "\r", "a\r\nb"};
    for (size_t i = 0; i < COUNT(wires); i++) {
        for (size_t step = 1; step < 64; step += 62) {
            struct test_framing t;
            test_framing_open_text(&t, "delimiter:delimiter=crlf", true);
            test_framing_feed_split(&t, wires[i], strlen(wires[i]), step);
            test_framing_end(&t);
            CHECK(test_framing_failed(&t, TAPS_E_TRUNCATED));
            CHECK(strstr(t.error.text, "bytes without the delimiter") != NULL);
            CHECK_INT(t.ends, 0);
            test_framing_close(&t);
        }
    }
}

TEST(bytes_that_end_without_a_delimiter_are_the_last_message_where_that_is_asked)
{
    static const struct vector rows[] = {
        VECTOR("delimiter:delimiter=crlf,unterminated=deliver", "a", "a"),
        VECTOR("delimiter:delimiter=crlf,unterminated=deliver", "a\r\nbc\r", "a", "bc\r"),
        VECTOR("delimiter:delimiter=crlf,unterminated=deliver", "\r", "\r"),
        VECTOR("delimiter:delimiter=crlf,unterminated=deliver", "a\r\n", "a"),
        VECTOR("delimiter:delimiter=crlf,unterminated=deliver,accept-lf=1", "a\nb\r", "a", "b\r"),
        VECTOR("delimiter:delimiter=ABABC,unterminated=deliver", "xABABCABAB", "x", "ABAB"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t step = 1; step <= rows[i].length; step++) {
            struct test_framing t;
            test_framing_open_text(&t, rows[i].framer, true);
            test_framing_feed_split(&t, rows[i].wire, rows[i].length, step);
            test_framing_end(&t);
            check_received(&t, rows[i].messages);
            test_framing_close(&t);
        }
    }
}

TEST(a_datagram_carries_whole_messages)
{
    taps_framer *framer = NULL;
    struct test_framing t;
    CHECK_INT(taps_framer_new_text("delimiter", &framer), 0);
    test_framing_open(&t, (const taps_framer *const *)&framer, 1, false, true);
    taps_framer_free(framer);
    test_framing_feed_text(&t, "abc");
    CHECK_INT(t.soft_errors, 1);
    CHECK_INT(t.error.pub.code, TAPS_E_DEFRAMING);
    CHECK_INT(t.count, 0);
    test_framing_feed_text(&t, "a\nb\n");
    CHECK_INT(t.count, 2);
    CHECK_INT(t.closed, 0);
    CHECK(test_framing_got_text(&t, 0, "a"));
    CHECK(test_framing_got_text(&t, 1, "b"));
    test_framing_close(&t);
}

TEST(the_rest_of_a_datagram_is_a_message_where_that_is_asked)
{
    taps_framer *framer = NULL;
    struct test_framing t;
    CHECK_INT(taps_framer_new_text("delimiter:unterminated=deliver", &framer), 0);
    test_framing_open(&t, (const taps_framer *const *)&framer, 1, false, true);
    taps_framer_free(framer);
    test_framing_feed_text(&t, "a\nb");
    test_framing_feed_text(&t, "c");
    CHECK_INT(t.count, 3);
    CHECK_INT(t.soft_errors, 0);
    CHECK(test_framing_got_text(&t, 1, "b"));
    CHECK(test_framing_got_text(&t, 2, "c"));
    test_framing_close(&t);
}
