#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <taps/taps.h>

#include "base/test.h"
#include "select/security.h"

static const char certificate[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
static const char key[] = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

#define LENGTH(text) (sizeof(text) - 1)

static taps_security_parameters *fresh(void)
{
    taps_security_parameters *parameters = NULL;
    CHECK_INT(taps_security_parameters_new(&parameters), 0);
    return parameters;
}

/* A file that is gone at the end of the test: its path is good as long as the stream is open. */
struct file {
    FILE *stream;
    char path[64];
};

static struct file file_with(const char *text, size_t length)
{
    struct file file = {.stream = tmpfile()};
    if (!file.stream) {
        tapsi_test_fail(__FILE__, __LINE__, "no temporary file");
        exit(1);
    }
    CHECK(fwrite(text, 1, length, file.stream) == length && fflush(file.stream) == 0);
    snprintf(file.path, sizeof(file.path), "/proc/self/fd/%d", fileno(file.stream));
    return file;
}

/* proves API-050 */
TEST(modes_are_explicit)
{
    taps_security_parameters *parameters = fresh();
    CHECK_INT(taps_security_parameters_mode(parameters), TAPS_SECURITY_REQUIRED);
    taps_security_parameters_free(parameters);
    CHECK_INT(taps_security_parameters_new_disabled(&parameters), 0);
    CHECK_INT(taps_security_parameters_mode(parameters), TAPS_SECURITY_DISABLED);
    taps_security_parameters_free(parameters);
    CHECK_INT(taps_security_parameters_new_opportunistic(&parameters), 0);
    CHECK_INT(taps_security_parameters_mode(parameters), TAPS_SECURITY_OPPORTUNISTIC);
    taps_security_parameters_free(parameters);
    CHECK_INT(taps_security_parameters_mode(NULL), TAPS_SECURITY_REQUIRED);
    taps_security_parameters_free(NULL);
}

/* Nobody waits for one who may never write; who is there is waited for. proves API-052 (values) */
TEST(a_fifo_keeps_nobody)
{
    taps_security_parameters *parameters = fresh();
    struct file pem = file_with(certificate, LENGTH(certificate));
    char folder[] = "taps-fifo-XXXXXX", path[64];
    int ends[2];
    NEED(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/fifo", folder);
    NEED(mkfifo(path, 0600) == 0);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, path), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_server_certificate(parameters, pem.path, path), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_status_file(parameters, path), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_set(parameters, "pinnedServerCertificate", path), TAPS_E_SYSTEM);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    fclose(pem.stream);
    NEED(pipe(ends) == 0);
    CHECK(write(ends[1], certificate, LENGTH(certificate)) > 0);
    CHECK_INT(close(ends[1]), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, path), 0);
    CHECK_INT(close(ends[0]), 0);
    taps_security_parameters_free(parameters);
}

/* proves API-052, API-053 (values) */
TEST(files_are_read_at_once)
{
    taps_security_parameters *parameters = fresh();
    struct file pem = file_with(certificate, LENGTH(certificate)), secret = file_with(key, LENGTH(key));
    const struct tapsi_security *s = tapsi_security_of_const(parameters);
    NEED(s);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, pem.path), 0);
    CHECK_INT(taps_security_parameters_add_server_certificate(parameters, pem.path, secret.path), 0);
    CHECK_INT(taps_security_parameters_add_client_certificate(parameters, pem.path, secret.path), 0);
    fclose(pem.stream);
    fclose(secret.stream);
    CHECK_INT(s->authority_count, 1);
    CHECK_TEXT((const char *)s->authorities[0].data, certificate);
    CHECK_TEXT((const char *)s->server[0].chain.data, certificate);
    CHECK_TEXT((const char *)s->server[0].key.data, key);
    CHECK_TEXT((const char *)s->client[0].key.data, key);
    taps_security_parameters_free(parameters);
}

