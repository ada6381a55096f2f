"""What all tools share: the parser, and the frame that turns what a tool raises into one line and an exit code."""

import argparse
import contextlib
import difflib
import io
import itertools
import os
import select
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from ugatit_data import BadInputError, DataError
from ugatit_data.commands import command
from ugatit_data.files import UNFINISHED, lock, parents_made, user_path
from ugatit_data.storage import StorageError
from ugatit_train import runtime
from ugatit_train.errors import UgatitError
from ugatit_train.training import interrupts

Main = Callable[[list[str]], int]


class Failure(UgatitError):
    """Ends the tool with this message and exit code."""

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message)
        self.exit_code = exit_code


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations; defaults that tell something appear in the help; the epilog keeps its lines.

    `tool` is its name, such as "convert". Whatever is wrong with a command line is a BadInputError.
    """

    def __init__(self, tool: str, *, description: str, epilog: str):
        super().__init__(
            prog=command(tool),
            description=textwrap.fill(description, 100),
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=_Formatter,
        )

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else args
        names = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        for word in itertools.takewhile(lambda word: word != "--", args):  # what follows are no options
            name = word.partition("=")[0]
            if name.startswith("--") and name not in names:
                close = difflib.get_close_matches(name.replace("-", "_").replace("__", "--", 1), names, n=1)
                self.error(f"{name}: unknown option" + (f": did you mean {close[0]}?" if close else ""))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise BadInputError(message if message.endswith("?") else f"{message}: --help lists what can be given")


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        # "(default: None)" says nothing: the text tells what happens without the option; a switch is off without it.
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def run(tool: str, main: Main, argv: list[str]) -> int:
    """Calls the tool's `main`; the exit code. What it raises for its user becomes one line on stderr.

    An exception of the two packages brings its exit code. Of others `checking` and `working` make one, with the
    tool's remedy; what reaches this function without one is told with a general remedy.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A file's name need not be UTF-8, and the terminal need not know its letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            with working("run it again"):
                return _flushed(main, argv)
        except (DataError, UgatitError) as error:
            say(tool, str(error))
            return error.exit_code
    except BrokenPipeError:  # `| head` has read enough
        for number in _closed_outputs():  # for Python writes what it holds back when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        return 1


def _flushed(main: Main, argv: list[str]) -> int:
    """Calls `main`. What it printed, also by --help, is written before it ends: a closed pipe shows here."""
    flush = sys.stdout.flush if sys.stdout else lambda: None  # started with `>&-` it has none
    try:
        code = main(argv)
    except SystemExit:
        flush()
        raise
    flush()
    return code


def say(tool: str, message: str) -> None:
    """One line of the tool on stderr."""
    print(f"{command(tool)}: {' '.join(message.split())}", file=sys.stderr)


def say_device(target: str, number: int | str = 0, before: str = "") -> None:
    """The first line that a tool prints when it goes to work: the device that it works on."""
    print(f"{before}device: {target if target == 'CPU' else f'{target} {number}'.strip()}", flush=True)


@contextlib.contextmanager
def checking(remedy: str = "check the path") -> Iterator[None]:
    """Whatever fails in here is bad input, found before any work was done: exit 2. But object storage fails by itself.

    `remedy` is for what the operating system refuses.
    """
    try:
        yield
    except (StorageError, Failure):
        raise
    except (DataError, UgatitError) as error:
        raise Failure(str(error), 2) from error
    except OSError as error:
        raise Failure(f"{os_reason(error)}: {remedy}", 2) from error


@contextlib.contextmanager
def working(again: str, *, interrupted: str = "", memory: str = "", where: Path | str | None = None) -> Iterator[None]:
    """What fails in here is told with the remedy `again`, a lack of memory with `memory`: exit 1.

    Ctrl-C is told with `interrupted`, if that is another. A full disk names no file: `where` is named then.
    """
    try:
        yield
    except UgatitError:
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _closed_outputs():
            raise
        # One that this project raises has no number, and tells the remedy itself.
        raise Failure(str(error) if error.errno is None else f"{os_reason(error, where)}: {again}") from error
    except KeyboardInterrupt as error:
        raise Failure(f"interrupted: {interrupted or again}") from error
    except (RuntimeError, MemoryError) as error:
        lack = runtime.lack_of_memory(error)
        if lack is None:
            raise
        raise Failure(f"{lack}: {memory or 'free some memory, and run it again'}") from error


def _closed_outputs() -> list[int]:
    """Those of stdout (1) and stderr (2) that nobody reads any more."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return [number for number, event in poll.poll(0) if event & select.POLLERR]


def end_when_interrupted(tool: str, again: str, clean_up: Callable[[], object] = lambda: None) -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP end this process at once, with a line and exit 1, after `clean_up`.

    Call it before MindSpore loads. SIGHUP stays ignored under nohup.

    No exception does it: one in the midst of MindSpore's import aborts, and its compiler answers one with pages.
    """

    def end(*_) -> NoReturn:
        clean_up()
        with contextlib.suppress(OSError):  # a terminal that was closed
            say(tool, f"interrupted: {again}")
            sys.stderr.flush()
        os._exit(1)

    for number in interrupts.ending_signals():  # once loaded, MindSpore turns Ctrl-C into SIGTERM
        signal.signal(number, end)


def remove(folder: Path, pattern: str) -> None:
    """Removes the files below `folder` that match: what an interrupted tool has half written."""
    for path in folder.rglob(pattern):
        path.unlink()


def refuse_full_folder(folder: Path, option: str) -> None:
    """Raises BadInputError where an output folder is a file, or holds something that is whole: see `filling`.

    And OSError where it cannot be made.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / UNFINISHED).is_file()):
        raise BadInputError(f"{folder} exists and is not an empty folder: give another {option}")
    with parents_made(folder / UNFINISHED):  # which leaves nothing: a tool may yet find something else to refuse
        pass


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[None]:
    """An output folder that `refuse_full_folder` has let pass, while a tool writes into it.

    The file UNFINISHED is in it until the end. Whatever ends the tool before, kill -9 too, what it has written stays,
    and the next tool that is to write there empties the folder first: the same command can be given again.

    Raises:
        BadInputError: another tool is at work there, or has just ended.
    """
    was_there = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            if not lock(descriptor):
                raise BadInputError(f"{folder}: another tool writes there: wait for its end, or give another folder")
        refuse_full_folder(folder, "one")  # what was unfinished before may be whole now
        if was_there:
            _empty(folder)
        (folder / UNFINISHED).write_text(_WAS_THERE if was_there else "")
        try:
            yield
        except BaseException:
            abandon(folder)
            raise
        (folder / UNFINISHED).unlink()
    finally:
        os.close(descriptor)


_WAS_THERE = "this folder is older than the tool that fills it\n"


def abandon(folder: Path) -> None:
    """Leaves nothing of an unfinished folder in which there is no other file; also for `end_when_interrupted`."""
    mark = folder / UNFINISHED
    if mark.is_file() and not any(found.is_file() and found != mark for found in folder.rglob("*")):
        was_there = mark.read_text() == _WAS_THERE
        _empty(folder)
        if not was_there:
            folder.rmdir()


def _empty(folder: Path) -> None:
    for found in folder.iterdir():
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()


def os_reason(error: OSError, where: Path | str | None = None) -> str:
    """An operating system's error as the file (`where`, if it names none) and what is wrong, without its number."""
    file = where if error.filename is None else os.fsdecode(error.filename)
    if file is None:
        return error.strerror or str(error)
    return f"{file}: {error.strerror}"


def path(text: str) -> Path:
    """An argparse type: a file or folder; `~` is the home folder."""
    return user_path(text)


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
