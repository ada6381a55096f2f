"""The folder in which MindSpore reads and writes the graphs of this process, one after the other.

MindSpore asks for its place once a process, so every process has its own, below the folder for temporary files. It is
locked while its process lives: the next process removes what is not locked, which one that was killed has left.
"""

import atexit
import contextlib
import functools
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn
from mindspore._c_expression import ms_ctx_param

from ugatit_data.files import lock

_ROOM = 256 << 20  # bytes that must be free
_PREFIX = "ugatit-graphs-"


def own_scratch() -> "Scratch":
    """The one of this process.

    Raises:
        OSError: there can be none. A process that was forked after its parent got one is such: MindSpore in it keeps
            to the folder, and to the numbers, of the parent.
    """
    found = _first()
    if found.owner != os.getpid():
        raise OSError("this process was forked from one that has compiled, and MindSpore in it uses that one's folder")
    return found


@functools.cache
def _first() -> "Scratch":
    return Scratch()


class Scratch:
    """The folder of MindSpore's cache in this process. It numbers the graphs that it compiles with the cache on."""

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.path, self.descriptor = _locked_folder()
        self.owner = os.getpid()
        self.next = 0
        atexit.register(self.remove)

    def remove(self) -> None:
        if os.getpid() == self.owner:  # not in a forked process
            shutil.rmtree(self.path, ignore_errors=True)

    def compile(self, cell: nn.Cell, inputs: tuple[Tensor, ...]) -> bool:
        """Compiles with MindSpore's cache, which asks nothing; False if the cell was ready for such inputs before.

        It is switched on below `ms.set_context`, with which MindSpore follows the imports of the program's file, to
        digest their sources, and stops at a relative one.
        """
        force, settings, ready = "MS_DEV_FORCE_USE_COMPILE_CACHE", ms.context._context(), len(cell.compile_cache)
        before = os.environ.get(force)
        os.environ[force] = "1"
        ms.set_context(compile_cache_path=str(self.path))
        settings.set_param(ms_ctx_param.enable_compile_cache, 1)
        try:
            cell.compile(*inputs)
        except BaseException:
            self.next += 1
            raise
        finally:
            settings.set_param(ms_ctx_param.enable_compile_cache, 0)
            os.environ.pop(force)
            if before is not None:
                os.environ[force] = before
        return len(cell.compile_cache) > ready

    def clear(self) -> None:
        self.path.mkdir(exist_ok=True)
        for child in self.path.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()

    def check_room(self) -> None:
        """Raises OSError where there is too little: MindSpore does not tell when a disk is full."""
        if shutil.disk_usage(self.path).free < _ROOM:
            raise OSError(0, f"less than {_ROOM >> 20} MB are free", str(self.path))

    def put(self, files: dict[str, bytes]) -> None:
        """Lays a graph's files where MindSpore looks for those of the graph that it compiles next."""
        for name, data in files.items():
            path = self.path / _numbered(name, self.next)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def loaded(self, files: dict[str, bytes]) -> bool:
        """Whether the files are as `put` left them after a compilation: MindSpore loaded them, and wrote nothing."""
        if self._found() != {_numbered(name, self.next): data for name, data in files.items()}:
            return False
        self.next += 1
        return True

    def take(self) -> dict[str, bytes]:
        """The files of the graph that was compiled last, with # for its number.

        None if MindSpore has not written them to their end, as on a full disk: it raises nothing then. From a file that
        is whole it takes the permission to write.
        """
        found = self._found()
        numbers = {int(match[1]) for name in found if (match := re.search(r"compile_cache_(\d+)\.mindir$", name))}
        if not numbers:
            return {}
        self.next = max(numbers) + 1
        if any((self.path / name).stat().st_mode & stat.S_IWUSR for name in found if name.endswith(".mindir")):
            return {}
        return {re.sub(rf"_{max(numbers)}(?=\D*$)", "_#", name): data for name, data in found.items()}

    def _found(self) -> dict[str, bytes]:
        paths = [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.suffix != ".hash"]
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in paths}


def _numbered(name: str, number: int) -> str:
    return name.replace("#", str(number))


def _locked_folder() -> tuple[Path, int]:
    """A new folder, and a descriptor that keeps it locked while this process lives."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        with contextlib.suppress(FileNotFoundError):  # `_sweep` of another process was quicker than the lock
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if lock(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat()):
                    return path, descriptor
            except FileNotFoundError:
                os.close(descriptor)
                raise
            except OSError:  # no locks here, for others neither
                return path, descriptor
            os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Removes what processes that were killed have left. One that lives holds a lock, and so do its forked ones."""
    for left in folder.glob(f"{_PREFIX}*"):
        if not re.fullmatch(rf"{_PREFIX}\d+-\w+", left.name):
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, another user's, or no locks here
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.getuid() and lock(descriptor):
                    shutil.rmtree(left)
            finally:
                os.close(descriptor)
