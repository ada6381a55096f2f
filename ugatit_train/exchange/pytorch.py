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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from safetensors import safe_open

from ugatit_data.files import partial_path
from ugatit_train.errors import UgatitError
from ugatit_train.options import config, saved
from ugatit_train.training import checkpoint

GENERATORS = tuple(checkpoint.GENERATORS.values())
DISCRIMINATORS = ("disGA", "disGB", "disLA", "disLB")
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


def _generator_names(n_res: int) -> Iterator[tuple[str, str]]:
    """(our name, theirs) of every parameter; their numbers count all layers of an nn.Sequential."""
    for i in range(3):
        yield f"down{i}.weight", f"DownBlock.{4 * i + 1}.weight"
    for i in range(n_res):
        for j in (1, 2):
            yield f"res.{i}.conv{j}.weight", f"DownBlock.{12 + i}.conv_block.{4 * j - 3}.weight"
            yield f"adares.{i}.conv{j}.weight", f"UpBlock1_{i + 1}.conv{j}.weight"
            yield f"adares.{i}.norm{j}.rho", f"UpBlock1_{i + 1}.norm{j}.rho"
    yield from _cam_names("weight")
    for ours, theirs in {"fc1": "FC.0", "fc2": "FC.2", "gamma": "gamma", "beta": "beta"}.items():
        yield f"{ours}.weight", f"{theirs}.weight"
    for i in range(2):
        yield f"up{i}.conv.weight", f"UpBlock2.{5 * i + 2}.weight"
        for kind in ("rho", "gamma", "beta"):
            yield f"up{i}.norm.{kind}", f"UpBlock2.{5 * i + 3}.{kind}"
    yield "out.weight", "UpBlock2.11.weight"


def _cam_names(weight: str) -> Iterator[tuple[str, str]]:
    for kind in ("gap_fc", "gmp_fc"):
        yield f"cam.{kind}.weight", f"{kind}.{weight}"
    for kind in ("weight", "bias"):
        yield f"cam.conv1x1.{kind}", f"conv1x1.{kind}"


def _discriminator_names(n_layers: int) -> Iterator[tuple[str, str]]:
    spectral = {f"convs.{i}": f"model.{3 * i + 1}" for i in range(n_layers - 1)}
    for ours, theirs in spectral.items():
        yield f"{ours}.bias", f"{theirs}.bias"
    spectral["conv"] = "conv"
    for ours, theirs in spectral.items():
        yield f"{ours}.weight", f"{theirs}.weight_orig"
    yield from _cam_names("weight_orig")
    for ours, theirs in {**spectral, "cam.gap_fc": "gap_fc", "cam.gmp_fc": "gmp_fc"}.items():
        yield f"{ours}.u", f"{theirs}.weight_u"


def _names(network: str, options: config.Options) -> Iterator[tuple[str, str]]:
    if network in GENERATORS:
        return _generator_names(options.n_res)
    return _discriminator_names(options.n_dis + (1 if network.startswith("disG") else -1))


