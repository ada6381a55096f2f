"""Where images come from: folders of images, and what any source must offer.

A source is small and can be pickled; it lists the entries of each domain once, and reads one entry's bytes at a time,
in any process. Keys are bytes, for file names need not be UTF-8.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ugatit_data.dataset.manifest import SPLITS
from ugatit_data.errors import BadInputError, ConversionError, RejectedImageError

# What the system says of one file, and will say again: its row of the ledger. All else is a source that fails.
# A socket is ENXIO on Linux, EOPNOTSUPP on macOS.
_OF_ONE_FILE = {
    *(errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP),
}

MAX_SOURCE_BYTES = 1 << 30  # no file of 178 megapixels is larger; and no device file may fill the memory

Domain = tuple[str, str]  # (split, domain): ("train", "a")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One source image that may exist."""

    key: bytes
    size: int
    stamp: int
    """Changes when the file does (mtime in ns). For resuming on this machine only: it enters no published file."""
    absent: bool = False
    """Whether nothing was there when it was listed, as behind a link that leads nowhere: then it is rejected. What is
    gone later is a source that fails."""


class Source(Protocol):
    """What a conversion needs of a source. Small, and can be pickled."""

    def entries(self) -> dict[Domain, list[Entry]]:
        """The entries of every domain, sorted by the bytes of their keys.

        Raises:
            BadInputError: there is no such source.
            ConversionError: it fails, as a disk does.
        """

    def read(self, split: str, domain: str, key: bytes) -> bytes:
        """The bytes of one entry.

        Raises:
            RejectedImageError: this one cannot be had, and never will be.
            OSError: nothing is there, or the source fails.
        """


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Folders `trainA`, `trainB` and, if they are there, `testA` and `testB`, with images at any depth.

    A key is the path below the domain's folder in POSIX form. Names that begin with a dot are left out. Links are
    followed; a loop of links is left at its second turn.
    """

    root: Path

    def entries(self) -> dict[Domain, list[Entry]]:
        """The entries of every domain, sorted by the bytes of their keys.

        Raises:
            BadInputError: no folder, or trainA or trainB is missing or empty.
            ConversionError: the source fails while it is listed.
        """
        if not is_folder(self.root):
            raise BadInputError(f"{self.root}: no such folder. Pass the folder that holds trainA and trainB.")
        found = {}
        for split in SPLITS:
            for domain in ("a", "b"):
                folder = self.folder(split, domain)
                if not is_folder(folder):
                    if split == "train":
                        raise BadInputError(
                            f"{folder}: no such folder. Put the images of domain {domain.upper()} there."
                        )
                    if os.path.lexists(folder):
                        raise BadInputError(f"{folder}: no folder, or a link that leads nowhere. Mend or remove it.")
                    continue
                listed = sorted(walk(os.fsencode(folder)), key=lambda entry: entry.key)
                if listed:
                    found[split, domain] = listed
                elif split == "train":
                    raise BadInputError(f"{folder}: empty. Put the images of domain {domain.upper()} there.")
        return found

    def folder(self, split: str, domain: str) -> Path:
        return self.root / f"{split}{domain.upper()}"

    def read(self, split: str, domain: str, key: bytes) -> bytes:
        """The bytes of one entry; raises as `read_regular`."""
        return read_regular(os.path.join(os.fsencode(self.folder(split, domain)), key))


def is_folder(path: Path) -> bool:
    """Whether a folder is there; raises as `walk` where that cannot be told."""
    try:
        return path.is_dir()
    except OSError as error:
        raise _not_listed(str(path), error) from None


def as_source(source: str | os.PathLike | Source) -> Source:
    """A folder's name as a `FolderSource`; a source as it is."""
    return FolderSource(Path(source)) if isinstance(source, str | os.PathLike) else source


def read_regular(path: bytes) -> bytes:
    """The bytes of a regular file.

    Raises:
        RejectedImageError: it is of another kind, huge, or must not be read.
        OSError: nothing is there, or the file system fails.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _OF_ONE_FILE:
            raise RejectedImageError(unreadable(error)) from None
        raise
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise RejectedImageError("not a regular file")
        if info.st_size > MAX_SOURCE_BYTES:
            raise RejectedImageError(f"too large: {info.st_size} bytes, the limit is {MAX_SOURCE_BYTES}")
        with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
            return file.readall()
    finally:
        os.close(descriptor)


def unreadable(error: OSError) -> str:
    """The reason of a rejection."""
    return f"unreadable: {error.strerror}"


def failed(name: str, error: OSError) -> ConversionError:
    """What is raised where the source itself fails, or loses what it held when it was listed; `name` is of it."""
    return ConversionError(
        f"{name}: {error.strerror or error}. The source has changed or fails: bring the file back, or remove it for "
        "good, and run the same command again to resume."
    )


def walk(folder: bytes) -> list[Entry]:
    """The files at any depth below a folder, in no order: see `FolderSource`.

    Raises:
        BadInputError: a folder must not be read.
        ConversionError: the source fails. What is listed short would be a loss in silence.
    """
    entries: list[Entry] = []
    try:
        root = os.stat(folder)
    except OSError as error:
        raise _not_listed(os.fsdecode(folder), error) from None
    pending = [(b"", frozenset([(root.st_dev, root.st_ino)]))]
    while pending:
        prefix, above = pending.pop()
        for item in _listed(os.path.join(folder, prefix)):
            if item.name.startswith(b"."):
                continue
            key = prefix + item.name
            try:
                info = item.stat()
            except OSError as error:
                if not _leads_nowhere(item, error):
                    raise failed(os.fsdecode(item.path), error) from None
                entries.append(Entry(key, 0, 0, absent=True))  # reading it will name the reason
                continue
            if not stat.S_ISDIR(info.st_mode):
                entries.append(Entry(key, info.st_size, info.st_mtime_ns))
            elif (info.st_dev, info.st_ino) not in above:
                pending.append((key + b"/", above | {(info.st_dev, info.st_ino)}))
    return entries


def _leads_nowhere(item: os.DirEntry, error: OSError) -> bool:
    """Whether an item that cannot be looked at is a dangling link, or must not be read; else the source fails."""
    dangles = isinstance(error, FileNotFoundError | NotADirectoryError) and item.is_symlink()
    return dangles or error.errno in _OF_ONE_FILE


def _listed(folder: bytes) -> Iterator[os.DirEntry]:
    """The items of a folder, one by one: a list of them all would take much memory."""
    try:
        with os.scandir(folder) as items:
            yield from items
    except OSError as error:
        raise _not_listed(os.fsdecode(folder), error) from None


def _not_listed(folder: str, error: OSError) -> BadInputError | ConversionError:
    if error.errno in _OF_ONE_FILE:
        return BadInputError(f"{folder}: {error.strerror}. Allow reading it.")
    return failed(folder, error)
