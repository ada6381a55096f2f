"""The float64 losses of the tiny training that `ugatit check_device` compares a device with.

As a program it records them: PYTHONPATH=.:tests python -m train.evaluation.record_device_losses
"""

import numpy
import yaml

from ugatit_data.files import write_whole
from ugatit_train import runtime
from ugatit_train.evaluation.device import tiny
from ugatit_train.training.build import build_step
from ugatit_train.training.terms import TERMS, loss_names

from .. import reference as ref


def losses(model: str, steps: int = tiny.STEPS) -> list[dict[str, float]]:
    """What the reference has, from the weights that a run begins with: a dict by name for each step."""
    o = tiny.options(model)
    values = {p.name: p.asnumpy().astype(numpy.float64) for p in build_step(o, o.schedule(1)).get_parameters()}
    networks = {name: value for name, value in values.items() if name.startswith(("gen", "dis"))}
    u = {name: value for name, value in networks.items() if name.endswith(".u")}
    params = {name: value for name, value in networks.items() if name not in u}
    m, v = ({name: numpy.zeros(value.shape) for name, value in params.items()} for _ in "mv")
    state, found = ref.State(params, u, m, v, 0), []
    a, b = tiny.noise(o).astype(numpy.float64)
    for step in range(1, steps + 1):
        state, all_losses, _ = ref.train_step(state, a, b, step, ref.Options(lr=o.lr, iteration=o.iteration))
        found.append({name: _as_returned(name, all_losses) for name in loss_names(TERMS)})
    return found


def _as_returned(name: str, losses: dict[str, float]) -> float:
    """The reference's loss by the name of the step's, which adds up domains and discriminators."""
    return float(losses[name] if name in losses else sum(v for k, v in losses.items() if k.startswith(f"{name}_")))


if __name__ == "__main__":
    runtime.setup("CPU")
    write_whole(tiny.LOSSES_FILE, yaml.safe_dump({model: losses(model) for model in tiny.MODELS}, sort_keys=False))
