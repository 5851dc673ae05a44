/* PEM around bytes, so that a fuzzer changes DER and not base64. */
#ifndef FUZZ_PEM_H
#define FUZZ_PEM_H

#include <stddef.h>

/* Terminated; *ret_length does not count the terminator. The caller frees it. */
char *fuzz_pem(const char *label, const void *der, size_t length, size_t *ret_length);

#endif
