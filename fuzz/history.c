/*
 * The lines of a history that was kept in a file: `elapsed` in the first eight bytes, then lines. What is taken is
 * bounded, and what is written is taken again and means the same.
 */
#include "select/history.h"

#include <string.h>
#include "input.h"
#include "support.h"

#define NOW (UINT64_C(1000) * 3600 * 1000000000)

static char *text_of(const struct tapsi_history *history)
{
    struct tapsi_str s;
    tapsi_str_init(&s, tapsi_mem_default());
    tapsi_history_save(history, NOW, &s);
    CHECK(!s.failed);
    char *text = strdup(tapsi_str_text(&s));
    tapsi_str_done(&s);
    return text;
}

/* How many lines were taken. */
static size_t load_all(struct tapsi_history *history, char *text, uint64_t elapsed)
{
    size_t taken = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        int err = *line ? tapsi_history_load(history, line, elapsed, NOW) : 0;
        CHECK(err == 0 || err == TAPS_E_RANGE);
        taken += err == 0;
    }
    return taken;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct tapsi_history *history = tapsi_history_new(tapsi_mem_default());
    struct tapsi_history *again = tapsi_history_new(tapsi_mem_default());
    fuzz_begin();
    uint64_t elapsed = fuzz_number(&in, 8);
    char *lines = fuzz_copy((const char *)in.at, in.left);
    size_t taken = load_all(history, lines, elapsed);
    CHECK(tapsi_history_count(history) <= taken && tapsi_history_count(history) <= TAPSI_HISTORY_MAX);

    char *written = text_of(history), *copy = strdup(written);
    CHECK_INT(count_lines(written), tapsi_history_count(history));
    CHECK_INT(load_all(again, copy, 0), count_lines(written) + 1); /* and the empty one at the end */
    free(copy);
    copy = text_of(again);
    CHECK_TEXT(copy, written);
    free(copy);
    free(written);
    free(lines);
    tapsi_history_free(history);
    tapsi_history_free(again);
    return 0;
}
