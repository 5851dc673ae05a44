#include "base/test.h"
#include "select/security.h"

/* Of the empty text. */
static const uint8_t empty_hash[TAPSI_KEY_PIN] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                                  0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                                  0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
#define EMPTY_BASE64 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define EMPTY_HEX    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct tapsi_security *fresh(void)
{
    return tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_REQUIRED);
}

/* proves API-053 (values) */
TEST(pins_of_keys_come_in_three_forms)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(tapsi_security_add_key_pin_text(s, "sha256//" EMPTY_BASE64), 0);
    CHECK_INT(tapsi_security_add_key_pin_text(s, EMPTY_HEX), 0);
    CHECK_INT(tapsi_security_add_key_pin_text(s, "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"),
              0);
    CHECK_INT(tapsi_security_add_key_pin(s, empty_hash), 0);
    CHECK_INT(s->key_pin_count, 4);
    for (size_t i = 0; i < s->key_pin_count; i++)
        CHECK(s->key_pins[i].length == TAPSI_KEY_PIN && memcmp(s->key_pins[i].data, empty_hash, TAPSI_KEY_PIN) == 0);
    tapsi_security_clear(s, TAPSI_SECURITY_PINS);
    CHECK_INT(s->key_pin_count, 0);
    tapsi_security_unref(s);
}

TEST(what_is_no_pin_of_a_key_is_refused)
{
    static const char *const texts[] = {
        "",
        "sha256//",
        "sha256/" EMPTY_BASE64,
        "SHA256//" EMPTY_BASE64,
        "sha1//" EMPTY_BASE64,
        EMPTY_BASE64,
        "sha256//" EMPTY_BASE64 "=",
        "sha256// " EMPTY_BASE64,
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", /* two bits too many */
        "sha256//47DEQpj8HBSa-_TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha256//=7DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85500",
        "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e3:b0:c4",
    };
    struct tapsi_security *s = fresh();
    NEED(s);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK_INT(tapsi_security_add_key_pin_text(s, texts[i]), TAPS_E_RANGE);
    CHECK_INT(s->key_pin_count, 0);
    for (int i = 0; i < TAPSI_SECURITY_LIST_MAX; i++)
        CHECK_INT(tapsi_security_add_key_pin(s, empty_hash), 0);
    CHECK_INT(tapsi_security_add_key_pin(s, empty_hash), TAPS_E_RANGE);
    tapsi_security_unref(s);
}

/* proves API-057 (values) */
TEST(pre_shared_keys_go_by_their_identity)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(tapsi_security_add_psk(s, "one", "0123456789abcdef", 16), 0);
    CHECK_INT(tapsi_security_add_psk_hex(s, "two", "000102030405060708090a0b0C0D0E0F"), 0);
    CHECK_INT(tapsi_security_add_psk(s, "one", "fedcba9876543210", 16), 0);
    CHECK_INT(s->psk_count, 2);
    CHECK_TEXT((const char *)s->psks[0].key.data, "fedcba9876543210");
    CHECK_INT(s->psks[1].key.data[15], 15);
    CHECK(tapsi_security_can_serve(s));
    struct tapsi_security *copy = tapsi_security_copy(s, tapsi_mem_default());
    NEED(copy);
    tapsi_security_clear(s, TAPSI_SECURITY_PSKS);
    CHECK(!tapsi_security_can_serve(s));
    CHECK_INT(copy->psk_count, 2);
    CHECK_TEXT((const char *)copy->psks[1].identity.data, "two");
    tapsi_security_unref(s);
    tapsi_security_unref(copy);
}

