/* The WebSocket Framer: what a peer must not send. */
#include "base/test.h"
#include "message/test_websocket.h"

static void check_hostile(bool server, const char *options, const void *bytes, size_t length, unsigned code,
                          const char *words)
{
    for (size_t step = 1; step <= length; step += length > 1 ? length - 1 : 1) {
        struct test_framing t;
        ws_open_ready(&t, server, options);
        test_framing_feed_split(&t, bytes, length, step);
        ws_check_failed(&t, TAPS_E_DEFRAMING, code, words);
    }
}

/* proves API-124 */
TEST(what_breaks_the_rules_fails_with_words)
{
    check_hostile(true, "", "\x82\x05Hello", 7, 1002, "without a mask");
    check_hostile(false, "", "\x82\x85\x00\x00\x00\x00Hello", 11, 1002, "a masked frame");
    check_hostile(false, "", "\xc2\x05Hello", 7, 1002, "a reserved bit");
    check_hostile(false, "", "\xa2\x05Hello", 7, 1002, "a reserved bit");
    check_hostile(false, "", "\x83\x00", 2, 1002, "a reserved opcode");
    check_hostile(false, "", "\x8b\x00", 2, 1002, "a reserved opcode");
    check_hostile(false, "", "\x80\x00", 2, 1002, "a continuation of no Message");
    check_hostile(false, "", "\x02\x01x\x02\x01y", 6, 1002, "a Message within a fragmented one");
    check_hostile(false, "", "\x09\x00", 2, 1002, "a control frame in fragments");
    check_hostile(false, "", "\x89\x7e\x00\x7e", 4, 1002, "a control frame over 125 bytes");
    check_hostile(false, "", "\x82\x7e\x00\x01", 4, 1002, "shortest form");
    check_hostile(false, "", "\x82\x7f\x80\0\0\0\0\0\0\0", 10, 1002, "2^63");
    check_hostile(false, "", "\x88\x01x", 3, 1002, "a Close frame of one byte");
    check_hostile(false, "", "\x88\x02\x03\xed", 4, 1002, "an invalid code");
    check_hostile(false, "", "\x88\x03\x03\xe8\xff", 5, 1007, "not UTF-8");
    check_hostile(false, "", "\x81\x02\xc0\x80", 4, 1007, "not UTF-8");
    check_hostile(false, "", "\x81\x01\xc3", 3, 1007, "not UTF-8");
    check_hostile(false, "", "\x01\x01\xc3\x80\x00", 5, 1007, "not UTF-8");
    check_hostile(true, "", "\x81\x81\x00\x00\x00\x00\xff", 7, 1007, "not UTF-8");
}

TEST(messages_over_the_maximum_fail_before_they_are_here)
{
    check_hostile(false, "maximum=1000", "\x82\x7e\x03\xe9", 4, 1009, "over the maximum");
    check_hostile(false, "", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10, 1009, "over the maximum");
    check_hostile(false, "maximum=4", "\x02\x03xyz\x80\x02", 7, 1009, "over the maximum");
    check_hostile(false, "maximum=unlimited", "\x02\x01x\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 13, 1009,
                  "over the maximum");
}
