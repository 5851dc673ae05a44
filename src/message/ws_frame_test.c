#include "message/ws_frame.h"
#include "base/test.h"

static const struct tapsi_ws_rules of_client = {.server = false}, of_server = {.server = true};

/* Reads a head, which must be sound in itself. */
static struct tapsi_ws_head read(const uint8_t *bytes, size_t size)
{
    struct tapsi_ws_head head = {0};
    const char *wrong = tapsi_ws_head_read(bytes, &head);
    if (wrong)
        tapsi_test_fail(__FILE__, __LINE__, "not taken: %s", wrong);
    CHECK_INT(tapsi_ws_head_size(bytes), size);
    return head;
}

static void check_both_ways(const uint8_t *bytes, size_t size, struct tapsi_ws_head expected)
{
    uint8_t written[TAPSI_WS_HEAD_MAX];
    struct tapsi_ws_head head = read(bytes, size);
    CHECK_INT(head.opcode, expected.opcode);
    CHECK_INT(head.final, expected.final);
    CHECK_INT(head.compressed, expected.compressed);
    CHECK_INT(head.masked, expected.masked);
    CHECK_INT(head.length, expected.length);
    CHECK(memcmp(head.mask, expected.mask, 4) == 0);
    CHECK_INT(tapsi_ws_head_write(written, &expected), size);
    CHECK(memcmp(written, bytes, size) == 0);
}

/* ------------------------------------------------------------------------------------- vectors of RFC 6455, 5.7 */

TEST(an_unmasked_text_frame)
{
    static const uint8_t frame[] = {0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f};
    check_both_ways(frame, 2, (struct tapsi_ws_head){.opcode = TAPSI_WS_TEXT, .final = true, .length = 5});
}

