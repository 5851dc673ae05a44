/* Connections that come and go for a while, and leave nothing: the library's bytes in use are the same after each
   batch, and the process does not grow. Both sides are in one context. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "scale.h"

#define BATCH     128
#define BATCHES   tapsi_test_rounds(12, 4, 12) /* at least so many */
#define SECONDS   tapsi_test_rounds(0, 0, 120) /* and at least so long */
#define WARM_UP   3                            /* pools and caches fill */
#define MAY_GROW  (1024 * 1024)                /* of resident memory: the heap's pages, not a byte a Connection */
#define ADDRESSES 8                            /* ports last longer */
#define TURN_MS   100

/* ------------------------------------------------------------------------------------------------ accounting */

struct account {
    size_t bytes, blocks;
};

/* What was asked for stands before each block: what malloc gives varies. */
union head {
    size_t size;
    max_align_t align;
};

static void *resize(void *user, void *block, size_t size)
{
    struct account *account = user;
    union head *head = block ? (union head *)block - 1 : NULL;
    size_t before = head ? head->size : 0;
    if (size == 0) {
        account->blocks -= block != NULL;
        account->bytes -= before;
        free(head);
        return NULL;
    }
    head = realloc(head, sizeof(*head) + size);
    if (!head)
        return NULL;
    head->size = size;
    account->blocks += block == NULL;
    account->bytes += size - before;
    return head + 1;
}

static size_t resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ------------------------------------------------------------------------------------------------------ churn */

struct churn {
    taps_context *context;
    enum scale_stack stack;
    struct scale_server servers[ADDRESSES];
    struct account account;
    unsigned batches;
    uint64_t connections;
};

static void open_servers(struct churn *churn)
{
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct scale_server *s = &churn->servers[i];
        char address[16];
        snprintf(address, sizeof(address), "127.0.2.%u", i + 1);
        scale_listen(s, churn->context, churn->stack, address, 0, false);
        s->brief = churn->stack == SCALE_UDP;
        while (!s->port && !s->code)
            taps_context_run_once(churn->context, TURN_MS);
        CHECK_INT(s->code, 0);
    }
}

static bool all_gone(const struct churn *churn, const struct scale_crowd *crowd)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < ADDRESSES; i++)
        alive += churn->servers[i].alive;
    return !alive && crowd->closed == crowd->begun;
}

/* Some end by Close, some by Abort, and some are freed as they are. */
static void run_batch(struct churn *churn, unsigned number)
{
    struct scale_crowd crowd;
    char address[16];
    unsigned at = number % ADDRESSES;
    snprintf(address, sizeof(address), "127.0.2.%u", at + 1);
    scale_crowd_start(&crowd, churn->context, churn->stack, address, churn->servers[at].port, BATCH);
    while (!scale_crowd_settled(&crowd))
        taps_context_run_once(churn->context, TURN_MS);
    CHECK_INT(crowd.failed, 0);
    CHECK_INT(crowd.arrived, BATCH);
    if (number % 4 != 3)
        scale_crowd_end(&crowd, number % 4 == 1);
    else
        crowd.closed = crowd.begun;
    while (number % 4 != 3 && crowd.closed < crowd.begun)
        taps_context_run_once(churn->context, TURN_MS);
    scale_crowd_done(&crowd);
    while (!all_gone(churn, &crowd))
        taps_context_run_once(churn->context, TURN_MS);
    taps_context_run_once(churn->context, 0); /* what has ended is reaped */
    churn->connections += BATCH;
}

/* After four batches, one of each kind of end, everything must be as it was. */
static struct account four_batches(struct churn *churn)
{
    for (int i = 0; i < 4; i++)
        run_batch(churn, churn->batches++);
    return churn->account;
}

static void come_and_go(enum scale_stack stack)
{
    struct churn churn = {.stack = stack};
    struct taps_allocator allocator = {resize, &churn.account};
    struct taps_context_options options = {.allocator = &allocator};
    scale_certificates();
    CHECK_INT(taps_context_new(&options, &churn.context), 0);
    open_servers(&churn);
    for (unsigned i = 0; i < WARM_UP; i++)
        four_batches(&churn);
    struct account before = four_batches(&churn), after = before;
    size_t resident_before = resident();
    time_t end = now_s() + (time_t)SECONDS;
    for (unsigned i = 0; (i < BATCHES || now_s() < end) && !tapsi_test_failed(); i++) {
        after = four_batches(&churn);
        CHECK_INT(after.blocks, before.blocks);
        CHECK_INT(after.bytes, before.bytes);
    }
    if (!tapsi_test_sanitized()) /* a sanitizer keeps what is freed for a while */
        CHECK(resident() <= resident_before + MAY_GROW);
    printf("# %llu connections, %zu blocks of %zu bytes\n", (unsigned long long)churn.connections, after.blocks,
           after.bytes);
    for (unsigned i = 0; i < ADDRESSES; i++)
        taps_listener_free(churn.servers[i].listener);
    CHECK_INT(taps_context_free(churn.context), 0);
    CHECK_INT(churn.account.blocks, 0);
    CHECK_INT(churn.account.bytes, 0);
}

TEST(tcp_connections_come_and_go_without_growth)
{
    tapsi_test_limit(SECONDS + 100);
    come_and_go(SCALE_TCP);
}

TEST(tls_connections_come_and_go_without_growth)
{
    tapsi_test_limit(SECONDS + 200);
    come_and_go(SCALE_TLS);
}

TEST(datagram_connections_come_and_go_without_growth)
{
    tapsi_test_limit(SECONDS + 100);
    come_and_go(SCALE_UDP);
}
