#include "message/ws_deflate.h"
#include <stdlib.h>
#include "base/test.h"

struct pair {
    struct tapsi_ws_deflate client, server;
    unsigned blocks; /* of memory in use */
};

static void *count(void *owner, void *block, size_t size)
{
    unsigned *blocks = owner;
    *blocks += !block;
    *blocks -= !size;
    if (size)
        return realloc(block, size);
    free(block);
    return NULL;
}

static void *refuse(void *owner, void *block, size_t size)
{
    (void)owner;
    (void)block;
    (void)size;
    return NULL;
}

static void begin(struct pair *pair, struct tapsi_ws_agreement agreed)
{
    pair->blocks = 0;
    tapsi_ws_deflate_init(&pair->client, &agreed, false, count, &pair->blocks);
    tapsi_ws_deflate_init(&pair->server, &agreed, true, count, &pair->blocks);
}

static void end(struct pair *pair)
{
    tapsi_ws_deflate_done(&pair->client);
    tapsi_ws_deflate_done(&pair->server);
    CHECK_INT(pair->blocks, 0);
}

static size_t pack(struct tapsi_ws_deflate *d, const char *text, size_t length, bool last, uint8_t *to, size_t size)
{
    size_t bound = tapsi_ws_deflate_bound(d, length);
    if (bound > size)
        tapsi_test_fail(__FILE__, __LINE__, "a bound of %zu", bound);
    tapsi_ws_deflate_begin(d, to, bound);
    tapsi_ws_deflate_add(d, text, length / 2);
    tapsi_ws_deflate_add(d, text + length / 2, length - length / 2);
    return tapsi_ws_deflate_finish(d, last);
}

/* Inflates in pieces of `room`: what comes out of a whole Message, or -1. */
static long unpack(struct tapsi_ws_deflate *d, const uint8_t *from, size_t length, size_t room, char *to, size_t size)
{
    size_t at = 0, taken, written;
    enum tapsi_ws_inflated result;
    do {
        if (at + room > size)
            return -2;
        result = tapsi_ws_inflate(d, from, length, true, (uint8_t *)to + at, room, &taken, &written);
        from += taken;
        length -= taken;
        at += written;
    } while (result == TAPSI_WS_INFLATE_AGAIN);
    return result == TAPSI_WS_INFLATE_MORE ? (long)at : -1;
}

static void check_unpacks(struct tapsi_ws_deflate *d, const uint8_t *from, size_t length, const char *expected)
{
    char text[256] = "";
    long got = unpack(d, from, length, 4, text, sizeof(text));
    CHECK_INT(got, strlen(expected));
    if (got >= 0)
        text[got] = '\0';
    CHECK_TEXT(text, expected);
}

/* ----------------------------------------------------------------------------------- vectors of RFC 7692, 7.2.3 */

static const uint8_t hello[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};

TEST(a_message_of_one_block)
{
    struct pair pair;
    uint8_t packed[64];
    begin(&pair, (struct tapsi_ws_agreement){0});
    check_unpacks(&pair.client, hello, sizeof(hello), "Hello");
    CHECK_INT(pack(&pair.server, "Hello", 5, true, packed, sizeof(packed)), sizeof(hello));
    CHECK(memcmp(packed, hello, sizeof(hello)) == 0);
    end(&pair);
}

TEST(a_window_that_is_shared_between_messages)
{
    static const uint8_t again[] = {0xf2, 0x00, 0x11, 0x00, 0x00};
    struct pair pair;
    uint8_t packed[64];
    begin(&pair, (struct tapsi_ws_agreement){0});
    check_unpacks(&pair.client, hello, sizeof(hello), "Hello");
    check_unpacks(&pair.client, again, sizeof(again), "Hello");
    pack(&pair.server, "Hello", 5, true, packed, sizeof(packed));
    CHECK_INT(pack(&pair.server, "Hello", 5, true, packed, sizeof(packed)), sizeof(again));
    CHECK(memcmp(packed, again, sizeof(again)) == 0);
    end(&pair);
}

