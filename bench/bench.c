#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: PROGRAM server|client STACK JOB [options]\n"
    "  STACK: tcp, udp, tls, dtls, quic\n"
    "  JOB: pingpong, exchange, bulk, flood, connect, hammer, idle, streams, early, framed-flood, "
    "framed-pingpong, framed-bulk\n"
    "  --port N --peer PID       client: where the server is, and its process\n"
    "  --warm-ms N --run-ms N    client: how long (default 30 and 300)\n"
    "  --ops N                   client: exactly so many operations instead\n"
    "  --bytes N                 bulk: the whole transfer (default 1 GiB)\n"
    "  --low-latency             TCP_NODELAY, or the low latency interactive profile\n"
    "  --race                    quic, libtaps: TLS over TCP is a candidate, too\n"
    "  --resume                  early, libtaps: sessions are resumed, with early data\n"
    "  --split                   exchange: second send only after the first is done\n"
    "  --drop                    connect: close at once, do not wait for the peer\n"
    "  --drain                   plain server: accept until nobody is left\n"
    "  --name NAME               connect: to a name instead of an address\n"
    "  --batch N                 flood, plain: writev of N messages; 0: send of each\n"
    "                            websocket-echo: N messages under way; 0: one\n"
    "  --idle N                  pingpong, idle: N connections that do nothing\n"
    "  --certificate F --key F   tls: PEM files; the client trusts the certificate\n";

static uint64_t parse_number(const char *text, uint64_t most)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > most) {
        fprintf(stderr, "not a number, or too large: %s\n%s", text, usage);
        exit(2);
    }
    return value;
}

enum option_id {
    OPT_PORT = 256,
    OPT_PEER,
    OPT_WARM,
    OPT_RUN,
    OPT_OPS,
    OPT_BYTES,
    OPT_LOW,
    OPT_SPLIT,
    OPT_RESUME,
    OPT_RACE,
    OPT_DROP,
    OPT_DRAIN,
    OPT_NAME,
    OPT_BATCH,
    OPT_IDLE,
    OPT_CERT,
    OPT_KEY
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPT_PORT},    {"peer", required_argument, NULL, OPT_PEER},
    {"warm-ms", required_argument, NULL, OPT_WARM}, {"run-ms", required_argument, NULL, OPT_RUN},
    {"ops", required_argument, NULL, OPT_OPS},      {"bytes", required_argument, NULL, OPT_BYTES},
    {"resume", no_argument, NULL, OPT_RESUME},      {"race", no_argument, NULL, OPT_RACE},
    {"low-latency", no_argument, NULL, OPT_LOW},    {"split", no_argument, NULL, OPT_SPLIT},
    {"drop", no_argument, NULL, OPT_DROP},          {"drain", no_argument, NULL, OPT_DRAIN},
    {"name", required_argument, NULL, OPT_NAME},    {"batch", required_argument, NULL, OPT_BATCH},
    {"idle", required_argument, NULL, OPT_IDLE},    {"certificate", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},      {NULL, 0, NULL, 0},
};

static bool parse_number_option(struct bench_options *options, int id, const char *text)
{
    switch (id) {
    case OPT_PORT:
        options->port = (uint16_t)parse_number(text, UINT16_MAX);
        return true;
    case OPT_PEER:
        options->peer = (pid_t)parse_number(text, INT32_MAX);
        return true;
    case OPT_WARM:
        options->warm_ns = parse_number(text, 60000) * 1000000;
        return true;
    case OPT_RUN:
        options->run_ns = parse_number(text, 60000) * 1000000;
        return true;
    case OPT_OPS:
        options->ops = parse_number(text, UINT32_MAX);
        return true;
    case OPT_BYTES:
        options->bytes = parse_number(text, UINT64_MAX / 2);
        return true;
    case OPT_BATCH:
        options->batch = parse_number(text, 1024);
        return true;
    case OPT_IDLE:
        options->idle = parse_number(text, 1000000);
        return true;
    default:
        return false;
    }
}

