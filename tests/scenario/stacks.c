#include "stacks.h"

#include <string.h>

const struct stacks_row stacks_rows[STACKS] = {
    {"tcp", NULL, NULL, false},
    {"tls/tcp", "tls1.3", NULL, false},
    {"udp", NULL, NULL, true},
    {"dtls/udp", "dtls1.2", NULL, true},
    {"quic", "quic1", "taps-test", false},
    {"quic-datagram", "quic1", "taps-test", true},
};

static void secure(taps_security_parameters *s, const struct stacks_row *row)
{
    CHECK_INT(taps_security_parameters_set(s, "allowedSecurityProtocols", row->security), 0);
    if (row->alpn)
        CHECK_INT(taps_security_parameters_add_alpn(s, row->alpn), 0);
}

void stacks_begin(struct world *w, struct peer *p, const struct stacks_row *row, const char *property,
                  const char *value)
{
    struct tapsi_test_identity identity = peer_certificate(STACKS_NAME, NULL, NULL);
    world_new(w);
    if (row->datagrams) {
        taps_transport_properties_free(w->properties);
        CHECK_INT(taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &w->properties), 0);
    }
    if (property)
        CHECK_INT(taps_transport_properties_set(w->properties, property, value), 0);
    tapsi_sim_dns_answer(w->dns, STACKS_NAME, "A", "192.0.2.1", 0);
    peer_new(w, w->server, p);
    if (row->security) {
        world_secure(w);
        secure(w->security, row);
        peer_secure(p, &identity);
        secure(p->security, row);
    }
    peer_listen(w, p, STACKS_ADDRESS);
    tapsi_test_identity_free(&identity);
}
