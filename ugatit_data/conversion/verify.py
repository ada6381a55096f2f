"""Verify a data set, repair its shards from the source, look at samples, take images out again."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from ugatit_data.conversion.jobs import Job, write_job
from ugatit_data.conversion.sources import Source
from ugatit_data.dataset.encodings import ENCODINGS
from ugatit_data.dataset.manifest import DATASET_FILE, MANIFEST_FILE, Dataset, Shard, read_dataset, read_manifest
from ugatit_data.dataset.shards import map_shard, record_places
from ugatit_data.errors import BadInputError, ConversionError, CorruptDatasetError, RejectedImageError
from ugatit_data.files import sha256_file
from ugatit_data.pixels.headers import sniff
from ugatit_data.pixels.jpeg import Room
from ugatit_data.pixels.policy import decode


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to do."""

    file: str
    what: str
    repairable: bool
    """Whether `repair` can rewrite the file from the source."""


def verify(
    folder: Path, *, deep: bool = False, progress: Callable[[int], object] = lambda images: None
) -> list[Problem]:
    """Compare every file with its recorded SHA-256; name the damaged records. An empty list: all is well.

    `deep` also checks each record's checksum, its place in the .db, and decodes every image in full. `progress` is
    called with the number of images of each shard.

    Raises:
        BadInputError: there is no data set, or one of another format version.
        CorruptDatasetError: `dataset.json` or the manifest is damaged, so that nothing else can be told.
    """
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    problems = []
    for shard in _shards(dataset):
        rows = _rows_of(table, shard)
        problems += _check_shard(folder, dataset, shard, rows, deep)
        progress(shard.rows)
    return problems + _check_names(folder, dataset)


def _shards(dataset: Dataset) -> Iterator[Shard]:
    for domains in dataset.shards.values():
        for shards in domains.values():
            yield from shards


def _rows_of(table: pa.Table, shard: Shard) -> list[dict]:
    """The manifest's rows of a shard, in the order of its records."""
    return table.filter(pc.equal(table["shard"], shard.file)).to_pylist()


def _check_shard(folder: Path, dataset: Dataset, shard: Shard, rows: list[dict], deep: bool) -> list[Problem]:
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
        problems += [Problem(shard.file, what, False) for what in _check_records(folder, dataset, shard, rows)]
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
    mapped = map_shard(path)
    bad = []
    for row in rows:
        record = mapped[row["offset"] : row["offset"] + row["length"]]
        if xxhash.xxh3_64_intdigest(record) != row["xxh3"]:
            bad.append(row)
    if not bad:
        return "; no record is damaged"
    first = bad[0]
    name = f"{first['split']}{first['domain'].upper()}/{os.fsdecode(first['key'])}"
    return f"; {len(bad)} of {len(rows)} records are damaged, first record {first['row']} ({name})"


def _check_records(folder: Path, dataset: Dataset, shard: Shard, rows: list[dict]) -> Iterator[str]:
    mapped = map_shard(folder / shard.file)
    places = record_places(folder / shard.file)
    recorded = np.array([[row["offset"], row["length"]] for row in rows], np.int64).reshape(-1, 2)
    if not np.array_equal(places, recorded):
        yield f"its .db and {MANIFEST_FILE} place the records differently"
    for row in rows:
        record = mapped[row["offset"] : row["offset"] + row["length"]]
        if xxhash.xxh3_64_intdigest(record) != row["xxh3"]:
            yield f"record {row['row']} ({os.fsdecode(row['key'])}): differs from its checksum"
            continue
        try:
            shape = _pixels(dataset, record).shape[:2]
        except (RejectedImageError, ValueError) as error:
            yield f"record {row['row']} ({os.fsdecode(row['key'])}): {error}"
            continue
        if shape != (row["height"], row["width"]):
            yield f"record {row['row']} ({os.fsdecode(row['key'])}): {shape} pixels, not as recorded"


def _pixels(dataset: Dataset, record: np.ndarray) -> np.ndarray:
    """Decoded by the policy that let the image in, stricter than the loader's decoder."""
    if dataset.encoding == "raw":
        return ENCODINGS["raw"].decode(record, dataset.stored_size, Room())
    return decode(record.tobytes()).pixels


