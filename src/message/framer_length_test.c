#include "base/test.h"
#include "message/integers.h"
#include "stack/framer/test_framing.h"

struct vector {
    const char *framer;
    const char *message;
    const char *wire;
    size_t length;
};
#define VECTOR(framer, message, wire)                                                                                  \
    {                                                                                                                  \
        framer, message, wire, sizeof(wire) - 1                                                                        \
    }
#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct vector vectors[] = {
    VECTOR("length-prefix", "hello", "\0\0\0\5hello"),
    VECTOR("length-prefix", "", "\0\0\0\0"),
    VECTOR("length-prefix:length=1", "hello", "\5hello"),
    VECTOR("length-prefix:length=2", "hello", "\0\5hello"),
    VECTOR("length-prefix:length=3", "hello", "\0\0\5hello"),
    VECTOR("length-prefix:length=8", "hello", "\0\0\0\0\0\0\0\5hello"),
    VECTOR("length-prefix:order=little", "hello", "\5\0\0\0hello"),
    VECTOR("length-prefix:length=8,order=little", "hello", "\5\0\0\0\0\0\0\0hello"),
    VECTOR("length-prefix:length=2,includes-head=true", "hello", "\0\7hello"),
    VECTOR("length-prefix:length=2,includes-head=true", "", "\0\2"),
    /* 9P: size[4] Tversion tag[2] msize[4] version[s] */
    VECTOR("length-prefix:order=little,includes-head=true", "dabcdefgh", "\x0d\0\0\0dabcdefgh"),
    VECTOR("length-prefix:length=varint", "hello", "\5hello"),
    VECTOR("length-prefix:length=varint", "", "\0"),
    VECTOR("length-prefix:length=varint,includes-head", "hello", "\6hello"),
    VECTOR("length-prefix:length=quic", "hello", "\5hello"),
    VECTOR("length-prefix:length=quic,includes-head", "hello", "\6hello"),
};

TEST(each_form_of_the_length_is_written_as_it_is_read)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct test_framing t;
        test_framing_open_text(&t, v->framer, false);
        CHECK_INT(test_framing_send_text(&t, v->message), 0);
        CHECK(test_framing_wrote(&t, v->wire, v->length));
        test_framing_feed(&t, v->wire, v->length);
        test_framing_feed_split(&t, v->wire, v->length, 1);
        CHECK_INT(t.count, 2);
        CHECK(test_framing_got_text(&t, 0, v->message));
        CHECK(test_framing_got_text(&t, 1, v->message));
        test_framing_end(&t);
        CHECK_INT(t.ends, 1);
        CHECK_INT(t.closed, 0);
        test_framing_close(&t);
    }
}

/* A stream of Messages of these lengths, in slices of `step` bytes, comes out as it went in. */
static void check_lengths(const char *framer, const size_t *lengths, size_t count)
{
    static uint8_t bytes[20000];
    struct test_framing from, to;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    test_framing_open_text(&from, framer, false);
    for (size_t i = 0; i < count; i++)
        CHECK_INT(test_framing_send(&from, bytes + i, lengths[i], TAPSI_OP_END, NULL), 0);
    for (size_t step = 1; step < 70000; step = step * 3 + 1) {
        test_framing_open_text(&to, framer, true);
        test_framing_feed_split(&to, from.out, from.out_length, step);
        CHECK_INT(to.count, count);
        for (size_t i = 0; i < to.count; i++)
            CHECK(test_framing_got(&to, i, bytes + i, lengths[i]));
        test_framing_close(&to);
    }
    test_framing_close(&from);
}

TEST(lengths_around_each_size_of_a_varint_go_through)
{
    static const size_t lengths[] = {0,   1,   62,    63,    64,    65,    125,   126,   127,  128,
                                     129, 130, 16379, 16380, 16381, 16382, 16383, 16384, 16385};
    static const char *const framers[] = {"length-prefix",
                                          "length-prefix:length=2,order=little",
                                          "length-prefix:length=varint",
                                          "length-prefix:length=varint,includes-head",
                                          "length-prefix:length=quic",
                                          "length-prefix:length=quic,includes-head"};
    for (size_t i = 0; i < COUNT(framers); i++)
        check_lengths(framers[i], lengths, COUNT(lengths));
}

