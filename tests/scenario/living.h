/*
 * What a test has made and not freed: the linker puts this before the functions that make and free the objects of the
 * API and simulated worlds. While a test is swept, a maker that fails leaves NULL, so that a test need not ask each
 * time whether there is something: the API takes NULL. The rest of a test that was left early is freed here.
 */
#ifndef TESTS_LIVING_H
#define TESTS_LIVING_H

#include <stdbool.h>

enum living {
    LIVING_CONTEXT,
    LIVING_ENDPOINT,
    LIVING_PROPERTIES,
    LIVING_SECURITY,
    LIVING_MESSAGE,
    LIVING_SIM,
    LIVINGS
};

/* `*ret` is what was made, if `err` is 0. Returns `err`. */
int living_made(enum living kind, int err, void *ret);
void living_freed(enum living kind, const void *object);
/* Frees all there is, in the order in which it can be freed. */
void living_free(void);
/* Forgets it instead. */
void living_forget(void);

#endif
