/* Properties to socket options and back (RFC 9623, 10.1; RFC 9622, 8.1). An option is set only where it differs from
   the kernel's default, so that an ordinary connection pays for none. */
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include "stack/tcp/tcp.h"

#define GROUP_UNSENT (32 * 1024) /* bytes the kernel keeps before it sends them, in a Connection Group */
#define HURRY_UNSENT (16 * 1024) /* the same with a profile of low latency */

static int set_int(struct tcp *tcp, int level, int option, int value)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    return p->ops->setsockopt(p, tcp->watch.fd, level, option, &value, sizeof(value));
}

static bool is_v4(const struct tcp *tcp)
{
    return tcp->remote.sa.sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&tcp->remote.in6.sin6_addr);
}

/* What the kernel keeps before it sends it: in a group little, for the scheduler's sake; with low latency less, since
   what is written later can no longer be left out. 0: as the system has it. */
static void limit_unsent(struct tcp *tcp)
{
    set_int(tcp, IPPROTO_TCP, TCP_NOTSENT_LOWAT, tcp->hurries ? HURRY_UNSENT : tcp->grouped ? GROUP_UNSENT : 0);
}

static int set_profile(struct tcp *tcp, int profile)
{
    bool hurry = profile == TAPS_PROFILE_LOW_LATENCY_INTERACTIVE || profile == TAPS_PROFILE_LOW_LATENCY_NON_INTERACTIVE;
    int err = set_int(tcp, IPPROTO_TCP, TCP_NODELAY, hurry);
    if (hurry != tcp->hurries) {
        tcp->hurries = hurry;
        limit_unsent(tcp);
    }
    int traffic_class = tapsi_capacity_dscp(profile) << 2;
    if (is_v4(tcp))
        set_int(tcp, IPPROTO_IP, IP_TOS, traffic_class);
    if (tcp->remote.sa.sa_family == AF_INET6)
        set_int(tcp, IPPROTO_IPV6, IPV6_TCLASS, traffic_class);
    return err < 0 ? tapsi_err_from_errno(-err) : 0;
}

static int milliseconds(double seconds)
{
    if (seconds < 0)
        return 0;
    double ms = seconds * 1000;
    return ms > INT_MAX ? INT_MAX : ms < 1 ? 1 : (int)ms;
}

static int whole_seconds(double seconds, int max)
{
    return seconds < 1 ? 1 : seconds > max ? max : (int)seconds;
}

static int result(int err)
{
    return err < 0 ? tapsi_err_from_errno(-err) : 0;
}

/* connTimeout decides; else the TCP user timeout, where it is enabled (RFC 9622, 8.2); else the system. */
static int apply_user_timeout(struct tcp *tcp, const struct tcp_timeouts *t)
{
    double seconds = t->connection;
    if (seconds < 0 && t->user_enabled && t->user)
        seconds = t->user;
    return result(set_int(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds(seconds)));
}

/* A keepAliveTimeout beyond connTimeout, or one that was set to disabled, means no keep-alive packets at all (RFC 9622,
   8.1.4); one that was not set leaves it to keepAlive, with the system's times. */
static bool keeps_alive(const struct tcp_timeouts *t)
{
    bool beyond = t->connection >= 0 && t->keep_alive > t->connection;
    bool wanted = t->keep_alive_set ? t->keep_alive >= 0 : t->keeps_alive;
    return !t->never_keeps_alive && !beyond && wanted;
}

/* After keepAliveTimeout of silence, and then every tenth of it, at least a second apart. */
static int apply_keep_alive(struct tcp *tcp, const struct tcp_timeouts *t)
{
    bool on = keeps_alive(t);
    double seconds = t->keep_alive;
    int err = set_int(tcp, SOL_SOCKET, SO_KEEPALIVE, on);
    if (err == 0 && on && seconds >= 0) {
        err = set_int(tcp, IPPROTO_TCP, TCP_KEEPIDLE, whole_seconds(seconds, 32767));
        set_int(tcp, IPPROTO_TCP, TCP_KEEPINTVL, whole_seconds(seconds / 10, 32767));
    }
    return result(err);
}

