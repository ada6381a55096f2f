"""Checkpoints: the whole state of a training as one folder, `checkpoints/step-00000100/`, which a rename commits.

The best one, `checkpoints/best-00000100/` (`best.py`), is such a folder too, and as good to go on from.

genA2B.safetensors, genB2A.safetensors   the generators' weights, all that translation needs
training.safetensors                     the rest of `Step.state()`: discriminators, vectors, moments, step
checkpoint.json                          step, data position, options, SHA-256 and size of each file, own digest
"""

import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ugatit_data.files import canonical, fsync, sha256_file, sha256_hex, stands_in
from ugatit_train.errors import UgatitError
from ugatit_train.forms import Forms
from ugatit_train.options import saved
from ugatit_train.options.config import Options
from ugatit_train.training import tensorfile

# Every version up to this one is read, for ever. The number rises only when an older program could not read the file:
# a new option or a new kind of loss is no reason.
FORMAT_VERSION = 1
META_FILE = "checkpoint.json"
TRAINING_FILE = "training.safetensors"
GENERATORS = {"a2b": "genA2B", "b2a": "genB2A"}

_log = logging.getLogger(__name__)


class CheckpointError(UgatitError):
    """A checkpoint that is missing, damaged, of another version or of other networks."""

    exit_code = 2


class NewerCheckpointError(CheckpointError):
    """A checkpoint that a later version of ugatit wrote."""


class NotFiniteError(UgatitError):
    """A weight or moment to be saved is NaN or infinite."""

    exit_code = 2


def _file_of(parameter_name: str) -> str:
    network = parameter_name.split(".")[0]
    return f"{network}.safetensors" if network in GENERATORS.values() else TRAINING_FILE


def save(folder: Path, parameters: Mapping[str, Any], meta: Mapping[str, Any], keep: int) -> Path:
    """Commits the checkpoint of `meta["step"]`, removes all but the newest `keep`, and gives its folder.

    Args:
        folder: the run's `checkpoints` folder; it is made if need be.
        parameters: name -> MindSpore Parameter, float32 or int32: what `Step.state()` gives.
        meta: JSON values: step, data (the loader's state), options.

    Raises:
        OSError: the disk is full or not writable; the older checkpoints stay as they were.
        NotFiniteError: a value is NaN or infinite; likewise.
    """
    final = commit(folder / f"step-{meta['step']:08d}", parameters, meta)
    for old in committed(folder, "step")[:-keep]:
        remove(old)
    return final


def commit(final: Path, parameters: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """Writes the checkpoint `final`, whole or not at all, and gives it; arguments and errors as those of `save`."""
    folder = final.parent
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    partial = final.with_name(final.name + ".partial")
    partial.mkdir()
    try:
        _write(partial, parameters, meta)
    except (OSError, NotFiniteError):
        shutil.rmtree(partial, ignore_errors=True)  # a full disk needs the room
        raise
    if final.exists():  # a run that went on from an older checkpoint does this step again
        remove(final)
    partial.rename(final)
    fsync(folder)
    return final


def _write(folder: Path, parameters: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    files = {}
    for file_name in sorted({_file_of(name) for name in parameters}):
        shapes = {
            name: (tuple(p.shape), str(p.dtype).lower())
            for name, p in parameters.items()
            if _file_of(name) == file_name
        }
        path = folder / file_name
        digest = tensorfile.write(path, shapes, lambda name: _finite(name, parameters[name].asnumpy()))
        files[file_name] = {"bytes": path.stat().st_size, "sha256": digest}
    body = {"format_version": FORMAT_VERSION, **meta, "files": files}
    body["digest"] = sha256_hex(canonical(body))
    (folder / META_FILE).write_text(json.dumps(body, indent=1, sort_keys=True))
    fsync(folder / META_FILE)
    fsync(folder)


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise NotFiniteError(f"{name} holds a value that is not finite")
    return array


def remove(checkpoint: Path) -> None:
    """Renames it first: a kill half way leaves no folder that looks like a checkpoint."""
    doomed = checkpoint.with_name(checkpoint.name + ".removed")
    checkpoint.rename(doomed)
    shutil.rmtree(doomed)


def _sweep(folder: Path) -> None:
    """Removes what a killed run left. Nothing reads these names."""
    for pattern in ("*.partial", "*.removed"):
        for left in folder.glob(pattern):
            shutil.rmtree(left)


def committed(folder: Path, kind: str = "*") -> list[Path]:
    """The checkpoints, oldest first: all of them, or those of a kind, "step" or "best"."""
    found = [path for path in folder.glob(f"{kind}-*") if re.fullmatch(r"(step|best)-\d+", path.name)]
    return sorted(found, key=lambda path: (int(path.name[5:]), path.name))


def read_meta(checkpoint: Path) -> dict[str, Any]:
    """The checked `checkpoint.json`, of any version up to this one's.

    Raises:
        NewerCheckpointError: a later version wrote it.
        CheckpointError: it is missing or damaged.
    """
    path = checkpoint / META_FILE
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}: give another checkpoint") from None
    except ValueError:
        raise CheckpointError(f"{path}: damaged (no JSON): give another checkpoint") from None
    if not isinstance(body, dict) or body.get("digest") != sha256_hex(
        canonical({name: value for name, value in body.items() if name != "digest"})
    ):
        raise CheckpointError(f"{path}: damaged (its digest does not match): give another checkpoint")
    version = body.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise NewerCheckpointError(
            f"{path}: format version {version}, this program reads {FORMAT_VERSION}: "
            "use the version of ugatit that wrote it"
        )
    if odd := _odd_fields(body):
        raise CheckpointError(f"{path}: {odd[0]} is missing or not as this program writes it: give another checkpoint")
    return body


def _odd_fields(body: Mapping[str, Any]) -> list[str]:
    """Which parts of a `checkpoint.json` are missing or of another type: a digest says nothing of that."""
    kinds = {"format_version": int, "step": int, "data": dict, "options": dict, "files": dict}
    return [name for name, kind in kinds.items() if type(body.get(name)) is not kind] or [
        name
        for name, file in body["files"].items()
        if Path(name).name != name or type(file) is not dict or not {"bytes", "sha256"} <= file.keys()
    ]


def run_options(checkpoint: Path, meta: Mapping[str, Any]) -> Options:
    """The options of the run that wrote a checkpoint, by its meta. Raises OptionError: it has one that is not known."""
    return saved.options_of(meta["options"], checkpoint / META_FILE)


def _check_file(checkpoint: Path, name: str, meta: Mapping[str, Any]) -> None:
    path, expected = checkpoint / name, meta["files"][name]
    try:
        size, found = path.stat().st_size, sha256_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}: give another checkpoint") from None
    if size != expected["bytes"] or found != expected["sha256"]:
        if words := stands_in(path):
            raise CheckpointError(f"{path}: is {words}")
        raise CheckpointError(
            f"{path}: damaged: {size} bytes, sha256 {found[:12]}..., written were {expected['bytes']} bytes, "
            f"{expected['sha256'][:12]}...: give another checkpoint"
        )


