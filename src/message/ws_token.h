/* The grammar of a header field's value (RFC 9110, 5.6): tokens, spaces and quoted strings, in place. */
#ifndef TAPSI_MESSAGE_WS_TOKEN_H
#define TAPSI_MESSAGE_WS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/str.h"

struct tapsi_ws_span {
    const char *at;
    size_t length;
};

static inline bool tapsi_ws_is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static inline bool tapsi_ws_span_is(struct tapsi_ws_span span, const char *text)
{
    return span.length == strlen(text) && tapsi_text_equal_n(span.at, text, span.length);
}

static inline void tapsi_ws_skip_spaces(struct tapsi_ws_span *rest)
{
    while (rest->length && (*rest->at == ' ' || *rest->at == '\t')) {
        rest->at++;
        rest->length--;
    }
}

/* Is `c` next, spaces aside? Takes it. */
static inline bool tapsi_ws_take(struct tapsi_ws_span *rest, char c)
{
    tapsi_ws_skip_spaces(rest);
    if (!rest->length || *rest->at != c)
        return false;
    rest->at++;
    rest->length--;
    return true;
}

/* The token that is next, spaces aside: empty if there is none. */
static inline struct tapsi_ws_span tapsi_ws_take_token(struct tapsi_ws_span *rest)
{
    tapsi_ws_skip_spaces(rest);
    struct tapsi_ws_span token = {rest->at, 0};
    while (rest->length && tapsi_ws_is_token(*rest->at)) {
        rest->at++;
        rest->length--;
        token.length++;
    }
    return token;
}

/* Is `token` one of the elements of a list ("keep-alive, Upgrade"), `exact`: in just these letters? */
static inline bool tapsi_ws_list_has(struct tapsi_ws_span list, struct tapsi_ws_span token, bool exact)
{
    while (list.length) {
        struct tapsi_ws_span one = tapsi_ws_take_token(&list);
        tapsi_ws_skip_spaces(&list);
        bool whole = !list.length || *list.at == ',';
        if (whole && one.length == token.length &&
            (exact ? memcmp(one.at, token.at, one.length) == 0 : tapsi_text_equal_n(one.at, token.at, one.length)))
            return true;
        while (list.length && *list.at != ',') {
            list.at++;
            list.length--;
        }
        tapsi_ws_take(&list, ',');
    }
    return false;
}

#endif