static uint32_t user_timeout_of(uint64_t value)
{
    return value == TAPS_INFINITE ? 0 : (uint32_t)value;
}

void tapsi_tcp_timeouts(const struct tapsi_properties *p, struct tcp_timeouts *ret)
{
    ret->connection = p->values[TAPS_CONN_TIMEOUT].number;
    ret->keep_alive = p->values[TAPS_KEEP_ALIVE_TIMEOUT].number;
    ret->keep_alive_set = tapsi_properties_is_set(p, TAPS_KEEP_ALIVE_TIMEOUT);
    ret->close = p->values[TAPS_CLOSE_TIMEOUT].number;
    ret->user = user_timeout_of(p->values[TAPS_TCP_USER_TIMEOUT_VALUE].integer);
    ret->user_enabled = p->values[TAPS_TCP_USER_TIMEOUT_ENABLED].boolean;
    ret->keeps_alive = tapsi_preference(p, TAPS_KEEP_ALIVE) > TAPS_NO_PREFERENCE;
    ret->never_keeps_alive = tapsi_preference(p, TAPS_KEEP_ALIVE) == TAPS_PROHIBIT;
}

static void start_timeouts(struct tcp *tcp, const struct tapsi_properties *p)
{
    struct tcp_timeouts t;
    tapsi_tcp_timeouts(p, &t);
    if (t.connection >= 0 || (t.user_enabled && t.user))
        apply_user_timeout(tcp, &t);
    if (keeps_alive(&t))
        apply_keep_alive(tcp, &t);
}

