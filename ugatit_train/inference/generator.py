"""A trained generator out of a checkpoint: its network, with its weights or with their average."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_safetensors

from ugatit_train.forms import Forms
from ugatit_train.options.config import Options
from ugatit_train.training.checkpoint import (
    EMA,
    GENERATORS,
    CheckpointError,
    averages_file,
    find,
    holds_averages,
    load_file,
    run_options,
)

if TYPE_CHECKING:
    from ugatit_train.networks.ugatit import Generator

RAW = "raw"
WEIGHTS = (EMA, RAW)  # the average of a generator's weights over the training's updates, and the weights themselves
WEIGHTS_HELP = "ema: the average that a run with --ema keeps of its weights; raw: the weights; by default ema if there"


def load_generator(
    folder: Path, direction: str, forms: Forms, weights: str | None = None
) -> tuple["Generator", Options, str]:
    """A trained generator, "a2b" or "b2a", the options of its run, and which of `WEIGHTS` it has.

    Args:
        folder: a run's folder (the newest good checkpoint is taken) or one checkpoint's.
        forms: of its operators; `form_for` knows those for a device.
        weights: which of `WEIGHTS` are wanted; if not given, the average where there is one.

    Raises:
        CheckpointError: there is no good checkpoint, or it holds no averages and they are wanted.
        OptionError: its run had an option that this version does not know.
    """
    from ugatit_train.networks.ugatit import Generator

    checkpoint, options, taken = _find(folder, direction, weights)
    o, prefix = options, GENERATORS[direction]
    generator = Generator(forms, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding)
    parameters = {f"{prefix}.{name}": p for name, p in generator.parameters_and_names()}
    load_file(checkpoint / f"{prefix}.safetensors", parameters)
    if taken == EMA:  # of all that is trained
        averaged = {f"{EMA}.{name}": p for name, p in parameters.items() if p.requires_grad}
        load_file(checkpoint / averages_file(prefix), averaged)
    return generator, options, taken


def load_arrays(folder: Path, direction: str, weights: str | None = None) -> tuple[dict[str, np.ndarray], Options, str]:
    """The same with the generator's parameters by their names in it ("down0.weight"), float32; without MindSpore.

    Raises as `load_generator`.
    """
    checkpoint, options, taken = _find(folder, direction, weights)
    prefix = GENERATORS[direction]
    arrays = _arrays(checkpoint / f"{prefix}.safetensors", f"{prefix}.")
    if taken == EMA:
        averages = _arrays(file := checkpoint / averages_file(prefix), f"{EMA}.{prefix}.")
        if apart := sorted(averages.keys() ^ arrays.keys()):
            raise CheckpointError(
                f"{file}: of other networks than the weights beside it ({apart[0]}): give another checkpoint"
            )
        arrays = averages
    return arrays, options, taken


def _arrays(file: Path, prefix: str) -> dict[str, np.ndarray]:
    try:
        return {name.removeprefix(prefix): array for name, array in load_safetensors(file).items()}
    except SafetensorError as error:
        raise CheckpointError(f"{file}: damaged ({error}): give another checkpoint") from None


def _find(folder: Path, direction: str, weights: str | None) -> tuple[Path, Options, str]:
    """A good checkpoint with this generator, the options of its run, and which of `WEIGHTS` to take."""
    checkpoint, meta = find(folder)
    taken = choose(checkpoint, meta, weights)
    options = run_options(checkpoint, meta)
    prefix = GENERATORS[direction]
    if direction not in directions(meta):
        raise CheckpointError(f"{checkpoint}: holds no {prefix}: give the other --direction")
    return checkpoint, options, taken


def directions(meta: Mapping[str, Any]) -> list[str]:
    """Those of "a2b" and "b2a" whose generators a checkpoint with this meta holds."""
    return [direction for direction, name in GENERATORS.items() if f"{name}.safetensors" in meta["files"]]


def choose(checkpoint: Path, meta: Mapping[str, Any], weights: str | None) -> str:
    """Which of `WEIGHTS` to take from a checkpoint with this meta, if `weights` are wanted.

    Raises:
        CheckpointError: it holds no averages and they are wanted.
    """
    if weights not in (None, *WEIGHTS):
        raise CheckpointError(f"weights {weights}: give {EMA} or {RAW}")
    if weights == EMA and not holds_averages(meta):
        raise CheckpointError(
            f"{checkpoint}: holds no averages, for its run has no --ema: give --weights {RAW}, or leave --weights out"
        )
    return weights or (EMA if holds_averages(meta) else RAW)


def said_of(taken: str, asked: str | None) -> list[str]:
    """Which of `WEIGHTS` were taken, as a line to print; no line where a run has one kind only and nobody asked."""
    kinds = {EMA: "the average of the run's weights", RAW: "the run's weights, no average"}
    return [f"weights: {taken}, {kinds[taken]}"] if asked or taken == EMA else []
