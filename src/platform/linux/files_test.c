#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/str.h"
#include "base/test.h"
#include "platform/platform.h"

static size_t live, allowed;

static void *counted(void *user, void *block, size_t size)
{
    (void)user;
    if (size == 0) {
        live--;
        free(block);
        return NULL;
    }
    if (allowed == 0)
        return NULL;
    allowed--;
    live += block == NULL;
    return realloc(block, size);
}

static struct tapsi_mem mem;
static char folder[] = "/tmp/taps-files-XXXXXX";
static char path[64];

static struct tapsi_platform *setup(void)
{
    struct tapsi_platform *p = NULL;
    live = 0;
    allowed = 1000;
    tapsi_mem_init(&mem, &(struct taps_allocator){.resize = counted});
    CHECK_INT(tapsi_platform_linux_new(&mem, &p), 0);
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    CHECK(mkdtemp(folder) != NULL);
    tapsi_format(path, sizeof(path), "%s/file", folder);
    return p;
}

static void teardown(struct tapsi_platform *p)
{
    p->ops->destroy(p);
    CHECK_INT(live, 0);
    unlink(path);
    CHECK_INT(rmdir(folder), 0);
}

static void write_file(const char *bytes, size_t count)
{
    FILE *file = fopen(path, "w");
    CHECK(file && fwrite(bytes, 1, count, file) == count && fclose(file) == 0);
}

TEST(a_file_is_read_whole_and_terminated)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    char *text = NULL;
    size_t length = 0;
    write_file("hello\nworld\n", 12);
    CHECK_INT(p->ops->read_file(p, path, 100, &text, &length), 0);
    CHECK_TEXT(text, "hello\nworld\n");
    CHECK_INT(length, 12);
    tapsi_free(&mem, text);
    teardown(p);
}

TEST(an_empty_file_is_an_empty_text)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    char *text = NULL;
    size_t length = 9;
    write_file("", 0);
    CHECK_INT(p->ops->read_file(p, path, 0, &text, &length), 0);
    CHECK_TEXT(text, "");
    CHECK_INT(length, 0);
    tapsi_free(&mem, text);
    teardown(p);
}

TEST(nul_bytes_are_kept)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    char *text = NULL;
    size_t length = 0;
    write_file("a\0b", 3);
    CHECK_INT(p->ops->read_file(p, path, 3, &text, &length), 0);
    CHECK_INT(length, 3);
    CHECK(memcmp(text, "a\0b", 4) == 0);
    tapsi_free(&mem, text);
    teardown(p);
}

TEST(a_file_over_the_limit_is_refused)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    static char bytes[10000];
    char *text = NULL, *untouched = NULL;
    size_t length = 0, none = 7;
    memset(bytes, 'x', sizeof(bytes));
    write_file(bytes, sizeof(bytes));
    CHECK_INT(p->ops->read_file(p, path, sizeof(bytes), &text, &length), 0);
    CHECK_INT(length, sizeof(bytes));
    CHECK_INT(p->ops->read_file(p, path, sizeof(bytes) - 1, &untouched, &none), -EFBIG);
    CHECK_INT(p->ops->read_file(p, path, 0, &untouched, &none), -EFBIG);
    CHECK_INT(p->ops->read_file(p, "/dev/zero", 100000, &untouched, &none), -EFBIG);
    CHECK(!untouched && none == 7);
    tapsi_free(&mem, text);
    teardown(p);
}

TEST(what_is_no_file_is_an_error_and_never_a_hang)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    char *text = NULL;
    size_t length = 7;
    CHECK_INT(p->ops->read_file(p, path, 100, &text, &length), -ENOENT);
    CHECK_INT(p->ops->read_file(p, folder, 100, &text, &length), -EISDIR);
    CHECK_INT(p->ops->read_file(p, "", 100, &text, &length), -ENOENT);
    CHECK(!text && length == 7);
    CHECK_INT(mkfifo(path, 0600), 0);
    CHECK_INT(p->ops->read_file(p, path, 100, &text, &length), 0);
    CHECK_INT(length, 0);
    tapsi_free(&mem, text);
    teardown(p);
}

TEST(files_without_a_size_are_read)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    char *text = NULL;
    size_t length = 0;
    CHECK_INT(p->ops->read_file(p, "/proc/self/status", 65536, &text, &length), 0);
    CHECK(length > 100 && strlen(text) == length);
    tapsi_free(&mem, text);
    teardown(p);
}

TEST(no_memory_is_an_error_at_every_step)
{
    struct tapsi_platform *p = setup();
    NEED(p);
    static char bytes[20000];
    char *text = NULL;
    size_t length = 7;
    int err = -ENOMEM, failures = 0;
    write_file(bytes, sizeof(bytes));
    while (err) {
        allowed = (size_t)failures;
        err = p->ops->read_file(p, path, 65536, &text, &length);
        CHECK(err == 0 || (err == -ENOMEM && !text && length == 7));
        failures += err != 0;
    }
    CHECK(failures > 1);
    tapsi_free(&mem, text);
    teardown(p);
}
