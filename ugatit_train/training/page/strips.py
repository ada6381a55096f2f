"""The run's sample pictures for its page: found, thinned, cut into rows, and encoded once each."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ugatit_train.pictures.drawing import SAMPLE_ROWS
from ugatit_train.training.page import alarms

MOST_SAMPLES = 60
DIRECTIONS = {"a2b": "A to B", "b2a": "B to A"}
# Of 60 samples with 7 rows for each of two directions, and of base64, which takes a third more: under 9 MB.
STRIP_BYTES = 8000
_SIZES = ((128, (85, 75, 60)), (96, (75, 60)), (64, (75, 60, 45)), (32, (60, 30)), (16, (30,)))  # cell: JPEG qualities


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The pictures of one step and direction: for each row of its grid a JPEG in base64, and its figures."""

    strips: dict[str, str]
    seen: alarms.Seen


class Samples:
    """The folder `samples` of a run, of pictures of `size` (height, width); what is encoded once is kept."""

    def __init__(self, folder: Path, size: tuple[int, int]):
        self._folder, self._size = folder, size
        self._kept: dict[tuple[str, int, int], Sample | None] = {}

    def read(self, last_step: int) -> dict[int, dict[str, Sample]]:
        """Step -> direction -> sample, in order: those that are kept of all up to `last_step`.

        What is no grid of this run, as a picture that was damaged, is left out.
        """
        found: dict[int, dict[str, Sample]] = {}
        kept = {}
        for step in thinned(self._steps(last_step), MOST_SAMPLES):
            for direction in DIRECTIONS:
                path = self._folder / f"{step:08d}_{direction}.png"
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                key = (path.name, stat.st_size, stat.st_mtime_ns)
                kept[key] = self._kept[key] if key in self._kept else self._encode(path, step)
                if sample := kept[key]:
                    found.setdefault(step, {})[direction] = sample
        self._kept = kept
        return found

    def _steps(self, last: int) -> list[int]:
        """The steps of which there are pictures; later ones are those of a run that was killed and goes on before."""
        names = (re.fullmatch(r"(\d{8,})_a2b\.png", path.name) for path in self._folder.glob("*_a2b.png"))
        return sorted(step for name in names if name and (step := int(name[1])) <= last)

    def _encode(self, path: Path, step: int) -> Sample | None:
        data = np.fromfile(path, np.uint8)
        grid = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        height, width = self._size
        if grid is None or grid.shape[0] != len(SAMPLE_ROWS) * height or grid.shape[1] % width:
            return None
        rows = dict(zip(SAMPLE_ROWS, np.split(grid, len(SAMPLE_ROWS)), strict=True))
        columns = grid.shape[1] // width
        cells = {name: np.stack(np.split(rows[name], columns, axis=1)) for name in ("real_a", "fake_a2b")}
        return Sample(
            strips={name: encode(row) for name, row in rows.items()},
            seen=alarms.look(step, cells["real_a"], cells["fake_a2b"]),
        )


def thinned(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of the steps, three or more, evenly, with the first and the last.

    Every first, second, fourth, ... one: so what is kept of a longer run is a part of what was kept before.
    """
    if len(steps) <= most:
        return list(steps)
    every = 1
    while len(range(0, len(steps), every)) + 1 > most:
        every *= 2
    return sorted({*steps[::every], steps[-1]})


def encode(strip: np.ndarray) -> str:
    """A row of pictures, uint8 BGR (H, W, 3), as a JPEG in base64, of at most STRIP_BYTES before that.

    In the first size and quality that fit, from the best on; it is at most 128 pixels high.
    """
    data = b""
    for cell, qualities in _SIZES:
        scale = min(1.0, cell / strip.shape[0])
        shape = (max(1, round(strip.shape[1] * scale)), max(1, round(strip.shape[0] * scale)))
        small = cv2.resize(strip, shape, interpolation=cv2.INTER_AREA) if scale < 1 else strip
        for quality in qualities:
            data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(data) <= STRIP_BYTES:
                return base64.b64encode(data).decode()
    return base64.b64encode(data).decode()
