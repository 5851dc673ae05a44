/* The harness itself: `sample` misbehaves when told to, in a program started again as a child. */
#include "base/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(sample)
{
    const char *mood = getenv("TAPSI_SAMPLE");
    if (!mood)
        return;
    if (strcmp(mood, "skip") == 0)
        tapsi_test_skip("not today");
    if (strcmp(mood, "fail") == 0) {
        CHECK(1 == 2);
        CHECK_INT(3, 4);
        CHECK_TEXT("a", "b");
        CHECK_TEXT(NULL, "b");
        NEED(5 == 6);
        CHECK(7 == 8);
    }
    if (strcmp(mood, "break") == 0)
        tapsi_test_fail("sample", 0, "the %s rule", "first");
    if (strcmp(mood, "abort") == 0)
        abort();
    if (strcmp(mood, "hang") == 0) {
        tapsi_test_limit(1);
        for (;;)
            pause();
    }
}

/* Runs the test twice and holds it to the rules only; with =once, once. */
static void sweep(struct tapsi_test *test, const char *which)
{
    for (int i = 1; i <= (which ? 1 : 2); i++) {
        tapsi_test_doing("run %d", i);
        tapsi_test_tolerate(true);
        CHECK_INT(tapsi_test_rounds(5, 6, 7), 1);
        test->run();
        tapsi_test_tolerate(false);
    }
    tapsi_test_remark(": done");
}

__attribute__((constructor)) static void offer_sweep(void)
{
    static const struct tapsi_test_sweep the_sweep = {sweep};
    tapsi_test_set_sweep(&the_sweep);
}

static int run_with(const char *mood, const char *option, const char *argument, char *output, size_t size)
{
    int pipe_fds[2], status = -1;
    if (pipe(pipe_fds))
        return -1;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        dup2(pipe_fds[1], STDERR_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        if (mood)
            setenv("TAPSI_SAMPLE", mood, 1);
        execl("/proc/self/exe", "test_test", option ? option : argument, option ? argument : NULL, (char *)NULL);
        _exit(99);
    }
    close(pipe_fds[1]);
    size_t used = 0;
    ssize_t got;
    while (used < size - 1 && (got = read(pipe_fds[0], output + used, size - 1 - used)) > 0)
        used += (size_t)got;
    output[used] = '\0';
    close(pipe_fds[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static int run_again(const char *mood, const char *argument, char *output, size_t size)
{
    return run_with(mood, NULL, argument, output, size);
}

TEST(a_named_test_passes)
{
    char output[2000];
    CHECK_INT(run_again(NULL, "sample", output, sizeof(output)), 0);
    CHECK_TEXT(output, "1..1\nok 1 - sample\n");
}

TEST(a_skip_is_told_with_its_reason)
{
    char output[2000];
    CHECK_INT(run_again("skip", "sample", output, sizeof(output)), 0);
    CHECK_TEXT(output, "1..1\nok 1 - sample # SKIP not today\n");
}

TEST(failed_checks_are_told_and_need_returns)
{
    char output[2000];
    CHECK_INT(run_again("fail", "sample", output, sizeof(output)), 1);
    CHECK(strstr(output, ": 1 == 2\n"));
    CHECK(strstr(output, ": 3 is 3, not 4\n"));
    CHECK(strstr(output, ": \"a\" is \"a\", not \"b\"\n"));
    CHECK(strstr(output, ": NULL is \"(null)\", not \"b\"\n"));
    CHECK(strstr(output, ": 5 == 6\n"));
    CHECK(!strstr(output, "7 == 8"));
    CHECK(strstr(output, "\nnot ok 1 - sample\n"));
}

TEST(a_hang_is_a_failure)
{
    char output[2000];
    CHECK_INT(run_again("hang", "sample", output, sizeof(output)), 1);
    CHECK_TEXT(output, "1..1\n# out of time\nnot ok 1 - sample\n");
}

TEST(a_crash_names_the_test)
{
    char output[2000];
    CHECK_INT(run_again("abort", "sample", output, sizeof(output)), -1);
    CHECK(strstr(output, "# crashed\nnot ok 1 - sample\n"));
}

TEST(a_broken_rule_is_a_failure)
{
    char output[2000];
    CHECK_INT(run_again("break", "sample", output, sizeof(output)), 1);
    CHECK_TEXT(output, "1..1\n# sample:0: the first rule\nnot ok 1 - sample\n");
}

TEST(a_sweep_holds_to_the_rules_only)
{
    char output[2000];
    CHECK_INT(run_with("fail", "--sweep", "sample", output, sizeof(output)), 0);
    CHECK_TEXT(output, "1..1\nok 1 - sample: done\n");
    CHECK_INT(run_with("break", "--sweep", "sample", output, sizeof(output)), 1);
    CHECK_TEXT(output, "1..1\n# sample:0: the first rule\n# sample:0: the first rule\nnot ok 1 - sample: done\n");
    CHECK_INT(run_with("abort", "--sweep", "sample", output, sizeof(output)), -1);
    CHECK(strstr(output, "# crashed in run 1\nnot ok 1 - sample\n"));
}

TEST(one_run_of_a_sweep_tells_of_its_checks)
{
    char output[2000];
    CHECK_INT(run_with("fail", "--sweep=once", "sample", output, sizeof(output)), 0);
    CHECK(strstr(output, ": 1 == 2\n"));
    CHECK(strstr(output, "\nok 1 - sample: done\n"));
}

TEST(an_unknown_name_is_an_error)
{
    char output[2000];
    CHECK_INT(run_again(NULL, "nonsense", output, sizeof(output)), 2);
    CHECK(strstr(output, "no test is named nonsense"));
}

TEST(list_shows_the_names_in_order)
{
    char output[2000];
    CHECK_INT(run_again(NULL, "--list", output, sizeof(output)), 0);
    CHECK(strncmp(output, "sample\na_named_test_passes\n", 27) == 0);
}
