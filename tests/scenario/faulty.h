/* A platform whose calls fail as faults.h says. */
#ifndef TESTS_FAULTY_H
#define TESTS_FAULTY_H

#include "platform/platform.h"

/* From now on, until it is destroyed. That sockets are open then is a broken rule. */
void faulty_take_over(struct tapsi_platform *p);
/* Knows no platform any more, destroyed or not. */
void faulty_forget(void);

#endif
