#include "message/integers.h"

#include "base/test.h"

TEST(fixed_integers_go_both_ways_in_either_order)
{
    uint8_t bytes[8] = {0};
    tapsi_integer_put(bytes, 2, false, 0x1234);
    CHECK(memcmp(bytes, "\x12\x34", 2) == 0);
    tapsi_integer_put(bytes, 3, true, 0x123456);
    CHECK(memcmp(bytes, "\x56\x34\x12", 3) == 0);
    for (unsigned size = 1; size <= 8; size++) {
        uint64_t value = 0xf1e2d3c4b5a69788 & tapsi_integer_max(size);
        for (int little = 0; little < 2; little++) {
            tapsi_integer_put(bytes, size, little, value);
            CHECK(tapsi_integer_get(bytes, size, little) == value);
        }
    }
    CHECK(tapsi_integer_max(8) == UINT64_MAX);
    CHECK_INT(tapsi_integer_max(1), 255);
}

struct vector {
    const char *bytes;
    int length;
    uint64_t value;
};
#define VECTOR(text, value)                                                                                            \
    {                                                                                                                  \
        text, sizeof(text) - 1, value                                                                                  \
    }
#define EACH(row, rows)                                                                                                \
    const struct vector *row = rows;                                                                                   \
    row < rows + sizeof(rows) / sizeof(rows[0]);                                                                       \
    row++
#define BYTES(row) (const uint8_t *)(row)->bytes

/* protobuf.dev, "Encoding": 1, 150, -2 of int64; MQTT 3.1.1, 2.2.3, table 2.4: the first and last value of each size.
 */
static const struct vector varints[] = {
    VECTOR("\x00", 0),
    VECTOR("\x01", 1),
    VECTOR("\x96\x01", 150),
    VECTOR("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0xfffffffffffffffe),
    VECTOR("\x7f", 127),
    VECTOR("\x80\x01", 128),
    VECTOR("\xff\x7f", 16383),
    VECTOR("\x80\x80\x01", 16384),
    VECTOR("\xff\xff\x7f", 2097151),
    VECTOR("\x80\x80\x80\x01", 2097152),
    VECTOR("\xff\xff\xff\x7f", 268435455),
    VECTOR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", UINT64_MAX),
};

TEST(varints_are_those_of_protobuf_and_mqtt)
{
    for (EACH(row, varints)) {
        uint8_t bytes[TAPSI_VARINT_MAX];
        uint64_t value = 77;
        CHECK_INT(tapsi_varint_put(bytes, row->value), row->length);
        CHECK_INT(tapsi_varint_size(row->value), row->length);
        CHECK(memcmp(bytes, row->bytes, (size_t)row->length) == 0);
        CHECK_INT(tapsi_varint_get(bytes, sizeof(bytes), &value), row->length);
        CHECK(value == row->value);
        for (int i = 0; i < row->length; i++)
            CHECK_INT(tapsi_varint_get(bytes, (size_t)i, &value), 0);
    }
}

TEST(a_varint_that_is_too_long_is_none)
{
    static const struct vector rows[] = {
        VECTOR("\x80\x00", 0),
        VECTOR("\x81\x00", 0),
        VECTOR("\xff\x80\x00", 0),
        VECTOR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 0),
        VECTOR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 0),
        VECTOR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 0),
        VECTOR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81", 0),
        VECTOR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0),
    };
    for (EACH(row, rows)) {
        uint64_t value = 77;
        CHECK_INT(tapsi_varint_get(BYTES(row), (size_t)row->length, &value), TAPS_E_DEFRAMING);
        CHECK_INT(value, 77);
    }
}

/* RFC 9000, A.1, and the first and last value of each size (16, table 4). */
static const struct vector quicints[] = {
    VECTOR("\xc2\x19\x7c\x5e\xff\x14\xe8\x8c", 151288809941952652),
    VECTOR("\x9d\x7f\x3e\x7d", 494878333),
    VECTOR("\x7b\xbd", 15293),
    VECTOR("\x25", 37),
    VECTOR("\x00", 0),
    VECTOR("\x3f", 63),
    VECTOR("\x40\x40", 64),
    VECTOR("\x7f\xff", 16383),
    VECTOR("\x80\x00\x40\x00", 16384),
    VECTOR("\xbf\xff\xff\xff", 1073741823),
    VECTOR("\xc0\x00\x00\x00\x40\x00\x00\x00", 1073741824),
    VECTOR("\xff\xff\xff\xff\xff\xff\xff\xff", 4611686018427387903),
};

TEST(quic_integers_are_those_of_rfc_9000)
{
    for (EACH(row, quicints)) {
        uint8_t bytes[TAPSI_QUICINT_MAX];
        uint64_t value = 77;
        CHECK_INT(tapsi_quicint_put(bytes, row->value), row->length);
        CHECK_INT(tapsi_quicint_size(row->value), row->length);
        CHECK(memcmp(bytes, row->bytes, (size_t)row->length) == 0);
        CHECK_INT(tapsi_quicint_get(bytes, sizeof(bytes), &value), row->length);
        CHECK(value == row->value);
        for (int i = 0; i < row->length; i++)
            CHECK_INT(tapsi_quicint_get(bytes, (size_t)i, &value), 0);
    }
}

TEST(quic_integers_may_be_longer_than_they_need)
{
    uint64_t value = 0;
    CHECK_INT(tapsi_quicint_get((const uint8_t *)"\x40\x25", 2, &value), 2);
    CHECK_INT(value, 37);
    CHECK_INT(tapsi_quicint_get((const uint8_t *)"\xc0\0\0\0\0\0\0\x25", 8, &value), 8);
    CHECK_INT(value, 37);
}
