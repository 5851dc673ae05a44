/*
 * The platform's calls with a line for each in the trace, written when it returns: what the call caused at once stands
 * above it. A platform has this table while its world is traced and the plain one otherwise, so a world without a trace
 * does not even ask. `now`, `wake` and `descriptor` change nothing and are left out.
 */
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/socket.h"
#include "platform/sim/trace.h"

#define PLAIN (&tapsi_simplatform_plain)

static struct tapsi_sim *sim_of(struct tapsi_platform *p)
{
    return TAPSI_CONTAINER(p, struct tapsi_simplatform, platform)->sim;
}

/* Failures asked for so far: the call itself finds out whether it was one. */
static uint64_t before(struct tapsi_platform *p)
{
    return sim_of(p)->failures;
}

static const char *socket_name(int fd, char *text)
{
    snprintf(text, 32, fd >= TAPSI_SIM_FD ? "s%d" : "%d", fd >= TAPSI_SIM_FD ? fd - TAPSI_SIM_FD : fd);
    return text;
}

/* "format = result", where a result from TAPSI_SIM_FD on is a socket. */
static void told(struct tapsi_platform *p, uint64_t failures, ssize_t result, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void told(struct tapsi_platform *p, uint64_t failures, ssize_t result, const char *format, ...)
{
    struct tapsi_simplatform *self = TAPSI_CONTAINER(p, struct tapsi_simplatform, platform);
    char text[TAPSI_SIMTRACE_TEXT], outcome[48], name[32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (result < 0)
        snprintf(outcome, sizeof outcome, "-%s", tapsi_simname_error((int)-result, name));
    else if (result >= TAPSI_SIM_FD && result < TAPSI_SIM_FD + (1 << 20))
        socket_name((int)result, outcome);
    else
        snprintf(outcome, sizeof outcome, "%zd", result);
    tapsi_simtrace_line(self->sim, self->host, "call", "%s = %s%s", text, outcome,
                        self->sim->failures != failures ? " (asked for)" : "");
}

static const char *address_text(const union tapsi_addr *a, char *text)
{
    if (!a || (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6)) {
        snprintf(text, TAPSI_ADDR_TEXT, "-");
        return text;
    }
    return tapsi_addr_text(a, text);
}

/* " to 192.0.2.1:80" of a message with a name, else "". */
static const char *name_text(const char *word, const struct msghdr *m, char *text, size_t size)
{
    union tapsi_addr name;
    char address[TAPSI_ADDR_TEXT];
    text[0] = 0;
    if (!m->msg_name || !m->msg_namelen)
        return text;
    memset(&name, 0, sizeof name);
    memcpy(&name, m->msg_name, m->msg_namelen < sizeof name ? m->msg_namelen : sizeof name);
    tapsi_format(text, size, " %s %s", word, address_text(&name, address));
    return text;
}

static size_t bytes_of(const struct msghdr *m)
{
    return tapsi_simbytes_total(m->msg_iov, m->msg_iovlen);
}

static const char *flags_text(int flags, char *text)
{
    static const struct {
        int flag;
        const char *name;
    } names[] = {
        {MSG_PEEK, " peek"}, {MSG_ERRQUEUE, " errors"}, {MSG_TRUNC, " trunc"}, {MSG_OOB, " oob"}, {MSG_MORE, " more"}};
    text[0] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (flags & names[i].flag)
            tapsi_format(text + strlen(text), 48 - strlen(text), "%s", names[i].name);
    }
    return text;
}

static void destroy(struct tapsi_platform *p)
{
    told(p, before(p), 0, "destroy");
    PLAIN->destroy(p);
}

static uint64_t now(struct tapsi_platform *p)
{
    return PLAIN->now(p);
}

static int random_bytes(struct tapsi_platform *p, void *bytes, size_t count)
{
    uint64_t failures = before(p);
    int r = PLAIN->random(p, bytes, count);
    told(p, failures, r, "random %zu", count);
    return r;
}

static int watch(struct tapsi_platform *p, int fd, struct tapsi_watch *w)
{
    char s[32];
    uint64_t failures = before(p);
    int r = PLAIN->watch(p, fd, w);
    told(p, failures, r, "watch %s", socket_name(fd, s));
    return r;
}

static void unwatch(struct tapsi_platform *p, struct tapsi_watch *w)
{
    char s[32];
    int fd = w->fd;
    PLAIN->unwatch(p, w);
    told(p, before(p), 0, "unwatch %s", socket_name(fd, s));
}

static const char *deadline_text(struct tapsi_platform *p, uint64_t deadline, char *text)
{
    uint64_t current = PLAIN->now(p);
    if (deadline == TAPSI_FOREVER)
        return "for ever";
    if (deadline <= current)
        return "not at all";
    memcpy(text, "until ", 6);
    tapsi_simtrace_time(deadline - TAPSI_SIM_START, text + 6);
    return text;
}

static void add_ready(struct tapsi_str *s, const struct tapsi_ready *ready)
{
    static const struct {
        unsigned io;
        const char *name;
    } names[] = {{TAPSI_IO_IN, "IN"},
                 {TAPSI_IO_OUT, "OUT"},
                 {TAPSI_IO_END, "END"},
                 {TAPSI_IO_ERROR, "ERROR"},
                 {TAPSI_IO_URGENT, "URGENT"}};
    char name[32], mark = ':';
    tapsi_str_format(s, " %s", socket_name(ready->watch->fd, name));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(ready->io & names[i].io))
            continue;
        tapsi_str_format(s, "%c%s", mark, names[i].name);
        mark = '+';
    }
}