TEST(files_that_cannot_be_used_say_why)
{
    taps_security_parameters *parameters = fresh();
    struct file pem = file_with(certificate, LENGTH(certificate)), secret = file_with(key, LENGTH(key));
    struct file empty = file_with("", 0);
    const struct tapsi_security *s = tapsi_security_of_const(parameters);
    NEED(s);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, "/nonexistent/ca.pem"), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, ""), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, "/"), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, "/dev/null"), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, "/dev/zero"), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, empty.path), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_ca_file(parameters, secret.path), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_server_certificate(parameters, pem.path, "/nonexistent/key.pem"),
              TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_server_certificate(parameters, pem.path, pem.path), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_server_certificate(parameters, secret.path, secret.path), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_client_certificate(parameters, "/nonexistent/c.pem", secret.path),
              TAPS_E_SYSTEM);
    CHECK_INT(s->authority_count + s->server_count + s->client_count, 0);
    fclose(pem.stream);
    fclose(secret.stream);
    fclose(empty.stream);
    taps_security_parameters_free(parameters);
}

TEST(nothing_in_the_place_of_something_is_an_argument_error)
{
    taps_security_parameters *p = fresh(), *other = (taps_security_parameters *)1;
    const char *c = certificate;
    size_t n = LENGTH(certificate), m = LENGTH(key);
    NEED(p);
    CHECK_INT(taps_security_parameters_new(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_new_disabled(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_new_opportunistic(NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_copy(NULL, &other), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_copy(p, NULL), TAPS_E_ARGUMENT);
    CHECK(other == (taps_security_parameters *)1);
    CHECK_INT(taps_security_parameters_add_ca_file(NULL, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_ca_file(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_ca_pem(NULL, c, n), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_ca_pem(p, NULL, n), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_certificate(NULL, "x", "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_certificate(p, NULL, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_certificate(p, "x", NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_certificate_pem(NULL, c, n, key, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_certificate_pem(p, NULL, n, key, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_certificate_pem(p, c, n, NULL, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_client_certificate(NULL, "x", "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_client_certificate(p, NULL, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_client_certificate_pem(NULL, c, n, key, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_client_certificate_pem(p, c, n, NULL, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_pin_server_certificate(NULL, c, n), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_pin_server_certificate(p, NULL, n), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_alpn(NULL, "h2"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_alpn(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_allow_protocol(NULL, TAPS_TLS_1_3), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_minimum_version(NULL, TAPS_TLS_1_3), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_server_name(NULL, "a"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_server_name(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_require_client_certificate(NULL, true), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_max_cached_sessions(NULL, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_key_password(NULL, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_signer(p, c, n, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_client_signer(p, c, n, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_server_slow_signer(p, c, n, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_client_slow_signer(p, c, n, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_status_file(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_status_file(p, "/nonexistent/status"), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_add_status(p, NULL, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_pin_server_key(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_pin_server_key(NULL, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_pin_server_key_hash(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_pre_shared_key(p, NULL, key, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_pre_shared_key(p, "me", NULL, m), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_key_log_file(NULL, "x"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_trust_callback(NULL, NULL, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set_cached_session_lifetime(NULL, 1), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_group(NULL, "x25519"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_group(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_ciphersuite(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_add_signature_algorithm(p, NULL), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set(NULL, "alpn", "h2"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set(p, NULL, "h2"), TAPS_E_ARGUMENT);
    CHECK_INT(taps_security_parameters_set(p, "alpn", NULL), TAPS_E_ARGUMENT);
    taps_security_parameters_free(p);
}

TEST(nonsense_is_out_of_range)
{
    taps_security_parameters *p = fresh();
    NEED(p);
    CHECK_INT(taps_security_parameters_add_ca_pem(p, "garbage", 7), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_ca_pem(p, certificate, 0), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_ca_pem(p, certificate, SIZE_MAX), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_pin_server_certificate(p, key, LENGTH(key)), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_server_certificate_pem(p, certificate, LENGTH(certificate), key, SIZE_MAX),
              TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_client_certificate_pem(p, certificate, LENGTH(certificate), certificate,
                                                                  LENGTH(certificate)),
              TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_alpn(p, ""), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_allow_protocol(p, (enum taps_security_protocol)0), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_set_minimum_version(p, (enum taps_security_protocol)77), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_set_server_name(p, ""), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_set_max_cached_sessions(p, UINT64_MAX), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_set_cached_session_lifetime(p, UINT64_MAX), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_group(p, "secp1"), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_ciphersuite(p, "NULL"), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_add_signature_algorithm(p, "RSA-MD5"), TAPS_E_RANGE);
    taps_security_parameters_free(p);
}

/* proves API-051, API-054, API-055 (values) */
TEST(parameters_are_set_by_name_and_text)
{
    taps_security_parameters *p = fresh();
    const struct tapsi_security *s = tapsi_security_of_const(p);
    NEED(s);
    CHECK_INT(taps_security_parameters_add_alpn(p, "old"), 0);
    CHECK_INT(taps_security_parameters_set(p, "ALPN", "h2, http/1.1"), 0);
    CHECK_INT(s->alpn.count, 2);
    CHECK_TEXT(s->alpn.names[0], "h2");
    CHECK_TEXT(s->alpn.names[1], "http/1.1");
    CHECK_INT(taps_security_parameters_set(p, "allowedSecurityProtocols", "tls1.3"), 0);
    CHECK_INT(tapsi_security_versions(s), 1U << TAPS_TLS_1_3);
    CHECK_INT(taps_security_parameters_set(p, "allowedSecurityProtocols", "TLS 1.2,tls_1_3"), 0);
    CHECK_INT(tapsi_security_versions(s), 1U << TAPS_TLS_1_3 | 1U << TAPS_TLS_1_2);
    CHECK_INT(taps_security_parameters_set(p, "allowedSecurityProtocols", "quicv1,dtls1.2"), 0);
    CHECK_INT(tapsi_security_versions(s), 1U << TAPS_QUIC_1 | 1U << TAPS_DTLS_1_2);
    CHECK_INT(taps_security_parameters_set(p, "maxCachedSessions", "16"), 0);
    CHECK_INT(s->max_cached_sessions, 16);
    CHECK_INT(taps_security_parameters_set(p, "cachedSessionLifetimeSeconds", "3600"), 0);
    CHECK_INT(s->cached_session_lifetime_seconds, 3600);
    CHECK_INT(taps_security_parameters_set(p, "preSharedKey", "me, 000102030405060708090a0b0c0d0e0f"), 0);
    CHECK_INT(s->psk_count, 1);
    CHECK_INT(taps_security_parameters_set(p, "pinnedServerCertificate",
                                           "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
              0);
    CHECK_INT(s->key_pin_count, 1);
    CHECK_INT(taps_security_parameters_set(p, "serverCertificate", "pkcs11:token=t;object=c,pkcs11:token=t;object=k"),
              0);
    CHECK_TEXT((const char *)s->server[0].key.data, "pkcs11:token=t;object=k");
    CHECK_INT(taps_security_parameters_set(p, "supportedgroup", "x25519,secp256r1"), 0);
    CHECK_TEXT(s->groups.names[1], "GROUP-SECP256R1");
    CHECK_INT(taps_security_parameters_set(p, "ciphersuite", "TLS_AES_256_GCM_SHA384"), 0);
    CHECK_TEXT(s->ciphersuites.names[0], "AES-256-GCM");
    CHECK_INT(taps_security_parameters_set(p, "signatureAlgorithm", "ed25519"), 0);
    CHECK_TEXT(s->signatures.names[0], "SIGN-EDDSA-ED25519");
    taps_security_parameters_free(p);
}

TEST(certificates_are_set_by_name_and_path)
{
    taps_security_parameters *p = fresh();
    struct file pem = file_with(certificate, LENGTH(certificate)), secret = file_with(key, LENGTH(key));
    const struct tapsi_security *s = tapsi_security_of_const(p);
    char pair[160], two_pairs[400];
    NEED(s);
    snprintf(pair, sizeof(pair), "%s,%s", pem.path, secret.path);
    snprintf(two_pairs, sizeof(two_pairs), "%s, %s", pair, pair);
    CHECK_INT(taps_security_parameters_set(p, "serverCertificate", pair), 0);
    CHECK_INT(taps_security_parameters_set(p, "serverCertificate", pair), 0);
    CHECK_INT(s->server_count, 1);
    CHECK_INT(taps_security_parameters_set(p, "clientCertificate", two_pairs), 0);
    CHECK_INT(s->client_count, 2);
    CHECK_INT(taps_security_parameters_set(p, "pinnedServerCertificate", pem.path), 0);
    CHECK_INT(s->pin_count, 1);
    CHECK_INT(taps_security_parameters_set(p, "serverCertificate", pem.path), TAPS_E_RANGE);
    CHECK_INT(taps_security_parameters_set(p, "serverCertificate", "/nonexistent/a,/nonexistent/b"), TAPS_E_SYSTEM);
    CHECK_INT(taps_security_parameters_set(p, "pinnedServerCertificate", secret.path), TAPS_E_RANGE);
    CHECK_INT(s->server_count, 1);
    CHECK_INT(s->pin_count, 1);
    fclose(pem.stream);
    fclose(secret.stream);
    taps_security_parameters_free(p);
}

TEST(a_failed_set_changes_nothing)
{
    static const struct {
        const char *name, *text;
        int err;
    } failing[] = {{"alpn", "", TAPS_E_RANGE},
                   {"alpn", "h3,,h2", TAPS_E_RANGE},
                   {"alpn", "h3,", TAPS_E_RANGE},
                   {"alpn", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", TAPS_E_RANGE},
                   {"alpn", "1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3", TAPS_E_RANGE},
                   {"supportedGroup", "x25519,x", TAPS_E_RANGE},
                   {"ciphersuite", "AES-128-GCM,NULL", TAPS_E_RANGE},
                   {"signatureAlgorithm", "ed25519,md5", TAPS_E_RANGE},
                   {"allowedSecurityProtocols", "tls1.3,ssl3", TAPS_E_RANGE},
                   {"allowedSecurityProtocols", "", TAPS_E_RANGE},
                   {"allowedSecurityProtocols", "quic,quicv3", TAPS_E_RANGE},
                   {"maxCachedSessions", "", TAPS_E_RANGE},
                   {"maxCachedSessions", "-1", TAPS_E_RANGE},
                   {"maxCachedSessions", "1,2", TAPS_E_RANGE},
                   {"maxCachedSessions", "70000", TAPS_E_RANGE},
                   {"cachedSessionLifetimeSeconds", "1h", TAPS_E_RANGE},
                   {"cachedSessionLifetimeSeconds", "604801", TAPS_E_RANGE},
                   {"preSharedKey", "a,b", TAPS_E_RANGE},
                   {"preSharedKey", "a", TAPS_E_RANGE},
                   {"preSharedKey", "000102030405060708090a0b0c0d0e0f", TAPS_E_RANGE},
                   {"pinnedServerCertificate", "sha256//AAAA", TAPS_E_RANGE},
                   {"serverCertificate", "pkcs11:token=t", TAPS_E_RANGE},
                   {"serverCertificate", "pkcs11:,pkcs11:", TAPS_E_RANGE},
                   {"trustCallback", "x", TAPS_E_UNKNOWN_PROPERTY},
                   {"", "x", TAPS_E_UNKNOWN_PROPERTY},
                   {"alpn ", "h2", TAPS_E_UNKNOWN_PROPERTY}};
    taps_security_parameters *p = fresh();
    const struct tapsi_security *s = tapsi_security_of_const(p);
    NEED(s);
    CHECK_INT(taps_security_parameters_set(p, "alpn", "h2"), 0);
    CHECK_INT(taps_security_parameters_set(p, "supportedGroup", "x448"), 0);
    CHECK_INT(taps_security_parameters_set(p, "allowedSecurityProtocols", "tls1.2"), 0);
    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++)
        CHECK_INT(taps_security_parameters_set(p, failing[i].name, failing[i].text), failing[i].err);
    CHECK_INT(s->alpn.count, 1);
    CHECK_TEXT(s->alpn.names[0], "h2");
    CHECK_TEXT(s->groups.names[0], "GROUP-X448");
    CHECK_INT(s->ciphersuites.count + s->signatures.count, 0);
    CHECK_INT(tapsi_security_versions(s), 1U << TAPS_TLS_1_2);
    taps_security_parameters_free(p);
}

/* proves API-003 (values) */
TEST(a_copy_is_independent)
{
    taps_security_parameters *p = fresh(), *copy = NULL;
    NEED(p);
    CHECK_INT(taps_security_parameters_add_alpn(p, "h2"), 0);
    CHECK_INT(taps_security_parameters_set_server_name(p, "a.example"), 0);
    CHECK_INT(taps_security_parameters_require_client_certificate(p, true), 0);
    CHECK_INT(taps_security_parameters_copy(p, &copy), 0);
    CHECK_INT(taps_security_parameters_set_server_name(p, "b.example"), 0);
    taps_security_parameters_free(p);
    NEED(copy);
    const struct tapsi_security *s = tapsi_security_of_const(copy);
    CHECK_TEXT(s->server_name, "a.example");
    CHECK_TEXT(s->alpn.names[0], "h2");
    CHECK(s->require_client_certificate);
    taps_security_parameters_free(copy);
}
