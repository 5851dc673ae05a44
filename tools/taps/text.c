/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include <taps/taps.h>

const char *text_ms(double ms, char *text, size_t size)
{
    snprintf(text, size, "%.*f ms", ms < 100 ? 1 : 0, ms);
    return text;
}

static void print_resolution(const struct term *term, const struct taps_resolution_info *info, int name_width)
{
    enum { TYPE = 9, TIMES = 22 };
    char line[256], start[32], end[32];
    int room = term->width - 2 - name_width - 1 - TYPE - TIMES;

    fputs("  ", term->out);
    term_pad(term, info->name, name_width);
    fputc(' ', term->out);
    term_pad(term, info->type, TYPE);
    snprintf(line, sizeof line, "%9s %s %s", text_ms(info->start_ms, start, sizeof start),
             term_glyph(term, GLYPH_ARROW), info->end_ms < 0 ? "" : text_ms(info->end_ms, end, sizeof end));
    term_pad(term, line, TIMES);
    if (info->count > 0)
        snprintf(line, sizeof line, "%zu address%s%s%s", info->count, info->count == 1 ? "" : "es",
                 *info->reason ? ", " : "", info->reason);
    else
        snprintf(line, sizeof line, "%s", *info->reason ? info->reason : "none");
    term_wrap_beside(term, line, term->width - room, "", info->count ? INK_GOOD : INK_WAIT);
}

void text_resolutions(const struct term *term, const taps_report *report)
{
    size_t count = taps_report_resolution_count(report);
    struct taps_resolution_info info;
    int name_width = 0;

    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (taps_report_resolution(report, i, &info) == 0 && term_columns(info.name) > name_width)
            name_width = term_columns(info.name);
    if (name_width > term->width - 46)
        name_width = term->width > 54 ? term->width - 46 : 8;
    term_heading(term, "Resolution");
    for (size_t i = 0; i < count; i++)
        if (taps_report_resolution(report, i, &info) == 0)
            print_resolution(term, &info, name_width);
}

struct tree {
    const struct term *term;
    const taps_report *report;
    bool all;
    int column; /* where the states stand */
};

/* The node, if it is to be shown. */
static bool node_at(const struct tree *tree, size_t index, struct taps_candidate_info *ret_info)
{
    return taps_report_candidate(tree->report, index, ret_info) == 0 &&
           (tree->all || ret_info->kind != TAPS_CANDIDATE_PATH || ret_info->state != TAPS_CANDIDATE_PRUNED);
}

static bool is_last(const struct tree *tree, size_t index, int parent)
{
    struct taps_candidate_info info;
    size_t count = taps_report_candidate_count(tree->report);

    for (size_t i = index + 1; i < count; i++)
        if (node_at(tree, i, &info) && info.parent == parent)
            return false;
    return true;
}

enum { DEPTH_MAX = 8, LABEL_MAX = 256 };

/* The branches that lead to a node: "│ ├─" before the node itself, "│ │ " before the lines that belong to it. */
static size_t branches(const struct tree *tree, size_t index, int parent, bool itself, char *text)
{
    const struct term *term = tree->term;
    const char *pieces[DEPTH_MAX];
    struct taps_candidate_info up;
    bool last = is_last(tree, index, parent);
    int depth = 0;
    size_t used = 0;

    if (itself)
        pieces[depth++] = term_glyph(term, last ? GLYPH_CORNER : GLYPH_TEE);
    else
        pieces[depth++] = last ? "  " : term_glyph(term, GLYPH_PIPE);
    while (parent >= 0 && depth < DEPTH_MAX && node_at(tree, (size_t)parent, &up)) {
        pieces[depth++] = is_last(tree, (size_t)parent, up.parent) ? "  " : term_glyph(term, GLYPH_PIPE);
        parent = up.parent;
    }
    text[0] = '\0';
    while (depth > 0)
        used += (size_t)snprintf(text + used, LABEL_MAX - used, "%s", pieces[--depth]);
    return used;
}

/* "│ ├─1.1.2 [::1]:443". */
static void node_label(const struct tree *tree, size_t index, const struct taps_candidate_info *info, char *label)
{
    size_t used = branches(tree, index, info->parent, true, label);
    const char *what = info->kind == TAPS_CANDIDATE_PATH       ? info->interface
                       : info->kind == TAPS_CANDIDATE_PROTOCOL ? info->stack
                                                               : info->remote;

    snprintf(label + used, LABEL_MAX - used, "%s %s", info->id, what ? what : "?");
}

