/*
 * A crowd in a process of its own that is killed: its clients vanish at once, and whoever comes next is served while
 * the server still has all of them. On the kernel's loopback; tests/scenario/vanish_test.c has it in virtual time, with
 * what becomes of them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "scale.h"

#define MANY       tapsi_test_rounds(300, 50, 2000)
#define PATIENCE_S 100
#define SPARE      100 /* descriptors that are not the crowd's */
#define TURN_MS    100

/* All are there and idle: it says so, and is killed. */
static void crowd_process(int out, enum scale_stack stack, uint16_t port, unsigned many)
{
    struct scale_crowd crowd;
    taps_context *context;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(PATIENCE_S);
    taps_context_new(NULL, &context);
    scale_crowd_start(&crowd, context, stack, "127.0.0.1", port, many);
    while (!scale_crowd_settled(&crowd))
        taps_context_run_once(context, TURN_MS);
    bool told = write(out, &crowd.arrived, sizeof(crowd.arrived)) == sizeof(crowd.arrived);
    while (told)
        pause();
    _exit(1);
}

static pid_t begin_crowd(int *ret_in, enum scale_stack stack, uint16_t port, unsigned many)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        crowd_process(ends[1], stack, port, many);
    close(ends[1]);
    *ret_in = ends[0];
    return pid;
}

static void kill_crowd(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* One more has his echo, and nobody of those who are gone had to be noticed for it. */
static void check_newcomer(struct scale_server *s, taps_context *context, enum scale_stack stack, unsigned many)
{
    struct scale_crowd one;
    scale_crowd_start(&one, context, stack, "127.0.0.1", s->port, 1);
    while (!scale_crowd_settled(&one))
        taps_context_run_once(context, TURN_MS);
    CHECK_INT(one.arrived, 1);
    CHECK_INT(s->accepted, many + 1);
    CHECK_INT(s->alive, many + 1);
    CHECK_INT(s->errors, 0);
    CHECK_INT(taps_listener_dropped(s->listener), 0);
    scale_crowd_end(&one, true);
    while (!one.closed)
        taps_context_run_once(context, TURN_MS);
    scale_crowd_done(&one);
}

static void crowd_vanishes(enum scale_stack stack)
{
    struct scale_server s;
    taps_context *context;
    unsigned many = MANY, arrived = 0;
    int in = -1;
    tapsi_test_limit(PATIENCE_S);
    if (!scale_descriptors(many + SPARE)) {
        tapsi_test_skip("the limit of descriptors is too low and may not be raised");
        return;
    }
    scale_certificates();
    CHECK_INT(taps_context_new(NULL, &context), 0);
    scale_listen(&s, context, stack, "127.0.0.1", 0, false);
    while (!s.port && !s.code)
        taps_context_run_once(context, TURN_MS);
    pid_t pid = begin_crowd(&in, stack, s.port, many);
    while (read(in, &arrived, sizeof(arrived)) != sizeof(arrived) && !s.code)
        taps_context_run_once(context, 10);
    CHECK_INT(arrived, many);
    CHECK_INT(s.alive, many);
    kill_crowd(pid);
    close(in);
    check_newcomer(&s, context, stack, many);
    taps_listener_free(s.listener);
    CHECK_INT(taps_context_free(context), 0); /* and all of them with it */
}

/* proves API-063 */
TEST(clients_of_quic_whose_process_is_killed_keep_nobody_waiting)
{
    crowd_vanishes(SCALE_QUIC);
}

/* proves API-063 */
TEST(clients_of_dtls_whose_process_is_killed_keep_nobody_waiting)
{
    crowd_vanishes(SCALE_DTLS);
}
