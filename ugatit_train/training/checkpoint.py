"""Checkpoints: the whole state of a training as one folder, `checkpoints/step-00000100/`, which a rename commits.

The best one, `checkpoints/best-00000100/` (`best.py`), is such a folder too, and as good to go on from.

genA2B.safetensors, genB2A.safetensors   the generators' weights, all that translation needs
genA2B.ema..., genB2A.ema.safetensors    their averages, if the run has any
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

from ugatit_data.files import canonical, fsync, partial_path, sha256_file, sha256_hex, stands_in
from ugatit_train.errors import UgatitError
from ugatit_train.options import saved
from ugatit_train.options.config import Options
from ugatit_train.training import tensorfile

# Every version up to this one is read, for ever. The number rises only when an older program could not read the file:
# a new option or a new kind of loss is no reason.
FORMAT_VERSION = 1
META_FILE = "checkpoint.json"
TRAINING_FILE = "training.safetensors"
GENERATORS = {"a2b": "genA2B", "b2a": "genB2A"}
EMA = "ema"  # an average's name begins so

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
    network, _, rest = parameter_name.partition(".")
    if network == EMA:
        return averages_file(rest.partition(".")[0])
    return f"{network}.safetensors" if network in GENERATORS.values() else TRAINING_FILE


def averages_file(network: str) -> str:
    """The name of the file with the averages of a generator's weights."""
    return f"{network}.{EMA}.safetensors"


def holds_averages(meta: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with this meta holds averages of its generators' weights."""
    return any(averages_file(network) in meta["files"] for network in GENERATORS.values())


def save(folder: Path, parameters: Mapping[str, Any], meta: Mapping[str, Any], keep: int) -> Path:
    """Commits the checkpoint of `meta["step"]`, removes all but the newest `keep`, and gives its folder.

    The new one stays, also where damaged ones of later steps lie, from which the run could not go on.

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
        if old != final:
            remove(old)
    return final


def commit(final: Path, parameters: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """Writes the checkpoint `final`, whole or not at all, and gives it; arguments and errors as those of `save`."""
    folder = final.parent
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    partial = partial_path(final)
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

    But for averages: those that only one side has are left as they are.

    Raises:
        CheckpointError: it holds other parameters: other networks wrote it.
    """
    averages = [averages_file(network) for network in GENERATORS.values()]
    for file_name in meta["files"]:
        wanted = {n: p for n, p in parameters.items() if _file_of(n) == file_name}
        if wanted or file_name not in averages:
            load_file(checkpoint / file_name, wanted)


def load_file(path: Path, parameters: Mapping[str, Any]) -> None:
    """Sets the parameters from a checked file of a checkpoint, which must hold just these names.

    Raises:
        CheckpointError: it holds others, or of other shapes.
    """
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


def bytes_of(parameters: Mapping[str, Any]) -> int:
    """About how large a checkpoint of these float32 parameters is."""
    return sum(4 * int(np.prod(p.shape, dtype=np.int64)) for p in parameters.values())
