"""Charts: no label runs into another one or out of the picture."""

from __future__ import annotations

import itertools
import json

from .conftest import BENCHMARKS

RECORDS = [
    record
    for path in sorted((BENCHMARKS / "results").glob("*.json"))
    for body in [json.loads(path.read_text())]
    for record in body.get("records", [body])
]


def faults(figure) -> list[str]:
    """Labels of ticks and axes, and titles, that are 4 pixels apart or less, or that stand out of the picture."""
    figure.canvas.draw()
    labels = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            labels += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            labels.append(axis.label)
        labels += [axes.title, axes._left_title, axes._right_title]
    boxes = [(label.get_text(), label.get_window_extent().padded(2)) for label in labels if label.get_text()]
    found = [f"{one} | {two}" for (one, a), (two, b) in itertools.combinations(boxes, 2) if a.overlaps(b)]
    width, height = figure.bbox.size
    found += [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]
    return found


HARDEST = {  # of each benchmark the record with the longest names
    record["benchmark"]: record
    for record in sorted(RECORDS, key=lambda record: max(len(entry["name"]) for entry in record["results"]))
}


def test_no_labels_run_into_each_other(load):
    charts = load("charts")
    drawn = [record for name, record in HARDEST.items() if name in charts.CHARTS]  # of the others the table is enough
    assert len(drawn) > 4
    for record in drawn:
        figure = charts.CHARTS[record["benchmark"]](record)
        assert faults(figure) == [], record["benchmark"]
        charts.pyplot.close(figure)


def test_labels_that_touch_or_stand_out_are_found(load):
    figure, axes = load("charts").pyplot.subplots(figsize=(2, 2), layout="constrained")
    axes.set_xticks([0, 0.5, 1], ["images a second", "in each", "of the modes"])
    axes.set_ylabel("a label that is longer than the chart is high")
    found = faults(figure)
    assert "images a second | in each" in found and "a label that is longer than the chart is high" in found
    axes.set_xticks([0, 0.5, 1], ["a", "b", "c"])
    axes.set_ylabel("short")
    assert faults(figure) == []
