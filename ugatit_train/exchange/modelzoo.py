"""Generators that the model zoo's U-GAT-IT saved (mindspore-ai/models, research/cv/U-GAT-IT, a .ckpt each) to ours.

By its public source its parameters have the names, shapes and orders of the PyTorch implementation's, but for two: a
fully connected layer is wrapped ("FC.0.dense.weight"), and batch norm stands for instance norm, at batch 1, with four
arrays that say nothing: gamma of ones, beta of zeros, running mean and variance that it does not use. The wrappers of
its training leave their names before all others ("generator.genA2B.").

Its AdaLIN and LIN divide by the variance over all n values, ours and the PyTorch implementation's by that over n - 1:
the same weights give slightly other pictures here, of a relative 1 / (2 * 64 * 64) a layer at 256 pixels. On Ascend its
fully connected layers compute in float16.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ugatit_data.files import stands_in
from ugatit_train.errors import first_line
from ugatit_train.exchange import pytorch
from ugatit_train.exchange.pytorch import SIGN, Imported, InteropError
from ugatit_train.options.config import Options
from ugatit_train.options.presets import PRESETS
from ugatit_train.training.checkpoint import GENERATORS, NotFiniteError

GIVE = "give a *_genA2B_params_*.ckpt or *_genB2A_params_*.ckpt of the model zoo's U-GAT-IT"
_DENSE = re.compile(r"^(gap_fc|gmp_fc|gamma|beta|FC\.\d+)\.dense\.weight$")
_BATCH_NORM = re.compile(r"^DownBlock\.\d+\.(conv_block\.\d+\.)?(gamma|beta|moving_mean|moving_variance)$")


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MindSpore checkpoint by their names. Raises InteropError."""
    import mindspore as ms

    if not path.is_file():
        raise InteropError(f"{path}: no such file: {GIVE}")
    try:
        found = ms.load_checkpoint(str(path))
    except (ValueError, RuntimeError, TypeError) as error:
        words = stands_in(path)
        reason = f"is {words}" if words else f"damaged, or no MindSpore checkpoint ({first_line(error)}): {GIVE}"
        raise InteropError(f"{path}: {reason}") from None
    return {name: parameter.asnumpy() for name, parameter in found.items()}


def generator_of(
    arrays: Mapping[str, np.ndarray], direction: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A generator's weights under the PyTorch implementation's names; and the arrays of its batch norms.

    Raises:
        InteropError: there is no generator, one of the other direction, or a batch norm with weights of its own.
    """
    prefixes = [name.removesuffix(SIGN) for name in arrays if name == SIGN or name.endswith(f".{SIGN}")]
    if len(prefixes) != 1 or any(not name.startswith(prefixes[0]) for name in arrays):
        shown = ", ".join(list(arrays)[:3])
        if any(name.endswith("model.1.weight") for name in arrays):
            raise InteropError(f"holds a discriminator ({shown}): {GIVE}")
        raise InteropError(f"holds {shown or 'nothing'}, not one generator: {GIVE}")
    other = next(name for way, name in GENERATORS.items() if way != direction)
    if other in prefixes[0].split("."):
        raise InteropError(f"holds {other}, not {GENERATORS[direction]}: give it as --{other}_ckpt")
    weights: dict[str, np.ndarray] = {}
    norms: dict[str, np.ndarray] = {}
    for full, array in arrays.items():
        name = full.removeprefix(prefixes[0])
        if _BATCH_NORM.match(name):
            norms[name] = array
            plain = {"gamma": 1, "beta": 0}.get(name.rsplit(".", 1)[1])
            if plain is not None and (array != plain).any():
                raise InteropError(f"{full} is not all {plain}: a batch norm with weights of its own, not its: {GIVE}")
        else:
            weights[f"{match[1]}.weight" if (match := _DENSE.match(name)) else name] = array
    return weights, norms


def from_model_zoo(files: Mapping[str, Path], img_size: int = 256) -> Imported:
    """Our parameters from its generators' files, by direction, "a2b" or "b2a", with the options of its training.

    A light generator does not hold the training's size: `img_size` gives it.

    Raises:
        InteropError: a file is none of its, or two do not fit together.
        OptionError: this program does not train such sizes.
    """
    states, unused = {}, []
    for direction, path in files.items():
        network = GENERATORS[direction]
        try:
            states[network], norms = generator_of(read(path), direction)
        except InteropError as error:
            text = str(error)
            raise InteropError(text if text.startswith(str(path)) else f"{path}: {text}") from None
        unused += [
            f"{network}: {name} {array.shape}, of batch norm: instance norm has none" for name, array in norms.items()
        ]
    imported = pytorch.from_pytorch(states, img_size, GIVE)
    options = dataclasses.replace(imported.options, **PRESETS["model_zoo"], sn_iterations="per_step")
    return dataclasses.replace(imported, options=options, unused=imported.unused + unused)


def import_run(files: Mapping[str, Path], out: Path, img_size: int = 256) -> Options:
    """Writes a run with these generators, as `pytorch.save_run`; gives its options.

    Raises:
        InteropError, OptionError: as `from_model_zoo`; or a weight is not finite.
        OSError: the folder cannot be written.
    """
    imported = from_model_zoo(files, img_size)
    try:
        pytorch.save_run(imported, out)
    except NotFiniteError as error:
        raise InteropError(f"{error}: its training diverged: give an earlier file") from None
    return imported.options