TEST(a_varint_that_counts_itself_is_as_short_as_it_can_be)
{
    static const struct {
        const char *framer;
        size_t length;
        const char *head;
        size_t size;
    } rows[] = {
        {"length-prefix:length=varint,includes-head", 126, "\x7f", 1},
        {"length-prefix:length=varint,includes-head", 127, "\x81\x01", 2},
        {"length-prefix:length=varint,includes-head", 16381, "\xff\x7f", 2},
        {"length-prefix:length=varint,includes-head", 16382, "\x81\x80\x01", 3},
        {"length-prefix:length=quic,includes-head", 62, "\x3f", 1},
        {"length-prefix:length=quic,includes-head", 63, "\x40\x41", 2},
        {"length-prefix:length=quic,includes-head", 16381, "\x7f\xff", 2},
        {"length-prefix:length=quic,includes-head", 16382, "\x80\0\x40\x02", 4},
    };
    static const uint8_t bytes[20000];
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct test_framing t;
        test_framing_open_text(&t, rows[i].framer, false);
        CHECK_INT(test_framing_send(&t, bytes, rows[i].length, TAPSI_OP_END, NULL), 0);
        CHECK_INT(t.out_length, rows[i].length + rows[i].size);
        CHECK(memcmp(t.out, rows[i].head, rows[i].size) == 0);
        test_framing_close(&t);
    }
}

/* ------------------------------------------------------------------------------------------ what is refused */

struct bad {
    const char *framer;
    const char *wire;
    size_t length;
    int error;
    const char *words;
};
#define BAD(framer, wire, words)                                                                                       \
    {                                                                                                                  \
        framer, wire, sizeof(wire) - 1, TAPS_E_DEFRAMING, words                                                        \
    }
#define CUT(framer, wire)                                                                                              \
    {                                                                                                                  \
        framer, wire, sizeof(wire) - 1, TAPS_E_TRUNCATED, "middle of a Message"                                        \
    }