static int wait_for(struct tapsi_platform *p, uint64_t deadline, struct tapsi_ready *ready, int max)
{
    char text[40];
    struct tapsi_str list;
    const char *how = deadline_text(p, deadline, text);
    int r = PLAIN->wait(p, deadline, ready, max);
    tapsi_str_init(&list, &sim_of(p)->mem);
    for (int i = 0; i < r; i++)
        add_ready(&list, &ready[i]);
    told(p, before(p), r, "wait %s:%s", how, r > 0 ? tapsi_str_text(&list) : " nothing");
    tapsi_str_done(&list);
    return r;
}

static int descriptor(struct tapsi_platform *p)
{
    return PLAIN->descriptor(p);
}

static int arm(struct tapsi_platform *p, uint64_t deadline)
{
    char text[40];
    int r = PLAIN->arm(p, deadline);
    told(p, before(p), r, "arm %s", deadline_text(p, deadline, text));
    return r;
}

static void wake(struct tapsi_platform *p)
{
    PLAIN->wake(p);
}

static int make_socket(struct tapsi_platform *p, int family, int type, int protocol)
{
    uint64_t failures = before(p);
    int r = PLAIN->socket(p, family, type, protocol), plain = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    const char *names[] = {family == AF_INET6  ? "IPv6"
                           : family == AF_INET ? "IPv4"
                                               : "?",
                           plain == SOCK_STREAM  ? "TCP"
                           : plain == SOCK_DGRAM ? "UDP"
                                                 : "?"};
    told(p, failures, r, "socket %s %s", names[0], names[1]);
    return r;
}

static int close_socket(struct tapsi_platform *p, int fd)
{
    char s[32];
    int r = PLAIN->close(p, fd);
    told(p, before(p), r, "close %s", socket_name(fd, s));
    return r;
}

static int bind_socket(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    char s[32], text[TAPSI_ADDR_TEXT];
    uint64_t failures = before(p);
    int r = PLAIN->bind(p, fd, address);
    told(p, failures, r, "bind %s %s", socket_name(fd, s), address_text(address, text));
    return r;
}

static int connect_socket(struct tapsi_platform *p, int fd, const union tapsi_addr *address)
{
    char s[32], text[TAPSI_ADDR_TEXT];
    uint64_t failures = before(p);
    int r = PLAIN->connect(p, fd, address);
    told(p, failures, r, "connect %s %s", socket_name(fd, s), address_text(address, text));
    return r;
}

static int listen_socket(struct tapsi_platform *p, int fd, int backlog)
{
    char s[32];
    uint64_t failures = before(p);
    int r = PLAIN->listen(p, fd, backlog);
    told(p, failures, r, "listen %s %d", socket_name(fd, s), backlog);
    return r;
}

