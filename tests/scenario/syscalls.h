/*
 * System calls that fail: the linker puts this before the functions of the C library by which the kernel's platform
 * asks for something (--wrap). Only calls of the thread that asked are counted, from syscalls_begin to syscalls_end.
 */
#ifndef TESTS_SYSCALLS_H
#define TESTS_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>

/* The `nth` call and the `row` - 1 after it fail with `err`; 0 = none. close fails after it has closed, as the kernel's
   does. */
void syscalls_begin(size_t nth, size_t row, int err);
size_t syscalls_counted(void);
/* The name of the first one that failed, or NULL. */
const char *syscalls_failed(void);
void syscalls_end(void);
/* How many descriptors the process has open. */
int syscalls_descriptors(void);

#endif
