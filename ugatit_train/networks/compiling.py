"""Compiles a Cell, or loads its graph from a folder of graphs that were compiled before.

MindSpore writes and reads the graphs; its own check of what fits compares source files only, so it is switched off, and
the name of a file here, `graphkey.key`, says what fits. MindSpore has a folder of its own, `graphscratch`: a file goes
in just before a compilation, or out after it.
"""

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mindspore import Tensor, nn

from ugatit_data.files import user_path
from ugatit_train.errors import first_line
from ugatit_train.networks import graphfiles, graphkey
from ugatit_train.networks.fingerprint import UnknownValueError
from ugatit_train.networks.graphscratch import Scratch, own_scratch
from ugatit_train.runtime import Worker, device

VARIABLE = "UGATIT_COMPILE_CACHE"
"""The environment's word for `auto`: off, or a folder."""
LIMIT = 2 << 30  # bytes of a folder

_log = logging.getLogger(__name__)
_at_import = graphkey.sources()
_one_at_a_time = threading.RLock()


def folder_of(choice: str, device_target: str) -> Path | None:
    """The folder that `--compile_cache` names, None for none.

    auto: what the environment's UGATIT_COMPILE_CACHE says, otherwise one in the user's cache folder, on the CPU only.
    """
    if choice == "auto":
        choice = os.environ.get(VARIABLE) or "auto"
    if choice == "off" or (choice == "auto" and device_target != "CPU"):
        return None
    if choice != "auto":
        return user_path(choice)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache_home = Path(cache) if Path(cache).is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError as error:
        _log.warning("no compile cache: %s: compiling takes its full time", error)  # a user without a home
        return None
    return cache_home / "ugatit" / "graphs"


@functools.cache
def graphs(choice: str = "auto") -> "GraphCache":
    """The cache of this process for a choice of `--compile_cache`; a step's has its worker too."""
    return GraphCache(folder_of(choice, device()))


def through_cache(cell: nn.Cell, cache: "GraphCache | None" = None) -> Callable[..., Any]:
    """`cell` as a function of Tensors, compiled or loaded at each new shape; by the process's cache, or by `cache`."""
    seen = set()

    def call(*inputs: Tensor) -> Any:
        shapes = () if cell.get_inputs() else tuple((str(each.dtype), each.shape) for each in inputs)
        if shapes not in seen:
            (cache or graphs()).compile(cell, *inputs)
            seen.add(shapes)
        return cell(*inputs)

    return call


class GraphCache:
    """Compiled graphs in a folder, which processes share; the oldest go when they are more than `limit` bytes."""

    def __init__(self, folder: Path | None, worker: Worker | None = None, limit: int = LIMIT):
        self.folder, self.worker, self.limit = folder, worker or Worker(), limit

    def compile(
        self, cell: nn.Cell, *inputs: Tensor, at_compiling: Callable[[Path | None], object] = lambda kept: None
    ) -> bool:
        """Makes `cell` ready to be called with such inputs; whether its graph came from the folder.

        `at_compiling` is called where it did not, before the cell is compiled, which takes long, with the folder
        that will keep its graph, or None.
        A file that is damaged, a folder that cannot be used and a graph that MindSpore cannot write cost one warning
        and the time of compiling.
        """
        with _one_at_a_time:
            path = self._path(cell, inputs)
            if path is not None:
                try:
                    return self._compile(path, cell, inputs, at_compiling)
                except _UnusableError as error:
                    self._switch_off(str(error))
            at_compiling(None)
            cell.compile(*inputs)
            return False

    def _path(self, cell: nn.Cell, inputs: tuple[Tensor, ...]) -> Path | None:
        if self.folder is None or cell.get_inputs():  # MindSpore cannot write a graph of open shapes
            return None
        try:
            found = graphkey.parts(cell, inputs, self.worker)
        except UnknownValueError as error:
            _log.warning("this network is not kept in the compile cache: it holds an unknown kind of value: %s", error)
            return None
        except OSError as error:
            self._switch_off(f"a source file cannot be read: {error}")
            return None
        except Exception as error:  # of a user's object that was looked at
            name = type(error).__name__
            _log.warning("this network is not kept in the compile cache: %s: %s", name, first_line(error))
            return None
        if found["sources"] != _at_import:
            self._switch_off("source files of ugatit changed since this program began")
            return None
        return self.folder / f"{graphkey.key(found)}{graphfiles.SUFFIX}"

    def _switch_off(self, reason: str) -> None:
        _log.warning("no compile cache: %s: compiling takes its full time", reason)
        self.folder = None

    def _compile(
        self, path: Path, cell: nn.Cell, inputs: tuple[Tensor, ...], at_compiling: Callable[[Path | None], object]
    ) -> bool:
        with _refusals(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = own_scratch()
            files = graphfiles.read(path)
            if files == {}:  # known to be one that cannot be kept
                at_compiling(None)
                cell.compile(*inputs)
                return False
            scratch.clear()
            scratch.check_room()
            if files is not None:
                scratch.put(files)
        if files is not None:
            try:
                is_new = scratch.compile(cell, inputs)
            except Exception as error:  # of any kind: MindSpore reads a file of another program's making
                _log.warning("%s: MindSpore cannot load it (%s): compiling again", path, first_line(error))
                with _refusals(path.parent):
                    path.unlink(missing_ok=True)
                    scratch.clear()
                files = None
            else:
                if not is_new:
                    return False
                if scratch.loaded(files):
                    with contextlib.suppress(OSError):
                        scratch.clear()
                        os.utime(path)  # used last now
                    return True
        if files is None:
            at_compiling(path.parent)
            try:
                if not scratch.compile(cell, inputs):
                    return False
            except Exception as error:  # of the network, or of writing its graph: not every graph can be written
                cell.compile(*inputs)
                self._account(path, error)
                return False
        with _refusals(path.parent):
            self._keep(path, scratch)
        return False

    def _account(self, path: Path, error: Exception) -> None:
        """Tells of a graph that compiles, but not while it is written: its operations may be the cause, for ever."""
        if "export" in str(error).lower() and not isinstance(error, OSError):
            _log.warning("MindSpore cannot keep this graph (%s): each start compiles it", first_line(error))
            with _refusals(path.parent):
                graphfiles.write(path, {})
        else:
            _log.warning("this graph is not kept this time (%s): the next start tries it again", first_line(error))

    def _keep(self, path: Path, scratch: Scratch) -> None:
        files = scratch.take()
        if not files:
            _log.warning("MindSpore has not written this graph in %s: the next start tries it again", scratch.path)
        elif graphkey.sources() == _at_import:
            graphfiles.write(path, files)
            graphfiles.evict(path.parent, self.limit)
        scratch.clear()


class _UnusableError(Exception):
    """The folder cannot be used."""


@contextlib.contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _UnusableError(f"{error.filename or folder}: {error.strerror or error}") from None
