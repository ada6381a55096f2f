"""The benchmarks' argument parser, and what their processes are given. A help names the default."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ugatit_data.files import available_cores, user_path

CORES = available_cores()
path = user_path  # `~` is the home folder, as in the tools


def environment(tree: Path) -> dict[str, str]:
    """That of a process which imports our packages from `tree`."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH", "")]))}


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        tells = action.default and action.default is not True
        return super()._get_help_string(action) if tells else action.help


def parser(description: str | None, record: bool = True) -> argparse.ArgumentParser:
    """A parser with `description` as its manual; with `record` it has --out, for the benchmark's record."""
    made = argparse.ArgumentParser(description=description, formatter_class=_Help, allow_abbrev=False)
    if record:
        made.add_argument("--out", type=path, metavar="FILE", help="the JSON record; without it, only the table")
    return made


def add_model(to: argparse.ArgumentParser, sizes: list[int]) -> None:
    """Add the options of the model whose step is measured."""
    to.add_argument("--sizes", type=count, nargs="+", default=sizes, metavar="PX", help="heights and widths")
    to.add_argument("--ch", type=count, default=64, help="channels of the first layer")
    to.add_argument("--n_res", type=count, default=4, help="residual blocks in each half of a generator")
    to.add_argument("--n_dis", type=count, default=6, help="fewer where the global discriminator does not fit")
    to.add_argument("--batch", type=count, default=1, help="images of each domain")


def count(text: str) -> int:
    """A whole number from 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return int(text)


def count_or_none(text: str) -> int:
    """A whole number from 0."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"{text}: give 0 or more")
    return int(text)
