"""The tables of a record of `demo.py`, and those and the headline of one of `learning.py`."""

from __future__ import annotations

import statistics

from cells import ranged, rows_to_table


def demo(record: dict) -> str:
    """What the demo's pictures come to, and its time."""
    value = {entry["name"]: entry["median"] for entry in record["results"]}
    rows = {
        "mean absolute difference to the true drawing, of 255": (
            f"photograph {value['difference, input']:.2f}, translation {value['difference, translated']:.2f}"
        ),
        "ratio": f"{value['ratio']:.3f} (the best affine change of colour: {value['ratio, change of colour']:.3f})",
        "correlation of the edge maps with the true drawing's": (
            f"translation {value['edges, translated']:.3f}, photograph {value['edges, input']:.3f}, "
            f"change of colour {value['edges, change of colour']:.3f}"
        ),
        "compilation": f"{value['compilation']:.0f} s",
        "step, median": f"{value['a step, median']:.2f} s (fastest {value['a step, fastest']:.2f} s; "
        f"wait for data {value['data wait of a step']:.2f} ms)",
        "training / `make demo`, installation apart": f"{value['stage: train']:.0f} s / {clock(value['all'])}",
    }
    return rows_to_table(["What", "Figure"], [list(row) for row in rows.items()])


def clock(seconds: float) -> str:
    """8 min 44 s"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def learning(record: dict) -> str:
    """When the ratio comes to each target; the ratio on the way; how far apart the first two implementations are."""
    by_name = {entry["name"]: entry for entry in record["results"]}
    curves = curves_of(record)
    columns = {  # header -> how its result's name ends
        f"{shown} to {target:g}": f"{unit} to a ratio of {target:g}"
        for target in record["options"]["targets"]
        for shown, unit in (("minutes", "minutes"), ("CPU minutes", "cpu_minutes"), ("steps", "steps"))
    }
    columns |= {"seconds a step": "a step", "start, s": "start"}
    rows = []
    for name in dict.fromkeys([*curves, *record["options"]["implementations"]]):
        if name in by_name:  # skipped as a whole
            rows.append([name, ranged(by_name[name]), *[""] * (len(columns) - 1)])
            continue
        found = [by_name.get(f"{name}: {ending}") for ending in columns.values()]
        cells = ["not reached" if entry and "skipped" in entry else ranged(entry) for entry in found]
        rows.append([f"**{name}**" if name == "ours" else name, *cells])
    made = [rows_to_table(["implementation", *columns], rows)]
    if curves:
        made.append(_on_the_way(curves))
    return "\n\n".join([*made, *(_apart(curves) if len(curves) > 1 else [])])


def curves_of(record: dict) -> dict[str, list[dict]]:
    """The ratios of each implementation in a record of `learning.py`, step by step; a sample is a seed's."""
    curves: dict[str, list[dict]] = {}
    for entry in record["results"]:
        if "step" in entry.get("tags", {}):
            curves.setdefault(entry["tags"]["of"], []).append(entry)
    return curves


def _on_the_way(curves: dict[str, list[dict]]) -> str:
    """Ratio and CPU minutes at each measurement, as the mean of the seeds and their range."""
    header = ["step", *(f"{name}: {what}" for name in curves for what in ("ratio, mean (range)", "CPU minutes, mean"))]
    rows = []
    for entries in zip(*curves.values(), strict=True):
        row = [f"{entries[0]['tags']['step']:,}"]
        for entry in entries:
            spread = f" ({entry['low']:.3f}-{entry['high']:.3f})" if len(entry["samples"]) > 1 else ""
            row.append(f"{statistics.mean(entry['samples']):.3f}{spread}")
            row.append(f"{statistics.mean(entry['tags']['cpu_minutes']):.1f}")
        rows.append(row)
    return rows_to_table(header, rows)


def headline(record: dict, chinese: bool = False) -> str:
    """The CPU minutes to each target, of each implementation; or how many seeds did not come to it in how long."""
    return ("" if chinese else " ").join(_until(record, target, chinese) for target in record["options"]["targets"])


def _until(record: dict, target: float, chinese: bool) -> str:
    by_name = {entry["name"]: entry for entry in record["results"]}
    found = []
    for name, entries in curves_of(record).items():
        reached = by_name[f"{name}: cpu_minutes to a ratio of {target:g}"]
        if "skipped" not in reached:
            found.append(f"{name} {ranged(reached)}")
            continue
        lowest = [min(ratios) for ratios in zip(*(entry["samples"] for entry in entries), strict=True)]
        came, steps = sum(ratio <= target for ratio in lowest), f"{entries[-1]['tags']['step']:,}"
        ratios = ", ".join(f"{ratio:.3f}" for ratio in lowest)
        found.append(
            f"{name}：{len(lowest)} 个种子中{f'有 {came} 个' if came else '无一'}在 {steps} 步内达到（最低 {ratios}）"
            if chinese
            else f"{name}: {came or 'none'} of {len(lowest)} seeds came to it in {steps} steps (lowest: {ratios})"
        )
    told = max(f"{target:.2f}", f"{target:g}", key=len)
    if chinese:
        return f"**误差比降到 {told} 所需的 CPU 分钟数**：{'；'.join(found)}。"
    return f"**CPU minutes to a ratio of {told}**: {'; '.join(found)}."


def _apart(curves: dict[str, list[dict]]) -> list[str]:
    """Whether the seeds' ranges of the first two implementations meet, and how far apart they end; as a table."""
    (one, of_one), (other, of_other) = list(curves.items())[:2]
    pairs = [(a, b) for a, b in zip(of_one, of_other, strict=True) if a["tags"]["step"]]  # untrained they are equal
    meet = sum(a["low"] <= b["high"] and b["low"] <= a["high"] for a, b in pairs)
    last = [mine - others for mine, others in zip(pairs[-1][0]["samples"], pairs[-1][1]["samples"], strict=True)]
    mean = sum(a["median"] - b["median"] for a, b in pairs) / len(pairs)
    header = [f"{one} beside {other}", "ratio"]
    rows = [
        ["measurements at which the seeds' ranges meet", f"{meet} of {len(pairs)}"],
        ["difference of the medians, mean over the measurements", f"{mean:+.3f}"],
        ["difference at the end, of each seed", ", ".join(f"{value:+.3f}" for value in last)],
    ]
    return [rows_to_table(header, rows)]