TEST(a_block_without_compression)
{
    static const uint8_t stored[] = {0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00};
    struct pair pair;
    begin(&pair, (struct tapsi_ws_agreement){0});
    check_unpacks(&pair.client, stored, sizeof(stored), "Hello");
    end(&pair);
}

TEST(a_last_block_is_not_the_last_of_the_connection)
{
    static const uint8_t last[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00},
                         again[] = {0xf2, 0x00, 0x11, 0x00, 0x00};
    struct pair pair;
    begin(&pair, (struct tapsi_ws_agreement){0});
    check_unpacks(&pair.client, last, sizeof(last), "Hello");
    check_unpacks(&pair.client, again, sizeof(again), "Hello");
    end(&pair);
}

TEST(two_blocks_in_one_message)
{
    static const uint8_t two[] = {0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00};
    struct pair pair;
    begin(&pair, (struct tapsi_ws_agreement){0});
    check_unpacks(&pair.client, two, sizeof(two), "Hello");
    end(&pair);
}

TEST(an_empty_message_is_one_byte)
{
    struct pair pair;
    uint8_t packed[64];
    begin(&pair, (struct tapsi_ws_agreement){0});
    for (int i = 0; i < 3; i++) {
        CHECK_INT(pack(&pair.server, "", 0, true, packed, sizeof(packed)), 1);
        CHECK_INT(packed[0], 0);
        check_unpacks(&pair.client, packed, 1, "");
    }
    end(&pair);
}

/* ------------------------------------------------------------------------------------------------------ streams */

TEST(no_takeover_makes_every_message_stand_alone)
{
    struct pair pair;
    uint8_t packed[64];
    begin(&pair, (struct tapsi_ws_agreement){.server_no_context = true});
    for (int i = 0; i < 3; i++) {
        CHECK_INT(pack(&pair.server, "Hello", 5, true, packed, sizeof(packed)), sizeof(hello));
        check_unpacks(&pair.client, packed, sizeof(hello), "Hello");
    }
    end(&pair);
}

TEST(parts_are_flushed_and_end_like_any_message)
{
    struct pair pair;
    uint8_t packed[256];
    size_t length;
    begin(&pair, (struct tapsi_ws_agreement){0});
    length = pack(&pair.client, "first ", 6, false, packed, sizeof(packed));
    length += pack(&pair.client, "second ", 7, false, packed + length, sizeof(packed) - length);
    length += pack(&pair.client, "", 0, true, packed + length, sizeof(packed) - length);
    check_unpacks(&pair.server, packed, length, "first second ");
    length = pack(&pair.client, "first ", 6, true, packed, sizeof(packed));
    check_unpacks(&pair.server, packed, length, "first ");
    end(&pair);
}

/* What cannot be compressed must not outgrow its bound, whatever the window. */
TEST(noise_stays_in_its_bound_and_comes_back)
{
    enum { MOST = 70000 };
    char *noise = malloc(MOST), *back = malloc(MOST + 4096);
    uint8_t *packed = malloc(2 * MOST);
    uint32_t seed = 1;
    NEED(noise && back && packed);
    for (size_t i = 0; i < MOST; i++) {
        seed = seed * 1664525 + 1013904223;
        noise[i] = (char)(seed >> 24);
    }
    for (uint8_t bits = 9; bits <= 15; bits++) {
        struct pair pair;
        begin(&pair, (struct tapsi_ws_agreement){.client_bits = bits});
        for (size_t length = 1; length < MOST; length = length * 3 + bits) {
            size_t packed_length = pack(&pair.client, noise, length, true, packed, 2 * MOST);
            CHECK_INT(unpack(&pair.server, packed, packed_length, 4096, back, MOST + 4096), length);
            CHECK(memcmp(noise, back, length) == 0);
        }
        end(&pair);
    }
    free(noise);
    free(back);
    free(packed);
}

