/*
 * The program's writer of JSON, driven by the input: what it writes must be JSON by RFC 8259, and each string must read
 * back as the bytes that were given, those that are no UTF-8 aside.
 */
#include "json.h"
#include <math.h>
#include "input.h"
#include "support.h"

#define DEPTH 32

/* ----------------------------------------------------------------------------------- a strict reader of RFC 8259 */

struct reader {
    const char *at, *end;
    const char *texts[256]; /* that must come, in this order */
    unsigned text_count, texts_seen;
};

static void spaces(struct reader *r)
{
    while (r->at < r->end && strchr(" \n\r\t", *r->at) && *r->at)
        r->at++;
}

static bool take(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static void need(struct reader *r, bool condition, const char *what)
{
    if (!condition)
        tapsi_test_fail(__FILE__, __LINE__, "no JSON, %s before: %.60s", what, r->at);
}

/* One character of a string; what of it is UTF-8 is checked where the whole is. */
static unsigned char_of(struct reader *r)
{
    unsigned code = (unsigned char)*r->at++;
    need(r, code >= 0x20, "a bare control character");
    if (code != '\\')
        return code;
    need(r, r->at < r->end && strchr("\"\\/bfnrtu", *r->at), "an unknown escape");
    if (*r->at++ != 'u')
        return (unsigned char)r->at[-1];
    char digits[5] = {0}, *stop;
    need(r, r->end - r->at >= 4, "a short escape");
    memcpy(digits, r->at, 4);
    code = (unsigned)strtoul(digits, &stop, 16);
    need(r, stop == digits + 4, "an escape without digits");
    r->at += 4;
    return code;
}

/* `expected` NULL: any. U+FFFD stands for one byte that is no UTF-8. */
static void string(struct reader *r, const char *expected)
{
    need(r, take(r, '"'), "no string");
    while (r->at < r->end && *r->at != '"') {
        bool escaped = *r->at == '\\';
        unsigned code = char_of(r);
        if (!expected)
            continue;
        need(r, *expected != '\0', "more than was given");
        if (escaped && code == 0xFFFD)
            need(r, (unsigned char)*expected >= 0x80, "ASCII taken for no UTF-8");
        else
            need(r, (unsigned char)*expected == code, "another character than was given");
        expected++;
    }
    need(r, !expected || !*expected, "less than was given");
    need(r, take(r, '"'), "no end of a string");
}

static void number(struct reader *r)
{
    const char *begin = r->at;
    take(r, '-');
    while (r->at < r->end && strchr("0123456789.", *r->at) && *r->at)
        r->at++;
    size_t length = (size_t)(r->at - begin);
    char *text = fuzz_copy(begin, length), *stop;
    bool negative = text[0] == '-';
    strtod(text, &stop);
    need(r, length > (size_t)negative && !*stop && text[length - 1] != '.', "no number");
    need(r, text[negative] != '0' || strlen(text + negative) == 1 || text[negative + 1] == '.', "a leading zero");
    free(text);
}

static void word(struct reader *r, const char *text)
{
    size_t length = strlen(text);
    need(r, (size_t)(r->end - r->at) >= length && memcmp(r->at, text, length) == 0, "no value");
    r->at += length;
}

static void value(struct reader *r, unsigned depth);

static void members(struct reader *r, char close, unsigned depth)
{
    need(r, depth < DEPTH + 2, "nested deeper than was asked");
    spaces(r);
    if (take(r, close))
        return;
    do {
        spaces(r);
        if (close == '}') {
            string(r, NULL);
            need(r, take(r, ':'), "no colon");
        }
        value(r, depth + 1);
        spaces(r);
    } while (take(r, ','));
    need(r, take(r, close), "no end");
}

static void value(struct reader *r, unsigned depth)
{
    spaces(r);
    need(r, r->at < r->end, "the end");
    if (take(r, '{'))
        members(r, '}', depth);
    else if (take(r, '['))
        members(r, ']', depth);
    else if (*r->at == '"')
        string(r, r->texts_seen < r->text_count ? r->texts[r->texts_seen++] : "");
    else if (strchr("tfn", *r->at))
        word(r, *r->at == 't' ? "true" : *r->at == 'f' ? "false" : "null");
    else
        number(r);
}

/* ------------------------------------------------------------------------------------------------- the writer */

struct script {
    struct fuzz_input in;
    struct json json;
    char brackets[DEPTH]; /* that are open, with what closes them */
    unsigned depth;
    char *texts[256];
    unsigned text_count;
};

static double a_number(struct fuzz_input *in)
{
    uint64_t bits = fuzz_number(in, 8);
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static void write_text(struct script *s, const char *key)
{
    if (s->text_count == 256)
        return;
    s->texts[s->text_count] = fuzz_until(&s->in, '\0');
    json_text(&s->json, key, s->texts[s->text_count++]);
}

static void open_one(struct script *s, const char *key, bool object)
{
    if (s->depth == DEPTH)
        return;
    json_open(&s->json, key, object ? '{' : '[');
    s->brackets[s->depth++] = object ? '}' : ']';
}

static void step(struct script *s)
{
    bool in_array = s->brackets[s->depth - 1] == ']';
    unsigned what = fuzz_below(&s->in, 9);
    char *name = in_array ? NULL : fuzz_until(&s->in, '\0');
    switch (what) {
    case 0:
    case 1:
        open_one(s, name, what == 0);
        break;
    case 2:
        if (s->depth > 1)
            json_close(&s->json, s->brackets[--s->depth]);
        break;
    case 3:
        json_boolean(&s->json, name, fuzz_bool(&s->in));
        break;
    case 4:
        json_integer(&s->json, name, fuzz_number(&s->in, 8));
        break;
    case 5:
        json_number(&s->json, name, a_number(&s->in));
        break;
    case 6:
        json_ms(&s->json, name, a_number(&s->in));
        break;
    case 7:
        json_text(&s->json, name, NULL);
        break;
    default:
        write_text(s, name);
    }
    free(name);
}

static void check(struct script *s, const char *text, size_t length)
{
    struct reader r = {.at = text, .end = text + length, .text_count = s->text_count};
    memcpy(r.texts, s->texts, s->text_count * sizeof(s->texts[0]));
    value(&r, 0);
    need(&r, take(&r, '\n'), "no line end");
    need(&r, r.at == r.end, "something behind it");
    CHECK_INT(r.texts_seen, s->text_count);
    CHECK_INT(s->json.depth, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = {.in = fuzz_input(data, size)};
    char *text;
    size_t length;
    fuzz_begin();
    FILE *out = open_memstream(&text, &length);
    if (!out)
        abort();
    json_init(&s.json, out);
    open_one(&s, NULL, true);
    while (s.in.left)
        step(&s);
    while (s.depth)
        json_close(&s.json, s.brackets[--s.depth]);
    json_end(&s.json);
    fclose(out);
    check(&s, text, length);
    for (unsigned i = 0; i < s.text_count; i++)
        free(s.texts[i]);
    free(text);
    return 0;
}
