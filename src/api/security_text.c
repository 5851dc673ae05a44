/* Security parameters by the name that RFC 9622, 6.3 gives them, and text. */
#include <string.h>
#include "api/security_file.h"
#include "base/str.h"
#include "select/tls_names.h"

#define ITEMS_MAX (2 * TAPSI_SECURITY_LIST_MAX) /* certificates come with a key each */

/* A comma-separated list, cut up in a copy of its text. */
struct items {
    char *text;
    size_t length;
    char *items[ITEMS_MAX];
    size_t count;
};

static char *trim(char *text)
{
    text += strspn(text, " ");
    size_t length = strlen(text);
    while (length && text[length - 1] == ' ')
        text[--length] = '\0';
    return text;
}

/* It may hold a pre-shared key, so it is wiped. */
static void forget(struct items *items)
{
    explicit_bzero(items->text, items->length);
    tapsi_free(tapsi_mem_default(), items->text);
}

static int split(const char *text, struct items *items)
{
    items->count = 0;
    items->length = strlen(text);
    items->text = tapsi_strdup(tapsi_mem_default(), text);
    if (!items->text)
        return TAPS_E_MEMORY;
    for (char *rest = items->text, *item; (item = strsep(&rest, ","));) {
        item = trim(item);
        if (!*item || items->count == ITEMS_MAX) {
            forget(items);
            return TAPS_E_RANGE;
        }
        items->items[items->count++] = item;
    }
    return 0;
}

static int add_version(struct tapsi_security *s, const char *item)
{
    return tapsi_security_allow(s, tapsi_tls_version(item)); /* 0, which is none, is refused there */
}

static int add_pin_file(struct tapsi_security *s, const char *item)
{
    if (strncmp(item, "sha256//", 8) == 0)
        return tapsi_security_add_key_pin_text(s, item);
    return tapsi_security_add_file(s, item, tapsi_security_add_pin);
}

static int set_max_cached(struct tapsi_security *s, const char *item)
{
    uint64_t count;
    int err = tapsi_parse_uint(item, UINT64_MAX, &count);
    return err ? err : tapsi_security_set_max_cached(s, count);
}

static int set_cached_lifetime(struct tapsi_security *s, const char *item)
{
    uint64_t seconds;
    int err = tapsi_parse_uint(item, UINT64_MAX, &seconds);
    return err ? err : tapsi_security_set_cached_lifetime(s, seconds);
}

/* The parameters of RFC 9622, 6.3: what an item is, or a pair of items (a certificate's file and its key's). */
static const struct {
    const char *name;
    enum tapsi_security_list list;
    int (*add)(struct tapsi_security *s, const char *item);
    tapsi_add_pair add_pair;
    bool keys; /* pairs of an identity and a key */
} parameter_table[] = {
    {"allowedSecurityProtocols", TAPSI_SECURITY_ALLOWED, add_version, NULL, false},
    {"serverCertificate", TAPSI_SECURITY_SERVER, NULL, tapsi_security_add_server, false},
    {"clientCertificate", TAPSI_SECURITY_CLIENT, NULL, tapsi_security_add_client, false},
    {"pinnedServerCertificate", TAPSI_SECURITY_PINS, add_pin_file, NULL, false},
    {"preSharedKey", TAPSI_SECURITY_PSKS, NULL, NULL, true},
    {"alpn", TAPSI_SECURITY_ALPN, tapsi_security_add_alpn, NULL, false},
    {"supportedGroup", TAPSI_SECURITY_GROUPS, tapsi_security_add_group, NULL, false},
    {"ciphersuite", TAPSI_SECURITY_CIPHERSUITES, tapsi_security_add_ciphersuite, NULL, false},
    {"signatureAlgorithm", TAPSI_SECURITY_SIGNATURES, tapsi_security_add_signature, NULL, false},
    {"maxCachedSessions", TAPSI_SECURITY_ONE, set_max_cached, NULL, false},
    {"cachedSessionLifetimeSeconds", TAPSI_SECURITY_ONE, set_cached_lifetime, NULL, false},
};

#define PARAMETERS (sizeof(parameter_table) / sizeof(parameter_table[0]))

static int replace(struct tapsi_security *s, size_t parameter, const struct items *items)
{
    int err = 0;
    tapsi_security_clear(s, parameter_table[parameter].list);
    if (parameter_table[parameter].list == TAPSI_SECURITY_ONE && items->count != 1)
        return TAPS_E_RANGE;
    if (parameter_table[parameter].add) {
        for (size_t i = 0; i < items->count && !err; i++)
            err = parameter_table[parameter].add(s, items->items[i]);
        return err;
    }
    if (items->count % 2)
        return TAPS_E_RANGE;
    for (size_t i = 0; i < items->count && !err && parameter_table[parameter].keys; i += 2)
        err = tapsi_security_add_psk_hex(s, items->items[i], items->items[i + 1]);
    for (size_t i = 0; i < items->count && !err && parameter_table[parameter].add_pair; i += 2)
        err = tapsi_security_add_files(s, items->items[i], items->items[i + 1], parameter_table[parameter].add_pair);
    return err;
}

int taps_security_parameters_set(taps_security_parameters *parameters, const char *name, const char *text)
{
    struct items items;
    size_t i = 0;
    if (!parameters || !name || !text)
        return TAPS_E_ARGUMENT;
    while (i < PARAMETERS && !tapsi_text_equal(name, parameter_table[i].name))
        i++;
    if (i == PARAMETERS)
        return TAPS_E_UNKNOWN_PROPERTY;
    int err = split(text, &items);
    if (err)
        return err;
    struct tapsi_security *s = tapsi_security_of(parameters), *next = tapsi_security_copy(s, s->mem);
    err = next ? replace(next, i, &items) : TAPS_E_MEMORY;
    if (!err)
        tapsi_security_swap(s, next);
    tapsi_security_unref(next);
    forget(&items);
    return err;
}
