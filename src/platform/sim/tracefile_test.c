/* TAPS_TRACE: every world of a program appends to one file, with its number and the test's name. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "platform/sim/testnet.h"

static char path[] = "/tmp/taps-trace-XXXXXX";
static bool given; /* by whoever runs the tests: that file is theirs */

__attribute__((constructor)) static void choose_file(void)
{
    given = getenv("TAPS_TRACE") != NULL;
    int fd = given ? -1 : mkstemp(path);
    if (fd < 0)
        return;
    close(fd);
    setenv("TAPS_TRACE", path, 1);
}

__attribute__((destructor)) static void remove_file(void)
{
    if (!given)
        unlink(path);
}

/* What is in the file now. */
static size_t read_all(char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    text[length] = 0;
    if (file)
        fclose(file);
    return length;
}

TEST(all_worlds_of_a_program_share_one_file)
{
    char text[4096];
    if (given) {
        tapsi_test_skip("TAPS_TRACE is set");
        return;
    }
    struct tapsi_sim *a = tapsi_sim_new(5), *b = tapsi_sim_new(6);
    tapsi_sim_note(b, "hello");
    tapsi_sim_note(a, "hello");
    tapsi_sim_free(b);
    tapsi_sim_free(a);
    CHECK(read_all(text, sizeof text) > 0); /* no world need end for it */
    CHECK_TEXT(text, "1 0.000000000 -        world   seed 5 test all_worlds_of_a_program_share_one_file\n"
                     "2 0.000000000 -        world   seed 6 test all_worlds_of_a_program_share_one_file\n"
                     "2 0.000000000 -        note    hello\n"
                     "1 0.000000000 -        note    hello\n"
                     "2 0.000000000 -        world   ends\n"
                     "1 0.000000000 -        world   ends\n");
}

TEST(a_world_with_a_file_of_its_own_leaves_the_common_one)
{
    char text[4096], *own;
    size_t before = read_all(text, sizeof text), length;
    FILE *file = open_memstream(&own, &length);
    struct tapsi_sim *sim = tapsi_sim_new(7);
    before = read_all(text, sizeof text);
    tapsi_sim_trace_file(sim, file);
    tapsi_sim_note(sim, "mine");
    tapsi_sim_free(sim);
    fclose(file);
    CHECK_INT(read_all(text, sizeof text), before);
    CHECK_TEXT(own, "0.000000000 -        world   seed 7\n"
                    "0.000000000 -        note    mine\n"
                    "0.000000000 -        world   ends\n");
    free(own);
}
