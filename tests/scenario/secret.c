#include "secret.h"

#include <string.h>

struct wire secret_wire;

void secret_name(struct world *w)
{
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "AAAA", "2001:db8::1", 0);
    tapsi_sim_dns_answer(w->dns, SECRET_NAME, "A", "192.0.2.1", 0);
}

void secret_set(struct world *w, const char *name, const char *text)
{
    CHECK_INT(taps_security_parameters_set(w->security, name, text), 0);
}

void secret_opportunistic(struct world *w)
{
    taps_security_parameters_free(w->security);
    CHECK_INT(taps_security_parameters_new_opportunistic(&w->security), 0);
}

void secret_serve(struct world *w, struct peer *p, const char *address, const char *names, const char *from,
                  const char *until)
{
    struct tapsi_test_identity identity = peer_certificate(names, from, until);
    peer_new(w, w->server, p);
    peer_secure(p, &identity);
    p->echo = true;
    peer_listen(w, p, address);
    tapsi_test_identity_free(&identity);
}

void secret_world(struct world *w, struct peer *p)
{
    world_new(w);
    world_secure(w);
    secret_name(w);
    secret_serve(w, p, SECRET_V6, SECRET_NAME, NULL, NULL);
}

void secret_tell(struct world *w, const char *remote, uint64_t timeout_ms)
{
    if (!w->context)
        world_start(w);
    wire_tap(&secret_wire, w->context);
    w->keep_reading = true;
    world_initiate(w, remote, timeout_ms);
    CHECK_INT(w->initiated, 0);
    CHECK_INT(taps_connection_send(w->connection, SECRET, strlen(SECRET), NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(w->connection, 1, 65536, NULL), 0);
    world_run_until_ready(w);
}

void secret_check(void)
{
    CHECK(!wire_has_text(&secret_wire, SECRET));
    CHECK(secret_wire.length < sizeof(secret_wire.bytes));
}
