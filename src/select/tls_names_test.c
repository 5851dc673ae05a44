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

static void check_versions(const char *const *names, size_t count, int version)
{
    for (size_t i = 0; i < count; i++) {
        if ((int)tapsi_tls_version(names[i]) != version)
            tapsi_test_fail(__FILE__, __LINE__, "\"%s\" is %d, not %d", names[i], (int)tapsi_tls_version(names[i]),
                            version);
    }
}

/* proves API-051 (names) */
TEST(versions_are_written_in_many_ways)
{
    static const char *const twelve[] = {"tls1.2", "TLS 1.2", "tls_1_2", "TLSv1.2", "TLS-1-2"};
    static const char *const thirteen[] = {"tls1.3", "TLS 1.3", "tls_1_3", "tlsV1.3"};
    static const char *const datagram[] = {"dtls1.2", "DTLS 1.2", "dtls_1_2", "DTLSv1.2"};
    static const char *const quic[] = {"quic", "QUIC", "quicv1", "QUICv1", "quic1", "quic-v1", "QUIC 1", "quic_1"};
    check_versions(twelve, 5, TAPS_TLS_1_2);
    check_versions(thirteen, 4, TAPS_TLS_1_3);
    check_versions(datagram, 4, TAPS_DTLS_1_2);
    check_versions(quic, 8, TAPS_QUIC_1);
}

/* proves API-051 (names) */
TEST(versions_that_are_none)
{
    static const char *const none[] = {"",        "tls",     "tls1",    "tls1.",      "tls1.1",   "tls1.0",   "tls1.4",
                                       "tls1.33", "ssl3",    "1.3",     "tls  1.3",   "tls1x3",   "tls1.3 ",  "dtls",
                                       "dtls1",   "dtls1.0", "dtls1.3", "dtls1.",     "dtls1.22", "ddtls1.2", "quic2",
                                       "quicv2",  "quic ",   "quic v",  "quic1.0",    "quic11",   "quicvv1",  "quic  1",
                                       "qui",     "quick",   "xquic",   "quicdtls1.2"};
    check_versions(none, sizeof(none) / sizeof(none[0]), 0);
}
