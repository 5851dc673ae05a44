/* PEM around bytes, so that a fuzzer changes DER and not base64. */
#ifndef FUZZ_PEM_H
#define FUZZ_PEM_H

#include <stdbool.h>
#include <stddef.h>

/* Terminated; *ret_length does not count the terminator. The caller frees it. */
char *fuzz_pem(const char *label, const void *der, size_t length, size_t *ret_length);

/* GnuTLS 3.7 leaks a chain that it is to show when it does not understand a name in it: such are left out. */
bool fuzz_pem_is_showable(const void *pem, size_t length);

#endif
