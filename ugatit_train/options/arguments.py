"""Options from the command line and from YAML files: which are given, which count, which are refused.

Precedence, lowest first: the defaults, those of `--preset`, the run's own `options.yaml` (with `--resume` and
`--phase test`), the file given with `--config`, the command line. Nothing here imports MindSpore: bad input is
reported within a second.
"""

import argparse
import dataclasses
import difflib
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

from ugatit_data.commands import command
from ugatit_data.files import user_path
from ugatit_train.options import presets
from ugatit_train.options.config import PATHS, OptionError, Options
from ugatit_train.options.saved import OPTIONS_FILE, check_kept, check_names, options_of
from ugatit_train.options.values import wanted

_NO_FIELDS = ("config", "preset")  # options of the command line that no `Options` has

# The model zoo's names that are no options here: the values that ask for nothing (and pass), and the tool to use.
_OFF = (False, None, "")
NOT_HERE: dict[str, tuple[tuple[Any, ...], str]] = {
    "device_num": ((1,), ""),
    "genA2B_ckpt": (_OFF, "export"),
    "MINDIR_outdir": (_OFF, "export"),
    "export_file_format": (_OFF, "export"),
    "bifile_inputdir": ((*_OFF, "./bifile_in"), "infer_310"),
    "bifile_outputdir": ((*_OFF, "./bifile_out"), "infer_310"),
}


def given(argv: list[str]) -> dict[str, Any]:
    """The options that a command line gives, such as `["--config", "run.yaml", "--light", "--ch", "32"]`; no defaults.

    `~` in a path is the home folder.

    `--help` prints the manual and exits.

    Raises:
        OptionError: an unknown name (the message suggests the right one), a value of a wrong type, a file that cannot
            be read.
    """
    parser = _parser()
    line = _read_argv(parser, argv)
    config = line.pop("config", None)
    values = _merge([_read_file(parser, user_path(config)), line]) if config else line
    return values | {name: str(user_path(values[name])) for name in PATHS if values.get(name)}


def resolve(values: dict[str, Any]) -> Options:
    """The options of a run: the given ones, over those of the run that it resumes or tests, over the defaults.

    `preset` among the given ones is the name of a set of defaults.

    Raises:
        OptionError: a value out of its range, options that contradict each other, or a run that is resumed or tested
            with other networks than its own.
    """
    values = dict(values)
    preset = values.pop("preset", None)
    defaults = presets.defaults(preset)
    goes_on = "--phase test" if values.get("phase") == "test" else "--resume"
    if goes_on == "--resume" and not values.get("resume"):
        return Options(**_merge([defaults, values]))

    here = values.get("output_path", Options.output_path)
    saved_file = Path(values.get("load_path") or here) / OPTIONS_FILE
    if not saved_file.is_file():
        raise OptionError(f"{goes_on}: no run in {saved_file.parent}, which has no {OPTIONS_FILE}: leave {goes_on} out")
    before = load(saved_file)
    presets.check_fits(preset, values, before, saved_file.parent)
    options = Options(**_merge([dataclasses.asdict(before), values | {"output_path": here}]))
    check_kept(options, before, saved_file.parent)
    return options


def parse(argv: list[str]) -> Options:
    """`resolve(given(argv))`."""
    return resolve(given(argv))


def load(path: Path) -> Options:
    """The options of a run, from its `options.yaml`, which any version up to this one wrote. Raises OptionError."""
    values = _read_yaml(path)
    check_names(values, path)
    return options_of(_typed(_parser(), values, path), path)


