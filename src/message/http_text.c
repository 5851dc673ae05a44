#include "message/http_text.h"

#include <string.h>
#include "base/str.h"

#define V TAPSI_HTTP_VALUE
#define T (TAPSI_HTTP_VALUE | TAPSI_HTTP_TARGET)
#define H (TAPSI_HTTP_VALUE | TAPSI_HTTP_TARGET | TAPSI_HTTP_HOST)
#define N (TAPSI_HTTP_VALUE | TAPSI_HTTP_TARGET | TAPSI_HTTP_TOKEN)
#define A (TAPSI_HTTP_VALUE | TAPSI_HTTP_TARGET | TAPSI_HTTP_TOKEN | TAPSI_HTTP_HOST)

static const unsigned char classes[256] = {
    ['\t'] = V,        [' '] = V,         ['!'] = A,         ['"'] = T, ['#'] = N, ['$'] = A,  ['%'] = A,
    ['&'] = A,         ['\''] = A,        ['('] = H,         [')'] = H, ['*'] = A, ['+'] = A,  [','] = T,
    ['-'] = A,         ['.'] = A,         ['/'] = T,         [':'] = H, [';'] = H, ['<'] = T,  ['='] = H,
    ['>'] = T,         ['?'] = T,         ['@'] = T,         ['['] = H, [']'] = H, ['^'] = N,  ['_'] = A,
    ['`'] = N,         ['{'] = T,         ['|'] = N,         ['}'] = T, ['~'] = A, ['\\'] = T, ['0' ... '9'] = A,
    ['A' ... 'Z'] = A, ['a' ... 'z'] = A, [128 ... 255] = T,
};

size_t tapsi_http_span(const char *text, size_t length, enum tapsi_http_class of)
{
    size_t i = 0;
    while (i < length && (classes[(unsigned char)text[i]] & of))
        i++;
    return i;
}

bool tapsi_http_is(const char *text, enum tapsi_http_class of)
{
    size_t length = strlen(text);
    return tapsi_http_span(text, length, of) == length;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool tapsi_http_list_next(const char **list, const char **ret_element, size_t *ret_length)
{
    const char *at = *list;
    while (is_blank(*at) || *at == ',')
        at++;
    if (!*at) {
        *list = at;
        return false;
    }
    size_t length = strcspn(at, ",");
    *list = at + length;
    while (is_blank(at[length - 1]))
        length--;
    *ret_element = at;
    *ret_length = length;
    return true;
}

bool tapsi_http_list_has(const char *list, const char *word)
{
    const char *element;
    size_t length, wanted = strlen(word);
    while (tapsi_http_list_next(&list, &element, &length)) {
        if (length == wanted && tapsi_text_equal_n(element, word, length))
            return true;
    }
    return false;
}
