"""A run's metrics.jsonl as curves: every column in at most a few hundred points, however long the run is."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ugatit_train.training.log import MetricsError

POINTS = 200  # to twice as many: as a chart has pixels across


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A column by spans of steps: the last step of each, and the mean, least and largest value in it; all (n,)."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def smoothed(self) -> np.ndarray:
        """The means, each averaged with its neighbours: a twentieth of the run, centred."""
        return smooth(self.mean, len(self.mean) // 20)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of `window` values around each; of fewer at the ends. An even window counts as one more."""
    kernel = np.ones(max(1, window) | 1)
    if len(kernel) > len(values):
        return np.full(len(values), values.mean()) if len(values) else values
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


class Curves:
    """The columns of a metrics file. `read` takes in what the file has got since the last call, and no line twice."""

    def __init__(self, path: Path):
        self.step = 0  # the last one
        self._path, self._offset, self._span = path, 0, 1
        self._columns: dict[str, dict[int, list[float]]] = {}  # name -> number of the span -> sum, count, low, high
        self._newest: dict[str, float] = {}

    def read(self) -> "Curves":
        """Itself, with every whole line of the file; a torn last line is left for the next call.

        Raises:
            MetricsError: a line is not a step.
            OSError: the file cannot be read.
        """
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                try:
                    values = json.loads(line)
                    self._add(values.pop("step"), values)
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    raise MetricsError(f"{self._path}: a line ends at byte {self._offset} that is no step") from None
        return self

    @property
    def names(self) -> list[str]:
        """The columns, in the order of the file."""
        return list(self._columns)

    def last(self, name: str) -> float | None:
        """The value at the newest step that has one."""
        return self._newest.get(name)

    def total(self, name: str) -> float:
        """The sum over all steps."""
        return sum(entry[0] for entry in self._columns.get(name, {}).values())

    def curve(self, name: str) -> Curve:
        """The column `name`; of no points where the file has none."""
        spans = sorted(self._columns.get(name, {}).items())
        sums, counts, low, high = np.array([entry for _, entry in spans], float).reshape(-1, 4).T
        ends = np.array([min((number + 1) * self._span, self.step) for number, _ in spans], float)
        return Curve(steps=ends, mean=sums / counts, low=low, high=high)

    def _add(self, step: int, values: dict[str, float]) -> None:
        self.step = max(self.step, step)
        if (step - 1) // self._span >= 2 * POINTS:
            self._halve()
        number = (step - 1) // self._span
        for name, value in values.items():
            value = float(value)
            if not math.isfinite(value):
                continue
            self._newest[name] = value
            column = self._columns.setdefault(name, {})
            if (entry := column.get(number)) is None:
                column[number] = [value, 1, value, value]
            else:
                entry[0] += value
                entry[1] += 1
                entry[2] = min(entry[2], value)
                entry[3] = max(entry[3], value)

    def _halve(self) -> None:
        """Makes one span of two until the step fits: POINTS to 2 * POINTS spans are kept."""
        while (self.step - 1) // self._span >= 2 * POINTS:
            self._span *= 2
            for name, column in self._columns.items():
                merged: dict[int, list[float]] = {}
                for number, (total, count, low, high) in column.items():
                    entry = merged.setdefault(number // 2, [0.0, 0, math.inf, -math.inf])
                    merged[number // 2] = [entry[0] + total, entry[1] + count, min(entry[2], low), max(entry[3], high)]
                self._columns[name] = merged