static bool parse_option(struct bench_options *options, int id, const char *text)
{
    switch (id) {
    case OPT_LOW:
        options->low_latency = true;
        return true;
    case OPT_SPLIT:
        options->split = true;
        return true;
    case OPT_RESUME:
        options->resume = true;
        return true;
    case OPT_RACE:
        options->race = true;
        return true;
    case OPT_DROP:
        options->drop = true;
        return true;
    case OPT_DRAIN:
        options->drain = true;
        return true;
    case OPT_NAME:
        options->name = text;
        return true;
    case OPT_CERT:
        options->certificate = text;
        return true;
    case OPT_KEY:
        options->key = text;
        return true;
    default:
        return parse_number_option(options, id, text);
    }
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(word, *words) == 0) {
            return true;
        }
    }
    return false;
}

void bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    static const char *const roles[] = {"server", "client", NULL};
    static const char *const stacks[] = {"tcp", "udp", "tls", "dtls", "quic", NULL};
    static const char *const jobs[] = {"pingpong",        "early",       "streams",        "exchange", "bulk",
                                       "flood",           "connect",     "hammer",         "idle",     "framed-flood",
                                       "framed-pingpong", "framed-bulk", "websocket-echo", NULL};
    *options = (struct bench_options){.warm_ns = 30000000, .run_ns = 300000000, .bytes = UINT64_C(1) << 30};
    bool good = true;
    for (int id; (id = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        good = parse_option(options, id, optarg) && good;
    }
    char **words = argv + optind;
    if (!good || argc - optind != 3 || !is_one_of(words[0], roles) || !is_one_of(words[1], stacks) ||
        !is_one_of(words[2], jobs)) {
        fputs(usage, stderr);
        exit(2);
    }
    options->server = strcmp(words[0], "server") == 0;
    options->stack = words[1];
    options->job = words[2];
    options->bytes -= options->bytes % BENCH_CHUNK;
    if (strcmp(options->job, "bulk") == 0 || strcmp(options->job, "flood") == 0) {
        options->warm_ns = 0; /* the window is the transfer */
    }
    /* No server outlives a harness that was killed. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (options->idle > 0) {
        bench_need_descriptors(options->idle);
    }
}

void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

void bench_die_errno(const char *what)
{
    bench_die(what, strerror(errno));
}

void bench_ready(uint16_t port)
{
    printf("ready port=%u pid=%ld\n", (unsigned)port, (long)getpid());
    fflush(stdout);
}

void bench_need_descriptors(uint64_t count)
{
    const rlim_t needed = (rlim_t)count + 64;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        bench_die_errno("getrlimit");
    }
    if (limit.rlim_cur >= needed) {
        return;
    }
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed) {
        limit.rlim_max = needed; /* the privileged may */
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fprintf(stderr, "skipped: needs a limit of %llu descriptors\n", (unsigned long long)needed);
        exit(BENCH_SKIPPED);
    }
}

void bench_memory_read(struct bench_memory *memory)
{
    struct mallinfo2 heap = mallinfo2();
    long pages = 0;
    memory->heap = heap.uordblks + heap.hblkhd;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1) {
        bench_die_errno("/proc/self/statm");
    }
    fclose(file);
    memory->resident = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void bench_memory_write(uint64_t connections, char message[BENCH_MESSAGE])
{
    struct bench_memory memory = {.connections = connections};
    bench_memory_read(&memory);
    memcpy(message, &memory, sizeof memory);
}

static double per_connection(uint64_t count, uint64_t before, uint64_t after)
{
    return ((double)after - (double)before) / (double)count;
}

