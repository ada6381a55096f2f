"""A source of Hugging Face style Parquet: an image column of struct<bytes: binary, path: string>, or of binary.

Files are found at any depth below the root, as those of a `FolderSource`. Their names begin with the split, and with
the domain where every domain has files of its own:

    trainA-00000-of-00002.parquet, trainB.parquet, data/testA-....parquet    column `image`
    train-00000-of-00001.parquet, test.parquet                               columns `imageA` and `imageB`

A key is `<file>/<row>`, the row with ten digits. A row holds the image's bytes, or null and the path of a file below
the root. Bytes and paths may be stored in any form of Arrow's: large, as a dictionary, as views.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.conversion.rows import holds_bytes, holds_names, open_rows, opened, raw
from ugatit_data.conversion.sources import Domain, Entry, failed, is_folder, read_regular, walk
from ugatit_data.errors import BadInputError, RejectedImageError

_NAME = re.compile(r"(?P<split>train|test)(?P<domain>[AB]?)(?![A-Za-z]).*\.parquet")


@dataclasses.dataclass(frozen=True)
class ParquetSource:
    """The images in Parquet files below the folder `root`, in the column `column`: see the top of this file."""

    root: Path
    column: str = "image"

    def entries(self) -> dict[Domain, list[Entry]]:
        """The rows of every domain as entries, in the order of their keys. Their sizes are estimates.

        A file that two names lead to is listed once a domain.

        Raises:
            BadInputError: no folder, no rows of trainA or trainB, a damaged file, or no such column in one.
            ConversionError: the source fails while it is listed.
        """
        if not is_folder(self.root):
            raise BadInputError(f"{self.root}: no such folder. Pass the folder that holds the Parquet files.")
        found: dict[Domain, list[Entry]] = {}
        seen = set()
        for path in sorted(self.root / os.fsdecode(entry.key) for entry in walk(os.fsencode(self.root))):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            for domain in match["domain"].lower() or "ab":
                info = _regular(path)
                this = match["split"], domain, info.st_dev, info.st_ino
                if this not in seen:
                    rows = _listed(self.root, path, self._column(path, domain), info)
                    found.setdefault((match["split"], domain), []).extend(rows)
                seen.add(this)
        for domain in "ab":
            if not found.get(("train", domain)):
                raise BadInputError(
                    f"{self.root}: no rows of train{domain.upper()}. Name the files train{domain.upper()}*.parquet."
                )
        order = [(split, domain) for split in ("train", "test") for domain in "ab"]
        return {key: sorted(found[key], key=lambda entry: entry.key) for key in order if found.get(key)}

    def read(self, split: str, domain: str, key: bytes) -> bytes:
        """The bytes of one row.

        Raises:
            RejectedImageError: this one cannot be had, and never will be.
            OSError: the file or the row is gone, or the source fails.
        """
        file, _, row = key.rpartition(b"/")
        path = self.root / os.fsdecode(file)
        try:
            value = open_rows(path, self._column(path, domain)).row(int(row))
        except OSError as error:
            # Never FileNotFoundError: it is no path in a row that leads nowhere.
            raise OSError(error.strerror or str(error)) from None
        data, name = (value.get("bytes"), value.get("path")) if isinstance(value, pa.StructScalar) else (value, None)
        if data is not None and data.is_valid and not holds_bytes(data.type):
            raise RejectedImageError(f"bytes of type {data.type}: must be binary")
        held = raw(data)
        if held is not None:
            return held
        if name is not None and name.is_valid and not holds_names(name.type):
            raise RejectedImageError(f"path of type {name.type}: must be string")
        named = raw(name)
        if named is None:
            raise RejectedImageError("null row: neither bytes nor path")
        return read_regular(_below(self.root, named))

    def _column(self, path: Path, domain: str) -> str:
        """`column` in a file of one domain; in a file of both, with A or B behind the name."""
        match = _NAME.fullmatch(path.name)
        return self.column if match and match["domain"] else self.column + domain.upper()


def _below(root: Path, name: bytes) -> bytes:
    """The file that a row's path names. Raises RejectedImageError where that is no place below the root."""
    if b"\0" in name:
        raise RejectedImageError("path with a NUL")
    base = os.path.realpath(os.fsencode(root))
    path = os.path.realpath(os.path.join(base, name))  # a loop of links is followed to where it closes
    if os.path.commonpath([base, path]) != base:
        raise RejectedImageError("path outside of the source")
    return path


