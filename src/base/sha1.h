/* SHA-1, for the protocols that only need it as a name for bytes (RFC 6455, 4.2.2), and base64. */
#ifndef TAPSI_BASE_SHA1_H
#define TAPSI_BASE_SHA1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAPSI_SHA1_SIZE          20
#define TAPSI_BASE64_SIZE(bytes) (((bytes) + 2) / 3 * 4 + 1)

/* 0, or TAPS_E_SYSTEM where the crypto library will not. */
int tapsi_sha1(const void *bytes, size_t length, uint8_t ret_digest[TAPSI_SHA1_SIZE]);
/* `to` has TAPSI_BASE64_SIZE(length) bytes, the terminator included. */
void tapsi_base64(const uint8_t *bytes, size_t length, char *to);
/* Is this the base64 of so many bytes, with its padding? */
bool tapsi_is_base64(const char *text, size_t length, size_t bytes);

#endif
