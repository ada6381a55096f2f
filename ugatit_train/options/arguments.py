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
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

from ugatit_data.commands import command
from ugatit_data.files import user_path
from ugatit_train.options import modelzoo, presets, yamlfile
from ugatit_train.options.config import PATHS, OptionError, Options
from ugatit_train.options.saved import OPTIONS_FILE, check_kept, check_names, options_of
from ugatit_train.options.values import wanted

_NO_FIELDS = ("config", "preset")  # options of the command line that no `Options` has
_RENAMED = {**modelzoo.RENAMED, "config_path": "config"}  # of the model zoo's command line


def given(argv: list[str], tell: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """The options that a command line gives, such as `["--config", "run.yaml", "--light", "--ch", "32"]`; no defaults.

    `~` in a path is the home folder. The model zoo's file of options is read as it means them; `tell` is called with a
    line about what that changes.

    `--help` prints the manual and exits.

    Raises:
        OptionError: an unknown name (the message suggests the right one), a value of a wrong type, a file that cannot
            be read.
    """
    parser = _parser()
    line = _read_argv(parser, argv)
    config = line.pop("config", None)
    values = _merge([_read_file(parser, user_path(config), line, tell), line]) if config else line
    if line.get("eval_outputdir") and values.get("phase") != "test":
        raise OptionError(
            f"--eval_outputdir {line['eval_outputdir']} goes with --phase test; the folder of the 310's pictures is "
            f"that of {command('infer_310')}"
        )
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
    values = yamlfile.document(path)
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
        if name in modelzoo.NOT_HERE:
            if not equals:
                bare = i == len(argv) or argv[i].startswith("--")
                value = "true" if bare else argv[i]
                i += not bare
            if words := modelzoo.refusal(name, _plain(value)):
                raise OptionError(f"--{name} {_plain(value)}: {words}")
            continue
        if name in _RENAMED:
            name, theirs = _RENAMED[name], name
            if any(other.partition("=")[0] == f"--{name}" for other in argv):
                raise OptionError(f"--{theirs} is --{name} here: give one of them")
            word = f"--{name}{equals}{value}"
        if name not in ("help", *_NO_FIELDS):
            _check_name(name, f"--{name}")
        kept.append(word)
    try:
        found = parser.parse_args(kept, defaults=False)
    except argparse.ArgumentError as error:
        raise OptionError(_one_line(error)) from None
    return _checked(found.as_dict(), "the command line")


def _read_file(
    parser: jsonargparse.ArgumentParser, path: Path, line: dict[str, Any], tell: Callable[[str], object]
) -> dict[str, Any]:
    """What a file of `--config` gives, without defaults; `line` beats it. All unknown names are in one message."""
    documents = yamlfile.documents(path)
    values = documents[0]
    problems: list[str] = []
    told: list[str] = []
    is_the_zoos = modelzoo.is_its_file(documents)
    if is_the_zoos:
        values, told, problems = modelzoo.translate(values | {name: line[name] for name in line if name == "dataset"})
    for name, value in documents[0].items():
        if name in modelzoo.NOT_HERE:
            words = modelzoo.refusal(name, value)
            problems += [f"{name} {value}: {words}"] if words else []
        elif name not in modelzoo.RENAMED and (words := _unknown(name)):
            problems.append(f"{name}: {words}")
    if problems:
        raise OptionError(f"{path}: {'; '.join(problems)}")
    if is_the_zoos:
        preset = [] if "preset" in values else ["its networks and order of updates are --preset model_zoo"]
        tell(f"{path} is the model zoo's: {'; '.join(told + preset)}")
    return _typed(parser, values, path)


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
    if words := _unknown(name, "--"):
        raise OptionError(f"{shown}: {words}")


def _unknown(name: str, dashes: str = "") -> str:
    """Why there is no option of this name, and which may be meant; nothing if there is one."""
    known = [field.name for field in dataclasses.fields(Options)] + ["preset"]
    if name in known:
        return ""
    plain = name.replace("-", "_").lower()
    begun = [option for option in known if plain and option.startswith(plain)]
    close = begun or difflib.get_close_matches(plain, [*known, "config"] if dashes else known, n=1)
    remedy = f"did you mean {dashes}{close[0]}?" if close else f"{command('train')} --help lists the options"
    return f"unknown option: {remedy}"


def _plain(text: str) -> Any:
    """The value that YAML makes of a word of the command line (false, 1); the word itself if it is no YAML."""
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        return text


def _one_line(error: argparse.ArgumentError) -> str:
    """One line of our own for jsonargparse's report of a wrong value."""
    text = str(error)
    name = re.search(r'Parser key "(\w+)"', text)
    value = re.search(r"(?:Got|Given) value: (.*)", text)
    if name and value:
        return f"--{name[1]} {value[1]}: give {wanted(Options, name[1]) if name[1] not in _NO_FIELDS else 'text'}"
    text = text.replace("unrecognized arguments:", "what is not an option's value:").replace("argument ", "")
    return " ".join(text.split()) + f": {command('train')} --help lists the options"
