/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Length of the UTF-8 sequence at `text`, or 0 if there is none: overlong forms, surrogates and beyond U+10FFFF are
 * not. */
static size_t sequence(const unsigned char *text)
{
    unsigned char lead = text[0], low = 0x80, high = 0xBF;
    size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;

    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < length; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

static void string(struct json *json, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    fputc('"', json->out);
    while (*at) {
        size_t length = sequence(at);

        if (length == 0)
            fputs("\\ufffd", json->out);
        else if (*at == '"' || *at == '\\')
            fprintf(json->out, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7F)
            fprintf(json->out, "\\u%04x", *at);
        else
            fwrite(at, 1, length, json->out);
        at += length ? length : 1;
    }
    fputc('"', json->out);
}

static void member(struct json *json, const char *key)
{
    if (json->filled)
        fputc(',', json->out);
    if (json->depth > 0)
        fprintf(json->out, "\n%*s", 2 * json->depth, "");
    json->filled = true;
    if (key) {
        string(json, key);
        fputs(": ", json->out);
    }
}

void json_init(struct json *json, FILE *out)
{
    *json = (struct json){.out = out};
}

void json_open(struct json *json, const char *key, char bracket)
{
    member(json, key);
    fputc(bracket, json->out);
    json->depth++;
    json->filled = false;
}

void json_close(struct json *json, char bracket)
{
    json->depth--;
    if (json->filled)
        fprintf(json->out, "\n%*s", 2 * json->depth, "");
    fputc(bracket, json->out);
    json->filled = true;
}

void json_text(struct json *json, const char *key, const char *text)
{
    member(json, key);
    if (text)
        string(json, text);
    else
        fputs("null", json->out);
}

void json_boolean(struct json *json, const char *key, bool value)
{
    member(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_integer(struct json *json, const char *key, uint64_t value)
{
    member(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_number(struct json *json, const char *key, double value)
{
    char text[512];
    size_t length;

    if (!isfinite(value)) {
        json_text(json, key, NULL);
        return;
    }
    length = (size_t)snprintf(text, sizeof text, "%.3f", value);
    while (length > 0 && text[length - 1] == '0')
        length--;
    if (length > 0 && text[length - 1] == '.')
        length--;
    member(json, key);
    fwrite(text, 1, length, json->out);
}

void json_ms(struct json *json, const char *key, double ms)
{
    if (ms < 0)
        json_text(json, key, NULL);
    else
        json_number(json, key, ms);
}

void json_end(struct json *json)
{
    fputc('\n', json->out);
}
