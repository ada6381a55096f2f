"""Checkpoints of the PyTorch implementation of U-GAT-IT (github.com/znxlwm/UGATIT-pytorch) to ours, and back.

Its file is a dictionary of six state_dicts, named as our networks. Weights have our shapes and orders; only the norms'
rho, gamma and beta are (1, C, 1, 1) there. Full generators flatten their map as C x H x W on both sides. Of spectral
norm, both sides keep the raw weight and u; v follows from these.

In the first commits of that implementation AdaLIN used the variance of variances: checkpoints of that time give other
pictures here. All arrays are NumPy's; nothing here needs MindSpore or PyTorch.
"""

import dataclasses
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from safetensors import safe_open

from ugatit_data.files import partial_path
from ugatit_train.errors import UgatitError
from ugatit_train.exchange import layout, statedict
from ugatit_train.inference.generator import choose
from ugatit_train.options import config, saved
from ugatit_train.training import checkpoint

SIGN = "DownBlock.1.weight"  # only a generator has it
GIVE = "give a params_*.pt of znxlwm/UGATIT-pytorch"
REPORT_FILE = "import.txt"  # in the run's folder: what became of every array of the file
States = Mapping[str, Mapping[str, np.ndarray]]


class InteropError(UgatitError):
    """A file that is no checkpoint of the PyTorch implementation, or a run that has no equal there."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imported:
    """Our parameters by name, the options that fit them, and a line for every array of the file."""

    parameters: dict[str, np.ndarray]
    options: config.Options
    taken: list[str]
    unused: list[str]


def options_of(states: States, img_size: int, give: str = GIVE) -> config.Options:
    """The options of the networks in a file; a light generator does not hold the training's size, `img_size` gives it.
    `give` ends the messages: which file to give.

    Raises:
        InteropError: the file has no generator.
        OptionError: this program does not train such sizes.
    """
    state = next((states[name] for name in layout.GENERATORS if name in states), None)
    if state is None:
        raise InteropError(f"holds {', '.join(list(states)[:4])}, not genA2B or genB2A, a generator: {give}")
    for name, axes in {SIGN: 4, "FC.0.weight": 2}.items():
        if name not in state:
            raise InteropError(f"its generator has no {name}: it is of another implementation, or damaged: {give}")
        if state[name].ndim != axes or not state[name].size:
            raise InteropError(f"{name} has shape {state[name].shape}, not {axes} axes: other networks: {give}")
    ch, img_ch = state[SIGN].shape[:2]
    features = state["FC.0.weight"].shape[1]
    light = features == 4 * ch
    side = img_size if light else 4 * math.isqrt(features // (4 * ch))
    sizes = [_n_dis(name, states[name]) for name in layout.DISCRIMINATORS if name in states]
    if len(set(sizes)) > 1:
        raise InteropError(f"holds discriminators of n_dis {sizes}, which do not belong together: {give}")
    fitting = [n_dis for n_dis in (4, 5, 6) if config.smallest_image(n_dis + 1) <= side]
    try:
        return config.Options(
            light=light,
            ch=ch,
            img_ch=cast(Literal[3, 1], img_ch),  # Options refuses others
            n_res=len({name.split(".")[0] for name in state if name.startswith("UpBlock1_")}),
            img_size=side,
            n_dis=(sizes or fitting or [4])[-1],
            sn_iterations="per_pass",
        )
    except config.OptionError as error:
        if light and "--img_size" in str(error):  # which is the user's
            raise
        raise InteropError(f"this program has no such networks ({error}): {give}") from None


def _n_dis(network: str, state: Mapping[str, np.ndarray]) -> int:
    convolutions = sum(name.startswith("model.") and name.endswith("weight_orig") for name in state)
    return convolutions if network.startswith("disG") else convolutions + 2


def from_pytorch(states: States, img_size: int = 256, give: str = GIVE) -> Imported:
    """Our parameters from the state_dicts of a file; `give` ends the messages: which file to give.

    Raises:
        InteropError: a parameter is missing or has another shape.
        OptionError: this program does not train such sizes.
    """
    options = options_of(states, img_size, give)
    parameters: dict[str, np.ndarray] = {}
    taken: list[str] = []
    unused = [f"{name}: no network of ours" for name in states if name not in layout.NETWORKS]
    for network in (name for name in layout.NETWORKS if name in states):
        left, shapes = dict(states[network]), layout.shapes(network, options)
        for ours, theirs in layout.names(network, options):
            if theirs not in left:
                raise InteropError(f"{network} has no {theirs}: it is of another implementation, or damaged: {give}")
            array = left.pop(theirs)
            if array.dtype != np.float32:
                raise InteropError(f"{network}: {theirs} holds {array.dtype}, no real numbers: {give}")
            if array.size != math.prod(shapes[ours]) or array.squeeze().shape != np.empty(shapes[ours]).squeeze().shape:
                shape = f"{network}: {theirs} has shape {array.shape}, not {shapes[ours]}"
                raise InteropError(f"{shape}: other networks: {give}")
            parameters[f"{network}.{ours}"] = array.reshape(shapes[ours])
            taken.append(f"{network}: {theirs} {array.shape} -> {ours} {shapes[ours]}")
        unused += [
            f"{network}: {name} {np.shape(array)}" + (", which follows from u" if name.endswith("weight_v") else "")
            for name, array in left.items()
        ]
    return Imported(parameters=parameters, options=options, taken=taken, unused=unused)


@dataclasses.dataclass(frozen=True)
class _Held:
    """An array with what `checkpoint.save` uses of a Parameter."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def asnumpy(self) -> np.ndarray:
        return self.array


