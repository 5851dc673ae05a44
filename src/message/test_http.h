/*
 * For the tests of the HTTP Framer: an end of either kind, and what it sends and says.
 */
#ifndef TAPSI_MESSAGE_TEST_HTTP_H
#define TAPSI_MESSAGE_TEST_HTTP_H

#include "stack/framer/test_framing.h"

#define WHOLE TAPSI_OP_END
#define FIRST 0
#define MORE  TAPSI_OP_CONTINUES
#define LAST  (TAPSI_OP_CONTINUES | TAPSI_OP_END)
#define FINAL TAPSI_OP_FINAL

void http_client(struct test_framing *t);
void http_server(struct test_framing *t);
/* `words`: "key=value" with newlines between. */
int http_send_with(struct test_framing *t, const char *body, unsigned flags, const char *words);
const char *http_meta(const struct test_framing *t, size_t index, const char *key);
void http_ask(struct test_framing *t, const char *words);
/* A server with one request to answer: `line` and fields. */
void http_asked(struct test_framing *t, const char *head);
/* It has failed, with these words. */
bool http_says(const struct test_framing *t, const char *words);

#endif
