#include "faults.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include "base/test.h"
#include "faulty.h"
#include "living.h"
#include "platform/sim/sim.h"

static bool on;
static struct faults_plan plan;
static struct faults_counts counts;
static size_t waits_max;
static uint64_t ns_max;
static jmp_buf *way_out;

const char *fault_name(enum fault fault)
{
    static const char *const names[FAULTS] = {"none",         "allocation",         "poverty",
                                              "call",         "shortage",           "short",
                                              "storm",        "spurious",           "always-short",
                                              "always-again", "always-interrupted", "always-spurious"};
    return names[fault];
}

/* ---------------------------------------------------------------------------------------------------- runs */

void faults_begin(const struct faults_plan *wanted, size_t waits, uint64_t seconds, jmp_buf *escape)
{
    on = true;
    plan = *wanted;
    memset(&counts, 0, sizeof(counts));
    waits_max = waits;
    ns_max = seconds * TAPSI_SIM_S;
    way_out = escape;
}

void faults_calm(void)
{
    plan.fault = FAULT_NONE;
}

const struct faults_counts *faults_so_far(void)
{
    return &counts;
}

void faults_end(void)
{
    on = false;
    faulty_forget();
}

static bool in_row(size_t number)
{
    return number >= plan.n && number < plan.n + FAULT_ROW;
}

/* ---------------------------------------------------------------------------------------------------- memory */

static bool allocation_fails(void)
{
    size_t number = ++counts.allocations;
    bool fails =
        (plan.fault == FAULT_ALLOCATION && number == plan.n) || (plan.fault == FAULT_POVERTY && number >= plan.n);
    counts.injected += fails;
    return fails;
}

static void *resize(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        counts.blocks -= block != NULL;
        free(block);
        return NULL;
    }
    if (allocation_fails())
        return NULL;
    counts.blocks += block == NULL;
    void *grown = realloc(block, size);
    if (!grown)
        abort();
    return grown;
}

static struct tapsi_mem ours = {.allocator = {.resize = resize}};

/* ---------------------------------------------------------------------------------------------------- calls */

static int failure_of(size_t call, size_t move, bool lively)
{
    switch (plan.fault) {
    case FAULT_CALL:
        return call == plan.n ? plan.err : 0;
    case FAULT_SHORTAGE:
        return in_row(call) ? plan.err : 0;
    case FAULT_STORM:
        return move && in_row(move) ? EAGAIN : 0;
    case FAULT_ALWAYS_AGAIN:
        return move && lively ? EAGAIN : 0;
    case FAULT_ALWAYS_INTERRUPTED:
        return call % 2 ? EINTR : 0;
    default:
        return 0;
    }
}

int faults_call(bool moves, bool lively)
{
    counts.calls++;
    counts.moves += moves;
    int err = failure_of(counts.calls, moves ? counts.moves : 0, lively);
    counts.injected += err != 0;
    return err;
}

size_t faults_limit(size_t wanted)
{
    size_t most = SIZE_MAX;
    if (plan.fault == FAULT_SHORT && counts.moves == plan.n)
        most = 1;
    else if (plan.fault == FAULT_ALWAYS_SHORT)
        most = plan.n;
    return most < wanted ? most : wanted;
}

void faults_moved(size_t bytes, bool less)
{
    counts.bytes += bytes;
    counts.injected += less;
}

void faults_wait(uint64_t lasted_ns)
{
    if (++counts.waits <= waits_max && lasted_ns <= ns_max)
        return;
    tapsi_test_fail("sweep", 0, "no end: %zu waits and %.0f s of virtual time", counts.waits, (double)lasted_ns / 1e9);
    longjmp(*way_out, 1);
}

bool faults_spurious(void)
{
    bool now = plan.fault == FAULT_ALWAYS_SPURIOUS ||
               (plan.fault == FAULT_SPURIOUS && counts.waits >= plan.n && !counts.injected);
    counts.injected += now;
    return now;
}

/* ------------------------------------------------------------------------------------- in front of the makers */

#define WRAPPED(type, name, parameters)                                                                                \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters

static bool making_world; /* the world itself has all the memory it wants */

WRAPPED(struct tapsi_sim *, tapsi_sim_new, (uint64_t seed))
{
    making_world = true;
    struct tapsi_sim *sim = __real_tapsi_sim_new(seed);
    making_world = false;
    living_made(LIVING_SIM, 0, &sim);
    return sim;
}

/* The test's own allocator is not asked: after a test that was left early it may be gone. */
WRAPPED(void, tapsi_mem_init, (struct tapsi_mem * mem, const struct taps_allocator *allocator))
{
    if (on && !making_world)
        *mem = ours;
    else
        __real_tapsi_mem_init(mem, allocator);
}

WRAPPED(struct tapsi_mem *, tapsi_mem_default, (void))
{
    return on ? &ours : __real_tapsi_mem_default();
}

/* Arrays grow by one, so that each element may be the one that there is no memory for. */
WRAPPED(int, tapsi_grow, (struct tapsi_mem * mem, void *array_pointer, size_t *capacity, size_t count, size_t size))
{
    void *array;
    if (mem->allocator.resize != resize)
        return __real_tapsi_grow(mem, array_pointer, capacity, count, size);
    if (count < *capacity)
        return 0;
    memcpy(&array, array_pointer, sizeof(array));
    array = tapsi_resize(mem, array, (count + 1) * size);
    if (!array)
        return TAPS_E_MEMORY;
    memcpy(array_pointer, &array, sizeof(array));
    *capacity = count + 1;
    return 0;
}

WRAPPED(int, tapsi_sim_platform_new, (struct tapsi_sim_host * host, struct tapsi_mem *mem, struct tapsi_platform **ret))
{
    int err = __real_tapsi_sim_platform_new(host, mem, ret);
    if (!err && on)
        faulty_take_over(*ret);
    return err;
}

WRAPPED(int, tapsi_platform_linux_new, (struct tapsi_mem * mem, struct tapsi_platform **ret))
{
    int err = __real_tapsi_platform_linux_new(mem, ret);
    if (!err && on)
        faulty_take_over(*ret);
    return err;
}

WRAPPED(int, gnutls_init, (gnutls_session_t * session, unsigned flags))
{
    counts.sessions++;
    return __real_gnutls_init(session, flags);
}