def save_run(imported: Imported, out: Path, dataset_id: str | None = None) -> None:
    """Writes a run's folder with a checkpoint of step 0 and `REPORT_FILE`; it appears complete or not at all.

    With a data set's id the training can go on from it. Adam's moments, which the file does not have, are then zeros,
    as at the start of a training.

    Raises:
        InteropError: discriminators are missing, and the training is to go on.
        OSError: the folder cannot be written.
    """
    held = dict(imported.parameters)
    if dataset_id is not None:
        missing = [name for name in layout.NETWORKS if not any(key.startswith(f"{name}.") for key in held)]
        if missing:
            raise InteropError(f"holds no {missing[0]}: without --data_path it is imported for translation")
        trained = [name for name in held if not name.endswith(".u")]
        for kind in ("adam_m", "adam_v"):
            held |= {f"{kind}.{name}": np.broadcast_to(np.float32(0), held[name].shape) for name in trained}
        held["step"] = np.array(0, np.int32)
    batch = imported.options.batch_size
    data = {"dataset_id": dataset_id or "no data set", "global_batch": batch, "step": 0, "seed": imported.options.seed}
    meta = {"step": 0, "data": data, "options": saved.lasting(imported.options)}
    report = [*imported.taken, *(f"not used: {line}" for line in imported.unused)]
    partial = partial_path(out)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        checkpoint.save(partial / "checkpoints", {name: _Held(array) for name, array in held.items()}, meta, keep=1)
        saved.save(imported.options, partial / saved.OPTIONS_FILE)
        (partial / REPORT_FILE).write_text("".join(f"{line}\n" for line in report))
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def to_pytorch(folder: Path, weights: str | None = None) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """The state_dicts of a run's newest good checkpoint, or of one checkpoint; and a line for all that is left out.

    `weights` are the generators', "ema" or "raw"; if not given, the average where there is one.

    Raises:
        CheckpointError: there is no good checkpoint, or it holds no averages and they are wanted.
        InteropError: the PyTorch implementation does not have such networks.
    """
    found, meta = checkpoint.find(folder)
    options = checkpoint.run_options(found, meta)
    if options.padding != "reflect":
        raise InteropError(f"{found}: trained with --padding {options.padding}: the PyTorch implementation reflects")
    averaged = choose(found, meta, weights) == checkpoint.EMA
    notes = [f"{names}: state of the training" for names in ("adam_m.*, adam_v.*, step",)]
    if checkpoint.holds_averages(meta):
        notes.append(f"genA2B, genB2A: {'the weights as they are' if averaged else 'the averages'}")
    arrays: dict[str, np.ndarray] = {}
    averages: dict[str, np.ndarray] = {}
    for name in meta["files"]:
        with safe_open(found / name, framework="np") as file:
            for key in file.keys():  # noqa: SIM118
                kind, _, own = key.partition(".")
                if kind in layout.NETWORKS:
                    arrays[key] = file.get_tensor(key)
                elif kind == checkpoint.EMA and averaged:
                    averages[own] = file.get_tensor(key)
    arrays |= averages
    states: dict[str, dict[str, np.ndarray]] = {}
    for network in layout.NETWORKS:
        if not any(name.startswith(f"{network}.") for name in arrays):
            notes.append(f"{network}: the checkpoint has none")
        elif network in layout.DISCRIMINATORS and not options.spectral_norm:
            notes.append(f"{network}: trained with --spectral_norm false, the PyTorch implementation has it")
        else:
            states[network] = _state(network, options, arrays)
    return states, notes


def _state(network: str, options: config.Options, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    state = {}
    for ours, theirs in layout.names(network, options):
        array = arrays[f"{network}.{ours}"]
        is_norm = network in layout.GENERATORS and array.ndim == 1 and ours.split(".")[-1] != "bias"
        state[theirs] = array.reshape(1, -1, 1, 1) if is_norm else array
    for name in [name for name in state if name.endswith("weight_u")]:
        weight = state[name.replace("_u", "_orig")]
        v = weight.reshape(weight.shape[0], -1).T @ state[name]
        state[name.replace("_u", "_v")] = v / max(np.linalg.norm(v), 1e-12)
    return state


def readable(value: Any, direction: str | None = None) -> dict[str, dict[str, np.ndarray]]:
    """The networks in what `torchfile.read` gave, whatever a training program has put around them.

    `direction` is that of a file that holds one generator without a name, "a2b" or "b2a".

    Raises:
        InteropError: it holds no networks of ours, or more than one set; or `direction` is missing, or not wanted.
    """
    found = statedict.networks(value, layout.NETWORKS, SIGN)
    if not found:
        names = ", ".join(map(str, list(value)[:4])) if isinstance(value, dict) else f"a {type(value).__name__}"
        raise InteropError(f"holds {names or 'nothing'}, no networks of the PyTorch implementation: {GIVE}")
    if len(found) > 1:
        places = " and in ".join(where for where, _ in found)
        raise InteropError(f"holds networks in {places}: save the dictionary of one of them in a file of its own")
    [(_, states)] = found
    if ("" in states) != (direction is not None):
        if direction:
            raise InteropError(
                f"holds {', '.join(states)}: --direction is for one generator without a name: leave it out"
            )
        raise InteropError("holds one generator, without a name: give --direction a2b or b2a")
    return {checkpoint.GENERATORS[direction]: states[""]} if direction else states
