/*
 * The resolver between files and a name server that the input writes: hosts, resolv.conf, names, and every answer, as
 * a message put together here or as bare bytes, over UDP and after truncation over TCP, late, twice or never. Each
 * question has one answer in the end, of its family, and nothing is left.
 */
#include <stdio.h>
#include "input.h"
#include "loop/resolve.h"
#include "platform/sim/sim.h"
#include "support.h"

#define QUESTIONS  6
#define ANSWER_MAX 4096
#define PATIENCE   (600 * TAPSI_SIM_S)

struct question {
    struct scene *scene;
    int family;
    bool taken;
    unsigned answered;
    struct tapsi_query *query, *cancels; /* in its answer */
};

struct scene {
    struct fuzz_input in;
    struct fuzz_memory memory;
    struct tapsi_mem mem, plain;
    struct tapsi_sim *sim;
    struct tapsi_sim_host *client, *server;
    struct tapsi_sim_service *tcp;
    struct tapsi_platform *platform;
    struct tapsi_loop loop;
    struct tapsi_resolver *resolver;
    struct question questions[QUESTIONS];
    unsigned asked;
};

/* ------------------------------------------------------------------------------------------------ the server */

struct message {
    uint8_t bytes[ANSWER_MAX];
    size_t length;
};

static void put(struct message *m, const void *bytes, size_t count)
{
    if (count > sizeof(m->bytes) - m->length)
        count = sizeof(m->bytes) - m->length;
    if (count)
        memcpy(m->bytes + m->length, bytes, count);
    m->length += count;
}