def _shapes(network: str, o: config.Options) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by our names."""
    c = 4 * o.ch
    fixed: dict[str, tuple[int, ...]]
    ends: dict[str, tuple[int, ...]] = {}
    if network in GENERATORS:
        fixed = {
            "down0.weight": (o.ch, o.img_ch, 7, 7),
            "down1.weight": (2 * o.ch, o.ch, 3, 3),
            "down2.weight": (c, 2 * o.ch, 3, 3),
            "fc1.weight": (c, c if o.light else c * math.prod(o.image_size) // 16),
            "up0.conv.weight": (2 * o.ch, c, 3, 3),
            "up1.conv.weight": (o.ch, 2 * o.ch, 3, 3),
            "out.weight": (o.img_ch, o.ch, 7, 7),
        }
        fixed |= {f"up{i}.norm.{kind}": (c // 2 ** (i + 1),) for i in range(2) for kind in ("rho", "gamma", "beta")}
        fixed |= {f"{name}.weight": (c, c) for name in ("fc2", "gamma", "beta")}
        ends = {".rho": (c,), "conv1.weight": (c, c, 3, 3), "conv2.weight": (c, c, 3, 3)}
    else:
        count = o.n_dis if network.startswith("disG") else o.n_dis - 2
        widths = [o.img_ch, *(o.ch * 2**i for i in range(count))]
        c = widths[-1]
        fixed = {"conv.weight": (1, c, 4, 4), "conv.u": (1,), "cam.gap_fc.u": (1,), "cam.gmp_fc.u": (1,)}
        for i in range(count):
            fixed |= {f"convs.{i}.weight": (widths[i + 1], widths[i], 4, 4)}
            fixed |= {f"convs.{i}.{kind}": (widths[i + 1],) for kind in ("bias", "u")}
    fixed |= {"cam.gap_fc.weight": (1, c), "cam.gmp_fc.weight": (1, c)}
    fixed |= {"cam.conv1x1.weight": (c, 2 * c, 1, 1), "cam.conv1x1.bias": (c,)}
    return {
        name: fixed[name] if name in fixed else next(shape for end, shape in ends.items() if name.endswith(end))
        for name, _ in _names(network, o)
    }


def options_of(states: States, img_size: int) -> config.Options:
    """The options of the networks in a file; a light generator does not hold the training's size, `img_size` gives it.

    Raises:
        InteropError: the file has no generator.
        OptionError: this program does not train such sizes.
    """
    state = next((states[name] for name in GENERATORS if name in states), None)
    if not state or "DownBlock.1.weight" not in state or "FC.0.weight" not in state:
        found = ", ".join(map(str, list(states)[:4])) or "nothing"
        raise InteropError(f"holds {found}, not genA2B or genB2A of the PyTorch implementation: give its params_*.pt")
    for name, axes in {"DownBlock.1.weight": 4, "FC.0.weight": 2}.items():
        if state[name].ndim != axes:
            raise InteropError(f"{name} has shape {state[name].shape}, not {axes} axes: other networks")
    ch, img_ch = state["DownBlock.1.weight"].shape[:2]
    features = state["FC.0.weight"].shape[1]
    light = features == 4 * ch
    side = img_size if light else 4 * math.isqrt(features // (4 * ch))
    sizes = [_n_dis(name, states[name]) for name in DISCRIMINATORS if name in states]
    if len(set(sizes)) > 1:
        raise InteropError(f"holds discriminators of n_dis {sizes}, which do not belong together")
    fitting = [n_dis for n_dis in (4, 5, 6) if config.smallest_image(n_dis + 1) <= side]
    return config.Options(
        light=light,
        ch=ch,
        img_ch=cast(Literal[3, 1], img_ch),  # Options refuses others
        n_res=len({name.split(".")[0] for name in state if name.startswith("UpBlock1_")}),
        img_size=side,
        n_dis=(sizes or fitting or [4])[-1],
        sn_iterations="per_pass",
    )


def _n_dis(network: str, state: Mapping[str, np.ndarray]) -> int:
    convolutions = sum(name.startswith("model.") and name.endswith("weight_orig") for name in state)
    return convolutions if network.startswith("disG") else convolutions + 2


def from_pytorch(states: States, img_size: int = 256) -> Imported:
    """Our parameters from the state_dicts of a file.

    Raises:
        InteropError: a parameter is missing or has another shape.
        OptionError: this program does not train such sizes.
    """
    options = options_of(states, img_size)
    parameters, taken, unused = {}, [], [f"{name}: no network of ours" for name in states if name not in _all()]
    for network in (name for name in _all() if name in states):
        left, shapes = dict(states[network]), _shapes(network, options)
        for ours, theirs in _names(network, options):
            if theirs not in left:
                raise InteropError(f"{network} has no {theirs}: it is of another implementation, or damaged")
            array = left.pop(theirs)
            if array.size != math.prod(shapes[ours]) or array.squeeze().shape != np.empty(shapes[ours]).squeeze().shape:
                raise InteropError(f"{network}: {theirs} has shape {array.shape}, not {shapes[ours]}: other networks")
            parameters[f"{network}.{ours}"] = array.reshape(shapes[ours])
            taken.append(f"{network}: {theirs} {array.shape} -> {ours} {shapes[ours]}")
        unused += [
            f"{network}: {name} {np.shape(array)}" + (", which follows from u" if name.endswith("weight_v") else "")
            for name, array in left.items()
        ]
    return Imported(parameters=parameters, options=options, taken=taken, unused=unused)


def _all() -> tuple[str, ...]:
    return GENERATORS + DISCRIMINATORS


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
        missing = [name for name in _all() if not any(key.startswith(f"{name}.") for key in held)]
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


def to_pytorch(folder: Path) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """The state_dicts of a run's newest good checkpoint, or of one checkpoint; and a line for all that is left out.

    Raises:
        CheckpointError: there is no good checkpoint.
        InteropError: the PyTorch implementation does not have such networks.
    """
    found, meta = checkpoint.find(folder)
    options = checkpoint.run_options(found, meta)
    if options.padding != "reflect":
        raise InteropError(f"{found}: trained with --padding {options.padding}: the PyTorch implementation reflects")
    notes = [f"{names}: state of the training" for names in ("adam_m.*, adam_v.*, step",)]
    arrays: dict[str, np.ndarray] = {}
    for name in meta["files"]:
        with safe_open(found / name, framework="np") as file:
            arrays |= {key: file.get_tensor(key) for key in file.keys() if key.split(".")[0] in _all()}  # noqa: SIM118
    states: dict[str, dict[str, np.ndarray]] = {}
    for network in _all():
        if not any(name.startswith(f"{network}.") for name in arrays):
            notes.append(f"{network}: the checkpoint has none")
        elif network in DISCRIMINATORS and not options.spectral_norm:
            notes.append(f"{network}: trained with --spectral_norm false, the PyTorch implementation has it")
        else:
            states[network] = _state(network, options, arrays)
    return states, notes


def _state(network: str, options: config.Options, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    state = {}
    for ours, theirs in _names(network, options):
        array = arrays[f"{network}.{ours}"]
        is_norm = network in GENERATORS and array.ndim == 1 and ours.split(".")[-1] != "bias"
        state[theirs] = array.reshape(1, -1, 1, 1) if is_norm else array
    for name in [name for name in state if name.endswith("weight_u")]:
        weight = state[name.replace("_u", "_orig")]
        v = weight.reshape(weight.shape[0], -1).T @ state[name]
        state[name.replace("_u", "_v")] = v / max(np.linalg.norm(v), 1e-12)
    return state


def readable(arrays: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The networks in what `torchfile.read` gave: dictionaries of arrays. Raises InteropError if it is none."""
    if not isinstance(arrays, dict):
        raise InteropError(f"holds a {type(arrays).__name__}, not a dictionary of networks: give its params_*.pt")
    return {
        str(name): {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        for name, state in arrays.items()
        if isinstance(state, dict)
    }
