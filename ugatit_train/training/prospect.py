"""What lies before a run, for its console and log: by estimate before it starts, by measurement once it runs.

Nothing here imports MindSpore.
"""

import collections
import functools
import logging
from pathlib import Path

from ugatit_train.options.config import Options
from ugatit_train.options.schedule import Schedule
from ugatit_train.performance import ceilings, planner
from ugatit_train.runtime import Worker

MEASURED = 10  # steps after the first of a start, until the first time is told
MEAN_OF = 100  # the last steps, of which the mean time is told

_log = logging.getLogger(__name__)
_gflop_per_s = functools.cache(lambda: ceilings.sgemm(0.5))  # half a second, once a process


def tell(options: Options, schedule: Schedule, done: int, worker: Worker) -> None:
    """Logs what the run will do after `done` steps, and what it takes by the planner's estimate."""
    o, left = options, schedule.iteration - done
    needs = planner.estimate(o)
    height, width = o.image_size
    devices = f"{o.device_target} x {worker.world}" if worker.world > 1 else o.device_target
    takes = f"about {needs.total / planner.GIB:.1f} GiB"
    step_s = 0.0
    if o.device_target == "CPU" and worker.world == 1:  # others share the cores, or were never measured
        step_s = planner.step_seconds(needs, _gflop_per_s())
        takes += f", {step_s:.2f} s a step and {duration(step_s * left)} in all, by estimate"
    else:
        takes += f" by estimate; the time is told after {MEASURED} steps"
    _log.info(
        "%d steps at %d x %d px, batch %d, %s generator (ch %d) on %s in %s: %s",
        left, height, width, o.batch_size, "light" if o.light else "full", o.ch, devices, o.precision, takes,
    )  # fmt: skip
    judged = f", an evaluation every {_steps(schedule.evaluate_every)}" if schedule.evaluate_every else ""
    _log.info(
        "a line here every %s, sample pictures every %s, a checkpoint every %s or half an hour%s",
        *map(_steps, (schedule.print_every // 10 or 1, schedule.print_every, schedule.save_every)), judged,
    )  # fmt: skip
    if words := planner.too_long(o, step_s * left):
        _log.warning("%s", words)


def _steps(count: int) -> str:
    return "step" if count == 1 else f"{count} steps"


def tell_of_compiling(kept: Path | None) -> None:
    """Logs that the step is compiled now, how long that takes, and which folder will keep the graph, if any."""
    spared = "each start does it, for the graph is not kept"
    if kept is not None:
        spared = f"the next start with these settings takes it from {kept}"
    _log.info("compiling the step: a minute on two free cores, several on busy ones; %s", spared)


class Pace:
    """The mean time of the last steps of this start, its first one apart, and what the others take at it."""

    def __init__(self, options: Options, schedule: Schedule):
        self._options, self._iteration = options, schedule.iteration
        self._count = 0
        self._last: collections.deque[float] = collections.deque(maxlen=MEAN_OF)

    def add(self, step: int, step_s: float) -> None:
        """Takes in a step. After some of them a line in the log says how long the rest will take."""
        self._count += 1
        if self._count == 1:  # it makes what later ones find made
            return
        self._last.append(step_s)
        left_s = self.mean_s * (self._iteration - step)
        if self._count == MEASURED + 1 and left_s:
            _log.info("measured: %.3f s a step; the other %d take %s, besides pictures, checkpoints and judging",
                      self.mean_s, self._iteration - step, duration(left_s))  # fmt: skip
            if words := planner.too_long(self._options, left_s):
                _log.warning("%s", words)

    @property
    def mean_s(self) -> float:
        """Seconds a step; 0 before the second one."""
        return sum(self._last) / len(self._last) if self._last else 0.0

    def said(self, step: int) -> str:
        """The end of a log line, mean time and time left; nothing where no step was measured."""
        if not self._last:
            return ""
        return f", mean: {self.mean_s:.3f}s, left: {duration(self.mean_s * (self._iteration - step))}"


def duration(seconds: float) -> str:
    """A time such as 3 d 4 h, 5 min, 20 s."""
    return f"{seconds:.0f} s" if seconds < 90 else planner.duration(seconds)
