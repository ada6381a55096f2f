"""Compiles a Cell, or loads its graph from a folder of graphs that were compiled before.

MindSpore writes and reads the graphs; its own check of what fits compares source files only, so it is switched off, and
the name of a file here, `graphkey.key`, says what fits. MindSpore reads the folder of its cache once a process: it gets
one of the process's own, and a file goes in just before a compilation, or out after it.
"""

import atexit
import contextlib
import functools
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn
from mindspore._c_expression import ms_ctx_param

from ugatit_data.files import PARTIAL_SUFFIX, sha256_hex
from ugatit_train.networks import graphkey
from ugatit_train.networks.fingerprint import UnknownValueError
from ugatit_train.runtime import Worker, device

VARIABLE = "UGATIT_COMPILE_CACHE"
"""The environment's word for `auto`: off, or a folder."""
LIMIT = 2 << 30  # bytes of a folder
SUFFIX = ".graph"
_FORMAT = b"ugatit graph 1\n"
_OLD_S = 3600.0  # nobody writes at one file for so long
_ROOM = 256 << 20  # bytes that must be free: MindSpore does not tell when a disk is full

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
        return Path(choice)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache_home = Path(cache) if Path(cache).is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError as error:
        _log.warning("no compile cache: %s: compiling takes its full time", error)  # a user without a home
        return None
    return cache_home / "ugatit" / "graphs"


@functools.cache
def graphs() -> "GraphCache":
    """The cache of this process where there is no option to choose one."""
    return GraphCache(folder_of("auto", device()))