TEST(one_byte_at_a_time_in_and_out)
{
    struct pair pair;
    uint8_t packed[64];
    char text[64] = "";
    size_t at = 0, taken, written;
    begin(&pair, (struct tapsi_ws_agreement){0});
    size_t length = pack(&pair.client, "aaaaaaaaaaaaaaaaaaaab", 21, true, packed, sizeof(packed));
    for (size_t i = 0; i < length; i++) {
        enum tapsi_ws_inflated result;
        size_t left = 1;
        do {
            result = tapsi_ws_inflate(&pair.server, packed + i, left, i + 1 == length, (uint8_t *)text + at, 1, &taken,
                                      &written);
            left -= taken;
            at += written;
        } while (result == TAPSI_WS_INFLATE_AGAIN && at < 60);
        CHECK_INT(result, TAPSI_WS_INFLATE_MORE);
    }
    CHECK_TEXT(text, "aaaaaaaaaaaaaaaaaaaab");
    end(&pair);
}

TEST(a_bomb_comes_out_in_pieces_of_the_room_there_is)
{
    enum { SIZE = 1 << 20 };
    struct pair pair;
    char *zeros = calloc(1, SIZE), piece[512];
    uint8_t *packed = malloc(SIZE);
    size_t taken, written, at = 0;
    NEED(zeros && packed);
    begin(&pair, (struct tapsi_ws_agreement){0});
    size_t length = pack(&pair.client, zeros, SIZE, true, packed, SIZE + 4096);
    CHECK(length < 2000);
    /* Whoever stops here has seen 512 bytes of it. */
    CHECK_INT(tapsi_ws_inflate(&pair.server, packed, length, true, (uint8_t *)piece, sizeof(piece), &taken, &written),
              TAPSI_WS_INFLATE_AGAIN);
    CHECK_INT(written, sizeof(piece));
    for (at = taken; written;) {
        tapsi_ws_inflate(&pair.server, packed + at, length - at, true, (uint8_t *)piece, sizeof(piece), &taken,
                         &written);
        at += taken;
    }
    CHECK_INT(at, length);
    end(&pair);
    free(zeros);
    free(packed);
}

TEST(what_does_not_inflate_is_told)
{
    static const uint8_t reserved_type[] = {0x07}, bad_length[] = {0x00, 0x05, 0x00, 0x00, 0x00},
                         far[] = {0x02, 0x13, 0x00};
    static const uint8_t *const wrong[] = {reserved_type, bad_length, far};
    static const size_t lengths[] = {1, 5, 3};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        char text[64];
        begin(&pair, (struct tapsi_ws_agreement){0});
        CHECK_INT(unpack(&pair.client, wrong[i], lengths[i], 8, text, sizeof(text)), -1);
        end(&pair);
    }
}

TEST(a_message_that_ends_within_a_block_is_told)
{
    for (size_t cut = 1; cut < sizeof(hello) - 1; cut++) {
        struct pair pair;
        char text[64];
        begin(&pair, (struct tapsi_ws_agreement){0});
        CHECK_INT(unpack(&pair.client, hello, cut, 8, text, sizeof(text)), -1);
        end(&pair);
    }
}

TEST(streams_without_memory_say_so)
{
    struct tapsi_ws_deflate d;
    struct tapsi_ws_agreement agreed = {0};
    uint8_t to[8];
    size_t taken, written;
    tapsi_ws_deflate_init(&d, &agreed, true, refuse, NULL);
    CHECK_INT(tapsi_ws_deflate_bound(&d, 5), 0);
    CHECK_INT(tapsi_ws_inflate(&d, hello, sizeof(hello), true, to, sizeof(to), &taken, &written),
              TAPSI_WS_INFLATE_MEMORY);
    tapsi_ws_deflate_done(&d);
}

TEST(a_window_of_8_bits_is_not_compressed_for)
{
    struct tapsi_ws_deflate d;
    struct tapsi_ws_agreement agreed = {.server_bits = 8};
    tapsi_ws_deflate_init(&d, &agreed, true, refuse, NULL);
    CHECK(!tapsi_ws_deflate_possible(&d));
    tapsi_ws_deflate_init(&d, &agreed, false, refuse, NULL);
    CHECK(tapsi_ws_deflate_possible(&d));
}
