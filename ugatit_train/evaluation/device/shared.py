"""What the checks of one process share: the device, and the compiled training steps."""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugatit_train import runtime
from ugatit_train.evaluation.device import tiny
from ugatit_train.options.config import Options


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be checked, as the process that starts the checks tells the others."""

    device_target: str
    device_id: int
    quick: bool
    deadline: float  # seconds since 1970: until then all is to be done
    folder: str  # for the checks' files
    known: dict[str, dict[str, Any]]  # the figures of the checks of the processes before, by the check's name


def lacks_device(name: str, figures: dict[str, Any]) -> bool:
    """Whether these figures of the check `name` say that the device cannot be used."""
    return name == "device" and "precision" not in figures


class Training:
    """A step with the weights that a run begins with; a call trains one step, on the same noise each time."""

    def __init__(self, options: Options, graphs: Path | None = None):
        """`graphs` is the folder of a compile cache, if its graph is to be kept there, or to be taken from there."""
        from mindspore import Tensor

        from ugatit_train.networks import compiling
        from ugatit_train.training import build

        self.options = options
        self.cell = build.build_step(options, options.schedule(1))
        self.batch = [Tensor(images) for images in tiny.noise(options)]
        began = time.perf_counter()
        self.loaded = compiling.GraphCache(graphs).compile(self.cell, *self.batch)
        self.first = self()
        self.first_s = time.perf_counter() - began  # with the compilation

    def __call__(self) -> dict[str, float]:
        """The losses by name. Reading them waits for the step."""
        values = self.cell(*self.batch).asnumpy()
        return dict(zip(self.cell.loss_names, map(float, values), strict=True))

    def timed(self) -> float:
        """Seconds of a step."""
        began = time.perf_counter()
        self()
        return time.perf_counter() - began


class Shared:
    """Each thing is made when a check first asks for it, so that a check can run alone."""

    def __init__(self, job: Job):
        self.job = job
        self.folder = Path(job.folder)
        self._made: dict[Any, Any] = {}

    @functools.cached_property
    def precision(self) -> runtime.Precision:
        """What the device computes convolutions in; asking for it takes the device. Raises DeviceError."""
        runtime.setup(self.job.device_target, self.job.device_id)
        return runtime.set_precision(None)

    def options(self, model: str, **sizes) -> Options:
        """Of the tiny training, or of the sizes given."""
        own: dict[str, Any] = {"device_target": self.job.device_target, "precision": self.precision}
        if sizes:
            return Options(light=tiny.MODELS[model], **sizes, **own)
        return tiny.options(model, **own)

    def training(self, model: str, **sizes) -> Training:
        """A compiled step: the tiny one, or one of the sizes given."""
        key = (model, *sorted(sizes.items()))
        if key not in self._made:
            self._made[key] = Training(self.options(model, **sizes), None if sizes else self.graphs(model))
        return self._made[key]

    def graphs(self, model: str) -> Path | None:
        """The compile cache of the tiny light training: on the CPU, where training has one too."""
        kept = self.job.device_target == "CPU" and model == "light"
        return self.folder / "graphs" if kept else None

    def has(self, model: str, **sizes) -> bool:
        """Whether such a step is compiled."""
        return (model, *sorted(sizes.items())) in self._made

    def first_s(self, model: str) -> float | None:
        """Seconds of the tiny training's first step, with its compilation; None if it is not compiled."""
        return self.training(model).first_s if self.has(model) else None
