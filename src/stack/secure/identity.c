/* Chains and keys are read here and not by GnuTLS's all-in-one calls: those leak a chain that they cannot read, know
 * the names of the DNS by their bytes alone, and do not find an Ed25519 key that belongs to another certificate. */
#include "stack/secure/identity.h"

#include <ctype.h>
#include <string.h>
#include "base/str.h"
#include "stack/secure/key.h"

#define NAMES_MAX 1000 /* of one certificate */

/* --------------------------------------------------------------------------------------------------- names */

bool tapsi_dns_names_have(const struct tapsi_dns_names *names, const char *name)
{
    const char *rest = strchr(name, '.');
    for (unsigned i = 0; i < names->count; i++) {
        const char *own = names->names[i];
        if (strcmp(own, name) == 0 || (rest && rest != name && own[0] == '*' && strcmp(own + 1, rest) == 0))
            return true;
    }
    return false;
}

void tapsi_dns_names_done(struct tapsi_dns_names *names, struct tapsi_mem *mem)
{
    for (unsigned i = 0; i < names->count; i++)
        tapsi_free(mem, names->names[i]);
    tapsi_free(mem, names->names);
    *names = (struct tapsi_dns_names){0};
}

static int add_name(struct tapsi_dns_names *names, struct tapsi_mem *mem, const char *name)
{
    if (names->count == NAMES_MAX)
        return 0; /* by those above the certificate is chosen all the same, and shown it is anyway where it is first */
    char **list = tapsi_resize(mem, names->names, (names->count + 1) * sizeof(*list));
    if (!list)
        return GNUTLS_E_MEMORY_ERROR;
    names->names = list;
    char *copy = tapsi_strdup(mem, name);
    if (!copy)
        return GNUTLS_E_MEMORY_ERROR;
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    list[names->count++] = copy;
    return 0;
}

/* What cannot be read in a name is the certificate's fault, and told now instead of to each peer. */
static int take_names(struct tapsi_identity *id, gnutls_x509_crt_t leaf)
{
    char name[256];
    size_t size = sizeof(name);
    int r = 0;
    for (unsigned i = 0; r >= 0 || r == GNUTLS_E_SHORT_MEMORY_BUFFER; i++) {
        size = sizeof(name) - 1;
        r = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &size, NULL);
        if (r != GNUTLS_SAN_DNSNAME)
            continue;
        name[size] = '\0';
        r = add_name(&id->names, id->mem, name);
    }
    if (r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return r;
    size = sizeof(name);
    if (id->names.count || gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) < 0)
        return 0;
    return add_name(&id->names, id->mem, name);
}

/* ------------------------------------------------------------------------------------------------------ all */

/* A token may ask for its PIN also to show a certificate. */
static int read_chain(const struct tapsi_certificate *certificate, gnutls_x509_crt_t **list, unsigned *count)
{
    gnutls_datum_t pem = {certificate->chain.data, (unsigned)certificate->chain.length};
    if (tapsi_key_is_uri(&certificate->chain))
        return gnutls_x509_crt_list_import_url(list, count, (const char *)pem.data, tapsi_key_pin,
                                               (void *)(uintptr_t)certificate, 0);
    return gnutls_x509_crt_list_import2(list, count, &pem, GNUTLS_X509_FMT_PEM, 0);
}

/* The list becomes the chain, with the peer's own first. */
static int take_chain(struct tapsi_identity *id, gnutls_x509_crt_t *list, unsigned count)
{
    if (count == 0 || count > TAPSI_CHAIN_MAX)
        return count ? GNUTLS_E_UNSUPPORTED_CERTIFICATE_TYPE : GNUTLS_E_NO_CERTIFICATE_FOUND;
    int r = gnutls_pcert_import_x509_list(id->chain, list, &count, GNUTLS_X509_CRT_LIST_SORT);
    if (r >= 0)
        id->count = count;
    return r;
}

int tapsi_identity_open(struct tapsi_identity *id, struct tapsi_mem *mem, const struct tapsi_certificate *certificate,
                        struct tapsi_detour **detour)
{
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    *id = (struct tapsi_identity){.mem = mem};
    int r = read_chain(certificate, &list, &count);
    if (r < 0)
        return r;
    r = take_chain(id, list, count);
    if (r >= 0)
        r = take_names(id, list[0]);
    if (r >= 0)
        r = tapsi_key_open(&id->key, certificate, list[0], detour);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    if (r < 0)
        tapsi_identity_done(id);
    return r < 0 ? r : 0;
}

int tapsi_identity_give(struct tapsi_identity *id, gnutls_certificate_credentials_t to)
{
    const char **names = (const char **)(uintptr_t)id->names.names;           /* GnuTLS copies them */
    gnutls_certificate_set_flags(to, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH); /* by signing: that has been looked at */
    int r = gnutls_certificate_set_key(to, names, (int)id->names.count, id->chain, (int)id->count, id->key);
    if (r < 0)
        return r;
    id->key = NULL;
    id->count = 0;
    return 0;
}

void tapsi_identity_done(struct tapsi_identity *id)
{
    for (unsigned i = 0; i < id->count; i++)
        gnutls_pcert_deinit(&id->chain[i]);
    if (id->key)
        gnutls_privkey_deinit(id->key);
    tapsi_dns_names_done(&id->names, id->mem);
    *id = (struct tapsi_identity){0};
}
