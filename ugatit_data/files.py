"""Files that are whole or not there, their names, locks, digests; what cores and open files this process may use."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ugatit_data.errors import DataError

UNFINISHED = ".unfinished"
"""A file of this name in an output folder says that the tool which fills it has not come to its end."""

PARTIAL_SUFFIX = ".partial"
"""Ending of what is still being written: a file, or a folder."""


def user_path(text: str) -> Path:
    """A path as a user writes it: `~` and `~name` are home folders, where the shell has left them as they are.

    A shell expands them at the beginning of a word only: not in `--out=~/x`, between quotes, or in a file of options.
    """
    return Path(os.path.expanduser(text))


NAME_BYTES = 255
"""The longest name on the usual file systems."""


def fitting_name(stem: str, ending: str, limit: int = NAME_BYTES) -> str:
    """`stem` + `ending`; of more than `limit` bytes, "~" and 8 digits of the stem's SHA-256 replace the stem's end."""
    if len(os.fsencode(stem + ending)) <= limit:
        return stem + ending
    ending = f"~{sha256_hex(os.fsencode(stem))[:8]}{ending}"
    while len(os.fsencode(stem + ending)) > limit:
        stem = stem[:-1]  # by characters, so that a name in UTF-8 stays one
    return stem + ending


def partial_path(path: Path) -> Path:
    """The name that a file or folder has while it is being written."""
    return path.with_name(fitting_name(path.name, PARTIAL_SUFFIX))


@contextlib.contextmanager
def parents_made(path: Path) -> Iterator[None]:
    """The folders above `path`, made where they do not exist. At the end those that are still empty are removed.

    Raises:
        OSError: one cannot be made.
    """
    made = []
    try:
        for folder in reversed(path.absolute().parents):
            if folder.is_dir():
                continue
            try:
                folder.mkdir()
            except FileExistsError:
                if folder.is_dir():  # made by another process just now
                    continue
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
            made.append(folder)
            fsync(folder.parent)
        yield
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()


def write_whole(path: Path, content: bytes | str | Callable[[Path], object], *, durable: bool = False) -> None:
    """Write a file under its partial name and rename it: it appears complete or not at all.

    `content` is the bytes, text for UTF-8, or a function that writes the file it is given. With `durable` the contents
    are on the disk before the rename.

    Raises:
        OSError: the file cannot be written, which it names; the old one is as it was, and the partial one is gone.
    """
    partial = partial_path(path)
    try:
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
        if durable:
            fsync(partial)
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()  # a full disk needs the space
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # the system names none when a disk is full
        raise


_PLACE_HOLDERS = {
    (b"version https://git-lfs", b"version http://git-media"): "a pointer of Git LFS, not the file: `git lfs pull` it",
    (
        b"/annex/objects/",
        b"../.git/annex/",
        b".git/annex/",
    ): "a pointer of git-annex, not the file: `git annex get` it",
    (
        b"<!doctype html",
        b"<html",
        b"<head",
    ): "an HTML page, not the file: download the file itself",
}
_OTHERS = {
    (b"<?xml", b"<error"): "an XML text, perhaps a server's error, not the file: download the file again",
    (b"{", b"["): "a JSON text, perhaps a server's error, not the file: download the file again",
    (b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"): "a compressed file: unpack it",
}


def stands_in(path: Path) -> str:
    """What a download or a clone has left in a file's place, and the remedy, in words; nothing if that is not it.

    Ask it about a file that cannot be read: it looks at the first bytes only.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(512)
    except OSError:
        return ""
    if not begin:
        return "an empty file: copy or download it again"
    return place_holder(begin) or _told_by(_OTHERS, begin)


def place_holder(begin: bytes) -> str:
    """The same of a file's first bytes, but only of what nobody would put there as such: a pointer, a web page."""
    return _told_by(_PLACE_HOLDERS, begin)


def _told_by(signs: Mapping[tuple[bytes, ...], str], begin: bytes) -> str:
    plain = begin[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((words for sign, words in signs.items() if plain.startswith(sign)), "")


def fsync(path: Path) -> None:
    """Return when the contents of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder against other processes; whether it could be had.

    The lock is the kernel's (flock): it is gone when its owner is, whatever killed it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def canonical(value: object) -> bytes:
    """The one byte string of a JSON value, for digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256_hex(data: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def allow_descriptors(count: int, what: str) -> None:
    """Let this process open `count` files more: if need be, its soft limit is raised, at most to the hard one.

    Raises:
        DataError: the hard limit is too low for `what`.
    """
    need = len(os.listdir("/dev/fd")) + count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < need:  # -1 is no limit
        if 0 <= hard < need:
            raise DataError(f"{what}: takes {count} open files, this process may have {hard}. Run `ulimit -n {need}`.")
        # Above what is needed now, for whatever is opened beside it; some systems take no "no limit" here.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard >= 0 else need + 1024, hard))


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
