#include "message/test_http.h"

#include <stdlib.h>
#include "base/test.h"

void http_client(struct test_framing *t)
{
    test_framing_open_text(t, "http", false);
}

void http_server(struct test_framing *t)
{
    test_framing_open_text(t, "http", true);
}

/* `words`: "key=value" with newlines between. */
int http_send_with(struct test_framing *t, const char *body, unsigned flags, const char *words)
{
    struct tapsi_meta *meta = NULL;
    char *copy = strdup(words), *next = copy, *line;
    while ((line = strsep(&next, "\n")) && *line) {
        char *value = strchr(line, '=');
        *value++ = '\0';
        CHECK_INT(tapsi_meta_add(&meta, &t->mem, "http", line, value), 0);
    }
    int err = test_framing_send(t, body, strlen(body), flags, meta);
    tapsi_meta_unref(meta);
    free(copy);
    return err;
}

const char *http_meta(const struct test_framing *t, size_t index, const char *key)
{
    return test_framing_meta(t, index, "http", key);
}

void http_ask(struct test_framing *t, const char *words)
{
    CHECK_INT(http_send_with(t, "", WHOLE, words), 0);
    test_framing_forget(t);
}

/* A server with one request to answer: `line` and fields. */
void http_asked(struct test_framing *t, const char *head)
{
    http_server(t);
    test_framing_feed_text(t, head);
    CHECK_INT(t->count, 1);
}

bool http_says(const struct test_framing *t, const char *words)
{
    return test_framing_failed(t, TAPS_E_DEFRAMING) && strstr(t->error.text, words);
}
