/* The priority string: versions, key exchanges, ciphers, groups and signatures, best first. */
#include "stack/secure/priority.h"

/* AES-128-GCM first, since it is the fastest with AES instructions (four times ChaCha20), and the last without; only
   forward-secret key exchange and AEAD, unless the application names others. PROFILE_MEDIUM refuses RSA keys below 2048
   bits. */
#define CIPHERS_WITH_AES    ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
#define CIPHERS_WITHOUT_AES ":+CHACHA20-POLY1305:+AES-128-GCM:+AES-256-GCM"
#define DEFAULT_GROUPS                                                                                                 \
    ":+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448:+GROUP-FFDHE2048:+GROUP-FFDHE3072"  \
    ":+GROUP-FFDHE4096"

static void add_names(struct tapsi_str *s, const struct tapsi_names *names, const char *none, const char *defaults)
{
    tapsi_str_add(s, none);
    if (names->count == 0)
        tapsi_str_add(s, defaults);
    for (size_t i = 0; i < names->count; i++)
        tapsi_str_format(s, ":+%s", names->names[i]);
}

/* Of the versions allowed, those of this protocol. */
unsigned tapsi_priority_versions(const struct tapsi_security *security, enum tapsi_secure_kind kind)
{
    static const unsigned of_kind[TAPSI_SECURE_KINDS] = {
        [TAPSI_SECURE_TLS] = 1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3,
        [TAPSI_SECURE_DTLS] = 1U << TAPS_DTLS_1_2,
        [TAPSI_SECURE_QUIC] = 1U << TAPS_QUIC_1,
    };
    return tapsi_security_versions(security) & of_kind[kind];
}

/* QUIC has no middleboxes to please, and forbids to try (RFC 9001, 8.4). */
void tapsi_priority_text(const struct tapsi_credentials *credentials, enum tapsi_secure_kind kind, bool aes,
                         struct tapsi_str *s)
{
    const struct tapsi_security *security = credentials->security;
    unsigned versions = tapsi_priority_versions(security, kind);
    tapsi_str_add(s, kind == TAPSI_SECURE_QUIC ? "%DISABLE_TLS13_COMPAT_MODE:NORMAL" : "NORMAL");
    tapsi_str_add(s, ":-VERS-ALL");
    if (versions & (1U << TAPS_TLS_1_3 | 1U << TAPS_QUIC_1))
        tapsi_str_add(s, ":+VERS-TLS1.3");
    if (versions & 1U << TAPS_TLS_1_2)
        tapsi_str_add(s, ":+VERS-TLS1.2");
    if (versions & 1U << TAPS_DTLS_1_2)
        tapsi_str_add(s, ":+VERS-DTLS1.2");
    tapsi_str_add(s, ":-KX-ALL");
    if (security->psk_count)
        tapsi_str_add(s, ":+ECDHE-PSK:+DHE-PSK");
    if (credentials->certificates)
        tapsi_str_add(s, ":+ECDHE-ECDSA:+ECDHE-RSA:+DHE-RSA");
    add_names(s, &security->ciphersuites, ":-CIPHER-ALL", aes ? CIPHERS_WITH_AES : CIPHERS_WITHOUT_AES);
    if (security->ciphersuites.count)
        tapsi_str_add(s, ":+SHA256:+SHA384"); /* CBC suites have them for MAC */
    add_names(s, &security->groups, ":-GROUP-ALL", DEFAULT_GROUPS);
    if (security->signatures.count)
        add_names(s, &security->signatures, ":-SIGN-ALL", "");
    else
        tapsi_str_add(s, ":-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1");
    tapsi_str_add(s, ":%PROFILE_MEDIUM");
}
