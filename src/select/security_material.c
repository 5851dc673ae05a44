/* Certificates and keys, looked at for the markers of PEM only: whoever uses them parses them. */
#include <string.h>
#include "select/security_lists.h"

#define CERTIFICATE_BEGIN "-----BEGIN CERTIFICATE-----"
#define CERTIFICATE_END   "-----END CERTIFICATE-----"

static const char *find(const char *text, size_t length, const char *marker)
{
    return memmem(text, length, marker, strlen(marker));
}

static bool is_certificate(const void *pem, size_t length)
{
    if (length > TAPSI_PEM_MAX)
        return false;
    const char *text = pem, *begin = find(text, length, CERTIFICATE_BEGIN);
    return begin && find(begin, length - (size_t)(begin - text), CERTIFICATE_END);
}

/* "-----BEGIN PRIVATE KEY-----", or with "EC", "RSA" in it. An encrypted one is refused: there is no way to give its
   password. */
static bool is_key(const void *pem, size_t length)
{
    static const char begin_marker[] = "-----BEGIN ", end_marker[] = "PRIVATE KEY-----";
    if (length > TAPSI_PEM_MAX || find(pem, length, "-----BEGIN ENCRYPTED PRIVATE KEY-----"))
        return false;
    const char *text = pem, *end = text + length;
    while ((text = find(text, (size_t)(end - text), begin_marker))) {
        text += strlen(begin_marker);
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        if (line_end && find(text, (size_t)(line_end - text), end_marker))
            return find(line_end, (size_t)(end - line_end), end_marker) != NULL;
    }
    return false;
}

int tapsi_security_add_authority(struct tapsi_security *s, const void *pem, size_t length)
{
    if (!is_certificate(pem, length))
        return TAPS_E_RANGE;
    return tapsi_bytes_append(s->mem, s->authorities, &s->authority_count, pem, length);
}

int tapsi_security_add_pin(struct tapsi_security *s, const void *pem, size_t length)
{
    if (!is_certificate(pem, length))
        return TAPS_E_RANGE;
    return tapsi_bytes_append(s->mem, s->pins, &s->pin_count, pem, length);
}

/* Only to be copied. */
static struct tapsi_bytes borrow(const void *data, size_t length)
{
    return (struct tapsi_bytes){(uint8_t *)(uintptr_t)data, length};
}

static int add_certificate(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count,
                           const void *certificate, size_t certificate_length, const void *key, size_t key_length)
{
    if (!is_certificate(certificate, certificate_length) || !is_key(key, key_length))
        return TAPS_E_RANGE;
    const struct tapsi_certificate next = {.chain = borrow(certificate, certificate_length),
                                           .key = borrow(key, key_length)};
    return tapsi_certificates_append(mem, list, count, &next);
}

int tapsi_security_add_server(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length)
{
    return add_certificate(s->mem, s->server, &s->server_count, certificate, certificate_length, key, key_length);
}

int tapsi_security_add_client(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length)
{
    return add_certificate(s->mem, s->client, &s->client_count, certificate, certificate_length, key, key_length);
}
