#include "base/sha1.h"
#include <gnutls/crypto.h>
#include <string.h>
#include <taps/taps.h>

int tapsi_sha1(const void *bytes, size_t length, uint8_t ret_digest[TAPSI_SHA1_SIZE])
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA1, bytes, length, ret_digest) ? TAPS_E_SYSTEM : 0;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void tapsi_base64(const uint8_t *bytes, size_t length, char *to)
{
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t three = (uint32_t)bytes[i] << 16;
        three |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        three |= left > 2 ? bytes[i + 2] : 0;
        *to++ = alphabet[three >> 18];
        *to++ = alphabet[three >> 12 & 63];
        *to++ = left > 1 ? alphabet[three >> 6 & 63] : '=';
        *to++ = left > 2 ? alphabet[three & 63] : '=';
    }
    *to = '\0';
}

bool tapsi_is_base64(const char *text, size_t length, size_t bytes)
{
    size_t padding = (3 - bytes % 3) % 3;
    if (length != TAPSI_BASE64_SIZE(bytes) - 1)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool pad = i >= length - padding;
        if (pad ? text[i] != '=' : text[i] == '\0' || !memchr(alphabet, text[i], 64))
            return false;
    }
    return true;
}
