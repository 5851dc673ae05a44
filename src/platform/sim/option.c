/*
 * Socket options. Integer options are rows of one table and are kept whether or not they mean anything in the sim;
 * options whose effect a program could wait for in vain (Fast Open, pacing) are not there.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include "platform/sim/flow.h"

#define OPTION_NUMBERS 112    /* above every option of the table */
#define BUFFER_DEFAULT 131072 /* as Linux shows it: twice the payload */
#define BUFFER_MAX     (8 << 20)
#define SNDBUF_MIN     4608
#define RCVBUF_MIN     2304

enum sort { FLAG, RANGE, BUFFER, CONGESTION };
enum on { STREAM = 1, DATAGRAM = 2, BOTH = 3 };

static const struct row {
    int level, option;
    enum sort sort;
    enum on on;
    int initial, min, max;
} table[] = {
    {SOL_SOCKET, SO_REUSEADDR, FLAG, BOTH, 0, 0, 0},
    {SOL_SOCKET, SO_REUSEPORT, FLAG, BOTH, 0, 0, 0},
    {SOL_SOCKET, SO_KEEPALIVE, FLAG, BOTH, 0, 0, 0},
    {SOL_SOCKET, SO_BROADCAST, FLAG, BOTH, 0, 0, 0},
    {SOL_SOCKET, SO_PRIORITY, RANGE, BOTH, 0, 0, 6},
    {SOL_SOCKET, SO_SNDBUF, BUFFER, BOTH, BUFFER_DEFAULT, SNDBUF_MIN, BUFFER_MAX},
    {SOL_SOCKET, SO_RCVBUF, BUFFER, BOTH, BUFFER_DEFAULT, RCVBUF_MIN, BUFFER_MAX},
    {IPPROTO_IP, IP_TOS, RANGE, BOTH, 0, 0, 255},
    {IPPROTO_IP, IP_TTL, RANGE, BOTH, 64, 1, 255},
    {IPPROTO_IP, IP_RECVERR, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IP, IP_RECVTOS, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IP, IP_RECVTTL, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IP, IP_PKTINFO, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IP, IP_MTU_DISCOVER, RANGE, BOTH, IP_PMTUDISC_WANT, 0, 5},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, IPV6_V6ONLY, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, IPV6_TCLASS, RANGE, BOTH, 0, -1, 255},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, RANGE, BOTH, 64, -1, 255},
    {IPPROTO_IPV6, IPV6_RECVERR, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER, RANGE, BOTH, IPV6_PMTUDISC_WANT, 0, 5},
    {IPPROTO_IPV6, IPV6_DONTFRAG, FLAG, BOTH, 0, 0, 0},
    {IPPROTO_IPV6, TAPSI_SIM_IPV6_ADDR_PREFERENCES, RANGE, BOTH, 0, 0, 0x7fff},
    {IPPROTO_UDP, UDP_SEGMENT, RANGE, DATAGRAM, 0, 0, UINT16_MAX},
    {IPPROTO_UDP, UDP_GRO, FLAG, DATAGRAM, 0, 0, 0},
    {IPPROTO_TCP, TCP_NODELAY, FLAG, STREAM, 0, 0, 0},
    {IPPROTO_TCP, TCP_CORK, FLAG, STREAM, 0, 0, 0},
    {IPPROTO_TCP, TCP_QUICKACK, FLAG, STREAM, 1, 0, 0},
    {IPPROTO_TCP, TCP_KEEPIDLE, RANGE, STREAM, 7200, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPINTVL, RANGE, STREAM, 75, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPCNT, RANGE, STREAM, 9, 1, 127},
    {IPPROTO_TCP, TCP_SYNCNT, RANGE, STREAM, 6, 1, 127},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, RANGE, STREAM, 0, 0, INT32_MAX},
    {IPPROTO_TCP, TCP_MAXSEG, RANGE, STREAM, 0, 0, 32767},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, RANGE, STREAM, 0, 0, INT32_MAX},
    {IPPROTO_TCP, TCP_CONGESTION, CONGESTION, STREAM, 0, 0, 0},
};

static const char *const congestion_names[] = {"cubic", "reno", "bbr"};

#define ROWS (sizeof table / sizeof *table)
_Static_assert(ROWS <= TAPSI_SIM_OPTIONS, "room for every option in the socket");

void tapsi_simsock_option_defaults(struct tapsi_simsock *s)
{
    for (size_t i = 0; i < ROWS; i++)
        s->options[i] = table[i].initial;
}

