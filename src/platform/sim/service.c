/*
 * Scripted TCP servers inside the world. They use the world's sockets without a platform: a socket's `notice` is called
 * from an event of its own after something happened to it, so a service never runs inside the arrival that woke it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "platform/sim/service.h"
#include "platform/sim/trace.h"

#define CHUNK           16384
#define BACKLOG_DEFAULT 128

struct tapsi_sim_service {
    struct tapsi_sim_resident resident;
    struct tapsi_sim_host *host;
    struct tapsi_simsock *listener; /* NULL while it refuses */
    uint16_t port;
    enum tapsi_sim_behaviour behaviour;
    void (*data)(void *arg, struct tapsi_simtalk *talk, const uint8_t *bytes, size_t count); /* instead of one */
    void *arg;
    struct tapsi_simbytes script;
    uint64_t reset_after;
    bool stopped; /* does not accept */
    struct tapsi_link talks;
    struct tapsi_sim_service_counts counts;
};

struct chunk {
    struct tapsi_sim_event event;
    struct tapsi_link link;
    struct tapsi_simtalk *talk;
    size_t count;
    uint8_t bytes[];
};

static void go_on(struct tapsi_simsock *s);

static void trace(const struct tapsi_simtalk *talk, const char *what)
{
    const struct tapsi_sim_service *service = talk->service;
    char peer[TAPSI_ADDR_TEXT];
    if (service->host->sim->trace_to)
        tapsi_simtrace_line(service->host->sim, service->host, "service", "port %u %s %s", service->port, what,
                            tapsi_addr_text(&talk->socket->remote, peer));
}

static void end_talk(struct tapsi_simtalk *talk, bool reset)
{
    struct tapsi_sim_service *service = talk->service;
    struct tapsi_sim *sim = service->host->sim;
    trace(talk, reset ? "resets" : "ends");
    for (struct tapsi_link *l; (l = tapsi_list_pop(&talk->later));) {
        struct chunk *chunk = TAPSI_CONTAINER(l, struct chunk, link);
        tapsi_sim_cancel(sim, &chunk->event);
        tapsi_free(&sim->mem, chunk);
    }
    if (reset)
        talk->socket->linger = 0;
    tapsi_simsock_close(talk->socket);
    tapsi_simbytes_done(&talk->out, &sim->mem);
    tapsi_simbytes_done(&talk->in, &sim->mem);
    tapsi_list_remove(&talk->link);
    tapsi_free(&sim->mem, talk);
    service->counts.open--;
}

static bool flush(struct tapsi_simtalk *talk)
{
    while (talk->out.length) {
        struct iovec iov = {talk->out.data + talk->out.start, talk->out.length};
        ssize_t n = tapsi_simtcp_send(talk->socket, &iov, 1, SIZE_MAX);
        if (n < 0)
            return false;
        talk->service->counts.sent += (uint64_t)n;
        tapsi_simbytes_drop(&talk->out, (size_t)n);
    }
    return true;
}

static void put(struct tapsi_simtalk *talk, const void *bytes, size_t count)
{
    struct tapsi_sim *sim = talk->service->host->sim;
    if (tapsi_simbytes_add(&talk->out, &sim->mem, bytes, count) < 0)
        tapsi_sim_say_memory(sim);
}

static void chunk_is_due(struct tapsi_sim_event *event)
{
    struct chunk *chunk = TAPSI_CONTAINER(event, struct chunk, event);
    struct tapsi_simtalk *talk = chunk->talk;
    struct tapsi_mem *mem = &talk->service->host->sim->mem;
    put(talk, chunk->bytes, chunk->count);
    tapsi_list_remove(&chunk->link);
    tapsi_free(mem, chunk);
    go_on(talk->socket);
}

void tapsi_simtalk_send(struct tapsi_simtalk *talk, const void *bytes, size_t count, uint64_t delay_ns)
{
    struct tapsi_sim *sim = talk->service->host->sim;
    struct chunk *chunk = tapsi_sim_block(sim, sizeof *chunk, count);
    if (!chunk)
        return;
    chunk->talk = talk;
    chunk->count = count;
    chunk->event.fire = chunk_is_due;
    memcpy(chunk->bytes, bytes, count);
    tapsi_list_append(&talk->later, &chunk->link);
    tapsi_sim_at(sim, &chunk->event, sim->now + delay_ns);
}

