/* What all sockets share: descriptors, names and ports, wake-ups. Inside, addresses are never IPv4-mapped ones. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "platform/sim/socket.h"

#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT 28232

int tapsi_simsock_new(struct tapsi_sim_host *host, int family, int type, struct tapsi_simsock **ret)
{
    struct tapsi_simsock *s = tapsi_zalloc(&host->sim->mem, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->sim = host->sim;
    s->host = host;
    s->fd = -1;
    s->family = family;
    s->type = type;
    s->linger = -1;
    tapsi_link_init(&s->ready);
    tapsi_link_init(&s->tcp.early);
    tapsi_link_init(&s->tcp.child_link);
    tapsi_link_init(&s->tcp.children);
    tapsi_link_init(&s->tcp.accepted);
    tapsi_link_init(&s->udp.datagrams);
    tapsi_link_init(&s->udp.errors);
    tapsi_simsock_option_defaults(s);
    tapsi_list_append(&host->sockets, &s->link);
    *ret = s;
    return 0;
}

static void leave_platform(struct tapsi_simsock *s)
{
    tapsi_list_remove(&s->ready);
    if (s->watch)
        s->watch->fd = -1;
    s->watch = NULL;
    if (s->fd >= 0) {
        s->sim->sockets[s->fd - TAPSI_SIM_FD] = NULL;
        s->host->open--;
    }
    s->fd = -1;
    s->platform = NULL;
    s->notice = NULL;
    tapsi_sim_cancel(s->sim, &s->notice_event);
}

void tapsi_simsock_free(struct tapsi_simsock *s)
{
    leave_platform(s);
    if (s->type == SOCK_STREAM)
        tapsi_simtcp_done(s);
    else
        tapsi_simudp_done(s);
    tapsi_list_remove(&s->link);
    tapsi_free(&s->sim->mem, s);
}

int tapsi_simsock_open(struct tapsi_simsock *s, struct tapsi_simplatform *platform)
{
    struct tapsi_sim *sim = s->sim;
    if (s->host->descriptors_max && s->host->open >= s->host->descriptors_max)
        return -EMFILE;
    if (tapsi_grow(&sim->mem, &sim->sockets, &sim->socket_capacity, sim->socket_count, sizeof *sim->sockets) < 0)
        return -ENFILE;
    s->fd = TAPSI_SIM_FD + (int)sim->socket_count;
    sim->sockets[sim->socket_count++] = s;
    s->platform = platform;
    s->host->open++;
    return s->fd;
}

struct tapsi_simsock *tapsi_simsock_find(struct tapsi_simplatform *platform, int fd)
{
    struct tapsi_sim *sim = platform->sim;
    if (fd < TAPSI_SIM_FD || (size_t)(fd - TAPSI_SIM_FD) >= sim->socket_count)
        return NULL;
    struct tapsi_simsock *s = sim->sockets[fd - TAPSI_SIM_FD];
    return s && s->platform == platform ? s : NULL;
}

void tapsi_simsock_close(struct tapsi_simsock *s)
{
    leave_platform(s);
    if (s->type == SOCK_STREAM)
        tapsi_simtcp_abandon(s);
    else
        tapsi_simsock_free(s);
}

/* Names. */

static bool mapped(const union tapsi_addr *a)
{
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

int tapsi_simsock_inside(const struct tapsi_simsock *s, const union tapsi_addr *shown, union tapsi_addr *ret)
{
    if (shown->sa.sa_family != s->family)
        return s->family == AF_INET6 && shown->sa.sa_family == AF_INET ? -EINVAL : -EAFNOSUPPORT;
    *ret = *shown;
    if (mapped(shown)) {
        if (tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_V6ONLY))
            return -ENETUNREACH;
        tapsi_addr_from_bytes(ret, AF_INET, &shown->in6.sin6_addr.s6_addr[12]);
        tapsi_addr_set_port(ret, tapsi_addr_port(shown));
    }
    return 0;
}

void tapsi_simsock_outside(const struct tapsi_simsock *s, const union tapsi_addr *inside, union tapsi_addr *ret)
{
    static const uint8_t nothing[16];
    if (!inside->sa.sa_family) {
        tapsi_addr_from_bytes(ret, s->family, nothing);
        tapsi_addr_set_port(ret, tapsi_addr_port(inside));
    } else if (s->family == AF_INET6 && inside->sa.sa_family == AF_INET) {
        uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
        memcpy(&bytes[12], &inside->in.sin_addr, 4);
        tapsi_addr_from_bytes(ret, AF_INET6, bytes);
        tapsi_addr_set_port(ret, tapsi_addr_port(inside));
    } else {
        *ret = *inside;
    }
}

