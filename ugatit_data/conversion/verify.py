"""Verify a data set: its files against their SHA-256, and its records against their checksums and the policy."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ugatit_data.dataset.encodings import Encoding, decode_file
from ugatit_data.dataset.manifest import (
    DATASET_FILE,
    MANIFEST_FILE,
    Dataset,
    Shard,
    read_dataset,
    read_manifest,
    row_name,
    rows_of,
)
from ugatit_data.dataset.mapped import is_lost, map_file
from ugatit_data.dataset.records import WAS_CUT, encoding_of, stored_record
from ugatit_data.dataset.shards import record_places
from ugatit_data.errors import RejectedImageError, in_words
from ugatit_data.files import sha256_file
from ugatit_data.pixels.jpeg import Scratch
from ugatit_data.pixels.policy import Decoded, decode


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to do."""

    file: str
    what: str
    repairable: bool
    """Whether `repair` can rewrite the file from the source."""


def verify(
    folder: str | os.PathLike, *, deep: bool = False, progress: Callable[[int], object] = lambda images: None
) -> list[Problem]:
    """Compare every file with its recorded SHA-256; name the damaged records. An empty list: all is well.

    `deep` also checks each record's checksum and its place in the .db, decodes every image in full, and names those
    that the decoding policy of today would reject or read otherwise. `progress` is called with the number of images of
    each shard.

    Raises:
        BadInputError: there is no data set, or one of another format version.
        CorruptDatasetError: `dataset.json` or the manifest is damaged, so that nothing else can be told.
    """
    folder = Path(folder)
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    problems = []
    for shard in dataset.all_shards():
        problems += check_shard(folder, dataset, table, shard, deep)
        progress(shard.rows)
    return problems + _check_names(folder, dataset)


def check_shard(folder: Path, dataset: Dataset, table: pa.Table, shard: Shard, deep: bool) -> list[Problem]:
    """What is wrong with a shard and its .db; `table` is the manifest."""
    rows = rows_of(table, shard)
    problems = []
    for name, size, sha256 in (
        (shard.file, shard.bytes, shard.sha256),
        (shard.file + ".db", shard.db_bytes, shard.db_sha256),
    ):
        what = _compare(folder / name, size, sha256)
        if what and name == shard.file:
            what += _damaged_records(folder / name, rows)
        if what:
            problems.append(Problem(name, what, True))
    if deep and not problems:
        encoding = encoding_of(folder, dataset)
        wrong = _check_records(folder / shard.file, encoding, dataset.stored_size, rows)
        problems += [Problem(shard.file, what, what == WAS_CUT) for what in wrong]
    return problems


def _compare(path: Path, size: int, sha256: str) -> str:
    """What is wrong with a file; nothing, if it is as recorded."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"{found} bytes, but {size} are recorded"
        digest = sha256_file(path)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable: {error.strerror}"
    return "" if digest == sha256 else f"sha256 {digest[:12]}... differs from the recorded {sha256[:12]}..."


def _damaged_records(path: Path, rows: list[dict]) -> str:
    """Which records of a damaged shard differ, as far as it can be read."""
    if not path.is_file() or path.stat().st_size == 0:
        return ""
    try:
        mapped = map_file(path)
    except OSError:  # which has been said already
        return ""
    bad = [row for row in rows if not stored_record(mapped, row)[1]]
    if is_lost(mapped):
        return f"; {WAS_CUT}"
    if not bad:
        return "; no record is damaged"
    first = bad[0]
    return f"; {len(bad)} of {len(rows)} records are damaged, first record {first['row']} ({row_name(first)})"


def _check_records(path: Path, encoding: Encoding, stored_size: int | None, rows: list[dict]) -> Iterator[str]:
    mapped = map_file(path)
    recorded = np.array([[row["offset"], row["length"]] for row in rows], np.int64).reshape(-1, 2)
    if not np.array_equal(record_places(path), recorded):
        yield f"its .db and {MANIFEST_FILE} place the records differently"
    for row in rows:
        what = _check_record(*stored_record(mapped, row), encoding, stored_size, row)
        if is_lost(mapped):  # from here on it is zeros
            yield WAS_CUT
            return
        if what:
            yield f"record {row['row']} ({os.fsdecode(row['key'])}): {what}"


def _check_record(record: np.ndarray, sound: bool, encoding: Encoding, stored_size: int | None, row: dict) -> str:
    """What is wrong with one record; nothing, if all is well."""
    if not sound:
        return "differs from its checksum"
    # What an encoding of the user's own makes of a file is right, whatever the policy would make of it.
    now, reason = _by_policy(record) if encoding.decode is decode_file else (None, "")
    try:  # what is plain any decoder reads alike: one decoding is enough
        pixels = now.pixels if now and now.plain else encoding.decode(record, stored_size, Scratch())
        shape = pixels.shape[:2]
    except (RejectedImageError, ValueError) as error:
        return str(error)
    except Exception as error:  # of the user's own: one record must not end the check
        return f"cannot be decoded: {in_words(error)}"
    if shape != (row["height"], row["width"]):
        return f"{shape} pixels, not as recorded"
    if reason:
        return f"is read as it always was, but today's rules would reject it: {reason}"
    if now and not np.array_equal(now.pixels, pixels):
        return f"is read as it always was, but today's rules would read it otherwise: {', '.join(now.notes)}"
    return ""


def _by_policy(record: np.ndarray) -> tuple[Decoded | None, str]:
    """A record by today's rules, which may be stricter than those of its conversion; or why they would reject it."""
    try:
        return decode(record.tobytes()), ""
    except RejectedImageError as error:
        return None, error.reason


def _check_names(folder: Path, dataset: Dataset) -> list[Problem]:
    """Files that do not belong: renamed shards, those of another data set."""
    expected = {DATASET_FILE, MANIFEST_FILE}
    for shard in dataset.all_shards():
        expected |= {shard.file, shard.file + ".db"}
    return [
        Problem(path.name, "does not belong to this data set: remove it", False)
        for path in sorted(folder.iterdir())
        if path.name not in expected
    ]
