/*
 * Plays one race with everything on the screen: what it is, every packet, every event, and what is wrong with it.
 * scripts/replay builds and starts this.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/test.h"
#include "draw.h"
#include "play.h"

static const char usage[] =
    "usage: replay KIND-NUMBER    a drawn race: calm-17, rough-17, tls-17\n"
    "       replay FILE           a race in a file\n"
    "       replay --text WHICH   only says what it is: a scenario to keep\n"
    "       replay --short WHICH  leaves out what the failure does not need, and says the rest\n";

static bool failed;
static char first[200]; /* what was wrong first, without its figures */

/* Stands in for that of base/test.c: this is no test program. */
void tapsi_test_fail(const char *file, int line, const char *format, ...)
{
    char text[600];
    size_t kept = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("# WRONG (%s:%d): %s\n", file, line, text);
    for (const char *at = text; !failed && *at && kept < sizeof(first) - 1; at++) {
        if (!isdigit((unsigned char)*at))
            first[kept++] = *at;
    }
    if (!failed)
        first[kept] = 0;
    failed = true;
}

bool tapsi_test_failed(void)
{
    return failed;
}

static bool from_seed(const char *name, struct script *script)
{
    for (int kind = 0; kind < DRAW_KINDS; kind++) {
        size_t length = strlen(draw_kind_names[kind]);
        if (strncmp(name, draw_kind_names[kind], length) == 0 && name[length] == '-')
            return draw((enum draw_kind)kind, strtoull(name + length + 1, NULL, 10), script);
    }
    return false;
}

static bool from_file(const char *path, struct script *script)
{
    static char text[SCRIPT_TEXT_MAX];
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return false;
    }
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = 0;
    script_clear(script);
    if (!script_add(script, text))
        fprintf(stderr, "replay: %s: %s\n", path, script->problem);
    return !script->problem[0];
}

static bool fails(const struct script *script)
{
    failed = false;
    play(script, false, NULL);
    return failed;
}

/* Leaves out one statement after the other as long as the same is wrong. */
static void shorten(struct script *script)
{
    static struct script shorter;
    char wanted[sizeof(first)];
    bool again = fails(script);
    memcpy(wanted, first, sizeof(first));
    while (again) {
        again = false;
        for (unsigned i = script->count; i-- > 0;) {
            script_without(script, i, &shorter);
            if (shorter.problem[0] || !fails(&shorter) || strcmp(wanted, first) != 0)
                continue;
            script_clear(script);
            script_add(script, shorter.text);
            again = true;
        }
    }
}

/* With nothing on the screen. */
static void shorten_quietly(struct script *script)
{
    int screen = dup(STDOUT_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stdout);
    dup2(nowhere, STDOUT_FILENO);
    shorten(script);
    fflush(stdout);
    dup2(screen, STDOUT_FILENO);
    close(screen);
    close(nowhere);
}

int main(int argc, char **argv)
{
    static struct script script;
    const char *which = argc == 2 ? argv[1] : argc == 3 ? argv[2] : NULL;
    bool text = argc == 3 && strcmp(argv[1], "--text") == 0, shorter = argc == 3 && strcmp(argv[1], "--short") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!which || (argc == 3 && !text && !shorter)) {
        fputs(usage, stderr);
        return 2;
    }
    if (!from_seed(which, &script) && !from_file(which, &script))
        return 2;
    if (shorter)
        shorten_quietly(&script);
    fputs(script.text, stdout);
    if (text)
        return 0;
    failed = false;
    play(&script, true, NULL);
    puts(failed ? "# FAILED" : "# nothing is wrong");
    return failed;
}
