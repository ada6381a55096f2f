"""The only file that knows MindRecord: write one shard, find its records, have MindDataset read them.

A shard is one MindRecord file of one part, with a single bytes column `image`; its index is `<file>.db`. Its layout:
an 8-byte length and a JSON header, then pages. The .db says in which page and where each record's blob lies; the blob
is an 8-byte length and the record. Its name stands in its header and in its .db, so a file cannot be renamed; its
folder can.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.errors import ConversionError

COLUMN = "image"
MIN_PAGE, MAX_PAGE = 1 << 20, 1 << 28
MIN_HEADER, MAX_HEADER = 1 << 16, 1 << 27
MAX_RECORD = MAX_PAGE - (1 << 12)  # less the length word, rounded
_ROWS_PER_WRITE, _BYTES_PER_WRITE = 256, 8 << 20  # a group of rows that MindRecord takes at once
_HEADER_PER_PAGE, _HEADER_PER_GROUP = 256, 40  # bytes of JSON, rounded up
_LENGTH_WORD = 8


def write_shard(path: Path, lengths: Sequence[int], records: Iterable[bytes]) -> np.ndarray:
    """Write records into a new shard and return where each lies, int64 (rows, 2): offset and length.

    `lengths` are those of `records`; the page size is the smallest power of two that holds the largest.

    Raises:
        ConversionError: MindRecord failed, or did not write what it was given.
    """
    from mindspore.mindrecord import FileWriter

    page = MIN_PAGE
    while page < max(lengths) + _LENGTH_WORD:
        page *= 2
    try:
        writer = FileWriter(str(path), shard_num=1)
        writer.set_page_size(page)
        writer.set_header_size(_header_size(lengths, page))
        writer.add_schema({COLUMN: {"type": "bytes"}}, "image")
        group: list[dict[str, bytes]] = []
        held = 0
        for record in records:
            group.append({COLUMN: record})
            held += len(record)
            if len(group) == _ROWS_PER_WRITE or held >= _BYTES_PER_WRITE:
                writer.write_raw_data(group)
                group, held = [], 0
        if group:
            writer.write_raw_data(group)
        writer.commit()
        places = record_places(path)
    except (RuntimeError, sqlite3.Error, OSError, struct.error, ValueError) as error:
        raise ConversionError(
            f"{path.name}: MindRecord could not write it: {_reason(error)}. Make room, or see to it, and run the same "
            "command again to resume."
        ) from error
    if [length for _, length in places.tolist()] != list(lengths):
        raise ConversionError(f"{path.name}: MindRecord wrote other records than it was given. Is the disk full?")
    return places


def _reason(error: Exception) -> str:
    """The line that says what happened; MindSpore frames it with a dozen others."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    told = next((line.removeprefix("[ERROR]") for line in lines if line.startswith("[ERROR]")), lines[0])
    return told.strip().rstrip(".")


def _header_size(lengths: Sequence[int], page: int) -> int:
    """Bytes to reserve for the JSON header, which lists every page and every group of rows."""
    total = sum(lengths) + _LENGTH_WORD * len(lengths)
    groups = len(lengths) // _ROWS_PER_WRITE + total // _BYTES_PER_WRITE + 1
    pages = 2 * (total // page) + 2 * groups + 8  # pages are at least half full; groups start pages of their own
    need, size = pages * _HEADER_PER_PAGE + groups * _HEADER_PER_GROUP + 4096, MIN_HEADER
    while size < need:
        size *= 2
    if size > MAX_HEADER:
        raise ConversionError(f"{len(lengths)} records of {total} bytes are too many for one shard. Use more --shards.")
    return size


def db_path(path: Path) -> Path:
    """The index that belongs to a shard."""
    return path.with_name(path.name + ".db")


def record_places(path: Path) -> np.ndarray:
    """Where the records of a shard lie, from its header and .db: int64 (rows, 2), offset and length."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > MAX_HEADER:
            raise ValueError(f"{path.name}: a header of {size} bytes")
        header = json.loads(file.read(size))
    query = "select PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END from INDEXES order by ROW_ID"
    with contextlib.closing(sqlite3.connect(f"{db_path(path).absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = np.array(db.execute(query).fetchall(), np.int64).reshape(-1, 3)
    page = header["header_size"] + rows[:, 0] * header["page_size"]
    begin = page + rows[:, 1] + _LENGTH_WORD
    return np.stack([begin, page + rows[:, 2] - begin], 1)


def mind_dataset(files: Sequence[Path], samples: Sequence[int]) -> Any:
    """A MindDataset of the given records, numbered over all files, in the given order."""
    import mindspore.dataset as ds

    names, sampler = [str(file) for file in files], ds.SubsetSampler(list(samples))
    return ds.MindDataset(names, columns_list=[COLUMN], sampler=sampler, num_parallel_workers=1)
