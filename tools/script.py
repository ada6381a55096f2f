"""What a tool's file does when it is run as a script: tools/train.py, of a clone or of an installed package."""

import importlib
import sys
from pathlib import Path
from typing import NoReturn


def start_tool(file: str) -> NoReturn:
    """Runs the tool in `file` as `ugatit` does it: as a module of the package that its folder is."""
    path = Path(file).resolve()
    root = str(path.parents[1])
    sys.path[:1] = [] if root in sys.path[1:] else [root]  # was the folder of the tools, whose names are common words
    sys.argv[0] = str(path)
    del sys.modules["__main__"].__file__  # the converter's worker processes would import the tool again
    command = importlib.import_module(f"{path.parent.name}.__main__")
    sys.exit(command.start(command.name_of(path.name), sys.argv[1:]))
