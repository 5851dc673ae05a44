/* Ten thousand idle Connections in a process, fifty thousand over several; the library on both sides, on the kernel. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "scale.h"

#define PER_PROCESS tapsi_test_rounds(10000, 500, 10000)
#define PAIRS       5
#define PATIENCE_S  100
#define SPARE       100 /* descriptors that are not the crowd's */
#define EXIT_GOOD   0
#define EXIT_BAD    1
#define TURN_MS     100

struct process {
    pid_t pid;
    int out; /* the parent reads: a line when something was reached */
    int in;  /* the parent writes: go on */
};

/* ---------------------------------------------------------------------------------------------- processes */

static void child_begins(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(PATIENCE_S);
}

/* Leaves without the parent's atexit and TAP. */
static void child_ends(bool good)
{
    fflush(stdout);
    _exit(good && !tapsi_test_failed() ? EXIT_GOOD : EXIT_BAD);
}

static struct process begin_process(void (*body)(int in, int out, unsigned arg), unsigned arg)
{
    int to[2], from[2];
    struct process p = {.pid = -1};
    if (pipe(to) != 0 || pipe(from) != 0)
        return p;
    p.pid = fork();
    if (p.pid == 0) {
        child_begins();
        close(to[1]);
        close(from[0]);
        body(to[0], from[1], arg);
    }
    close(to[0]);
    close(from[1]);
    p.in = to[1];
    p.out = from[0];
    return p;
}

/* What a process has reached; 0 = it has ended. */
static unsigned hear(const struct process *p)
{
    unsigned what;
    return read(p->out, &what, sizeof(what)) == sizeof(what) ? what : 0;
}

static void tell(int out, unsigned what)
{
    if (write(out, &what, sizeof(what)) != sizeof(what))
        child_ends(false);
}

static void go_on(const struct process *p)
{
    CHECK_INT(write(p->in, "", 1), 1);
}

static bool end_process(struct process *p)
{
    int status = -1;
    close(p->in);
    close(p->out);
    if (p->pid > 0)
        waitpid(p->pid, &status, 0);
    return status == 0;
}

/* The parent is heard between turns. */
static bool may_go_on(int in)
{
    char byte;
    return read(in, &byte, 1) == 1;
}

/* ------------------------------------------------------------------------------------------- the two sides */

static const char *address_of(unsigned index, char text[16])
{
    snprintf(text, 16, "127.0.1.%u", index + 1);
    return text;
}

/* Tells its port, then that all have come; ends when all have gone. */
static void server_process(int in, int out, unsigned index)
{
    char address[16];
    struct scale_server s;
    taps_context *context;
    (void)in;
    taps_context_new(NULL, &context);
    scale_listen(&s, context, SCALE_TCP, address_of(index, address), 0, false);
    while (!s.port && !s.code)
        taps_context_run_once(context, TURN_MS);
    tell(out, s.port);
    while (s.accepted < PER_PROCESS && !s.code)
        taps_context_run_once(context, TURN_MS);
    tell(out, s.accepted);
    while (s.alive)
        taps_context_run_once(context, TURN_MS);
    bool good = s.accepted == PER_PROCESS && !s.errors && !taps_listener_dropped(s.listener);
    taps_listener_free(s.listener);
    child_ends(taps_context_free(context) == 0 && good);
}

static uint16_t ports[PAIRS];

/* Tells when all are there and idle; when told to go on all speak, and Close. */
static void client_process(int in, int out, unsigned index)
{
    char address[16];
    struct scale_crowd crowd;
    taps_context *context;
    taps_context_new(NULL, &context);
    scale_crowd_start(&crowd, context, SCALE_TCP, address_of(index, address), ports[index], PER_PROCESS);
    while (!scale_crowd_settled(&crowd))
        taps_context_run_once(context, TURN_MS);
    tell(out, crowd.arrived);
    if (!may_go_on(in))
        child_ends(false);
    scale_crowd_speak(&crowd);
    while (!scale_crowd_settled(&crowd))
        taps_context_run_once(context, TURN_MS);
    bool all = crowd.arrived == PER_PROCESS;
    scale_crowd_end(&crowd, false);
    while (crowd.closed < crowd.begun)
        taps_context_run_once(context, TURN_MS);
    all = all && !crowd.failed;
    scale_crowd_done(&crowd);
    child_ends(taps_context_free(context) == 0 && all);
}

/* ---------------------------------------------------------------------------------------------------- tests */

static void run_pairs(unsigned pairs)
{
    struct process servers[PAIRS], clients[PAIRS];
    for (unsigned i = 0; i < pairs; i++) {
        servers[i] = begin_process(server_process, i);
        ports[i] = (uint16_t)hear(&servers[i]);
        CHECK(ports[i] != 0);
        clients[i] = begin_process(client_process, i);
    }
    for (unsigned i = 0; i < pairs; i++) {
        CHECK_INT(hear(&clients[i]), PER_PROCESS);
        CHECK_INT(hear(&servers[i]), PER_PROCESS);
    }
    for (unsigned i = 0; i < pairs; i++) /* now all of them are there, and none has gone */
        go_on(&clients[i]);
    for (unsigned i = 0; i < pairs; i++) {
        CHECK(end_process(&clients[i]));
        CHECK(end_process(&servers[i]));
    }
}

static bool may_open(void)
{
    if (scale_descriptors(PER_PROCESS + SPARE))
        return true;
    tapsi_test_skip("the limit of descriptors is too low and may not be raised");
    return false;
}

TEST(ten_thousand_idle_connections_in_a_process)
{
    tapsi_test_limit(PATIENCE_S);
    if (may_open())
        run_pairs(1);
}

TEST(fifty_thousand_connections_over_several_processes)
{
    tapsi_test_limit(PATIENCE_S);
    if (may_open())
        run_pairs(PAIRS);
}