static const struct bad bads[] = {
    BAD("length-prefix", "\1\0\0\1",
        "length-prefix: a Message of 16777217 bytes was announced, and the maximum is 16777216"),
    BAD("length-prefix", "\xff\xff\xff\xff",
        "a Message of 4294967295 bytes was announced, and the maximum is 16777216"),
    BAD("length-prefix:maximum=4", "\0\0\0\5hello", "a Message of 5 bytes was announced, and the maximum is 4"),
    BAD("length-prefix:length=1,maximum=254", "\xff", "a Message of 255 bytes"),
    BAD("length-prefix:length=8,maximum=unlimited", "\x80\0\0\0\0\0\0\0", "a Message of 9223372036854775808 bytes"),
    BAD("length-prefix:length=8,maximum=unlimited", "\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 bytes"),
    BAD("length-prefix:length=8,order=little,maximum=unlimited", "\0\0\0\0\0\0\0\x80", "9223372036854775808 bytes"),
    BAD("length-prefix:length=2,includes-head", "\0\0", "a length of 0 that includes its own 2 bytes"),
    BAD("length-prefix:length=2,includes-head", "\0\1", "a length of 1 that includes its own 2 bytes"),
    BAD("length-prefix:length=varint,includes-head", "\0", "a length of 0 that includes its own 1 bytes"),
    BAD("length-prefix:length=quic,includes-head", "\x40\1", "a length of 1 that includes its own 2 bytes"),
    BAD("length-prefix:length=varint", "\x80\0", "more bytes than its value needs"),
    BAD("length-prefix:length=varint", "\x85\x80\0hello", "more bytes than its value needs"),
    BAD("length-prefix:length=varint", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", "more than 64 bits"),
    BAD("length-prefix:length=varint", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "more than 64 bits"),
    BAD("length-prefix:length=varint,maximum=unlimited", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
        "a Message of 18446744073709551615 bytes"),
    BAD("length-prefix:length=varint,maximum=unlimited", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\1",
        "a Message of 9223372036854775808 bytes"),
    BAD("length-prefix:length=quic", "\xff\xff\xff\xff\xff\xff\xff\xff", "a Message of 4611686018427387903 bytes"),
    CUT("length-prefix", "\0"),
    CUT("length-prefix", "\0\0\0"),
    CUT("length-prefix", "\0\0\0\5"),
    CUT("length-prefix", "\0\0\0\5hell"),
    CUT("length-prefix:length=varint", "\x80"),
    CUT("length-prefix:length=varint", "\5h"),
    CUT("length-prefix:length=quic", "\x40"),
    CUT("length-prefix:length=8,maximum=unlimited", "\x7f\xff\xff\xff\xff\xff\xff\xffhello"),
};

/* Behind a good Message, so that it is not only the first that is looked at. */
TEST(hostile_lengths_and_ends_are_errors_that_name_the_cause)
{
    for (size_t i = 0; i < COUNT(bads); i++) {
        for (size_t step = 1; step < 64; step += 62) {
            struct test_framing t;
            test_framing_open_text(&t, bads[i].framer, true);
            test_framing_feed_split(&t, bads[i].wire, bads[i].length, step);
            test_framing_end(&t);
            CHECK(test_framing_failed(&t, bads[i].error));
            if (!strstr(t.error.text, bads[i].words))
                tapsi_test_fail(__FILE__, __LINE__, "%s: \"%s\", without \"%s\"", bads[i].framer, t.error.text,
                                bads[i].words);
            CHECK_INT(t.ends, 0);
            test_framing_close(&t);
        }
    }
}

TEST(a_message_that_is_too_long_is_refused_and_others_go_on)
{
    static const char *const framers[] = {"length-prefix:length=1", "length-prefix:maximum=255",
                                          "length-prefix:length=1,includes-head"};
    static const size_t most[] = {255, 255, 254};
    static const uint8_t bytes[300];
    for (size_t i = 0; i < COUNT(framers); i++) {
        struct test_framing t;
        test_framing_open_text(&t, framers[i], false);
        CHECK_INT(test_framing_send(&t, bytes, most[i] + 1, TAPSI_OP_END, NULL), TAPS_E_MESSAGE_TOO_LARGE);
        CHECK_INT(t.out_length, 0);
        CHECK_INT(test_framing_send(&t, bytes, most[i], TAPSI_OP_END, NULL), 0);
        CHECK(t.out_length > most[i]);
        test_framing_close(&t);
    }
}

TEST(options_that_are_none_are_refused)
{
    static const char *const texts[] = {
        "length-prefix:length=0",    "length-prefix:length=5",       "length-prefix:length=9",
        "length-prefix:length=",     "length-prefix:length=16",      "length-prefix:length=vari",
        "length-prefix:order=mid",   "length-prefix:maximum=0",      "length-prefix:maximum=-1",
        "length-prefix:maximum=16X", "length-prefix:includes-head=2"};
    taps_framer *framer = NULL;
    for (size_t i = 0; i < COUNT(texts); i++)
        CHECK_INT(taps_framer_new_text(texts[i], &framer), TAPS_E_RANGE);
    CHECK_INT(taps_framer_new_text("length-prefix:size=4", &framer), TAPS_E_UNKNOWN_PROPERTY);
    CHECK(framer == NULL);
}

/* ---------------------------------------------------------------------------------------------------- parts */

static struct tapsi_meta *length_metadata(struct test_framing *t, const char *text)
{
    struct tapsi_meta *meta = NULL;
    CHECK_INT(tapsi_meta_add(&meta, &t->mem, "length-prefix", "length", text), 0);
    return meta;
}

static int send_first(struct test_framing *t, const char *text, const char *length)
{
    struct tapsi_meta *meta = length ? length_metadata(t, length) : NULL;
    int err = test_framing_send(t, text, strlen(text), 0, meta);
    tapsi_meta_unref(meta);
    return err;
}

static int send_next(struct test_framing *t, const char *text, bool last)
{
    return test_framing_send(t, text, strlen(text), TAPSI_OP_CONTINUES | (last ? TAPSI_OP_END : 0u), NULL);
}

TEST(parts_go_behind_the_length_that_was_told_with_the_first)
{
    struct test_framing t;
    test_framing_open_text(&t, "length-prefix", false);
    CHECK_INT(send_first(&t, "he", "5"), 0);
    CHECK_INT(send_next(&t, "ll", false), 0);
    CHECK_INT(send_next(&t, "o", true), 0);
    CHECK_INT(test_framing_send_text(&t, "whole"), 0);
    CHECK(test_framing_wrote(&t, "\0\0\0\5hello\0\0\0\5whole", 18));
    CHECK_INT(send_first(&t, "", "2"), 0);
    CHECK_INT(send_next(&t, "hi", false), 0);
    CHECK_INT(send_next(&t, "", true), 0);
    CHECK(test_framing_wrote(&t, "\0\0\0\2hi", 6));
    test_framing_close(&t);
}

TEST(parts_that_do_not_add_up_are_refused_and_nothing_of_them_is_sent)
{
    struct test_framing t;
    test_framing_open_text(&t, "length-prefix:maximum=100", false);
    CHECK_INT(send_first(&t, "he", NULL), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_next(&t, "llo", true), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_first(&t, "he", "5 bytes"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_first(&t, "he", "-5"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_first(&t, "he", "18446744073709551616"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_first(&t, "he", "101"), TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(send_first(&t, "he", "1"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(t.out_length, 0);
    CHECK_INT(send_first(&t, "he", "5"), 0);
    CHECK_INT(send_next(&t, "llo!", false), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_next(&t, "ll", true), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(test_framing_send_text(&t, "whole"), TAPS_E_MESSAGE_PROPERTIES);
    CHECK_INT(send_next(&t, "llo", true), 0);
    CHECK(test_framing_wrote(&t, "\0\0\0\5hello", 9));
    test_framing_close(&t);
}

/* The head has told their length: without one of them the next head would be taken for data. */
TEST(parts_do_not_expire_once_they_are_framed_and_whole_messages_do)
{
    struct test_framing t;
    test_framing_open_text(&t, "length-prefix", false);
    t.stalled = true;
    CHECK_INT(test_framing_send_text(&t, "whole"), 0);
    CHECK_INT(send_first(&t, "he", "5"), 0);
    CHECK_INT(send_next(&t, "llo", true), 0);
    for (size_t i = 0; i < 3; i++) {
        struct tapsi_link *link = tapsi_list_pop(&t.wire->queue);
        NEED(link);
        struct tapsi_op *op = TAPSI_CONTAINER(link, struct tapsi_op, link);
        CHECK_INT((op->flags & TAPSI_OP_TOUCHED) != 0, i > 0);
        t.wire->queued -= op->length;
        tapsi_op_finish(op, 0);
    }
    test_framing_close(&t);
}

TEST(a_message_of_many_gigabytes_flows_in_parts)
{
    static const uint8_t bytes[65536];
    uint64_t total = (uint64_t)10 << 30, told = 0;
    struct test_framing t;
    uint8_t head[8];
    tapsi_integer_put(head, sizeof(head), false, total);
    test_framing_open_text(&t, "length-prefix:length=8,maximum=unlimited", true);
    t.keeps = false;
    test_framing_feed(&t, head, sizeof(head));
    for (; told < 64 * sizeof(bytes); told += sizeof(bytes))
        test_framing_feed(&t, bytes, sizeof(bytes));
    CHECK_INT(t.bytes, told);
    CHECK_INT(t.closed, 0);
    struct tapsi_meta *meta = length_metadata(&t, "10737418240");
    CHECK_INT(test_framing_send(&t, bytes, sizeof(bytes), 0, meta), 0);
    tapsi_meta_unref(meta);
    CHECK_INT(t.out_length, sizeof(bytes) + sizeof(head));
    CHECK(memcmp(t.out, head, sizeof(head)) == 0);
    test_framing_close(&t);
}

/* ------------------------------------------------------------------------------------------------ datagrams */

static void open_datagrams(struct test_framing *t, const char *text)
{
    taps_framer *framer = NULL;
    CHECK_INT(taps_framer_new_text(text, &framer), 0);
    test_framing_open(t, (const taps_framer *const *)&framer, 1, false, true);
    taps_framer_free(framer);
}

TEST(a_datagram_may_carry_several_messages)
{
    struct test_framing t;
    open_datagrams(&t, "length-prefix:length=1");
    test_framing_feed(&t, "\5hello\0\2hi", 10);
    CHECK_INT(t.count, 3);
    CHECK(test_framing_got_text(&t, 0, "hello"));
    CHECK(test_framing_got_text(&t, 1, ""));
    CHECK(test_framing_got_text(&t, 2, "hi"));
    test_framing_close(&t);
}

TEST(a_datagram_that_does_not_parse_costs_only_itself)
{
    static const struct {
        const char *bytes;
        size_t length;
    } rows[] = {{"\0\0", 2}, {"\0\0\0\6hello", 9}, {"\xff\xff\xff\xff", 4}, {"\0\0\0\1ax", 6}};
    struct test_framing t;
    open_datagrams(&t, "length-prefix");
    for (size_t i = 0; i < COUNT(rows); i++) {
        test_framing_feed(&t, rows[i].bytes, rows[i].length);
        CHECK_INT(t.soft_errors, i + 1);
        CHECK_INT(t.error.pub.code, TAPS_E_DEFRAMING);
    }
    test_framing_feed(&t, "\0\0\0\5hello", 9);
    CHECK_INT(t.closed, 0);
    CHECK(t.count > 0 && test_framing_got_text(&t, t.count - 1, "hello"));
    test_framing_close(&t);
}
