#include <ares.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <sys/time.h>
#include <time.h>
#include "platform/sim/testnet.h"

static int64_t ns_of(clockid_t clock)
{
    struct timespec t = {0, 0};
    CHECK_INT(clock_gettime(clock, &t), 0);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

TEST(without_a_world_the_kernel_answers)
{
    struct timeval tv;
    int64_t before = ns_of(CLOCK_MONOTONIC), wall = ns_of(CLOCK_REALTIME);
    CHECK(before > 0);
    CHECK(ns_of(CLOCK_MONOTONIC) >= before);
    CHECK_INT(gettimeofday(&tv, NULL), 0);
    CHECK(tv.tv_sec - wall / 1000000000 <= 1);
    CHECK(time(NULL) - wall / 1000000000 <= 1);
    CHECK_INT(clock_gettime(9999, &(struct timespec){0, 0}), -1);
    CHECK_INT(errno, EINVAL);
}

TEST(with_a_world_all_clocks_are_its_own)
{
    struct tapsi_sim *sim = tapsi_sim_new(1);
    struct timeval tv;
    struct timespec ts;
    time_t t;
    tapsi_sim_run(sim, TAPSI_SIM_START + 1500 * TAPSI_SIM_MS);
    CHECK_INT(ns_of(CLOCK_MONOTONIC), TAPSI_SIM_START + 1500 * TAPSI_SIM_MS);
    CHECK_INT(ns_of(CLOCK_BOOTTIME), TAPSI_SIM_START + 1500 * TAPSI_SIM_MS);
    CHECK_INT(ns_of(CLOCK_REALTIME_COARSE), TAPSI_SIM_DATE * INT64_C(1000000000) + 1500000000);
    CHECK_INT(gettimeofday(&tv, NULL), 0);
    CHECK_INT(tv.tv_sec, TAPSI_SIM_DATE + 1);
    CHECK_INT(tv.tv_usec, 500000);
    CHECK_INT(time(&t), TAPSI_SIM_DATE + 1);
    CHECK_INT(t, TAPSI_SIM_DATE + 1);
    CHECK_INT(timespec_get(&ts, TIME_UTC), TIME_UTC);
    CHECK_INT(ts.tv_sec, TAPSI_SIM_DATE + 1);
    CHECK(ns_of(CLOCK_PROCESS_CPUTIME_ID) < INT64_C(1000000000) * 900); /* the processor's are real */
    tapsi_sim_free(sim);
    CHECK(time(NULL) != TAPSI_SIM_DATE + 1);
}

/* c-ares on the sockets of a platform: what a resolver over this seam looks like at its smallest. */
struct resolver {
    struct net *n;
    ares_channel channel;
    struct tapsi_watch watches[8];
    int status, count;
    bool done;
};

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
    struct resolver *r = arg;
    int fd = r->n->p->ops->socket(r->n->p, family, type, protocol);
    for (int i = 0; fd >= 0 && i < 8; i++) {
        if (r->watches[i].fd < 0) {
            CHECK_INT(r->n->p->ops->watch(r->n->p, fd, &r->watches[i]), 0);
            return fd;
        }
    }
    errno = fd < 0 ? -fd : EMFILE;
    return -1;
}

static int answer(ssize_t r)
{
    errno = r < 0 ? (int)-r : 0;
    return r < 0 ? -1 : (int)r;
}

static int close_socket(ares_socket_t fd, void *arg)
{
    struct resolver *r = arg;
    for (int i = 0; i < 8; i++) {
        if (r->watches[i].fd == fd)
            r->n->p->ops->unwatch(r->n->p, &r->watches[i]);
    }
    return answer(r->n->p->ops->close(r->n->p, fd));
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t length, void *arg)
{
    struct resolver *r = arg;
    union tapsi_addr address;
    memset(&address, 0, sizeof address);
    memcpy(&address, to, length < sizeof address ? length : sizeof address);
    return answer(r->n->p->ops->connect(r->n->p, fd, &address));
}

static ares_ssize_t receive(ares_socket_t fd, void *bytes, size_t size, int flags, struct sockaddr *from,
                            ares_socklen_t *from_length, void *arg)
{
    struct resolver *r = arg;
    struct iovec iov = {bytes, size};
    struct msghdr m = {
        .msg_name = from, .msg_namelen = from_length ? *from_length : 0, .msg_iov = &iov, .msg_iovlen = 1};
    int got = answer(r->n->p->ops->recvmsg(r->n->p, fd, &m, flags));
    if (from_length)
        *from_length = m.msg_namelen;
    return got;
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *iov, int count, void *arg)
{
    struct resolver *r = arg;
    struct iovec copy[4];
    memcpy(copy, iov, sizeof *iov * (size_t)(count < 4 ? count : 4));
    struct msghdr m = {.msg_iov = copy, .msg_iovlen = (size_t)(count < 4 ? count : 4)};
    return answer(r->n->p->ops->sendmsg(r->n->p, fd, &m, 0));
}

