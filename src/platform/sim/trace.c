/*
 * The trace: lines of text, written as things happen. Nothing in it depends on the machine, the compiler or the moment:
 * times are virtual, sockets are numbered as they are opened, numbers are whole ones (no locale has a say).
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/str.h"
#include "platform/sim/trace.h"

#define NAME           "TAPS_TRACE"
#define POINTER_DIGITS 6 /* a number of fewer is none */

/* The program's own file, for all its worlds. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static FILE *common;
static unsigned worlds;

/* base/test.c has it; other programs have not. */
extern const char *tapsi_test_name(void) __attribute__((weak));

static void open_common(void)
{
    const char *path = getenv(NAME);
    if (!path || !*path)
        return;
    common = fopen(path, "ae");
    if (common)
        setvbuf(common, NULL, _IOLBF, 0); /* what was written survives a crash */
    else
        fprintf(stderr, "# sim: cannot write the trace to %s\n", path);
}

const char *tapsi_simtrace_time(uint64_t ns, char *text)
{
    snprintf(text, 32, "%llu.%09llu", (unsigned long long)(ns / TAPSI_SIM_S), (unsigned long long)(ns % TAPSI_SIM_S));
    return text;
}

/* One line stays one line, whatever was in the text. */
static void flatten(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ')
            *text = ' ';
    }
}

static void write_line(struct tapsi_sim *sim, const char *who, const char *topic, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static void write_line(struct tapsi_sim *sim, const char *who, const char *topic, const char *format, va_list args)
{
    char line[TAPSI_SIMTRACE_TEXT + 128], time[32];
    size_t used = 0;
    if (sim->trace_number)
        used += tapsi_format(line, sizeof line, "%u ", sim->trace_number);
    used += tapsi_format(line + used, sizeof line - used, "%s %-8s %-7s ",
                         tapsi_simtrace_time(tapsi_sim_elapsed(sim), time), who, topic);
    vsnprintf(line + used, TAPSI_SIMTRACE_TEXT, format, args);
    flatten(line + used);
    used += strlen(line + used);
    line[used++] = '\n';
    fwrite(line, 1, used, sim->trace_to);
}

void tapsi_simtrace_line(struct tapsi_sim *sim, const struct tapsi_sim_host *host, const char *topic,
                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(sim, host ? host->name : "-", topic, format, args);
    va_end(args);
}

static void choose_table(struct tapsi_sim *sim)
{
    for (struct tapsi_link *l = sim->platforms.next; l != &sim->platforms; l = l->next)
        tapsi_simplatform_table(TAPSI_CONTAINER(l, struct tapsi_simplatform, link));
}

void tapsi_sim_trace_file(struct tapsi_sim *sim, FILE *file)
{
    if (!sim)
        return;
    sim->trace_to = file;
    sim->trace_number = 0;
    choose_table(sim);
    if (file)
        tapsi_simtrace_line(sim, NULL, "world", "seed %llu", (unsigned long long)sim->seed);
}

void tapsi_simtrace_begin(struct tapsi_sim *sim)
{
    pthread_once(&once, open_common);
    if (!common)
        return;
    const char *test = tapsi_test_name ? tapsi_test_name() : NULL;
    sim->trace_to = common;
    sim->trace_number = __atomic_add_fetch(&worlds, 1, __ATOMIC_RELAXED);
    tapsi_simtrace_line(sim, NULL, "world", "seed %llu%s%s", (unsigned long long)sim->seed, test ? " test " : "",
                        test ? test : "");
}

void tapsi_simtrace_end(struct tapsi_sim *sim)
{
    tapsi_simtrace_line(sim, NULL, "world", "ends");
    sim->trace_to = NULL;
}

void tapsi_sim_note(struct tapsi_sim *sim, const char *format, ...)
{
    va_list args;
    if (!sim || !sim->trace_to)
        return;
    va_start(args, format);
    write_line(sim, "-", "note", format, args);
    va_end(args);
}

/* "connection 0x5581a0: Established" without what differs from run to run. */
static void hide_pointers(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        size_t digits = from[0] == '0' && from[1] == 'x' ? strspn(from + 2, "0123456789abcdef") : 0;
        if (digits >= POINTER_DIGITS) {
            *to++ = '#';
            from += 2 + digits;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
}

void tapsi_sim_log(void *user, enum taps_log_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info", "event", "debug"};
    struct tapsi_sim *sim = user;
    char line[TAPSI_SIMTRACE_TEXT];
    if (!sim || !sim->trace_to)
        return;
    tapsi_format(line, sizeof line, "%s", text);
    hide_pointers(line);
    tapsi_simtrace_line(sim, NULL, "log", "%s: %s", (size_t)level < sizeof names / sizeof *names ? names[level] : "?",
                        line);
}

const char *tapsi_simtrace_fault(enum tapsi_sim_fault fault)
{
    static const char *const names[] = {"fine", "blackhole", "refused", "prohibited", "unreachable"};
    return (size_t)fault < sizeof names / sizeof *names ? names[fault] : "?";
}

static void describe_fate(struct tapsi_str *s, uint64_t now, const struct tapsi_simwire_verdict *v)
{
    char time[32];
    switch (v->fate) {
    case TAPSI_SIM_ARRIVES:
        tapsi_str_format(s, "arrives %s", tapsi_simtrace_time(now + v->delay, time));
        if (v->copy_delay)
            tapsi_str_format(s, " and again %s", tapsi_simtrace_time(now + v->copy_delay, time));
        break;
    case TAPSI_SIM_LOST:
        tapsi_str_format(s, "lost: %s", v->why ? v->why : "?");
        break;
    case TAPSI_SIM_ANSWERED:
        if (v->mtu)
            tapsi_str_format(s, "too big for %u", v->mtu);
        else
            tapsi_str_add(s, tapsi_simtrace_fault(v->answer));
        tapsi_str_format(s, " %s", tapsi_simtrace_time(now + v->delay, time));
        break;
    }
}

void tapsi_simtrace_packet(const struct tapsi_simwire_way *way, const char *kind, size_t length,
                           const struct tapsi_simwire_verdict *v)
{
    struct tapsi_sim *sim = way->host->sim;
    char from[TAPSI_ADDR_TEXT], to[TAPSI_ADDR_TEXT];
    struct tapsi_str fate;
    tapsi_str_init(&fate, &sim->mem);
    describe_fate(&fate, tapsi_sim_elapsed(sim), v);
    tapsi_simtrace_line(sim, way->host, "packet", "%s %s %s > %s %zu %s", v->out ? v->out->name : "-", kind,
                        tapsi_addr_text(&way->from, from), tapsi_addr_text(&way->to, to), length,
                        tapsi_str_text(&fate));
    tapsi_str_done(&fate);
}
