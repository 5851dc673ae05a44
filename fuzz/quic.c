/*
 * A QUIC server and its clients on a simulated network, with the input between them: it says which datagrams are lost,
 * changed, cut, repeated, forged from elsewhere or made of nothing, when time goes by, which call of the platform and
 * which allocation fails, and what both ends do. Whatever happens, the bytes of a stream are those that were sent, each
 * Connection ends once, memory stays bounded, and nothing is left.
 */
#include <errno.h>
#include <malloc.h>
#include <taps/taps.h>
#include "connection/context.h"
#include "input.h"
#include "platform/sim/sim.h"
#include "stack/secure/test_certificates.h"
#include "support.h"

#define STEPS      200
#define FLOWS      32
#define KEPT       8
#define SENT_MAX   (1024 * 1024)
#define MEMORY_MAX (16 * 1024 * 1024)
#define SERVER     "192.0.2.1:443"

struct flow {
    taps_connection *connection; /* NULL: freed, or not there */
    int side;                    /* 0 the client's, 1 the server's */
    bool freed;
    unsigned ends;
    size_t sent, got;
};

struct kept {
    int side; /* who has received it */
    size_t length;
    uint8_t bytes[1500];
};

static struct {
    struct fuzz_input in;
    size_t allocations, fail_at, blocks, bytes;
    struct tapsi_mem mem;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *hosts[2];
    struct tapsi_sim_interface *interfaces[2];
    struct tapsi_sim_link *link;
    taps_context *contexts[2];
    taps_preconnection *preconnections[2];
    taps_listener *listener;
    struct flow flows[FLOWS];
    unsigned count;
    bool datagrams;
    size_t sent[2], got[2];
    unsigned changes; /* datagrams from now on that are changed */
    struct kept kept[KEPT];
    unsigned kept_count;
    union tapsi_addr ends[2]; /* where the client, the server was last seen */
} m;

/* ------------------------------------------------------------------------------------------------------- memory */

static void *resize(void *user, void *block, size_t size)
{
    (void)user;
    size_t before = block ? malloc_usable_size(block) : 0;
    if (size == 0) {
        m.blocks -= block != NULL;
        m.bytes -= before;
        free(block);
        return NULL;
    }
    if (++m.allocations == m.fail_at)
        return NULL;
    void *grown = realloc(block, size);
    if (grown) {
        m.blocks += !block;
        m.bytes += malloc_usable_size(grown) - before;
        CHECK(m.bytes < MEMORY_MAX);
    }
    return grown;
}

/* --------------------------------------------------------------------------------------------------- the middle */

static const struct tapsi_platform_ops *real;
static struct tapsi_platform_ops ops;

static size_t change(uint8_t *bytes, size_t length)
{
    size_t at = fuzz_below(&m.in, 2048), count;
    switch (fuzz_below(&m.in, 8)) {
    case 0:
    case 1:
    case 2:
        return 0; /* lost: an empty one is thrown away by everybody */
    case 3:
        return at < length ? at : length;
    case 4:
    case 5:
        if (at < length)
            bytes[at] ^= (uint8_t)fuzz_number(&m.in, 1);
        return length;
    default:
        for (const uint8_t *to = fuzz_bytes(&m.in, 16, &count); count-- && at < length; at++)
            bytes[at] = *to++;
        return length;
    }
}

static void keep(int side, const uint8_t *bytes, size_t length)
{
    struct kept *k = &m.kept[m.kept_count++ % KEPT];
    k->side = side;
    k->length = length < sizeof(k->bytes) ? length : sizeof(k->bytes);
    memcpy(k->bytes, bytes, k->length);
}

static ssize_t tamper(struct tapsi_platform *p, uint8_t *bytes, size_t room, ssize_t received)
{
    int side = m.contexts[1] && p == m.contexts[1]->loop.platform;
    if (received <= 0)
        return received;
    size_t length = (size_t)received < room ? (size_t)received : room;
    keep(side, bytes, length);
    if (!m.changes || !m.in.left)
        return received;
    m.changes--;
    size_t left = change(bytes, length);
    return left < length ? (ssize_t)left : received;
}

static ssize_t on_recvmsg(struct tapsi_platform *p, int fd, struct msghdr *message, int flags)
{
    ssize_t n = real->recvmsg(p, fd, message, flags);
    if (flags & MSG_ERRQUEUE || !message->msg_iovlen)
        return n;
    if (n > 0 && message->msg_name && m.contexts[1] && p == m.contexts[1]->loop.platform)
        memcpy(&m.ends[0], message->msg_name, sizeof(struct sockaddr_in));
    return tamper(p, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, n);
}

