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
    decay: Decay = linear

    def learning_rate(self, step: int, first: float) -> float:
        """The rate of step 1, 2, ..., where `first` is the one without decay."""
        return float(first * self.decay(step, self.decay_start, self.iteration, np))
