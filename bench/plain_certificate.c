/* A fresh self-signed certificate for BENCH_NAME and its key, so that the TLS rows need no tool. */
#include "plain.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void check(int status, const char *what)
{
    if (status < 0) {
        bench_die(what, gnutls_strerror(status));
    }
}

static void write_file(const char *path, const gnutls_datum_t *text)
{
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(text->data, 1, text->size, file) != text->size || fclose(file) != 0) {
        bench_die_errno(path);
    }
}

void plain_tls_make_certificate(const char *certificate_path, const char *key_path)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    gnutls_datum_t text;
    time_t now = time(NULL);
    check(gnutls_x509_privkey_init(&key), "key");
    check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
          "key");
    check(gnutls_x509_crt_init(&certificate), "certificate");
    check(gnutls_x509_crt_set_version(certificate, 3), "version");
    check(gnutls_x509_crt_set_key(certificate, key), "key");
    check(gnutls_x509_crt_set_serial(certificate, "\x01", 1), "serial");
    check(gnutls_x509_crt_set_activation_time(certificate, now - 3600), "time");
    check(gnutls_x509_crt_set_expiration_time(certificate, now + 86400), "time");
    check(gnutls_x509_crt_set_dn(certificate, "CN=" BENCH_NAME, NULL), "name");
    check(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, BENCH_NAME, strlen(BENCH_NAME),
                                               GNUTLS_FSAN_SET),
          "name");
    check(gnutls_x509_crt_set_basic_constraints(certificate, 1, 0), "constraints");
    check(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), "signature");
    check(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text), "certificate");
    write_file(certificate_path, &text);
    gnutls_free(text.data);
    check(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &text), "key");
    write_file(key_path, &text);
    gnutls_free(text.data);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}