static ssize_t on_recvfrom(struct tapsi_platform *p, int fd, void *bytes, size_t count, union tapsi_addr *ret_from)
{
    return tamper(p, bytes, count, real->recvfrom(p, fd, bytes, count, ret_from));
}

static ssize_t on_recv(struct tapsi_platform *p, int fd, void *bytes, size_t count, int flags)
{
    return tamper(p, bytes, count, real->recv(p, fd, bytes, count, flags));
}

static void stand_between(struct tapsi_platform *platform)
{
    real = platform->ops;
    ops = *real;
    ops.recvmsg = on_recvmsg;
    ops.recv = on_recv;
    if (ops.recvfrom)
        ops.recvfrom = on_recvfrom;
    platform->ops = &ops;
}

static void send_from(int to, const void *bytes, size_t length)
{
    union tapsi_addr from = m.ends[!to];
    if (fuzz_below(&m.in, 4) == 3) {
        tapsi_addr_parse("192.0.2.77", &from);
        tapsi_addr_set_port(&from, (uint16_t)(1024 + fuzz_below(&m.in, 256)));
    }
    if (from.sa.sa_family == AF_INET && m.ends[to].sa.sa_family == AF_INET)
        tapsi_sim_udp_forge(m.hosts[!to], &from, &m.ends[to], bytes, length);
}

/* One that came before comes again, as it was or changed, or to the other end. */
static void repeat(void)
{
    struct kept k = m.kept[fuzz_below(&m.in, KEPT)];
    unsigned how = fuzz_below(&m.in, 4);
    if (how & 1)
        k.length = change(k.bytes, k.length);
    if (k.length)
        send_from(how == 3 ? !k.side : k.side, k.bytes, k.length);
}

/* From nothing, but perhaps as long as a first packet has to be. */
static void invent(void)
{
    uint8_t bytes[1500] = {0};
    size_t count, least = fuzz_bool(&m.in) ? 1200 : 0;
    int to = fuzz_below(&m.in, 4) != 3;
    const uint8_t *at = fuzz_bytes(&m.in, fuzz_below(&m.in, 256), &count);
    memcpy(bytes, at, count);
    send_from(to, bytes, count > least ? count : least);
}

/* -------------------------------------------------------------------------------------------------------- flows */

static void act(struct flow *f);

