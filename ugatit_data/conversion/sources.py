"""Where images come from: folders of images, and what any source must offer.

A source is small and can be pickled; it lists the entries of each domain once, and reads one entry's bytes at a time,
in any process. Keys are bytes, for file names need not be UTF-8.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ugatit_data.dataset.manifest import SPLITS
from ugatit_data.errors import BadInputError, RejectedImageError

MAX_SOURCE_BYTES = 1 << 30  # no file of 178 megapixels is larger; and no device file may fill the memory

Domain = tuple[str, str]  # (split, domain): ("train", "a")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One source image that may exist."""

    key: bytes
    size: int
    stamp: int
    """Changes when the file does (mtime in ns). For resuming on this machine only: it enters no published file."""


class Source(Protocol):
    """What a conversion needs of a source. Small, and can be pickled."""

    def entries(self) -> dict[Domain, list[Entry]]:
        """The entries of every domain, sorted by the bytes of their keys. Raises BadInputError."""

    def read(self, split: str, domain: str, key: bytes) -> bytes:
        """The bytes of one entry. Raises RejectedImageError where they cannot be had."""


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
        """
        if not self.root.is_dir():
            raise BadInputError(f"{self.root}: no such folder. Pass the folder that holds trainA and trainB.")
        found = {}
        for split in SPLITS:
            for domain in ("a", "b"):
                folder = self.folder(split, domain)
                if not folder.is_dir():
                    if split == "train":
                        raise BadInputError(
                            f"{folder}: no such folder. Put the images of domain {domain.upper()} there."
                        )
                    continue
                listed = sorted(_walk(os.fsencode(folder)), key=lambda entry: entry.key)
                if listed:
                    found[split, domain] = listed
                elif split == "train":
                    raise BadInputError(f"{folder}: empty. Put the images of domain {domain.upper()} there.")
        return found

    def folder(self, split: str, domain: str) -> Path:
        return self.root / f"{split}{domain.upper()}"

    def read(self, split: str, domain: str, key: bytes) -> bytes:
        """The bytes of one entry. Raises RejectedImageError where they cannot be had."""
        path = os.path.join(os.fsencode(self.folder(split, domain)), key)
        try:
            return read_regular(path)
        except OSError as error:
            raise RejectedImageError(f"unreadable: {error.strerror}") from None


def as_source(source: str | os.PathLike | Source) -> Source:
    """A folder's name as a `FolderSource`; a source as it is."""
    return FolderSource(Path(source)) if isinstance(source, str | os.PathLike) else source


def read_regular(path: bytes) -> bytes:
    """The bytes of a regular file. Raises RejectedImageError for another kind or a huge one, OSError otherwise."""
    # O_NONBLOCK: opening a FIFO must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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


def _walk(folder: bytes) -> list[Entry]:
    entries: list[Entry] = []
    root = os.stat(folder)
    pending = [(b"", frozenset([(root.st_dev, root.st_ino)]))]
    while pending:
        prefix, above = pending.pop()
        for item in _listed(os.path.join(folder, prefix)):
            if item.name.startswith(b"."):
                continue
            key = prefix + item.name
            try:
                info = item.stat()
            except OSError:  # a dangling link, or gone meanwhile: reading it will name the reason
                entries.append(Entry(key, 0, 0))
                continue
            if not stat.S_ISDIR(info.st_mode):
                entries.append(Entry(key, info.st_size, info.st_mtime_ns))
            elif (info.st_dev, info.st_ino) not in above:
                pending.append((key + b"/", above | {(info.st_dev, info.st_ino)}))
    return entries


def _listed(folder: bytes) -> Iterator[os.DirEntry]:
    """The items of a folder, one by one: a list of them all would take much memory."""
    try:
        with os.scandir(folder) as items:
            yield from items
    except OSError as error:
        raise BadInputError(f"{os.fsdecode(folder)}: {error.strerror}. Allow reading it.") from None
