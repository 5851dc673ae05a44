#include "message/integers.h"

#include <assert.h>

unsigned tapsi_varint_size(uint64_t value)
{
    unsigned size = 1;
    while (value >>= 7)
        size++;
    return size;
}

unsigned tapsi_varint_put(uint8_t *to, uint64_t value)
{
    unsigned size = 0;
    for (; value > 127; value >>= 7)
        to[size++] = (uint8_t)(value | 128);
    to[size++] = (uint8_t)value;
    return size;
}

int tapsi_varint_get(const uint8_t *from, size_t length, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++) {
        uint64_t bits = from[i] & 127;
        if (i == TAPSI_VARINT_MAX - 1 && from[i] > 1)
            return TAPS_E_DEFRAMING;
        value |= bits << (7 * i);
        if (from[i] < 128) {
            if (bits == 0 && i > 0)
                return TAPS_E_DEFRAMING;
            *ret = value;
            return (int)i + 1;
        }
    }
    return 0;
}

unsigned tapsi_quicint_size(uint64_t value)
{
    if (value < 1U << 6)
        return 1;
    if (value < 1U << 14)
        return 2;
    return value < 1U << 30 ? 4 : 8;
}

unsigned tapsi_quicint_put(uint8_t *to, uint64_t value)
{
    assert(value <= TAPSI_QUICINT_LARGEST);
    unsigned size = tapsi_quicint_size(value);
    tapsi_integer_put(to, size, false, value);
    to[0] |= (uint8_t)((size == 8 ? 3 : size / 2) << 6);
    return size;
}

int tapsi_quicint_get(const uint8_t *from, size_t length, uint64_t *ret)
{
    if (length == 0)
        return 0;
    unsigned size = 1U << (from[0] >> 6);
    if (length < size)
        return 0;
    *ret = tapsi_integer_get(from, size, false) & (TAPSI_QUICINT_LARGEST >> (64 - 8 * size));
    return (int)size;
}
