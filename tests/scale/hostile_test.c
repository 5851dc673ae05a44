/*
 * Hostile peers on the kernel's loopback: plain sockets that send what breaks a Framer, as much of it as is taken. The
 * Connection of each ends with TAPS_E_DEFRAMING and words, what the library holds meanwhile stays under a cap, and a
 * Connection of the same context that has nothing to do with it goes on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <taps/framer.h>
#include <taps/taps.h>
#include <unistd.h>
#include <zlib.h>
#include "base/test.h"

#define MIB      ((size_t)1024 * 1024)
#define MAXIMUM  ((size_t)262144) /* bytes of a Message, for every Framer here, or less */
#define PART     ((size_t)65536)
#define CAP      (MIB / 2)          /* that a hostile peer may make the library hold */
#define ENDLESS  ((size_t)64 * MIB) /* so much of a stream that goes on is as good as endless */
#define BOMB     (2 * ENDLESS)
#define TURNS    100000
#define GREETING "hello from the other Connection"

/* ----------------------------------------------------------------------------------------------- what is sent */

struct stream {
    const char *framer;
    const char *name, *cause;
    const char *head; /* once, then `unit` again and again */
    size_t head_length;
    const char *unit;
    size_t unit_length; /* 0: the head is all */
};

#define BYTES(text) (text), sizeof(text) - 1
#define NOTHING     NULL, 0
#define HANDSHAKE(extension)                                                                                           \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"          \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" extension "\r\n"
#define WS      "websocket:maximum=64k"
#define WS_HEAD HANDSHAKE("")
#define WS_BOMB "websocket:deflate=on,maximum=256k"
#define HTTP    "http:body-maximum=64k,head-maximum=16k"
#define GET     "GET / HTTP/1.1\r\nHost: a\r\n"
#define MQTT    "mqtt:maximum=64k"
#define CONNECT "\20\15\0\4MQTT\4\2\0\12\0\1c"
#define MASKED  "\0\0\0\0" /* with a key that changes nothing */

static const struct stream streams[] = {
    {"length-prefix:length=8,maximum=64k", "a length of 2^63", "9223372036854775808 bytes was announced",
     BYTES("\200\0\0\0\0\0\0\0"), BYTES("x")},
    {"length-prefix:length=8,maximum=64k", "a length of 2^64-1", "18446744073709551615 bytes was announced",
     BYTES("\377\377\377\377\377\377\377\377"), BYTES("x")},
    {"length-prefix:length=varint,maximum=64k", "an endless varint", "a varint of more than 64 bits", NOTHING,
     BYTES("\200")},
    {"delimiter:maximum=64k", "an endless line", "bytes without the delimiter", NOTHING, BYTES("x")},
    {"netstring:maximum=64k", "an endless length", "a length that begins with", NOTHING, BYTES("9")},
    {"tlv:type=1,length=4,maximum=64k", "a length of 2^32-1", "4294967295 bytes was announced",
     BYTES("\1\377\377\377\377"), BYTES("x")},
    {HTTP, "an endless head", "head-maximum", BYTES(GET), BYTES("X-A: b\r\n")},
    {HTTP, "an endless field", "head-maximum", BYTES(GET "X: "), BYTES("x")},
    {HTTP, "endless trailers", "head-maximum", BYTES(GET "Transfer-Encoding: chunked\r\n\r\n0\r\nX: "), BYTES("x")},
    {HTTP, "endless chunks", "body-maximum", BYTES(GET "Transfer-Encoding: chunked\r\n\r\n"), BYTES("1\r\nx\r\n")},
    {HTTP, "an endless chunk's extension", "extensions are too long", BYTES(GET "Transfer-Encoding: chunked\r\n\r\n1;"),
     BYTES("x")},
    {HTTP, "a chunk of 2^63", "2^63 or more", BYTES(GET "Transfer-Encoding: chunked\r\n\r\n8000000000000000\r\n"),
     BYTES("x")},
    {HTTP, "a Content-Length of 2^63", "below 2^63", BYTES(GET "Content-Length: 9223372036854775808\r\n\r\n"),
     BYTES("x")},
    {WS, "a length of 2^63", "2^63", BYTES(WS_HEAD "\202\377\200\0\0\0\0\0\0\0" MASKED), BYTES("x")},
    {WS, "a length of 2^63-1", "over the maximum", BYTES(WS_HEAD "\202\377\177\377\377\377\377\377\377\377" MASKED),
     BYTES("x")},
    {WS, "no mask", "without a mask", BYTES(WS_HEAD "\202\1x"), BYTES("\202\1x")},
    {WS, "nested fragments", "within a fragmented one", BYTES(WS_HEAD), BYTES("\2\201" MASKED "x")},
    {WS, "endless fragments", "over the maximum", BYTES(WS_HEAD "\2\201" MASKED "x"), BYTES("\0\201" MASKED "x")},
    {MQTT, "an endless length", "more than four bytes", BYTES(CONNECT "\60"), BYTES("\377")},
    {MQTT, "the longest payload", "was announced", BYTES(CONNECT "\60\377\377\377\177\0\1t"), BYTES("x")},
    {MQTT, "endless filters", "more than 256 filters", BYTES(CONNECT "\202\376\377\3\0\1"), BYTES("\0\1t\0")},
};

