#include "base/test.h"
#include "loop/lines.h"

static struct tapsi_span span(const char *text)
{
    return (struct tapsi_span){text, strlen(text)};
}

TEST(lines_come_without_their_ends)
{
    struct tapsi_span text = span("one\n\nthree"), line;
    CHECK(tapsi_lines_next(&text, &line) && line.length == 3);
    CHECK(tapsi_lines_next(&text, &line) && line.length == 0);
    CHECK(tapsi_lines_next(&text, &line) && line.length == 5);
    CHECK(!tapsi_lines_next(&text, &line));
}

TEST(no_text_has_no_lines)
{
    struct tapsi_span text = {NULL, 0}, line;
    CHECK(!tapsi_lines_next(&text, &line));
}

TEST(fields_are_bounded_by_any_white_space)
{
    struct tapsi_span line = span(" \ta\v bb\r"), field;
    CHECK(tapsi_lines_field(&line, &field) && tapsi_span_is(field, "A"));
    CHECK(tapsi_lines_field(&line, &field) && tapsi_span_is(field, "bb"));
    CHECK(!tapsi_lines_field(&line, &field));
}

TEST(a_comment_is_cut_off)
{
    struct tapsi_span line = span("a # b"), none = {NULL, 0};
    tapsi_lines_cut(&line, '#');
    CHECK_INT(line.length, 2);
    tapsi_lines_cut(&none, '#');
    CHECK_INT(none.length, 0);
}

TEST(a_span_is_copied_only_if_it_fits_and_is_text)
{
    char to[4] = "xxx";
    CHECK(tapsi_span_copy(span("abc"), to, sizeof(to)));
    CHECK_TEXT(to, "abc");
    CHECK(!tapsi_span_copy(span("abcd"), to, sizeof(to)));
    CHECK(!tapsi_span_copy(span(""), to, sizeof(to)));
    CHECK(!tapsi_span_copy((struct tapsi_span){"a\0b", 3}, to, sizeof(to)));
    CHECK_TEXT(to, "abc");
}
