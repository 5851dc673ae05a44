/*
 * Much data and little memory, on the kernel's loopback: a receiver that stops, a sender whose peer stops, and one
 * Message of gigabytes in parts. The peers that push or stop are plain sockets. What is measured is the resident memory
 * of this process, both ends of the last test in it, and what the library asks its allocator for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <taps/taps.h>
#include <unistd.h>
#include "base/test.h"

#define KIB   ((uint64_t)1024)
#define MIB   (1024 * KIB)
#define GIB   (1024 * MIB)
#define BLOCK 65536
#define STILL 200 /* turns without a byte: nothing moves any more */

static uint8_t pattern[2 * BLOCK]; /* of every stream: by place, modulo BLOCK */

static uint64_t resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%lu %lu", &size, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t rounds_of(uint64_t normal, uint64_t sanitized, uint64_t thorough)
{
    return tapsi_test_rounds((unsigned)(normal / MIB), (unsigned)(sanitized / MIB), (unsigned)(thorough / MIB)) * MIB;
}

/* ------------------------------------------------------------------------------------------------- the library's */

struct count {
    size_t live, most; /* bytes */
};

static void *counting_resize(void *user, void *block, size_t size)
{
    struct count *count = user;
    size_t *old = block ? (size_t *)block - 2 : NULL, was = old ? *old : 0;
    if (size == 0) {
        count->live -= was;
        free(old);
        return NULL;
    }
    size_t *fresh = realloc(old, size + 2 * sizeof(size_t));
    if (!fresh)
        return NULL;
    *fresh = size;
    count->live = count->live - was + size;
    count->most = count->live > count->most ? count->live : count->most;
    return fresh + 2;
}

struct end {
    taps_context *context;
    taps_preconnection *preconnection;
    taps_listener *listener;
    taps_connection *connection;
    struct count count;
    uint16_t port;
    bool ready, paused, ended, final;
    uint64_t received, sent, to_send, wrong, events, taken, told;
    int code;
};

static void on_ready(taps_connection *c, void *user)
{
    (void)c;
    ((struct end *)user)->ready = true;
}

static void on_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    struct end *e = user;
    (void)c;
    e->ended = true;
    e->code = error->code;
}

static void on_closed(taps_connection *c, void *user)
{
    (void)c;
    ((struct end *)user)->ended = true;
}

static void ask(struct end *e)
{
    if (!e->paused && !e->final)
        CHECK_INT(taps_connection_receive(e->connection, 1, BLOCK, NULL), 0);
}

static void on_bytes(taps_connection *c, const struct taps_received *m, void *user)
{
    struct end *e = user;
    (void)c;
    e->wrong += m->length && memcmp(m->data, pattern + e->received % BLOCK, m->length) != 0;
    e->received += m->length;
    e->events++;
    e->final = m->final;
    ask(e);
}

/* As many parts of one endless Message as the bound allows. */
static void push(struct end *e)
{
    int err = 0;
    while (!err && e->sent < e->to_send) {
        uint64_t left = e->to_send - e->sent;
        size_t at = e->sent % BLOCK, length = left < BLOCK ? (size_t)left : BLOCK;
        unsigned last = length == left ? 0 : TAPS_SEND_PARTIAL;
        err = taps_connection_send(e->connection, pattern + at, length, NULL, TAPS_SEND_LEND | last, NULL);
        if (!err) {
            e->sent += length;
            e->taken++;
        }
    }
    CHECK(err == 0 || err == TAPS_E_FULL);
}

static void on_sent(taps_connection *c, void *tag, void *user)
{
    struct end *e = user;
    (void)c;
    (void)tag;
    e->told++;
    if (e->to_send)
        push(e);
}

static const struct taps_connection_events events = {.ready = on_ready,
                                                     .establishment_error = on_failed,
                                                     .connection_error = on_failed,
                                                     .closed = on_closed,
                                                     .sent = on_sent,
                                                     .received = on_bytes,
                                                     .received_partial = on_bytes};

static void on_listening(taps_listener *l, void *user)
{
    ((struct end *)user)->port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_connection(taps_listener *l, taps_connection *c, void *user)
{
    struct end *e = user;
    (void)l;
    e->connection = c;
    e->ready = true;
    taps_connection_set_events(c, &events, e);
}

static const struct taps_listener_events listener_events = {.listening = on_listening,
                                                            .connection_received = on_connection};

static void open_end(struct end *e, const char *send_buffer)
{
    struct taps_allocator allocator = {counting_resize, &e->count};
    struct taps_context_options options = {.allocator = &allocator};
    taps_security_parameters *none;
    taps_transport_properties *properties;
    memset(e, 0, sizeof(*e));
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i % BLOCK * 131 >> 4);
    CHECK_INT(taps_context_new(&options, &e->context), 0);
    CHECK_INT(taps_preconnection_new(e->context, &e->preconnection), 0);
    taps_security_parameters_new_disabled(&none);
    taps_preconnection_set_security_parameters(e->preconnection, none);
    taps_security_parameters_free(none);
    taps_transport_properties_new(&properties);
    if (send_buffer)
        CHECK_INT(taps_transport_properties_set(properties, "_taps.sendBuffer", send_buffer), 0);
    taps_preconnection_set_transport_properties(e->preconnection, properties);
    taps_transport_properties_free(properties);
}

