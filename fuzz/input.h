/* Reads decisions and texts off the input of a fuzzer. What is asked for behind its end is 0, false or empty. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* The entry that libFuzzer and replay.c call; every target defines it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct fuzz_input fuzz_input(const uint8_t *data, size_t size)
{
    return (struct fuzz_input){data, size};
}

/* At most `max` bytes, in place. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t max, size_t *ret_count)
{
    const uint8_t *at = in->at;
    *ret_count = in->left < max ? in->left : max;
    in->at += *ret_count;
    in->left -= *ret_count;
    return at;
}

static inline uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes)
{
    uint64_t number = 0;
    size_t count;
    const uint8_t *at = fuzz_bytes(in, bytes, &count);
    for (size_t i = 0; i < count; i++)
        number |= (uint64_t)at[i] << (8 * i);
    return number;
}

/* 0 .. sides - 1, from as many bytes as that takes. */
static inline unsigned fuzz_below(struct fuzz_input *in, unsigned sides)
{
    return (unsigned)(fuzz_number(in, sides <= 256 ? 1 : sides <= 65536 ? 2 : 4) % sides);
}

static inline bool fuzz_bool(struct fuzz_input *in)
{
    return fuzz_below(in, 2) == 1;
}

/* A block of exactly these bytes and a terminator, so that a sanitizer sees a read behind it. The caller frees it. */
static inline char *fuzz_copy(const void *bytes, size_t count)
{
    char *text = malloc(count + 1);
    if (!text)
        abort();
    if (count)
        memcpy(text, bytes, count);
    text[count] = '\0';
    return text;
}

/* Up to the next `mark`, which is taken too, or the end. The caller frees it. */
static inline char *fuzz_until(struct fuzz_input *in, char mark)
{
    size_t count, length;
    const uint8_t *end = in->left ? memchr(in->at, mark, in->left) : NULL;
    const uint8_t *at = fuzz_bytes(in, end ? (size_t)(end - in->at) + 1 : in->left, &count);
    length = end ? count - 1 : count;
    return fuzz_copy(at, length);
}

static inline char *fuzz_line(struct fuzz_input *in)
{
    return fuzz_until(in, '\n');
}

#endif
