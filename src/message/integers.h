/* Integers as protocols write them: in a fixed number of bytes, and in as many as their value needs. */
#ifndef TAPSI_MESSAGE_INTEGERS_H
#define TAPSI_MESSAGE_INTEGERS_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <taps/taps.h>

/* `size` is 1 to 8 bytes; put writes the low ones of the value. Four bytes, the most common, are one word each way. */
static inline uint64_t tapsi_integer_get(const uint8_t *from, unsigned size, bool little)
{
    uint64_t value = 0;
    if (size == 4) {
        uint32_t word;
        memcpy(&word, from, 4);
        return little ? le32toh(word) : be32toh(word);
    }
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | from[little ? size - 1 - i : i];
    return value;
}

static inline void tapsi_integer_put(uint8_t *to, unsigned size, bool little, uint64_t value)
{
    if (size == 4) {
        uint32_t word = little ? htole32((uint32_t)value) : htobe32((uint32_t)value);
        memcpy(to, &word, 4);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        to[little ? i : size - 1 - i] = (uint8_t)value;
        value >>= 8;
    }
}

/* The most that so many bytes can say. */
static inline uint64_t tapsi_integer_max(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

/* Both kinds: put returns how many bytes it wrote. get returns how many bytes it read; 0 = there must be more; or
   TAPS_E_DEFRAMING. */

/* Base 128, the low seven bits first, as protobuf and MQTT have it. More than 64 bits, and more bytes than the value
   needs, are TAPS_E_DEFRAMING. */
#define TAPSI_VARINT_MAX 10
unsigned tapsi_varint_put(uint8_t *to, uint64_t value);
unsigned tapsi_varint_size(uint64_t value);
int tapsi_varint_get(const uint8_t *from, size_t length, uint64_t *ret);

/* RFC 9000, 16: the two high bits of the first byte tell the size. A value over TAPSI_QUICINT_LARGEST cannot be put.
   More bytes than needed are legal there. */
#define TAPSI_QUICINT_MAX     8
#define TAPSI_QUICINT_LARGEST (((uint64_t)1 << 62) - 1)
unsigned tapsi_quicint_put(uint8_t *to, uint64_t value);
unsigned tapsi_quicint_size(uint64_t value);
int tapsi_quicint_get(const uint8_t *from, size_t length, uint64_t *ret);

#endif
