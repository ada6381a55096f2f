"""Charts of benchmark records: PNG for the report, SVG for a front page."""

from __future__ import annotations

import hashlib
import io
import json
import statistics
from collections.abc import Callable

import learning_tables
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

pyplot.rcParams.update({"font.size": 9, "svg.hashsalt": "ugatit"})  # the same record, the same bytes

WIDTH = 5.5  # inches: 9-point letters stay readable at a phone's width
REPORTED = "ms a step at 256 px, batch 1, as reported"  # in the data of a roofline's record
UNITS = {"images_per_s": "images/s", "ns_per_sample": "ns a sample"}
OURS, THEIRS, MUTED = "#1f5a94", "#9aa7b4", "#c9d6e8"
CURVES = (OURS, "#b5651d", "#5b8c5a", "#7a5195", THEIRS)


def of(record: dict) -> bytes | None:
    """The chart of a record as PNG; None if its table is enough."""
    draw = CHARTS.get(record["benchmark"])
    if draw is None:
        return None
    figure = draw(record)
    if figure is None:
        return None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    pyplot.close(figure)
    return buffer.getvalue()


def front(record: dict) -> str:
    """The SVG of a record of `learning.py` for a front page; it names the digest of what it shows."""
    figure, buffer = learning_over_time(record), io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Description": shown(record)})
    pyplot.close(figure)
    return buffer.getvalue()


def shown(record: dict) -> str:
    """The digest of a record's results: Matplotlib's bytes differ from version to version, this one does not."""
    return f"results {hashlib.sha256(json.dumps(record['results']).encode()).hexdigest()}"


def _bars(names: list[str], entries: list[dict], label: str):
    figure, axes = pyplot.subplots(figsize=(WIDTH, 0.28 * len(names) + 0.9), layout="constrained")
    medians = [entry["median"] for entry in entries]
    spans = [[e["median"] - e["low"] for e in entries], [e["high"] - e["median"] for e in entries]]
    colours = [OURS if "ours" in name else THEIRS for name in names]
    axes.barh(names, medians, xerr=spans, color=colours, ecolor="#444", error_kw={"lw": 1})
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=4)  # where names are long, the axis is short
    axes.set_xlabel(label, loc="right")  # it may be longer than the axis, where names are long
    return figure


def data_loading(record: dict):
    entries = sorted((e for e in record["results"] if e.get("unit") == "images_per_s"), key=lambda e: -e["median"])
    return _bars([entry["name"] for entry in entries], entries, "images/s (bar: median, line: lowest and highest)")


def step_time(record: dict):
    entries = [
        entry for entry in record["results"]
        if entry.get("unit") == "seconds" and entry["name"].endswith(f": {entry['tags'].get('of', 'floor')}")
    ]  # fmt: skip
    return _bars([entry["name"] for entry in entries], entries, "seconds a step (bar: median, line: extremes)")


