/* The lists that security parameters are made of: bytes, certificates with their keys, names. */
#ifndef TAPSI_SELECT_SECURITY_LISTS_H
#define TAPSI_SELECT_SECURITY_LISTS_H

#include "select/security.h"

/* Copies, with a 0 behind that does not count. TAPS_E_MEMORY. */
int tapsi_bytes_copy(struct tapsi_mem *mem, const void *from, size_t length, struct tapsi_bytes *ret);
/* Wipes them first: they may be a key. */
void tapsi_bytes_free(struct tapsi_mem *mem, struct tapsi_bytes *bytes);

/* Appending copies: 0, TAPS_E_RANGE (the list is full) or TAPS_E_MEMORY, and then nothing has changed. A name that is
   there already is left alone. */
int tapsi_bytes_append(struct tapsi_mem *mem, struct tapsi_bytes *list, size_t *count, const void *data, size_t length);
int tapsi_certificates_append(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count,
                              const struct tapsi_certificate *from);
int tapsi_names_append(struct tapsi_mem *mem, struct tapsi_names *names, const char *name);
/* An identity that is there gets the new key. */
int tapsi_psks_append(struct tapsi_mem *mem, struct tapsi_psk *list, size_t *count, const struct tapsi_psk *from);

/* Appends all; on failure some may have been. */
int tapsi_bytes_copy_list(struct tapsi_mem *mem, struct tapsi_bytes *to, size_t *to_count,
                          const struct tapsi_bytes *from, size_t count);
int tapsi_certificates_copy(struct tapsi_mem *mem, struct tapsi_certificate *to, size_t *to_count,
                            const struct tapsi_certificate *from, size_t count);
int tapsi_names_copy(struct tapsi_mem *mem, struct tapsi_names *to, const struct tapsi_names *from);
int tapsi_psks_copy(struct tapsi_mem *mem, struct tapsi_psk *to, size_t *to_count, const struct tapsi_psk *from,
                    size_t count);

/* Empty the list. */
void tapsi_psks_free(struct tapsi_mem *mem, struct tapsi_psk *list, size_t *count);
void tapsi_bytes_free_list(struct tapsi_mem *mem, struct tapsi_bytes *list, size_t *count);
void tapsi_certificates_free(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count);
void tapsi_names_free(struct tapsi_mem *mem, struct tapsi_names *names);

#endif