static int accept_socket(struct tapsi_platform *p, int fd, union tapsi_addr *ret_peer)
{
    char s[32], text[TAPSI_ADDR_TEXT];
    uint64_t failures = before(p);
    int r = PLAIN->accept(p, fd, ret_peer);
    told(p, failures, r, "accept %s from %s", socket_name(fd, s), address_text(r < 0 ? NULL : ret_peer, text));
    return r;
}

static int shutdown_socket(struct tapsi_platform *p, int fd, int how)
{
    static const char *const names[] = {"reading", "writing", "both"};
    char s[32];
    uint64_t failures = before(p);
    int r = PLAIN->shutdown(p, fd, how);
    told(p, failures, r, "shutdown %s %s", socket_name(fd, s), how >= 0 && how < 3 ? names[how] : "?");
    return r;
}

static ssize_t send_bytes(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int flags)
{
    char s[32], f[48];
    uint64_t failures = before(p);
    ssize_t r = PLAIN->send(p, fd, bytes, count, flags);
    told(p, failures, r, "send %s %zu%s", socket_name(fd, s), count, flags_text(flags, f));
    return r;
}

static ssize_t send_message(struct tapsi_platform *p, int fd, const struct msghdr *message, int flags)
{
    char s[32], f[48], to[TAPSI_ADDR_TEXT + 8];
    uint64_t failures = before(p);
    ssize_t r = PLAIN->sendmsg(p, fd, message, flags);
    told(p, failures, r, "sendmsg %s %zu%s%s", socket_name(fd, s), bytes_of(message),
         name_text("to", message, to, sizeof to), flags_text(flags, f));
    return r;
}

static int send_messages(struct tapsi_platform *p, int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    char s[32], f[48], to[TAPSI_ADDR_TEXT + 8];
    struct tapsi_str list;
    uint64_t failures = before(p);
    int r = PLAIN->sendmmsg(p, fd, messages, count, flags);
    tapsi_str_init(&list, &sim_of(p)->mem);
    for (unsigned i = 0; i < count; i++)
        tapsi_str_format(&list, " %zu%s", bytes_of(&messages[i].msg_hdr),
                         name_text("to", &messages[i].msg_hdr, to, sizeof to));
    told(p, failures, r, "sendmmsg %s%s%s", socket_name(fd, s), tapsi_str_text(&list), flags_text(flags, f));
    tapsi_str_done(&list);
    return r;
}

static ssize_t receive_bytes(struct tapsi_platform *p, int fd, void *bytes, size_t count, int flags)
{
    char s[32], f[48];
    uint64_t failures = before(p);
    ssize_t r = PLAIN->recv(p, fd, bytes, count, flags);
    told(p, failures, r, "recv %s %zu%s", socket_name(fd, s), count, flags_text(flags, f));
    return r;
}

static ssize_t receive_message(struct tapsi_platform *p, int fd, struct msghdr *message, int flags)
{
    char s[32], f[48], from[TAPSI_ADDR_TEXT + 8] = "";
    uint64_t failures = before(p);
    size_t count = bytes_of(message);
    ssize_t r = PLAIN->recvmsg(p, fd, message, flags);
    if (r >= 0)
        name_text("from", message, from, sizeof from);
    told(p, failures, r, "recvmsg %s %zu%s%s", socket_name(fd, s), count, flags_text(flags, f), from);
    return r;
}

static const char *value_text(const void *value, socklen_t length, char *text)
{
    int number;
    if (value && length == sizeof number) {
        memcpy(&number, value, sizeof number);
        snprintf(text, 32, "%d", number);
    } else {
        snprintf(text, 32, "(%u bytes)", (unsigned)length);
    }
    return text;
}