static enum ink state_ink(enum taps_candidate_state state)
{
    switch (state) {
    case TAPS_CANDIDATE_WON:
        return INK_GOOD;
    case TAPS_CANDIDATE_FAILED:
        return INK_BAD;
    case TAPS_CANDIDATE_CANCELLED:
    case TAPS_CANDIDATE_ACTIVE:
        return INK_WAIT;
    case TAPS_CANDIDATE_NOT_STARTED:
    case TAPS_CANDIDATE_PRUNED:
        break;
    }
    return INK_DIM;
}

static const char *state_glyph(const struct term *term, enum taps_candidate_state state)
{
    return term_glyph(term, state == TAPS_CANDIDATE_WON                                           ? GLYPH_GOOD
                            : state == TAPS_CANDIDATE_FAILED                                      ? GLYPH_BAD
                            : state == TAPS_CANDIDATE_CANCELLED || state == TAPS_CANDIDATE_PRUNED ? GLYPH_STOP
                                                                                                  : GLYPH_DOT);
}

/* An inner node that has children is only the way to them, and needs no state of its own. */
static bool has_state(const struct taps_candidate_info *info)
{
    return info->kind == TAPS_CANDIDATE_ENDPOINT || info->state == TAPS_CANDIDATE_PRUNED ||
           info->state == TAPS_CANDIDATE_FAILED || info->state == TAPS_CANDIDATE_NOT_STARTED;
}

static void print_node(const struct tree *tree, size_t index, const struct taps_candidate_info *info)
{
    const struct term *term = tree->term;
    char label[LABEL_MAX], margin[LABEL_MAX + 2] = "  ", line[1024];

    node_label(tree, index, info, label);
    branches(tree, index, info->parent, false, margin + 2);
    fputs("  ", term->out);
    term_pad(term, label, tree->column - 3);
    if (!has_state(info)) {
        fputc(' ', term->out);
        term_wrap_beside(term, info->reason, tree->column, margin, INK_DIM);
        return;
    }
    snprintf(line, sizeof line, "%s%s%s", taps_candidate_state_name(info->state), *info->reason ? ": " : "",
             info->reason);
    fprintf(term->out, " %s%s ", term_ink(term, state_ink(info->state)), state_glyph(term, info->state));
    term_wrap_beside(term, line, tree->column + 2, margin, state_ink(info->state));
}

static int widest_label(const struct tree *tree, size_t count)
{
    int widest = 0;

    for (size_t i = 0; i < count; i++) {
        struct taps_candidate_info info;
        char label[LABEL_MAX];

        if (!node_at(tree, i, &info))
            continue;
        node_label(tree, i, &info, label);
        if (term_columns(label) > widest)
            widest = term_columns(label);
    }
    return widest;
}

void text_tree(const struct term *term, const taps_report *report, bool all)
{
    size_t count = taps_report_candidate_count(report);
    struct tree tree = {.term = term, .report = report, .all = all};

    if (count == 0)
        return;
    tree.column = widest_label(&tree, count) + 4;
    if (tree.column > term->width * 3 / 5)
        tree.column = term->width * 3 / 5;
    term_heading(term, "Candidates");
    for (size_t i = 0; i < count; i++) {
        struct taps_candidate_info info;

        if (node_at(&tree, i, &info))
            print_node(&tree, i, &info);
    }
}

/* One row of the timeline, whatever it is a bar of. */
struct row {
    char label[LABEL_MAX];
    double start_ms, end_ms;
    enum ink ink;
    enum glyph glyph;
    const char *state;
    const char *reason;
    char note[LABEL_MAX]; /* both, made by add_row */
};

struct timeline {
    const struct term *term;
    struct row *rows;
    size_t count;
    double end_ms;
    int label, bar, note; /* columns */
};

static void add_row(struct timeline *timeline, const struct row *row)
{
    struct row *added = &timeline->rows[timeline->count++];

    *added = *row;
    if (added->end_ms < added->start_ms)
        added->end_ms = added->start_ms;
    if (added->end_ms > timeline->end_ms)
        timeline->end_ms = added->end_ms;
    if (term_columns(added->label) > timeline->label)
        timeline->label = term_columns(added->label);
    snprintf(added->note, sizeof added->note, "%s%s%s", row->state, *row->reason ? ": " : "", row->reason);
    if (term_columns(added->note) > timeline->note)
        timeline->note = term_columns(added->note);
}

