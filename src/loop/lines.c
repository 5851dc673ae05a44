#include "loop/lines.h"

#include <string.h>
#include "base/str.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void drop(struct tapsi_span *span, size_t count)
{
    span->at += count;
    span->length -= count;
}

bool tapsi_lines_next(struct tapsi_span *text, struct tapsi_span *ret_line)
{
    if (text->length == 0)
        return false;
    const char *end = memchr(text->at, '\n', text->length);
    size_t length = end ? (size_t)(end - text->at) : text->length;
    *ret_line = (struct tapsi_span){text->at, length};
    drop(text, end ? length + 1 : length);
    return true;
}

bool tapsi_lines_field(struct tapsi_span *line, struct tapsi_span *ret_field)
{
    size_t n = 0;
    while (n < line->length && is_space(line->at[n]))
        n++;
    drop(line, n);
    for (n = 0; n < line->length && !is_space(line->at[n]); n++)
        ;
    if (n == 0)
        return false;
    *ret_field = (struct tapsi_span){line->at, n};
    drop(line, n);
    return true;
}

void tapsi_lines_cut(struct tapsi_span *line, char mark)
{
    const char *at = line->length ? memchr(line->at, mark, line->length) : NULL;
    if (at)
        line->length = (size_t)(at - line->at);
}

bool tapsi_span_is(struct tapsi_span span, const char *text)
{
    return strlen(text) == span.length && tapsi_text_equal_n(span.at, text, span.length);
}

bool tapsi_span_copy(struct tapsi_span span, char *to, size_t size)
{
    if (span.length == 0 || span.length >= size || memchr(span.at, '\0', span.length))
        return false;
    memcpy(to, span.at, span.length);
    to[span.length] = '\0';
    return true;
}
