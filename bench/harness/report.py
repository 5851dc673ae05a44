"""The table for people and the file for programs."""
import json

COLUMNS = ["row", "twin", "subject", "ratio (95 % range)", "twin/twin (same)", "CPU", "syscalls/op", "target", ""]


def number(value):
    if value is None:
        return "n/a"
    for limit, divisor, suffix in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.2f}{suffix}" if value / divisor < 100 else f"{value / divisor:.1f}{suffix}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def amount(value, unit):
    return f"{value:.0f} B" if unit == "B" and value is not None else f"{number(value)} {unit}"


def span(entry):
    if entry is None:
        return "n/a"
    digits = 3 if entry["median"] < 10 else 1
    return f"{entry['median']:.{digits}f}  {entry['low']:.{digits}f}..{entry['high']:.{digits}f}"


def target(result):
    words = []
    for name, text in (("ratio", ">= {:g}"), ("cpu", "CPU <= {:g}"), ("value", "<= {:g} " + result["unit"]),
                       ("above", "<= twin + {:g} " + result["unit"])):
        if name in result["targets"]:
            words.append(text.format(result["targets"][name]))
    return ", ".join(words) or "-"


def calls(result):
    counted = result.get("syscalls")
    if not counted:
        return "-"
    return " / ".join(f"{counted[name]['per_op']:.{1 if counted[name]['per_op'] >= 1 else 3}f}"
                      for name in ("twin", "subject"))


def cells_of(result):
    for word in ("error", "skipped"):
        if word in result:
            return [result["title"], f"{'failed' if word == 'error' else 'skipped'}: {result[word]}"]
    cpu = result["cpu_ratio"]
    return [result["title"], amount(result["twin"], result["unit"]), amount(result["subject"], result["unit"]),
            span(result["ratio"]), span(result["noise"]), f"{cpu['median']:.2f}x" if cpu else "-", calls(result),
            target(result), result["verdict"]]


def print_table(results):
    table = [[""] + COLUMNS[1:]]
    table += [cells_of(result) for result in results]
    full = [cells for cells in table if len(cells) > 2]
    widths = [max(len(cells[i]) for cells in full) for i in range(len(table[0]))]
    widths[0] = max(len(cells[0]) for cells in table)
    for cells in table:
        row = [cells[0].ljust(widths[0])]
        row += [cell if len(cells) == 2 else cell.rjust(widths[i]) if i < 7 else cell.ljust(widths[i])
                for i, cell in enumerate(cells[1:], 1)]
        print("  ".join(row).rstrip())
    for result in results:
        if result.get("time_wait_full"):
            print(f"note: {result['title']}: the kernel's table of TIME-WAIT sockets was full")


def markdown_rows(rows):
    head = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return head + ["| " + " | ".join(row + [""] * (len(rows[0]) - len(row))) + " |" for row in rows[1:]]


def write_markdown(path, about, results, exchange):
    """The same table for a page; the file says that it is made."""
    lines = ["# Figures", "", "Made by `make bench OUT=docs/bench`; [bench.md](../bench.md) tells how to read them. "
             f"{about['rounds']} rounds, Linux {about['kernel']}, {about['cpu']}, {about['build']} build.", "",
             "![ratios to the plain twins](figures.svg)", ""]
    lines += markdown_rows([COLUMNS] + [cells_of(result) for result in results])
    if exchange:
        table = [["two small sends, then a read", "median", "90 %", "99 %", "worst", "exchanges", "stalled", ""]]
        for entry in exchange:
            cells, told = ([], "failed: " + entry["error"]) if "error" in entry else exchange_cells(entry)
            table.append([entry["text"], *(cells or [""] * 6), told])
        lines += [""] + markdown_rows(table)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def exchange_cells(entry):
    cells = [f"{entry[name] / 1000:.3f} ms" for name in ("p500_us", "p900_us", "p990_us", "max_us")]
    share = entry["stalls"] / entry["ops"]
    told = "stalls (Nagle against delayed acknowledgements)" if share > 0.01 else "no stall"
    if not entry["may_stall"] and share > 0.01:
        told = "missed: " + told
    return cells + [str(entry["ops"]), str(entry["stalls"])], told


def print_exchange(results):
    width = max(len(entry["text"]) for entry in results)
    print(f"\n{'two small sends, then a read'.ljust(width)}" +
          "".join(name.rjust(11) for name in ("median", "90 %", "99 %", "worst", "exchanges", "stalled")))
    for entry in results:
        if "error" in entry:
            print(f"{entry['text'].ljust(width)}  failed: {entry['error']}")
            continue
        cells, told = exchange_cells(entry)
        print(entry["text"].ljust(width) + "".join(cell.rjust(11) for cell in cells) + "  " + told)


def rounded(value):
    """Six digits are more than the machine can tell apart."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    return value


def merge(path, rows, results, exchange):
    """The file's rows with those just measured in their place, in the order of the rows."""
    try:
        with open(path, encoding="utf-8") as file:
            old = json.load(file)
    except OSError:
        return results, exchange
    known = {result["key"]: result for result in old["rows"] + results}
    order = [row.key for row in rows]
    places = {key: order.index(key) if key in order else len(order) for key in known}
    return sorted(known.values(), key=lambda result: places[result["key"]]), exchange or old["exchange"]


def write_json(path, about, results, exchange):
    """One line for each row, so that a difference of two files can be read."""
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"machine": ' + json.dumps(about) + ',\n "rows": [\n')
        file.write(",\n".join("  " + json.dumps(rounded(result)) for result in results))
        file.write('\n ],\n "exchange": [\n')
        file.write(",\n".join("  " + json.dumps(rounded(entry)) for entry in exchange))
        file.write("\n ]}\n")
