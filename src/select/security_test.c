#include "select/security.h"

#include <stdlib.h>
#include "base/str.h"
#include "base/test.h"

static const char certificate[] = "subject\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
static const char key[] = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
static const char ec_key[] = "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n"
                             "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n";

#define LENGTH(text) (sizeof(text) - 1)

/* Memory that runs out after some blocks. */
struct limited {
    size_t left, live;
};

static void *limited_resize(void *user, void *block, size_t size)
{
    struct limited *l = user;
    if (size == 0) {
        l->live--;
        free(block);
        return NULL;
    }
    if (l->left == 0)
        return NULL;
    l->left--;
    l->live += block == NULL;
    return realloc(block, size);
}

static void setup(struct tapsi_mem *mem, struct limited *l, size_t blocks)
{
    *l = (struct limited){.left = blocks};
    tapsi_mem_init(mem, &(struct taps_allocator){.resize = limited_resize, .user = l});
}

static struct tapsi_security *fresh(void)
{
    return tapsi_security_new(tapsi_mem_default(), TAPS_SECURITY_REQUIRED);
}

static unsigned bit(enum taps_security_protocol protocol)
{
    return 1U << protocol;
}

/* All that there are. */
static unsigned all_versions(void)
{
    return bit(TAPS_TLS_1_2) | bit(TAPS_TLS_1_3) | bit(TAPS_DTLS_1_2) | bit(TAPS_QUIC_1);
}

/* proves API-050 */
TEST(the_default_is_secure_and_has_both_versions)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(s->mode, TAPS_SECURITY_REQUIRED);
    CHECK_INT(tapsi_security_versions(s), all_versions());
    CHECK_INT(s->authority_count + s->server_count + s->client_count + s->pin_count + s->alpn.count, 0);
    tapsi_security_unref(s);
    tapsi_security_unref(NULL);
}

/* proves ARCH-10, API-051 (values) */
TEST(versions_are_what_is_allowed_minus_what_is_below_the_minimum)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(tapsi_security_set_minimum(s, TAPS_TLS_1_3), 0);
    CHECK_INT(tapsi_security_versions(s), bit(TAPS_TLS_1_3) | bit(TAPS_QUIC_1));
    CHECK_INT(tapsi_security_allow(s, TAPS_TLS_1_2), 0);
    CHECK_INT(tapsi_security_versions(s), 0);
    CHECK_INT(tapsi_security_allow(s, TAPS_DTLS_1_2), 0);
    CHECK_INT(tapsi_security_versions(s), 0);
    CHECK_INT(tapsi_security_allow(s, TAPS_TLS_1_3), 0);
    CHECK_INT(tapsi_security_versions(s), bit(TAPS_TLS_1_3));
    CHECK_INT(tapsi_security_set_minimum(s, TAPS_TLS_1_2), 0);
    CHECK_INT(tapsi_security_versions(s), bit(TAPS_TLS_1_2) | bit(TAPS_TLS_1_3) | bit(TAPS_DTLS_1_2));
    tapsi_security_clear(s, TAPSI_SECURITY_ALLOWED);
    CHECK_INT(tapsi_security_allow(s, TAPS_TLS_1_2), 0);
    CHECK_INT(tapsi_security_versions(s), bit(TAPS_TLS_1_2));
    tapsi_security_unref(s);
}

TEST(versions_that_do_not_exist_are_refused)
{
    static const int versions[] = {0, 5, -1, 31, 32, 1000000};
    struct tapsi_security *s = fresh();
    NEED(s);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        CHECK_INT(tapsi_security_allow(s, (enum taps_security_protocol)versions[i]), TAPS_E_RANGE);
        CHECK_INT(tapsi_security_set_minimum(s, (enum taps_security_protocol)versions[i]), TAPS_E_RANGE);
    }
    CHECK_INT(tapsi_security_set_minimum(s, TAPS_DTLS_1_2), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_set_minimum(s, TAPS_QUIC_1), TAPS_E_RANGE);
    CHECK(!s->allowed_set);
    CHECK_INT(tapsi_security_versions(s), all_versions());
    tapsi_security_unref(s);
}