int tapsi_simsock_name(const struct tapsi_simsock *s, union tapsi_addr *ret)
{
    union tapsi_addr local = s->local;
    if (!local.sa.sa_family)
        local.in.sin_port = 0;
    tapsi_simsock_outside(s, &local, ret);
    return 0;
}

int tapsi_simsock_peer(const struct tapsi_simsock *s, union tapsi_addr *ret)
{
    bool none =
        s->type == SOCK_STREAM && (s->tcp.state == TAPSI_SIMTCP_CLOSED || s->tcp.state == TAPSI_SIMTCP_TIME_WAIT ||
                                   s->tcp.state == TAPSI_SIMTCP_SYN_SENT);
    if (none || !s->remote.sa.sa_family)
        return -ENOTCONN;
    tapsi_simsock_outside(s, &s->remote, ret);
    return 0;
}

/* Ports. */

/* May one packet be for both? */
static bool overlap(const struct tapsi_simsock *a, const union tapsi_addr *x, const struct tapsi_simsock *b)
{
    const union tapsi_addr *y = &b->local;
    bool any_x = tapsi_addr_is_any(x), any_y = tapsi_addr_is_any(y);
    if (x->sa.sa_family == y->sa.sa_family)
        return any_x || any_y || tapsi_addr_same_host(x, y);
    const struct tapsi_simsock *six = x->sa.sa_family == AF_INET6 ? a : b;
    return (six == a ? any_x : any_y) && !tapsi_simsock_option(six, IPPROTO_IPV6, IPV6_V6ONLY);
}

static bool may_share(const struct tapsi_simsock *a, const struct tapsi_simsock *b)
{
    if (tapsi_simsock_option(a, SOL_SOCKET, SO_REUSEPORT) && tapsi_simsock_option(b, SOL_SOCKET, SO_REUSEPORT))
        return true;
    bool listens = b->type == SOCK_STREAM && b->tcp.state == TAPSI_SIMTCP_LISTEN;
    return tapsi_simsock_option(a, SOL_SOCKET, SO_REUSEADDR) && tapsi_simsock_option(b, SOL_SOCKET, SO_REUSEADDR) &&
           !listens;
}

static bool taken(const struct tapsi_simsock *s, const union tapsi_addr *address, uint16_t port)
{
    for (struct tapsi_link *l = s->host->sockets.next; l != &s->host->sockets; l = l->next) {
        const struct tapsi_simsock *other = TAPSI_CONTAINER(l, struct tapsi_simsock, link);
        if (other == s || other->type != s->type || !other->local.sa.sa_family ||
            tapsi_addr_port(&other->local) != port)
            continue;
        bool apart = s->device && other->device && s->device != other->device;
        if (!apart && overlap(s, address, other) && !may_share(s, other))
            return true;
    }
    return false;
}

static int find_port(struct tapsi_simsock *s, const union tapsi_addr *address, uint16_t *ret)
{
    unsigned start = (unsigned)(tapsi_sim_dice(&s->sim->dice) % EPHEMERAL_COUNT);
    for (unsigned i = 0; i < EPHEMERAL_COUNT; i++) {
        uint16_t port = (uint16_t)(EPHEMERAL_FIRST + (start + i) % EPHEMERAL_COUNT);
        if (!taken(s, address, port)) {
            *ret = port;
            return 0;
        }
    }
    return -EADDRINUSE;
}

static int check_own(const struct tapsi_simsock *s, const union tapsi_addr *address)
{
    if (tapsi_addr_is_any(address))
        return 0;
    if (address->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(address) && !address->in6.sin6_scope_id &&
        !s->device)
        return -EINVAL;
    return tapsi_simhost_owner(s->host, address) ? 0 : -EADDRNOTAVAIL;
}

int tapsi_simsock_bind(struct tapsi_simsock *s, const union tapsi_addr *address)
{
    union tapsi_addr inside;
    int r = tapsi_simsock_inside(s, address, &inside);
    if (r < 0)
        return r == -ENETUNREACH ? -EINVAL : r;
    if (s->local.sa.sa_family)
        return -EINVAL;
    r = check_own(s, &inside);
    if (r < 0)
        return r;
    if (inside.sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(&inside) && !inside.in6.sin6_scope_id)
        inside.in6.sin6_scope_id = s->device;
    uint16_t port = tapsi_addr_port(&inside);
    if (!port) {
        r = find_port(s, &inside, &port);
        if (r < 0)
            return r;
    } else if (taken(s, &inside, port)) {
        return -EADDRINUSE;
    }
    tapsi_addr_set_port(&inside, port);
    s->local = inside;
    s->address_bound = !tapsi_addr_is_any(&inside);
    return 0;
}

