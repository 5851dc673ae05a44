#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"

struct input {
    struct source source;
    int writer;
};

static bool open_input(struct input *in, enum source_cut cut, size_t piece)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    *in = (struct input){.writer = fds[1]};
    in->source = (struct source){.fd = fds[0], .cut = cut, .piece = piece, .left = UINT64_MAX};
    return true;
}

static void write_input(struct input *in, const char *text)
{
    CHECK_INT(write(in->writer, text, strlen(text)), strlen(text));
    CHECK_INT(source_read(&in->source), 0);
}

static void end_input(struct input *in)
{
    if (in->writer >= 0)
        close(in->writer);
    in->writer = -1;
    if (!in->source.input_end)
        CHECK_INT(source_read(&in->source), 0);
}

static void close_input(struct input *in)
{
    if (in->writer >= 0)
        close(in->writer);
    close(in->source.fd);
    source_done(&in->source);
}

/* The next Message is `text`, or there is none (NULL). */
static void check_next(struct input *in, const char *text, bool last)
{
    const void *data = NULL;
    size_t length = 0;
    bool is_last = false, there = source_next(&in->source, &data, &length, &is_last);
    CHECK_INT(there, text != NULL);
    if (!there || !text)
        return;
    CHECK_INT(length, strlen(text));
    CHECK(length == strlen(text) && memcmp(data, text, length) == 0);
    CHECK_INT(is_last, last);
}

TEST(nothing_read_is_nothing)
{
    for (int cut = SOURCE_READS; cut <= SOURCE_PIECES; cut++) {
        struct input in;
        NEED(open_input(&in, (enum source_cut)cut, 10));
        CHECK_INT(source_init(&in.source), 0);
        CHECK_INT(source_read(&in.source), 0);
        check_next(&in, NULL, false);
        CHECK(source_wants_input(&in.source) && !source_ended(&in.source));
        end_input(&in);
        check_next(&in, NULL, false);
        CHECK(!source_wants_input(&in.source) && source_ended(&in.source));
        close_input(&in);
    }
}

TEST(a_read_is_a_message)
{
    struct input in;
    NEED(open_input(&in, SOURCE_READS, 4));
    CHECK_INT(source_init(&in.source), 0);
    write_input(&in, "ab\nc");
    check_next(&in, "ab\nc", false);
    check_next(&in, NULL, false);
    write_input(&in, "defghi");
    check_next(&in, "defg", false);
    CHECK_INT(source_read(&in.source), 0);
    check_next(&in, "hi", false);
    end_input(&in);
    CHECK(source_ended(&in.source));
    close_input(&in);
}

TEST(lines)
{
    struct input in;
    NEED(open_input(&in, SOURCE_LINES, 0));
    CHECK_INT(source_init(&in.source), 0);
    write_input(&in, "one\n\ntwo\r\nthr");
    check_next(&in, "one", false);
    check_next(&in, "", false);
    check_next(&in, "two\r", false);
    check_next(&in, NULL, false);
    CHECK(source_wants_input(&in.source));
    write_input(&in, "ee");
    check_next(&in, NULL, false);
    write_input(&in, "\nlast");
    check_next(&in, "three", false);
    check_next(&in, NULL, false);
    end_input(&in);
    check_next(&in, "last", true);
    check_next(&in, NULL, false);
    CHECK(source_ended(&in.source));
    close_input(&in);
}

TEST(an_end_that_is_there_already_is_foreseen)
{
    struct input in;
    NEED(open_input(&in, SOURCE_LINES, 0));
    in.source.foresee = true;
    CHECK_INT(source_init(&in.source), 0);
    write_input(&in, "one\n");
    check_next(&in, "one", false); /* nothing to be read: it goes at once */
    write_input(&in, "two\n");
    CHECK_INT(write(in.writer, "three\n", 6), 6);
    check_next(&in, NULL, false);
    CHECK(source_wants_input(&in.source));
    CHECK_INT(source_read(&in.source), 0);
    check_next(&in, "two", false);
    close(in.writer);
    in.writer = -1;
    check_next(&in, NULL, false);
    CHECK(source_wants_input(&in.source));
    CHECK_INT(source_read(&in.source), 0);
    CHECK(!source_ended(&in.source));
    check_next(&in, "three", true);
    CHECK(source_ended(&in.source));
    close_input(&in);
}

