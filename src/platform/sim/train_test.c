/* Trains of datagrams (UDP_SEGMENT, UDP_GRO), and ECN marks. */
#include <netinet/udp.h>
#include "platform/sim/testnet.h"

static void set(struct tapsi_platform *p, int fd, int level, int option, int value)
{
    CHECK_INT(p->ops->setsockopt(p, fd, level, option, &value, sizeof value), 0);
}

struct got {
    uint8_t bytes[65536];
    int segment; /* 0 = not told */
    int tos;     /* -1 = not told */
    int flags;
};

static ssize_t get(struct tapsi_platform *p, int fd, struct got *got, size_t room, int flags)
{
    char control[256] __attribute__((aligned(16)));
    struct iovec iov = {got->bytes, room};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = p->ops->recvmsg(p, fd, &m, flags);
    got->segment = 0;
    got->tos = -1;
    got->flags = m.msg_flags;
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&got->segment, CMSG_DATA(c), sizeof got->segment);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            got->tos = *CMSG_DATA(c);
    }
    return n;
}

/* With the size in a control message of `length` bytes. */
static ssize_t send_train(struct tapsi_platform *p, int fd, const void *bytes, size_t count, int segment, size_t length)
{
    union {
        const void *read;
        void *base;
    } u = {.read = bytes};
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = {0};
    struct iovec iov = {u.base, count};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(length)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    uint16_t size = (uint16_t)segment;
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(c), &size, sizeof size);
    return p->ops->sendmsg(p, fd, &m, 0);
}

struct pair {
    struct net n;
    int a, b; /* a is connected to b */
};

static struct got got;
static uint8_t bytes[70000];

static void pair_init(struct pair *x)
{
    net_init(&x->n);
    x->a = udp4(x->n.p);
    x->b = udp4(x->n.q);
    CHECK_INT(bind_to(x->n.q, x->b, "192.0.2.1", 9), 0);
    CHECK_INT(connect_to(x->n.p, x->a, "192.0.2.1", 9), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static void pair_done(struct pair *x)
{
    x->n.p->ops->close(x->n.p, x->a);
    x->n.q->ops->close(x->n.q, x->b);
    net_done(&x->n);
}

TEST(a_train_is_packets_of_its_own)
{
    struct pair x;
    pair_init(&x);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 2500, 1000, 2), 2500);
    CHECK_INT(tapsi_sim_packets_to(x.n.sim, "192.0.2.1:9"), 3);
    run_for(&x.n, DELAY);
    for (int i = 0; i < 3; i++) {
        ssize_t n = get(x.n.q, x.b, &got, sizeof got.bytes, 0);
        CHECK_INT(n, i < 2 ? 1000 : 500);
        CHECK(n > 0 && memcmp(got.bytes, bytes + 1000 * i, (size_t)n) == 0);
        CHECK_INT(got.segment, 0);
    }
    pair_done(&x);
}

TEST(the_option_cuts_as_the_message_does)
{
    struct pair x;
    pair_init(&x);
    set(x.n.p, x.a, IPPROTO_UDP, UDP_SEGMENT, 100);
    CHECK_INT(x.n.p->ops->send(x.n.p, x.a, bytes, 250, 0), 250);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 250, 0, 2), 250); /* which goes before the option */
    CHECK_INT(send_train(x.n.p, x.a, bytes, 50, 200, 2), 50);
    CHECK_INT(tapsi_sim_packets_to(x.n.sim, "192.0.2.1:9"), 5);
    CHECK_INT(x.n.p->ops->send(x.n.p, x.a, bytes, 0, 0), 0);
    pair_done(&x);
}

TEST(what_linux_refuses_of_a_train_is_refused)
{
    struct pair x;
    pair_init(&x);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 3000, 1473, 2), -EMSGSIZE); /* a piece larger than the interface */
    CHECK_INT(send_train(x.n.p, x.a, bytes, 1472, 1472, 2), 1472);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 65508, 1400, 2), -EMSGSIZE);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 65507, 1400, 2), 65507);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 129, 1, 2), -EINVAL);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 128, 1, 2), 128);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 100, 50, 1), -EINVAL);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 100, 50, 4), -EINVAL);
    pair_done(&x);
}

