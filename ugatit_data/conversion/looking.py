"""Look into a data set: list its first images, or write all of them out again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from ugatit_data.dataset.encodings import Encoding
from ugatit_data.dataset.manifest import Dataset, read_dataset, read_manifest, rows_of
from ugatit_data.dataset.mapped import map_file
from ugatit_data.dataset.records import encoding_of, stored_record
from ugatit_data.errors import BadInputError, CorruptDatasetError
from ugatit_data.files import partial_path
from ugatit_data.pixels.headers import sniff
from ugatit_data.pixels.jpeg import Scratch

_ENDINGS: dict[str | None, tuple[bytes, ...]] = {"jpeg": (b".jpg", b".jpeg"), "png": (b".png",)}


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

    Records that are image files are written as they are, others as PNG. A name whose ending does not fit the contents
    gets one that does.

    Raises:
        BadInputError: `target` exists.
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
        count = _write_all(folder, dataset, table, encoding, partial)
        partial.rename(target)
    except OSError as error:
        error.filename = str(target)  # what the user asked for; a full disk names nothing
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def _write_all(folder: Path, dataset: Dataset, table: pa.Table, encoding: Encoding, target: Path) -> int:
    count = 0
    for shard in dataset.all_shards():
        if not (folder / shard.file).is_file():
            raise CorruptDatasetError(f"{folder / shard.file}: missing. Run --repair SRC first.")
        mapped = map_file(folder / shard.file)
        for row in rows_of(table, shard):
            record, sound = stored_record(mapped, row)
            if not sound:
                raise CorruptDatasetError(
                    f"{folder / shard.file}, record {row['row']}: differs from its checksum. Repair it first."
                )
            _write_image(target, row, _as_file(record, encoding, dataset.stored_size))
            count += 1
    return count


def _as_file(record: np.ndarray, encoding: Encoding, stored_size: int | None) -> bytes:
    if encoding.contents == "file":
        return record.tobytes()
    pixels = encoding.decode(record, stored_size, Scratch())
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def _write_image(target: Path, row: dict, data: bytes) -> None:
    endings = _ENDINGS[sniff(data)]
    key = row["key"] if row["key"].lower().endswith(endings) else row["key"] + endings[0]
    path = os.path.join(os.fsencode(target / f"{row['split']}{row['domain'].upper()}"), key)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(data)
