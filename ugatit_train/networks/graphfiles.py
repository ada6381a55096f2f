"""The files of the compile cache: each holds what MindSpore wrote for one graph, and is whole or not there.

One without files in it stands for a graph that MindSpore could not write.
"""

import contextlib
import json
import logging
import os
import re
import time
import uuid
from pathlib import Path

from ugatit_data.files import PARTIAL_SUFFIX, sha256_hex

SUFFIX = ".graph"
_FORMAT = b"ugatit graph 1\n"
_OLD_S = 3600.0  # nobody writes at one file for so long

_log = logging.getLogger(__name__)


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


def write(path: Path, files: dict[str, bytes]) -> None:
    """Keep the files of a graph. Processes that write one graph at a time have a partial file each. Raises OSError."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}")  # containers have equal process ids
    try:
        partial.write_bytes(pack(files))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def evict(folder: Path, limit: int) -> None:
    """Removes the graphs that were used longest ago until the rest has `limit` bytes, and what dead processes left."""
    found = []
    for path in _ours(folder, ""):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total > limit:
            path.unlink(missing_ok=True)
            total -= size
    for left in _ours(folder, rf"\.\w+{re.escape(PARTIAL_SUFFIX)}"):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            if time.time() - left.stat().st_mtime > _OLD_S:
                left.unlink()


def _ours(folder: Path, ending: str) -> list[Path]:
    """The files that `write` has named: a user may give a folder that holds others."""
    name = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}{ending}")
    return [path for path in folder.iterdir() if name.fullmatch(path.name)]
