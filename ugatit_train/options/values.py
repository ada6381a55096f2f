"""What one option may be: its type, its range, its help text, and how these are said to the user."""

import dataclasses
import functools
import math
import re
import types
import typing
from typing import Any, Literal

from ugatit_train.errors import UgatitError


class OptionError(UgatitError):
    """An option, or the file or folder that it names, cannot be used; the message is one line and names the remedy."""

    exit_code = 2


def option(default: Any, help: str, *, least: float | None = None, above: float | None = None) -> Any:
    """A field with its help text and its range: from `least` (inclusive), or `above` (exclusive)."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "above": above})


@functools.cache
def _allowed(options: type) -> dict[str, list[Any]]:
    """The types and the single values that each field of a class of options takes."""

    def flat(hint: Any) -> list[Any]:
        if typing.get_origin(hint) is Literal:
            return [*typing.get_args(hint)]
        return [kind for part in typing.get_args(hint) for kind in flat(part)] or [hint]

    return {name: flat(hint) for name, hint in typing.get_type_hints(options).items()}


def wanted(options: type, name: str) -> str:
    """What an option takes, in words: "a whole number or text", "reflect or zero"."""
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return " or ".join(words.get(kind, str(kind)) for kind in _allowed(options)[name] if kind is not types.NoneType)


def check_type(options: type, name: str, value: Any) -> None:
    """Raises OptionError if a field of another type is given."""
    for kind in _allowed(options)[name]:
        if type(value) is kind or (kind is float and type(value) is int):
            return
        if type(value) is type(kind) and value == kind:
            return
    raise OptionError(f"--{name} {value}: give {wanted(options, name)}")


def check_range(field: dataclasses.Field, value: Any) -> None:
    """Raises OptionError if a number lies outside of its field's range."""
    least, above = field.metadata["least"], field.metadata["above"]
    if value is None or (least is None and above is None):
        return
    if not math.isfinite(value) or (least is not None and value < least) or (above is not None and value <= above):
        bound = f"{least} or more" if least is not None else f"more than {above}"
        raise OptionError(f"--{field.name} {value} is out of range: give {bound}")


def frequency(name: str, value: int | str) -> tuple[int, bool]:
    """The count of "250" or "2e", and whether it counts passes. Raises OptionError."""
    match = re.fullmatch(r"0*([1-9]\d*)(e?)", str(value))
    if not match:
        raise OptionError(f"--{name} {value}: give a number of steps such as 500, or of passes such as 2e")
    return int(match[1]), match[2] == "e"
