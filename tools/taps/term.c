/* SPDX-License-Identifier: MIT */
#include "term.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

enum { WIDTH_DEFAULT = 80, WIDTH_MIN = 40, WIDTH_MAX = 160 };

static int find_width(FILE *out)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int width = WIDTH_DEFAULT;

    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    else if (columns && atoi(columns) > 0)
        width = atoi(columns);
    return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
}

void term_init(struct term *term, FILE *out)
{
    const char *no_color = getenv("NO_COLOR"), *name = getenv("TERM");

    term->out = out;
    term->colour = isatty(fileno(out)) && !(no_color && *no_color) && !(name && strcmp(name, "dumb") == 0);
    term->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    term->width = find_width(out);
}

const char *term_ink(const struct term *term, enum ink ink)
{
    static const char *const sequences[] = {"\033[0m", "\033[32m", "\033[31m", "\033[33m", "\033[2m", "\033[1m"};

    return term->colour ? sequences[ink] : "";
}

const char *term_glyph(const struct term *term, enum glyph glyph)
{
    static const char *const pretty[] = {"█", "▒", "·", "├─", "└─", "│ ", "─", "✓", "✗", "·", "■", "→", "←", "━"};
    static const char *const plain[] = {"#", "=", ".", "|-", "`-", "| ", "-", "+", "x", ".", "o", "->", "<-", "="};

    return term->utf8 ? pretty[glyph] : plain[glyph];
}

/* One character of `text`: its bytes in *ret_bytes (0 at the end) and columns; -1 columns where it must not be shown.
 */
static int measure(const char *text, size_t *ret_bytes)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t bytes = mbrtowc(&wide, text, strlen(text) + 1, &state);

    if (bytes == 0 || bytes == (size_t)-1 || bytes == (size_t)-2) {
        *ret_bytes = *text ? 1 : 0;
        return *text ? -1 : 0;
    }
    *ret_bytes = bytes;
    return iswprint((wint_t)wide) ? wcwidth(wide) : -1;
}

int term_columns(const char *text)
{
    int columns = 0;

    while (*text) {
        size_t bytes;
        int width = measure(text, &bytes);

        columns += width < 0 ? 1 : width;
        text += bytes;
    }
    return columns;
}

int term_put(const struct term *term, const char *text, int columns)
{
    int used = 0;

    while (*text) {
        size_t bytes;
        int width = measure(text, &bytes);

        if (used + (width < 0 ? 1 : width) > columns)
            break;
        if (width < 0)
            fputc('?', term->out);
        else
            fwrite(text, 1, bytes, term->out);
        used += width < 0 ? 1 : width;
        text += bytes;
    }
    return used;
}

void term_pad(const struct term *term, const char *text, int columns)
{
    int used = term_put(term, text, columns);

    fprintf(term->out, "%*s", columns > used ? columns - used : 0, "");
}

void term_repeat(const struct term *term, enum glyph glyph, int count)
{
    for (int i = 0; i < count; i++)
        fputs(term_glyph(term, glyph), term->out);
}

static void heading(const struct term *term, const char *text, enum glyph line)
{
    int used;

    fprintf(term->out, "\n%s", term_ink(term, INK_HEAD));
    used = term_put(term, text, term->width);
    fprintf(term->out, "%s%s ", term_ink(term, INK_PLAIN), term_ink(term, INK_DIM));
    term_repeat(term, line, term->width - used - 1);
    fprintf(term->out, "%s\n", term_ink(term, INK_PLAIN));
}

void term_heading(const struct term *term, const char *text)
{
    heading(term, text, GLYPH_LINE);
}

void term_banner(const struct term *term, const char *text)
{
    fputc('\n', term->out);
    heading(term, text, GLYPH_HEAVY);
}

/* The next word of at most `columns`; a longer one is cut, so that it goes on as a word of its own. */
static size_t next_word(const char *text, int columns, char *word, size_t size, int *ret_width)
{
    size_t used = 0;

    *ret_width = 0;
    while (text[used] && text[used] != ' ') {
        size_t bytes;
        int width = measure(text + used, &bytes);

        width = width < 0 ? 1 : width;
        if (used + bytes >= size || *ret_width + width > columns)
            break;
        memcpy(word + used, text + used, bytes);
        *ret_width += width;
        used += bytes;
    }
    word[used] = '\0';
    return used;
}

void term_wrap_beside(const struct term *term, const char *text, int column, const char *margin, enum ink ink)
{
    enum { ROOM_MIN = 8 };
    int at = column, limit = term->width > column + ROOM_MIN ? term->width : column + ROOM_MIN;
    bool space = false;

    fputs(term_ink(term, ink), term->out);
    while (*text) {
        char word[256];
        int width;
        size_t length = next_word(text, limit - column, word, sizeof word, &width);

        if (at > column && at + space + width > limit) {
            fprintf(term->out, "%s\n", term_ink(term, INK_PLAIN));
            term_pad(term, margin, column);
            fputs(term_ink(term, ink), term->out);
            at = column;
        } else if (at > column && space) {
            fputc(' ', term->out);
            at++;
        }
        at += term_put(term, word, width);
        text += length;
        space = *text == ' ';
        text += strspn(text, " ");
    }
    fprintf(term->out, "%s\n", term_ink(term, INK_PLAIN));
}

void term_wrap(const struct term *term, const char *text, int column)
{
    term_wrap_beside(term, text, column, "", INK_PLAIN);
}
