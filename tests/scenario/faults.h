/*
 * Failures of memory and of the platform, in all worlds of a program, whoever makes them: the linker puts this before
 * tapsi_mem_init, tapsi_mem_default and the makers of platforms (--wrap), so every allocation of the library is
 * counted here, and every call of a platform's table. Outside of a run (faults_begin to faults_end) it does nothing.
 *
 * A call that is told EAGAIN, or moves less than it could, has a new edge at the next wait: what is injected could
 * happen on the kernel, where a moment later there is more.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
    FAULT_NONE,
    FAULT_ALLOCATION,         /* the n-th allocation fails */
    FAULT_POVERTY,            /* the n-th and all that come after it */
    FAULT_CALL,               /* the n-th call fails with `err` */
    FAULT_SHORTAGE,           /* the n-th and the FAULT_ROW - 1 that come after it */
    FAULT_SHORT,              /* the n-th call that moves bytes moves one, or one datagram */
    FAULT_STORM,              /* the n-th of them, and FAULT_ROW - 1 more, say EAGAIN */
    FAULT_SPURIOUS,           /* the n-th wait that tells of anything tells of all that is watched */
    FAULT_ALWAYS_SHORT,       /* no call moves more than n bytes */
    FAULT_ALWAYS_AGAIN,       /* every second call that moves bytes says EAGAIN */
    FAULT_ALWAYS_INTERRUPTED, /* every second call says EINTR */
    FAULT_ALWAYS_SPURIOUS,    /* every wait tells of all that is watched */
    FAULTS
};

#define FAULT_ROW 20

struct faults_plan {
    enum fault fault;
    size_t n;
    int err;
};

struct faults_counts {
    size_t allocations, calls, moves, waits;
    size_t bytes;    /* moved over streams */
    size_t sessions; /* of TLS */
    size_t injected;
    long blocks; /* allocated and not freed */
};

const char *fault_name(enum fault fault);

/* The world may make at most `waits` waits and see `seconds` of virtual time: then `*escape` is jumped to with 1, and
   everything there is, is left as it is. */
void faults_begin(const struct faults_plan *plan, size_t waits, uint64_t seconds, jmp_buf *escape);
/* Nothing fails any more; the rest still counts. */
void faults_calm(void);
const struct faults_counts *faults_so_far(void);
void faults_end(void);

/* For faulty.c: counts a call, and says with which errno it fails (0: it does not). `moves`: bytes, datagrams or
   Connections; `lively`: there is probably something to move. */
int faults_call(bool moves, bool lively);
/* How many bytes of a stream, or datagrams, the call counted last may move of `wanted`. */
size_t faults_limit(size_t wanted);
/* It moved so many bytes of a stream, and `less` than it could. */
void faults_moved(size_t bytes, bool less);
/* A wait begins in a world that has lasted so long. May not return. */
void faults_wait(uint64_t lasted_ns);
/* Does the wait that ends tell of all that is watched? */
bool faults_spurious(void);

#endif