static void turn(struct end *e)
{
    taps_context_run_once(e->context, 0);
}

static void listen_on_loopback(struct end *e)
{
    taps_preconnection_add_local_text(e->preconnection, "127.0.0.1:0");
    CHECK_INT(taps_preconnection_listen(e->preconnection, &listener_events, e, &e->listener), 0);
    for (int i = 0; i < 1000 && !e->port; i++)
        taps_context_run_once(e->context, 10);
}

static void initiate(struct end *e, uint16_t port)
{
    char remote[32];
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", port);
    taps_preconnection_add_remote_text(e->preconnection, remote);
    CHECK_INT(taps_preconnection_initiate(e->preconnection, 0, &events, e, &e->connection), 0);
}

static void close_end(struct end *e)
{
    CHECK_INT(taps_context_free(e->context), 0);
    CHECK_INT(e->count.live, 0);
}

/* ------------------------------------------------------------------------------------------------------ plain ones */

static int plain_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    return fd;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (
        struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int plain_connect(uint16_t port)
{
    int fd = plain_socket();
    struct sockaddr_in to = loopback(port);
    CHECK_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Listens, and reads nothing of what it accepts until it is told to. */
static int plain_listen(uint16_t *ret_port)
{
    int fd = plain_socket();
    struct sockaddr_in at = loopback(0);
    socklen_t length = sizeof(at);
    CHECK_INT(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    CHECK_INT(listen(fd, 1), 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* Pushes until it would block, or `total` has gone. */
static bool plain_push(int fd, uint64_t *sent, uint64_t total)
{
    bool any = false;
    while (*sent < total) {
        size_t at = *sent % BLOCK, length = total - *sent < BLOCK ? (size_t)(total - *sent) : BLOCK;
        ssize_t n = send(fd, pattern + at, length, MSG_NOSIGNAL);
        if (n <= 0) {
            CHECK(errno == EAGAIN);
            return any;
        }
        *sent += (uint64_t)n;
        any = true;
    }
    return any;
}

/* ------------------------------------------------------------------------------------------------------------ tests */

/* Until the sender blocks and stays so. */
static void push_until_still(struct end *e, int fd, uint64_t *sent, uint64_t total)
{
    for (int still = 0; still < STILL && *sent < total; still++) {
        uint64_t before = e->received;
        bool moved = plain_push(fd, sent, total);
        turn(e);
        still = moved || e->received > before ? 0 : still;
    }
}

/* proves API-121: a receiver that stops now and then, and a plain sender that pushes as much as it can. */
TEST(a_receiver_that_stops_holds_the_sender_up_and_not_its_bytes)
{
    struct end e;
    const uint64_t total = rounds_of(64 * MIB, 64 * MIB, GIB), stops = 4;
    uint64_t sent = 0, most = 0;
    tapsi_test_limit(300);
    open_end(&e, NULL);
    listen_on_loopback(&e);
    int fd = plain_connect(e.port);
    for (int i = 0; i < 1000 && !e.connection; i++)
        taps_context_run_once(e.context, 10);
    NEED(e.connection);
    ask(&e);
    for (int i = 0; i < 100; i++) { /* warm */
        plain_push(fd, &sent, MIB);
        turn(&e);
    }
    uint64_t before = resident();
    for (uint64_t stop = 1; stop <= stops; stop++) {
        e.paused = true;
        push_until_still(&e, fd, &sent, total);
        uint64_t held_up = sent, received = e.received;
        for (int i = 0; i < STILL; i++) {
            turn(&e);
            plain_push(fd, &sent, total);
        }
        CHECK_INT(sent, held_up); /* it stands still, however often it tries */
        CHECK_INT(e.received, received);
        CHECK(sent < total);
        most = resident() > most ? resident() : most;
        e.paused = false;
        ask(&e);
        while (e.received < total * stop / stops && !e.ended) {
            plain_push(fd, &sent, total);
            taps_context_run_once(e.context, 100);
        }
        most = resident() > most ? resident() : most;
    }
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 1000 && !e.final; i++)
        taps_context_run_once(e.context, 10);
    CHECK(e.final);
    CHECK_INT(e.received, total);
    CHECK_INT(e.wrong, 0);
    uint64_t growth = most > before ? most - before : 0;
    printf("# %llu MiB, resident memory grew by %llu KiB; the library had %zu KiB at most\n",
           (unsigned long long)(total / MIB), (unsigned long long)(growth / KIB), e.count.most / 1024);
    CHECK(tapsi_test_sanitized() || growth < 4 * MIB);
    CHECK(e.count.most < 2 * MIB);
    close(fd);
    close_end(&e);
}

/* Sends until nothing more is taken and nothing moves. */
static void send_until_still(struct end *e, size_t length)
{
    static uint8_t bytes[262144];
    for (int still = 0; still < STILL; still++) {
        uint64_t told = e->told;
        int err = 0;
        while (!err && (err = taps_connection_send(e->connection, bytes, length, NULL, 0, NULL)) == 0)
            e->taken++;
        CHECK_INT(err, TAPS_E_FULL);
        turn(e);
        still = e->told > told ? 0 : still;
    }
}

/* With a bound of 1 MiB: the bytes stay under it, and the memory under it and what copies may waste. */
TEST(a_sender_to_a_stopped_peer_stays_under_its_bound)
{
    static const size_t lengths[] = {1, 100, 1000, 10000, 65536, 262144};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct end e;
        struct taps_value queued = {.integer = 0};
        uint16_t port;
        int listener = plain_listen(&port);
        open_end(&e, "1048576");
        initiate(&e, port);
        for (int n = 0; n < 1000 && !e.ready; n++)
            taps_context_run_once(e.context, 10);
        int fd = accept(listener, NULL, NULL);
        size_t before = e.count.live;
        send_until_still(&e, lengths[i]);
        taps_connection_get_value(e.connection, TAPS_QUEUED_BYTES, &queued);
        printf("# of %zu bytes: %llu taken, %llu bytes queued, %zu KiB of memory\n", lengths[i],
               (unsigned long long)e.taken, (unsigned long long)queued.integer, (e.count.most - before) / 1024);
        CHECK(queued.integer <= MIB && queued.integer > 0);
        CHECK(e.count.most - before <= MIB + 256 * KIB);
        uint64_t got = 0;
        while (got < e.taken * lengths[i] && !e.ended) { /* it reads again: all that was taken arrives */
            static uint8_t sink[BLOCK];
            ssize_t n = recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
            got += n > 0 ? (uint64_t)n : 0;
            turn(&e);
        }
        for (int n = 0; n < 100 && e.told < e.taken; n++)
            turn(&e);
        CHECK_INT(e.told, e.taken);
        close(fd);
        close(listener);
        close_end(&e);
    }
}

/* proves API-112, API-122, API-123: gigabytes, with a bound of 1 MiB at the sender and parts at the receiver. */
TEST(one_message_of_gigabytes_goes_in_parts)
{
    struct end from, to;
    const uint64_t total = rounds_of(256 * MIB, 32 * MIB, 10 * GIB);
    uint64_t before = 0, most = 0;
    tapsi_test_limit(900);
    open_end(&to, NULL);
    listen_on_loopback(&to);
    open_end(&from, "1048576");
    initiate(&from, to.port);
    for (int i = 0; i < 1000 && !(from.ready && to.connection); i++) {
        taps_context_run_once(from.context, 1);
        taps_context_run_once(to.context, 1);
    }
    NEED(to.connection);
    from.to_send = total;
    ask(&to);
    push(&from);
    for (uint64_t i = 0; to.received < total && !to.ended && !from.ended; i++) {
        turn(&from);
        turn(&to);
        if (!before && to.received > 8 * MIB)
            before = resident();
        if (i % 64 == 0 && before && resident() > most)
            most = resident();
    }
    CHECK_INT(to.received, total);
    CHECK_INT(to.wrong, 0);
    for (int i = 0; i < 1000 && from.told < from.taken; i++)
        turn(&from);
    CHECK_INT(from.told, from.taken);
    uint64_t growth = most > before ? most - before : 0;
    printf("# %llu MiB, resident memory grew by %llu KiB; the sender had %zu KiB at most, the receiver %zu\n",
           (unsigned long long)(total / MIB), (unsigned long long)(growth / KIB), from.count.most / 1024,
           to.count.most / 1024);
    CHECK(tapsi_test_sanitized() || growth < 8 * MIB);
    CHECK(from.count.most < 2 * MIB && to.count.most < 2 * MIB);
    CHECK_INT(taps_connection_close(from.connection), 0);
    for (int i = 0; i < 1000 && !from.ended; i++) {
        taps_context_run_once(from.context, 1);
        taps_context_run_once(to.context, 1);
    }
    CHECK(to.final && from.ended && !from.code);
    close_end(&from);
    close_end(&to);
}