static void put_16(struct message *m, unsigned value)
{
    put(m, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

/* "name" as labels; `how` may point at the question, at itself or anywhere instead. */
static void put_name(struct scene *s, struct message *m)
{
    unsigned how = fuzz_below(&s->in, 8);
    if (how < 4) {
        put_16(m, 0xc00c);
    } else if (how == 4) {
        put_16(m, 0xc000 | (unsigned)m->length);
    } else if (how == 5) {
        put_16(m, 0xc000 | fuzz_below(&s->in, 16384));
    } else {
        for (unsigned labels = fuzz_below(&s->in, 8); labels > 0 && s->in.left; labels--) {
            size_t count;
            const uint8_t *at = fuzz_bytes(&s->in, fuzz_below(&s->in, 64), &count);
            uint8_t length = (uint8_t)count;
            put(m, &length, 1);
            put(m, at, count);
        }
        if (how == 6)
            put(m, "", 1);
        else
            put_16(m, 0xc00c);
    }
}

static void put_data(struct scene *s, struct message *m, unsigned type)
{
    size_t at = m->length, count;
    put_16(m, 0);
    if (type == 5) {
        put_name(s, m);
    } else {
        unsigned length = type == 1 ? 4 : type == 28 ? 16 : fuzz_below(&s->in, 64);
        if (fuzz_below(&s->in, 16) == 15)
            length = fuzz_below(&s->in, 32);
        const uint8_t *bytes = fuzz_bytes(&s->in, length, &count);
        put(m, bytes, count);
    }
    if (m->length < at + 2)
        return;
    unsigned length = (unsigned)(m->length - at - 2);
    if (fuzz_below(&s->in, 16) == 15)
        length = (unsigned)fuzz_number(&s->in, 2);
    m->bytes[at] = (uint8_t)(length >> 8);
    m->bytes[at + 1] = (uint8_t)length;
}

static void put_record(struct scene *s, struct message *m)
{
    static const unsigned types[] = {1, 28, 5, 1, 28, 6, 41, 65};
    unsigned which = fuzz_below(&s->in, 16), type = which < 8 ? types[which] : which < 12 ? 1 : 28;
    put_name(s, m);
    put_16(m, type);
    put_16(m, 1);
    put_16(m, 0);
    put_16(m, fuzz_below(&s->in, 256));
    put_data(s, m, type);
}

/* Header and question are those of the query, but for what the input changes. */
static void compose(struct scene *s, struct message *m, const uint8_t *query, size_t count)
{
    unsigned flags = fuzz_below(&s->in, 256), records = fuzz_below(&s->in, 32), said = records;
    put(m, query, count < 512 ? count : 512);
    if (m->length < 12)
        return;
    m->bytes[2] = 0x81;
    m->bytes[3] = 0x80;
    if (flags & 1)
        m->bytes[3] |= fuzz_below(&s->in, 16) & 15; /* rcode */
    if (flags & 2)
        m->bytes[2] |= 2; /* TC */
    if ((flags & 12) == 12)
        m->bytes[fuzz_below(&s->in, 12)] ^= (uint8_t)fuzz_number(&s->in, 1);
    if ((flags & 48) == 48)
        said = (unsigned)fuzz_number(&s->in, 2);
    m->bytes[6] = (uint8_t)(said >> 8);
    m->bytes[7] = (uint8_t)said;
    m->bytes[10] = m->bytes[11] = 0; /* no EDNS of the query's */
    for (size_t at = 12; at < m->length; at++) {
        if (m->bytes[at] == 0) {
            if (m->length > at + 5)
                m->length = at + 5;
            break;
        }
    }
    for (unsigned i = 0; i < records && s->in.left; i++)
        put_record(s, m);
}

static void invent(struct scene *s, struct message *m, const uint8_t *query)
{
    size_t count;
    const uint8_t *at = fuzz_bytes(&s->in, fuzz_below(&s->in, 1024), &count);
    if (fuzz_below(&s->in, 4) < 3)
        put(m, query, 2);
    put(m, at, count);
}

static void make_answer(struct scene *s, struct message *m, const uint8_t *query, size_t count)
{
    m->length = 0;
    if (fuzz_below(&s->in, 4) == 3)
        invent(s, m, query);
    else
        compose(s, m, query, count);
}

/* What a client that comes again over TCP will be told: its query has the same number. */
static void arm_tcp(struct scene *s, const uint8_t *query, size_t count)
{
    struct message m, framed = {.length = 0};
    make_answer(s, &m, query, count);
    put_16(&framed, fuzz_below(&s->in, 8) == 7 ? (unsigned)fuzz_number(&s->in, 2) : (unsigned)m.length);
    put(&framed, m.bytes, m.length);
    tapsi_sim_service_bytes(s->tcp, framed.bytes, framed.length);
}

static void on_query(void *arg, struct tapsi_sim_udp *udp, const union tapsi_addr *from, const union tapsi_addr *to,
                     const uint8_t *bytes, size_t count)
{
    struct scene *s = arg;
    struct message m;
    unsigned how = fuzz_below(&s->in, 16), times = how == 15 ? 0 : how == 14 ? 2 : 1;
    uint64_t delay = fuzz_below(&s->in, 4) ? 0 : fuzz_below(&s->in, 256) * 20 * TAPSI_SIM_MS;
    if (count < 2)
        return;
    for (unsigned i = 0; i < times; i++) {
        make_answer(s, &m, bytes, count);
        tapsi_sim_udp_reply(udp, to, from, m.bytes, m.length, delay);
    }
    if (m.length > 2 && times && (m.bytes[2] & 2))
        arm_tcp(s, bytes, count);
}

/* --------------------------------------------------------------------------------------------- the questions */

static void on_answer(void *user, const union tapsi_addr *addresses, size_t count, const char *source,
                      const struct tapsi_error *error)
{
    struct question *q = user;
    CHECK(q->taken && q->answered == 0);
    q->answered++;
    q->query = NULL;
    if (error) {
        CHECK(count == 0 && error->pub.code < 0 && error->text[0]);
    } else {
        CHECK(count >= 1 && count <= TAPSI_RESOLVE_MAX);
        CHECK(strcmp(source, "dns") == 0 || strcmp(source, "hosts") == 0 || strcmp(source, "literal") == 0);
        for (size_t i = 0; i < count; i++)
            CHECK(addresses[i].sa.sa_family == q->family && tapsi_addr_port(&addresses[i]) == 0);
    }
    if (q->cancels && q->cancels != q->query) {
        for (unsigned i = 0; i < q->scene->asked; i++) {
            struct question *other = &q->scene->questions[i];
            if (other->query == q->cancels) {
                tapsi_query_cancel(other->query);
                other->query = NULL;
                other->taken = false;
            }
        }
    }
}

static void ask(struct scene *s, const char *name, int family)
{
    struct question *q = &s->questions[s->asked];
    struct tapsi_error error = {0};
    *q = (struct question){.scene = s, .family = family, .taken = true};
    int err = tapsi_resolver_query(s->resolver, name, family, on_answer, q, &q->query, &error);
    if (err) {
        CHECK(error.pub.code == err && error.text[0]);
        q->taken = false;
    } else if (s->asked && fuzz_below(&s->in, 8) == 7) {
        s->questions[s->asked - 1].cancels = q->query;
    }
    s->asked++;
}

static void run(struct scene *s, uint64_t ns)
{
    uint64_t until = tapsi_sim_now(s->sim) + ns;
    while (tapsi_sim_now(s->sim) < until) {
        bool waiting = false;
        for (unsigned i = 0; i < s->asked; i++)
            waiting |= s->questions[i].taken && !s->questions[i].answered;
        if (!waiting)
            break;
        tapsi_loop_turn(&s->loop, until);
    }
}

/* -------------------------------------------------------------------------------------------------- the scene */

static void write_file(struct scene *s, const char *path, const char *before)
{
    char *text = fuzz_until(&s->in, '\0'), *whole;
    if (asprintf(&whole, "%s%s", before, text) < 0)
        abort();
    tapsi_sim_file(s->client, path, whole);
    free(whole);
    free(text);
}

static bool set_scene(struct scene *s)
{
    struct tapsi_resolver_options options = {0};
    tapsi_mem_init(&s->plain, NULL);
    fuzz_memory_init(&s->memory, 0);
    tapsi_mem_init(&s->mem, &s->memory.allocator);
    s->sim = tapsi_sim_new(3);
    s->client = tapsi_sim_host_new(s->sim, "client");
    s->server = tapsi_sim_host_new(s->sim, "server");
    tapsi_sim_link_new(
        tapsi_sim_interface_new(s->client, "eth0", TAPSI_IF_ETHERNET, "192.0.2.2/24 2001:db8::2/64 fe80::2/64"),
        tapsi_sim_interface_new(s->server, "eth0", TAPSI_IF_ETHERNET, "192.0.2.1/24 2001:db8::1/64 fe80::1/64"),
        TAPSI_SIM_MS);
    unsigned choice = fuzz_below(&s->in, 256);
    write_file(s, "/etc/resolv.conf", choice & 1 ? "" : "nameserver 192.0.2.1\n");
    write_file(s, "/etc/hosts", "");
    tapsi_sim_udp_serve(s->server, 53, on_query, s);
    s->tcp = tapsi_sim_serve(s->server, 53, TAPSI_SIM_SEND);
    CHECK_INT(tapsi_sim_platform_new(s->client, &s->plain, &s->platform), 0);
    CHECK_INT(tapsi_loop_init(&s->loop, &s->mem, s->platform), 0);
    s->loop.holds = 1; /* else turns do not wait */
    if (choice & 2)
        options.servers = "192.0.2.1,[2001:db8::1]:53";
    unsigned fail = fuzz_below(&s->in, 256);
    s->memory.fail_at = fail ? s->memory.allocations + fail : 0;
    return tapsi_resolver_new(&s->loop, &options, &s->resolver) == 0;
}

static void play(struct scene *s)
{
    while (s->in.left && s->asked + 2 <= QUESTIONS) {
        char *name = fuzz_until(&s->in, '\0');
        ask(s, name, AF_INET6);
        ask(s, name, AF_INET);
        free(name);
        if (fuzz_below(&s->in, 8) == 7)
            tapsi_sim_fail_call(s->sim, 1 + fuzz_below(&s->in, 32), (int)fuzz_below(&s->in, 128));
        run(s, fuzz_below(&s->in, 4) ? PATIENCE : fuzz_below(&s->in, 256) * 50 * TAPSI_SIM_MS);
    }
    if (fuzz_below(&s->in, 8) == 7)
        return; /* the resolver goes in the middle */
    run(s, PATIENCE);
    for (unsigned i = 0; i < s->asked; i++)
        CHECK_INT(s->questions[i].answered, s->questions[i].taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene s = {.in = fuzz_input(data, size)};
    fuzz_begin();
    if (set_scene(&s)) {
        play(&s);
        tapsi_resolver_free(s.resolver);
    }
    CHECK_INT(tapsi_sim_host_sockets(s.client), 0);
    CHECK(!tapsi_sim_problem(s.sim));
    tapsi_loop_done(&s.loop);
    tapsi_sim_free(s.sim);
    CHECK_INT(s.memory.blocks, 0);
    return 0;
}
