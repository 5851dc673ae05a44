#include "select/security.h"

#include <assert.h>
#include <string.h>
#include "base/str.h"
#include "select/tls_names.h"

#define CERTIFICATE_BEGIN "-----BEGIN CERTIFICATE-----"
#define CERTIFICATE_END   "-----END CERTIFICATE-----"

static void free_bytes(struct tapsi_mem *mem, struct tapsi_bytes *bytes)
{
    if (bytes->data)
        explicit_bzero(bytes->data, bytes->length);
    tapsi_free(mem, bytes->data);
    *bytes = (struct tapsi_bytes){0};
}

static int copy_bytes(struct tapsi_mem *mem, const void *from, size_t length, struct tapsi_bytes *ret)
{
    uint8_t *data = tapsi_alloc(mem, length + 1);
    if (!data)
        return TAPS_E_MEMORY;
    memcpy(data, from, length);
    data[length] = 0;
    *ret = (struct tapsi_bytes){data, length};
    return 0;
}

static void free_list(struct tapsi_mem *mem, struct tapsi_bytes *list, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        free_bytes(mem, &list[i]);
    *count = 0;
}

static void free_certificates(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        free_bytes(mem, &list[i].chain);
        free_bytes(mem, &list[i].key);
    }
    *count = 0;
}

static void free_names(struct tapsi_mem *mem, struct tapsi_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        tapsi_free(mem, names->names[i]);
    names->count = 0;
}

struct tapsi_security *tapsi_security_new(struct tapsi_mem *mem, enum taps_security_mode mode)
{
    struct tapsi_security *s = tapsi_zalloc(mem, sizeof(*s));
    if (!s)
        return NULL;
    s->mem = mem;
    s->refs = 1;
    s->mode = mode;
    s->allowed = 1U << TAPS_TLS_1_2 | 1U << TAPS_TLS_1_3 | 1U << TAPS_DTLS_1_2 | 1U << TAPS_QUIC_1;
    return s;
}

struct tapsi_security *tapsi_security_ref(struct tapsi_security *s)
{
    s->refs++;
    return s;
}

void tapsi_security_unref(struct tapsi_security *s)
{
    if (!s)
        return;
    assert(s->refs > 0);
    if (--s->refs > 0)
        return;
    for (int i = 0; i < 2; i++) {
        if (s->derived[i])
            s->derived_free[i](s->derived[i]);
    }
    free_list(s->mem, s->authorities, &s->authority_count);
    free_list(s->mem, s->pins, &s->pin_count);
    free_certificates(s->mem, s->server, &s->server_count);
    free_certificates(s->mem, s->client, &s->client_count);
    free_names(s->mem, &s->alpn);
    free_names(s->mem, &s->groups);
    free_names(s->mem, &s->ciphersuites);
    free_names(s->mem, &s->signatures);
    tapsi_free(s->mem, s->server_name);
    tapsi_free(s->mem, s);
}

/* ------------------------------------------------------------------------------------------------ appending */

static int append_bytes(struct tapsi_mem *mem, struct tapsi_bytes *list, size_t *count, const void *data, size_t length)
{
    if (*count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    int err = copy_bytes(mem, data, length, &list[*count]);
    if (!err)
        ++*count;
    return err;
}

static int append_certificate(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count, const void *chain,
                              size_t chain_length, const void *key, size_t key_length)
{
    struct tapsi_certificate next = {{0}, {0}};
    if (*count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    int err = copy_bytes(mem, chain, chain_length, &next.chain);
    if (!err)
        err = copy_bytes(mem, key, key_length, &next.key);
    if (err)
        free_bytes(mem, &next.chain);
    else
        list[(*count)++] = next;
    return err;
}

static int append_name(struct tapsi_mem *mem, struct tapsi_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0)
            return 0;
    }
    if (names->count == TAPSI_SECURITY_LIST_MAX)
        return TAPS_E_RANGE;
    char *copy = tapsi_strdup(mem, name);
    if (!copy)
        return TAPS_E_MEMORY;
    names->names[names->count++] = copy;
    return 0;
}

/* -------------------------------------------------------------------------------------------------- copying */

static int copy_list(struct tapsi_mem *mem, struct tapsi_bytes *to, size_t *to_count, const struct tapsi_bytes *from,
                     size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = append_bytes(mem, to, to_count, from[i].data, from[i].length);
    return err;
}

static int copy_certificates(struct tapsi_mem *mem, struct tapsi_certificate *to, size_t *to_count,
                             const struct tapsi_certificate *from, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = append_certificate(mem, to, to_count, from[i].chain.data, from[i].chain.length, from[i].key.data,
                                 from[i].key.length);
    return err;
}

static int copy_names(struct tapsi_mem *mem, struct tapsi_names *to, const struct tapsi_names *from)
{
    int err = 0;
    for (size_t i = 0; i < from->count && !err; i++)
        err = append_name(mem, to, from->names[i]);
    return err;
}

struct tapsi_security *tapsi_security_copy(const struct tapsi_security *s, struct tapsi_mem *mem)
{
    struct tapsi_security *copy = tapsi_security_new(mem, s->mode);
    if (!copy)
        return NULL;
    copy->allowed = s->allowed;
    copy->allowed_set = s->allowed_set;
    copy->minimum_version = s->minimum_version;
    copy->require_client_certificate = s->require_client_certificate;
    if (copy_list(mem, copy->authorities, &copy->authority_count, s->authorities, s->authority_count) ||
        copy_list(mem, copy->pins, &copy->pin_count, s->pins, s->pin_count) ||
        copy_certificates(mem, copy->server, &copy->server_count, s->server, s->server_count) ||
        copy_certificates(mem, copy->client, &copy->client_count, s->client, s->client_count) ||
        copy_names(mem, &copy->alpn, &s->alpn) || copy_names(mem, &copy->groups, &s->groups) ||
        copy_names(mem, &copy->ciphersuites, &s->ciphersuites) || copy_names(mem, &copy->signatures, &s->signatures))
        goto fail;
    if (s->server_name && !(copy->server_name = tapsi_strdup(mem, s->server_name)))
        goto fail;
    return copy;
fail:
    tapsi_security_unref(copy);
    return NULL;
}

