"""The options of a training run: their names (the seed's), types, ranges and defaults, and how they are read.

Precedence, lowest first: the defaults below, the run's own `options.yaml` (only with `--resume`), the file given
with `--config`, the command line. Nothing here imports MindSpore: bad input is reported within a second.
"""

import argparse
import dataclasses
import difflib
import math
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

OPTIONS_FILE = "options.yaml"


class OptionError(ValueError):
    """An option, or the file or folder that it names, cannot be used; the message is one line and names the remedy."""


def _option(default: Any, help: str, *, least: float | None = None, above: float | None = None) -> Any:
    """A field with its manual text and its range: at `least` (inclusive), or `above` (exclusive)."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "above": above})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides a training run.

    Raises:
        OptionError: a value out of its range, or two values that contradict each other.
    """

    # where from, where to
    dataset: str = _option("selfie2anime", "name of a converted data set in the folder ./dataset; see --data_path")
    data_path: str = _option("", "path of a converted data set (the folder with dataset.json); beats --dataset")
    output_path: str = _option("results", "folder of the run: options, checkpoints, metrics, sample pictures")
    resume: bool = _option(False, "go on from the last checkpoint in --output_path, with the options saved there")
    dry_run: bool = _option(False, "check everything, print the resolved options and stop before training")

    # how long, how often
    iteration: int | None = _option(None, "length of the run in steps; 1000000 if --epoch is not given either", least=1)
    epoch: int | None = _option(None, "length of the run in passes of the larger domain, instead of steps", least=1)
    decay_flag: bool = _option(True, "let the learning rate fall linearly to 0 in the last part of the run")
    decay_epoch: int | None = _option(None, "passes before the fall begins; half of the run if not given", least=0)
    print_freq: int | str = _option(1000, "steps between two sample pictures; with the suffix e, passes: 1e, 5e")
    save_freq: int | str = _option(100000, "steps between two checkpoints; with the suffix e, passes: 1e, 5e")
    keep: int = _option(3, "checkpoints kept, the newest ones", least=1)

    # numbers of the training
    batch_size: int = _option(1, "images of each domain in a step, per device", least=1)
    lr: float = _option(1e-4, "learning rate of Adam(0.5, 0.999)", above=0)
    weight_decay: float = _option(1e-4, "weight decay, added to the gradient", least=0)
    adv_weight: float = _option(1.0, "weight of the adversarial loss", least=0)
    cycle_weight: float = _option(10.0, "weight of the cycle loss", least=0)
    identity_weight: float = _option(10.0, "weight of the identity loss", least=0)
    cam_weight: float = _option(1000.0, "weight of the CAM loss", least=0)
    use_global_norm: bool = _option(False, "clip the gradients of each optimizer to a global norm of 1")
    update_order: Literal["d_first", "g_first"] = _option("d_first", "which is updated first: d_first is the paper's")
    seed: int = _option(1, "seed of weights, order and augmentation (0 to 2**32 - 1)", least=0)

    # the networks
    light: bool = _option(False, "the light generator: its AdaLIN parameters come from pooled features")
    ch: int = _option(64, "channels of the first layer", least=1)
    n_res: int = _option(4, "residual blocks in each half of the generator", least=1)
    n_dis: int = _option(6, "size of the discriminators: n_dis + 1 layers the global, n_dis - 1 the local one", least=4)
    img_size: int = _option(256, "height and width of the images in pixels, a multiple of 4", least=4)
    img_ch: Literal[3, 1] = _option(3, "channels of the images: 3 RGB, 1 gray")
    padding: Literal["reflect", "zero"] = _option("reflect", "padding of the convolutions: reflect is the paper's")
    spectral_norm: bool = _option(True, "spectral norm on the discriminators (the paper's; the seed has none)")
    sn_iterations: Literal["per_step", "per_pass"] = _option(
        "per_step", "power iterations: one a step shared by its passes, or one a pass as in the paper's code"
    )

    # the machine
    distributed: bool = _option(
        False, "train with the processes that msrun started; see tools/run_distributed_train.sh"
    )
    device_target: Literal["CPU", "GPU", "Ascend"] = _option("CPU", "device to train on")
    device_id: int = _option(0, "number of the device", least=0)
    threads: int | None = _option(None, "threads that decode images; one per core if not given", least=1)
    save_graphs: bool = _option(False, "write the compiler's graphs into --graph_path")
    graph_path: str = _option("graph_path", "folder for --save_graphs")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_range(field, getattr(self, field.name))
        if self.seed >= 2**32:
            raise OptionError(f"--seed {self.seed} is too large: give 0 to {2**32 - 1}")
        if self.iteration is not None and self.epoch is not None:
            raise OptionError(
                f"--iteration {self.iteration} and --epoch {self.epoch} both set the length: give one of them"
            )
        if self.decay_epoch is not None and self.epoch is not None and self.decay_epoch > self.epoch:
            raise OptionError(
                f"--decay_epoch {self.decay_epoch} lies after the last pass: give at most --epoch {self.epoch}"
            )
        if self.img_size % 4:
            raise OptionError(
                f"--img_size {self.img_size} is not a multiple of 4: give {max(self.img_size // 4 * 4, 4)} "
                f"or {self.img_size // 4 * 4 + 4}"
            )
        smallest = smallest_image(self.n_dis + 1)
        if self.img_size < smallest:
            fitting = int(math.log2(self.img_size / 3)) + 1
            remedy = f"give --n_dis {fitting}, or" if fitting >= 4 else "give"
            raise OptionError(
                f"--img_size {self.img_size} is too small for --n_dis {self.n_dis}: "
                f"{remedy} --img_size {smallest} or more"
            )
        _frequency("print_freq", self.print_freq)
        _frequency("save_freq", self.save_freq)

    @property
    def data_folder(self) -> Path:
        """The converted data set's folder."""
        return Path(self.data_path) if self.data_path else Path("dataset") / self.dataset

    def schedule(self, steps_per_epoch: int) -> "Schedule":
        """The lengths in steps, for a data set whose larger domain takes `steps_per_epoch` steps a pass.

        Raises:
            OptionError: the decay begins after the end of the run.
        """
        iteration = self.epoch * steps_per_epoch if self.epoch is not None else self.iteration or 1_000_000
        decay_start = iteration // 2 if self.decay_epoch is None else self.decay_epoch * steps_per_epoch
        if self.decay_flag and decay_start > iteration:
            raise OptionError(
                f"--decay_epoch {self.decay_epoch} is step {decay_start}, after the last step {iteration}: give less"
            )

        def steps(name: str) -> int:
            count, passes = _frequency(name, getattr(self, name))
            return count * steps_per_epoch if passes else count

        return Schedule(
            iteration=iteration,
            decay_start=decay_start if self.decay_flag else iteration,
            print_every=steps("print_freq"),
            save_every=steps("save_freq"),
        )