def latest_good(
    folder: Path, remedy: str = "begin a new run with another --output_path"
) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint whose every byte is as written, and its meta; the log names damaged newer ones.

    Raises:
        NewerCheckpointError: a later version of ugatit wrote the newest one: going on from an older one would lose it.
        CheckpointError: there is none; the message ends with `remedy`.
    """
    found = committed(folder)
    for checkpoint in reversed(found):
        try:
            meta = read_meta(checkpoint)
            for name in meta["files"]:
                _check_file(checkpoint, name, meta)
        except NewerCheckpointError:
            raise
        except CheckpointError as error:
            _log.warning("%s. Trying the one before.", error)
        else:
            return checkpoint, meta
    problem = "every checkpoint is damaged" if found else "no checkpoint yet"
    raise CheckpointError(f"{folder}: {problem}: {remedy}")


def find(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest good checkpoint of a run's folder, or the one whose folder this is; and its meta.

    Raises:
        CheckpointError: there is no good one.
    """
    if not (folder / META_FILE).exists():
        return latest_good(folder / "checkpoints", "give the folder of a run that has saved one")
    meta = read_meta(folder)
    for name in meta["files"]:
        _check_file(folder, name, meta)
    return folder, meta


def load(checkpoint: Path, meta: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Sets every parameter from a checkpoint that `latest_good` has checked; the names on both sides must be the same.

    Raises:
        CheckpointError: it holds other parameters: other networks wrote it.
    """
    for file_name in meta["files"]:
        _load_file(checkpoint / file_name, {n: p for n, p in parameters.items() if _file_of(n) == file_name})


def _load_file(path: Path, parameters: Mapping[str, Any]) -> None:
    from mindspore import Tensor

    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            if names != set(parameters):
                odd = sorted(names ^ set(parameters))
                raise CheckpointError(f"{path}: of other networks: {odd[0]} and {len(odd) - 1} more differ")
            for name, parameter in parameters.items():
                array = file.get_tensor(name)
                if array.shape != tuple(parameter.shape):
                    raise CheckpointError(
                        f"{path}: of other networks: {name} has shape {array.shape}, not {tuple(parameter.shape)}"
                    )
                parameter.set_data(Tensor.from_numpy(array))  # no copy: `array` becomes the parameter's memory
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged ({error}): give another checkpoint") from None


def load_generator(folder: Path, direction: str, forms: Forms) -> tuple[Any, Options]:
    """A trained generator, "a2b" or "b2a", and the options of its run.

    Args:
        folder: a run's folder (the newest good checkpoint is taken) or one checkpoint's.
        forms: of its operators; `form_for` knows those for a device.

    Raises:
        CheckpointError: there is no good checkpoint.
        OptionError: its run had an option that this version does not know.
    """
    from ugatit_train.networks.ugatit import Generator

    checkpoint, meta = find(folder)
    o = options = run_options(checkpoint, meta)
    generator = Generator(forms, o.ch, o.n_res, o.image_size[0], o.img_ch, o.light, o.padding)
    prefix = GENERATORS[direction]
    if f"{prefix}.safetensors" not in meta["files"]:
        raise CheckpointError(f"{checkpoint}: holds no {prefix}: give the other --direction")
    parameters = {f"{prefix}.{name}": p for name, p in generator.parameters_and_names()}
    _load_file(checkpoint / f"{prefix}.safetensors", parameters)
    return generator, options


def bytes_of(parameters: Mapping[str, Any]) -> int:
    """About how large a checkpoint of these float32 parameters is."""
    return sum(4 * int(np.prod(p.shape, dtype=np.int64)) for p in parameters.values())