TEST(a_reader_of_trains_gets_what_came_together)
{
    struct pair x;
    pair_init(&x);
    set(x.n.q, x.b, IPPROTO_UDP, UDP_GRO, 1);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 2500, 1000, 2), 2500);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 1000, 0, 2), 1000);
    run_for(&x.n, DELAY);
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, MSG_PEEK), 2500);
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), 2500);
    CHECK_INT(got.segment, 1000);
    CHECK(memcmp(got.bytes, bytes, 2500) == 0);
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), 1000);
    CHECK_INT(got.segment, 0);
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), -EAGAIN);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 2500, 1000, 2), 2500);
    run_for(&x.n, DELAY);
    CHECK_INT(get(x.n.q, x.b, &got, 1500, 0), 1500); /* too little room: as in Linux the rest is gone */
    CHECK(got.flags & MSG_TRUNC);
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), -EAGAIN);
    pair_done(&x);
}

TEST(only_what_is_alike_is_joined)
{
    struct pair x;
    pair_init(&x);
    int other = udp4(x.n.p);
    CHECK_INT(connect_to(x.n.p, other, "192.0.2.1", 9), 0);
    set(x.n.q, x.b, IPPROTO_UDP, UDP_GRO, 1);
    CHECK_INT(x.n.p->ops->send(x.n.p, x.a, bytes, 100, 0), 100);
    CHECK_INT(x.n.p->ops->send(x.n.p, x.a, bytes, 101, 0), 101);   /* longer */
    CHECK_INT(x.n.p->ops->send(x.n.p, other, bytes, 101, 0), 101); /* of somebody else */
    set(x.n.p, other, IPPROTO_IP, IP_TOS, 1);
    CHECK_INT(x.n.p->ops->send(x.n.p, other, bytes, 101, 0), 101); /* of another kind */
    CHECK_INT(x.n.p->ops->send(x.n.p, other, bytes, 0, 0), 0);     /* empty, twice */
    CHECK_INT(x.n.p->ops->send(x.n.p, other, bytes, 0, 0), 0);
    run_for(&x.n, DELAY);
    static const int lengths[] = {100, 101, 101, 101, 0, 0};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), lengths[i]);
        CHECK_INT(got.segment, 0);
    }
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), -EAGAIN);
    x.n.p->ops->close(x.n.p, other);
    pair_done(&x);
}

TEST(a_train_loses_pieces_alone)
{
    struct pair x;
    size_t came = 0;
    ssize_t n;
    pair_init(&x);
    set(x.n.q, x.b, IPPROTO_UDP, UDP_GRO, 1);
    tapsi_sim_link_loss(x.n.link, 0.3);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 64000, 1000, 2), 64000);
    run_for(&x.n, DELAY);
    while ((n = get(x.n.q, x.b, &got, sizeof got.bytes, 0)) > 0) {
        CHECK(n % 1000 == 0);
        came += (size_t)n;
    }
    CHECK(came > 30000 && came < 60000);
    pair_done(&x);
}

TEST(a_host_without_trains_ignores_what_it_does_not_know)
{
    struct pair x;
    int one = 1;
    pair_init(&x);
    tapsi_sim_host_no_trains(x.n.client);
    CHECK_INT(x.n.p->ops->setsockopt(x.n.p, x.a, IPPROTO_UDP, UDP_GRO, &one, sizeof one), -ENOPROTOOPT);
    CHECK_INT(x.n.p->ops->setsockopt(x.n.p, x.a, IPPROTO_UDP, UDP_SEGMENT, &one, sizeof one), -ENOPROTOOPT);
    CHECK_INT(send_train(x.n.p, x.a, bytes, 1400, 700, 2), 1400); /* one datagram, as old kernels do */
    run_for(&x.n, DELAY);
    CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), 1400);
    pair_done(&x);
}

TEST(marks_are_for_those_that_can_ecn)
{
    static const int sent[] = {0, 1, 2, 3, 0x48}, marked[] = {0, 3, 3, 3, 0x48};
    struct pair x;
    pair_init(&x);
    set(x.n.q, x.b, IPPROTO_IP, IP_RECVTOS, 1);
    for (int on = 0; on < 2; on++) {
        tapsi_sim_link_mark(x.n.link, on);
        for (int i = 0; i < 5; i++) {
            set(x.n.p, x.a, IPPROTO_IP, IP_TOS, sent[i]);
            CHECK_INT(x.n.p->ops->send(x.n.p, x.a, bytes, 10, 0), 10);
            run_for(&x.n, DELAY);
            CHECK_INT(get(x.n.q, x.b, &got, sizeof got.bytes, 0), 10);
            CHECK_INT(got.tos, on ? marked[i] : sent[i]);
        }
    }
    pair_done(&x);
}