int tapsi_simsock_autobind(struct tapsi_simsock *s, const union tapsi_addr *source)
{
    union tapsi_addr local = *source;
    uint16_t port = s->local.sa.sa_family ? tapsi_addr_port(&s->local) : 0;
    if (s->address_bound)
        return 0;
    if (!port) {
        int r = find_port(s, &local, &port);
        if (r < 0)
            return r;
    }
    tapsi_addr_set_port(&local, port);
    s->local = local;
    return 0;
}

int tapsi_simsock_way(struct tapsi_simsock *s, const union tapsi_addr *to, struct tapsi_simwire_way *ret)
{
    struct tapsi_sim_interface *out;
    union tapsi_addr source;
    /* A socket bound to a mapped or IPv4 address cannot reach IPv6, and the other way round. */
    if (s->address_bound && s->local.sa.sa_family != to->sa.sa_family)
        return s->local.sa.sa_family == AF_INET ? -ENETUNREACH : -EINVAL;
    /* An address that is gone: IPv6 sends from it all the same. */
    if (s->address_bound && to->sa.sa_family == AF_INET && !tapsi_simhost_owner(s->host, &s->local))
        return -ENETUNREACH;
    unsigned preference = 0;
    if (to->sa.sa_family == AF_INET6)
        preference = (unsigned)tapsi_simsock_option(s, IPPROTO_IPV6, TAPSI_SIM_IPV6_ADDR_PREFERENCES) & 3;
    int r = tapsi_simwire_route(s->host, to, s->device, preference, &out, &source);
    if (r < 0)
        return r;
    if (s->address_bound)
        source = s->local;
    *ret = (struct tapsi_simwire_way){
        .host = s->host, .from = source, .to = *to, .device = s->device, .header = s->type == SOCK_STREAM ? 20 : 8};
    if (to->sa.sa_family == AF_INET6 && tapsi_addr_is_link_local(to))
        ret->device = out->index;
    return 0;
}

unsigned tapsi_simsock_fit(const struct tapsi_simsock *s, const union tapsi_addr *to, const union tapsi_addr *from,
                           unsigned index)
{
    if (!s->local.sa.sa_family || tapsi_addr_port(&s->local) != tapsi_addr_port(to))
        return 0;
    unsigned score = 1;
    bool any = tapsi_addr_is_any(&s->local);
    if (s->local.sa.sa_family == to->sa.sa_family) {
        if (!any && !tapsi_addr_same_host(&s->local, to))
            return 0;
        score += any ? 1 : 2;
    } else if (s->family != AF_INET6 || !any || tapsi_simsock_option(s, IPPROTO_IPV6, IPV6_V6ONLY)) {
        return 0;
    }
    if (s->remote.sa.sa_family) {
        if (!tapsi_addr_same_host(&s->remote, from) || tapsi_addr_port(&s->remote) != tapsi_addr_port(from))
            return 0;
        score += 8;
    }
    if (s->device) {
        if (s->device != index)
            return 0;
        score += 4;
    }
    return score;
}

static uint64_t mix(const union tapsi_addr *from, unsigned salt)
{
    unsigned count;
    const uint8_t *bytes = tapsi_addr_bytes(from, &count);
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ salt ^ (uint64_t)tapsi_addr_port(from) << 16;
    for (unsigned i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    return hash * UINT64_C(0x9e3779b97f4a7c15) >> 33;
}

/* The k-th of equals takes the place of those before it for every k-th sender, so each has the same share. */
void tapsi_simsock_consider(struct tapsi_simsock_choice *choice, struct tapsi_simsock *s, unsigned fit,
                            const union tapsi_addr *from)
{
    if (fit > choice->fit) {
        *choice = (struct tapsi_simsock_choice){s, fit, 1};
        return;
    }
    if (!fit || fit < choice->fit || !tapsi_simsock_option(s, SOL_SOCKET, SO_REUSEPORT))
        return;
    choice->equals++;
    if (mix(from, choice->equals) % choice->equals == 0)
        choice->best = s;
}

/* Wake-ups. */

static void give_notice(struct tapsi_sim_event *event)
{
    struct tapsi_simsock *s = TAPSI_CONTAINER(event, struct tapsi_simsock, notice_event);
    if (s->notice)
        s->notice(s);
}

void tapsi_simsock_wake(struct tapsi_simsock *s)
{
    if (s->watch && s->platform && !tapsi_link_on_list(&s->ready))
        tapsi_list_append(&s->platform->ready, &s->ready);
    if (s->notice && !s->notice_event.node.index) {
        s->notice_event.fire = give_notice;
        tapsi_sim_at(s->sim, &s->notice_event, s->sim->now);
    }
}

unsigned tapsi_simsock_poll(struct tapsi_simsock *s)
{
    return s->type == SOCK_STREAM ? tapsi_simtcp_poll(s) : tapsi_simudp_poll(s);
}

int tapsi_simsock_take_error(struct tapsi_simsock *s)
{
    int error = s->error;
    s->error = 0;
    return error;
}