def _regular(path: Path) -> os.stat_result:
    try:
        info = path.stat()
    except OSError as error:
        raise BadInputError(f"{path}: unreadable Parquet ({error.strerror}). Restore it.") from None
    if not stat.S_ISREG(info.st_mode):
        raise BadInputError(f"{path}: no regular file. Remove it.")
    return info


def _listed(root: Path, path: Path, column: str, info: os.stat_result) -> list[Entry]:
    """The rows of a file."""
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(opened(path))
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise failed(str(path), error) from None
            raise BadInputError(f"{path}: unreadable Parquet ({str(error).splitlines()[0]}). Restore it.") from None
        _check_column(path, column, file.schema_arrow)
        prefix = os.fsencode(path.relative_to(root).as_posix())
        rows = file.metadata.num_rows
        size = info.st_size // max(rows, 1)
        stamps = _stamps(root, file, column)
        entries = []
        for row in range(rows):
            stamp = stamps.get(row, 0)  # of the file that the row may name
            entries.append(
                Entry(b"%s/%010d" % (prefix, row), size, info.st_mtime_ns + (stamp or 0), absent=stamp is None)
            )
        return entries


def _stamps(root: Path, file: pq.ParquetFile, column: str) -> dict[int, int | None]:
    """The time stamps of the files that rows without bytes may name, by row; None where nothing is there."""
    kind = file.schema_arrow.field(column).type
    if not (pa.types.is_struct(kind) and "path" in (field.name for field in kind) and holds_names(kind["path"].type)):
        return {}
    stamps: dict[int, int | None] = {}
    first = 0
    for group in range(file.metadata.num_row_groups):
        held = file.metadata.row_group(group)
        if _may_lack(held, f"{column}.bytes"):
            batches = file.iter_batches(1024, row_groups=[group], columns=[f"{column}.path"], use_threads=False)
            with contextlib.suppress(pa.ArrowException):  # damaged: reading the rows will tell
                held_names = (batch.column(batch.schema.get_field_index(column)) for batch in batches)
                for row, value in enumerate((value for names in held_names for value in names), first):
                    name = raw(value["path"])
                    if name is not None:
                        stamps[row] = _stamp(root, name)
        first += held.num_rows
    return stamps


def _may_lack(group: pq.RowGroupMetaData, leaf: str) -> bool:
    """Whether a column of a row group may have nulls, or there is none of that name."""
    columns = (group.column(number) for number in range(group.num_columns))
    counts = (column.statistics for column in columns if column.path_in_schema == leaf)
    found = [counts is None or not counts.has_null_count or counts.null_count > 0 for counts in counts]
    return any(found) or not found  # a column of that name may stand beside the struct with such a field


def _stamp(root: Path, name: bytes) -> int | None:
    """The time stamp of the file that a row names, None where nothing is there, 0 where it is refused anyway."""
    try:
        return os.stat(_below(root, name)).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (RejectedImageError, OSError):  # of the file, or of a source that fails: reading it will tell
        return 0


def _check_column(path: Path, column: str, schema: pa.Schema) -> None:
    """Raises BadInputError where no row of a column can be an image."""
    found = schema.get_all_field_indices(column)
    if not found:
        raise BadInputError(
            f"{path}: no image column {column!r} among {', '.join(schema.names)}. Choose one with --column."
        )
    kind = schema.field(found[0]).type
    fields = [field.name for field in kind] if pa.types.is_struct(kind) else []
    twice = [name for name in ("bytes", "path") if fields.count(name) > 1]
    if len(found) > 1 or twice:
        name = f"{column}.{twice[0]}" if twice else column
        raise BadInputError(f"{path}: more than one column {name!r}. Write the file again with one.")
    usable = [("bytes", holds_bytes), ("path", holds_names)]
    if not (holds_bytes(kind) or any(name in fields and holds(kind[name].type) for name, holds in usable)):
        raise BadInputError(
            f"{path}: no image column {column!r}: it is {kind}, not binary or struct<bytes: binary, path: string>. "
            "Choose one with --column."
        )