def _parser() -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(
        prog=command("train"),
        usage=f"{command('train')} [--config FILE] [--NAME VALUE] ...",
        description="Train U-GAT-IT on a converted data set.",
        epilog="Examples:\n"
        f"  {command('train')} --data_path demo/dataset --output_path runs/first --light --img_size 64 --n_dis 5\n"
        f"  {command('train')} --output_path runs/first --resume\n"
        f"  {command('train')} --config runs/first/options.yaml --output_path runs/second --seed 2\n\n"
        "Exit code: 0 done, 1 a failure while training, 2 bad input.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    parser.add_argument("--config", type=str, metavar="FILE", help="YAML file with any of the options below")
    parser.add_argument(
        "--preset",
        type=str,
        metavar="NAME",
        help="other defaults: model_zoo (zero padding, no spectral norm, update_order g_first, loss_scale 1024, "
        "use_global_norm) or paper (sn_iterations per_pass); the file and the options below beat them",
    )
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
            _refuse(name, _plain(value), f"--{name}")
            continue
        if name not in ("help", *_NO_FIELDS):
            _check_name(name, f"--{name}")
        kept.append(word)
    try:
        found = parser.parse_args(kept, defaults=False)
    except argparse.ArgumentError as error:
        raise OptionError(_one_line(error)) from None
    return _checked(found.as_dict(), "the command line")


def _read_file(parser: jsonargparse.ArgumentParser, path: Path) -> dict[str, Any]:
    """What a file of `--config` gives, without defaults."""
    values = _read_yaml(path)
    for name in [*values]:
        if name in NOT_HERE:
            _refuse(name, values.pop(name), f"{path}: {name}")
        else:
            _check_name(name, f"{path}: {name}")
    return _typed(parser, values, path)


class _TwiceError(yaml.YAMLError):
    """A name that stands twice in a mapping; the arguments are the name, its first line and its second."""


class _Reader(yaml.SafeLoader):
    """YAML's safe reader, but a name that stands twice is an error: its own takes the last value in silence."""

    def construct_mapping(self, node, deep=False):
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise _TwiceError(key.value, lines[key.value], line)
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    """What a YAML file of options holds; the values are not checked."""
    try:
        values = yaml.load(path.read_text(), _Reader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise OptionError(
            f"{path}: {reason}: give a YAML file of options, as {OPTIONS_FILE} in a run's folder"
        ) from None
    except _TwiceError as error:
        name, first, second = error.args
        raise OptionError(f"{path}, line {second}: {name} stands in line {first} too: remove one of the two") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise OptionError(
            f"{path}, line {mark.line + 1 if mark else '?'}: not YAML: write one `name: value` a line"
        ) from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise OptionError(f"{path}: holds a {type(values).__name__}, not options: write one `name: value` a line")
    return {str(name): value for name, value in values.items()}


def _typed(parser: jsonargparse.ArgumentParser, values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same values as the options' types: YAML reads 1e-3 as text."""
    try:
        found = parser.parse_object(values, defaults=False)
    except argparse.ArgumentError as error:
        raise OptionError(f"{path}: {_one_line(error)}") from None
    return _checked(found.as_dict(), str(path))


def _merge(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """All layers as one; a later layer replaces the values of earlier ones.

    Its length replaces both lengths, and its precision the precision under both names.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for pair in (("iteration", "epoch"), ("amp", "precision")):
            if any(layer.get(name) is not None for name in pair):
                merged = {name: value for name, value in merged.items() if name not in pair}
        merged |= layer
    return merged


def _checked(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The same values. jsonargparse takes None for every type; this refuses it where the option has no such value."""
    hints = typing.get_type_hints(Options) | dict.fromkeys(_NO_FIELDS, str)
    for name, value in values.items():
        if value is None and types.NoneType not in typing.get_args(hints[name]):
            raise OptionError(f"{source}: {name} has no value: give one, or leave the name out")
    return values


def _check_name(name: str, shown: str) -> None:
    known = [field.name for field in dataclasses.fields(Options)] + ["preset"]
    if name in known:
        return
    plain = name.replace("-", "_").lower()
    begun = [option for option in known if plain and option.startswith(plain)]
    close = begun or difflib.get_close_matches(plain, [*known, "config"], n=1)
    dashes = "--" if shown.startswith("--") else ""
    remedy = f"did you mean {dashes}{close[0]}?" if close else f"{command('train')} --help lists the options"
    raise OptionError(f"{shown}: unknown option: {remedy}")


def _plain(text: str) -> Any:
    """The value that YAML makes of a word of the command line (false, 1); the word itself if it is no YAML."""
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        return text


def _refuse(name: str, value: Any, shown: str) -> None:
    passing, tool = NOT_HERE[name]
    remedy = f"the number of devices is the launcher's: use {command('launch')}"
    if tool:
        remedy = f"it is an option of {command(tool)}: leave it out"
    if not any(value is fine or (value == fine and not isinstance(value, bool)) for fine in passing):
        raise OptionError(f"{shown} {value}: {remedy}")


def _one_line(error: argparse.ArgumentError) -> str:
    """One line of our own for jsonargparse's report of a wrong value."""
    text = str(error)
    name = re.search(r'Parser key "(\w+)"', text)
    value = re.search(r"(?:Got|Given) value: (.*)", text)
    if name and value:
        return f"--{name[1]} {value[1]}: give {wanted(Options, name[1]) if name[1] not in _NO_FIELDS else 'text'}"
    text = text.replace("unrecognized arguments:", "what is not an option's value:").replace("argument ", "")
    return " ".join(text.split()) + f": {command('train')} --help lists the options"