def scale(record: dict):
    series: dict[str, list[dict]] = {}
    for entry in record["results"]:
        if "x" in entry["tags"]:
            series.setdefault(entry["tags"]["series"], []).append(entry)
    rows = -(-len(series) // 2)
    figure, grid = pyplot.subplots(rows, 2, figsize=(WIDTH, 1.9 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat[len(series) :]:
        axes.set_axis_off()
    for axes, (name, entries) in zip(grid.flat, series.items(), strict=False):
        x = [entry["tags"]["x"] for entry in entries]
        axes.plot(x, [entry["median"] for entry in entries], "o-", color=OURS)
        axes.fill_between(x, [e["low"] for e in entries], [e["high"] for e in entries], color=MUTED)
        axes.set(xscale="log", yscale="log", title=name)
        axes.set_ylabel(UNITS.get(entries[0]["unit"], entries[0]["unit"]), labelpad=6)
        axes.set_xticks(x, [str(value) for value in x])
        axes.minorticks_off()
        low, high = min(e["low"] for e in entries), max(e["high"] for e in entries)
        axes.set_ylim(low / 2, high * 2)  # a flat line must look flat
        first, last = (float(f"{entry['median']:.3g}") for entry in (entries[0], entries[-1]))
        ends = [first, last] if max(first, last) > 1.3 * min(first, last) else [last]  # letters must not overlap
        axes.set_yticks(ends, [f"{value:g}" for value in ends])
    return figure


def roofline(record: dict):
    projected = [entry for entry in record["results"] if entry.get("tags", {}).get("projection")]
    largest = max(entry["tags"]["size"] for entry in projected)
    shown = [entry for entry in projected if entry["tags"]["size"] == largest and entry["tags"]["model"] == "full"]
    names = [entry["name"].partition("projection, ")[2].replace(" of its roofline", "") for entry in shown]
    figure = _bars(names, shown, f"ms a step, full, {largest} px: projections")
    if largest == 256:
        reported = record["data"].get(REPORTED, {"original project": 640.0})  # as records before 0.2.0 meant
        for ms in reported.values():
            figure.axes[0].axvline(ms, color="#a33", lw=1)
        said = "\n".join(f"{ms:.0f} ms: {what}" for what, ms in reported.items())
        figure.axes[0].set_title(said, color="#a33", loc="right", fontsize=7)
    return figure


def profile(record: dict):
    entries = sorted(record["results"], key=lambda entry: -entry["median"])[:14]
    figure, axes = pyplot.subplots(figsize=(WIDTH, 0.28 * len(entries) + 0.9), layout="constrained")
    names = [entry["tags"]["kind"] for entry in entries]
    axes.barh(names, [entry["median"] for entry in entries], color=MUTED, label="measured")
    least = [entry["median"] * min(1.0, entry["tags"]["of_ceiling"] or 0) for entry in entries]
    axes.barh(names, least, color=OURS, label="at the ceilings")
    axes.invert_yaxis()
    axes.set_xlabel(f"ms a step ({record['data']['title']})")
    axes.legend()
    return figure


def learning(record: dict):
    """The ratio over steps, and over CPU minutes."""
    if not learning_tables.curves_of(record):
        return None
    figure, (over_steps, over_time) = pyplot.subplots(2, 1, figsize=(WIDTH, 5.6), layout="constrained")
    _curves(over_steps, record, "steps", lambda entry: [entry["tags"]["step"]] * len(entry["samples"]))
    _over_time(over_time, record)
    over_steps.legend()
    return figure


def learning_over_time(record: dict):
    """The ratio over CPU minutes alone, for the front page."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, 3), layout="constrained")
    _over_time(axes, record)
    axes.legend()
    return figure


def _over_time(axes, record: dict) -> None:
    what = "CPU minutes (all threads), compilation included"
    _curves(axes, record, what, lambda entry: entry["tags"]["cpu_minutes"])


def _curves(axes, record: dict, what: str, x_of: Callable[[dict], list[float]]) -> None:
    """A thin line for each seed and a thick one for their mean, of each implementation."""
    for (name, entries), colour in zip(learning_tables.curves_of(record).items(), CURVES, strict=False):
        x, ratios = [x_of(entry) for entry in entries], [entry["samples"] for entry in entries]
        seeds = len(ratios[0])
        if seeds > 1:
            axes.plot(x, ratios, color=colour, lw=0.6, alpha=0.6)
        label = f"{name}, mean of {seeds} seeds" if seeds > 1 else f"{name}, one seed"
        axes.plot([*map(statistics.mean, x)], [*map(statistics.mean, ratios)], color=colour, label=label, lw=1.8)
    for target in record["options"]["targets"]:
        axes.axhline(target, color="#a33", lw=0.8, ls="--")
    curves = learning_tables.curves_of(record).values()
    trained = [ratio for entries in curves for entry in entries[1:] for ratio in entry["samples"]]
    if trained:  # the untrained networks' ratio, far above, would press the rest together
        axes.set_ylim(0.9 * min(trained), 1.1 * max(trained))
    axes.set(xlabel=what, ylabel="ratio (less is better)", xlim=(0, None))
    axes.grid(alpha=0.3)


CHARTS: dict[str, Callable] = {
    "learning": learning,
    "data_loading": data_loading,
    "step_time": step_time,
    "scale": scale,
    "roofline": roofline,
    "profile": profile,
}