TEST(what_is_no_certificate_is_refused)
{
    static const char *const texts[] = {
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
        "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
        "-----begin certificate-----\nMIIB\n-----end certificate-----\n",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n",
    };
    struct tapsi_security *s = fresh();
    NEED(s);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t length = strlen(texts[i]);
        CHECK_INT(tapsi_security_add_authority(s, texts[i], length), TAPS_E_RANGE);
        CHECK_INT(tapsi_security_add_pin(s, texts[i], length), TAPS_E_RANGE);
        CHECK_INT(tapsi_security_add_server(s, texts[i], length, key, LENGTH(key)), TAPS_E_RANGE);
    }
    CHECK_INT(tapsi_security_add_authority(s, key, LENGTH(key)), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_authority(s, certificate, 20), TAPS_E_RANGE);
    CHECK_INT(s->authority_count + s->pin_count + s->server_count, 0);
    tapsi_security_unref(s);
}

TEST(what_is_no_key_is_refused)
{
    static const char *const texts[] = {
        "",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n",
        "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n",
        "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN -----BEGIN -----BEGIN \nPRIVATE KEY-----\n",
    };
    struct tapsi_security *s = fresh();
    NEED(s);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CHECK_INT(tapsi_security_add_client(s, certificate, LENGTH(certificate), texts[i], strlen(texts[i])),
                  TAPS_E_RANGE);
    }
    CHECK_INT(tapsi_security_add_client(s, certificate, LENGTH(certificate), certificate, LENGTH(certificate)),
              TAPS_E_RANGE);
    CHECK_INT(s->client_count, 0);
    tapsi_security_unref(s);
}

TEST(pem_has_a_cap)
{
    struct tapsi_security *s = fresh();
    char *large = malloc(TAPSI_PEM_MAX + 1);
    NEED(s && large);
    memset(large, '\n', TAPSI_PEM_MAX + 1);
    memcpy(large, certificate, LENGTH(certificate));
    CHECK_INT(tapsi_security_add_authority(s, large, TAPSI_PEM_MAX), 0);
    CHECK_INT(tapsi_security_add_authority(s, large, TAPSI_PEM_MAX + 1), TAPS_E_RANGE);
    CHECK_INT(s->authority_count, 1);
    free(large);
    tapsi_security_unref(s);
}

/* proves ARCH-18 (values): what is a client's never becomes a server's */
TEST(certificates_keep_their_role)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(tapsi_security_add_server(s, certificate, LENGTH(certificate), ec_key, LENGTH(ec_key)), 0);
    CHECK_INT(s->server_count, 1);
    CHECK_INT(s->client_count, 0);
    CHECK_INT(tapsi_security_add_client(s, certificate, LENGTH(certificate), key, LENGTH(key)), 0);
    CHECK_INT(s->server_count, 1);
    CHECK_INT(s->client_count, 1);
    CHECK_TEXT((const char *)s->server[0].key.data, ec_key);
    CHECK_TEXT((const char *)s->client[0].key.data, key);
    tapsi_security_unref(s);
}

TEST(lists_have_a_cap)
{
    struct tapsi_security *s = fresh();
    char name[8];
    NEED(s);
    for (unsigned i = 0; i < TAPSI_SECURITY_LIST_MAX; i++) {
        tapsi_format(name, sizeof(name), "p%u", i);
        CHECK_INT(tapsi_security_add_alpn(s, name), 0);
        CHECK_INT(tapsi_security_add_authority(s, certificate, LENGTH(certificate)), 0);
        CHECK_INT(tapsi_security_add_server(s, certificate, LENGTH(certificate), key, LENGTH(key)), 0);
    }
    CHECK_INT(tapsi_security_add_alpn(s, "more"), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_alpn(s, "p3"), 0);
    CHECK_INT(tapsi_security_add_authority(s, certificate, LENGTH(certificate)), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_server(s, certificate, LENGTH(certificate), key, LENGTH(key)), TAPS_E_RANGE);
    tapsi_security_clear(s, TAPSI_SECURITY_ALPN);
    CHECK_INT(tapsi_security_add_alpn(s, "more"), 0);
    CHECK_INT(s->alpn.count, 1);
    tapsi_security_unref(s);
}