static uint8_t byte_of(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void check_error(const struct taps_error *error)
{
    CHECK(error->code < 0 && error->detail[0]);
    for (const char *c = error->detail; *c; c++)
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void meddle(struct flow *f)
{
    if (m.in.left && fuzz_below(&m.in, 8) == 7)
        act(f);
}

static void send_some(struct flow *f, size_t length)
{
    static uint8_t bytes[65536];
    if (m.sent[f->side] + length > SENT_MAX)
        return;
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_of(m.datagrams ? i : f->sent + i);
    if (taps_connection_send(f->connection, bytes, length, NULL, 0, NULL) != 0)
        return;
    f->sent += length;
    m.sent[f->side] += length;
}

static void on_ready(taps_connection *c, void *user)
{
    taps_connection_receive(c, 1, 65536, NULL);
    meddle(user);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    meddle(user);
}

static void on_send_error(taps_connection *c, void *tag, const struct taps_error *error, void *user)
{
    check_error(error);
    on_sent(c, tag, user);
}

static void on_data(taps_connection *c, const struct taps_received *r, void *user)
{
    struct flow *f = user;
    const uint8_t *bytes = r->data;
    CHECK(!f->ends);
    for (size_t i = 0; i < r->length; i++)
        CHECK(bytes[i] == byte_of(m.datagrams ? i : f->got + i));
    f->got += r->length;
    m.got[f->side] += r->length;
    CHECK(m.datagrams || m.got[f->side] <= m.sent[!f->side]);
    if (!r->final)
        taps_connection_receive(c, 1, 65536, NULL);
    meddle(f);
}

static void on_closed(taps_connection *c, void *user)
{
    struct flow *f = user;
    (void)c;
    CHECK_INT(f->ends++, 0);
}

static void on_error(taps_connection *c, const struct taps_error *error, void *user)
{
    check_error(error);
    on_closed(c, user);
}

static void on_stream(taps_connection *c, taps_connection *stream, void *user);

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_error,
                                                     .sent = on_sent,
                                                     .send_error = on_send_error,
                                                     .received = on_data,
                                                     .received_partial = on_data,
                                                     .closed = on_closed,
                                                     .connection_error = on_error,
                                                     .connection_received = on_stream};

static void came(int side, taps_connection *c)
{
    if (m.count == FLOWS) {
        taps_connection_free(c);
        return;
    }
    struct flow *f = &m.flows[m.count++];
    f->connection = c;
    f->side = side;
    taps_connection_set_events(c, &events, f);
    taps_connection_receive(c, 1, 65536, NULL);
    meddle(f);
}

static void on_stream(taps_connection *c, taps_connection *stream, void *user)
{
    (void)c;
    came(((struct flow *)user)->side, stream);
}

static void on_received(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    (void)user;
    came(1, c);
}

static const struct taps_listener_events listener_events = {.connection_received = on_received};

static void begin_flow(const struct flow *parent)
{
    struct flow *f = &m.flows[m.count];
    if (m.count == FLOWS)
        return;
    m.count++;
    f->side = parent ? parent->side : 0;
    int err = parent ? taps_connection_clone(parent->connection, NULL, NULL, &events, f, &f->connection)
                     : taps_preconnection_initiate(m.preconnections[0], 20000, &events, f, &f->connection);
    f->freed = err != 0;
}

static void free_flow(struct flow *f)
{
    taps_connection_free(f->connection);
    f->connection = NULL;
    f->freed = true;
}

static void act(struct flow *f)
{
    if (!f->connection)
        return;
    switch (fuzz_below(&m.in, 16)) {
    case 0:
    case 1:
    case 2:
        begin_flow(f);
        break;
    case 3:
        taps_connection_abort(f->connection);
        break;
    case 4:
    case 5:
        taps_connection_close(f->connection);
        break;
    case 6:
        if (fuzz_below(&m.in, 4) == 3)
            taps_connection_close_group(f->connection);
        break;
    case 7:
        if (fuzz_below(&m.in, 4) == 3)
            taps_connection_abort_group(f->connection);
        break;
    case 8:
        free_flow(f);
        break;
    case 9:
        taps_connection_set_property(f->connection, "groupConnLimit", fuzz_bool(&m.in) ? "2" : "unlimited");
        break;
    case 10:
        taps_connection_set_property(f->connection, "connTimeout", fuzz_bool(&m.in) ? "3" : "disabled");
        break;
    default:
        send_some(f, m.datagrams || fuzz_bool(&m.in) ? fuzz_below(&m.in, 1100) : fuzz_below(&m.in, 65536));
    }
}

/* ---------------------------------------------------------------------------------------------------- the world */

static void pump(void *arg)
{
    taps_context_dispatch(arg);
}

static void make_host(int side, const char *name, const char *addresses)
{
    struct tapsi_platform *platform;
    struct taps_allocator allocator = {resize, NULL};
    const struct taps_context_options options = {.allocator = &allocator};
    m.hosts[side] = tapsi_sim_host_new(m.sim, name);
    m.interfaces[side] = tapsi_sim_interface_new(m.hosts[side], "eth0", TAPSI_IF_ETHERNET, addresses);
    CHECK_INT(tapsi_sim_platform_new(m.hosts[side], &m.mem, &platform), 0);
    CHECK_INT(tapsi_context_new(&options, platform, &m.contexts[side]), 0);
    tapsi_sim_attach(m.sim, platform, pump, m.contexts[side]);
    tapsi_loop_embed(&m.contexts[side]->loop);
    CHECK_INT(taps_preconnection_new(m.contexts[side], &m.preconnections[side]), 0);
    stand_between(platform);
}

static void secure(void)
{
    static struct tapsi_test_identity id;
    taps_security_parameters *security[2];
    if (!id.certificate)
        id = tapsi_test_identity(&(struct tapsi_test_subject){.name = "server", .names = "192.0.2.1", .steady = true},
                                 NULL);
    for (int side = 0; side < 2; side++) {
        taps_security_parameters_new(&security[side]);
        taps_security_parameters_add_alpn(security[side], "taps-test");
        taps_security_parameters_set(security[side], "allowedSecurityProtocols", "quic");
    }
    taps_security_parameters_add_ca_pem(security[0], id.certificate, strlen(id.certificate));
    taps_security_parameters_add_server_certificate_pem(security[1], id.certificate, strlen(id.certificate), id.key,
                                                        strlen(id.key));
    for (int side = 0; side < 2; side++) {
        taps_preconnection_set_security_parameters(m.preconnections[side], security[side]);
        taps_security_parameters_free(security[side]);
    }
}

static void begin(const uint8_t *data, size_t size)
{
    taps_transport_properties *properties;
    memset(&m, 0, sizeof(m));
    m.in = fuzz_input(data, size);
    m.datagrams = fuzz_below(&m.in, 4) == 3;
    tapsi_mem_init(&m.mem, NULL);
    m.sim = tapsi_sim_new(1);
    make_host(0, "client", "192.0.2.2/24");
    make_host(1, "server", "192.0.2.1/24");
    m.link = tapsi_sim_link_new(m.interfaces[0], m.interfaces[1], 5 * TAPSI_SIM_MS);
    tapsi_addr_parse("192.0.2.1", &m.ends[1]);
    tapsi_addr_set_port(&m.ends[1], 443);
    secure();
    if (m.datagrams)
        taps_transport_properties_new_profile(TAPS_UNRELIABLE_DATAGRAM, &properties);
    else
        taps_transport_properties_new(&properties);
    if (!m.datagrams)
        taps_transport_properties_set(properties, "multistreaming", "require");
    for (int side = 0; side < 2; side++)
        taps_preconnection_set_transport_properties(m.preconnections[side], properties);
    taps_transport_properties_free(properties);
    taps_preconnection_add_local_text(m.preconnections[1], SERVER);
    taps_preconnection_add_remote_text(m.preconnections[0], SERVER);
    CHECK_INT(taps_preconnection_listen(m.preconnections[1], &listener_events, NULL, &m.listener), 0);
}

static void run(uint64_t ns)
{
    tapsi_sim_run(m.sim, tapsi_sim_now(m.sim) + ns);
}

static void trouble(void)
{
    static const int errors[] = {0, ENOBUFS, EMFILE, EINTR, EAGAIN, EMSGSIZE, EPERM, ECONNREFUSED, ENETDOWN, EACCES};
    unsigned nth;
    switch (fuzz_below(&m.in, 8)) {
    case 0:
        tapsi_sim_link_loss(m.link, fuzz_below(&m.in, 4) * 0.15);
        break;
    case 1:
        tapsi_sim_link_delay(m.link, fuzz_below(&m.in, 256) * TAPSI_SIM_MS);
        break;
    case 2:
        tapsi_sim_link_mtu(m.link, 1228 + fuzz_below(&m.in, 256), fuzz_bool(&m.in));
        break;
    case 3:
        tapsi_sim_link_reorder(m.link, 0.2, 50 * TAPSI_SIM_MS);
        break;
    case 4:
        m.fail_at = m.allocations + 1 + fuzz_below(&m.in, 256);
        break;
    case 5:
        tapsi_sim_address_remove(m.interfaces[0], fuzz_bool(&m.in) ? "192.0.2.2/24" : "192.0.2.3/24");
        tapsi_sim_address_add(m.interfaces[0], fuzz_bool(&m.in) ? "192.0.2.2/24" : "192.0.2.3/24", false, false);
        break;
    default:
        nth = 1 + fuzz_below(&m.in, 64);
        tapsi_sim_fail_call(m.sim, nth, errors[fuzz_below(&m.in, sizeof(errors) / sizeof(errors[0]))]);
    }
}

static void step(void)
{
    switch (fuzz_below(&m.in, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        run(fuzz_below(&m.in, 64) * TAPSI_SIM_MS);
        break;
    case 4:
        run(fuzz_below(&m.in, 256) * 100 * TAPSI_SIM_MS);
        break;
    case 5:
        m.changes = 1 + fuzz_below(&m.in, 4);
        break;
    case 6:
    case 7:
        repeat();
        break;
    case 8:
    case 9:
        invent();
        break;
    case 10:
        trouble();
        break;
    case 11:
        begin_flow(NULL);
        break;
    case 12:
        taps_listener_set_new_connection_limit(m.listener, fuzz_below(&m.in, 4));
        break;
    default:
        if (m.count)
            act(&m.flows[fuzz_below(&m.in, m.count)]);
    }
}

/* ---------------------------------------------------------------------------------------------------------- end */

static bool all_ended(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < m.count; i++) {
        if (!m.flows[i].freed && !m.flows[i].ends)
            return false;
    }
    return true;
}

static void finish(void)
{
    m.in.left = 0;
    m.fail_at = 0;
    tapsi_sim_fail_call(m.sim, 0, 0);
    tapsi_sim_link_loss(m.link, 0);
    run(2 * TAPSI_SIM_S);
    for (unsigned i = 0; i < m.count; i++)
        taps_connection_close(m.flows[i].connection);
    CHECK(tapsi_sim_run_until(m.sim, all_ended, NULL, 600 * TAPSI_SIM_S));
    for (unsigned i = 0; i < m.count; i++) {
        CHECK(m.flows[i].ends <= 1);
        taps_connection_free(m.flows[i].connection);
    }
    taps_listener_free(m.listener);
    for (int side = 0; side < 2; side++) {
        taps_preconnection_free(m.preconnections[side]);
        CHECK_INT(taps_context_free(m.contexts[side]), 0);
        CHECK_INT(tapsi_sim_host_leaked(m.hosts[side]), 0);
    }
    CHECK(!tapsi_sim_problem(m.sim));
    tapsi_sim_free(m.sim);
    CHECK_INT(m.blocks, 0);
    CHECK_INT(m.bytes, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin();
    begin(data, size);
    for (int i = 0; i < STEPS && m.in.left; i++)
        step();
    finish();
    return 0;
}
