"""What a run says of numbers that went wrong: losses that are not finite, gradients that overflow."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mindspore import Parameter

from ugatit_data import Loader
from ugatit_train.training import checkpoint, runfolder

_log = logging.getLogger(__name__)


class Skipped:
    """Tells of the steps whose gradients overflowed at a fixed loss scale, which updated nothing and do not count."""

    def __init__(self, state: Mapping[str, Parameter], step: int):
        self.state = state
        self.count = self._now(step)

    def _now(self, step: int) -> int:
        return step - int(self.state["step"].asnumpy())

    def tell(self, step: int) -> None:
        """A warning at the first of them, and each time that they have doubled."""
        before, self.count = self.count, self._now(step)
        if self.count > before and self.count & before == 0:
            _log.warning(
                "step %d: the gradients overflow: nothing is updated (%d such steps so far): "
                "begin a new run with a smaller --loss_scale, or with dynamic",
                step,
                self.count,
            )


def not_finite(step: int, losses: Mapping[str, float], loader: Loader, out: Path) -> str:
    """Which losses are not finite, the samples of the step, and the way on for the run in `out`."""
    bad = ", ".join(name for name, value in losses.items() if not np.isfinite(value))
    samples = [
        f"{domain.upper()} {[loader.keys(domain)[i].decode(errors='backslashreplace') for i in ids.tolist()]}"
        for domain, ids in zip("ab", loader.sample_ids(loader.state()["step"] - 1), strict=True)
    ]
    return f"step {step}: not finite: {bad}; samples {' and '.join(samples)}: {way_on(out)}, or look at these images"


def way_on(out: Path) -> str:
    if checkpoint.committed(out / runfolder.CHECKPOINTS):
        return "the last checkpoint is good: resume from it with a smaller --lr"
    return "no checkpoint was saved yet: begin again in another --output_path with a smaller --lr"