def smallest_image(n_layers: int) -> int:
    """The smallest height and width, in pixels, that a discriminator of n_layers convolutions takes.

    All but the last two halve the map; those two, 4 x 4 with stride 1, take a row and a column each.
    """
    return 3 * 2 ** (n_layers - 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A run's lengths, all in steps. The learning rate is constant to `decay_start`, then falls to 0 at `iteration`."""

    iteration: int
    decay_start: int
    print_every: int
    save_every: int

    def learning_rate(self, step: int, first: float) -> float:
        """The rate of step 1, 2, ..., where `first` is that of step 1; the compiled step computes the same."""
        return first * (1 - max(0, step - self.decay_start) / max(1, self.iteration - self.decay_start))


# What shapes the weights or the order of the samples: a run that goes on must keep it.
FIXED_ON_RESUME = (
    "seed", "light", "ch", "n_res", "n_dis", "img_size", "img_ch",
    "padding", "spectral_norm", "sn_iterations", "update_order",
)  # fmt: skip

# Names of the seed that are no options here: the values that ask for nothing (and pass), and what to do instead.
_OFF = (False, None, "")
NOT_HERE: dict[str, tuple[tuple[Any, ...], str]] = {
    "phase": (("train",), "this tool trains: use tools/translate.py to test"),
    "loss_scale": ((1024, 1, *_OFF), "float16 is not in this version, and float32 needs no scale: leave it out"),
    "device_num": ((1,), "the number of devices is msrun's: use tools/run_distributed_train.sh"),
    "enable_profiling": (_OFF, "profiling is not in this version: leave it out"),
    "compute_metrics": (_OFF, "KID is not in this version: leave it out"),
    "inception_ckpt_path": (_OFF, "KID is not in this version: leave it out"),
    "enable_modelarts": (_OFF, "ModelArts is not in this version: copy the data and give --data_path"),
    "data_url": (_OFF, "ModelArts is not in this version: copy the data and give --data_path"),
    "train_url": (_OFF, "ModelArts is not in this version: give --output_path"),
    "checkpoint_url": (_OFF, "ModelArts is not in this version: give --output_path and --resume"),
    "load_path": (_OFF, "give the run's folder as --output_path, with --resume"),
    "genA2B_ckpt": (_OFF, "export is not in this version: leave it out"),
    "MINDIR_outdir": (_OFF, "export is not in this version: leave it out"),
    "export_file_format": (_OFF, "export is not in this version: leave it out"),
    "bifile_inputdir": (_OFF, "inference on Ascend 310 is not in this version: leave it out"),
    "bifile_outputdir": (_OFF, "inference on Ascend 310 is not in this version: leave it out"),
    "eval_outputdir": (_OFF, "tools/translate.py writes the pictures: give it --out"),
}


def parse(argv: list[str]) -> Options:
    """The options of a command line such as `["--config", "run.yaml", "--light", "--ch", "32"]`.

    `--help` prints the manual and exits.

    Raises:
        OptionError: an unknown name (the right one is suggested), a value of a wrong type or out of its range, options
            that contradict each other, a file that cannot be read, or `--resume` with other networks than the run's.
    """
    parser = _parser()
    given = _read_argv(parser, argv)
    config = given.pop("config", None)
    layers = [given]
    if config:
        layers.insert(0, _read_file(parser, Path(config)))
    merged = _merge(layers)
    if not merged.get("resume"):
        return Options(**merged)

    saved_file = Path(merged.get("output_path", Options.output_path)) / OPTIONS_FILE
    if not saved_file.is_file():
        raise OptionError(f"--resume: no run in {saved_file.parent}, which has no {OPTIONS_FILE}: leave --resume out")
    saved = load(saved_file)
    options = Options(**_merge([dataclasses.asdict(saved), *layers]))
    for name in FIXED_ON_RESUME:
        before, now = getattr(saved, name), getattr(options, name)
        if before != now:
            raise OptionError(
                f"--resume: the run in {saved_file.parent} has {name} {before}, not {now}: "
                f"leave --{name} out, or begin a new run with another --output_path"
            )
    return options


def load(path: Path) -> Options:
    """The options in a YAML file, as `save` wrote it or as `--config` takes it. Raises OptionError."""
    return Options(**_merge([_read_file(_parser(), path)]))


def save(options: Options, path: Path) -> None:
    """Write every option to a YAML file that `--config` reads back; the file appears complete or not at all."""
    values = dataclasses.asdict(options) | {"resume": False, "dry_run": False, "distributed": False}
    partial = path.with_name(path.name + ".partial")
    partial.write_text(yaml.safe_dump(values, sort_keys=False))
    os.replace(partial, path)


def describe(options: Options) -> str:
    """The resolved options as YAML text, one a line, in the order of the manual."""
    return yaml.safe_dump(dataclasses.asdict(options), sort_keys=False)


def _parser() -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(
        prog="tools/train.py",
        usage="tools/train.py [--config FILE] [--NAME VALUE] ...",
        description="Train U-GAT-IT on a converted data set.",
        epilog="Examples:\n"
        "  tools/train.py --data_path demo/dataset --output_path runs/first --light --img_size 64 --n_dis 5\n"
        "  tools/train.py --output_path runs/first --resume\n"
        "  tools/train.py --config runs/first/options.yaml --output_path runs/second --seed 2\n\n"
        "Exit code: 0 done, 1 a failure while training, 2 bad input.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    parser.add_argument("--config", type=str, metavar="FILE", help="YAML file with any of the options below")
    hints = typing.get_type_hints(Options)
    for field in dataclasses.fields(Options):
        if hints[field.name] is bool:
            shape = {"nargs": "?", "const": True}
        else:
            shape = {} if typing.get_origin(hints[field.name]) is Literal else {"metavar": "VALUE"}
        text = field.metadata["help"].replace("%", "%%")
        shown = "" if field.default is None or field.default == "" else f" (default: {field.default})"
        parser.add_argument(
            f"--{field.name}", type=hints[field.name], default=field.default, help=text + shown, **shape
        )
    return parser


def _read_argv(parser: jsonargparse.ArgumentParser, argv: list[str]) -> dict[str, Any]:
    """What the command line gives, without defaults."""
    kept, i = [], 0
    while i < len(argv):
        word = argv[i]
        i += 1
        if not word.startswith("--"):
            kept.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name in NOT_HERE:
            if not equals:
                bare = i == len(argv) or argv[i].startswith("--")
                value = "true" if bare else argv[i]
                i += not bare
            _refuse(name, yaml.safe_load(value) if value else "", f"--{name}")
            continue
        if name not in ("help", "config"):
            _check_name(name, f"--{name}")
        kept.append(word)
    try:
        found = parser.parse_args(kept, defaults=False)
    except argparse.ArgumentError as error:
        raise OptionError(_one_line(error)) from None
    return _checked(found.as_dict(), "the command line")


def _read_file(parser: jsonargparse.ArgumentParser, path: Path) -> dict[str, Any]:
    """What a YAML file gives, without defaults."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise OptionError(
            f"{path}: {reason}: give a YAML file of options, as {OPTIONS_FILE} in a run's folder"
        ) from None
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else "?"
        raise OptionError(f"{path}, line {line}: not YAML: write one `name: value` a line") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise OptionError(f"{path}: holds a {type(values).__name__}, not options: write one `name: value` a line")
    for name in [*values]:
        if name in NOT_HERE:
            _refuse(name, values.pop(name), f"{path}: {name}")
        else:
            _check_name(str(name), f"{path}: {name}")
    try:
        found = parser.parse_object(values, defaults=False)
    except argparse.ArgumentError as error:
        raise OptionError(f"{path}: {_one_line(error)}") from None
    return _checked(found.as_dict(), str(path))


def _merge(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The layers in one, later ones first in rank. A length in one layer replaces both lengths of those under it."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.get("iteration") is not None or layer.get("epoch") is not None:
            merged = {name: value for name, value in merged.items() if name not in ("iteration", "epoch")}
        merged |= layer
    return merged


def _checked(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The same values. jsonargparse lets None pass for every type: refuse it where it is no value."""
    hints = typing.get_type_hints(Options) | {"config": str}
    for name, value in values.items():
        if value is None and types.NoneType not in typing.get_args(hints[name]):
            raise OptionError(f"{source}: {name} has no value: give one, or leave the name out")
    return values


def _check_name(name: str, shown: str) -> None:
    known = [field.name for field in dataclasses.fields(Options)]
    if name in known:
        return
    plain = name.replace("-", "_").lower()
    begun = [option for option in known if plain and option.startswith(plain)]
    close = begun or difflib.get_close_matches(plain, [*known, "config"], n=1)
    dashes = "--" if shown.startswith("--") else ""
    remedy = f"did you mean {dashes}{close[0]}?" if close else "tools/train.py --help lists the options"
    raise OptionError(f"{shown}: unknown option: {remedy}")


def _refuse(name: str, value: Any, shown: str) -> None:
    passing, remedy = NOT_HERE[name]
    if not any(value is fine or (value == fine and not isinstance(value, bool)) for fine in passing):
        raise OptionError(f"{shown} {value}: {remedy}")


def _check_range(field: dataclasses.Field, value: Any) -> None:
    least, above = field.metadata["least"], field.metadata["above"]
    if value is None or (least is None and above is None):
        return
    if not math.isfinite(value) or (least is not None and value < least) or (above is not None and value <= above):
        bound = f"{least} or more" if least is not None else f"more than {above}"
        raise OptionError(f"--{field.name} {value} is out of range: give {bound}")


def _frequency(name: str, value: int | str) -> tuple[int, bool]:
    """The count of "250" or "2e", and whether it counts passes. Raises OptionError."""
    match = re.fullmatch(r"0*([1-9]\d*)(e?)", str(value))
    if not match:
        raise OptionError(f"--{name} {value}: give a number of steps such as 500, or of passes such as 2e")
    return int(match[1]), match[2] == "e"


def _one_line(error: argparse.ArgumentError) -> str:
    """jsonargparse's report of a wrong value, in our words."""
    text = str(error)
    name = re.search(r'Parser key "(\w+)"', text)
    value = re.search(r"(?:Got|Given) value: (.*)", text)
    if name and value:
        hint = typing.get_type_hints(Options).get(name[1], str)
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind in names]
        wanted = " or ".join(map(str, choices)) if choices else " or ".join(names[kind] for kind in kinds)
        return f"--{name[1]} {value[1]}: give {wanted}"
    text = text.replace("unrecognized arguments:", "what is not an option's value:").replace("argument ", "")
    return " ".join(text.split()) + ": tools/train.py --help lists the options"
