"""Reads a YAML file of options: names and values, which nothing here checks."""

from pathlib import Path
from typing import Any

import yaml

from ugatit_train.options.saved import OPTIONS_FILE
from ugatit_train.options.values import OptionError


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


def document(path: Path) -> dict[str, Any]:
    """What a YAML file of options holds; the values are not checked."""
    found = documents(path)
    if len(found) > 1:
        raise OptionError(f"{path}: holds {len(found)} documents, with --- between them: keep one")
    return found[0]


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file, at least one."""
    try:
        found = [*yaml.load_all(path.read_text(), _Reader)]
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
    found = [{} if values is None else values for values in found or [None]]
    for values in found:
        if not isinstance(values, dict):
            raise OptionError(f"{path}: holds a {type(values).__name__}, not options: write one `name: value` a line")
    return [{str(name): value for name, value in values.items()} for values in found]
