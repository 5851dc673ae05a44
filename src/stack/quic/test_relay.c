#include "stack/quic/test_relay.h"

#define FRONT "192.0.2.9"

static bool chance(const struct relay *r, unsigned one_in)
{
    return one_in && r->dice(one_in) == 0;
}

/* ------------------------------------------------------------------------------------------------------- faces */

static void back_packet(struct tapsi_port_user *user, const struct tapsi_datagram *train)
{
    struct relay *r = TAPSI_CONTAINER(user, struct relay_face, user)->relay;
    struct tapsi_port_way way = {.to = r->client};
    struct tapsi_datagram d;
    for (size_t at = 0; tapsi_port_piece(train, &at, &d);) {
        if (r->client.sa.sa_family && !chance(r, r->drops))
            tapsi_port_write(r->front.port, &way, d.data, d.length, 0);
    }
}

static const struct tapsi_port_user_ops back_ops = {.packet = back_packet};

static void open_face(struct relay *r, unsigned number, unsigned place)
{
    struct relay_face *face = &r->faces[number];
    union tapsi_addr local, remote;
    struct tapsi_target target = {.remote = &remote, .local = &local};
    char text[] = "192.0.2.10";
    text[9] = (char)('0' + place);
    tapsi_addr_parse(text, &local);
    tapsi_addr_parse("192.0.2.1", &remote);
    tapsi_addr_set_port(&remote, PORT);
    tapsi_port_leave(&face->user);
    *face = (struct relay_face){.relay = r, .user = {.ops = &back_ops}, .place = (uint8_t)place};
    CHECK_INT(tapsi_port_connect(r->env, &target, &face->user, NULL), 0);
}

static void forward(struct relay *r, unsigned face, const struct relay_packet *packet)
{
    const struct tapsi_port_way way = {0};
    if (!r->faces[face].user.port)
        open_face(r, face, face);
    tapsi_port_write(r->faces[face].user.port, &way, packet->bytes, packet->length, 0);
}

void relay_rebind(struct relay *r, bool place)
{
    unsigned old = r->faces[r->current].place, next = (r->current + 1) % RELAY_FACES;
    r->current = next;
    open_face(r, next, place ? (old + 1) % RELAY_FACES : old);
}

/* ------------------------------------------------------------------------------------------------------- front */

static void pass(struct relay *r, const struct tapsi_datagram *d)
{
    struct relay_packet *packet = &r->kept[r->packets++ % RELAY_KEPT];
    packet->length = d->length < sizeof(packet->bytes) ? d->length : sizeof(packet->bytes);
    memcpy(packet->bytes, d->data, packet->length);
    if (chance(r, r->drops))
        return;
    if (!r->late.length && chance(r, r->delays)) {
        r->late = *packet;
        return;
    }
    forward(r, chance(r, r->from_old) ? r->dice(RELAY_FACES) : r->current, packet);
    if (chance(r, r->repeats))
        forward(r, r->current, packet);
    if (chance(r, r->replays))
        forward(r, r->dice(RELAY_FACES), &r->kept[r->dice(r->packets < RELAY_KEPT ? r->packets : RELAY_KEPT)]);
    if (r->late.length)
        forward(r, r->current, &r->late);
    r->late.length = 0;
}

static void front_packet(struct tapsi_port_user *user, const struct tapsi_datagram *train)
{
    struct relay *r = TAPSI_CONTAINER(user, struct relay, front);
    struct tapsi_datagram d;
    r->client = train->from;
    for (size_t at = 0; tapsi_port_piece(train, &at, &d);)
        pass(r, &d);
}

static const struct tapsi_port_user_ops front_ops = {.packet = front_packet};

static void pump(void *arg)
{
    tapsi_loop_turn(arg, 0);
}

void relay_begin(struct relay *r, struct net *n, unsigned (*dice)(unsigned sides))
{
    union tapsi_addr local;
    struct tapsi_target target = {.local = &local};
    *r = (struct relay){.net = n, .dice = dice, .front = {.ops = &front_ops}};
    r->host = tapsi_sim_host_new(n->sim, "relay");
    tapsi_sim_link_join(n->link,
                        tapsi_sim_interface_new(r->host, "eth0", TAPSI_IF_ETHERNET,
                                                FRONT "/24 192.0.2.10/24 192.0.2.11/24 192.0.2.12/24 192.0.2.13/24 "
                                                      "192.0.2.14/24 192.0.2.15/24"));
    CHECK_INT(tapsi_sim_platform_new(r->host, &n->plain, &r->platform), 0);
    CHECK_INT(tapsi_loop_init(&r->loop, &n->mem, r->platform), 0);
    tapsi_sim_attach(n->sim, r->platform, pump, &r->loop);
    tapsi_loop_embed(&r->loop);
    r->env = tapsi_env_new(&r->loop, n->properties[0], n->security[0], NULL);
    tapsi_addr_parse(FRONT, &local);
    tapsi_addr_set_port(&local, PORT);
    CHECK_INT(tapsi_port_listen(r->env, &target, TAPSI_PORT_QUIC, &r->front, NULL), 0);
    n->remote = FRONT;
}

void relay_finish(struct relay *r)
{
    tapsi_port_leave(&r->front);
    for (unsigned i = 0; i < RELAY_FACES; i++)
        tapsi_port_leave(&r->faces[i].user);
    tapsi_loop_settle(&r->loop);
    tapsi_env_unref(r->env);
    tapsi_loop_done(&r->loop);
    CHECK_INT(tapsi_sim_host_leaked(r->host), 0);
}