/* Handles what has come: false when there is no more now. */
static bool read_some(struct tapsi_simtalk *talk)
{
    struct tapsi_sim_service *service = talk->service;
    uint8_t bytes[CHUNK];
    struct iovec iov = {bytes, sizeof bytes};
    ssize_t n = tapsi_simtcp_receive(talk->socket, &iov, 1, SIZE_MAX, 0);
    if (n <= 0)
        return false;
    talk->received += (uint64_t)n;
    service->counts.received += (uint64_t)n;
    if (service->data)
        service->data(service->arg, talk, bytes, (size_t)n);
    else if (service->behaviour == TAPSI_SIM_ECHO)
        put(talk, bytes, (size_t)n);
    return true;
}

/* Reads, and writes what is ready: an echo reads no faster than it can write. */
static void work(struct tapsi_simtalk *talk)
{
    if (!talk->service->data && talk->service->behaviour == TAPSI_SIM_STALL)
        return;
    while (flush(talk) && read_some(talk))
        continue;
    enum tapsi_sim_behaviour behaviour = talk->service->behaviour;
    bool ends_first = behaviour == TAPSI_SIM_DISCARD || behaviour == TAPSI_SIM_SEND;
    if (ends_first && !talk->service->data && !talk->out.length && !talk->socket->tcp.fin_wanted)
        tapsi_simtcp_shutdown(talk->socket, SHUT_WR);
}

static bool resets_now(const struct tapsi_simtalk *talk)
{
    const struct tapsi_sim_service *service = talk->service;
    return !service->data && service->behaviour == TAPSI_SIM_RESET && talk->received >= service->reset_after;
}

static void go_on(struct tapsi_simsock *s)
{
    struct tapsi_simtalk *talk = s->owner;
    struct tapsi_sim_service_counts *counts = &talk->service->counts;
    /* Before the work takes it. A reset after our FIN shows as EPIPE. */
    int error = s->error;
    work(talk);
    if (s->tcp.fin_received && !talk->end_counted) {
        talk->end_counted = true;
        counts->ended++;
    }
    if (error || s->tcp.state == TAPSI_SIMTCP_CLOSED) {
        counts->reset += error == ECONNRESET || error == EPIPE;
        end_talk(talk, false);
        return;
    }
    if (resets_now(talk)) {
        end_talk(talk, true);
        return;
    }
    bool stalls = !talk->service->data && talk->service->behaviour == TAPSI_SIM_STALL;
    if (s->tcp.fin_received && !talk->out.length && tapsi_list_empty(&talk->later) && !stalls)
        end_talk(talk, false);
}

static void start_talk(struct tapsi_sim_service *service, struct tapsi_simsock *s)
{
    struct tapsi_sim *sim = service->host->sim;
    struct tapsi_simtalk *talk = tapsi_zalloc(&sim->mem, sizeof *talk);
    if (!talk) {
        tapsi_sim_say_memory(sim);
        tapsi_simsock_close(s);
        return;
    }
    talk->service = service;
    talk->socket = s;
    tapsi_link_init(&talk->later);
    tapsi_list_append(&service->talks, &talk->link);
    trace(talk, "accepts");
    service->counts.accepted++;
    service->counts.open++;
    s->owner = talk;
    s->notice = go_on;
    if (!service->data && service->behaviour == TAPSI_SIM_SEND && service->script.length)
        put(talk, service->script.data + service->script.start, service->script.length);
    go_on(s);
}

static void take_all(struct tapsi_simsock *listener)
{
    struct tapsi_sim_service *service = listener->owner;
    struct tapsi_simsock *s;
    while (!service->stopped && tapsi_simtcp_accept(listener, false, &s) == 0)
        start_talk(service, s);
}

static void free_service(struct tapsi_sim_resident *resident)
{
    struct tapsi_sim_service *service = TAPSI_CONTAINER(resident, struct tapsi_sim_service, resident);
    struct tapsi_mem *mem = &service->host->sim->mem;
    for (struct tapsi_link *l; (l = tapsi_list_first(&service->talks));)
        end_talk(TAPSI_CONTAINER(l, struct tapsi_simtalk, link), true);
    if (service->listener)
        tapsi_simsock_close(service->listener);
    tapsi_simbytes_done(&service->script, mem);
    tapsi_free(mem, service);
}

