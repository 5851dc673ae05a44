/* Certificates and keys, looked at for the markers of PEM only: whoever uses them parses them. */
#include <string.h>
#include "select/security_lists.h"

#define CERTIFICATE_BEGIN "-----BEGIN CERTIFICATE-----"
#define CERTIFICATE_END   "-----END CERTIFICATE-----"
#define URI_MAX           4096

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

/* In hardware, by RFC 7512. */
static bool is_uri(const void *text, size_t length)
{
    return length > 7 && length <= URI_MAX && memcmp(text, "pkcs11:", 7) == 0 && !memchr(text, 0, length);
}

/* "-----BEGIN PRIVATE KEY-----", or with "EC", "RSA" in it. An encrypted one is refused where there is no password. */
static bool is_key(const void *pem, size_t length, bool has_password)
{
    static const char begin_marker[] = "-----BEGIN ", end_marker[] = "PRIVATE KEY-----";
    if (length > TAPSI_PEM_MAX || (!has_password && find(pem, length, "-----BEGIN ENCRYPTED PRIVATE KEY-----")))
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

static int add_certificate(struct tapsi_security *s, bool server, const void *certificate, size_t certificate_length,
                           const void *key, size_t key_length)
{
    if (!is_uri(certificate, certificate_length) && !is_certificate(certificate, certificate_length))
        return TAPS_E_RANGE;
    if (!is_uri(key, key_length) && !is_key(key, key_length, s->password.data))
        return TAPS_E_RANGE;
    const struct tapsi_certificate next = {
        .chain = borrow(certificate, certificate_length), .key = borrow(key, key_length), .password = s->password};
    return tapsi_certificates_append(s->mem, server ? s->server : s->client,
                                     server ? &s->server_count : &s->client_count, &next);
}

int tapsi_security_add_server(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length)
{
    return add_certificate(s, true, certificate, certificate_length, key, key_length);
}

int tapsi_security_add_client(struct tapsi_security *s, const void *certificate, size_t certificate_length,
                              const void *key, size_t key_length)
{
    return add_certificate(s, false, certificate, certificate_length, key, key_length);
}

static int add_signer(struct tapsi_security *s, bool server, const void *certificate, size_t length,
                      const struct tapsi_certificate *how)
{
    if (!is_uri(certificate, length) && !is_certificate(certificate, length))
        return TAPS_E_RANGE;
    struct tapsi_certificate next = *how;
    next.chain = borrow(certificate, length);
    return tapsi_certificates_append(s->mem, server ? s->server : s->client,
                                     server ? &s->server_count : &s->client_count, &next);
}

int tapsi_security_add_signer(struct tapsi_security *s, bool server, const void *certificate, size_t length,
                              taps_sign_fn sign, void *user)
{
    const struct tapsi_certificate how = {.sign = sign, .sign_user = user};
    return add_signer(s, server, certificate, length, &how);
}

int tapsi_security_add_slow_signer(struct tapsi_security *s, bool server, const void *certificate, size_t length,
                                   taps_sign_fn sign, void *user)
{
    const struct tapsi_certificate how = {.sign = sign, .sign_user = user, .slow = true};
    return add_signer(s, server, certificate, length, &how);
}

int tapsi_security_set_password(struct tapsi_security *s, const char *password)
{
    struct tapsi_bytes copy = {0};
    size_t length = password ? strnlen(password, TAPSI_PASSWORD_MAX + 1) : 0;
    if (length > TAPSI_PASSWORD_MAX)
        return TAPS_E_RANGE;
    int err = password ? tapsi_bytes_copy(s->mem, password, length, &copy) : 0;
    if (err)
        return err;
    tapsi_bytes_free(s->mem, &s->password);
    s->password = copy;
    return 0;
}

/* DER, of some length: it is read when it is to be shown. */
int tapsi_security_add_staple(struct tapsi_security *s, const void *response, size_t length)
{
    const uint8_t *der = response;
    if (length < 2 || length > TAPSI_PEM_MAX || der[0] != 0x30)
        return TAPS_E_RANGE;
    return tapsi_bytes_append(s->mem, s->staples, &s->staple_count, response, length);
}