#define COUNT (sizeof(streams) / sizeof(streams[0]))

/* ------------------------------------------------------------------------------------------------ the context */

struct world {
    taps_context *context;
    size_t live, most; /* bytes of the library's */
    uint16_t port;
    taps_connection *victim, *friend; /* the servers of the hostile peer and of the other one */
    uint64_t got;                     /* bytes of the hostile peer's that were delivered */
    uint64_t rounds;                  /* of the other Connection */
    bool whole;                       /* only whole Messages are received */
    unsigned ends, friend_ends;
    int code;
    char text[256];
};

static void *counting_resize(void *user, void *block, size_t size)
{
    struct world *w = user;
    size_t *old = block ? (size_t *)block - 2 : NULL, was = old ? *old : 0;
    if (size == 0) {
        w->live -= was;
        free(old);
        return NULL;
    }
    size_t *fresh = realloc(old, size + 2 * sizeof(size_t));
    if (!fresh)
        return NULL;
    *fresh = size;
    w->live = w->live - was + size;
    w->most = w->live > w->most ? w->live : w->most;
    return fresh + 2;
}

static void ask(struct world *w)
{
    CHECK_INT(taps_connection_receive(w->victim, w->whole ? SIZE_MAX : 1, w->whole ? SIZE_MAX : PART, NULL), 0);
}

static void victim_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct world *w = user;
    (void)c;
    w->got += m->length;
    ask(w);
}

static void victim_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    struct world *w = user;
    w->ends++;
    w->code = error->code;
    snprintf(w->text, sizeof(w->text), "%s", error->detail);
    taps_connection_free(c);
    w->victim = NULL;
}

static const struct taps_connection_events victim_events = {
    .received = victim_received, .received_partial = victim_received, .connection_error = victim_failed};