static int get_option(struct tapsi_platform *p, int fd, int level, int option, void *value, socklen_t *length)
{
    char s[32], o[32], v[32] = "", n[32];
    uint64_t failures = before(p);
    int r = PLAIN->getsockopt(p, fd, level, option, value, length);
    if (r >= 0)
        value_text(value, *length, v);
    if (r >= 0 && level == SOL_SOCKET && option == SO_ERROR && strcmp(v, "0") != 0) {
        int err;
        memcpy(&err, value, sizeof err);
        tapsi_format(v, sizeof v, "%s", tapsi_simname_error(err, n));
    }
    told(p, failures, r, "getsockopt %s %s%s%s", socket_name(fd, s), tapsi_simname_option(level, option, o),
         v[0] ? " " : "", v);
    return r;
}

static int set_option(struct tapsi_platform *p, int fd, int level, int option, const void *value, socklen_t length)
{
    char s[32], o[32], v[32];
    uint64_t failures = before(p);
    int r = PLAIN->setsockopt(p, fd, level, option, value, length);
    told(p, failures, r, "setsockopt %s %s %s", socket_name(fd, s), tapsi_simname_option(level, option, o),
         value_text(value, length, v));
    return r;
}

static int get_name(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    char s[32], text[TAPSI_ADDR_TEXT];
    uint64_t failures = before(p);
    int r = PLAIN->getsockname(p, fd, ret);
    told(p, failures, r, "getsockname %s %s", socket_name(fd, s), address_text(r < 0 ? NULL : ret, text));
    return r;
}

static int get_peer(struct tapsi_platform *p, int fd, union tapsi_addr *ret)
{
    char s[32], text[TAPSI_ADDR_TEXT];
    uint64_t failures = before(p);
    int r = PLAIN->getpeername(p, fd, ret);
    told(p, failures, r, "getpeername %s %s", socket_name(fd, s), address_text(r < 0 ? NULL : ret, text));
    return r;
}

static int unacknowledged(struct tapsi_platform *p, int fd)
{
    char s[32];
    uint64_t failures = before(p);
    int r = PLAIN->unacknowledged(p, fd);
    told(p, failures, r, "unacknowledged %s", socket_name(fd, s));
    return r;
}

static int aside(struct tapsi_platform *p, struct tapsi_aside *work)
{
    uint64_t failures = before(p);
    int r = PLAIN->aside(p, work);
    told(p, failures, r, "aside");
    return r;
}

static bool recall(struct tapsi_platform *p, struct tapsi_aside *work)
{
    return PLAIN->recall(p, work);
}

static int network(struct tapsi_platform *p, struct tapsi_network **ret)
{
    uint64_t failures = before(p);
    int r = PLAIN->network(p, ret);
    told(p, failures, r, "network %llu", r < 0 ? 0 : (unsigned long long)(*ret)->generation);
    return r;
}

static int watch_network(struct tapsi_platform *p, struct tapsi_watch *watch)
{
    uint64_t failures = before(p);
    int r = PLAIN->watch_network(p, watch);
    told(p, failures, r, "watch_network%s", watch ? "" : " no more");
    return r;
}

static int read_file(struct tapsi_platform *p, const char *path, size_t max, char **ret_text, size_t *ret_length)
{
    uint64_t failures = before(p);
    int r = PLAIN->read_file(p, path, max, ret_text, ret_length);
    told(p, failures, r, "read_file %s", path);
    return r;
}

const struct tapsi_platform_ops tapsi_simcalls_traced = {
    .name = "sim",
    .destroy = destroy,
    .now = now,
    .random = random_bytes,
    .watch = watch,
    .unwatch = unwatch,
    .wait = wait_for,
    .descriptor = descriptor,
    .arm = arm,
    .wake = wake,
    .socket = make_socket,
    .close = close_socket,
    .bind = bind_socket,
    .connect = connect_socket,
    .listen = listen_socket,
    .accept = accept_socket,
    .shutdown = shutdown_socket,
    .send = send_bytes,
    .sendmsg = send_message,
    .sendmmsg = send_messages,
    .recv = receive_bytes,
    .recvmsg = receive_message,
    .getsockopt = get_option,
    .setsockopt = set_option,
    .getsockname = get_name,
    .getpeername = get_peer,
    .unacknowledged = unacknowledged,
    .aside = aside,
    .recall = recall,
    .network = network,
    .watch_network = watch_network,
    .read_file = read_file,
};
