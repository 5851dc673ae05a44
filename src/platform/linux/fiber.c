/*
 * Fibers by the C library's contexts. A fiber begins anew for each call, so that one whose call has returned holds
 * nothing but its stack.
 *
 * Three tools follow a program's stack and have to be told when it changes: the address sanitizer, the thread sanitizer
 * and valgrind.
 */
#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "base/err.h"
#include "platform/platform.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#endif
#if defined(WITH_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(WITH_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif

#define STACK_SIZE (512 * 1024) /* of addresses: what is never touched costs no memory */

struct tapsi_fiber {
    struct tapsi_mem *mem;
    ucontext_t own, caller;
    uint8_t *map; /* the page that nobody may touch, then the stack */
    size_t guard;
    void (*fn)(void *arg);
    void *arg;
    bool inside, returned;
    unsigned valgrind;
    void *fake, *caller_fake; /* the address sanitizer's */
    const void *caller_bottom;
    size_t caller_size;
    void *tsan, *tsan_caller;
};

static uint8_t *stack_of(const struct tapsi_fiber *f)
{
    return f->map + f->guard;
}

/* -------------------------------------------------------------------------------------------------- changing */

static void before_enter(struct tapsi_fiber *f)
{
#if defined(WITH_ASAN)
    __sanitizer_start_switch_fiber(&f->caller_fake, stack_of(f), STACK_SIZE);
#endif
#if defined(WITH_TSAN)
    f->tsan_caller = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
    f->inside = true;
}

static void after_enter(struct tapsi_fiber *f)
{
#if defined(WITH_ASAN)
    __sanitizer_finish_switch_fiber(f->fake, &f->caller_bottom, &f->caller_size);
    f->fake = NULL;
#else
    (void)f;
#endif
}

static void before_leave(struct tapsi_fiber *f)
{
    f->inside = false;
#if defined(WITH_ASAN)
    __sanitizer_start_switch_fiber(f->returned ? NULL : &f->fake, f->caller_bottom, f->caller_size);
#endif
#if defined(WITH_TSAN)
    __tsan_switch_to_fiber(f->tsan_caller, 0);
#endif
}

static void after_leave(struct tapsi_fiber *f)
{
#if defined(WITH_ASAN)
    __sanitizer_finish_switch_fiber(f->caller_fake, NULL, NULL);
#else
    (void)f;
#endif
}

/* makecontext passes nothing wider than int. */
static void begin(unsigned high, unsigned low)
{
    struct tapsi_fiber *f = (struct tapsi_fiber *)(uintptr_t)((uint64_t)high << 32 | low);
    after_enter(f);
    f->fn(f->arg);
    f->returned = true;
    before_leave(f);
    setcontext(&f->caller);
}

static bool enter(struct tapsi_fiber *f)
{
    assert(!f->inside);
    before_enter(f);
    swapcontext(&f->caller, &f->own);
    after_leave(f);
    return f->returned;
}

bool tapsi_fiber_run(struct tapsi_fiber *f, void (*fn)(void *arg), void *arg)
{
    uint64_t self = (uintptr_t)f;
    f->fn = fn;
    f->arg = arg;
    f->returned = false;
    getcontext(&f->own);
    f->own.uc_stack.ss_sp = stack_of(f);
    f->own.uc_stack.ss_size = STACK_SIZE;
    f->own.uc_link = NULL;
    makecontext(&f->own, (void (*)(void))begin, 2, (unsigned)(self >> 32), (unsigned)self);
    return enter(f);
}

bool tapsi_fiber_resume(struct tapsi_fiber *f)
{
    assert(!f->returned);
    return enter(f);
}

void tapsi_fiber_stop(struct tapsi_fiber *f)
{
    assert(f->inside);
    before_leave(f);
    swapcontext(&f->own, &f->caller);
    after_enter(f);
}

/* ---------------------------------------------------------------------------------------------------- making */

static int map_stack(struct tapsi_fiber *f)
{
    long page = sysconf(_SC_PAGESIZE);
    f->guard = page > 0 ? (size_t)page : 4096;
    void *map = mmap(NULL, f->guard + STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED)
        return TAPS_E_MEMORY;
    f->map = map;
    if (mprotect(map, f->guard, PROT_NONE) == 0)
        return 0;
    munmap(map, f->guard + STACK_SIZE);
    return TAPS_E_MEMORY;
}

int tapsi_fiber_new(struct tapsi_mem *mem, struct tapsi_fiber **ret)
{
    struct tapsi_fiber *f = tapsi_zalloc(mem, sizeof(*f));
    if (!f)
        return TAPS_E_MEMORY;
    if (map_stack(f) < 0) {
        tapsi_free(mem, f);
        return TAPS_E_MEMORY;
    }
    f->mem = mem;
#if defined(VALGRIND_STACK_REGISTER)
    f->valgrind = VALGRIND_STACK_REGISTER(stack_of(f), stack_of(f) + STACK_SIZE);
#endif
#if defined(WITH_TSAN)
    f->tsan = __tsan_create_fiber(0);
#endif
    *ret = f;
    return 0;
}

void tapsi_fiber_free(struct tapsi_fiber *f)
{
    if (!f)
        return;
    assert(!f->inside);
#if defined(WITH_TSAN)
    __tsan_destroy_fiber(f->tsan);
#endif
#if defined(VALGRIND_STACK_DEREGISTER)
    VALGRIND_STACK_DEREGISTER(f->valgrind);
#endif
    munmap(f->map, f->guard + STACK_SIZE);
    tapsi_free(f->mem, f);
}