/* Rows by level and option: row + 1, or 0. Asked several times for each packet. */
static uint8_t places[5][OPTION_NUMBERS];

static int level_number(int level)
{
    switch (level) {
    case SOL_SOCKET:
        return 0;
    case IPPROTO_IP:
        return 1;
    case IPPROTO_IPV6:
        return 2;
    case IPPROTO_TCP:
        return 3;
    case IPPROTO_UDP:
        return 4;
    default:
        return -1;
    }
}

__attribute__((constructor)) static void note_places(void)
{
    for (size_t i = 0; i < ROWS; i++)
        places[level_number(table[i].level)][table[i].option] = (uint8_t)(i + 1);
}

static const struct row *find(const struct tapsi_simsock *s, int level, int option)
{
    enum on type = s->type == SOCK_STREAM ? STREAM : DATAGRAM;
    int number = level_number(level);
    unsigned place = number >= 0 && option >= 0 && option < OPTION_NUMBERS ? places[number][option] : 0;
    const struct row *row = place ? &table[place - 1] : NULL;
    if (level == IPPROTO_UDP && s->host->no_trains)
        return NULL;
    return row && row->on & type && (level != IPPROTO_IPV6 || s->family == AF_INET6) ? row : NULL;
}

int tapsi_simsock_option(const struct tapsi_simsock *s, int level, int option)
{
    const struct row *row = find(s, level, option);
    return row ? s->options[row - table] : 0;
}

size_t tapsi_simsock_send_room(const struct tapsi_simsock *s)
{
    return (size_t)tapsi_simsock_option(s, SOL_SOCKET, SO_SNDBUF) / 2;
}

size_t tapsi_simsock_receive_room(const struct tapsi_simsock *s)
{
    return (size_t)tapsi_simsock_option(s, SOL_SOCKET, SO_RCVBUF) / 2;
}

static int give(void *value, socklen_t *length, const void *from, size_t size)
{
    if (*length > size)
        *length = (socklen_t)size;
    memcpy(value, from, *length);
    return 0;
}

static int give_int(void *value, socklen_t *length, int number)
{
    return give(value, length, &number, sizeof number);
}

static int get_linger(const struct tapsi_simsock *s, void *value, socklen_t *length)
{
    struct linger linger = {s->linger >= 0, s->linger >= 0 ? s->linger : 0};
    return give(value, length, &linger, sizeof linger);
}

static int get_device(const struct tapsi_simsock *s, void *value, socklen_t *length)
{
    struct tapsi_sim_interface *interface = tapsi_simhost_interface(s->host, s->device);
    if (!interface) {
        *length = 0;
        return 0;
    }
    if (*length < sizeof interface->name)
        return -EINVAL;
    *length = (socklen_t)strlen(interface->name) + 1;
    memcpy(value, interface->name, *length);
    return 0;
}

static int get_mtu(struct tapsi_simsock *s, void *value, socklen_t *length)
{
    struct tapsi_simwire_way way;
    if (!s->remote.sa.sa_family || tapsi_simsock_way(s, &s->remote, &way) < 0)
        return -ENOTCONN;
    return give_int(value, length, (int)tapsi_simwire_mtu(&way));
}

static int get_socket_level(struct tapsi_simsock *s, int option, void *value, socklen_t *length)
{
    switch (option) {
    case SO_ERROR: {
        int error = tapsi_simsock_take_error(s);
        if (!error) {
            error = s->soft_error;
            s->soft_error = 0;
        }
        return give_int(value, length, error);
    }
    case SO_TYPE:
        return give_int(value, length, s->type);
    case SO_DOMAIN:
        return give_int(value, length, s->family);
    case SO_PROTOCOL:
        return give_int(value, length, s->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP);
    case SO_ACCEPTCONN:
        return give_int(value, length, s->type == SOCK_STREAM && s->tcp.state == TAPSI_SIMTCP_LISTEN);
    case SO_LINGER:
        return get_linger(s, value, length);
    case SO_BINDTODEVICE:
        return get_device(s, value, length);
    case SO_BINDTOIFINDEX:
        return give_int(value, length, (int)s->device);
    default:
        return -ENOPROTOOPT;
    }
}

