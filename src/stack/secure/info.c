#include "stack/secure/info.h"

void tapsi_handshake_tell(const struct tapsi_handshake *h, struct taps_security_info *ret)
{
    gnutls_session_t s = h->session;
    gnutls_group_t group = gnutls_group_get(s);
    int signature = h->role == TAPSI_ROLE_CLIENT ? gnutls_sign_algorithm_get(s) : gnutls_sign_algorithm_get_client(s);
    *ret = (struct taps_security_info){
        .protocol = tapsi_handshake_version(h),
        .cipher = gnutls_cipher_get_name(gnutls_cipher_get(s)),
        .group = group ? gnutls_group_get_name(group) : NULL,
        .signature = signature ? gnutls_sign_get_name((gnutls_sign_algorithm_t)signature) : NULL,
        .authenticated = h->verified,
    };
    gnutls_certificate_get_peers(s, &ret->certificate_count);
}

const void *tapsi_handshake_certificate(const struct tapsi_handshake *h, unsigned index, size_t *ret_length)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(h->session, &count);
    if (!chain || index >= count)
        return NULL;
    *ret_length = chain[index].size;
    return chain[index].data;
}