static void resolved(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolver *r = arg;
    (void)timeouts;
    r->done = true;
    r->status = status;
    for (struct ares_addrinfo_node *node = info ? info->nodes : NULL; node; node = node->ai_next)
        r->count++;
    ares_freeaddrinfo(info);
}

static void resolver_init(struct resolver *r, struct net *n, const char *servers)
{
    static const struct ares_socket_functions functions = {open_socket, close_socket, connect_socket, receive,
                                                           send_vector};
    struct ares_options options = {.timeout = 1000, .tries = 3, .lookups = (char[]){"b"}, .flags = ARES_FLAG_NOSEARCH};
    *r = (struct resolver){.n = n};
    for (int i = 0; i < 8; i++)
        r->watches[i] = (struct tapsi_watch){-1, ignore_ready};
    CHECK_INT(ares_init_options(&r->channel, &options,
                                ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_FLAGS),
              ARES_SUCCESS);
    ares_set_socket_functions(r->channel, &functions, r);
    CHECK_INT(ares_set_servers_ports_csv(r->channel, servers), ARES_SUCCESS);
}

/* Runs until the answer is there: how long it took. */
static uint64_t resolve(struct resolver *r, const char *name, int family)
{
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_flags = ARES_AI_NOSORT};
    struct tapsi_platform *p = r->n->p;
    uint64_t start = p->ops->now(p);
    r->done = false;
    r->count = 0;
    ares_getaddrinfo(r->channel, name, NULL, &hints, resolved, r);
    while (!r->done && !tapsi_sim_deadlocked(r->n->sim)) {
        struct timeval left;
        struct tapsi_ready ready[8];
        uint64_t deadline = TAPSI_FOREVER;
        if (ares_timeout(r->channel, NULL, &left))
            deadline = p->ops->now(p) + (uint64_t)left.tv_sec * TAPSI_SIM_S + (uint64_t)left.tv_usec * TAPSI_SIM_US;
        int count = p->ops->wait(p, deadline, ready, 8);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].watch->fd;
            if (fd >= 0)
                ares_process_fd(r->channel, ready[i].io & ~(unsigned)TAPSI_IO_OUT ? fd : ARES_SOCKET_BAD,
                                ready[i].io & TAPSI_IO_OUT ? fd : ARES_SOCKET_BAD);
        }
        if (!count)
            ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    CHECK(r->done);
    return p->ops->now(p) - start;
}

TEST(cares_resolves_over_simulated_sockets)
{
    struct net n;
    struct resolver r;
    net_init(&n);
    struct tapsi_sim_dns *dns = tapsi_sim_dns_new(n.server);
    tapsi_sim_dns_answer(dns, "example.test", "AAAA", "2001:db8::1 2001:db8::9", 300 * TAPSI_SIM_MS);
    resolver_init(&r, &n, "192.0.2.1");
    CHECK_INT(resolve(&r, "example.test", AF_INET6), RTT + 300 * TAPSI_SIM_MS);
    CHECK_INT(r.status, ARES_SUCCESS);
    CHECK_INT(r.count, 2);
    ares_destroy(r.channel);
    net_done(&n);
}

TEST(cares_times_out_in_virtual_time)
{
    struct net n;
    struct resolver r;
    net_init(&n);
    struct tapsi_sim_dns *dns = tapsi_sim_dns_new(n.server);
    tapsi_sim_dns_fail(dns, "example.test", "A", TAPSI_SIM_DNS_NEVER, 0);
    resolver_init(&r, &n, "192.0.2.1");
    struct timespec real_before, real_after;
    CHECK_INT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &real_before), 0);
    uint64_t took = resolve(&r, "example.test", AF_INET);
    CHECK_INT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &real_after), 0);
    CHECK_INT(r.status, ARES_ETIMEOUT);
    CHECK_INT(tapsi_sim_dns_queries(dns, "example.test", "A"), 3);
    /* 1 + 2 + 4 s; c-ares 1.22 and newer shorten the second and third by chance, to a half at most. */
    CHECK(took >= 4 * TAPSI_SIM_S && took < 8 * TAPSI_SIM_S);
    CHECK(real_after.tv_sec - real_before.tv_sec < 2);
    ares_destroy(r.channel);
    net_done(&n);
}

TEST(cares_fails_at_once_where_no_server_listens)
{
    struct net n;
    struct resolver r;
    net_init(&n);
    resolver_init(&r, &n, "192.0.2.1");
    uint64_t took = resolve(&r, "example.test", AF_INET);
    CHECK_INT(r.status, ARES_ECONNREFUSED);
    CHECK_INT(took, 3 * RTT);
    ares_destroy(r.channel);
    net_done(&n);
}