int tapsi_simsock_get(struct tapsi_simsock *s, int level, int option, void *value, socklen_t *length)
{
    const struct row *row = find(s, level, option);
    if (row && row->sort == CONGESTION) {
        const char *name = congestion_names[s->options[row - table]];
        return give(value, length, name, strlen(name) + 1);
    }
    if (row)
        return give_int(value, length, s->options[row - table]);
    if (level == SOL_SOCKET)
        return get_socket_level(s, option, value, length);
    if (level == IPPROTO_TCP && option == TCP_INFO && s->type == SOCK_STREAM)
        return tapsi_simtcp_info(s, value, length);
    if ((level == IPPROTO_IP && option == IP_MTU) || (level == IPPROTO_IPV6 && option == IPV6_MTU))
        return get_mtu(s, value, length);
    return -ENOPROTOOPT;
}

static int bind_to_device(struct tapsi_simsock *s, const struct tapsi_sim_interface *interface)
{
    if (!interface)
        return -ENODEV;
    if (s->device)
        return -EPERM; /* as for a program without privileges: once */
    s->device = interface->index;
    return 0;
}

static int set_device(struct tapsi_simsock *s, const void *value, socklen_t length)
{
    char name[16] = {0};
    memcpy(name, value, length < sizeof name ? length : sizeof name - 1);
    if (!name[0])
        return s->device ? -EPERM : 0;
    return bind_to_device(s, tapsi_simhost_interface_named(s->host, name));
}

static int set_linger(struct tapsi_simsock *s, const void *value, socklen_t length)
{
    struct linger linger;
    if (length < sizeof linger)
        return -EINVAL;
    memcpy(&linger, value, sizeof linger);
    s->linger = linger.l_onoff ? linger.l_linger : -1;
    return 0;
}

static int set_congestion(int *slot, const void *value, socklen_t length)
{
    for (size_t i = 0; i < sizeof congestion_names / sizeof *congestion_names; i++) {
        size_t wanted = strlen(congestion_names[i]);
        if (length >= wanted && memcmp(value, congestion_names[i], wanted) == 0 &&
            (length == wanted || ((const char *)value)[wanted] == 0)) {
            *slot = (int)i;
            return 0;
        }
    }
    return -ENOENT;
}

static int set_row(struct tapsi_simsock *s, const struct row *row, int number)
{
    int *slot = &s->options[row - table];
    switch (row->sort) {
    case FLAG:
        if (row->level == IPPROTO_IPV6 && row->option == IPV6_V6ONLY && s->local.sa.sa_family)
            return -EINVAL;
        *slot = number != 0;
        return 0;
    case BUFFER:
        number = number > row->max / 2 ? row->max / 2 : number;
        *slot = 2 * number < row->min ? row->min : 2 * number;
        return 0;
    case RANGE:
    case CONGESTION:
        if (row->level == IPPROTO_IP && row->option == IP_TTL && number == -1)
            number = row->initial;
        if (number < row->min || number > row->max)
            return row->option == SO_PRIORITY && row->level == SOL_SOCKET ? -EPERM : -EINVAL;
        *slot = number;
        return 0;
    }
    return -ENOPROTOOPT;
}

int tapsi_simsock_set(struct tapsi_simsock *s, int level, int option, const void *value, socklen_t length)
{
    const struct row *row = find(s, level, option);
    int number = 0;
    if (level == SOL_SOCKET && option == SO_BINDTODEVICE)
        return set_device(s, value, length);
    if (level == SOL_SOCKET && option == SO_LINGER)
        return set_linger(s, value, length);
    if (row && row->sort == CONGESTION)
        return set_congestion(&s->options[row - table], value, length);
    if (!row && !(level == SOL_SOCKET && option == SO_BINDTOIFINDEX))
        return -ENOPROTOOPT;
    if (length >= sizeof number)
        memcpy(&number, value, sizeof number);
    else if (level == IPPROTO_IP && length >= 1)
        number = *(const uint8_t *)value;
    else
        return -EINVAL;
    if (!row)
        return bind_to_device(s, tapsi_simhost_interface(s->host, (unsigned)number));
    int err = set_row(s, row, number);
    bool keeps = (level == SOL_SOCKET && option == SO_KEEPALIVE) || (level == IPPROTO_TCP && option == TCP_KEEPIDLE);
    if (!err && keeps && s->type == SOCK_STREAM)
        tapsi_simtcp_keep_alive(s);
    if (!err && level == IPPROTO_TCP && option == TCP_USER_TIMEOUT && s->tcp.state == TAPSI_SIMTCP_OPEN)
        tapsi_simtcp_push(s);
    return err;
}