/* proves API-054 (values) */
TEST(alpn_has_1_to_255_bytes_and_keeps_its_order)
{
    struct tapsi_security *s = fresh();
    char name[300];
    NEED(s);
    memset(name, 'x', sizeof(name));
    name[256] = '\0';
    CHECK_INT(tapsi_security_add_alpn(s, ""), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_alpn(s, name), TAPS_E_RANGE);
    name[255] = '\0';
    CHECK_INT(tapsi_security_add_alpn(s, "h2"), 0);
    CHECK_INT(tapsi_security_add_alpn(s, name), 0);
    CHECK_INT(tapsi_security_add_alpn(s, "http/1.1"), 0);
    CHECK_INT(tapsi_security_add_alpn(s, "h2"), 0);
    CHECK_INT(s->alpn.count, 3);
    CHECK_TEXT(s->alpn.names[0], "h2");
    CHECK_TEXT(s->alpn.names[2], "http/1.1");
    tapsi_security_unref(s);
}

/* proves API-055 (values) */
TEST(groups_ciphers_and_signatures_are_kept_as_tokens)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(tapsi_security_add_group(s, "x25519"), 0);
    CHECK_INT(tapsi_security_add_group(s, "GROUP-X25519"), 0);
    CHECK_INT(s->groups.count, 1);
    CHECK_TEXT(s->groups.names[0], "GROUP-X25519");
    CHECK_INT(tapsi_security_add_ciphersuite(s, "TLS_AES_128_GCM_SHA256"), 0);
    CHECK_TEXT(s->ciphersuites.names[0], "AES-128-GCM");
    CHECK_INT(tapsi_security_add_signature(s, "ed25519"), 0);
    CHECK_TEXT(s->signatures.names[0], "SIGN-EDDSA-ED25519");
    CHECK_INT(tapsi_security_add_group(s, "x"), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_ciphersuite(s, "x"), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_add_signature(s, "x"), TAPS_E_RANGE);
    tapsi_security_unref(s);
}

TEST(the_server_name_is_replaced_and_checked)
{
    static const char *const names[] = {"", "a b", "a\nb", "b\xc3\xbc-", "\x7f"};
    struct tapsi_security *s = fresh();
    char name[300];
    NEED(s);
    CHECK_INT(tapsi_security_set_server_name(s, "a.example"), 0);
    CHECK_INT(tapsi_security_set_server_name(s, "b.example"), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK_INT(tapsi_security_set_server_name(s, names[i]), TAPS_E_RANGE);
    memset(name, 'x', sizeof(name));
    name[254] = '\0';
    CHECK_INT(tapsi_security_set_server_name(s, name), TAPS_E_RANGE);
    CHECK_TEXT(s->server_name, "b.example");
    tapsi_security_unref(s);
}

/* proves API-056 (values) */
TEST(what_is_cached_has_a_default_and_a_cap)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(s->max_cached_sessions, TAPSI_CACHED_SESSIONS);
    CHECK_INT(s->cached_session_lifetime_seconds, TAPSI_CACHED_SESSION_SECONDS);
    CHECK_INT(tapsi_security_set_max_cached(s, 0), 0);
    CHECK_INT(tapsi_security_set_cached_lifetime(s, 0), 0);
    CHECK_INT(s->max_cached_sessions + s->cached_session_lifetime_seconds, 0);
    CHECK_INT(tapsi_security_set_max_cached(s, TAPSI_CACHED_SESSIONS_MAX), 0);
    CHECK_INT(tapsi_security_set_cached_lifetime(s, TAPSI_CACHED_SESSION_SECONDS_MAX), 0);
    CHECK_INT(tapsi_security_set_max_cached(s, TAPSI_CACHED_SESSIONS_MAX + 1), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_set_max_cached(s, UINT64_MAX), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_set_cached_lifetime(s, TAPSI_CACHED_SESSION_SECONDS_MAX + 1), TAPS_E_RANGE);
    CHECK_INT(tapsi_security_set_cached_lifetime(s, UINT64_MAX), TAPS_E_RANGE);
    CHECK_INT(s->max_cached_sessions, TAPSI_CACHED_SESSIONS_MAX);
    CHECK_INT(s->cached_session_lifetime_seconds, TAPSI_CACHED_SESSION_SECONDS_MAX);
    tapsi_security_unref(s);
}

