/* Who may have written a file of secrets, and what others make of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/test.h"
#include "platform/linux/linux.h"

static char place[] = "/var/tmp/taps-private-XXXXXX";
static char file[256];
static struct tapsi_platform *platform;

static bool begin(void)
{
    strcpy(place + strlen(place) - 6, "XXXXXX");
    if (!mkdtemp(place) || tapsi_platform_linux_new(tapsi_mem_default(), &platform) != 0)
        return false;
    snprintf(file, sizeof(file), "%s/sessions", place);
    return true;
}

static void end(void)
{
    char name[300];
    static const char *const suffixes[] = {"", ".new", ".lock", ".other"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%s%s", file, suffixes[i]);
        unlink(name);
    }
    rmdir(place);
    platform->ops->destroy(platform);
}

static int load(char *to, size_t room, size_t max)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    int err = tapsi_linux_load_private(platform, file, max, &bytes, &length);
    if (err == 0)
        snprintf(to, room, "%.*s", (int)length, (const char *)bytes);
    tapsi_free(platform->mem, bytes);
    return err;
}

TEST(what_is_stored_is_loaded_and_nobody_elses)
{
    char text[100];
    struct stat s;
    NEED(begin());
    CHECK_INT(load(text, sizeof(text), 100), -ENOENT);
    CHECK_INT(tapsi_linux_store_private(platform, file, "one", 3), 0);
    CHECK_INT(tapsi_linux_store_private(platform, file, "and two", 7), 0);
    CHECK_INT(load(text, sizeof(text), 100), 0);
    CHECK_TEXT(text, "and two");
    CHECK(stat(file, &s) == 0 && (s.st_mode & 0777) == 0600);
    CHECK_INT(load(text, sizeof(text), 6), -EFBIG);
    CHECK_INT(tapsi_linux_store_private(platform, file, "", 0), 0);
    CHECK_INT(load(text, sizeof(text), 6), 0);
    CHECK_TEXT(text, "");
    end();
}

TEST(a_file_that_others_can_read_or_write_is_refused)
{
    static const unsigned modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0666};
    char text[100];
    NEED(begin());
    CHECK_INT(tapsi_linux_store_private(platform, file, "one", 3), 0);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        CHECK_INT(chmod(file, modes[i]), 0);
        CHECK_INT(load(text, sizeof(text), 100), -EPERM);
    }
    CHECK_INT(chmod(file, 0400), 0);
    CHECK_INT(load(text, sizeof(text), 100), 0);
    end();
}

TEST(what_is_no_file_is_refused)
{
    char text[100], other[300];
    NEED(begin());
    snprintf(other, sizeof(other), "%s.other", file);
    CHECK_INT(tapsi_linux_store_private(platform, other, "one", 3), 0);
    CHECK_INT(symlink(other, file), 0);
    CHECK_INT(load(text, sizeof(text), 100), -EPERM);
    unlink(file);
    CHECK_INT(mkfifo(file, 0600), 0);
    CHECK_INT(load(text, sizeof(text), 100), -EPERM);
    unlink(file);
    CHECK_INT(mkdir(file, 0700), 0);
    CHECK_INT(load(text, sizeof(text), 100), -EPERM);
    CHECK(tapsi_linux_store_private(platform, file, "one", 3) < 0);
    rmdir(file);
    end();
}

TEST(a_writer_that_died_leaves_nothing_in_the_way)
{
    char text[100], other[300];
    NEED(begin());
    CHECK_INT(tapsi_linux_store_private(platform, file, "good", 4), 0);
    snprintf(other, sizeof(other), "%s.new", file);
    int fd = open(other, O_WRONLY | O_CREAT, 0644);
    CHECK(fd >= 0 && write(fd, "half", 4) == 4);
    close(fd);
    CHECK_INT(load(text, sizeof(text), 100), 0);
    CHECK_TEXT(text, "good");
    CHECK_INT(tapsi_linux_store_private(platform, file, "better", 6), 0);
    CHECK_INT(load(text, sizeof(text), 100), 0);
    CHECK_TEXT(text, "better");
    end();
}

TEST(a_place_that_is_not_there_or_cannot_be_written)
{
    NEED(begin());
    char there[300];
    snprintf(there, sizeof(there), "%s/nowhere/sessions", place);
    CHECK_INT(tapsi_linux_store_private(platform, there, "one", 3), -ENOENT);
    CHECK_INT(tapsi_linux_lock_private(platform, there, 0), -ENOENT);
    char longest[5000];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    CHECK_INT(tapsi_linux_store_private(platform, longest, "one", 3), -ENAMETOOLONG);
    CHECK_INT(tapsi_linux_lock_private(platform, longest, 0), -ENAMETOOLONG);
    end();
}

TEST(one_holds_the_lock)
{
    NEED(begin());
    int first = tapsi_linux_lock_private(platform, file, 0);
    CHECK(first >= 0);
    CHECK_INT(tapsi_linux_lock_private(platform, file, 12), -EWOULDBLOCK);
    tapsi_linux_unlock_private(platform, first);
    int second = tapsi_linux_lock_private(platform, file, 0);
    CHECK(second >= 0);
    tapsi_linux_unlock_private(platform, second);
    end();
}
