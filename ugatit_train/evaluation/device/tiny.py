"""The tiny training that a device is checked with, five steps from a run's first weights, and its recorded losses.

Weights come from `networks.ugatit.initialise` and the pictures from a seed: NumPy makes both, the same on every device.
`losses.yaml` holds the losses of the float64 reference of the tests (`tests/train/reference.py`), which shares no code
with the trainer. `tests/train/evaluation/record_device_losses.py` writes it, and a test holds it to the reference.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ugatit_train.options.config import Options

STEPS = 5
LOSSES_FILE = Path(__file__).with_name("losses.yaml")
MODELS = {"light": True, "full": False}


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The largest relative difference of a loss: of step 1, which no update precedes, and of the steps after it."""

    first: float
    later: float
    why: str


# Over the five steps the losses move by 1.7% (cycle, identity) to 16% (CAM): a wrong gradient shows beside these.
TOLERANCES = {
    "float32": Tolerance(
        first=1e-5,
        later=1e-3,
        why="float32 rounds to 6e-8; Adam makes a whole step of a gradient near zero whose sign a rounding turns. "
        "Measured on a CPU: 5e-8, then 1e-4; in Ascend's forms 5e-8, then 4e-6",
    ),
    "float16": Tolerance(
        first=1e-3,
        later=2.5e-3,
        why="convolutions round to 11 bits, 5e-4. Measured on a CPU in Ascend's forms in float16: 2e-4, then 5e-4",
    ),
}
TOLERANCES["hf32"] = TOLERANCES["float16"]  # HF32 keeps as many bits of a number, or one more


def options(model: str, **more: Any) -> Options:
    """Of the tiny training of the model, "light" or "full". A dynamic loss scale might leave out its first steps."""
    return Options(light=MODELS[model], ch=4, n_res=1, n_dis=4, img_size=32, iteration=1000, loss_scale=1.0, **more)


def noise(options: Options) -> np.ndarray:
    """The pictures of every step, a and b: float32 (2, N, C, H, W) in [-1, 1]."""
    shape = (2, options.batch_size, options.img_ch, *options.image_size)
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


def recorded() -> dict[str, list[dict[str, float]]]:
    """The reference's losses by the model: a dict by name for each step."""
    return yaml.safe_load(LOSSES_FILE.read_text())


def differences(found: list[dict[str, float]], expected: list[dict[str, float]]) -> list[float]:
    """Each step's largest relative difference of a loss; NaN where one is not a number."""
    return [
        float(np.max([abs(here[name] - value) / abs(value) for name, value in there.items()]))
        for here, there in zip(found, expected, strict=True)
    ]
