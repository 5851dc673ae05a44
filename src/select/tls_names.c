#include "select/tls_names.h"

#include <string.h>
#include "base/str.h"

struct name {
    const char *name, *token;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct name groups[] = {
    {"x25519", "GROUP-X25519"},       {"x448", "GROUP-X448"},           {"secp256r1", "GROUP-SECP256R1"},
    {"secp384r1", "GROUP-SECP384R1"}, {"secp521r1", "GROUP-SECP521R1"}, {"ffdhe2048", "GROUP-FFDHE2048"},
    {"ffdhe3072", "GROUP-FFDHE3072"}, {"ffdhe4096", "GROUP-FFDHE4096"}, {"ffdhe6144", "GROUP-FFDHE6144"},
    {"ffdhe8192", "GROUP-FFDHE8192"},
};

/* GnuTLS's names, which are also how the suites below end once '_' is '-'. */
static const char *const ciphers[] = {
    "AES-128-GCM",   "AES-256-GCM",       "AES-128-CCM", "AES-256-CCM", "AES-128-CCM-8",
    "AES-256-CCM-8", "CHACHA20-POLY1305", "AES-128-CBC", "AES-256-CBC",
};

/* Forward-secret key exchanges with certificates; the first is TLS 1.3's, which names none. */
static const char *const exchanges[] = {"TLS-", "TLS-ECDHE-RSA-", "TLS-ECDHE-ECDSA-", "TLS-DHE-RSA-"};

static const char *const hashes[] = {"", "-SHA256", "-SHA384", "-SHA", "-SHA1"};

static const struct name signatures[] = {
    {"rsa_pkcs1_sha256", "SIGN-RSA-SHA256"},
    {"rsa_pkcs1_sha384", "SIGN-RSA-SHA384"},
    {"rsa_pkcs1_sha512", "SIGN-RSA-SHA512"},
    {"rsa_pss_rsae_sha256", "SIGN-RSA-PSS-RSAE-SHA256"},
    {"rsa_pss_rsae_sha384", "SIGN-RSA-PSS-RSAE-SHA384"},
    {"rsa_pss_rsae_sha512", "SIGN-RSA-PSS-RSAE-SHA512"},
    {"rsa_pss_pss_sha256", "SIGN-RSA-PSS-SHA256"},
    {"rsa_pss_pss_sha384", "SIGN-RSA-PSS-SHA384"},
    {"rsa_pss_pss_sha512", "SIGN-RSA-PSS-SHA512"},
    {"ecdsa_secp256r1_sha256", "SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256"},
    {"ecdsa_secp384r1_sha384", "SIGN-ECDSA-SECP384R1-SHA384:+SIGN-ECDSA-SHA384"},
    {"ecdsa_secp521r1_sha512", "SIGN-ECDSA-SECP521R1-SHA512:+SIGN-ECDSA-SHA512"},
    {"ed25519", "SIGN-EDDSA-ED25519"},
    {"ed448", "SIGN-EDDSA-ED448"},
    /* GnuTLS's own names where they are more than the token without its head */
    {"ecdsa-sha256", "SIGN-ECDSA-SHA256"},
    {"ecdsa-sha384", "SIGN-ECDSA-SHA384"},
    {"ecdsa-sha512", "SIGN-ECDSA-SHA512"},
    {"eddsa-ed25519", "SIGN-EDDSA-ED25519"},
    {"eddsa-ed448", "SIGN-EDDSA-ED448"},
    {"ecdsa-secp256r1-sha256", "SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256"},
    {"ecdsa-secp384r1-sha384", "SIGN-ECDSA-SECP384R1-SHA384:+SIGN-ECDSA-SHA384"},
    {"ecdsa-secp521r1-sha512", "SIGN-ECDSA-SECP521R1-SHA512:+SIGN-ECDSA-SHA512"},
};

/* The name without `head`, if it has that head and more. */
static const char *without_head(const char *name, const char *head)
{
    size_t length = strlen(head);
    return tapsi_text_equal_n(name, head, length) && strlen(name) > length ? name + length : name;
}

static const char *find(const struct name *names, size_t count, const char *head, const char *wanted)
{
    const char *bare = without_head(wanted, head);
    for (size_t i = 0; i < count; i++) {
        if (tapsi_text_equal(bare, names[i].name) || tapsi_text_equal(bare, without_head(names[i].token, head)))
            return names[i].token;
    }
    return NULL;
}

const char *tapsi_tls_group(const char *name)
{
    return find(groups, COUNT(groups), "GROUP-", name);
}

const char *tapsi_tls_signature(const char *name)
{
    return find(signatures, COUNT(signatures), "SIGN-", name);
}

/* "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" and GnuTLS's "TLS_ECDHE_RSA_AES_128_GCM_SHA256" are the same suite: both
   become "TLS-ECDHE-RSA-AES-128-GCM-SHA256". False if it is longer than any. */
static bool normalise_suite(const char *name, char *to, size_t size)
{
    size_t length = 0;
    while (*name) {
        if (tapsi_text_equal_n(name, "_WITH_", 6)) {
            name += 5;
            continue;
        }
        if (length + 1 == size)
            return false;
        to[length++] = *name == '_' ? '-' : *name;
        name++;
    }
    to[length] = '\0';
    return true;
}

static bool is_suite_of(const char *suite, const char *cipher)
{
    char text[64];
    for (size_t i = 0; i < COUNT(exchanges); i++) {
        for (size_t k = 0; k < COUNT(hashes); k++) {
            tapsi_format(text, sizeof(text), "%s%s%s", exchanges[i], cipher, hashes[k]);
            if (tapsi_text_equal(suite, text))
                return true;
        }
    }
    return false;
}

const char *tapsi_tls_cipher(const char *name)
{
    char suite[64];
    for (size_t i = 0; i < COUNT(ciphers); i++) {
        if (tapsi_text_equal(name, ciphers[i]))
            return ciphers[i];
    }
    if (!normalise_suite(name, suite, sizeof(suite)))
        return NULL;
    for (size_t i = 0; i < COUNT(ciphers); i++) {
        if (is_suite_of(suite, ciphers[i]))
            return ciphers[i];
    }
    return NULL;
}

/* "1.2", "v1.2", " 1.2", "_1_2": 12. 0 = not so. */
static int dotted(const char *version)
{
    if (*version == 'v' || *version == 'V')
        version++;
    else if (*version && strchr(" -_", *version))
        version++;
    if (version[0] != '1' || !version[1] || !strchr(".-_", version[1]) || !version[2] || version[3])
        return 0;
    return version[2] >= '0' && version[2] <= '9' ? 10 + version[2] - '0' : 0;
}

/* "", "1", "v1", " 1", "-v1". */
static bool is_quic_1(const char *version)
{
    if (!*version)
        return true;
    if (strchr(" -_", *version))
        version++;
    if (*version == 'v' || *version == 'V')
        version++;
    return strcmp(version, "1") == 0;
}

enum taps_security_protocol tapsi_tls_version(const char *name)
{
    const enum taps_security_protocol none = (enum taps_security_protocol)0;
    if (tapsi_text_equal_n(name, "quic", 4))
        return is_quic_1(name + 4) ? TAPS_QUIC_1 : none;
    if (tapsi_text_equal_n(name, "dtls", 4))
        return dotted(name + 4) == 12 ? TAPS_DTLS_1_2 : none;
    if (!tapsi_text_equal_n(name, "tls", 3))
        return none;
    int version = dotted(name + 3);
    return version == 12 ? TAPS_TLS_1_2 : version == 13 ? TAPS_TLS_1_3 : none;
}
