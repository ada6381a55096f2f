"""The weights of `inception.Inception`: made of the public PyTorch weights, saved as a MindSpore checkpoint, loaded."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ugatit_data.commands import command
from ugatit_data.files import stands_in, write_whole
from ugatit_train import runtime
from ugatit_train.errors import UgatitError, first_line
from ugatit_train.evaluation.inception import Inception
from ugatit_train.forms import Forms, form_for

BATCH_NORM_EPSILON = 1e-3
NUM_CLASSES = 1008  # of the last layer, which is not needed; torchvision's network has 1000
REMEDY = "give the weights of FID's InceptionV3 (pt_inception-2015-12-05)"


class WeightsError(UgatitError):
    """Weights that are missing, damaged or of another network; the message is one line and names the remedy."""

    exit_code = 2


def fold(state: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """The weights of `Inception` by name, made of a PyTorch state_dict of arrays; and the names that were not needed.

    Each batch norm becomes part of its convolution, in float64: the weight is weight * s, the bias beta - mean * s,
    with s = gamma / sqrt(variance + epsilon).

    Raises:
        WeightsError: a name is missing or has another shape.
    """
    if not isinstance(state, dict) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise WeightsError(f"not a state_dict, names and tensors alone: {REMEDY}")
    classes = math.prod(state["fc.weight"].shape[:1]) if "fc.weight" in state else NUM_CLASSES
    if classes != NUM_CLASSES:
        raise WeightsError(
            f"fc.weight has {classes} classes, not {NUM_CLASSES}: torchvision's InceptionV3 is another: {REMEDY}"
        )
    folded: dict[str, np.ndarray] = {}
    used: set[str] = set()
    for name, shape in _shapes().items():
        block, kind = name.rsplit(".", 1)
        norm = [f"{block}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        parts = [f"{block}.conv.weight", *norm]
        missing = [part for part in parts if part not in state]
        if missing:
            raise WeightsError(f"{missing[0]} is missing: {REMEDY}")
        used |= {*parts, f"{block}.bn.num_batches_tracked"}
        weight, gamma, beta, mean, variance = (state[part].astype(np.float64) for part in parts)
        if kind == "weight" and weight.shape != shape:
            raise WeightsError(f"{parts[0]} has shape {weight.shape}, not {shape}: {REMEDY}")
        for part in norm:
            if state[part].shape != shape[:1]:
                raise WeightsError(f"{part} has shape {state[part].shape}, not {shape[:1]}: {REMEDY}")
        scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
        value = weight * scale.reshape(-1, 1, 1, 1) if kind == "weight" else beta - mean * scale
        folded[name] = value.astype(np.float32)
    return folded, sorted(set(state) - used)


def save(weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Write folded weights as a MindSpore checkpoint with a checksum; the file appears complete or not at all."""
    listed = [{"name": name, "data": Tensor(value)} for name, value in weights.items()]

    def write(partial: Path) -> None:
        named = partial.with_name(f"{partial.name}.ckpt")  # MindSpore gives every name this ending
        try:
            ms.save_checkpoint(listed, str(named), crc_check=True)
            named.rename(partial)
        finally:
            named.unlink(missing_ok=True)

    write_whole(path, write)


def load(path: Path) -> Inception:
    """The network with the weights of a file that `save` wrote.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    remedy = f"make it with {command('import_inception')}"
    if not path.is_file():
        raise WeightsError(f"{path}: no such file: {remedy}")
    try:
        found = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, RuntimeError, TypeError) as error:
        if words := stands_in(path):
            raise WeightsError(f"{path}: is {words}") from None
        raise WeightsError(f"{path}: damaged, or no MindSpore checkpoint ({first_line(error)}): {remedy}") from None
    network = Inception(form_for(runtime.device()))
    own = dict(network.parameters_and_names())
    odd = sorted(set(found) ^ set(own)) or [n for n in own if tuple(found[n].shape) != tuple(own[n].shape)]
    if odd:
        raise WeightsError(f"{path}: of another network: {odd[0]} and {len(odd) - 1} more differ: {remedy}")
    for name, parameter in own.items():
        parameter.set_data(Tensor(found[name].asnumpy()))
    network.set_train(False)
    return network


def _shapes() -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in Inception(Forms()).parameters_and_names()}
