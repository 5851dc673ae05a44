/* The session file of a context, on the kernel's own files: who may use it, and what several do with one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <taps/taps.h>
#include <unistd.h>
#include "base/test.h"
#include "connection/context.h"
#include "stack/secure/tickets.h"

static char place[64], file[128];
static unsigned warnings;

static void log_line(void *user, enum taps_log_level level, const char *text)
{
    (void)user;
    warnings += level <= TAPS_LOG_WARNING && strstr(text, "session file") != NULL;
}

static bool begin(void)
{
    strcpy(place, "/var/tmp/taps-sessions-XXXXXX");
    if (!mkdtemp(place))
        return false;
    snprintf(file, sizeof(file), "%s/sessions", place);
    warnings = 0;
    return true;
}

static void end(void)
{
    static const char *const suffixes[] = {"", ".new", ".lock"};
    char name[160];
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s%s", file, suffixes[i]);
        unlink(name);
    }
    rmdir(place);
}

static taps_context *context_with(const char *path, int expected)
{
    const struct taps_context_options options = {.log = log_line, .log_level = TAPS_LOG_WARNING};
    taps_context *context = NULL;
    CHECK_INT(taps_context_new(&options, &context), 0);
    CHECK_INT(taps_context_set_session_file(context, path), expected);
    return context;
}

static struct tapsi_ticket_key key_of(uint8_t number)
{
    return (struct tapsi_ticket_key){{number}, {1}};
}

/* As a handshake does when a ticket comes. */
static void add(taps_context *context, uint8_t number)
{
    uint64_t now = tapsi_loop_wall(&context->loop);
    struct tapsi_ticket like = {.key = key_of(number), .issued = now, .expires = now + 1000, .session = &number};
    like.session_length = 1;
    tapsi_tickets_put(context->caches->tickets, tapsi_ticket_new(context->caches->mem, &like), 100);
}

static bool take(taps_context *context, uint8_t number)
{
    struct tapsi_ticket_key key = key_of(number);
    struct tapsi_ticket *t = tapsi_tickets_take(context->caches->tickets, &key, tapsi_loop_wall(&context->loop));
    tapsi_ticket_free(t);
    return t != NULL;
}

static bool has(taps_context *context, uint8_t number)
{
    struct tapsi_ticket_key key = key_of(number);
    return tapsi_tickets_has(context->caches->tickets, &key, tapsi_loop_wall(&context->loop));
}

/* proves ARCH-16 */
TEST(what_one_context_has_learned_the_next_one_knows)
{
    NEED(begin());
    taps_context *c = context_with(file, 0);
    add(c, 1);
    add(c, 2);
    CHECK_INT(taps_context_free(c), 0);
    c = context_with(file, 0);
    CHECK(has(c, 1) && has(c, 2));
    CHECK(take(c, 2));
    CHECK_INT(taps_context_free(c), 0);
    c = context_with(file, 0);
    CHECK(has(c, 1) && !has(c, 2)); /* used is used */
    CHECK_INT(taps_context_free(c), 0);
    CHECK_INT(warnings, 0);
    end();
}

TEST(two_contexts_share_one_file_and_neither_loses_what_the_other_wrote)
{
    NEED(begin());
    taps_context *a = context_with(file, 0);
    add(a, 1);
    CHECK_INT(taps_context_set_session_file(a, NULL), 0); /* written */
    CHECK_INT(taps_context_set_session_file(a, file), 0);
    taps_context *b = context_with(file, 0);
    CHECK(take(b, 1));
    add(a, 2);
    add(b, 3);
    CHECK_INT(taps_context_free(a), 0);
    CHECK_INT(taps_context_free(b), 0);
    a = context_with(file, 0);
    CHECK(has(a, 2) && has(a, 3) && !has(a, 1));
    CHECK_INT(taps_context_free(a), 0);
    end();
}

TEST(it_is_written_while_the_context_lives)
{
    struct stat s;
    NEED(begin());
    taps_context *c = context_with(file, 0);
    add(c, 1);
    for (int i = 0; i < 100 && stat(file, &s) != 0; i++)
        taps_context_run_once(c, 100);
    CHECK(stat(file, &s) == 0 && (s.st_mode & 0777) == 0600 && s.st_size > 100);
    CHECK_INT(taps_context_free(c), 0);
    end();
}

