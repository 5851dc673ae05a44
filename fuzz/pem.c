#include "pem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *put_three(char *to, const uint8_t *from, size_t count)
{
    uint32_t word = (uint32_t)from[0] << 16;
    if (count > 1)
        word |= (uint32_t)from[1] << 8;
    if (count > 2)
        word |= from[2];
    for (size_t i = 0; i < 4; i++)
        *to++ = i <= count ? digits[word >> (18 - 6 * i) & 63] : '=';
    return to;
}

char *fuzz_pem(const char *label, const void *der, size_t length, size_t *ret_length)
{
    const uint8_t *from = der;
    size_t size = length * 2 + 256;
    char *pem = malloc(size), *to = pem;
    if (!pem)
        abort();
    to += snprintf(to, size, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; i < length; i += 3) {
        to = put_three(to, from + i, length - i < 3 ? length - i : 3);
        if (i % 48 == 45)
            *to++ = '\n';
    }
    to += snprintf(to, size - (size_t)(to - pem), "\n-----END %s-----\n", label);
    *ret_length = (size_t)(to - pem);
    return pem;
}
