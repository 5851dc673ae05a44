"""The plot: a line for each row, the ratio as a dot with its range, the target as a tick. SVG, written by hand."""
from xml.sax.saxutils import escape

from .report import amount

LOW, HIGH = 0.80, 1.25  # what lies beyond is drawn at the edge, with its figure
LEFT, WIDTH, RIGHT = 250, 460, 190
ROW, TOP = 24, 70
MET, MISSED, NOISE, PLAIN, INK, FAINT = "#1a7f5a", "#c0392b", "#b8860b", "#4a6fa5", "#24292f", "#d0d7de"


def x_of(ratio):
    return LEFT + (min(max(ratio, LOW), HIGH) - LOW) / (HIGH - LOW) * WIDTH


def text(x, y, words, anchor="start", size=13, fill=INK, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def line(x1, y1, x2, y2, stroke, width=1.0, dash=""):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
            f'stroke-width="{width}"{f" stroke-dasharray={dash!r}" if dash else ""}/>').replace("'", '"')


def color(result):
    verdict = result["verdict"]
    if not verdict:
        return PLAIN
    return MISSED if verdict.startswith("missed") else NOISE if verdict.startswith("below") else MET


def draw_ratio(result, y):
    ratio, ink = result["ratio"], color(result)
    parts = []
    if LOW <= ratio["median"] <= HIGH:
        parts.append(line(x_of(ratio["low"]), y, x_of(ratio["high"]), y, ink, 3))
        parts.append(f'<circle cx="{x_of(ratio["median"]):.1f}" cy="{y}" r="5" fill="{ink}"/>')
    else:
        sign, x = (1, LEFT + WIDTH) if ratio["median"] > HIGH else (-1, LEFT)
        parts.append(f'<path d="M {x - sign * 10} {y - 6} L {x} {y} L {x - sign * 10} {y + 6} Z" fill="{ink}"/>')
    goal = result["targets"].get("ratio")
    if goal is not None and LOW <= goal <= HIGH:
        parts.append(line(x_of(goal), y - 8, x_of(goal), y + 8, INK, 2))
    words = f"{ratio['median']:.2f}" if ratio["median"] < 10 else f"{ratio['median']:.1f}"
    if goal is not None:
        words += f"  (target {goal:g})"
    return parts + [text(LEFT + WIDTH + 12, y + 4, words)]


def draw_value(result, y):
    words = f"{amount(result['subject'], result['unit'])}, {result['twin_name']} {amount(result['twin'], result['unit'])}"
    goal = result["targets"].get("value")
    above = result["targets"].get("above")
    if goal is not None:
        words += f"  (target {goal:g})"
    if above is not None:
        words += f"  (target: {above:g} above)"
    return [text(LEFT + 8, y + 4, words, fill=color(result))]


def draw_scale(bottom):
    parts = []
    for step in range(round(LOW * 20), round(HIGH * 20) + 1):
        ratio = step / 20
        parts.append(line(x_of(ratio), TOP - 6, x_of(ratio), bottom, INK if ratio == 1 else FAINT, 1))
        if step % 2 == 0:
            parts.append(text(x_of(ratio), TOP - 12, f"{ratio:.1f}", "middle", 12))
    return parts


def draw_rows(results, draw, y):
    parts = []
    for result in results:
        parts.append(text(LEFT - 12, y + 4, result["title"], "end"))
        parts += draw(result, y)
        y += ROW
    return parts, y


def svg(results, about):
    shown = [result for result in results if "subject" in result]
    rates = [result for result in shown if result["ratio"] and result["more_is_better"]]
    values = [result for result in shown if not result["more_is_better"]]
    dots, end = draw_rows(rates, draw_ratio, TOP + ROW / 2)
    tail, bottom = draw_rows(values, draw_value, end + (ROW if values else 0))
    height = bottom + 34
    width = LEFT + WIDTH + RIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" '
             f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif">',
             f'<rect width="{width}" height="{height:.0f}" fill="#ffffff"/>',
             text(12, 24, "libtaps by its plain twin: right of 1 is faster", size=16, weight="bold"),
             *draw_scale(end - ROW / 2), *dots]
    if values:
        parts.append(text(LEFT - 12, end + 2, "bytes of user memory each", "end", 12, "#57606a"))
    parts += tail
    parts.append(text(12, height - 10, f"dot: median, bar: its 95 % range, tick: target. {about['rounds']} rounds, "
                      f"Linux {about['kernel']}, {about['cpu']}", size=11, fill="#57606a"))
    return "\n".join(parts + ["</svg>"]) + "\n"


def write(path, results, about):
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg(results, about))
