/* Certificates for tests, made in memory with GnuTLS. A mistake or a shortage ends the program. */
#ifndef TAPSI_STACK_SECURE_TEST_CERTIFICATES_H
#define TAPSI_STACK_SECURE_TEST_CERTIFICATES_H

#include <stdbool.h>

enum tapsi_test_purpose { TAPSI_TEST_ANY, TAPSI_TEST_SERVER, TAPSI_TEST_CLIENT };

struct tapsi_test_subject {
    const char *name;         /* the common name */
    const char *names;        /* "example.test,192.0.2.1,::1": alternative names; NULL = none */
    const char *from, *until; /* "2020-01-01"; NULL = 2020-01-01 and 2049-12-31 */
    enum tapsi_test_purpose purpose;
    bool authority;
    bool weak; /* an RSA key of 1024 bits instead of one on P-256 */
    bool must_staple;
    bool steady; /* an Ed25519 key: its signatures are all of one length */
};

struct tapsi_test_identity {
    char *certificate, *key; /* PEM text */
};

/* Signed by `issuer`, or by itself when that is NULL. The caller frees it. */
struct tapsi_test_identity tapsi_test_identity(const struct tapsi_test_subject *subject,
                                               const struct tapsi_test_identity *issuer);
/* Puts the issuer's certificate behind its own, as servers with intermediate authorities do. */
void tapsi_test_identity_chain(struct tapsi_test_identity *identity, const struct tapsi_test_identity *issuer);
void tapsi_test_identity_free(struct tapsi_test_identity *identity);

#endif
