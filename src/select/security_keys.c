/* Pins of public keys and pre-shared keys: bytes that come as text. */
#include <string.h>
#include "base/str.h"
#include "select/security_lists.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The whole text, of an even number of digits. Returns how many bytes, 0 = it is not hexadecimal, or too long. */
static size_t from_hex(const char *text, uint8_t *to, size_t size)
{
    size_t count = 0;
    for (; text[0]; text += 2) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0 || count == size)
            return 0;
        to[count++] = (uint8_t)(high << 4 | low);
    }
    return count;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* 32 bytes are 43 digits and one '='; the last digit has two bits too many, which are 0. */
static bool pin_from_base64(const char *text, uint8_t to[TAPSI_KEY_PIN])
{
    unsigned bits = 0, held = 0;
    size_t count = 0;
    if (strlen(text) != 44 || text[43] != '=')
        return false;
    for (size_t i = 0; i < 43; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0)
            return false;
        bits = (bits << 6 | (unsigned)digit) & 0xffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[count++] = (uint8_t)(bits >> held);
        }
    }
    return count == TAPSI_KEY_PIN && (bits & 3) == 0;
}

int tapsi_security_add_key_pin(struct tapsi_security *s, const uint8_t hash[TAPSI_KEY_PIN])
{
    return tapsi_bytes_append(s->mem, s->key_pins, &s->key_pin_count, hash, TAPSI_KEY_PIN);
}

int tapsi_security_add_key_pin_text(struct tapsi_security *s, const char *text)
{
    uint8_t hash[TAPSI_KEY_PIN];
    bool right;
    if (strncmp(text, "sha256//", 8) == 0)
        right = pin_from_base64(text + 8, hash);
    else
        right = from_hex(text, hash, sizeof(hash)) == TAPSI_KEY_PIN;
    return right ? tapsi_security_add_key_pin(s, hash) : TAPS_E_RANGE;
}

int tapsi_security_add_psk(struct tapsi_security *s, const char *identity, const void *key, size_t length)
{
    size_t identity_length = strnlen(identity, TAPSI_PSK_IDENTITY_MAX + 1);
    if (identity_length == 0 || identity_length > TAPSI_PSK_IDENTITY_MAX || length < TAPSI_PSK_MIN ||
        length > TAPSI_PSK_MAX)
        return TAPS_E_RANGE;
    const struct tapsi_psk next = {.identity = {(uint8_t *)(uintptr_t)identity, identity_length}, /* to be copied */
                                   .key = {(uint8_t *)(uintptr_t)key, length}};
    return tapsi_psks_append(s->mem, s->psks, &s->psk_count, &next);
}

int tapsi_security_add_psk_hex(struct tapsi_security *s, const char *identity, const char *hex)
{
    uint8_t key[TAPSI_PSK_MAX];
    size_t length = from_hex(hex, key, sizeof(key));
    int err = length ? tapsi_security_add_psk(s, identity, key, length) : TAPS_E_RANGE;
    explicit_bzero(key, sizeof(key));
    return err;
}