TEST(cares_goes_on_to_the_second_server)
{
    struct net n;
    struct resolver r;
    net_init(&n);
    struct tapsi_sim_dns *dns = tapsi_sim_dns_new(n.server);
    tapsi_sim_dns_answer(dns, "example.test", "A", "192.0.2.1", 0);
    tapsi_sim_fault(n.sim, "192.0.2.1", TAPSI_SIM_BLACKHOLE);
    resolver_init(&r, &n, "192.0.2.1,[2001:db8::1]:53");
    CHECK_INT(resolve(&r, "example.test", AF_INET), TAPSI_SIM_S + RTT);
    CHECK_INT(r.status, ARES_SUCCESS);
    ares_destroy(r.channel);
    net_done(&n);
}

TEST(cares_asks_again_over_tcp_when_the_answer_is_cut)
{
    struct net n;
    struct resolver r;
    net_init(&n);
    struct tapsi_sim_dns *dns = tapsi_sim_dns_new(n.server);
    for (int i = 1; i <= 64; i++) {
        char text[] = "2001:db8::00";
        text[10] = "0123456789abcdef"[i / 16];
        text[11] = "0123456789abcdef"[i % 16];
        tapsi_sim_dns_answer(dns, "many.test", "AAAA", text, 0);
    }
    resolver_init(&r, &n, "192.0.2.1");
    CHECK_INT(resolve(&r, "many.test", AF_INET6), 3 * RTT); /* UDP, the handshake, TCP */
    CHECK_INT(r.status, ARES_SUCCESS);
    CHECK_INT(r.count, 64);
    ares_destroy(r.channel);
    net_done(&n);
}

TEST(cares_tells_unknown_names_from_broken_servers)
{
    struct net n;
    struct resolver r;
    net_init(&n);
    struct tapsi_sim_dns *dns = tapsi_sim_dns_new(n.server);
    tapsi_sim_dns_fail(dns, "broken.test", "A", TAPSI_SIM_DNS_SERVFAIL, 0);
    resolver_init(&r, &n, "192.0.2.1");
    resolve(&r, "unknown.test", AF_INET);
    CHECK_INT(r.status, ARES_ENOTFOUND);
    resolve(&r, "broken.test", AF_INET);
    CHECK(r.status == ARES_ESERVFAIL || r.status == ARES_ETIMEOUT || r.status == ARES_ECONNREFUSED);
    ares_destroy(r.channel);
    net_done(&n);
}

/* A certificate that signs itself, valid from now for `seconds`. */
static void make_certificate(gnutls_x509_crt_t *ret, gnutls_x509_privkey_t *ret_key, time_t seconds)
{
    CHECK_INT(gnutls_x509_privkey_init(ret_key), 0);
    CHECK_INT(gnutls_x509_privkey_generate(*ret_key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                           0),
              0);
    CHECK_INT(gnutls_x509_crt_init(ret), 0);
    CHECK_INT(gnutls_x509_crt_set_version(*ret, 3), 0);
    CHECK_INT(gnutls_x509_crt_set_serial(*ret, "\1", 1), 0);
    CHECK_INT(gnutls_x509_crt_set_dn_by_oid(*ret, GNUTLS_OID_X520_COMMON_NAME, 0, "test", 4), 0);
    CHECK_INT(gnutls_x509_crt_set_activation_time(*ret, time(NULL)), 0);
    CHECK_INT(gnutls_x509_crt_set_expiration_time(*ret, time(NULL) + seconds), 0);
    CHECK_INT(gnutls_x509_crt_set_basic_constraints(*ret, 1, -1), 0);
    CHECK_INT(gnutls_x509_crt_set_key(*ret, *ret_key), 0);
    CHECK_INT(gnutls_x509_crt_sign2(*ret, *ret, *ret_key, GNUTLS_DIG_SHA256, 0), 0);
}

TEST(gnutls_sees_certificates_expire_in_virtual_time)
{
    struct tapsi_sim *sim = tapsi_sim_new(1);
    gnutls_x509_crt_t certificate;
    gnutls_x509_privkey_t key;
    unsigned status = 0;
    tapsi_sim_set_date(sim, INT64_C(4000000000)); /* in 2096 */
    make_certificate(&certificate, &key, 3600);
    CHECK_INT(gnutls_x509_crt_verify(certificate, &certificate, 1, 0, &status), 0);
    CHECK_INT(status, 0);
    tapsi_sim_run(sim, TAPSI_SIM_START + 3601 * TAPSI_SIM_S);
    CHECK_INT(gnutls_x509_crt_verify(certificate, &certificate, 1, 0, &status), 0);
    CHECK(status & GNUTLS_CERT_EXPIRED);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
    tapsi_sim_free(sim);
}
