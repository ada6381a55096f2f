"""The rows of a column of images in a Parquet file, read forwards and a few at a time.

A row group may hold more than 2 GiB, which no array of Arrow's takes: its rows are read in batches of some MiB. What is
damaged costs the rows from there to the end of its row group; they are not read again. Those before it that are in the
same batch are had by reading the group a second time, row by row.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.errors import RejectedImageError

_BYTES, _TEXT = ("binary", "large_binary", "binary_view"), ("string", "large_string", "string_view")
_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 1024
_COPIES = 64 << 30  # bytes of dictionaries that are copied at most, to save the rows before a damage
_BUFFER = 1 << 20  # through which the file is read, and not ahead: else a whole row group's column would be held


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type are bytes, however they are stored."""
    return str(_stored(kind)) in _BYTES or pa.types.is_fixed_size_binary(_stored(kind))


def holds_names(kind: pa.DataType) -> bool:
    """Whether values of a type can be paths."""
    return str(_stored(kind)) in _TEXT or holds_bytes(kind)


def _stored(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def raw(value: pa.Scalar | None) -> bytes | None:
    """The bytes of a value, of text too, which need not be UTF-8; None where there are none."""
    if isinstance(value, pa.DictionaryScalar):
        value = value.value
    return value.as_buffer().to_pybytes() if value is not None and value.is_valid else None


def _copied(kind: pa.DataType) -> bool:
    """Whether every batch brings a copy of a whole dictionary."""
    return pa.types.is_dictionary(kind) or pa.types.is_struct(kind) and any(_copied(field.type) for field in kind)


def leaves(kind: pa.DataType, column: str) -> list[str]:
    """What is read of a column: itself, or of a struct the fields `bytes` and `path`, those that there are."""
    if not pa.types.is_struct(kind):
        return [column]
    return [f"{column}.{name}" for name in ("bytes", "path") if kind.get_field_index(name) >= 0]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file, whose name need not be UTF-8. Raises OSError, and pa.ArrowException where it is none."""
    with pa.OSFile(os.fsencode(path)) as file, pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False) as parquet:
        yield parquet


class Rows:
    """The rows of one column, by number; going back costs reading the row group again.

    Raises:
        OSError: the file is gone, no Parquet any more, or cannot be read.
    """

    def __init__(self, path: Path, column: str):
        try:
            with contextlib.ExitStack() as held:
                self._file = held.enter_context(opened(path))
                self._held = held.pop_all()
            kind = self._file.schema_arrow.field(column).type
        except (pa.ArrowException, KeyError) as error:
            raise OSError(f"no Parquet file with this column any more ({str(error).splitlines()[0]})") from None
        self._path, self._column, self._columns = path, column, leaves(kind, column)
        self._copied = _copied(kind)
        groups = (self._file.metadata.row_group(number) for number in range(self._file.metadata.num_row_groups))
        self._ends = list(itertools.accumulate(group.num_rows for group in groups))
        self._batch = pa.nulls(0)
        self._first = 0  # row of the batch
        self._group, self._at_once = -1, 0  # which is read, and how many rows a batch
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._damage: dict[int, tuple[int, str]] = {}  # row group -> first row that is lost, and why

    def close(self) -> None:
        self._held.close()

    def row(self, number: int) -> pa.Scalar:
        """One row's value.

        Raises:
            RejectedImageError: it is damaged.
            OSError: there is no such row, or the file cannot be read.
        """
        if not self._first <= number < self._first + len(self._batch):
            self._seek(number)
        return self._batch[number - self._first]

    def _seek(self, number: int) -> None:
        """Have `_batch` hold a row."""
        group = bisect.bisect_right(self._ends, number)
        if group == len(self._ends):
            raise OSError(f"{self._path.name} has {(self._ends or [0])[-1]} rows only")
        lost, reason = self._damage.get(group, (number + 1, ""))
        if number >= lost:
            raise RejectedImageError(reason)
        if group != self._group or number < self._first:
            self._open(group, self._fewest(group) if group in self._damage else self._rows_at_once(group))
        while number >= self._first + len(self._batch):
            self._forward()

    def _forward(self) -> None:
        """Have `_batch` hold the next rows, or begin the row group again, with fewer rows a batch."""
        first = self._first + len(self._batch)
        try:
            batch = next(self._batches)
            # By name: a column "image.bytes" comes too, where the field of the struct was meant.
            self._batch, self._first = batch.column(batch.schema.get_field_index(self._column)), first
        except StopIteration:
            self._lose(first, "the row group ends early")
        except pa.ArrowMemoryError:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from None
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the file system's: a damaged file's has no number
            fewest = self._fewest(self._group)
            if self._at_once <= fewest:
                self._lose(first, str(error).splitlines()[0])
            self._open(self._group, fewest)  # a batch of more than 2 GiB, or sound rows before the damaged one

    def _lose(self, first: int, reason: str) -> NoReturn:
        """From `first` on, the rows of this group cannot be had."""
        self._damage[self._group] = first, f"unreadable: {reason}"
        self._batch, self._first, self._batches = pa.nulls(0), first, iter(())  # and their memory is free
        raise RejectedImageError(f"unreadable: {reason}") from None

    def _open(self, group: int, rows: int) -> None:
        """Begin a row group, so many rows at a time."""
        self._group, self._batch, self._at_once = group, pa.nulls(0), rows
        self._first = self._ends[group - 1] if group else 0
        self._batches = self._file.iter_batches(rows, row_groups=[group], columns=self._columns, use_threads=False)

    def _rows_at_once(self, group: int) -> int:
        rows, size, repeated = self._measured(group)
        fitting = _BATCH_BYTES * rows // max(size, 1)
        if repeated and not self._copied:  # each row may be the largest value of the dictionary
            fitting = min(fitting, _BATCH_BYTES // repeated)
        return max(1, min(_BATCH_ROWS, fitting))

    def _fewest(self, group: int) -> int:
        """How many rows a batch has where one of them is damaged: one, if that does not take for ever."""
        rows, size, _ = self._measured(group)
        return max(1, -(-rows * size // _COPIES)) if self._copied else 1

    def _measured(self, group: int) -> tuple[int, int, int]:
        """Of a row group: its rows, the bytes of what is read of it, and of that the parts with a dictionary."""
        held = self._file.metadata.row_group(group)
        parts = [part for part in map(held.column, range(held.num_columns)) if part.path_in_schema in self._columns]
        sizes = [part.total_uncompressed_size for part in parts]
        repeated = sum(size for size, part in zip(sizes, parts, strict=True) if part.has_dictionary_page)
        return held.num_rows, sum(sizes), repeated


class _Open(threading.local):
    """What this thread reads: rows are asked for in order, so one file at a time is enough."""

    rows: Rows | None = None
    stamp: tuple = ()


_open = _Open()


def open_rows(path: Path, column: str) -> Rows:
    """The rows of a column, the same object as long as the file does not change. Raises OSError as `Rows`."""
    info = os.stat(path)
    stamp = (path, column, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
    if _open.rows is None or _open.stamp != stamp:
        if _open.rows is not None:
            _open.rows.close()
        _open.rows, _open.stamp = None, ()
        _open.rows, _open.stamp = Rows(path, column), stamp
    return _open.rows
