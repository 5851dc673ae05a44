/* Frames that are taken out of a decrypted packet: those that 0.12 must not see, and no others. */
#include <stdlib.h>
#include "base/test.h"
#include "stack/quic/quic.h"

#define MOST  2000
#define COUNT (sizeof(samples) / sizeof(samples[0]))

struct packet {
    uint8_t bytes[MOST];
    size_t length;
};

struct sample {
    const char *what;
    uint8_t bytes[40];
    size_t length;
};

/* With numbers of all four lengths. */
static const struct sample samples[] = {
    {"PADDING", {0, 0, 0}, 3},
    {"PING", {1}, 1},
    {"ACK", {2, 9, 0x40, 7, 0, 0x80, 0, 0, 3}, 9},
    {"ACK with ranges", {2, 0x40, 99, 7, 2, 1, 0x40, 2, 3, 4, 0x80, 0, 0, 5}, 14},
    {"ACK with ECN", {3, 9, 7, 1, 1, 2, 3, 0x40, 4, 5, 0xc0, 0, 0, 0, 0, 0, 0, 6}, 18},
    {"RESET_STREAM", {4, 0, 0x40, 1, 0xc0, 0, 0, 0, 0, 0, 0, 9}, 12},
    {"STOP_SENDING", {5, 4, 0x80, 0, 0, 1}, 6},
    {"CRYPTO", {6, 0x40, 1, 3, 0x18, 0x18, 0x18}, 7},
    {"NEW_TOKEN", {7, 0x40, 2, 0x18, 0x18}, 5},
    {"STREAM with its length", {0x0a, 4, 3, 0x18, 0x18, 0x18}, 6},
    {"STREAM with its end", {0x0b, 0x40, 4, 0}, 4},
    {"STREAM behind others", {0x0e, 4, 0x80, 0, 0, 9, 2, 0x18, 0x18}, 9},
    {"MAX_DATA", {0x10, 0xc0, 0, 0, 0, 0, 0, 0, 1}, 9},
    {"MAX_STREAM_DATA", {0x11, 4, 0x80, 0, 1, 0}, 6},
    {"MAX_STREAMS", {0x12, 9}, 2},
    {"MAX_STREAMS of one direction", {0x13, 0x40, 9}, 3},
    {"DATA_BLOCKED", {0x14, 9}, 2},
    {"STREAM_DATA_BLOCKED", {0x15, 4, 9}, 3},
    {"STREAMS_BLOCKED", {0x16, 9}, 2},
    {"STREAMS_BLOCKED of one direction", {0x17, 9}, 2},
    {"NEW_CONNECTION_ID",
     {0x18, 0x40, 77, 0, 4, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
     25},
    {"RETIRE_CONNECTION_ID", {0x19, 1}, 2},
    {"PATH_CHALLENGE", {0x1a, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18}, 9},
    {"PATH_RESPONSE", {0x1b, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18}, 9},
    {"CONNECTION_CLOSE", {0x1c, 0x40, 1, 0, 2, 0x18, 0x18}, 7},
    {"CONNECTION_CLOSE of an application", {0x1d, 1, 0x40, 2, 0x18, 0x18}, 6},
    {"HANDSHAKE_DONE", {0x1e}, 1},
    {"DATAGRAM with its length", {0x31, 2, 0x18, 0x18}, 4},
    {"DATAGRAM without bytes", {0x31, 0}, 2},
    /* of no kind: for 0.12 they are STREAM */
    {"type 0x1f", {0x1f, 4, 9, 1, 0x18}, 5},
    {"type 0x2a", {0x2a, 4, 1, 0x18}, 4},
    {"type 0x5a", {0x5a, 4, 1, 0x18}, 4},
    {"type 0xfe", {0xfe, 4, 9, 1, 0x18}, 5},
};

static const struct sample ends[] = {
    {"STREAM", {8, 4}, 2},
    {"STREAM behind others", {0x0d, 4, 0x40, 9}, 4},
    {"type 0x38", {0x38, 4}, 2},
    {"DATAGRAM", {0x30, 9}, 2},
    {"type 0x20", {0x20}, 1},
    {"type 0x40", {0x40, 0x18}, 2},
    {"type 0xf7", {0xf7}, 1},
    {"an ACK of more ranges than there are", {2, 9, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, 12},
    {"a token that is too long", {7, 0x80, 1, 0, 0}, 5},
    {"an ID that takes itself back",
     {0x18, 9, 10, 4, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
     24},
};

static void put(struct packet *p, const void *bytes, size_t length)
{
    memcpy(p->bytes + p->length, bytes, length);
    p->length += length;
}

static void put_number(struct packet *p, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    bytes[0] |= 0xc0;
    put(p, bytes, 8);
}

#define ID_LENGTH (1 + 8 + 8 + 1 + 8 + 16)

/* Its bytes are types of frames. */
static void put_id(struct packet *p, uint64_t number, uint64_t prior)
{
    static const uint8_t type = 0x18, length = 8;
    uint8_t rest[24];
    memset(rest, type, sizeof(rest));
    put(p, &type, 1);
    put_number(p, number);
    put_number(p, prior);
    put(p, &length, 1);
    put(p, rest, sizeof(rest));
}

/* On bytes that end where the packet does, so that the sanitizers see who goes too far. */
static struct packet scrub(const struct packet *p, enum quic_scrub how, uint64_t *retired)
{
    struct packet ret = {.length = p->length};
    uint8_t *exact = malloc(p->length + 1);
    uint8_t *bytes = exact + 1;
    memcpy(bytes, p->bytes, p->length);
    tapsi_quic_scrub(bytes, p->length, how, retired);
    memcpy(ret.bytes, bytes, p->length);
    free(exact);
    return ret;
}

static bool same(const struct packet *a, const struct packet *b)
{
    return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static bool is_taken_out(const uint8_t *frame, size_t length, bool early)
{
    for (size_t i = 1; i < length; i++) {
        if (frame[i])
            return false;
    }
    return frame[0] == (early ? 0x00 : 0x1b);
}

/* `what`, and an ID that is late behind it: is it found? */
static void check_behind(const struct sample *what, bool found)
{
    struct packet p = {.length = 0};
    uint64_t retired = 6;
    put(&p, what->bytes, what->length);
    put_id(&p, 5, 0);
    struct packet after = scrub(&p, QUIC_SCRUB_OPEN, &retired);
    CHECK(!memcmp(after.bytes, what->bytes, what->length));
    if (is_taken_out(after.bytes + what->length, ID_LENGTH, false) != found || (!found && !same(&p, &after)))
        tapsi_test_fail(__FILE__, __LINE__, "%s: %s", what->what, found ? "not walked over" : "walked over");
    CHECK_INT((long)retired, 6);
}

TEST(frames_of_all_kinds_are_walked_over)
{
    for (size_t i = 0; i < COUNT; i++)
        check_behind(&samples[i], true);
}

TEST(nothing_is_touched_behind_what_has_no_end)
{
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        check_behind(&ends[i], false);
}

TEST(only_what_is_late_is_taken_out)
{
    struct packet p = {.length = 0};
    uint64_t retired = 0;
    put_id(&p, 3, 0);
    put_id(&p, 6, 5);
    put_id(&p, 4, 0);
    put_id(&p, 5, 0);
    put_id(&p, 7, 2);
    put_id(&p, 0, 0);
    put_id(&p, 4, 4);
    struct packet after = scrub(&p, QUIC_SCRUB_OPEN, &retired);
    CHECK_INT((long)retired, 5);
    for (unsigned i = 0; i < 7; i++) {
        const uint8_t *frame = after.bytes + i * ID_LENGTH;
        bool out = i == 2 || i >= 5;
        CHECK(out ? is_taken_out(frame, ID_LENGTH, false) : !memcmp(frame, p.bytes + i * ID_LENGTH, ID_LENGTH));
    }
}

TEST(the_largest_number_is_remembered_between_packets)
{
    struct packet p = {.length = 0}, late = {.length = 0};
    uint64_t retired = 0;
    put_id(&p, (1ull << 62) - 1, (1ull << 62) - 1);
    put_id(&late, (1ull << 62) - 2, 0);
    struct packet first = scrub(&late, QUIC_SCRUB_OPEN, &retired);
    CHECK(same(&late, &first));
    scrub(&p, QUIC_SCRUB_OPEN, &retired);
    CHECK(retired == (1ull << 62) - 1);
    struct packet again = scrub(&p, QUIC_SCRUB_OPEN, &retired), after = scrub(&late, QUIC_SCRUB_OPEN, &retired);
    CHECK(same(&p, &again)); /* it is the engine's to say that it has it */
    CHECK(is_taken_out(after.bytes, after.length, false));
}

TEST(before_the_handshake_is_over_nothing_is_taken_back)
{
    struct packet p = {.length = 0}, without = {.length = 0};
    uint64_t retired = 0;
    put_id(&p, 3, 2);
    put_id(&p, (1ull << 62) - 1, (1ull << 62) - 1);
    put_id(&p, 1, 0);
    put_id(&without, 3, 0);
    put_id(&without, (1ull << 62) - 1, 0);
    put_id(&without, 1, 0);
    struct packet after = scrub(&p, QUIC_SCRUB_OPENING, &retired);
    CHECK(same(&after, &without));
    CHECK_INT((long)retired, 0);
}

TEST(in_early_data_there_is_padding_instead)
{
    struct packet p = {.length = 0};
    uint64_t retired = 1;
    put_id(&p, 0, 0);
    struct packet after = scrub(&p, QUIC_SCRUB_EARLY, &retired);
    CHECK(is_taken_out(after.bytes, after.length, true));
}

TEST(what_is_cut_anywhere_is_left_as_it_is)
{
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t length = 0; length < samples[i].length; length++) {
            struct packet p = {.length = 0};
            uint64_t retired = 100;
            put(&p, samples[i].bytes, length);
            struct packet after = scrub(&p, QUIC_SCRUB_OPEN, &retired);
            CHECK(same(&p, &after));
            CHECK_INT((long)retired, 100);
        }
    }
    for (size_t length = 0; length < ID_LENGTH; length++) {
        struct packet p = {.length = 0};
        uint64_t retired = 6;
        put_id(&p, 7, 7);
        p.length = length;
        struct packet after = scrub(&p, QUIC_SCRUB_OPEN, &retired);
        CHECK(same(&p, &after));
        CHECK_INT((long)retired, 6);
    }
}

static uint32_t state = 1;

static unsigned dice(unsigned sides)
{
    state = state * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(state >> 8) * sides >> 24);
}

static void put_random(struct packet *p)
{
    uint8_t byte = (uint8_t)dice(256);
    const struct sample *s = &samples[dice(COUNT)];
    unsigned what = dice(16);
    if (what == 0)
        put(p, &byte, 1);
    else if (what < 6)
        put_id(p, dice(10), dice(6));
    else
        put(p, s->bytes, s->length);
}

/* What was taken out once is not found again, and nothing else is. */
TEST(random_packets_are_scrubbed_once)
{
    unsigned rounds = tapsi_test_rounds(20000, 5000, 2000000), changed = 0;
    for (unsigned i = 0; i < rounds; i++) {
        struct packet p = {.length = 0};
        uint64_t start = dice(8), retired = start, again = start;
        enum quic_scrub how = (enum quic_scrub)dice(3);
        for (unsigned k = dice(12); k > 0; k--)
            put_random(&p);
        if (p.length && dice(3) == 0)
            p.bytes[dice((unsigned)p.length)] = (uint8_t)dice(256);
        if (dice(3) == 0)
            p.length = dice((unsigned)p.length + 1);
        struct packet once = scrub(&p, how, &retired), twice = scrub(&once, how, &again);
        CHECK(same(&once, &twice));
        CHECK(again == retired && retired >= start);
        changed += !same(&p, &once);
    }
    CHECK(changed > rounds / 10);
}