TEST(a_masked_text_frame)
{
    static const uint8_t frame[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    struct tapsi_ws_head expected = {
        .opcode = TAPSI_WS_TEXT, .final = true, .masked = true, .length = 5, .mask = {0x37, 0xfa, 0x21, 0x3d}};
    uint8_t text[6] = "";
    check_both_ways(frame, 6, expected);
    tapsi_ws_mask(text, frame + 6, 5, expected.mask, 0);
    CHECK_TEXT((char *)text, "Hello");
}

TEST(fragments_of_a_text)
{
    static const uint8_t first[] = {0x01, 0x03}, second[] = {0x80, 0x02};
    check_both_ways(first, 2, (struct tapsi_ws_head){.opcode = TAPSI_WS_TEXT, .length = 3});
    check_both_ways(second, 2, (struct tapsi_ws_head){.opcode = TAPSI_WS_CONTINUATION, .final = true, .length = 2});
}

TEST(a_ping_and_its_masked_pong)
{
    static const uint8_t ping[] = {0x89, 0x05}, pong[] = {0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d};
    check_both_ways(ping, 2, (struct tapsi_ws_head){.opcode = TAPSI_WS_PING, .final = true, .length = 5});
    check_both_ways(
        pong, 6,
        (struct tapsi_ws_head){
            .opcode = TAPSI_WS_PONG, .final = true, .masked = true, .length = 5, .mask = {0x37, 0xfa, 0x21, 0x3d}});
}

TEST(lengths_of_16_and_64_bits)
{
    static const uint8_t middle[] = {0x82, 0x7e, 0x01, 0x00};
    static const uint8_t large[] = {0x82, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00};
    check_both_ways(middle, 4, (struct tapsi_ws_head){.opcode = TAPSI_WS_BINARY, .final = true, .length = 256});
    check_both_ways(large, 10, (struct tapsi_ws_head){.opcode = TAPSI_WS_BINARY, .final = true, .length = 65536});
}

TEST(the_longest_head_has_14_bytes)
{
    static const uint8_t bytes[] = {0xc2, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
    check_both_ways(bytes, TAPSI_WS_HEAD_MAX,
                    (struct tapsi_ws_head){.opcode = TAPSI_WS_BINARY,
                                           .final = true,
                                           .compressed = true,
                                           .masked = true,
                                           .length = INT64_MAX,
                                           .mask = {1, 2, 3, 4}});
}

/* ----------------------------------------------------------------------------------------------- what is refused */

TEST(a_length_of_two_to_the_63_is_refused)
{
    static const uint8_t bytes[] = {0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0};
    struct tapsi_ws_head head;
    CHECK_TEXT(tapsi_ws_head_read(bytes, &head), "a length of 2^63 or more");
}

TEST(a_length_that_could_be_shorter_is_refused)
{
    static const uint8_t two[] = {0x82, 0x7e, 0, 125}, eight[] = {0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct tapsi_ws_head head;
    CHECK_TEXT(tapsi_ws_head_read(two, &head), "a length that is not in its shortest form");
    CHECK_TEXT(tapsi_ws_head_read(eight, &head), "a length that is not in its shortest form");
}

TEST(reserved_bits_need_an_agreement)
{
    struct tapsi_ws_rules deflate = {.deflate = true};
    struct tapsi_ws_head rsv1 = {.opcode = TAPSI_WS_TEXT, .final = true, .compressed = true};
    struct tapsi_ws_head rsv2 = {.opcode = TAPSI_WS_TEXT, .final = true, .reserved = true};
    CHECK_TEXT(tapsi_ws_head_check(&rsv1, &of_client), "a reserved bit that nothing was agreed on for");
    CHECK(!tapsi_ws_head_check(&rsv1, &deflate));
    CHECK_TEXT(tapsi_ws_head_check(&rsv2, &deflate), "a reserved bit that nothing was agreed on for");
    rsv1.opcode = TAPSI_WS_PING;
    CHECK_TEXT(tapsi_ws_head_check(&rsv1, &deflate), "a compressed control frame");
    rsv1.opcode = TAPSI_WS_CONTINUATION;
    deflate.in_message = true;
    CHECK_TEXT(tapsi_ws_head_check(&rsv1, &deflate), "a continuation with RSV1");
}

TEST(reserved_opcodes_are_refused)
{
    for (uint8_t opcode = 0; opcode < 16; opcode++) {
        struct tapsi_ws_head head = {.opcode = opcode, .final = true};
        bool known = (opcode >= 1 && opcode <= 2) || (opcode >= 8 && opcode <= 10);
        const char *wrong = tapsi_ws_head_check(&head, &of_client);
        CHECK((wrong == NULL) == known);
        if (opcode && !known)
            CHECK_TEXT(wrong, "a reserved opcode");
    }
}

TEST(masks_are_the_clients_duty_and_nobody_elses)
{
    struct tapsi_ws_head bare = {.opcode = TAPSI_WS_BINARY, .final = true}, masked = bare;
    masked.masked = true;
    CHECK_TEXT(tapsi_ws_head_check(&bare, &of_server), "a frame of the client without a mask");
    CHECK_TEXT(tapsi_ws_head_check(&masked, &of_client), "a masked frame of the server");
    CHECK(!tapsi_ws_head_check(&bare, &of_client));
    CHECK(!tapsi_ws_head_check(&masked, &of_server));
}

TEST(control_frames_are_short_and_whole)
{
    struct tapsi_ws_head head = {.opcode = TAPSI_WS_PING, .final = true, .length = 125};
    CHECK(!tapsi_ws_head_check(&head, &of_client));
    head.length = 126;
    CHECK_TEXT(tapsi_ws_head_check(&head, &of_client), "a control frame over 125 bytes");
    head = (struct tapsi_ws_head){.opcode = TAPSI_WS_CLOSE};
    CHECK_TEXT(tapsi_ws_head_check(&head, &of_client), "a control frame in fragments");
}

TEST(fragments_do_not_nest_and_do_not_come_alone)
{
    struct tapsi_ws_rules within = {.in_message = true};
    struct tapsi_ws_head text = {.opcode = TAPSI_WS_TEXT}, more = {.opcode = TAPSI_WS_CONTINUATION};
    struct tapsi_ws_head ping = {.opcode = TAPSI_WS_PING, .final = true};
    CHECK_TEXT(tapsi_ws_head_check(&text, &within), "a Message within a fragmented one");
    CHECK_TEXT(tapsi_ws_head_check(&more, &of_client), "a continuation of no Message");
    CHECK(!tapsi_ws_head_check(&more, &within));
    CHECK(!tapsi_ws_head_check(&ping, &within));
}

/* ------------------------------------------------------------------------------------------------------ masking */

TEST(masking_is_the_same_for_every_length_start_and_offset)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t from[160], to[160], plain[160];
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * 7 + 1);
    for (size_t length = 0; length <= 100; length++) {
        for (size_t start = 0; start < 9; start++) {
            for (uint64_t offset = 0; offset < 6; offset++) {
                memset(to, 0xee, sizeof(to));
                for (size_t i = 0; i < length; i++)
                    plain[i] = from[start + i] ^ mask[(offset + i) % 4];
                tapsi_ws_mask(to + 16 - start, from + start, length, mask, offset);
                if (memcmp(to + 16 - start, plain, length) != 0 || to[15 - start] != 0xee ||
                    to[16 - start + length] != 0xee)
                    tapsi_test_fail(__FILE__, __LINE__, "length %zu, start %zu, offset %d", length, start, (int)offset);
            }
        }
    }
}

TEST(masking_in_place_and_downwards_by_some_bytes)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    for (size_t down = 0; down <= 12; down++) {
        uint8_t bytes[200], plain[200];
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = plain[i] = (uint8_t)(i * 13);
        tapsi_ws_mask(bytes + 12 - down, bytes + 12, 150, mask, 0);
        for (size_t i = 0; i < 150; i++)
            CHECK_INT(bytes[12 - down + i], plain[12 + i] ^ mask[i % 4]);
    }
}