class GraphCache:
    """Compiled graphs in a folder, which processes share; the oldest go when they are more than `limit` bytes."""

    def __init__(self, folder: Path | None, worker: Worker | None = None, limit: int = LIMIT):
        self.folder, self.worker, self.limit = folder, worker or Worker(), limit

    def compile(self, cell: nn.Cell, *inputs: Tensor) -> bool:
        """Makes `cell` ready to be called with such inputs; whether its graph came from the folder.

        A file that is damaged, and a folder that cannot be used, cost one warning and the time of compiling.
        """
        with _one_at_a_time:
            path = self._path(cell, inputs)
            if path is not None:
                try:
                    return self._compile(path, cell, inputs)
                except _UnusableError as error:
                    self._switch_off(str(error))
            cell.compile(*inputs)
            return False

    def _path(self, cell: nn.Cell, inputs: tuple[Tensor, ...]) -> Path | None:
        if self.folder is None:
            return None
        try:
            found = graphkey.parts(cell, inputs, self.worker)
        except UnknownValueError as error:
            _log.warning("this network is not kept in the compile cache: it holds an unknown kind of value: %s", error)
            return None
        except OSError as error:
            self._switch_off(f"a source file cannot be read: {error}")
            return None
        if found["sources"] != _at_import:
            self._switch_off("source files of ugatit changed since this program began")
            return None
        return self.folder / f"{graphkey.key(found)}{SUFFIX}"

    def _switch_off(self, reason: str) -> None:
        _log.warning("no compile cache: %s: compiling takes its full time", reason)
        self.folder = None

    def _compile(self, path: Path, cell: nn.Cell, inputs: tuple[Tensor, ...]) -> bool:
        with _refusals(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = _scratch()
            files = read(path)
            scratch.clear()
            if files is not None:
                scratch.put(files)
        if files is not None:
            try:
                with scratch.given():
                    cell.compile(*inputs)
            except Exception as error:  # of any kind: MindSpore reads a file of another program's making
                _log.warning("%s: MindSpore cannot load it (%s): compiling again", path, str(error).partition("\n")[0])
                path.unlink(missing_ok=True)
                scratch.clear()
                files = None
            else:
                if scratch.has_only(files):
                    scratch.next += 1
                    with contextlib.suppress(OSError):
                        os.utime(path)  # used last now
                    return True
        if files is None:
            with scratch.given():
                cell.compile(*inputs)
        with _refusals(path.parent):
            self._keep(path, scratch)
        return False

    def _keep(self, path: Path, scratch: "_Scratch") -> None:
        files = scratch.take()
        if files and graphkey.sources() == _at_import:
            # Two processes may write one graph at a time: each has a partial file of its own.
            partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
            try:
                partial.write_bytes(pack(files))
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
            evict(path.parent, self.limit)


class _UnusableError(Exception):
    """The folder cannot be used."""


@contextlib.contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _UnusableError(f"{error.filename or folder}: {error.strerror or error}") from None


def pack(files: dict[str, bytes]) -> bytes:
    """The contents of a file of the cache: the format, a digest, names and sizes, and the files one after the other."""
    rest = json.dumps({name: len(data) for name, data in files.items()}).encode() + b"\n" + b"".join(files.values())
    return _FORMAT + sha256_hex(rest).encode() + b"\n" + rest


def unpack(data: bytes) -> dict[str, bytes]:
    """What `pack` was given. Raises ValueError: damaged."""
    head, digest, rest = data[: len(_FORMAT)], data[len(_FORMAT) :][:64], data[len(_FORMAT) + 65 :]
    if head != _FORMAT or sha256_hex(rest).encode() != digest:
        raise ValueError("damaged")
    names, _, rest = rest.partition(b"\n")
    files = {}
    for name, size in json.loads(names).items():
        files[name], rest = rest[:size], rest[size:]
    return files


def read(path: Path) -> dict[str, bytes] | None:
    """The files of a graph, None if there is no such graph; a damaged one goes, with a warning."""
    try:
        return unpack(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        _log.warning("%s: damaged: compiling again", path)
        path.unlink(missing_ok=True)
        return None


def evict(folder: Path, limit: int) -> None:
    """Removes the graphs that were used longest ago until the rest has `limit` bytes, and what dead processes left."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total > limit:
            path.unlink(missing_ok=True)
            total -= size
    for left in folder.glob(f"*{PARTIAL_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            if time.time() - left.stat().st_mtime > _OLD_S:
                left.unlink()


class _Scratch:
    """The folder of MindSpore's cache in this process. It numbers the graphs that it compiles with the cache on."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ugatit-graphs-"))
        self.owner = os.getpid()
        self.next = 0
        atexit.register(self.remove)

    def remove(self) -> None:
        if os.getpid() == self.owner:  # not in a forked process
            shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def given(self) -> Iterator[None]:
        """MindSpore's cache is on inside, and asks nothing.

        It is switched on below `ms.set_context`, with which MindSpore follows the imports of the program's file, to
        digest their sources, and stops at a relative one.
        """
        force, settings = "MS_DEV_FORCE_USE_COMPILE_CACHE", ms.context._context()
        before = os.environ.get(force)
        os.environ[force] = "1"
        ms.set_context(compile_cache_path=str(self.path))
        settings.set_param(ms_ctx_param.enable_compile_cache, 1)
        try:
            yield
        finally:
            settings.set_param(ms_ctx_param.enable_compile_cache, 0)
            os.environ.pop(force)
            if before is not None:
                os.environ[force] = before

    def clear(self) -> None:
        self.path.mkdir(exist_ok=True)
        for child in self.path.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        if shutil.disk_usage(self.path).free < _ROOM:
            raise OSError(0, f"less than {_ROOM >> 20} MB are free", str(self.path))

    def put(self, files: dict[str, bytes]) -> None:
        """Lays a graph's files where MindSpore looks for those of the graph that it compiles next."""
        for name, data in files.items():
            path = self.path / _numbered(name, self.next)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def has_only(self, files: dict[str, bytes]) -> bool:
        """Whether the files are as `put` left them: MindSpore loaded them, and wrote nothing."""
        return self._found() == {_numbered(name, self.next): data for name, data in files.items()}

    def take(self) -> dict[str, bytes]:
        """The files of the graph that was compiled last, with # for its number; none if MindSpore wrote none."""
        found = self._found()
        numbers = {int(match[1]) for name in found if (match := re.search(r"compile_cache_(\d+)\.mindir$", name))}
        if not numbers:
            return {}
        self.next = max(numbers) + 1
        return {re.sub(rf"_{max(numbers)}(?=\D*$)", "_#", name): data for name, data in found.items()}

    def _found(self) -> dict[str, bytes]:
        paths = [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.suffix != ".hash"]
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in paths}


def _numbered(name: str, number: int) -> str:
    return name.replace("#", str(number))


@functools.cache
def _scratch() -> _Scratch:
    """The one of this process."""
    return _Scratch()
