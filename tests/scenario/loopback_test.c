/* A Connection Group on the kernel: eight over loopback to a plain sink that reads as much as it likes of what there
   is, from one socket after the other, and counts. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <taps/taps.h>
#include <time.h>
#include <unistd.h>

#include "base/test.h"

#define MEMBERS 8
#define RATE    UINT64_C(60000000) /* bytes a second that the sink reads, of all together */
#define CHUNK   8192
#define LENGTH  20000 /* of a Message */
#define QUEUED  4

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* -------------------------------------------------------------------------------------------------- the sink */

struct sink {
    pthread_t thread;
    int listener, fds[MEMBERS];
    uint16_t port;
    unsigned count, next;
    unsigned who[MEMBERS]; /* the part on each socket, which says so in every byte; 0 = not known */
    atomic_ullong bytes[MEMBERS];
    atomic_bool stop;
};

static bool sink_open(struct sink *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    int small = 64 * 1024;
    memset(s, 0, sizeof(*s));
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (bind(s->listener, (struct sockaddr *)&a, length) || listen(s->listener, MEMBERS) ||
        getsockname(s->listener, (struct sockaddr *)&a, &length))
        return false;
    s->port = ntohs(a.sin_port);
    return true;
}

/* From the next socket that has something: false where none has. */
static bool read_some(struct sink *s, uint64_t *left)
{
    static char bytes[CHUNK];
    for (unsigned i = 0; i < s->count; i++) {
        unsigned at = s->next++ % s->count;
        ssize_t got = recv(s->fds[at], bytes, CHUNK, MSG_DONTWAIT);
        if (got <= 0)
            continue;
        s->who[at] = (unsigned char)bytes[0];
        if (s->who[at] && s->who[at] <= MEMBERS)
            atomic_fetch_add(&s->bytes[s->who[at] - 1], (unsigned long long)got);
        *left -= (uint64_t)got < *left ? (uint64_t)got : *left;
        return true;
    }
    return false;
}

static void *run_sink(void *arg)
{
    struct sink *s = arg;
    uint64_t last = now_ns(), left = 0;
    while (!atomic_load(&s->stop)) {
        struct pollfd waits = {.fd = s->listener, .events = POLLIN};
        if (s->count < MEMBERS && poll(&waits, 1, 0) == 1 &&
            (s->fds[s->count] = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
            s->count++;
        uint64_t now = now_ns(), more = (now - last) * RATE / 1000000000u;
        last = now;
        left = left + more < RATE / 100 ? left + more : RATE / 100; /* what it could not read in time is lost */
        while (left && read_some(s, &left))
            continue;
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); /* its slowness */
    }
    for (unsigned i = 0; i < s->count; i++)
        close(s->fds[i]);
    close(s->listener);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------- the group */

struct part {
    taps_connection *connection;
    struct group *group;
    char bytes[LENGTH]; /* its number */
};

struct group {
    struct part parts[MEMBERS];
    unsigned ready, failed;
};

static void send_one(struct part *p)
{
    if (taps_connection_send(p->connection, p->bytes, LENGTH, NULL, TAPS_SEND_LEND, NULL))
        p->group->failed++;
}

static const struct taps_connection_events events;

static void on_ready(taps_connection *c, void *user)
{
    struct part *p = user;
    struct group *g = p->group;
    char text[20];
    snprintf(text, sizeof(text), "%d", (int)(840 / (p - g->parts + 1)));
    CHECK_INT(taps_connection_set_property(c, "connPriority", text), 0);
    for (unsigned i = 1; i < MEMBERS && p == g->parts; i++)
        CHECK_INT(taps_connection_clone(c, NULL, NULL, &events, &g->parts[i], &g->parts[i].connection), 0);
    g->ready++;
    for (unsigned i = 0; i < QUEUED; i++)
        send_one(p);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    (void)c;
    (void)tag;
    send_one(user);
}

static void on_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    ((struct part *)user)->group->failed++;
    tapsi_test_fail(__FILE__, __LINE__, "%s", error->detail);
}

static const struct taps_connection_events events = {
    .ready = on_ready, .sent = on_sent, .establishment_error = on_failed, .connection_error = on_failed};

static int initiate(taps_context *context, struct group *g, uint16_t port)
{
    taps_preconnection *p;
    taps_security_parameters *none;
    char remote[40];
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", port);
    taps_security_parameters_new_disabled(&none);
    taps_preconnection_new(context, &p);
    taps_preconnection_add_remote_text(p, remote);
    taps_preconnection_set_security_parameters(p, none);
    int err = taps_preconnection_initiate(p, 0, &events, &g->parts[0], &g->parts[0].connection);
    taps_preconnection_free(p);
    taps_security_parameters_free(none);
    return err;
}

static void run_ms(taps_context *context, const struct group *g, uint64_t ms)
{
    uint64_t until = now_ns() + ms * 1000000u;
    while (now_ns() < until && !g->failed)
        taps_context_run_once(context, 10);
}

/* What came of each since the last call, whose `bytes` these are; at first they are 0. */
static uint64_t count(struct sink *sink, uint64_t *bytes)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < MEMBERS; i++) {
        bytes[i] = atomic_load(&sink->bytes[i]) - bytes[i];
        total += bytes[i];
    }
    return total;
}

/* proves API-081 and API-084: eight at full load, weights 1 .. 8, within 10 % of the ideal, on the kernel */
TEST(eight_at_full_load_share_by_their_priorities_on_the_kernel)
{
    static struct group g;
    static struct sink sink;
    uint64_t bytes[MEMBERS] = {0};
    taps_context *context;
    memset(&g, 0, sizeof(g));
    for (unsigned i = 0; i < MEMBERS; i++) {
        g.parts[i].group = &g;
        memset(g.parts[i].bytes, (int)i + 1, LENGTH);
    }
    NEED(sink_open(&sink) && pthread_create(&sink.thread, NULL, run_sink, &sink) == 0);
    NEED(taps_context_new(NULL, &context) == 0);
    CHECK_INT(initiate(context, &g, sink.port), 0);
    run_ms(context, &g, 1000); /* buffers fill, evenly, and those of small shares run dry */
    CHECK_INT(g.ready, MEMBERS);
    count(&sink, bytes);
    run_ms(context, &g, tapsi_test_rounds(2000, 2000, 10000));
    uint64_t total = count(&sink, bytes);
    for (unsigned i = 0; i < MEMBERS; i++) {
        double of_ideal = (double)bytes[i] * 36 / (double)total / (i + 1);
        if (of_ideal < 0.9 || of_ideal > 1.1)
            tapsi_test_fail(__FILE__, __LINE__, "weight %u has %.3f of its share of %llu", i + 1, of_ideal,
                            (unsigned long long)total);
    }
    CHECK_INT(g.failed, 0);
    CHECK_INT(taps_context_free(context), 0);
    atomic_store(&sink.stop, true);
    pthread_join(sink.thread, NULL);
}