int tapsi_tcp_prefer_source(struct tcp *tcp)
{
    const struct tapsi_properties *p = tcp->layer.env->properties;
    bool is_set = tapsi_properties_is_set(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
    if (tcp->remote.sa.sa_family != AF_INET6 || !(is_set || tcp->choose_source))
        return 0;
    enum taps_preference preference = tapsi_preference(p, TAPS_USE_TEMPORARY_LOCAL_ADDRESS);
    if (preference == TAPS_NO_PREFERENCE)
        return 0;
    int err = set_int(tcp, IPPROTO_IPV6, 72 /* IPV6_ADDR_PREFERENCES */, preference > 0 ? 1 /* TMP */ : 2 /* PUBLIC */);
    bool must = preference == TAPS_REQUIRE || preference == TAPS_PROHIBIT;
    return must && tcp->choose_source && err < 0 ? err : 0;
}

void tapsi_tcp_options(struct tcp *tcp)
{
    const struct tapsi_properties *p = tcp->layer.env->properties;
    if (p->values[TAPS_CONN_CAPACITY_PROFILE].enumeration != TAPS_PROFILE_DEFAULT)
        set_profile(tcp, p->values[TAPS_CONN_CAPACITY_PROFILE].enumeration);
    start_timeouts(tcp, p);
    if (tapsi_preference(p, TAPS_SOFT_ERROR_NOTIFY) > TAPS_NO_PREFERENCE) {
        tcp->watched = true;
        set_int(tcp, IPPROTO_IP, IP_RECVERR, 1);
        if (tcp->remote.sa.sa_family == AF_INET6)
            set_int(tcp, IPPROTO_IPV6, IPV6_RECVERR, 1);
    }
}

/* The options of the socket that depend on this property. */
static int apply_timeout(struct tcp *tcp, enum taps_property property)
{
    const struct tcp_timeouts *t = &tcp->rare->timeouts;
    bool keep_alive = property == TAPS_KEEP_ALIVE_TIMEOUT || property == TAPS_CONN_TIMEOUT;
    int err = keep_alive ? apply_keep_alive(tcp, t) : 0;
    return err || property == TAPS_KEEP_ALIVE_TIMEOUT ? err : apply_user_timeout(tcp, t);
}

/* What the kernel refuses is as if it had not been asked for. */
static int set_timeout(struct tcp *tcp, enum taps_property property, const struct taps_value *value)
{
    struct tcp_rare *rare = tapsi_tcp_rare(tcp);
    if (!rare)
        return TAPS_E_MEMORY;
    struct tcp_timeouts *t = &rare->timeouts, before = *t;
    switch (property) {
    case TAPS_CLOSE_TIMEOUT:
        t->close = value->number;
        tapsi_tcp_restart_patience(tcp);
        return TAPSI_HANDLED;
    case TAPS_CONN_TIMEOUT:
        t->connection = value->number;
        break;
    case TAPS_TCP_USER_TIMEOUT_VALUE:
        t->user = user_timeout_of(value->integer);
        break;
    case TAPS_TCP_USER_TIMEOUT_ENABLED:
        t->user_enabled = value->boolean;
        break;
    default:
        t->keep_alive = value->number;
        t->keep_alive_set = true;
        break;
    }
    int err = apply_timeout(tcp, property);
    if (err) {
        *t = before;
        apply_timeout(tcp, property);
    }
    return err;
}

int tapsi_tcp_set(struct tapsi_layer *layer, enum taps_property property, const struct taps_value *value)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    if (tcp->watch.fd < 0)
        return TAPS_E_STATE;
    switch (property) {
    case TAPS_CONN_SCHEDULER: /* what waits in the kernel is out of the scheduler's hands */
        tcp->grouped = true;
        limit_unsent(tcp);
        return TAPSI_HANDLED;
    case TAPS_CONN_CAPACITY_PROFILE:
        return set_profile(tcp, value->enumeration);
    case TAPS_TCP_USER_TIMEOUT_CHANGEABLE:
        return TAPSI_HANDLED;
    case TAPS_CLOSE_TIMEOUT:
    case TAPS_CONN_TIMEOUT:
    case TAPS_TCP_USER_TIMEOUT_VALUE:
    case TAPS_TCP_USER_TIMEOUT_ENABLED:
    case TAPS_KEEP_ALIVE_TIMEOUT:
        return set_timeout(tcp, property, value);
    default:
        return TAPSI_PASS;
    }
}

static int get_unacknowledged(struct tcp *tcp, union tapsi_got *ret)
{
    struct tapsi_platform *p = tcp->layer.env->loop->platform;
    int bytes = tcp->watch.fd < 0 ? -1 : p->ops->unacknowledged(p, tcp->watch.fd);
    if (bytes < 0)
        return TAPS_E_SYSTEM;
    ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = (uint64_t)bytes};
    return TAPSI_HANDLED;
}

int tapsi_tcp_get(struct tapsi_layer *layer, int what, union tapsi_got *ret)
{
    struct tcp *tcp = TAPSI_CONTAINER(layer, struct tcp, layer);
    struct tapsi_platform *p = layer->env->loop->platform;
    switch (what) {
    case TAPSI_GET_EARLY_ROOM:
        ret->value.integer = tapsi_tcp_early_room(tcp);
        return TAPSI_HANDLED;
    case TAPSI_GET_REMOTE:
        ret->address = tcp->remote;
        return TAPSI_HANDLED;
    case TAPSI_GET_LOCAL:
        if (tcp->watch.fd < 0)
            return TAPS_E_STATE;
        if (p->ops->getsockname(p, tcp->watch.fd, &ret->address) < 0)
            return TAPS_E_SYSTEM;
        tapsi_addr_unmap(&ret->address);
        return TAPSI_HANDLED;
    case TAPSI_GET_UNSENT:
        ret->value = (struct taps_value){.type = TAPS_TYPE_INTEGER, .integer = tapsi_layer_unused(layer)};
        return TAPSI_HANDLED;
    case TAPSI_GET_UNACKED:
        return get_unacknowledged(tcp, ret);
    default:
        return TAPSI_PASS;
    }
}