TEST(a_file_that_others_can_read_is_neither_used_nor_written)
{
    struct stat before, after;
    NEED(begin());
    taps_context *c = context_with(file, 0);
    add(c, 1);
    CHECK_INT(taps_context_free(c), 0);
    CHECK(chmod(file, 0640) == 0 && stat(file, &before) == 0);
    c = context_with(file, TAPS_E_PERMISSION);
    CHECK_INT(tapsi_tickets_count(c->caches->tickets), 0);
    add(c, 2);
    CHECK_INT(taps_context_free(c), 0);
    CHECK(stat(file, &after) == 0 && after.st_ino == before.st_ino && after.st_size == before.st_size);
    CHECK_INT(warnings, 1);
    end();
}

TEST(a_damaged_file_is_replaced)
{
    NEED(begin());
    FILE *f = fopen(file, "w");
    NEED(f);
    fputs("taps sessions 1\nrubbish", f);
    fclose(f);
    CHECK_INT(chmod(file, 0600), 0);
    taps_context *c = context_with(file, 0);
    CHECK_INT(warnings, 1);
    add(c, 1);
    CHECK_INT(taps_context_free(c), 0);
    c = context_with(file, 0);
    CHECK(has(c, 1));
    CHECK_INT(taps_context_free(c), 0);
    end();
}

/* Somebody has mixed up his files: nothing is written over, now or when the context ends. */
TEST(a_file_of_something_else_is_left_alone)
{
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n";
    char found[64] = "";
    NEED(begin());
    for (int later = 0; later < 2; later++) {
        CHECK(later == 0 || unlink(file) == 0);
        taps_context *c = later ? context_with(file, 0) : NULL;
        FILE *f = fopen(file, "w");
        NEED(f);
        fputs(key, f);
        fclose(f);
        CHECK_INT(chmod(file, 0600), 0);
        if (!later)
            c = context_with(file, TAPS_E_RANGE);
        add(c, 1);
        CHECK_INT(taps_context_free(c), 0);
        CHECK_INT(warnings, later + 1);
        f = fopen(file, "r");
        NEED(f);
        CHECK(fgets(found, sizeof(found), f) && strcmp(found, key) == 0);
        fclose(f);
    }
    end();
}

TEST(an_empty_file_is_taken)
{
    NEED(begin());
    FILE *f = fopen(file, "w");
    NEED(f);
    fclose(f);
    CHECK_INT(chmod(file, 0600), 0);
    taps_context *c = context_with(file, 0);
    add(c, 1);
    CHECK_INT(taps_context_free(c), 0);
    c = context_with(file, 0);
    CHECK(has(c, 1));
    CHECK_INT(taps_context_free(c), 0);
    end();
}

TEST(a_place_that_cannot_be_written_costs_the_cache_alone)
{
    char nowhere[200];
    NEED(begin());
    snprintf(nowhere, sizeof(nowhere), "%s/nowhere/sessions", place);
    taps_context *c = context_with(nowhere, 0); /* not there yet */
    add(c, 1);
    CHECK(has(c, 1));
    CHECK_INT(taps_context_free(c), 0);
    CHECK_INT(warnings, 1);
    c = context_with(place, TAPS_E_PERMISSION); /* a folder */
    CHECK_INT(taps_context_free(c), 0);
    end();
}

TEST(where_there_are_no_caches_or_no_files)
{
    const struct taps_context_options none = {.no_caches = true};
    taps_context *c;
    NEED(begin());
    CHECK_INT(taps_context_set_session_file(NULL, file), TAPS_E_ARGUMENT);
    CHECK_INT(taps_context_new(&none, &c), 0);
    CHECK_INT(taps_context_set_session_file(c, file), TAPS_E_NOT_APPLICABLE);
    CHECK_INT(taps_context_set_session_file(c, NULL), 0);
    CHECK_INT(taps_context_free(c), 0);
    end();
}
