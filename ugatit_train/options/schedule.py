"""A run's lengths, and the learning rate over its steps. Nothing here imports MindSpore."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Decay = Callable[[Any, int, int, Any], Any]
"""decay(step, decay_start, iteration, xp): the factor of the learning rate at step 1, 2, ...

The compiled step calls it with a Tensor and `mindspore.ops` as `xp`, the log with a number and `numpy`: functions that
both have, as `xp.maximum` or `xp.cos`, serve both."""


def linear(step: Any, decay_start: int, iteration: int, xp: Any) -> Any:
    """1 to `decay_start`, then linearly down to 0 at `iteration` (the paper's)."""
    return 1 - xp.maximum(step - decay_start, 0) / max(iteration - decay_start, 1)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A run's lengths, all in steps, and how the learning rate falls."""

    iteration: int
    decay_start: int
    print_every: int
    save_every: int
    evaluate_every: int | None = None  # never
    decay: Decay = linear

    def learning_rate(self, step: int, first: float) -> float:
        """The rate of step 1, 2, ..., where `first` is the one without decay."""
        return float(first * self.decay(step, self.decay_start, self.iteration, np))


def change(before: Schedule, lr_before: float, now: Schedule, lr: float, done: int) -> str:
    """How a run's learning rate goes on after `done` steps where it is not as it was begun, in a line; else nothing.

    `before` and `lr_before` are those that it was begun with, `now` and `lr` those that it goes on with.
    """
    same = (before.iteration, before.decay_start, before.decay, lr_before)
    if same == (now.iteration, now.decay_start, now.decay, lr) or done >= now.iteration:
        return ""
    length = f"{now.iteration} steps in place of {before.iteration}: " if before.iteration != now.iteration else ""
    was, is_now = before.learning_rate(min(done, before.iteration), lr_before), now.learning_rate(done + 1, lr)
    last = now.learning_rate(now.iteration, lr)
    falls = (
        f"falls from step {max(now.decay_start, done)} on to {last:.3g} at the end" if last != is_now else "stays so"
    )
    return f"{length}the learning rate was {was:.3g} at step {done}, is {is_now:.3g} at step {done + 1}, and {falls}"