void bench_report_memory(uint64_t count, const struct bench_memory own[2], const struct bench_memory peer[2])
{
    printf("result ops=%llu bytes=%.1f resident=%.1f peer_bytes=%.1f peer_resident=%.1f\n", (unsigned long long)count,
           per_connection(count, own[0].heap, own[1].heap), per_connection(count, own[0].resident, own[1].resident),
           per_connection(count, peer[0].heap, peer[1].heap),
           per_connection(count, peer[0].resident, peer[1].resident));
    fflush(stdout);
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec now = {0};
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t peer_cpu_ns(const struct bench_options *options)
{
    clockid_t id;
    if (options->peer == 0 || clock_getcpuclockid(options->peer, &id) != 0) {
        return 0;
    }
    return read_clock(id);
}

static void begin(struct bench_window *window)
{
    window->measuring = true;
    window->ops = 0;
    window->latency_count = 0;
    window->peer_start_ns = peer_cpu_ns(window->options);
    window->cpu_start_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    window->start_ns = bench_now_ns();
    window->next_ns = window->start_ns + window->options->run_ns;
}

void bench_window_open(struct bench_window *window, const struct bench_options *options, uint64_t mask)
{
    *window = (struct bench_window){.options = options, .mask = options->ops != 0 ? 0 : mask};
    if (options->ops != 0 || options->warm_ns == 0) {
        begin(window);
        return;
    }
    window->next_ns = bench_now_ns() + options->warm_ns;
}

void bench_window_close(struct bench_window *window, uint64_t ops)
{
    window->end_ns = bench_now_ns();
    window->cpu_end_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    window->peer_end_ns = peer_cpu_ns(window->options);
    window->ops = ops;
}

bool bench_window_turn(struct bench_window *window)
{
    if (window->options->ops != 0) {
        if (window->ops < window->options->ops) {
            return true;
        }
        bench_window_close(window, window->ops);
        return false;
    }
    if (bench_now_ns() < window->next_ns) {
        return true;
    }
    if (!window->measuring) {
        begin(window);
        return true;
    }
    bench_window_close(window, window->ops);
    return false;
}

void bench_window_latency(struct bench_window *window, uint64_t start_ns)
{
    if (window->latencies == NULL) {
        window->latencies = calloc(BENCH_LATENCIES, sizeof *window->latencies);
        if (window->latencies == NULL) {
            bench_die("latencies", "no memory");
        }
    }
    if (window->latency_count < BENCH_LATENCIES) {
        window->latencies[window->latency_count++] = bench_now_ns() - start_ns;
    }
}

static int compare_latencies(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void report_latencies(struct bench_window *window)
{
    static const unsigned permille[] = {500, 900, 990, 1000};
    uint64_t *all = window->latencies;
    size_t count = window->latency_count;
    qsort(all, count, sizeof *all, compare_latencies);
    for (size_t i = 0; i < sizeof permille / sizeof *permille; i++) {
        size_t at = count * permille[i] / 1000;
        printf(" p%u_ns=%llu", permille[i], (unsigned long long)all[at < count ? at : count - 1]);
    }
    size_t stalls = 0;
    while (stalls < count && all[count - 1 - stalls] >= 20000000) {
        stalls++;
    }
    printf(" stalls=%zu", stalls);
}

void bench_window_report(struct bench_window *window, const char *note)
{
    printf("result ops=%llu ns=%llu cpu_ns=%llu peer_cpu_ns=%llu", (unsigned long long)window->ops,
           (unsigned long long)(window->end_ns - window->start_ns),
           (unsigned long long)(window->cpu_end_ns - window->cpu_start_ns),
           (unsigned long long)(window->peer_end_ns - window->peer_start_ns));
    if (strcmp(window->options->job, "connect") == 0 && window->ops > 0) {
        printf(" us=%.3f", (double)(window->end_ns - window->start_ns) / 1e3 / (double)window->ops);
    }
    if (window->latency_count > 0) {
        report_latencies(window);
    }
    if (note != NULL) {
        printf(" note=");
        for (; *note != '\0'; note++) {
            putchar(*note == ' ' ? '_' : *note);
        }
    }
    putchar('\n');
    fflush(stdout);
    free(window->latencies);
    window->latencies = NULL;
}
