"""The tools' argument parser: an error is one line and exit 2; an unknown option is answered with the likely name."""

import argparse
import difflib
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations; defaults that tell something appear in the help; the epilog keeps its lines."""

    def __init__(self, *, prog: str, description: str, epilog: str):
        super().__init__(
            prog=prog,
            description=textwrap.fill(description, 100),
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=_Formatter,
        )

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else args
        names = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        for word in args:
            name = word.partition("=")[0]
            if name.startswith("--") and name != "--" and name not in names:
                close = difflib.get_close_matches(name.replace("-", "_").replace("__", "--", 1), names, n=1)
                self.error(f"{name}: unknown option" + (f": did you mean {close[0]}?" if close else ""))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """What argparse found: point to the manual."""
        self.refuse(message if message.endswith("?") else f"{message}: --help lists what can be given")

    def refuse(self, message: str) -> NoReturn:
        """Exit 2 with a message that names the remedy itself."""
        print(f"{self.prog}: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        # "(default: None)" says nothing: the text tells what happens without the option; a switch is off without it.
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def run_tool(main: Callable[[list[str]], int]) -> NoReturn:
    """`main` as this process. Ctrl-C where a tool has nothing to say of its own, as while it loads, is one line too."""
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print(f"tools/{Path(sys.argv[0]).name}: interrupted: run it again", file=sys.stderr)
        sys.exit(1)


def end_when_interrupted(line: str, clean_up: Callable[[], object] = lambda: None) -> None:
    """From now on Ctrl-C ends this process at once, with one line and exit 1. Call it before MindSpore loads.

    No exception does it: one in the midst of MindSpore's import aborts, and its compiler answers one with pages.
    """

    def end(*_) -> NoReturn:
        clean_up()
        print(line, file=sys.stderr, flush=True)
        os._exit(1)

    for number in (signal.SIGINT, signal.SIGTERM):  # once loaded, MindSpore turns Ctrl-C into SIGTERM
        signal.signal(number, end)


def os_reason(error: OSError) -> str:
    """An operating system's error as the file and what is wrong with it, without its number."""
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename is not None else str(error)


def pixels(text: str) -> tuple[int, int]:
    """An argparse type: 256, or height x width as 128x256, multiples of 4 from 8."""
    sides = text.split("x")
    try:
        high, wide = (int(side) for side in (sides if len(sides) == 2 else 2 * sides))
    except ValueError:
        high = wide = 0
    if min(high, wide) < 8 or high % 4 or wide % 4:
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 256 or 128x256, of multiples of 4 from 8")
    return high, wide


def whole(least: int):
    """An argparse type: a whole number of at least `least`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least}")
        return value

    return convert
