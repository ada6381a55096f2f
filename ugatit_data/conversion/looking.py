"""Look into a data set: list its first images, or write all of them out again."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ugatit_data.dataset.encodings import Encoding
from ugatit_data.dataset.manifest import Dataset, read_dataset, read_manifest, row_name, rows_of
from ugatit_data.dataset.mapped import is_lost, map_file
from ugatit_data.dataset.records import WAS_CUT, encoding_of, stored_record
from ugatit_data.errors import BadInputError, CorruptDatasetError, RejectedImageError, in_words
from ugatit_data.files import NAME_BYTES, parents_made, partial_path
from ugatit_data.pixels.headers import sniff
from ugatit_data.pixels.jpeg import Scratch

_ENDINGS: dict[str | None, tuple[bytes, ...]] = {
    "jpeg": (b".jpg", b".jpeg", b".jpe", b".jfif"),
    "png": (b".png",),
    "bmp": (b".bmp", b".dib"),
    "tiff": (b".tif", b".tiff"),
    "webp": (b".webp",),
    "gif": (b".gif",),
}


def peek(folder: Path, count: int) -> Iterator[str]:
    """A line for each of the first `count` images of every domain."""
    dataset = read_dataset(folder)
    seen: dict[tuple[str, str], int] = {}
    for row in read_manifest(folder, dataset).to_pylist():
        if row["reason"] is not None:
            continue
        sample = seen.setdefault((row["split"], row["domain"]), 0)
        seen[row["split"], row["domain"]] += 1
        if sample < count:
            yield (
                f"{row['split']}{row['domain'].upper()} {sample}: {os.fsdecode(row['key'])!r}, {row['width']} x "
                f"{row['height']}, {row['length']} bytes, record {row['row']} of {row['shard']}"
            )


def extract(folder: Path, target: Path) -> int:
    """Write every image into `<target>/<split><domain>/<key>`; returns how many. It is whole or not there.

    Records that are image files, and those that are the source's bytes, are written as they are, others as PNG. A name
    whose ending does not fit the contents gets one that does, unless that is another image's name, or would change the
    order of the names: converted again, with an encoding that keeps the bytes and as many shards, they are the same
    data set. Not so where images were rejected and a domain has several shards: these are cut by the number of files,
    before any is read, and the rejected ones are not there any more.

    Raises:
        BadInputError: `target` exists, or its file system takes two of the names for one.
        CorruptDatasetError: a record is damaged, or its encoding is unknown here.
        OSError: no space.
    """
    if os.path.lexists(target):
        raise BadInputError(f"{target}: exists already. Choose another folder to extract into.")
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    encoding = encoding_of(folder, dataset)
    partial = partial_path(target)
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        with parents_made(target):
            try:
                count = _write_all(folder, dataset, table, encoding, partial)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # that is about an image's name
            error.filename = str(target)  # what the user asked for; a full disk names nothing
        raise
    return count


def _write_all(folder: Path, dataset: Dataset, table: pa.Table, encoding: Encoding, target: Path) -> int:
    count = 0
    for split, domains in dataset.shards.items():
        for domain, shards in domains.items():
            names = _Names(_keys(table, split, domain))
            for shard in shards:
                path = folder / shard.file
                mapped = _mapped(path)
                for row in rows_of(table, shard):
                    record, sound = stored_record(mapped, row)
                    try:
                        data = _as_file(record, row, encoding, dataset.stored_size) if sound else b""
                    except (RejectedImageError, ValueError) as error:
                        raise CorruptDatasetError(
                            f"{path}, record {row['row']} ({row_name(row)}): cannot be decoded: {in_words(error)}. "
                            "Convert again."
                        ) from None
                    if is_lost(mapped):
                        raise CorruptDatasetError(f"{path}: {WAS_CUT}. Run --repair SRC first.")
                    if not sound:
                        raise CorruptDatasetError(
                            f"{path}, record {row['row']}: differs from its checksum. Repair it first."
                        )
                    _write_image(target, row, names.of(row["key"], data), data)
                    count += 1
    return count


def _mapped(path: Path) -> np.ndarray:
    """A shard as `map_file` gives it; what the system says of it names it, not the folder that is written."""
    if not path.is_file():
        raise CorruptDatasetError(f"{path}: missing. Run --repair SRC first.")
    try:
        return map_file(path)
    except OSError as error:
        raise CorruptDatasetError(
            f"{path}: unreadable: {error.strerror}. Allow reading it, or run --repair SRC first."
        ) from None


def _keys(table: pa.Table, split: str, domain: str) -> list[bytes]:
    """The keys of a domain's images, in their order."""
    mine = pc.and_(pc.equal(table["split"], split), pc.equal(table["domain"], domain))
    return table.filter(pc.and_(mine, pc.is_null(table["reason"])))["key"].to_pylist()


class _Names:
    """The names that a domain's images get: the keys, with an ending that fits as far as there is room for it."""

    def __init__(self, keys: list[bytes]):
        self._following = dict(itertools.pairwise(keys))
        self._folders = {key[:at] for key in keys for at, byte in enumerate(key) if byte == ord("/")}

    def of(self, key: bytes, data: bytes) -> bytes:
        """The name of an image, from its own key up to the next one: so all differ, in the order of the keys."""
        endings = _ENDINGS.get(sniff(data), ())
        if not endings or key.lower().endswith(endings):
            return key
        name = key + endings[0]
        free = name not in self._folders and (key not in self._following or name < self._following[key])
        return name if free and len(os.path.basename(name)) <= NAME_BYTES else key


def _as_file(record: np.ndarray, row: dict, encoding: Encoding, stored_size: int | None) -> bytes:
    data = record.tobytes()
    if encoding.contents == "file" or hashlib.sha256(data).digest() == row["sha256"]:
        return data
    pixels = encoding.decode(record, stored_size, Scratch())
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def _write_image(target: Path, row: dict, name: bytes, data: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(target / f"{row['split']}{row['domain'].upper()}"), name)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):  # as where large and small letters are one
        raise BadInputError(
            f"{row_name(row)}: the file system of {target.parent} takes its name for that of another image. Extract "
            "onto one that tells them apart."
        ) from None
