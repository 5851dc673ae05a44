#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include "base/test.h"

struct counter {
    size_t calls, live, allowed; /* fails every call after `allowed` */
};

static void *counted(void *user, void *block, size_t size)
{
    struct counter *c = user;
    if (size == 0) {
        c->live--;
        free(block);
        return NULL;
    }
    if (++c->calls > c->allowed)
        return NULL;
    c->live += block == NULL;
    return realloc(block, size);
}

static void setup(struct tapsi_mem *mem, struct counter *c, size_t allowed)
{
    *c = (struct counter){.allowed = allowed};
    tapsi_mem_init(mem, &(struct taps_allocator){.resize = counted, .user = c});
}

TEST(blocks_come_from_and_return_to_the_given_allocator)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 100);
    void *block = tapsi_alloc(&mem, 10);
    NEED(block);
    CHECK_INT(c.live, 1);
    block = tapsi_resize(&mem, block, 1000);
    NEED(block);
    CHECK_INT(c.live, 1);
    tapsi_free(&mem, block);
    CHECK_INT(c.live, 0);
    CHECK_INT(c.calls, 2);
}

TEST(no_allocator_means_the_c_library)
{
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    char *text = tapsi_strdup(&mem, "hello");
    CHECK_TEXT(text, "hello");
    tapsi_free(&mem, text);
    tapsi_free(&mem, NULL);
}

TEST(size_zero_is_a_block_and_never_a_free)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 100);
    void *block = tapsi_alloc(&mem, 0);
    NEED(block);
    void *again = tapsi_resize(&mem, block, 0);
    CHECK(again);
    CHECK_INT(c.live, 1);
    tapsi_free(&mem, again);
    block = tapsi_calloc(&mem, 0, 8);
    CHECK(block);
    tapsi_free(&mem, block);
    CHECK_INT(c.live, 0);
}

TEST(freeing_null_does_not_reach_the_allocator)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 0);
    tapsi_free(&mem, NULL);
    CHECK_INT(c.live, 0);
}

TEST(zalloc_and_calloc_are_zeroed)
{
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    unsigned char *a = tapsi_zalloc(&mem, 100), *b = tapsi_calloc(&mem, 10, 10);
    NEED(a && b);
    for (int i = 0; i < 100; i++)
        CHECK(a[i] == 0 && b[i] == 0);
    tapsi_free(&mem, a);
    tapsi_free(&mem, b);
}

TEST(every_allocation_may_fail)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 0);
    CHECK(!tapsi_alloc(&mem, 1));
    CHECK(!tapsi_zalloc(&mem, 1));
    CHECK(!tapsi_strdup(&mem, "x"));
    CHECK(!tapsi_strndup(&mem, "x", 1));
    CHECK(!tapsi_calloc(&mem, 1, 1));
    CHECK_INT(c.live, 0);
}

TEST(calloc_refuses_a_product_that_overflows)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 100);
    CHECK(!tapsi_calloc(&mem, SIZE_MAX / 2, 3));
    CHECK(!tapsi_calloc(&mem, SIZE_MAX, SIZE_MAX));
    CHECK_INT(c.calls, 0);
}

TEST(strndup_stops_at_the_length_and_at_the_end)
{
    struct tapsi_mem mem;
    tapsi_mem_init(&mem, NULL);
    const char unterminated[3] = {'a', 'b', 'c'};
    char *a = tapsi_strndup(&mem, unterminated, 3), *b = tapsi_strndup(&mem, "abc", 99),
         *c = tapsi_strndup(&mem, "abc", 0);
    CHECK_TEXT(a, "abc");
    CHECK_TEXT(b, "abc");
    CHECK_TEXT(c, "");
    tapsi_free(&mem, a);
    tapsi_free(&mem, b);
    tapsi_free(&mem, c);
}

TEST(an_array_grows_and_keeps_its_contents)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 100);
    int *array = NULL;
    size_t capacity = 0;
    for (size_t count = 0; count < 1000; count++) {
        NEED(tapsi_grow(&mem, &array, &capacity, count, sizeof(*array)) == 0);
        CHECK(capacity > count);
        array[count] = (int)count;
    }
    CHECK(c.calls < 12);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(array[i], i);
    tapsi_free(&mem, array);
    CHECK_INT(c.live, 0);
}

TEST(a_growth_that_fails_leaves_the_array_alone)
{
    struct tapsi_mem mem;
    struct counter c;
    setup(&mem, &c, 1);
    int *array = NULL;
    size_t capacity = 0;
    NEED(tapsi_grow(&mem, &array, &capacity, 0, sizeof(*array)) == 0);
    int *old = array;
    size_t old_capacity = capacity;
    CHECK_INT(tapsi_grow(&mem, &array, &capacity, capacity, sizeof(*array)), TAPS_E_MEMORY);
    CHECK(array == old && capacity == old_capacity);
    CHECK_INT(tapsi_grow(&mem, &array, &capacity, capacity, SIZE_MAX / 4), TAPS_E_MEMORY);
    capacity = SIZE_MAX / 2 + 1;
    CHECK_INT(tapsi_grow(&mem, &array, &capacity, capacity, 1), TAPS_E_MEMORY);
    tapsi_free(&mem, array);
    CHECK_INT(c.live, 0);
}