/* -------------------------------------------------------------------------------------------------------- Close */

TEST(codes_that_may_be_sent)
{
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999};
    static const unsigned bad[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        CHECK(tapsi_ws_code_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!tapsi_ws_code_valid(bad[i]));
}

TEST(what_close_carries)
{
    unsigned code = 0, answer = 0;
    CHECK(!tapsi_ws_close_read(NULL, 0, &code, &answer));
    CHECK_INT(code, TAPSI_WS_NO_STATUS);
    CHECK(!tapsi_ws_close_read((const uint8_t *)"\x03\xe9"
                                                "bye",
                               5, &code, &answer));
    CHECK_INT(code, TAPSI_WS_GOING_AWAY);
    CHECK_TEXT(tapsi_ws_close_read((const uint8_t *)"\x03", 1, &code, &answer), "a Close frame of one byte");
    CHECK_INT(answer, TAPSI_WS_PROTOCOL_ERROR);
    CHECK_TEXT(tapsi_ws_close_read((const uint8_t *)"\x03\xed", 2, &code, &answer),
               "a Close frame with an invalid code");
    CHECK_TEXT(tapsi_ws_close_read((const uint8_t *)"\x03\xe8\xc3", 3, &code, &answer),
               "a Close frame whose reason is not UTF-8");
    CHECK_INT(answer, TAPSI_WS_BAD_DATA);
}

/* -------------------------------------------------------------------------------------------------------- UTF-8 */

/* Whole, and split at every byte: the same. */
static bool is_utf8(const char *text)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t length = strlen(text);
    struct tapsi_ws_text whole = {0};
    bool good = tapsi_ws_text_check(&whole, bytes, length) && tapsi_ws_text_whole(&whole);
    for (size_t split = 0; split <= length; split++) {
        struct tapsi_ws_text parts = {0};
        bool same = tapsi_ws_text_check(&parts, bytes, split) &&
                    tapsi_ws_text_check(&parts, bytes + split, length - split) && tapsi_ws_text_whole(&parts);
        if (same != good)
            tapsi_test_fail(__FILE__, __LINE__, "split at %zu of %s", split, text);
    }
    return good;
}

TEST(texts_that_are_utf_8)
{
    CHECK(is_utf8(""));
    CHECK(is_utf8("plain"));
    CHECK(is_utf8("a text of more than thirty-two bytes, which is looked at in blocks, and then gr\xc3\xbc\xc3\x9f"));
    CHECK(is_utf8("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"));
    CHECK(is_utf8("\xf0\x9f\x98\x80"));
    CHECK(is_utf8("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\xe0\xa0\x80\xc2\x80"));
}

TEST(texts_that_are_not)
{
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xe2\x82",
                                      "\xc3(",
                                      "\xe2\x82\x28",
                                      "\xf0\x9f\x98",
                                      "a\xc3\xbc\xbc",
                                      "0123456789abcdef0123456789abcdef\xbf and more"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (is_utf8(bad[i]))
            tapsi_test_fail(__FILE__, __LINE__, "text %zu is taken", i);
    }
}

TEST(a_text_that_can_never_become_utf_8_is_told_at_its_first_wrong_byte)
{
    struct tapsi_ws_text text = {0};
    CHECK(tapsi_ws_text_check(&text, (const uint8_t *)"\xe0", 1));
    CHECK(!tapsi_ws_text_check(&text, (const uint8_t *)"\x80", 1));
}
