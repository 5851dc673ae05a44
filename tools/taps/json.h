/*
 * A writer of JSON: one value after the other, commas and indentation by itself. `key` is NULL inside arrays.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef TAPS_TOOL_JSON_H
#define TAPS_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    int depth;
    bool filled; /* the innermost object or array has a member already */
};

void json_init(struct json *json, FILE *out);
void json_open(struct json *json, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                 /* '}' or ']' */
/* NULL is null. Bytes that are not UTF-8 become U+FFFD. */
void json_text(struct json *json, const char *key, const char *text);
void json_boolean(struct json *json, const char *key, bool value);
void json_integer(struct json *json, const char *key, uint64_t value);
/* With at most three decimals; what is not finite is null. */
void json_number(struct json *json, const char *key, double value);
/* Milliseconds, where negative means none: null. */
void json_ms(struct json *json, const char *key, double ms);
void json_end(struct json *json);

#endif