static int fill(struct tapsi_security *s)
{
    int err = tapsi_security_add_authority(s, certificate, LENGTH(certificate));
    err = err ? err : tapsi_security_add_pin(s, certificate, LENGTH(certificate));
    err = err ? err : tapsi_security_add_server(s, certificate, LENGTH(certificate), key, LENGTH(key));
    err = err ? err : tapsi_security_add_client(s, certificate, LENGTH(certificate), key, LENGTH(key));
    err = err ? err : tapsi_security_add_alpn(s, "h2");
    err = err ? err : tapsi_security_add_group(s, "x25519");
    err = err ? err : tapsi_security_add_ciphersuite(s, "AES-128-GCM");
    err = err ? err : tapsi_security_add_signature(s, "ed25519");
    err = err ? err : tapsi_security_set_max_cached(s, 3);
    err = err ? err : tapsi_security_set_cached_lifetime(s, 5);
    return err ? err : tapsi_security_set_server_name(s, "a.example");
}

static void *freed;

static void free_derived(void *derived)
{
    freed = derived;
}

/* proves API-003 (security parameters) */
TEST(a_copy_has_everything_but_what_was_derived)
{
    struct tapsi_security *s = fresh();
    NEED(s);
    CHECK_INT(fill(s), 0);
    CHECK_INT(tapsi_security_set_minimum(s, TAPS_TLS_1_3), 0);
    s->require_client_certificate = true;
    s->derived[1] = &freed;
    s->derived_free[1] = free_derived;
    struct tapsi_security *copy = tapsi_security_copy(s, tapsi_mem_default());
    NEED(copy);
    tapsi_security_unref(s);
    CHECK(freed == &freed);
    CHECK(!copy->derived[0] && !copy->derived[1]);
    CHECK_INT(copy->authority_count, 1);
    CHECK_TEXT((const char *)copy->authorities[0].data, certificate);
    CHECK_TEXT((const char *)copy->pins[0].data, certificate);
    CHECK_TEXT((const char *)copy->server[0].key.data, key);
    CHECK_TEXT((const char *)copy->client[0].chain.data, certificate);
    CHECK_TEXT(copy->alpn.names[0], "h2");
    CHECK_TEXT(copy->groups.names[0], "GROUP-X25519");
    CHECK_TEXT(copy->ciphersuites.names[0], "AES-128-GCM");
    CHECK_TEXT(copy->signatures.names[0], "SIGN-EDDSA-ED25519");
    CHECK_TEXT(copy->server_name, "a.example");
    CHECK(copy->require_client_certificate);
    CHECK_INT(copy->max_cached_sessions, 3);
    CHECK_INT(copy->cached_session_lifetime_seconds, 5);
    CHECK_INT(tapsi_security_versions(copy), bit(TAPS_TLS_1_3) | bit(TAPS_QUIC_1));
    tapsi_security_unref(copy);
}

TEST(without_memory_nothing_changes_and_nothing_leaks)
{
    bool copied = false;
    for (size_t blocks = 0; blocks < 60 && !copied; blocks++) {
        struct tapsi_mem mem;
        struct limited l;
        setup(&mem, &l, blocks);
        struct tapsi_security *s = tapsi_security_new(&mem, TAPS_SECURITY_REQUIRED), *copy = NULL;
        int err = s ? fill(s) : TAPS_E_MEMORY;
        CHECK(err == 0 || err == TAPS_E_MEMORY);
        if (!err)
            copy = tapsi_security_copy(s, &mem);
        copied = copy != NULL;
        tapsi_security_unref(copy);
        tapsi_security_unref(s);
        CHECK_INT(l.live, 0);
    }
    CHECK(copied);
}

TEST(contents_are_swapped_as_a_whole)
{
    struct tapsi_security *s = fresh(), *t = fresh();
    NEED(s && t);
    CHECK_INT(fill(s), 0);
    tapsi_security_swap(s, t);
    CHECK_INT(s->alpn.count, 0);
    CHECK_INT(t->alpn.count, 1);
    struct tapsi_security *shared = tapsi_security_ref(s);
    tapsi_security_unref(shared);
    tapsi_security_unref(s);
    tapsi_security_unref(t);
}