void tapsi_security_swap(struct tapsi_security *s, struct tapsi_security *from)
{
    assert(s->mem == from->mem && s->refs == 1 && from->refs == 1);
    struct tapsi_security contents = *s;
    *s = *from;
    *from = contents;
}

/* ------------------------------------------------------------------------------------------------- versions */

unsigned tapsi_security_versions(const struct tapsi_security *s)
{
    unsigned below = s->minimum_version == TAPS_TLS_1_3 ? 1U << TAPS_TLS_1_2 | 1U << TAPS_DTLS_1_2 : 0;
    return s->allowed & ~below;
}

static bool is_tls(enum taps_security_protocol protocol)
{
    return protocol == TAPS_TLS_1_2 || protocol == TAPS_TLS_1_3;
}

int tapsi_security_allow(struct tapsi_security *s, enum taps_security_protocol protocol)
{
    if (!is_tls(protocol) && protocol != TAPS_DTLS_1_2 && protocol != TAPS_QUIC_1)
        return TAPS_E_RANGE;
    if (!s->allowed_set)
        s->allowed = 0;
    s->allowed_set = true;
    s->allowed |= 1U << protocol;
    return 0;
}

int tapsi_security_set_minimum(struct tapsi_security *s, enum taps_security_protocol protocol)
{
    if (!is_tls(protocol))
        return TAPS_E_RANGE;
    s->minimum_version = protocol;
    return 0;
}

/* ---------------------------------------------------------------------------------------------- PEM, markers */

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
    return append_bytes(s->mem, s->authorities, &s->authority_count, pem, length);
}

int tapsi_security_add_pin(struct tapsi_security *s, const void *pem, size_t length)
{
    if (!is_certificate(pem, length))
        return TAPS_E_RANGE;
    return append_bytes(s->mem, s->pins, &s->pin_count, pem, length);
}

static int add_certificate(struct tapsi_mem *mem, struct tapsi_certificate *list, size_t *count,
                           const void *certificate, size_t certificate_length, const void *key, size_t key_length)
{
    if (!is_certificate(certificate, certificate_length) || !is_key(key, key_length))
        return TAPS_E_RANGE;
    return append_certificate(mem, list, count, certificate, certificate_length, key, key_length);
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

/* ---------------------------------------------------------------------------------------------------- names */

int tapsi_security_add_alpn(struct tapsi_security *s, const char *protocol)
{
    size_t length = strnlen(protocol, 256);
    if (length == 0 || length > 255)
        return TAPS_E_RANGE;
    return append_name(s->mem, &s->alpn, protocol);
}

static int add_token(struct tapsi_mem *mem, struct tapsi_names *names, const char *token)
{
    return token ? append_name(mem, names, token) : TAPS_E_RANGE;
}

int tapsi_security_add_group(struct tapsi_security *s, const char *name)
{
    return add_token(s->mem, &s->groups, tapsi_tls_group(name));
}

int tapsi_security_add_ciphersuite(struct tapsi_security *s, const char *name)
{
    return add_token(s->mem, &s->ciphersuites, tapsi_tls_cipher(name));
}

int tapsi_security_add_signature(struct tapsi_security *s, const char *name)
{
    return add_token(s->mem, &s->signatures, tapsi_tls_signature(name));
}

/* What SNI and a certificate can hold: printable ASCII without spaces. */
static bool is_server_name(const char *name)
{
    size_t length = strnlen(name, 254);
    if (length == 0 || length > 253)
        return false;
    for (; *name; name++) {
        if (*name <= ' ' || *name >= 127)
            return false;
    }
    return true;
}

int tapsi_security_set_server_name(struct tapsi_security *s, const char *name)
{
    if (!is_server_name(name))
        return TAPS_E_RANGE;
    char *copy = tapsi_strdup(s->mem, name);
    if (!copy)
        return TAPS_E_MEMORY;
    tapsi_free(s->mem, s->server_name);
    s->server_name = copy;
    return 0;
}

void tapsi_security_clear(struct tapsi_security *s, enum tapsi_security_list list)
{
    switch (list) {
    case TAPSI_SECURITY_ALLOWED:
        s->allowed_set = false; /* the next one allowed replaces what is there */
        break;
    case TAPSI_SECURITY_SERVER:
        free_certificates(s->mem, s->server, &s->server_count);
        break;
    case TAPSI_SECURITY_CLIENT:
        free_certificates(s->mem, s->client, &s->client_count);
        break;
    case TAPSI_SECURITY_PINS:
        free_list(s->mem, s->pins, &s->pin_count);
        break;
    case TAPSI_SECURITY_ALPN:
        free_names(s->mem, &s->alpn);
        break;
    case TAPSI_SECURITY_GROUPS:
        free_names(s->mem, &s->groups);
        break;
    case TAPSI_SECURITY_CIPHERSUITES:
        free_names(s->mem, &s->ciphersuites);
        break;
    case TAPSI_SECURITY_SIGNATURES:
        free_names(s->mem, &s->signatures);
        break;
    }
}
