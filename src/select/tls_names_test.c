#include "select/tls_names.h"

#include "base/test.h"

/* proves API-055 (names) */
TEST(groups_go_by_both_names)
{
    CHECK_TEXT(tapsi_tls_group("x25519"), "GROUP-X25519");
    CHECK_TEXT(tapsi_tls_group("GROUP-X25519"), "GROUP-X25519");
    CHECK_TEXT(tapsi_tls_group("secp256r1"), "GROUP-SECP256R1");
    CHECK_TEXT(tapsi_tls_group("group-ffdhe2048"), "GROUP-FFDHE2048");
}

TEST(suites_and_ciphers_stand_for_the_cipher)
{
    CHECK_TEXT(tapsi_tls_cipher("AES-128-GCM"), "AES-128-GCM");
    CHECK_TEXT(tapsi_tls_cipher("chacha20-poly1305"), "CHACHA20-POLY1305");
    CHECK_TEXT(tapsi_tls_cipher("TLS_AES_128_GCM_SHA256"), "AES-128-GCM");
    CHECK_TEXT(tapsi_tls_cipher("tls_aes_256_gcm_sha384"), "AES-256-GCM");
    CHECK_TEXT(tapsi_tls_cipher("TLS_CHACHA20_POLY1305_SHA256"), "CHACHA20-POLY1305");
    CHECK_TEXT(tapsi_tls_cipher("TLS_AES_128_CCM_8_SHA256"), "AES-128-CCM-8");
    CHECK_TEXT(tapsi_tls_cipher("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "AES-128-GCM");
    CHECK_TEXT(tapsi_tls_cipher("TLS_ECDHE_ECDSA_AES_256_GCM_SHA384"), "AES-256-GCM");
    CHECK_TEXT(tapsi_tls_cipher("TLS_DHE_RSA_WITH_AES_128_CBC_SHA"), "AES-128-CBC");
}

/* IANA has one scheme where GnuTLS has one for TLS 1.2 and one for TLS 1.3. */
TEST(signatures_go_by_both_names)
{
    CHECK_TEXT(tapsi_tls_signature("rsa_pss_rsae_sha256"), "SIGN-RSA-PSS-RSAE-SHA256");
    CHECK_TEXT(tapsi_tls_signature("SIGN-RSA-SHA512"), "SIGN-RSA-SHA512");
    CHECK_TEXT(tapsi_tls_signature("ed25519"), "SIGN-EDDSA-ED25519");
    CHECK_TEXT(tapsi_tls_signature("EdDSA-Ed25519"), "SIGN-EDDSA-ED25519");
    CHECK_TEXT(tapsi_tls_signature("ecdsa_secp256r1_sha256"), "SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256");
    CHECK_TEXT(tapsi_tls_signature("ECDSA-SECP256R1-SHA256"), "SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256");
    CHECK_TEXT(tapsi_tls_signature("ECDSA-SHA384"), "SIGN-ECDSA-SHA384");
}

/* A token goes into a priority string as it is: nothing of the caller's text may reach it. */
TEST(unknown_and_weak_names_are_refused)
{
    static const char *const names[] = {
        "",
        "-",
        ":",
        "GROUP-",
        "SIGN-",
        "TLS_",
        "x25519:+NULL",
        "AES-128-GCM:+NULL",
        "NULL",
        "ARCFOUR-128",
        "3DES-CBC",
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_NULL_WITH_NULL_NULL",
        "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_AES_128_GCM_SHA257",
        "TLS_AES_128_GCM_SHA256 ",
        "secp192r1",
        "RSA-SHA1",
        "rsa_pkcs1_sha1",
        "ECDSA-SHA1",
        "DSA-SHA256",
        "GROUP-GROUP-X25519",
        "NORMAL",
        "ALL",
        "TLS_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK(!tapsi_tls_group(names[i]));
        CHECK(!tapsi_tls_cipher(names[i]));
        CHECK(!tapsi_tls_signature(names[i]));
    }
}

TEST(versions_are_written_in_many_ways)
{
    static const char *const twelve[] = {"tls1.2", "TLS 1.2", "tls_1_2", "TLSv1.2", "TLS-1-2"};
    static const char *const thirteen[] = {"tls1.3", "TLS 1.3", "tls_1_3", "tlsV1.3"};
    static const char *const none[] = {"",        "tls",  "tls1", "tls1.",    "tls1.1",  "tls1.0", "tls1.4",
                                       "tls1.33", "ssl3", "1.3",  "tls  1.3", "dtls1.2", "tls1x3", "tls1.3 "};
    for (size_t i = 0; i < sizeof(twelve) / sizeof(twelve[0]); i++)
        CHECK_INT(tapsi_tls_version(twelve[i]), TAPS_TLS_1_2);
    for (size_t i = 0; i < sizeof(thirteen) / sizeof(thirteen[0]); i++)
        CHECK_INT(tapsi_tls_version(thirteen[i]), TAPS_TLS_1_3);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CHECK_INT(tapsi_tls_version(none[i]), 0);
}
