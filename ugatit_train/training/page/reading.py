"""A run's folder as its page shows it: figures, sample pictures, evaluations, options, alarms. Loads no MindSpore."""

import dataclasses
from pathlib import Path
from typing import Any

from ugatit_train.options import saved
from ugatit_train.options.config import Options
from ugatit_train.training import log
from ugatit_train.training.page import alarms
from ugatit_train.training.page.curves import Curves
from ugatit_train.training.page.strips import DIRECTIONS, Sample, Samples


class Run:
    """What stands in a run's folder. `read` takes in what is new there, and keeps what it has read and encoded."""

    def __init__(self, folder: Path, options: Options):
        self.folder, self.options = folder, options
        self.values = saved.lasting(options)  # without what concerned one start only
        self.name = folder.resolve().name
        self.curves = Curves(folder / log.METRICS_FILE)
        self.samples: dict[int, dict[str, Sample]] = {}
        self.evaluations: list[dict[str, Any]] = []
        self._pictures = Samples(folder / "samples", options.image_size)

    def read(self) -> "Run":
        """Itself, as the folder is now.

        Raises:
            MetricsError: a line of its files is none of a run.
            OSError: a file cannot be read.
        """
        self.curves.read()
        self.samples = self._pictures.read(self.curves.step)
        judged = self.folder / log.EVALUATIONS_FILE
        self.evaluations = log.read_evaluations(judged, self.curves.step) if judged.exists() else []
        return self

    def loss_names(self) -> list[str]:
        """The columns of metrics.jsonl that are losses."""
        return [name for name in self.curves.names if name not in ("lr", "loss_scale") and not name.endswith("_s")]

    def step_s(self) -> float:
        """The seconds of a step, the mean of the last tenth of the steps, with the wait for data."""
        total = 0.0
        for name in ("step_s", "data_wait_s"):
            mean = self.curves.curve(name).mean
            total += float(mean[-max(1, len(mean) // 10) :].mean()) if len(mean) else 0.0
        return total

    def spent_s(self) -> float:
        """The seconds of all steps together, with compiling and the waits for data."""
        return sum(self.curves.total(name) for name in ("step_s", "data_wait_s", "compile_s"))

    def alarms(self) -> list[alarms.Alarm]:
        """What its figures and pictures give reason to look at."""
        losses = {name: self.curves.curve(name).mean for name in self.loss_names()}
        seen = {
            words: [pictures[direction].seen for pictures in self.samples.values() if direction in pictures]
            for direction, words in DIRECTIONS.items()
        }
        return alarms.all_alarms(losses, self.curves.step, seen, self.options.adv_weight)

    def changed(self) -> dict[str, Any]:
        """The options that have not their defaults, in the order of the manual."""
        usual = dataclasses.asdict(Options())
        return {name: value for name, value in self.values.items() if value != usual[name]}
