"""Charts: no label runs into another one."""

from __future__ import annotations

import itertools
import json

import pytest

from .conftest import BENCHMARKS

RECORDS = [
    record
    for path in sorted((BENCHMARKS / "results").glob("*.json"))
    for body in [json.loads(path.read_text())]
    for record in body.get("records", [body])
]


def touching(figure) -> list[tuple[str, str]]:
    """The pairs of labels of one axis that overlap, those of its ticks and its own."""
    figure.canvas.draw()
    found = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            labels = [label for label in (*ticks, axis.label) if label.get_text() and label.get_visible()]
            for one, other in itertools.combinations(labels, 2):
                if one.get_window_extent().overlaps(other.get_window_extent()):
                    found.append((one.get_text(), other.get_text()))
    return found


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["benchmark"])
def test_no_labels_run_into_each_other(record, load):
    charts = load("charts")
    draw = charts.CHARTS.get(record["benchmark"])
    if draw is None:
        pytest.skip("its table is enough")
    figure = draw(record)
    assert touching(figure) == []
    charts.pyplot.close(figure)


def test_labels_that_touch_are_found(load):
    figure, axes = load("charts").pyplot.subplots(figsize=(2, 2))
    axes.set_xticks([0, 0.5, 1], ["images a second", "in each", "of the modes"])
    assert ("images a second", "in each") in touching(figure)
    axes.set_xticks([0, 0.5, 1], ["a", "b", "c"])
    assert touching(figure) == []
