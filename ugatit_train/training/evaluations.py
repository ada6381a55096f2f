"""Judging while a run trains: when, its figures in `evaluations.jsonl`, its best checkpoint. The judge is handed in."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_train.options.schedule import Schedule
from ugatit_train.training import best, checkpoint
from ugatit_train.training.log import DIRECTIONS, EVALUATIONS_FILE, read_evaluations

Generators = Mapping[str, Callable[[np.ndarray], np.ndarray]]
"""By direction: pictures float32 (1, C, H, W) in [-1, 1] to pictures alike."""
Judge = Callable[[Generators], dict[str, Any] | None]
"""Gives the figures of an evaluation, all of a line but step and time; None where it takes too long."""

_log = logging.getLogger(__name__)


class Judging:
    """The evaluations of a run, every `schedule.evaluate_every` steps and at the end, by what `open_judge` gives.

    What `evaluations.jsonl` holds of the steps up to `done` is not done again.

    Raises:
        MetricsError: a line is no evaluation.
    """

    def __init__(
        self,
        out: Path,
        schedule: Schedule,
        done: int,
        generators: Generators,
        open_judge: Callable[[], Judge],
        save_best: Callable[[int, dict[str, Any]], object],
    ):
        self._schedule, self._generators, self._save_best = schedule, generators, save_best
        self._path = out / EVALUATIONS_FILE
        kept = read_evaluations(self._path, done) if self._path.exists() else []
        self._judged = kept[-1]["step"] if kept else 0
        self._best: dict[str, Any] | None = None
        try:
            if there := best.newest(out / "checkpoints"):
                self._best = there[1]["evaluation"]
        except (checkpoint.CheckpointError, KeyError) as error:
            _log.warning("%s. The next evaluation begins a new best.", error)
        self._judge: Judge | None = open_judge()

    def at(self, step: int) -> None:
        """Judges the weights after `step`, if it is time and that is not done; keeps the checkpoint if it is the best.

        Raises:
            OSError: the disk is full or not writable.
        """
        every = self._schedule.evaluate_every or 1
        due = step % every == 0 or step == self._schedule.iteration
        if self._judge is None or not due or step <= self._judged:
            return
        began = time.perf_counter()
        found = self._judge(self._generators)
        if found is None:
            self._judge = None
            return
        line = {"step": step} | found | {"evaluate_s": time.perf_counter() - began}
        better = best.is_better(line, self._best)
        if better:  # before the line: a step that has one is not judged again after a kill
            self._save_best(step, line)
            self._best = line
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._judged = step
        _log.info("%s", describe(line, better))


def describe(line: Mapping[str, Any], is_best: bool) -> str:
    """An evaluation in one line of the log."""
    parts = []
    for direction in DIRECTIONS:
        found = line[direction]
        name = f"{direction[0].upper()} to {direction[2].upper()}"
        parts.append(f"{name} {found['mean']:.5f} (the pictures as they are: {found['identity']:.5f})")
    tail = ": the best so far" if is_best else ""
    return f"step {line['step']}: judged in {line['evaluate_s']:.1f} s: {line['metric']} {', '.join(parts)}{tail}"
