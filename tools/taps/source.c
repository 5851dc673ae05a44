/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024 };

static int make_room(struct source *source, size_t room)
{
    unsigned char *bytes;

    if (room <= source->room)
        return 0;
    bytes = realloc(source->bytes, room);
    if (!bytes)
        return ENOMEM;
    source->bytes = bytes;
    source->room = room;
    return 0;
}

static void begin_making(struct source *source)
{
    source->made = source->input_end = true;
    source_pattern(source->bytes, source->piece);
}

int source_init(struct source *source)
{
    size_t room = source->cut == SOURCE_PIECES ? source->piece : READ_SIZE;
    int error;

    source->bytes = NULL;
    source->start = source->end = source->room = source->searched = 0;
    source->input_end = source->made = false;
    source->given = 0;
    error = make_room(source, room < READ_SIZE ? READ_SIZE : room);
    if (!error && source->stand_in && isatty(source->fd))
        begin_making(source);
    return error;
}

void source_done(struct source *source)
{
    free(source->bytes);
    source->bytes = NULL;
}

static size_t held(const struct source *source)
{
    return source->end - source->start;
}

/* The length of the Message at `start`, and of the line end behind it; false if it is not all there. */
static bool find_message(const struct source *source, size_t *ret_length, size_t *ret_skip)
{
    const unsigned char *from = source->bytes + source->start, *end;

    *ret_skip = 0;
    *ret_length = held(source) < source->piece ? held(source) : source->piece;
    if (source->cut == SOURCE_READS)
        return held(source) > 0;
    if (source->cut == SOURCE_PIECES)
        return held(source) >= source->piece || (source->input_end && held(source) > 0);
    *ret_length = held(source);
    end =
        held(source) > source->searched ? memchr(from + source->searched, '\n', held(source) - source->searched) : NULL;
    if (!end)
        return source->input_end && held(source) > 0;
    *ret_length = (size_t)(end - from);
    *ret_skip = 1;
    return true;
}

static bool readable(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, 0) > 0;
}

/* The only Message that is there waits for what can be read at once, which may be the end. */
static bool looks_ahead(const struct source *source, size_t taken)
{
    return source->foresee && !source->input_end && source->left > 1 && taken == held(source) && readable(source->fd);
}

bool source_next(struct source *source, const void **ret_data, size_t *ret_length, bool *ret_last)
{
    size_t length, skip;

    if (source->left == 0)
        return false;
    if (source->made) {
        *ret_data = source->bytes;
        *ret_length = source->piece;
    } else {
        if (!find_message(source, &length, &skip)) {
            source->searched = source->cut == SOURCE_LINES ? held(source) : 0;
            return false;
        }
        if (looks_ahead(source, length + skip))
            return false;
        *ret_data = source->bytes + source->start;
        *ret_length = length;
        source->start += length + skip;
        source->searched = 0;
    }
    if (source->left != UINT64_MAX)
        source->left--;
    source->given++;
    *ret_last = source_ended(source);
    return true;
}

bool source_ended(const struct source *source)
{
    return source->left == 0 || (source->input_end && !source->made && held(source) == 0);
}

bool source_wants_input(const struct source *source)
{
    size_t length, skip;

    if (source->input_end || source->left == 0)
        return false;
    return !find_message(source, &length, &skip) || looks_ahead(source, length + skip);
}

static size_t room_behind(struct source *source)
{
    if (held(source) == 0)
        source->start = source->end = 0;
    if (source->end == source->room && source->start > 0) {
        memmove(source->bytes, source->bytes + source->start, held(source));
        source->end -= source->start;
        source->start = 0;
    }
    return source->room - source->end;
}

static int end_input(struct source *source, int error)
{
    source->input_end = true;
    return error;
}

int source_read(struct source *source)
{
    size_t room = room_behind(source);
    ssize_t count;

    if (room == 0 && source->room >= SOURCE_LINE_MAX)
        return end_input(source, EMSGSIZE);
    if (room == 0 && make_room(source, source->room * 2))
        return end_input(source, ENOMEM);
    room = source->room - source->end;
    if (source->cut == SOURCE_READS && room > source->piece)
        room = source->piece;
    count = read(source->fd, source->bytes + source->end, room);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : end_input(source, errno);
    if (count == 0 && source->stand_in && source->given == 0 && held(source) == 0)
        begin_making(source);
    else if (count == 0)
        source->input_end = true;
    source->end += (size_t)count;
    return 0;
}

uint64_t source_file_size(int fd)
{
    struct stat status;
    off_t at;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return UINT64_MAX;
    at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? UINT64_MAX : at < status.st_size ? (uint64_t)(status.st_size - at) : 0;
}

void source_pattern(void *bytes, size_t length)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    char *at = bytes;

    for (size_t i = 0; i < length; i++)
        at[i] = letters[i % (sizeof letters - 1)];
}