TEST(what_is_no_pre_shared_key_is_refused)
{
    struct tapsi_security *s = fresh();
    char long_identity[TAPSI_PSK_IDENTITY_MAX + 2], long_key[TAPSI_PSK_MAX + 1] = {0};
    NEED(s);
    memset(long_identity, 'x', sizeof(long_identity));
    long_identity[TAPSI_PSK_IDENTITY_MAX + 1] = '\0';
    CHECK_INT(tapsi_security_add_psk(s, "", "0123456789abcdef", 16), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk(s, long_identity, "0123456789abcdef", 16), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk(s, "me", "0123456789abcde", 15), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk(s, "me", "", 0), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk(s, "me", long_key, TAPSI_PSK_MAX + 1), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk_hex(s, "me", ""), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk_hex(s, "me", "000102030405060708090a0b0c0d0e"), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk_hex(s, "me", "000102030405060708090a0b0c0d0e0"), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_psk_hex(s, "me", "000102030405060708090a0b0c0d0e0x"), TAPS_E_RANGE);
    CHECK_INT(s->psk_count, 0);
    long_identity[TAPSI_PSK_IDENTITY_MAX] = '\0';
    CHECK_INT(tapsi_security_add_psk(s, long_identity, long_key, TAPSI_PSK_MAX), 0);
    tapsi_security_unref(s);
}

static int sign_nothing(const struct taps_challenge *challenge, void *signature, size_t *ret_length, void *user)
{
    (void)challenge;
    (void)signature;
    (void)ret_length;
    (void)user;
    return -1;
}

/* proves API-052 (values), API-059 (values) */
TEST(keys_may_be_elsewhere)
{
    static const char chain[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    static const char locked[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----\n";
    static const char uri[] = "pkcs11:token=t;object=k";
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(tapsi_security_add_server(s, chain, strlen(chain), locked, strlen(locked)), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_set_password(s, "secret"), 0);
    CHECK_INT(tapsi_security_add_server(s, chain, strlen(chain), locked, strlen(locked)), 0);
    CHECK_INT(tapsi_security_add_server(s, uri, strlen(uri), uri, strlen(uri)), 0);
    CHECK_INT(tapsi_security_set_password(s, NULL), 0);
    CHECK_INT(tapsi_security_add_server(s, chain, strlen(chain), locked, strlen(locked)), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_server(s, chain, strlen(chain), "pkcs11:", 7), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_server(s, chain, strlen(chain), "pkcs12:token=t", 14), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_server(s, chain, strlen(chain), "pkcs11:a\0b", 10), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_signer(s, false, "junk", 4, sign_nothing, NULL), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_signer(s, false, chain, strlen(chain), sign_nothing, NULL), 0);
    CHECK_INT(s->server_count, 2);
    CHECK_INT(s->client_count, 1);
    struct tapsi_security *copy = tapsi_security_copy(s, tapsi_mem_default());
    NEED(copy);
    CHECK_TEXT((const char *)copy->server[0].password.data, "secret");
    CHECK(copy->client[0].sign == sign_nothing && !copy->client[0].key.data);
    tapsi_security_unref(s);
    tapsi_security_unref(copy);
}

TEST(statuses_and_paths_that_are_none_are_refused)
{
    static const uint8_t der[] = {0x30, 0x03, 0x0a, 0x01, 0x01};
    char *password = tapsi_calloc(tapsi_mem_default(), 1, TAPSI_PASSWORD_MAX + 2);
    struct tapsi_security *s = fresh();
    NEED(s && password);
    memset(password, 'x', TAPSI_PASSWORD_MAX + 1);
    CHECK_INT(tapsi_security_set_password(s, password), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_staple(s, der, 0), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_staple(s, der, 1), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_staple(s, "-----BEGIN", 10), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_staple(s, der, TAPSI_PEM_MAX + 1), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_staple(s, der, sizeof(der)), 0);
    CHECK_INT(tapsi_security_set_key_log(s, ""), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_set_key_log(s, "/a/b"), 0);
    CHECK_TEXT(s->key_log, "/a/b");
    CHECK_INT(tapsi_security_set_key_log(s, NULL), 0);
    CHECK(!s->key_log);
    tapsi_free(tapsi_mem_default(), password);
    tapsi_security_unref(s);
}
