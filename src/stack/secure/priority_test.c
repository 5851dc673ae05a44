#include "stack/secure/priority.h"

#include "base/test.h"

static struct tapsi_str text_of(struct tapsi_security *s, bool certificates, enum tapsi_secure_kind kind, bool aes)
{
    struct tapsi_credentials c = {.security = s, .certificates = certificates};
    struct tapsi_str text;
    tapsi_str_init(&text, tapsi_mem_default());
    tapsi_priority_text(&c, kind, aes, &text);
    return text;
}

/* Where it stands; SIZE_MAX = nowhere. */
static size_t place(const struct tapsi_str *text, const char *token)
{
    const char *at = strstr(tapsi_str_text(text), token);
    return at ? (size_t)(at - tapsi_str_text(text)) : SIZE_MAX;
}

/* What the processor does fast goes first. */
TEST(the_cipher_goes_by_the_processor)
{
    struct tapsi_security *s = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_REQUIRED);
    NEED(s);
    for (int kind = 0; kind < TAPSI_SECURE_KINDS; kind++) {
        struct tapsi_str with = text_of(s, true, (enum tapsi_secure_kind)kind, true);
        struct tapsi_str without = text_of(s, true, (enum tapsi_secure_kind)kind, false);
        CHECK(place(&with, "AES-128-GCM") < place(&with, "AES-256-GCM"));
        CHECK(place(&with, "AES-256-GCM") < place(&with, "CHACHA20-POLY1305"));
        CHECK(place(&without, "CHACHA20-POLY1305") < place(&without, "AES-128-GCM"));
        CHECK(place(&without, "AES-128-GCM") < place(&without, "AES-256-GCM"));
        tapsi_str_done(&with);
        tapsi_str_done(&without);
    }
    tapsi_security_unref(s);
}

/* proves API-055: whatever the processor. */
TEST(the_applications_ciphers_keep_their_order)
{
    struct tapsi_security *s = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_REQUIRED);
    NEED(s);
    CHECK_INT(tapsi_security_add_ciphersuite(s, "AES-256-GCM"), 0);
    CHECK_INT(tapsi_security_add_ciphersuite(s, "CHACHA20-POLY1305"), 0);
    for (int aes = 0; aes < 2; aes++) {
        struct tapsi_str text = text_of(s, true, TAPSI_SECURE_TLS, aes);
        CHECK(place(&text, "AES-256-GCM") < place(&text, "CHACHA20-POLY1305"));
        CHECK(place(&text, "AES-128-GCM") == SIZE_MAX);
        tapsi_str_done(&text);
    }
    tapsi_security_unref(s);
}

/* proves API-057: with forward secrecy alone, and certificates only where there are any. */
TEST(key_exchanges_are_those_that_can_be)
{
    struct tapsi_security *s = tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_REQUIRED);
    NEED(s);
    struct tapsi_str text = text_of(s, true, TAPSI_SECURE_TLS, true);
    CHECK(place(&text, "PSK") == SIZE_MAX);
    CHECK(place(&text, "+ECDHE-RSA") != SIZE_MAX);
    tapsi_str_done(&text);
    CHECK_INT(tapsi_security_add_psk(s, "me", "0123456789abcdef", 16), 0);
    text = text_of(s, false, TAPSI_SECURE_QUIC, true);
    CHECK(place(&text, "+ECDHE-PSK") < place(&text, "+DHE-PSK"));
    CHECK(place(&text, ":+PSK") == SIZE_MAX);
    CHECK(place(&text, "+ECDHE-RSA") == SIZE_MAX);
    CHECK(place(&text, "%DISABLE_TLS13_COMPAT_MODE") == 0);
    tapsi_str_done(&text);
    text = text_of(s, true, TAPSI_SECURE_TLS, true);
    CHECK(place(&text, "+DHE-PSK") < place(&text, "+ECDHE-ECDSA"));
    tapsi_str_done(&text);
    tapsi_security_unref(s);
}