TEST(pieces)
{
    struct input in;
    NEED(open_input(&in, SOURCE_PIECES, 3));
    CHECK_INT(source_init(&in.source), 0);
    write_input(&in, "ab");
    check_next(&in, NULL, false);
    write_input(&in, "cdefg");
    check_next(&in, "abc", false);
    check_next(&in, "def", false);
    check_next(&in, NULL, false);
    end_input(&in);
    check_next(&in, "g", true);
    CHECK(source_ended(&in.source));
    close_input(&in);
}

TEST(no_more_than_asked_for)
{
    struct input in;
    NEED(open_input(&in, SOURCE_LINES, 0));
    in.source.left = 2;
    CHECK_INT(source_init(&in.source), 0);
    write_input(&in, "1\n2\n3\n");
    check_next(&in, "1", false);
    check_next(&in, "2", true);
    check_next(&in, NULL, false);
    CHECK(source_ended(&in.source) && !source_wants_input(&in.source));
    close_input(&in);
}

TEST(where_there_is_no_input_it_is_made)
{
    struct input in;
    NEED(open_input(&in, SOURCE_PIECES, 5));
    in.source.left = 3;
    in.source.stand_in = true;
    CHECK_INT(source_init(&in.source), 0);
    end_input(&in);
    CHECK(!source_ended(&in.source) && !source_wants_input(&in.source));
    check_next(&in, "01234", false);
    check_next(&in, "01234", false);
    check_next(&in, "01234", true);
    check_next(&in, NULL, false);
    CHECK(source_ended(&in.source));
    close_input(&in);
}

TEST(where_there_is_input_nothing_is_made)
{
    struct input in;
    NEED(open_input(&in, SOURCE_PIECES, 5));
    in.source.left = 3;
    in.source.stand_in = true;
    CHECK_INT(source_init(&in.source), 0);
    write_input(&in, "abc");
    end_input(&in);
    check_next(&in, "abc", true);
    CHECK(source_ended(&in.source));
    close_input(&in);
}

TEST(input_that_cannot_be_read_has_ended)
{
    struct source source = {.fd = -1, .cut = SOURCE_LINES, .left = UINT64_MAX};
    CHECK_INT(source_init(&source), 0);
    CHECK_INT(source_read(&source), EBADF);
    CHECK(source_ended(&source) && !source_wants_input(&source));
    source_done(&source);
}

static FILE *endless_line(size_t size)
{
    static char block[65536];
    FILE *file = tmpfile();
    memset(block, 'x', sizeof(block));
    for (size_t done = 0; file && done < size; done += sizeof(block))
        fwrite(block, 1, sizeof(block), file);
    if (file && fflush(file) == 0)
        rewind(file);
    return file;
}

TEST(a_line_without_end_is_not_kept_for_ever)
{
    FILE *file = endless_line((size_t)SOURCE_LINE_MAX + 65536);
    NEED(file);
    struct source source = {.fd = fileno(file), .cut = SOURCE_LINES, .left = UINT64_MAX};
    CHECK_INT(source_init(&source), 0);
    int error = 0;
    while (!error && source_wants_input(&source))
        error = source_read(&source);
    CHECK_INT(error, EMSGSIZE);
    CHECK(source.room <= SOURCE_LINE_MAX);
    source_done(&source);
    fclose(file);
}

TEST(the_size_of_files_only)
{
    FILE *file = endless_line(3 * 65536);
    int fds[2];
    NEED(file && pipe2(fds, O_CLOEXEC) == 0);
    CHECK_INT(source_file_size(fileno(file)), 3 * 65536);
    CHECK_INT(lseek(fileno(file), 65536, SEEK_SET), 65536);
    CHECK_INT(source_file_size(fileno(file)), 2 * 65536);
    CHECK(source_file_size(fds[0]) == UINT64_MAX);
    CHECK(source_file_size(-1) == UINT64_MAX);
    close(fds[0]);
    close(fds[1]);
    fclose(file);
}
