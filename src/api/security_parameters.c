#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "select/security.h"
#include "select/tls_names.h"

#define FILE_STEP 4096

static int new_parameters(enum taps_security_mode mode, taps_security_parameters **ret_parameters)
{
    if (!ret_parameters)
        return TAPS_E_ARGUMENT;
    struct tapsi_security *s = tapsi_security_new(tapsi_mem_default(), mode);
    if (!s)
        return TAPS_E_MEMORY;
    *ret_parameters = tapsi_security_public(s);
    return 0;
}

int taps_security_parameters_new(taps_security_parameters **ret_parameters)
{
    return new_parameters(TAPS_SECURITY_REQUIRED, ret_parameters);
}

int taps_security_parameters_new_disabled(taps_security_parameters **ret_parameters)
{
    return new_parameters(TAPS_SECURITY_DISABLED, ret_parameters);
}

int taps_security_parameters_new_opportunistic(taps_security_parameters **ret_parameters)
{
    return new_parameters(TAPS_SECURITY_OPPORTUNISTIC, ret_parameters);
}

int taps_security_parameters_copy(const taps_security_parameters *parameters, taps_security_parameters **ret_parameters)
{
    if (!parameters || !ret_parameters)
        return TAPS_E_ARGUMENT;
    struct tapsi_security *copy = tapsi_security_copy(tapsi_security_of_const(parameters), tapsi_mem_default());
    if (!copy)
        return TAPS_E_MEMORY;
    *ret_parameters = tapsi_security_public(copy);
    return 0;
}

void taps_security_parameters_free(taps_security_parameters *parameters)
{
    tapsi_security_unref(tapsi_security_of(parameters));
}

/* No parameters at all are the secure defaults, everywhere in the library. */
enum taps_security_mode taps_security_parameters_mode(const taps_security_parameters *parameters)
{
    return parameters ? tapsi_security_of_const(parameters)->mode : TAPS_SECURITY_REQUIRED;
}

/* ---------------------------------------------------------------------------------------------------- files */

/* It may hold a private key, so it is wiped. */
static void free_file(struct tapsi_bytes *bytes)
{
    if (bytes->data)
        explicit_bzero(bytes->data, bytes->length);
    tapsi_free(tapsi_mem_default(), bytes->data);
    *bytes = (struct tapsi_bytes){0};
}

/* Room for `size` bytes, and the old ones wiped, which a plain resize would leave behind. */
static int grow_file(struct tapsi_bytes *bytes, size_t size)
{
    struct tapsi_bytes next = {tapsi_alloc(tapsi_mem_default(), size), bytes->length};
    if (!next.data)
        return TAPS_E_MEMORY;
    if (bytes->length)
        memcpy(next.data, bytes->data, bytes->length);
    free_file(bytes);
    *bytes = next;
    return 0;
}

/* Reads to the end or to one byte beyond the cap: sizes of pipes and devices are not known before. */
static int read_stream(FILE *file, struct tapsi_bytes *bytes)
{
    size_t capacity = 0, count;
    do {
        if (bytes->length == capacity) {
            capacity = capacity ? 2 * capacity : FILE_STEP;
            int err = grow_file(bytes, capacity);
            if (err)
                return err;
        }
        count = fread(bytes->data + bytes->length, 1, capacity - bytes->length, file);
        bytes->length += count;
    } while (count && bytes->length <= TAPSI_PEM_MAX);
    if (ferror(file))
        return TAPS_E_SYSTEM;
    return bytes->length > TAPSI_PEM_MAX ? TAPS_E_RANGE : 0;
}

