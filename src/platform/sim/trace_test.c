/* The trace: what stands in it, that it is the same for the same seed in every build, and what it leaves alone. */
#include <ares.h>
#include <arpa/nameser.h>
#include <stdio.h>
#include <stdlib.h>
#include "platform/sim/testnet.h"

struct text {
    char *bytes;
    size_t length;
    FILE *file;
};

static void text_open(struct text *t)
{
    t->file = open_memstream(&t->bytes, &t->length);
    if (!t->file)
        abort();
}

static void text_close(struct text *t)
{
    fclose(t->file);
}

/* FNV-1a, 64 bits. */
static uint64_t digest(const char *text)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        sum = (sum ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return sum;
}

/* A world from its first line to its last. */
struct traced {
    struct net n;
    struct text t;
};

static void traced_init(struct traced *w, uint64_t seed)
{
    struct net *n = &w->n;
    text_open(&w->t);
    tapsi_mem_init(&n->mem, NULL);
    n->sim = tapsi_sim_new(seed);
    tapsi_sim_trace_file(n->sim, w->t.file);
    n->client = tapsi_sim_host_new(n->sim, "client");
    n->server = tapsi_sim_host_new(n->sim, "server");
    n->c = tapsi_sim_interface_new(n->client, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24 2001:db8::2/64");
    n->s = tapsi_sim_interface_new(n->server, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64");
    n->link = tapsi_sim_link_new(n->c, n->s, DELAY);
    tapsi_sim_platform_new(n->client, &n->mem, &n->p);
    tapsi_sim_platform_new(n->server, &n->mem, &n->q);
}

/* The text is then the caller's, in w->t.bytes. */
static void traced_done(struct traced *w)
{
    net_done(&w->n);
    text_close(&w->t);
}

TEST(a_short_world_reads_like_this)
{
    static const char expected[] =
        "0.000000000 -        world   seed 3\n"
        "0.000000000 client   network 2: lo 127.0.0.1/8 ::1/128\n"
        "0.000000000 server   network 2: lo 127.0.0.1/8 ::1/128\n"
        "0.000000000 client   network 3: eth0 192.0.2.2/24 2001:db8::2/64\n"
        "0.000000000 server   network 3: eth0 192.0.2.1/24 2001:db8::1/64\n"
        "0.000000000 -        link    client/eth0 server/eth0 delay 10000000\n"
        "0.000000000 -        note    a question to nobody\n"
        "0.000000000 client   call    socket IPv4 UDP = s0\n"
        "0.000000000 client   call    bind s0 192.0.2.2:7 = 0\n"
        "0.000000000 client   call    connect s0 192.0.2.1:9 = 0\n"
        "0.000000000 client   call    watch s0 = 0\n"
        "0.000000000 client   packet  eth0 UDP 192.0.2.2:7 > 192.0.2.1:9 8 arrives 0.010000000\n"
        "0.000000000 client   call    send s0 8 = 8\n"
        "0.000000000 client   call    wait not at all: s0:OUT = 1\n"
        "0.010000000 server   packet  eth0 ICMP 192.0.2.1:9 > 192.0.2.2:7 8 arrives 0.020000000\n"
        "0.020000000 client   call    wait until 1.000000000: s0:OUT+ERROR = 1\n"
        "0.020000000 client   call    getsockopt s0 SO_ERROR ECONNREFUSED = 0\n"
        "0.020000000 client   failure call 1 from now: ENOBUFS\n"
        "0.020000000 client   call    send s0 8 = -ENOBUFS (asked for)\n"
        "0.020000000 client   network 4: eth0 down\n"
        "0.020000000 client   call    send s0 8 = -ENETUNREACH\n"
        "0.020000000 client   call    unwatch s0 = 0\n"
        "0.020000000 client   call    close s0 = 0\n"
        "0.020000000 client   call    destroy = 0\n"
        "0.020000000 server   call    destroy = 0\n"
        "0.020000000 -        world   ends\n";
    struct traced w;
    struct tapsi_watch watch = {.fd = -1, .ready = ignore_ready};
    struct tapsi_ready ready[EVENTS];
    traced_init(&w, 3);
    struct tapsi_platform *p = w.n.p;
    tapsi_sim_note(w.n.sim, "a question to %s", "nobody");
    int fd = udp4(p);
    bind_to(p, fd, "192.0.2.2", 7);
    connect_to(p, fd, "192.0.2.1", 9);
    p->ops->watch(p, fd, &watch);
    send_text(p, fd, "question");
    p->ops->wait(p, 0, ready, EVENTS);
    p->ops->wait(p, TAPSI_SIM_START + TAPSI_SIM_S, ready, EVENTS);
    so_error(p, fd);
    tapsi_sim_host_fail_call(w.n.client, 1, ENOBUFS);
    send_text(p, fd, "question");
    tapsi_sim_interface_up(w.n.c, false);
    send_text(p, fd, "question");
    p->ops->unwatch(p, &watch);
    p->ops->close(p, fd);
    traced_done(&w);
    if (strcmp(w.t.bytes, expected) != 0)
        printf("# it is\n%s", w.t.bytes);
    CHECK_TEXT(w.t.bytes, expected);
    free(w.t.bytes);
}

/* A world with everything in it. */

static void make_bad(struct net *n)
{
    tapsi_sim_link_jitter(n->link, 3 * TAPSI_SIM_MS);
    tapsi_sim_link_loss(n->link, 0.05);
    tapsi_sim_link_bursts(n->link, 0.01, 0.4);
    tapsi_sim_link_reorder(n->link, 0.1, 5 * TAPSI_SIM_MS);
    tapsi_sim_link_duplicate(n->link, 0.1);
    tapsi_sim_link_rate(n->link, 20 * 1000 * 1000);
    tapsi_sim_link_queue(n->link, 20000);
    tapsi_sim_link_mtu(n->link, 1400, false);
}

static void query(struct net *n, int fd, const char *name)
{
    unsigned char *bytes;
    int length;
    char answer[2000];
    CHECK_INT(ares_create_query(name, ns_c_in, ns_t_a, 7, 1, &bytes, &length, 0), ARES_SUCCESS);
    n->p->ops->send(n->p, fd, bytes, (size_t)length, 0);
    ares_free_string(bytes);
    run_for(n, 2 * RTT);
    n->p->ops->recv(n->p, fd, answer, sizeof answer, 0);
}

static void ask_liars(struct net *n)
{
    struct tapsi_sim_dns *dns = tapsi_sim_dns_new(n->server);
    int fd = udp4(n->p);
    tapsi_sim_dns_answer(dns, "true.test", "A", "192.0.2.1", 3 * TAPSI_SIM_MS);
    connect_to(n->p, fd, "192.0.2.1", 53);
    query(n, fd, "none.test");
    for (unsigned lie = TAPSI_SIM_DNS_HONEST; lie <= TAPSI_SIM_DNS_NOTHING; lie++) {
        tapsi_sim_dns_lie(dns, NULL, NULL, lie, 1);
        query(n, fd, "true.test");
    }
    n->p->ops->close(n->p, fd);
}

static void move_bytes(struct net *n)
{
    static char bytes[40000];
    char back[40000];
    struct tapsi_watch watch = {.fd = -1, .ready = ignore_ready};
    int fd = tcp6(n->p);
    CHECK_INT(connect_to(n->p, fd, "2001:db8::1", 80), -EINPROGRESS);
    CHECK_INT(n->p->ops->watch(n->p, fd, &watch), 0);
    events_for(n, n->p, &watch, TAPSI_SIM_S);
    n->p->ops->send(n->p, fd, bytes, sizeof bytes, 0);
    tapsi_sim_fail_call(n->sim, 3, EINTR);
    for (int i = 0; i < 20; i++) {
        events_for(n, n->p, &watch, 2 * TAPSI_SIM_S);
        n->p->ops->recv(n->p, fd, back, sizeof back, 0);
    }
    n->p->ops->unwatch(n->p, &watch);
    n->p->ops->close(n->p, fd);
}

static char *rich_trace(uint64_t seed)
{
    struct traced w;
    traced_init(&w, seed);
    tapsi_sim_serve(w.n.server, 80, TAPSI_SIM_ECHO);
    ask_liars(&w.n);
    make_bad(&w.n);
    move_bytes(&w.n);
    tapsi_sim_link_up(w.n.link, false);
    tapsi_sim_leap(w.n.sim, 5 * TAPSI_SIM_S);
    tapsi_sim_shift_date(w.n.sim, -1);
    tapsi_sim_fault(w.n.sim, "192.0.2.1:80", TAPSI_SIM_REFUSE);
    tapsi_sim_link_up(w.n.link, true);
    move_bytes(&w.n);
    run_for(&w.n, 100 * TAPSI_SIM_S);
    traced_done(&w);
    return w.t.bytes;
}

TEST(the_same_seed_gives_the_same_text_and_another_does_not)
{
    char *a = rich_trace(1), *b = rich_trace(1), *c = rich_trace(2);
    CHECK(strlen(a) > 10000);
    CHECK(strcmp(a, b) == 0);
    CHECK(strcmp(a, c) != 0);
    free(a);
    free(b);
    free(c);
}

/* Whatever compiled it. Where this fails in one build only, something in the world depends on the build; where it fails
   in all, the world has changed on purpose or not: TAPS_TRACE shows the text. */
TEST(the_text_of_a_fixed_world_is_the_same_in_every_build)
{
    char *a = rich_trace(20261121);
    uint64_t sum = digest(a);
    if (sum != UINT64_C(0x8fdc5d0c624553b6))
        tapsi_test_fail(__FILE__, __LINE__, "the digest is 0x%016llx", (unsigned long long)sum);
    free(a);
}

/* Lines. */

static unsigned lines_with(const char *text, const char *word)
{
    unsigned count = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        count++;
    return count;
}

TEST(notes_and_log_lines_stay_one_line_each)
{
    struct text t;
    char huge[5000];
    text_open(&t);
    struct tapsi_sim *sim = tapsi_sim_new(1);
    tapsi_sim_trace_file(sim, t.file);
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    tapsi_sim_note(sim, "two\nlines\r\tand %d", 1);
    tapsi_sim_note(sim, "%s", huge);
    tapsi_sim_log(sim, TAPS_LOG_WARNING, "beware");
    tapsi_sim_log(sim, (enum taps_log_level)77, "what");
    tapsi_sim_log(sim, TAPS_LOG_DEBUG, "0x7ffe01234567 and 0xabcdef, not 0x10 nor 0x");
    tapsi_sim_free(sim);
    text_close(&t);
    CHECK_INT(lines_with(t.bytes, "\n"), 7);
    CHECK_INT(lines_with(t.bytes, "two lines  and 1\n"), 1);
    CHECK_INT(lines_with(t.bytes, "log     warning: beware\n"), 1);
    CHECK_INT(lines_with(t.bytes, "log     ?: what\n"), 1);
    CHECK_INT(lines_with(t.bytes, "debug: # and #, not 0x10 nor 0x\n"), 1);
    CHECK(t.length < 1200);
    free(t.bytes);
}

TEST(a_trace_may_begin_late_and_end_early)
{
    struct net n;
    struct text t;
    net_init(&n);
    text_open(&t);
    int fd = udp4(n.p);
    tapsi_sim_note(n.sim, "before");
    tapsi_sim_trace_file(n.sim, t.file);
    bind_to(n.p, fd, "192.0.2.2", 7);
    tapsi_sim_trace_file(n.sim, NULL);
    n.p->ops->close(n.p, fd);
    tapsi_sim_note(n.sim, "after");
    net_done(&n);
    text_close(&t);
    CHECK_TEXT(t.bytes, "0.000000000 -        world   seed 7\n"
                        "0.000000000 client   call    bind s0 192.0.2.2:7 = 0\n");
    free(t.bytes);
}

TEST(nothing_is_traced_to_nowhere)
{
    tapsi_sim_trace_file(NULL, stderr);
    tapsi_sim_trace_file(NULL, NULL);
    tapsi_sim_note(NULL, "x");
    tapsi_sim_log(NULL, TAPS_LOG_ERROR, "x");
    struct tapsi_sim *sim = tapsi_sim_new(1);
    tapsi_sim_trace_file(sim, NULL);
    tapsi_sim_note(sim, "x");
    tapsi_sim_log(sim, TAPS_LOG_ERROR, "x");
    CHECK(!tapsi_sim_problem(sim));
    tapsi_sim_free(sim);
}

TEST(a_trace_changes_nothing_in_the_world)
{
    uint64_t elapsed[2], calls[2];
    for (int traced = 0; traced < 2; traced++) {
        struct net n;
        struct text t;
        text_open(&t);
        net_init(&n);
        tapsi_sim_trace_file(n.sim, traced ? t.file : NULL);
        tapsi_sim_serve(n.server, 80, TAPSI_SIM_ECHO);
        make_bad(&n);
        move_bytes(&n);
        elapsed[traced] = tapsi_sim_elapsed(n.sim) + tapsi_sim_packets_to(n.sim, "2001:db8::1");
        calls[traced] = tapsi_sim_calls(n.sim);
        net_done(&n);
        text_close(&t);
        free(t.bytes);
    }
    CHECK_INT(elapsed[0], elapsed[1]);
    CHECK_INT(calls[0], calls[1]);
}

/* Every call that changes something or answers has a line, failures too; `now` and `wake` have none. */
TEST(each_call_of_a_platform_is_a_line)
{
    struct traced w;
    union tapsi_addr a = addr("192.0.2.1", 9);
    struct tapsi_network *network;
    char bytes[8] = "x", *text;
    size_t length;
    struct iovec iov = {bytes, 1};
    struct mmsghdr many[2] = {
        {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}},
        {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &a, .msg_namelen = sizeof a.in}}};
    traced_init(&w, 1);
    struct tapsi_platform *p = w.n.p;
    int fd = udp4(p), stream = tcp6(p);
    p->ops->now(p);
    p->ops->wake(p);
    CHECK_INT(p->ops->descriptor(p), -ENOSYS);
    p->ops->arm(p, TAPSI_FOREVER);
    p->ops->random(p, bytes, sizeof bytes);
    p->ops->sendmmsg(p, fd, many, 2, 0);
    p->ops->sendmsg(p, fd, &many[1].msg_hdr, MSG_MORE);
    p->ops->recvmsg(p, fd, &many[0].msg_hdr, MSG_ERRQUEUE | MSG_PEEK);
    p->ops->recv(p, stream, bytes, 8, 0);
    p->ops->listen(p, stream, 5);
    p->ops->accept(p, stream, &a);
    p->ops->shutdown(p, stream, SHUT_WR);
    p->ops->shutdown(p, 5, 9);
    set_int(p, stream, IPPROTO_TCP, 1 /* TCP_NODELAY */, 1);
    set_int(p, stream, 250, 251, 1);
    p->ops->getsockname(p, fd, &a);
    p->ops->getpeername(p, fd, &a);
    p->ops->unacknowledged(p, fd);
    CHECK_INT(p->ops->network(p, &network), 0);
    tapsi_network_unref(network);
    CHECK_INT(p->ops->read_file(p, "/none", 1, &text, &length), -ENOENT);
    p->ops->socket(p, AF_UNIX, 99, 0);
    tapsi_sim_fail_call(w.n.sim, 1, 9999);
    p->ops->socket(p, AF_INET, SOCK_DGRAM, 0);
    p->ops->close(p, fd);
    p->ops->close(p, stream);
    p->ops->close(p, stream);
    traced_done(&w);
    static const char *const expected[] = {
        "arm for ever = 0",
        "random 8 = 0",
        "sendmmsg s0 1 1 to 192.0.2.1:9 = -EDESTADDRREQ",
        "sendmsg s0 1 to 192.0.2.1:9 more = 1",
        "recvmsg s0 1 peek errors = -EAGAIN",
        "recv s1 8 = -ENOTCONN",
        "listen s1 5 = 0",
        "accept s1 from - = -EAGAIN",
        "shutdown s1 writing = 0",
        "shutdown 5 ? = -EBADF",
        "setsockopt s1 TCP_NODELAY 1 = 0",
        "setsockopt s1 250/251 1 = -ENOPROTOOPT",
        "getpeername s0 - = -ENOTCONN",
        "unacknowledged s0 = 0",
        "network 3 = 0",
        "read_file /none = -ENOENT",
        "socket ? ? = -EAFNOSUPPORT",
        "socket IPv4 UDP = -error 9999 (asked for)",
        "close s1 = 0",
        "close s1 = -EBADF",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        if (!strstr(w.t.bytes, expected[i]))
            tapsi_test_fail(__FILE__, __LINE__, "no line \"%s\"", expected[i]);
    }
    CHECK_INT(lines_with(w.t.bytes, " call "), 27);
    free(w.t.bytes);
}
