"""Saves a run's options, in its `options.yaml` and its checkpoints, and reads what any version saved."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ugatit_data.files import write_whole
from ugatit_train.options.config import OptionError, Options

OPTIONS_FILE = "options.yaml"
_STARTED = "# Relative paths are relative to the folder in which the run was started: "

# What 0.1 did, option by option. A saved file without an option takes its value from here: today's default may be
# another one. A new option gets the value that means what 0.1 did without it; no value here ever changes.
VALUES_OF_0_1: dict[str, Any] = {
    "dataset": "selfie2anime", "data_path": "", "output_path": "results", "resume": False, "load_path": "",
    "change_batch": False, "phase": "train", "compute_metrics": False, "inception_ckpt_path": "", "eval_outputdir": "",
    "dry_run": False, "enable_modelarts": False, "data_url": "", "train_url": "", "checkpoint_url": "",
    "iteration": None, "epoch": None, "decay_flag": True, "decay_epoch": None, "print_freq": 1000,
    "save_freq": 100000, "eval_freq": None, "tensorboard": False, "keep": 3,
    "batch_size": 1, "lr": 1e-4, "weight_decay": 1e-4, "adv_weight": 1.0, "cycle_weight": 10.0,
    "identity_weight": 10.0, "cam_weight": 1000.0, "use_global_norm": False, "amp": False, "loss_scale": None,
    "update_order": "d_first", "seed": 1,
    "light": False, "ch": 64, "n_res": 4, "n_dis": 6, "img_size": 256, "img_ch": 3, "padding": "reflect",
    "spectral_norm": True, "sn_iterations": "per_step",
    "distributed": False, "device_target": "CPU", "device_id": 0, "recompute": False, "threads": None,
    "compile_cache": "auto", "enable_profiling": False, "save_graphs": False, "graph_path": "graph_path",
    "jit_level": None, "ema": 0.0,
    "precision": "float32",  # with amp float16: see `options_of`
}  # fmt: skip

# These decide the weights or the order of the samples: a resumed run must keep them.
FIXED_ON_RESUME = (
    "seed", "light", "ch", "n_res", "n_dis", "img_size", "img_ch",
    "padding", "spectral_norm", "sn_iterations", "update_order", "amp", "precision", "loss_scale",
)  # fmt: skip

# These concern one start of the program only: the run's file and its checkpoints hold the default.
_ONE_START = ("resume", "load_path", "change_batch", "checkpoint_url", "dry_run", "distributed")


def lasting(options: Options) -> dict[str, Any]:
    """The options as JSON values; those that concern one start only have their defaults."""
    return dataclasses.asdict(options) | {name: getattr(Options, name) for name in _ONE_START}


def save(options: Options, path: Path) -> None:
    """Write every option to a YAML file that `--config` reads back; the file appears complete or not at all.

    Its first line says which folder the relative paths are relative to.
    """
    try:
        here = f"{_STARTED}{json.dumps(os.getcwd())}\n"
    except FileNotFoundError:  # the current folder was removed
        here = ""
    write_whole(path, here + yaml.safe_dump(lasting(options), sort_keys=False))


def started_in(path: Path) -> Path | None:
    """The folder that a run with this `options.yaml` was started in; None where the file does not say it, as in 0.1."""
    try:
        first = path.read_text().partition("\n")[0]
        return Path(json.loads(first.removeprefix(_STARTED))) if first.startswith(_STARTED) else None
    except (OSError, ValueError, TypeError):
        return None


def moved_data(folder: Path, path: Path) -> str:
    """Where the data set `folder` of the run with this `options.yaml` was, if it was relative to another folder.

    In words, to be put behind a message about it; nothing if that is not so.
    """
    before = started_in(path)
    if folder.is_absolute() or before is None or before == Path.cwd():
        return ""
    return f" (the run was started in {before}, and its data set was {before / folder})"


def describe(options: Options) -> str:
    """The resolved options as YAML text, one a line, in the order of the manual."""
    return yaml.safe_dump(dataclasses.asdict(options), sort_keys=False)


def options_of(values: Mapping[str, Any], source: Path) -> Options:
    """The options of a run, from what it saved in the file `source`.

    Raises:
        OptionError: a name or a value that this version does not know.
    """
    check_names(values, source)
    complete = {**VALUES_OF_0_1, **values}
    if complete["amp"] and "precision" not in values:
        complete["precision"] = "float16"
    try:
        return Options(**complete)
    except OptionError as error:
        raise OptionError(f"{source}: {error}") from None


def check_names(values: Mapping[str, Any], source: Path) -> None:
    """Raises OptionError where the file `source` has an option that this version does not know."""
    unknown = [name for name in values if name not in VALUES_OF_0_1]
    if unknown:
        raise OptionError(f"{source}: unknown option {unknown[0]}: use the version of ugatit that wrote it")


def check_kept(options: Options, before: Options, source: Path) -> None:
    """Raises OptionError where `options` change what the run that goes on, or is judged, must keep.

    `before` are the options of the run, from the folder or file `source`.
    """
    goes_on = "--phase test" if options.phase == "test" else "--resume"
    for name in FIXED_ON_RESUME:
        if options.phase == "test" and name in ("amp", "precision"):
            continue  # judged on another device
        was, now = getattr(before, name), getattr(options, name)
        if was != now:
            raise OptionError(
                f"{goes_on}: the run in {source} has {name} {was}, not {now}: "
                f"leave --{name} out, or begin a new run with another --output_path"
            )