static int read_file(const char *path, struct tapsi_bytes *ret)
{
    struct tapsi_bytes bytes = {0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return TAPS_E_SYSTEM;
    setvbuf(file, NULL, _IONBF, 0); /* no second copy of a key in a buffer of stdio's */
    int err = read_stream(file, &bytes);
    fclose(file);
    if (err)
        free_file(&bytes);
    else
        *ret = bytes;
    return err;
}

typedef int (*add_pem)(struct tapsi_security *s, const void *pem, size_t length);
typedef int (*add_pair)(struct tapsi_security *s, const void *certificate, size_t certificate_length, const void *key,
                        size_t key_length);

static int add_file(struct tapsi_security *s, const char *path, add_pem add)
{
    struct tapsi_bytes pem;
    int err = read_file(path, &pem);
    if (err)
        return err;
    err = add(s, pem.data, pem.length);
    free_file(&pem);
    return err;
}

static int add_files(struct tapsi_security *s, const char *certificate_path, const char *key_path, add_pair add)
{
    struct tapsi_bytes certificate, key;
    int err = read_file(certificate_path, &certificate);
    if (err)
        return err;
    err = read_file(key_path, &key);
    if (!err) {
        err = add(s, certificate.data, certificate.length, key.data, key.length);
        free_file(&key);
    }
    free_file(&certificate);
    return err;
}

int taps_security_parameters_add_ca_file(taps_security_parameters *parameters, const char *path)
{
    if (!parameters || !path)
        return TAPS_E_ARGUMENT;
    return add_file(tapsi_security_of(parameters), path, tapsi_security_add_authority);
}

int taps_security_parameters_add_ca_pem(taps_security_parameters *parameters, const void *pem, size_t length)
{
    if (!parameters || !pem)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_authority(tapsi_security_of(parameters), pem, length);
}

int taps_security_parameters_pin_server_certificate(taps_security_parameters *parameters, const void *pem,
                                                    size_t length)
{
    if (!parameters || !pem)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_pin(tapsi_security_of(parameters), pem, length);
}

int taps_security_parameters_add_server_certificate(taps_security_parameters *parameters, const char *certificate_path,
                                                    const char *key_path)
{
    if (!parameters || !certificate_path || !key_path)
        return TAPS_E_ARGUMENT;
    return add_files(tapsi_security_of(parameters), certificate_path, key_path, tapsi_security_add_server);
}

int taps_security_parameters_add_server_certificate_pem(taps_security_parameters *parameters, const void *certificate,
                                                        size_t certificate_length, const void *key, size_t key_length)
{
    if (!parameters || !certificate || !key)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_server(tapsi_security_of(parameters), certificate, certificate_length, key, key_length);
}

int taps_security_parameters_add_client_certificate(taps_security_parameters *parameters, const char *certificate_path,
                                                    const char *key_path)
{
    if (!parameters || !certificate_path || !key_path)
        return TAPS_E_ARGUMENT;
    return add_files(tapsi_security_of(parameters), certificate_path, key_path, tapsi_security_add_client);
}

int taps_security_parameters_add_client_certificate_pem(taps_security_parameters *parameters, const void *certificate,
                                                        size_t certificate_length, const void *key, size_t key_length)
{
    if (!parameters || !certificate || !key)
        return TAPS_E_ARGUMENT;
    return tapsi_security_add_client(tapsi_security_of(parameters), certificate, certificate_length, key, key_length);
}

/* ---------------------------------------------------------------------------------------------------- names */

int taps_security_parameters_add_alpn(taps_security_parameters *parameters, const char *protocol)
{
    return parameters && protocol ? tapsi_security_add_alpn(tapsi_security_of(parameters), protocol) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_allow_protocol(taps_security_parameters *parameters, enum taps_security_protocol protocol)
{
    return parameters ? tapsi_security_allow(tapsi_security_of(parameters), protocol) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_set_minimum_version(taps_security_parameters *parameters,
                                                 enum taps_security_protocol protocol)
{
    return parameters ? tapsi_security_set_minimum(tapsi_security_of(parameters), protocol) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_set_server_name(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_set_server_name(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_require_client_certificate(taps_security_parameters *parameters, bool required)
{
    if (!parameters)
        return TAPS_E_ARGUMENT;
    tapsi_security_of(parameters)->require_client_certificate = required;
    return 0;
}

int taps_security_parameters_add_group(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_add_group(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_ciphersuite(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_add_ciphersuite(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

int taps_security_parameters_add_signature_algorithm(taps_security_parameters *parameters, const char *name)
{
    return parameters && name ? tapsi_security_add_signature(tapsi_security_of(parameters), name) : TAPS_E_ARGUMENT;
}

/* ------------------------------------------------------------------------------------------ by name and text */

#define ITEMS_MAX (2 * TAPSI_SECURITY_LIST_MAX) /* certificates come with a key each */

/* A comma-separated list, cut up in a copy of its text. */
struct items {
    char *text;
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

static int split(const char *text, struct items *items)
{
    items->count = 0;
    items->text = tapsi_strdup(tapsi_mem_default(), text);
    if (!items->text)
        return TAPS_E_MEMORY;
    for (char *rest = items->text, *item; (item = strsep(&rest, ","));) {
        item = trim(item);
        if (!*item || items->count == ITEMS_MAX) {
            tapsi_free(tapsi_mem_default(), items->text);
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
    return add_file(s, item, tapsi_security_add_pin);
}

/* The parameters of RFC 9622, 6.3: what an item is, or a pair of items (a certificate's file and its key's). */
static const struct {
    const char *name;
    enum tapsi_security_list list;
    int (*add)(struct tapsi_security *s, const char *item);
    add_pair add_pair;
} parameter_table[] = {
    {"allowedSecurityProtocols", TAPSI_SECURITY_ALLOWED, add_version, NULL},
    {"serverCertificate", TAPSI_SECURITY_SERVER, NULL, tapsi_security_add_server},
    {"clientCertificate", TAPSI_SECURITY_CLIENT, NULL, tapsi_security_add_client},
    {"pinnedServerCertificate", TAPSI_SECURITY_PINS, add_pin_file, NULL},
    {"alpn", TAPSI_SECURITY_ALPN, tapsi_security_add_alpn, NULL},
    {"supportedGroup", TAPSI_SECURITY_GROUPS, tapsi_security_add_group, NULL},
    {"ciphersuite", TAPSI_SECURITY_CIPHERSUITES, tapsi_security_add_ciphersuite, NULL},
    {"signatureAlgorithm", TAPSI_SECURITY_SIGNATURES, tapsi_security_add_signature, NULL},
};

#define PARAMETERS (sizeof(parameter_table) / sizeof(parameter_table[0]))

static int replace(struct tapsi_security *s, size_t parameter, const struct items *items)
{
    int err = 0;
    tapsi_security_clear(s, parameter_table[parameter].list);
    if (parameter_table[parameter].add) {
        for (size_t i = 0; i < items->count && !err; i++)
            err = parameter_table[parameter].add(s, items->items[i]);
        return err;
    }
    if (items->count % 2)
        return TAPS_E_RANGE;
    for (size_t i = 0; i < items->count && !err; i += 2)
        err = add_files(s, items->items[i], items->items[i + 1], parameter_table[parameter].add_pair);
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
    tapsi_free(tapsi_mem_default(), items.text);
    return err;
}
