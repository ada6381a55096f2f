"""A source of Hugging Face style Parquet: an image column of struct<bytes: binary, path: string>.

Files are found at any depth below the root. Their names begin with the split, and with the domain where every domain
has files of its own:

    trainA-00000-of-00002.parquet, trainB.parquet, data/testA-....parquet    column `image`
    train-00000-of-00001.parquet, test.parquet                               columns `imageA` and `imageB`

A key is `<file>/<row>`, the row with ten digits. A row holds the image's bytes, or null and the path of a file below
the root.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.conversion.sources import Domain, Entry, read_regular
from ugatit_data.errors import BadInputError, RejectedImageError

_NAME = re.compile(r"(?P<split>train|test)(?P<domain>[AB]?)(?![A-Za-z]).*\.parquet")


@dataclasses.dataclass(frozen=True)
class ParquetSource:
    """The images in Parquet files below the folder `root`, in the column `column`: see the top of this file."""

    root: Path
    column: str = "image"

    def entries(self) -> dict[Domain, list[Entry]]:
        """The rows of every domain as entries, in the order of their keys. Their sizes are estimates.

        Raises:
            BadInputError: no folder, no rows of trainA or trainB, a damaged file, or no such column in one.
        """
        if not self.root.is_dir():
            raise BadInputError(f"{self.root}: no such folder. Pass the folder that holds the Parquet files.")
        found: dict[Domain, list[Entry]] = {}
        for path in sorted(self.root.rglob("*.parquet")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            for domain in match["domain"].lower() or "ab":
                found.setdefault((match["split"], domain), []).extend(self._rows(path, self._column(path, domain)))
        for domain in "ab":
            if not found.get(("train", domain)):
                raise BadInputError(
                    f"{self.root}: no rows of train{domain.upper()}. Name the files train{domain.upper()}*.parquet."
                )
        order = [(split, domain) for split in ("train", "test") for domain in "ab"]
        return {key: sorted(found[key], key=lambda entry: entry.key) for key in order if found.get(key)}

    def read(self, split: str, domain: str, key: bytes) -> bytes:
        """The bytes of one row. Raises RejectedImageError where they cannot be had."""
        name, _, row = key.rpartition(b"/")
        path = self.root / os.fsdecode(name)
        try:
            group, first = _locate(path, int(row))
            data, paths = _read_group(path, self._column(path, domain), group)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise RejectedImageError(f"unreadable: {str(error).splitlines()[0]}") from None
        index = int(row) - first
        if data[index].is_valid:
            return data[index].as_py()
        if paths is None or not paths[index].is_valid:
            raise RejectedImageError("null row: neither bytes nor path")
        return self._read_path(paths[index].as_py())

    def _read_path(self, name: str) -> bytes:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise RejectedImageError("path outside of the source")
        try:
            return read_regular(os.fsencode(path))
        except OSError as error:
            raise RejectedImageError(f"unreadable: {error.strerror}") from None

    def _column(self, path: Path, domain: str) -> str:
        """`column` in a file of one domain; in a file of both, with A or B behind the name."""
        match = _NAME.fullmatch(path.name)
        return self.column if match and match["domain"] else self.column + domain.upper()

    def _rows(self, path: Path, column: str) -> list[Entry]:
        try:
            file = pq.ParquetFile(path)
            kind = file.schema_arrow.field(column).type if column in file.schema_arrow.names else None
        except (OSError, pa.ArrowException) as error:
            raise BadInputError(f"{path}: unreadable Parquet ({str(error).splitlines()[0]}). Restore it.") from None
        binary = kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
        if not binary and not (kind is not None and pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
            names = ", ".join(file.schema_arrow.names)
            raise BadInputError(f"{path}: no image column {column!r} among {names}. Choose one with --column.")
        prefix = os.fsencode(path.relative_to(self.root).as_posix())
        stamp, rows = path.stat().st_mtime_ns, file.metadata.num_rows
        size = path.stat().st_size // max(rows, 1)
        return [Entry(b"%s/%010d" % (prefix, row), size, stamp) for row in range(rows)]


@functools.lru_cache(maxsize=64)
def _first_rows(path: Path) -> tuple[int, ...]:
    metadata = pq.read_metadata(path)
    firsts = [0]
    for group in range(metadata.num_row_groups):
        firsts.append(firsts[-1] + metadata.row_group(group).num_rows)
    return tuple(firsts)


def _locate(path: Path, row: int) -> tuple[int, int]:
    """The row group that holds a row, and the group's first row."""
    firsts = _first_rows(path)
    for group, first in enumerate(firsts[:-1]):
        if row < firsts[group + 1]:
            return group, first
    raise ValueError(f"{path.name} has {firsts[-1]} rows, no row {row}")


@functools.lru_cache(maxsize=1)  # rows are read in order, so one group at a time is enough
def _read_group(path: Path, column: str, group: int) -> tuple[pa.Array, pa.Array | None]:
    """The bytes and the paths of a row group."""
    read = pq.ParquetFile(path).read_row_group(group, columns=[column]).column(0).combine_chunks()
    array = read.chunk(0) if isinstance(read, pa.ChunkedArray) else read
    if not pa.types.is_struct(array.type):
        return array, None
    names = [field.name for field in array.type]
    fields = dict(zip(names, array.flatten(), strict=True))  # not `field()`: that ignores a null parent
    return fields["bytes"], fields.get("path")
