"""From samples to figures: medians of ratios, with the range that holds the true one, and verdicts on targets."""
import math
import statistics


def median_range(values):
    """The order statistics around the median that hold it with at least 95 %, whatever the distribution."""
    ordered = sorted(values)
    count = len(ordered)
    tail, cut = 0.0, 0
    while cut < (count - 1) // 2:
        tail += math.comb(count, cut) / 2 ** count
        if 2 * tail > 0.05:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[count - 1 - cut]


def summary(values):
    low, high = median_range(values)
    return {"median": statistics.median(values), "low": low, "high": high}


def sample(row, result):
    """One run: the row's figure, and the CPU time of both ends per operation where it is known."""
    ops = int(result["ops"])
    if row.figure == "rate":
        figure = ops * row.per_op / int(result["ns"]) * 1e9
    else:
        figure = float(result[row.figure]) * row.per_op
    cpu = None
    if "cpu_ns" in result and ops:
        cpu = (int(result["cpu_ns"]) + int(result.get("peer_cpu_ns", 0))) / ops
    return {"figure": figure, "cpu_ns": cpu, "note": result.get("note", ""), "also": others(row, result)}


def others(row, result):
    """Figures that the row does not use: of memory rows the resident size, and the other end's."""
    known = ("ops", "ns", "cpu_ns", "peer_cpu_ns", "note", row.figure)
    return {name: float(text) for name, text in result.items() if name not in known and is_number(text)}


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def ratios(samples, name):
    """Of each round: the subject by the mean of its two twins, and one twin by the other. None: not known."""
    whole = list(zip(samples["subject"], samples["twin"], samples["again"]))
    if any(not one[name] for round_ in whole for one in round_):
        return None, None
    return (summary([2 * subject[name] / (twin[name] + again[name]) for subject, twin, again in whole]),
            summary([again[name] / twin[name] for _, twin, again in whole]))


def middle(samples, name, *slots):
    values = [one[name] for slot in slots for one in samples[slot] if one[name] is not None]
    return statistics.median(values) if values else None


def result_of(row, samples):
    ratio, noise = ratios(samples, "figure")
    cpu, _ = ratios(samples, "cpu_ns")
    figures = {
        "key": row.key, "title": row.title, "unit": row.unit, "rounds": len(samples["subject"]),
        "subject_name": row.subject_name, "twin_name": row.twin_name, "more_is_better": row.more_is_better,
        "subject": middle(samples, "figure", "subject"), "twin": middle(samples, "figure", "twin", "again"),
        "ratio": ratio, "noise": noise, "cpu_ratio": cpu,
        "cpu_us": None if cpu is None else {"subject": middle(samples, "cpu_ns", "subject") / 1000,
                                            "twin": middle(samples, "cpu_ns", "twin", "again") / 1000},
        "also": {"subject": samples["subject"][0]["also"], "twin": samples["twin"][0]["also"]},
        "notes": sorted({one["note"] for slot in samples.values() for one in slot if one["note"]}),
        "targets": {name: getattr(row, name) for name in ("ratio", "cpu", "value", "above")
                    if getattr(row, name) is not None},
        "samples": {slot: [[one["figure"], one["cpu_ns"]] for one in runs] for slot, runs in samples.items()},
    }
    figures["verdict"] = verdict(figures)
    return figures


def verdict(figures):
    targets, ratio, cpu = figures["targets"], figures["ratio"], figures["cpu_ratio"]
    if "value" in targets:
        return "met" if figures["subject"] <= targets["value"] else "missed"
    if "above" in targets:
        return "met" if figures["subject"] - figures["twin"] <= targets["above"] else "missed"
    if "ratio" not in targets or ratio is None:
        return ""
    if ratio["high"] < targets["ratio"]:
        return "missed"
    if "cpu" in targets and cpu is not None and cpu["median"] > targets["cpu"]:
        return "missed (CPU)"
    return "met" if ratio["median"] >= targets["ratio"] else "below, within noise"
