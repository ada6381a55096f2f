"""A run's lengths, and the learning rate over its steps. Nothing here imports MindSpore."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A run's lengths, all in steps. The learning rate is constant to `decay_start`, then falls to 0 at `iteration`."""

    iteration: int
    decay_start: int
    print_every: int
    save_every: int

    def learning_rate(self, step: int, first: float) -> float:
        """The rate of step 1, 2, ..., where `first` is that of step 1; the compiled step computes the same."""
        return first * (1 - max(0, step - self.decay_start) / max(1, self.iteration - self.decay_start))
