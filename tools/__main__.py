"""The command `ugatit`: `ugatit train ...` starts a tool, `ugatit --help` lists them. It imports only what it must."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

from ugatit_data import __version__
from ugatit_data.commands import SCRIPTS, command

RESTARTED = ("train", "profile")  # with memory in huge pages, see runtime.restart_with_huge_pages
HERE = Path(__file__).parent


def main() -> NoReturn:
    name, *rest = sys.argv[1:] or [""]
    if name in SCRIPTS:
        sys.exit(start(name, rest))
    if name in ("-h", "--help"):
        sys.exit(show(manual()))
    if name == "--version":
        sys.exit(show(f"ugatit {__version__}"))
    print(f"ugatit: {unknown(name)}", file=sys.stderr)
    sys.exit(2)


def start(name: str, argv: list[str]) -> int:
    """Runs the tool `name` in this process; its exit code."""
    try:
        if name in RESTARTED:
            from ugatit_train import runtime

            runtime.restart_with_huge_pages()
        tool = importlib.import_module(f"{__package__}.{Path(SCRIPTS[name]).stem}")
        frame = importlib.import_module(f"{__package__}.commandline")
        return frame.run(name, tool.main, argv)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "ugatit_data", "ugatit_train", __package__):  # a fault of ours
            raise
        print(f"{command(name)}: {missing(package)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{command(name)}: interrupted: run it again", file=sys.stderr)
        return 1


def show(text: str) -> int:
    """Prints it; the exit code. `| head` may have read enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:  # a full disk
        print(f"ugatit: stdout: {error.strerror}: run it again", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes what it holds back when it ends
        return 1
    return 0


def name_of(file: str) -> str:
    """convert_dataset.py -> convert."""
    return next(name for name, script in SCRIPTS.items() if script == file)


def manual() -> str:
    """The tools with a line each, the first of their docstrings, which is read without importing them."""
    lines = ["usage: ugatit TOOL [OPTION] ...", "", "Unpaired image-to-image translation on MindSpore.", ""]
    for name, script in SCRIPTS.items():
        docstring = ast.get_docstring(ast.parse((HERE / script).read_text())) or ""
        lines.append(f"  {name:<17} {docstring.splitlines()[0]}")
    return "\n".join([*lines, "", "`ugatit TOOL --help` is a tool's manual, `ugatit --version` the version."])


def unknown(name: str) -> str:
    """Why `name` starts nothing."""
    if not name:
        return "give a tool: ugatit --help lists them"
    names = {known: known for known in SCRIPTS} | {Path(script).stem: known for known, script in SCRIPTS.items()}
    close = difflib.get_close_matches(name.removesuffix(".py").replace("-", "_"), names, n=1)
    return f"{name}: unknown tool: " + (f"did you mean {names[close[0]]}?" if close else "ugatit --help lists them")


def missing(package: str) -> str:
    """What is not installed, and how to install it."""
    what = f"the Python package {package} is not installed here: "
    if HERE.name == "tools":
        return f"{what}run `make install` in the clone once, and this with its .venv/bin/python"
    return f"{what}install ugatit with all that it needs, by pip install without --no-deps"


if __name__ == "__main__":
    main()