/* Both ends of the other Connection: what comes goes back. */
static void friend_received(taps_connection *c, const struct taps_received *m, void *user)
{
    struct world *w = user;
    CHECK(m->length == sizeof(GREETING) - 1 && memcmp(m->data, GREETING, m->length) == 0);
    w->rounds++;
    CHECK_INT(taps_connection_send(c, m->data, m->length, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(c, 1, SIZE_MAX, NULL), 0);
}

static void friend_failed(taps_connection *c, const struct taps_error *error, void *user)
{
    (void)c;
    (void)error;
    ((struct world *)user)->friend_ends++;
}

static const struct taps_connection_events friend_events = {
    .received = friend_received, .establishment_error = friend_failed, .connection_error = friend_failed};

static void on_listening(taps_listener *l, void *user)
{
    ((struct world *)user)->port = taps_endpoint_port(taps_listener_local(l, 0));
}

static void on_victim(taps_listener *l, taps_connection *c, void *user)
{
    struct world *w = user;
    (void)l;
    w->victim = c;
    taps_connection_set_events(c, &victim_events, w);
    ask(w);
}

static void on_friend(taps_listener *l, taps_connection *c, void *user)
{
    (void)l;
    ((struct world *)user)->friend = c;
    taps_connection_set_events(c, &friend_events, user);
    taps_connection_receive(c, 1, SIZE_MAX, NULL);
}

static taps_preconnection *preconnection(struct world *w, const char *framer_text)
{
    taps_preconnection *p = NULL;
    taps_security_parameters *none = NULL;
    taps_framer *framer = NULL;
    CHECK_INT(taps_preconnection_new(w->context, &p), 0);
    CHECK_INT(taps_security_parameters_new_disabled(&none), 0);
    CHECK_INT(taps_preconnection_set_security_parameters(p, none), 0);
    taps_security_parameters_free(none);
    CHECK_INT(taps_framer_new_text(framer_text, &framer), 0);
    CHECK_INT(taps_preconnection_add_framer(p, framer), 0);
    taps_framer_free(framer);
    return p;
}

static void listen_with(struct world *w, const char *framer, bool hostile)
{
    static const struct taps_listener_events for_victim = {.listening = on_listening, .connection_received = on_victim};
    static const struct taps_listener_events for_friend = {.listening = on_listening, .connection_received = on_friend};
    taps_listener *listener;
    taps_preconnection *p = preconnection(w, framer);
    CHECK_INT(taps_preconnection_add_local_text(p, "127.0.0.1:0"), 0);
    CHECK_INT(taps_preconnection_listen(p, hostile ? &for_victim : &for_friend, w, &listener), 0);
    w->port = 0;
    for (int i = 0; i < 1000 && !w->port; i++)
        taps_context_run_once(w->context, 10);
    taps_preconnection_free(p);
}

/* The other Connection, on which a Message is always on its way. */
static void begin(struct world *w)
{
    struct taps_allocator allocator = {counting_resize, w};
    struct taps_context_options options = {.allocator = &allocator};
    taps_connection *client;
    char remote[32];
    memset(w, 0, sizeof(*w));
    CHECK_INT(taps_context_new(&options, &w->context), 0);
    listen_with(w, "length-prefix", false);
    taps_preconnection *p = preconnection(w, "length-prefix");
    snprintf(remote, sizeof(remote), "127.0.0.1:%u", w->port);
    CHECK_INT(taps_preconnection_add_remote_text(p, remote), 0);
    CHECK_INT(taps_preconnection_initiate(p, 10000, &friend_events, w, &client), 0);
    taps_preconnection_free(p);
    CHECK_INT(taps_connection_send(client, GREETING, sizeof(GREETING) - 1, NULL, 0, NULL), 0);
    CHECK_INT(taps_connection_receive(client, 1, SIZE_MAX, NULL), 0);
    for (int i = 0; i < 1000 && w->rounds < 10; i++)
        taps_context_run_once(w->context, 10);
    CHECK(w->rounds >= 10);
}

static void finish(struct world *w)
{
    CHECK_INT(taps_context_free(w->context), 0);
    CHECK_INT(w->live, 0);
}

/* ------------------------------------------------------------------------------------------- the hostile peer */

static int plain_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void drop_answers(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        ;
}

struct attack {
    const char *head, *unit;
    size_t head_length, unit_length;
    size_t sent, total;
    char block[65536]; /* whole units */
    size_t block_length;
};

static void prepare(struct attack *a)
{
    a->block_length = a->unit_length ? sizeof(a->block) / a->unit_length * a->unit_length : 0;
    for (size_t i = 0; i < a->block_length; i++)
        a->block[i] = a->unit[i % a->unit_length];
    a->total = a->unit_length ? ENDLESS : a->head_length;
}

/* As much as is taken. False: the library has reset it. */
static bool push(struct attack *a, int fd)
{
    while (a->sent < a->total) {
        size_t at = a->sent < a->head_length ? a->sent : (a->sent - a->head_length) % a->block_length;
        bool head = a->sent < a->head_length;
        ssize_t n =
            send(fd, (head ? a->head : a->block) + at, (head ? a->head_length : a->block_length) - at, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        a->sent += (size_t)n;
    }
    return true;
}

/* From its connection to the end of the Connection. */
static void attack(struct world *w, struct attack *a)
{
    prepare(a);
    int fd = plain_connect(w->port);
    w->ends = 0;
    w->code = 0;
    w->text[0] = 0;
    w->got = 0;
    for (int i = 0; i < TURNS && !w->ends; i++) {
        push(a, fd);
        drop_answers(fd);
        taps_context_run_once(w->context, 0);
    }
    close(fd);
}

static void check(struct world *w, struct attack *a, const char *framer, const char *name, const char *cause)
{
    listen_with(w, framer, true);
    size_t before = w->live;
    uint64_t rounds = w->rounds;
    w->most = w->live;
    attack(w, a);
    CHECK_INT(w->ends, 1);
    CHECK_INT(w->code, TAPS_E_DEFRAMING);
    CHECK(strstr(w->text, cause) != NULL);
    CHECK(w->most - before <= CAP);
    CHECK(w->got <= (w->whole ? 0 : MAXIMUM));
    for (int i = 0; i < 1000 && w->rounds < rounds + 100; i++)
        taps_context_run_once(w->context, 10);
    CHECK(w->rounds >= rounds + 100);
    CHECK_INT(w->friend_ends, 0);
    if (tapsi_test_failed())
        printf("# %s, %s%s: \"%s\" after %zu KiB, with %zu KiB held\n", framer, name, w->whole ? ", whole" : "",
               w->text, a->sent / 1024, (w->most - before) / 1024);
}

/* proves API-124: what cannot be is a receive error and the end, and of nobody else. */
TEST(hostile_frames_end_their_connection_and_no_other_and_hold_little)
{
    struct world w;
    struct attack *a = malloc(sizeof(*a));
    tapsi_test_limit(300);
    begin(&w);
    for (size_t i = 0; i < 2 * COUNT; i++) {
        const struct stream *s = &streams[i % COUNT];
        w.whole = i >= COUNT;
        *a = (struct attack){s->head, s->unit, s->head_length, s->unit_length, 0, 0, "", 0};
        check(&w, a, s->framer, s->name, s->cause);
    }
    finish(&w);
    free(a);
}

/* BOMB zeros as one masked Message that is compressed. */
static size_t bomb(char *to, size_t room)
{
    static const char head[] = HANDSHAKE("Sec-WebSocket-Extensions: permessage-deflate\r\n");
    static Bytef zeros[65536];
    size_t at = sizeof(head) - 1;
    z_stream z = {.avail_out = 0};
    memcpy(to, head, at);
    CHECK_INT(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = (Bytef *)to + at + 14;
    z.avail_out = (uInt)(room - at - 14);
    for (size_t i = 0; i < BOMB; i += sizeof(zeros)) {
        z.next_in = zeros;
        z.avail_in = sizeof(zeros);
        CHECK_INT(deflate(&z, i + sizeof(zeros) < BOMB ? Z_NO_FLUSH : Z_SYNC_FLUSH), Z_OK);
    }
    CHECK(z.avail_out > 0);
    uint64_t length = z.total_out - 4; /* RFC 7692, 7.2.1: without 00 00 ff ff */
    deflateEnd(&z);
    memcpy(to + at, "\302\377", 2);
    for (int i = 0; i < 8; i++)
        to[at + 2 + (size_t)i] = (char)(length >> (56 - 8 * i));
    memcpy(to + at + 10, MASKED, 4);
    return at + 14 + length;
}

TEST(a_compression_bomb_ends_its_connection_and_no_other_and_holds_little)
{
    struct world w;
    struct attack *a = calloc(1, sizeof(*a));
    char *bytes = malloc(MIB);
    tapsi_test_limit(300);
    begin(&w);
    size_t length = bomb(bytes, MIB);
    CHECK(length < BOMB / 500);
    for (int whole = 0; whole < 2; whole++) {
        w.whole = whole;
        *a = (struct attack){.head = bytes, .head_length = length};
        check(&w, a, WS_BOMB, "128 MiB of zeros", "inflates to more than the maximum");
    }
    free(bytes);
    finish(&w);
    free(a);
}