def _check_names(folder: Path, dataset: Dataset) -> list[Problem]:
    """Files that do not belong: renamed shards, those of another data set."""
    expected = {DATASET_FILE, MANIFEST_FILE}
    for shard in _shards(dataset):
        expected |= {shard.file, shard.file + ".db"}
    return [
        Problem(path.name, "does not belong to this data set: remove it", False)
        for path in sorted(folder.iterdir())
        if path.name not in expected
    ]


def repair(folder: Path, source: Source, *, progress: Callable[[str], object] = lambda file: None) -> list[str]:
    """Rewrite damaged and missing shards from the source; returns the files that were rewritten.

    A shard is put in place only when its hashes are the recorded ones, so the data set is then what it was.

    Raises:
        BadInputError: a source image differs from the one that was converted, or is gone.
        ConversionError: the result is another, made by other versions of MindSpore or OpenCV.
        CorruptDatasetError: `dataset.json` or the manifest itself is damaged.
    """
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    rewritten = []
    for shard in _shards(dataset):
        rows = _rows_of(table, shard)
        if _check_shard(folder, dataset, shard, rows, deep=False):
            _rewrite(folder, dataset, shard, rows, source)
            rewritten.append(shard.file)
            progress(shard.file)
    return rewritten


def _rewrite(folder: Path, dataset: Dataset, shard: Shard, rows: list[dict], source: Source) -> None:
    job = Job(
        file=shard.file,
        split=rows[0]["split"],
        domain=rows[0]["domain"],
        keys=tuple(row["key"] for row in rows),
        source=source,
        encoding=dataset.encoding,
        stored_size=dataset.stored_size,
        plan="",
    )
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-repair-", dir=folder.absolute().parent))
    try:
        made, found = write_job(job, work)
        for row, now in zip(rows, found, strict=True):
            if now["sha256"] != row["sha256"]:
                name = f"{row['split']}{row['domain'].upper()}/{os.fsdecode(row['key'])}"
                reason = f"sha256 {now['sha256'].hex()[:12]}... instead" if now["sha256"] else now["reason"]
                raise BadInputError(
                    f"{name}: not the image that was converted, {row['sha256'].hex()[:12]}... ({reason}). "
                    f"Pass the source that {shard.file} was made of."
                )
        if made != shard:
            raise ConversionError(
                f"{shard.file}: rewritten, it has another sha256 than recorded, so nothing was replaced. "
                "Repair with the versions of MindSpore and OpenCV that made the data set, or convert again."
            )
        for name in (shard.file, shard.file + ".db"):
            (work / name).chmod(folder.stat().st_mode & 0o666)
            os.replace(work / name, folder / name)
    finally:
        shutil.rmtree(work)


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
    """Write every image into `<target>/<split><domain>/<key>`; returns how many.

    Kept bytes are written as they are. Raw records become PNG; a name whose ending does not fit the contents gets one
    that does.

    Raises:
        BadInputError: `target` exists.
        CorruptDatasetError: a record is damaged.
    """
    if os.path.lexists(target):
        raise BadInputError(f"{target}: exists already. Choose another folder to extract into.")
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    count = 0
    for shard in _shards(dataset):
        if not (folder / shard.file).is_file():
            raise CorruptDatasetError(f"{folder / shard.file}: missing. Run --repair SRC first.")
        mapped = map_shard(folder / shard.file)
        for row in _rows_of(table, shard):
            record = mapped[row["offset"] : row["offset"] + row["length"]]
            if xxhash.xxh3_64_intdigest(record) != row["xxh3"]:
                raise CorruptDatasetError(
                    f"{folder / shard.file}, record {row['row']}: differs from its checksum. Repair it first."
                )
            _write_image(target, dataset, row, record)
            count += 1
    return count


def _write_image(target: Path, dataset: Dataset, row: dict, record: np.ndarray) -> None:
    if dataset.encoding == "raw":
        pixels = ENCODINGS["raw"].decode(record, dataset.stored_size, Room())
        data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    else:
        data = record.tobytes()
    endings = {"jpeg": (b".jpg", b".jpeg"), "png": (b".png",)}[sniff(data)]
    key = row["key"] if row["key"].lower().endswith(endings) else row["key"] + endings[0]
    path = os.path.join(os.fsencode(target / f"{row['split']}{row['domain'].upper()}"), key)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(data)
