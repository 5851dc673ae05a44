#include "select/security.h"

#include <assert.h>
#include <string.h>
#include "base/str.h"
#include "select/security_lists.h"
#include "select/tls_names.h"

struct tapsi_security *tapsi_security_new(struct tapsi_mem *mem, enum taps_security_mode mode)
{
    struct tapsi_security *s = tapsi_zalloc(mem, sizeof(*s));
    if (!s)
        return NULL;
    s->mem = mem;
    s->refs = 1;
    s->mode = mode;
    s->max_cached_sessions = TAPSI_CACHED_SESSIONS;
    s->cached_session_lifetime_seconds = TAPSI_CACHED_SESSION_SECONDS;
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
    tapsi_bytes_free_list(s->mem, s->authorities, &s->authority_count);
    tapsi_bytes_free_list(s->mem, s->pins, &s->pin_count);
    tapsi_bytes_free_list(s->mem, s->key_pins, &s->key_pin_count);
    tapsi_bytes_free_list(s->mem, s->staples, &s->staple_count);
    tapsi_psks_free(s->mem, s->psks, &s->psk_count);
    tapsi_certificates_free(s->mem, s->server, &s->server_count);
    tapsi_certificates_free(s->mem, s->client, &s->client_count);
    tapsi_names_free(s->mem, &s->alpn);
    tapsi_names_free(s->mem, &s->groups);
    tapsi_names_free(s->mem, &s->ciphersuites);
    tapsi_names_free(s->mem, &s->signatures);
    tapsi_bytes_free(s->mem, &s->password);
    tapsi_free(s->mem, s->key_log);
    tapsi_free(s->mem, s->server_name);
    tapsi_free(s->mem, s);
}

/* -------------------------------------------------------------------------------------------------- copying */

static int copy_secrets(struct tapsi_security *copy, const struct tapsi_security *s)
{
    struct tapsi_mem *mem = copy->mem;
    return tapsi_bytes_copy_list(mem, copy->authorities, &copy->authority_count, s->authorities, s->authority_count) ||
           tapsi_bytes_copy_list(mem, copy->pins, &copy->pin_count, s->pins, s->pin_count) ||
           tapsi_bytes_copy_list(mem, copy->key_pins, &copy->key_pin_count, s->key_pins, s->key_pin_count) ||
           tapsi_bytes_copy_list(mem, copy->staples, &copy->staple_count, s->staples, s->staple_count) ||
           tapsi_psks_copy(mem, copy->psks, &copy->psk_count, s->psks, s->psk_count) ||
           tapsi_certificates_copy(mem, copy->server, &copy->server_count, s->server, s->server_count) ||
           tapsi_certificates_copy(mem, copy->client, &copy->client_count, s->client, s->client_count) ||
           tapsi_security_set_password(copy, (const char *)s->password.data);
}

static int copy_all_names(struct tapsi_security *copy, const struct tapsi_security *s)
{
    struct tapsi_mem *mem = copy->mem;
    if (tapsi_names_copy(mem, &copy->alpn, &s->alpn) || tapsi_names_copy(mem, &copy->groups, &s->groups) ||
        tapsi_names_copy(mem, &copy->ciphersuites, &s->ciphersuites) ||
        tapsi_names_copy(mem, &copy->signatures, &s->signatures))
        return TAPS_E_MEMORY;
    if (s->server_name && !(copy->server_name = tapsi_strdup(mem, s->server_name)))
        return TAPS_E_MEMORY;
    return tapsi_security_set_key_log(copy, s->key_log);
}

struct tapsi_security *tapsi_security_copy(const struct tapsi_security *s, struct tapsi_mem *mem)
{
    struct tapsi_security *copy = tapsi_security_new(mem, s->mode);
    if (!copy)
        return NULL;
    copy->allowed = s->allowed;
    copy->allowed_set = s->allowed_set;
    copy->minimum_version = s->minimum_version;
    copy->max_cached_sessions = s->max_cached_sessions;
    copy->cached_session_lifetime_seconds = s->cached_session_lifetime_seconds;
    copy->require_client_certificate = s->require_client_certificate;
    copy->trust = s->trust;
    copy->trust_user = s->trust_user;
    if (copy_secrets(copy, s) || copy_all_names(copy, s))
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

/* ---------------------------------------------------------------------------------------------------- names */

int tapsi_security_add_alpn(struct tapsi_security *s, const char *protocol)
{
    size_t length = strnlen(protocol, 256);
    if (length == 0 || length > 255)
        return TAPS_E_RANGE;
    return tapsi_names_append(s->mem, &s->alpn, protocol);
}

static int add_token(struct tapsi_mem *mem, struct tapsi_names *names, const char *token)
{
    return token ? tapsi_names_append(mem, names, token) : TAPS_E_RANGE;
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

int tapsi_security_set_max_cached(struct tapsi_security *s, uint64_t count)
{
    if (count > TAPSI_CACHED_SESSIONS_MAX)
        return TAPS_E_RANGE;
    s->max_cached_sessions = (uint32_t)count;
    return 0;
}

int tapsi_security_set_cached_lifetime(struct tapsi_security *s, uint64_t seconds)
{
    if (seconds > TAPSI_CACHED_SESSION_SECONDS_MAX)
        return TAPS_E_RANGE;
    s->cached_session_lifetime_seconds = (uint32_t)seconds;
    return 0;
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

int tapsi_security_set_key_log(struct tapsi_security *s, const char *path)
{
    char *copy = path ? tapsi_strdup(s->mem, path) : NULL;
    if (path && !*path) {
        tapsi_free(s->mem, copy);
        return TAPS_E_RANGE;
    }
    if (path && !copy)
        return TAPS_E_MEMORY;
    tapsi_free(s->mem, s->key_log);
    s->key_log = copy;
    return 0;
}

bool tapsi_security_can_serve(const struct tapsi_security *s)
{
    return s->server_count || s->psk_count;
}

void tapsi_security_clear(struct tapsi_security *s, enum tapsi_security_list list)
{
    switch (list) {
    case TAPSI_SECURITY_ONE:
        break;
    case TAPSI_SECURITY_ALLOWED:
        s->allowed_set = false; /* the next one allowed replaces what is there */
        break;
    case TAPSI_SECURITY_SERVER:
        tapsi_certificates_free(s->mem, s->server, &s->server_count);
        break;
    case TAPSI_SECURITY_CLIENT:
        tapsi_certificates_free(s->mem, s->client, &s->client_count);
        break;
    case TAPSI_SECURITY_PINS:
        tapsi_bytes_free_list(s->mem, s->pins, &s->pin_count);
        tapsi_bytes_free_list(s->mem, s->key_pins, &s->key_pin_count);
        break;
    case TAPSI_SECURITY_PSKS:
        tapsi_psks_free(s->mem, s->psks, &s->psk_count);
        break;
    case TAPSI_SECURITY_ALPN:
        tapsi_names_free(s->mem, &s->alpn);
        break;
    case TAPSI_SECURITY_GROUPS:
        tapsi_names_free(s->mem, &s->groups);
        break;
    case TAPSI_SECURITY_CIPHERSUITES:
        tapsi_names_free(s->mem, &s->ciphersuites);
        break;
    case TAPSI_SECURITY_SIGNATURES:
        tapsi_names_free(s->mem, &s->signatures);
        break;
    }
}
