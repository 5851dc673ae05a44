#include "stack/secure/psk.h"

#include <string.h>
#include "stack/secure/handshake.h"

/* GnuTLS frees the key. The identity is the client's: it is compared, and no more. */
static int find_psk(gnutls_session_t session, const gnutls_datum_t *identity, gnutls_datum_t *key)
{
    struct tapsi_handshake *h = gnutls_session_get_ptr(session);
    const struct tapsi_security *s = h->security;
    for (size_t i = 0; i < s->psk_count; i++) {
        const struct tapsi_psk *psk = &s->psks[i];
        if (psk->identity.length != identity->size || memcmp(psk->identity.data, identity->data, identity->size) != 0)
            continue;
        key->data = gnutls_malloc(psk->key.length);
        if (!key->data)
            return GNUTLS_E_MEMORY_ERROR;
        memcpy(key->data, psk->key.data, psk->key.length);
        key->size = (unsigned)psk->key.length;
        return 0;
    }
    h->psk_unknown = true;
    return GNUTLS_E_UNKNOWN_SRP_USERNAME;
}

int tapsi_psk_make(struct tapsi_credentials *c, const struct tapsi_security *security, struct tapsi_error *ret_error)
{
    if (security->psk_count == 0)
        return 0;
    if (c->role == TAPSI_ROLE_SERVER) {
        if (gnutls_psk_allocate_server_credentials(&c->psk_server) < 0)
            return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a pre-shared key");
        gnutls_psk_set_server_credentials_function2(c->psk_server, find_psk);
        return 0;
    }
    const struct tapsi_psk *first = &security->psks[0];
    gnutls_datum_t identity = {first->identity.data, (unsigned)first->identity.length};
    gnutls_datum_t key = {first->key.data, (unsigned)first->key.length};
    if (gnutls_psk_allocate_client_credentials(&c->psk_client) < 0)
        return tapsi_error_set(ret_error, TAPS_E_MEMORY, "no memory for a pre-shared key");
    int r = gnutls_psk_set_client_credentials2(c->psk_client, &identity, &key, GNUTLS_PSK_KEY_RAW);
    return r < 0 ? tapsi_error_native(ret_error, TAPS_E_CONFIGURATION, TAPS_DOMAIN_TLS, r,
                                      "the pre-shared key cannot be used: %s", gnutls_strerror(r))
                 : 0;
}

void tapsi_psk_free(struct tapsi_credentials *c)
{
    if (c->psk_client)
        gnutls_psk_free_client_credentials(c->psk_client);
    if (c->psk_server)
        gnutls_psk_free_server_credentials(c->psk_server);
}

int tapsi_psk_use(const struct tapsi_credentials *c, gnutls_session_t session)
{
    int r = 0;
    if (c->psk_client)
        r = gnutls_credentials_set(session, GNUTLS_CRD_PSK, c->psk_client);
    if (r >= 0 && c->psk_server)
        r = gnutls_credentials_set(session, GNUTLS_CRD_PSK, c->psk_server);
    return r;
}

bool tapsi_psk_used(const struct tapsi_handshake *h)
{
    if (h->security->psk_count == 0 || gnutls_session_is_resumed(h->session))
        return false;
    gnutls_kx_algorithm_t exchange = gnutls_kx_get(h->session);
    return exchange == GNUTLS_KX_PSK || exchange == GNUTLS_KX_DHE_PSK || exchange == GNUTLS_KX_ECDHE_PSK;
}
