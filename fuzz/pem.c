#include "pem.h"

#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *put_three(char *to, const uint8_t *from, size_t count)
{
    uint32_t word = (uint32_t)from[0] << 16;
    if (count > 1)
        word |= (uint32_t)from[1] << 8;
    if (count > 2)
        word |= from[2];
    for (size_t i = 0; i < 4; i++)
        *to++ = i <= count ? digits[word >> (18 - 6 * i) & 63] : '=';
    return to;
}

char *fuzz_pem(const char *label, const void *der, size_t length, size_t *ret_length)
{
    const uint8_t *from = der;
    size_t size = length * 2 + 256;
    char *pem = malloc(size), *to = pem;
    if (!pem)
        abort();
    to += snprintf(to, size, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; i < length; i += 3) {
        to = put_three(to, from + i, length - i < 3 ? length - i : 3);
        if (i % 48 == 45)
            *to++ = '\n';
    }
    to += snprintf(to, size - (size_t)(to - pem), "\n-----END %s-----\n", label);
    *ret_length = (size_t)(to - pem);
    return pem;
}

static bool has_readable_names(gnutls_x509_crt_t crt)
{
    for (unsigned i = 0;; i++) {
        char name[4096];
        size_t size = sizeof(name);
        int r = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &size, NULL);
        if (r < 0)
            return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    }
}

bool fuzz_pem_is_showable(const void *pem, size_t length)
{
    gnutls_datum_t text = {(unsigned char *)(uintptr_t)pem, (unsigned)length};
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    bool good = gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0) >= 0;
    for (unsigned i = 0; i < count; i++) {
        good = good && has_readable_names(list[i]);
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    return good;
}