static int open_listener(struct tapsi_sim_service *service)
{
    union tapsi_addr any = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(service->port)}};
    int one = 1;
    int r = tapsi_simsock_new(service->host, AF_INET6, SOCK_STREAM, &service->listener);
    if (r < 0)
        return r;
    tapsi_simsock_set(service->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    r = tapsi_simsock_bind(service->listener, &any);
    r = r < 0 ? r : tapsi_simtcp_listen(service->listener, BACKLOG_DEFAULT);
    service->listener->owner = service;
    service->listener->notice = take_all;
    return r;
}

static struct tapsi_sim_service *make(struct tapsi_sim_host *host, uint16_t port)
{
    struct tapsi_sim_service *service = host ? tapsi_zalloc(&host->sim->mem, sizeof *service) : NULL;
    if (!service) {
        if (host)
            tapsi_sim_say_memory(host->sim);
        return NULL;
    }
    service->host = host;
    service->port = port;
    service->resident.free = free_service;
    tapsi_link_init(&service->talks);
    int r = open_listener(service);
    if (r < 0) {
        tapsi_sim_say(host->sim, "%s cannot serve port %u: %s", host->name, port, strerror(-r));
        free_service(&service->resident);
        return NULL;
    }
    tapsi_list_append(&host->sim->services, &service->resident.link);
    return service;
}

struct tapsi_sim_service *
tapsi_simservice_new(struct tapsi_sim_host *host, uint16_t port,
                     void (*data)(void *arg, struct tapsi_simtalk *talk, const uint8_t *bytes, size_t count), void *arg)
{
    struct tapsi_sim_service *service = make(host, port);
    if (service) {
        service->data = data;
        service->arg = arg;
    }
    return service;
}

void tapsi_simservice_listen(struct tapsi_sim_service *service, enum tapsi_simservice_door door)
{
    if (!service)
        return;
    if (door == TAPSI_SIMSERVICE_REFUSE) {
        if (service->listener)
            tapsi_simsock_close(service->listener);
        service->listener = NULL;
        return;
    }
    if (!service->listener && open_listener(service) < 0) {
        tapsi_sim_say(service->host->sim, "%s cannot serve port %u again", service->host->name, service->port);
        return;
    }
    service->listener->tcp.deaf = door == TAPSI_SIMSERVICE_DEAF;
}

struct tapsi_sim_service *tapsi_sim_serve(struct tapsi_sim_host *host, uint16_t port,
                                          enum tapsi_sim_behaviour behaviour)
{
    struct tapsi_sim_service *service = make(host, port);
    if (service)
        service->behaviour = behaviour;
    return service;
}

void tapsi_sim_service_bytes(struct tapsi_sim_service *service, const void *bytes, size_t count)
{
    if (!service)
        return;
    tapsi_simbytes_drop(&service->script, service->script.length);
    if (tapsi_simbytes_add(&service->script, &service->host->sim->mem, bytes, count) < 0)
        tapsi_sim_say_memory(service->host->sim);
}

void tapsi_sim_service_reset_after(struct tapsi_sim_service *service, uint64_t bytes)
{
    if (service)
        service->reset_after = bytes;
}

void tapsi_sim_service_backlog(struct tapsi_sim_service *service, int backlog)
{
    if (service)
        tapsi_simtcp_listen(service->listener, backlog);
}

void tapsi_sim_service_accepting(struct tapsi_sim_service *service, bool accepting)
{
    if (!service)
        return;
    service->stopped = !accepting;
    tapsi_simsock_wake(service->listener);
}

void tapsi_sim_service_end_all(struct tapsi_sim_service *service, bool reset)
{
    if (!service)
        return;
    for (struct tapsi_link *l; (l = tapsi_list_first(&service->talks));)
        end_talk(TAPSI_CONTAINER(l, struct tapsi_simtalk, link), reset);
}

struct tapsi_sim_service_counts tapsi_sim_service_counts(const struct tapsi_sim_service *service)
{
    return service ? service->counts : (struct tapsi_sim_service_counts){0};
}