static void add_rows(struct timeline *timeline, const taps_report *report)
{
    for (size_t i = 0; i < taps_report_resolution_count(report); i++) {
        struct taps_resolution_info info;
        struct row row = {.ink = INK_HEAD, .glyph = GLYPH_BAR_WAITING, .state = "answered"};

        if (taps_report_resolution(report, i, &info) < 0 || info.start_ms < 0)
            continue;
        snprintf(row.label, sizeof row.label, "%s %s", info.type, info.name);
        row.start_ms = info.start_ms;
        row.end_ms = info.end_ms;
        row.reason = info.reason;
        if (info.count == 0)
            row.state = "none";
        add_row(timeline, &row);
    }
    for (size_t i = 0; i < taps_report_candidate_count(report); i++) {
        struct taps_candidate_info info;
        struct row row = {.glyph = GLYPH_BAR};

        if (taps_report_candidate(report, i, &info) < 0 || info.start_ms < 0 || info.kind != TAPS_CANDIDATE_ENDPOINT)
            continue;
        snprintf(row.label, sizeof row.label, "%s %s", info.id, info.remote ? info.remote : "");
        row.start_ms = info.start_ms;
        row.end_ms = info.end_ms < 0 ? taps_report_ready_ms(report) : info.end_ms;
        row.ink = state_ink(info.state);
        row.glyph = info.state == TAPS_CANDIDATE_CANCELLED ? GLYPH_BAR_WAITING : GLYPH_BAR;
        row.state = taps_candidate_state_name(info.state);
        row.reason = info.state == TAPS_CANDIDATE_FAILED ? info.reason : "";
        add_row(timeline, &row);
    }
}

static void print_bar(const struct timeline *timeline, const struct row *row)
{
    double scale = timeline->end_ms > 0 ? timeline->bar / timeline->end_ms : 0;
    int from = (int)(row->start_ms * scale), to = (int)(row->end_ms * scale + 0.999);

    if (from >= timeline->bar)
        from = timeline->bar - 1;
    if (to <= from)
        to = from + 1;
    if (to > timeline->bar)
        to = timeline->bar;
    fprintf(timeline->term->out, "%*s%s", from, "", term_ink(timeline->term, row->ink));
    term_repeat(timeline->term, row->glyph, to - from);
    fprintf(timeline->term->out, "%s%*s", term_ink(timeline->term, INK_PLAIN), timeline->bar - to, "");
}

static void print_row(const struct timeline *timeline, const struct row *row)
{
    const struct term *term = timeline->term;
    char end[32];

    fputs("  ", term->out);
    term_pad(term, row->label, timeline->label);
    fputc(' ', term->out);
    print_bar(timeline, row);
    fprintf(term->out, " %8.*f %s %-9s%s", row->start_ms < 100 ? 1 : 0, row->start_ms, term_glyph(term, GLYPH_ARROW),
            text_ms(row->end_ms, end, sizeof end), term_ink(term, row->ink));
    term_put(term, row->note, timeline->note);
    fprintf(term->out, "%s\n", term_ink(term, INK_PLAIN));
}

/* Labels and notes get what they need, but not so much that no room is left for the bars. */
static void lay_out(struct timeline *timeline)
{
    enum { MARGINS = 3, TIMES = 22 };
    int room = timeline->term->width - MARGINS - TIMES;

    if (timeline->label > room * 2 / 5)
        timeline->label = room * 2 / 5;
    if (timeline->note > room * 3 / 10)
        timeline->note = room * 3 / 10;
    timeline->bar = room - timeline->label - timeline->note;
}

void text_timeline(const struct term *term, const taps_report *report)
{
    size_t count = taps_report_resolution_count(report) + taps_report_candidate_count(report);
    struct timeline timeline = {.term = term};

    timeline.rows = calloc(count ? count : 1, sizeof timeline.rows[0]);
    if (!timeline.rows)
        return;
    add_rows(&timeline, report);
    lay_out(&timeline);
    if (timeline.count > 0)
        term_heading(term, "Timeline");
    for (size_t i = 0; i < timeline.count; i++)
        print_row(&timeline, &timeline.rows[i]);
    free(timeline.rows);
}

static const char *endpoint_text(const taps_endpoint *endpoint, char *text, size_t size)
{
    if (!endpoint)
        return "?";
    taps_endpoint_text(endpoint, text, size);
    return text;
}

void text_chosen(const struct term *term, const taps_connection *connection)
{
    const char *security = taps_connection_security(connection), *alpn = taps_connection_alpn(connection);
    const char *stack = taps_connection_stack(connection);
    const taps_report *report = taps_connection_report(connection);
    char line[1024], remote[300], local[300], ready[32];

    snprintf(line, sizeof line, "%s to %s from %s, %s%s%s%s%s", stack ? stack : "?",
             endpoint_text(taps_connection_remote(connection), remote, sizeof remote),
             endpoint_text(taps_connection_local(connection), local, sizeof local),
             security ? security : "without security", alpn ? ", ALPN " : "", alpn ? alpn : "",
             report ? ", ready after " : "", report ? text_ms(taps_report_ready_ms(report), ready, sizeof ready) : "");
    fprintf(term->out, "  %s%s%s ", term_ink(term, INK_GOOD), term_glyph(term, GLYPH_GOOD), term_ink(term, INK_PLAIN));
    term_wrap(term, line, 4);
}
