/*
 * Random races. A failure prints the seed, the text of the race, and the command that plays it again. Four shards, so
 * that four processors can share them; `meson test` runs each as a test of its own.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/test.h"
#include "draw.h"
#include "observer.h"
#include "play.h"

#define SHARDS        4
#define AGAIN_EVERY   64 /* so many seeds are played twice: the same seed, the same race */
#define PREDICTED_MIN 30 /* per cent of the calm races that the reference must know */

static struct script script;

static void blame(enum draw_kind kind, uint64_t seed)
{
    printf("# %s-%" PRIu64 " failed; to see it again: scripts/replay %s-%" PRIu64 "\n", draw_kind_names[kind], seed,
           draw_kind_names[kind], seed);
    for (const char *at = script.text, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        printf("#     %.*s\n", (int)(end - at), at);
    }
}

/* False: stop here. */
static bool one(enum draw_kind kind, uint64_t seed)
{
    uint64_t hash, again;
    if (!draw(kind, seed, &script)) {
        tapsi_test_fail("draw", 0, "%s-%" PRIu64 ": %s", draw_kind_names[kind], seed, script.problem);
        return false;
    }
    bool ok = play(&script, false, &hash);
    bool twice = seed % AGAIN_EVERY == 0 && kind != DRAW_TLS; /* signatures have chance in them, and lengths */
    if (ok && twice && (play(&script, false, &again), again != hash)) {
        tapsi_test_fail("races", 0, "played twice, it goes two ways");
        ok = false;
    }
    if (!ok)
        blame(kind, seed);
    return ok;
}

static void shard(enum draw_kind kind, unsigned number, unsigned rounds)
{
    unsigned long before = play_predicted();
    tapsi_test_limit(1100);
    for (unsigned i = 0; i < rounds; i++) {
        if (!one(kind, number + (uint64_t)i * SHARDS))
            return;
    }
    unsigned predicted = (unsigned)(play_predicted() - before);
    printf("# %u races, and the reference knew %u of them\n", rounds, predicted);
    if (kind == DRAW_CALM)
        CHECK(predicted >= rounds / 100 * PREDICTED_MIN);
    CHECK(observer_events() > rounds);
}

/* Those of seeds.txt, one line each: a seed and what was wrong. */
TEST(seeds)
{
    char line[200], name[16];
    FILE *file = fopen(RACES_FOLDER "/seeds.txt", "r");
    NEED(file);
    unsigned count = 0;
    while (fgets(line, sizeof(line), file)) {
        uint64_t seed = 0;
        int kind = 0;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        CHECK_INT(sscanf(line, "%15[a-z]-%" SCNu64, name, &seed), 2);
        while (kind < DRAW_KINDS && strcmp(draw_kind_names[kind], name) != 0)
            kind++;
        CHECK(kind < DRAW_KINDS && one((enum draw_kind)kind, seed));
        count++;
    }
    fclose(file);
    CHECK(count > 0);
}

static void play_file(const char *name)
{
    static char text[SCRIPT_TEXT_MAX];
    char path[512];
    snprintf(path, sizeof(path), RACES_FOLDER "/%s", name);
    FILE *file = fopen(path, "r");
    NEED(file);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = 0;
    script_clear(&script);
    if (!script_add(&script, text))
        tapsi_test_fail(name, 0, "%s", script.problem);
    else if (!play(&script, false, NULL))
        printf("# to see it again: scripts/replay tests/races/%s\n", name);
    CHECK(script_find(&script, SCRIPT_EXPECT) != NULL);
}

static int is_scenario(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".scenario") == 0;
}

/* Every file of this folder: the classical races, and what was once wrong.
   proves IMPL-04, IMPL-07, IMPL-08, IMPL-10, IMPL-11, IMPL-12, IMPL-13, API-060 */
TEST(scenarios)
{
    struct dirent **entries;
    int count = scandir(RACES_FOLDER, &entries, is_scenario, alphasort);
    CHECK(count > 10);
    for (int i = 0; i < count; i++) {
        play_file(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

/* What holds of every race: see check.c and tests/observer/observer.h.
   proves IMPL-05, IMPL-07, IMPL-08, IMPL-10, API-020, API-060, API-111, API-120, API-144, API-145 */
#define SHARD(n)                                                                                                       \
    TEST(calm_##n)                                                                                                     \
    {                                                                                                                  \
        shard(DRAW_CALM, n, tapsi_test_rounds(12500, 1000, 125000));                                                   \
    }                                                                                                                  \
    TEST(rough_##n)                                                                                                    \
    {                                                                                                                  \
        shard(DRAW_ROUGH, n, tapsi_test_rounds(12500, 1000, 125000));                                                  \
    }                                                                                                                  \
    TEST(tls_##n)                                                                                                      \
    {                                                                                                                  \
        shard(DRAW_TLS, n, tapsi_test_rounds(500, 50, 10000));                                                         \
    }

SHARD(0)
SHARD(1)
SHARD(2)
SHARD(3)
