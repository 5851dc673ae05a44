/* What stands for a Message: from many pieces, from memory of the Framer's, from nothing but a head. */
#include "stack/framer/test_framing.h"

#include <stdio.h>
#include "base/test.h"

static unsigned before, after; /* pieces around the Message, each in memory of its own */
static bool with_message = true;

static int piece(taps_framing *f, char letter)
{
    char *to = taps_framing_reserve(f, 1);
    if (!to)
        return TAPS_E_MEMORY;
    *to = letter;
    return taps_framing_send_reserved(f, 1);
}

static int pieces_send(taps_framing *f, const struct taps_sent_message *message)
{
    int err = 0;
    (void)message;
    for (unsigned i = 0; i < before && !err; i++)
        err = piece(f, (char)('a' + i));
    if (!err && with_message)
        err = taps_framing_send_message(f);
    for (unsigned i = 0; i < after && !err; i++)
        err = piece(f, (char)('A' + i));
    return err;
}

static const struct taps_framer_definition pieces = {.name = "pieces", .overhead = 40, .new_sent_message = pieces_send};

/* Only a head: the Message itself does not go. */
static int head_send(taps_framing *f, const struct taps_sent_message *message)
{
    (void)message;
    return taps_framing_send(f, "<gone>", 6);
}

static const struct taps_framer_definition head = {.name = "head", .new_sent_message = head_send};

static void open_one(struct test_framing *t, const struct taps_framer_definition *definition, bool datagram)
{
    taps_framer *framer;
    CHECK_INT(taps_framer_new_custom(definition, &framer), 0);
    const taps_framer *one = framer;
    test_framing_open(t, &one, 1, false, datagram);
    taps_framer_free(framer);
    with_message = true;
    before = after = 0;
}

TEST(pieces_keep_their_order_however_many_there_are)
{
    struct test_framing t;
    open_one(&t, &pieces, false);
    for (before = 0; before <= 16; before++) {
        for (after = 0; after <= 16; after++) {
            char expected[64];
            int length = snprintf(expected, sizeof(expected), "%.*s=%.*s", (int)before, "abcdefghijklmnop", (int)after,
                                  "ABCDEFGHIJKLMNOP");
            CHECK_INT(test_framing_send_text(&t, "="), 0);
            CHECK(test_framing_wrote(&t, expected, (size_t)length));
        }
    }
    test_framing_close(&t);
}

TEST(pieces_without_the_message_are_all_there_is)
{
    struct test_framing t;
    open_one(&t, &pieces, false);
    with_message = false;
    for (before = 1; before <= 12; before++) {
        CHECK_INT(test_framing_send_text(&t, "not this"), 0);
        CHECK(test_framing_wrote(&t, "abcdefghijkl", before));
    }
    CHECK_INT(t.sent, 12);
    test_framing_close(&t);
}

TEST(a_head_may_stand_for_the_whole_message)
{
    struct test_framing t;
    open_one(&t, &head, false);
    for (unsigned room = 0; room <= TAPSI_OP_HEAD_ROOM; room++) {
        t.top->head_room = (uint8_t)room;
        CHECK_INT(test_framing_send_text(&t, "not this"), 0);
        CHECK(test_framing_wrote_text(&t, "<gone>"));
    }
    test_framing_close(&t);
}

TEST(what_is_too_long_for_a_datagram_with_its_head_is_refused_alone)
{
    static char large[1400];
    struct test_framing t;
    open_one(&t, &pieces, true);
    before = 20;
    CHECK_INT(test_framing_send(&t, large, sizeof(large), TAPSI_OP_END, NULL), TAPS_E_MESSAGE_TOO_LARGE);
    CHECK_INT(test_framing_send(&t, large, 100, TAPSI_OP_END, NULL), 0);
    CHECK_INT(t.datagram_count, 1);
    CHECK_INT(t.datagrams[0], 120);
    test_framing_close(&t);
}

/* Asked at a time at which it cannot be: nothing happens, and the caller is told. */
static int odd_send(taps_framing *f, const struct taps_sent_message *message)
{
    struct iovec two[2];
    const char *key, *value;
    (void)message;
    CHECK_INT(taps_framing_send_reserved(f, 1), TAPS_E_STATE);
    CHECK(taps_framing_reserve(f, 4) != NULL);
    CHECK_INT(taps_framing_send_reserved(f, 1 << 30), TAPS_E_STATE);
    CHECK_INT(taps_framing_send_reserved(f, 0), 0);
    CHECK_INT(taps_framing_send(f, "", 0), 0);
    CHECK_INT(taps_framing_message_pieces(f, two, 2), 1);
    CHECK(taps_framing_message_metadata(f, "nothing") == NULL);
    CHECK_INT(taps_framing_message_metadata_at(f, 0, &key, &value), TAPS_E_RANGE);
    CHECK_INT(taps_framing_send_message(f), 0);
    return taps_framing_send_message(f) == TAPS_E_STATE ? 0 : TAPS_E_PROTOCOL;
}

static const struct taps_framer_definition odd = {.name = "odd", .new_sent_message = odd_send};

TEST(calls_that_cannot_be_are_told_so)
{
    struct test_framing t;
    struct iovec one;
    open_one(&t, &odd, false);
    struct taps_framing *f = tapsi_adapter_of(t.top)->framing;
    CHECK_INT(taps_framing_send_message(f), TAPS_E_STATE);
    CHECK_INT(taps_framing_message_pieces(f, &one, 1), 0);
    CHECK(taps_framing_message_metadata(f, "nothing") == NULL);
    CHECK_INT(test_framing_send_text(&t, "x"), 0);
    CHECK(test_framing_wrote_text(&t, "x"));
    test_framing_close(&t);
}
