/* Security parameters as the library keeps them: ref-counted, immutable once an action has taken them. */
#ifndef TAPSI_SELECT_SECURITY_H
#define TAPSI_SELECT_SECURITY_H

#include "base/err.h"
#include "base/mem.h"

#define TAPSI_SECURITY_LIST_MAX 16 /* entries of each list */

struct tapsi_bytes {
    uint8_t *data; /* terminated by a 0 that does not count */
    size_t length;
};

struct tapsi_certificate {
    struct tapsi_bytes chain, key; /* PEM */
};

struct tapsi_names {
    char *names[TAPSI_SECURITY_LIST_MAX];
    size_t count;
};

struct tapsi_security {
    struct tapsi_mem *mem;
    unsigned refs;
    enum taps_security_mode mode;
    unsigned allowed;                            /* bits 1 << enum taps_security_protocol */
    bool allowed_set;
    enum taps_security_protocol minimum_version; /* 0 = none set */
    struct tapsi_bytes authorities[TAPSI_SECURITY_LIST_MAX]; /* PEM; none = the system's store */
    size_t authority_count;
    struct tapsi_certificate server[TAPSI_SECURITY_LIST_MAX], client[TAPSI_SECURITY_LIST_MAX];
    size_t server_count, client_count;
    struct tapsi_bytes pins[TAPSI_SECURITY_LIST_MAX]; /* PEM */
    size_t pin_count;
    struct tapsi_names alpn, groups, ciphersuites, signatures;
    char *server_name;
    bool require_client_certificate;
    /* Whatever a stack derives from these parameters and wants to make only once (parsed credentials): owned by the
       snapshot, freed with it. One slot per role: 0 client, 1 server. The stack that sets it sets the destructor. */
    void *derived[2];
    void (*derived_free[2])(void *derived);
};

struct tapsi_security *tapsi_security_new(struct tapsi_mem *mem, enum taps_security_mode mode);
struct tapsi_security *tapsi_security_copy(const struct tapsi_security *s, struct tapsi_mem *mem); /* without `derived` */
struct tapsi_security *tapsi_security_ref(struct tapsi_security *s);
void tapsi_security_unref(struct tapsi_security *s); /* NULL is allowed */
/* The versions that may be used: allowed, minus what is below the minimum. 0 = contradiction. */
unsigned tapsi_security_versions(const struct tapsi_security *s);

#endif
