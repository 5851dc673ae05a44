/* The trace: see sim.h. Private to the simulated network; everything here is called only while sim->trace_to is set. */
#ifndef TAPSI_SIM_TRACE_H
#define TAPSI_SIM_TRACE_H

#include "platform/sim/world.h"

/* "TIME WHO TOPIC text": one line, of at most TAPSI_SIMTRACE_TEXT bytes of text. `host` NULL: the world itself. */
#define TAPSI_SIMTRACE_TEXT 600
void tapsi_simtrace_line(struct tapsi_sim *sim, const struct tapsi_sim_host *host, const char *topic,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
void tapsi_simtrace_packet(const struct tapsi_simwire_way *way, const char *kind, size_t length,
                           const struct tapsi_simwire_verdict *v);
/* "2.000000000": since the world began; `text` has room for 32 bytes. */
const char *tapsi_simtrace_time(uint64_t ns, char *text);

const char *tapsi_simtrace_fault(enum tapsi_sim_fault fault);

/* trace.c: the world begins, and ends. */
void tapsi_simtrace_begin(struct tapsi_sim *sim);
void tapsi_simtrace_end(struct tapsi_sim *sim);

/* calls.c: the platform's table, with a line for each call. */
extern const struct tapsi_platform_ops tapsi_simcalls_traced;

/* names.c: "ECONNREFUSED", "TCP_NODELAY"; numbers where there is no name. `text` has room for 32 bytes. */
const char *tapsi_simname_error(int err, char *text);
const char *tapsi_simname_option(int level, int option, char *text);

#endif
