"""The on-disk contract: what `dataset.json` and `manifest.parquet` hold, and how they are checked when read.

    dataset.json       format version, id, encoding, per split and domain the shards with rows, bytes and SHA-256
    manifest.parquet   a row per source image: where its record lies, or why it was rejected
    trainA-00000-of-00004.mindrecord, ....mindrecord.db   ordinary MindRecord files

Nothing in them depends on the machine, the time or the place of the source: the same images give the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ugatit_data.commands import command
from ugatit_data.errors import BadInputError, CorruptDatasetError, FormatVersionError
from ugatit_data.files import canonical, partial_path, sha256_hex

FORMAT = "ugatit-mindrecord"
VERSION = 1
DATASET_FILE = "dataset.json"
MANIFEST_FILE = "manifest.parquet"
SPLITS = ("train", "test")

_SHARD_NAME = re.compile(r"(train|test)[AB]-\d{5}-of-\d{5}\.mindrecord")

# A row per source image. `sample` is the rank of an accepted image in its domain by the bytes of its key; rows of
# rejected images have `reason` and neither place nor checksum.
MANIFEST_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("domain", pa.string()),
        ("key", pa.binary()),  # the path under the source's folder: bytes, for names need not be UTF-8
        ("size", pa.int64()),  # of the source
        ("sha256", pa.binary(32)),  # of the source; null where it could not be read
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("offset", pa.int64()),  # of the record's bytes in the shard
        ("length", pa.int64()),
        ("xxh3", pa.uint64()),  # of the record's bytes
        ("width", pa.int32()),  # of the stored image
        ("height", pa.int32()),
        ("notes", pa.string()),  # what the decoding policy changed or ignored, comma-separated
        ("reason", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One MindRecord file and its index."""

    file: str
    rows: int
    bytes: int
    sha256: str
    db_bytes: int
    db_sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """The contents of `dataset.json`."""

    encoding: str
    """How a record is stored: a name in `encodings.ENCODINGS`."""
    stored_size: int | None
    """Side of the stored square in pixels; None where images keep their own size."""
    shards: dict[str, dict[str, tuple[Shard, ...]]]
    """split -> domain ("a", "b") -> its shards in key order."""
    manifest_bytes: int
    manifest_sha256: str
    manifest_rows: int

    @property
    def dataset_id(self) -> str:
        """A digest of what is stored and how: equal for equal images, encoding and sharding."""
        body = self.to_json()
        return sha256_hex(canonical({k: body[k] for k in ("format", "version", "encoding", "stored_size", "splits")}))[
            :32
        ]

    def to_json(self) -> dict:
        """The JSON object without its id and digest."""
        splits = {
            split: {domain: [dataclasses.asdict(shard) for shard in shards] for domain, shards in domains.items()}
            for split, domains in self.shards.items()
        }
        return {
            "format": FORMAT,
            "version": VERSION,
            "encoding": self.encoding,
            "stored_size": self.stored_size,
            "splits": splits,
            "manifest": {
                "file": MANIFEST_FILE,
                "rows": self.manifest_rows,
                "bytes": self.manifest_bytes,
                "sha256": self.manifest_sha256,
            },
        }

    def num_images(self, split: str, domain: str) -> int:
        """How many images a domain of a split holds; 0 where there is none."""
        return sum(shard.rows for shard in self.shards.get(split, {}).get(domain, ()))

    def all_shards(self) -> Iterator[Shard]:
        """The shards of every split and domain."""
        for domains in self.shards.values():
            for shards in domains.values():
                yield from shards


def render(dataset: Dataset) -> bytes:
    """The bytes of `dataset.json`: the object, its id, and a digest over both."""
    body = dataset.to_json() | {"dataset_id": dataset.dataset_id}
    body["digest"] = sha256_hex(canonical(body))
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def read_dataset(folder: Path) -> Dataset:
    """The checked `dataset.json` of a data set.

    Raises:
        BadInputError: there is no data set at `folder`.
        FormatVersionError: it has another format version.
        CorruptDatasetError: the file was changed after it was written.
    """
    path = folder / DATASET_FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BadInputError(_missing(folder)) from None
    try:
        body = json.loads(data)
        if body["format"] != FORMAT or not isinstance(body["version"], int):
            raise KeyError(FORMAT)
        found = body["version"]
        if found != VERSION:  # before the digest, whose rules another version may have changed
            raise FormatVersionError(
                f"{path}: format version {found}, but this package reads version {VERSION}. "
                "Convert the images again, or use the package version that wrote it."
            )
        return _parse(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptDatasetError(
            f"{path}: damaged, its contents do not match its digest ({type(error).__name__}). "
            "Restore the file, or convert the images again."
        ) from None


def _missing(folder: Path) -> str:
    partial = partial_path(folder)
    if partial.exists():
        return f"{folder}: not finished yet, its conversion is in {partial}. Wait for it, or run it again to resume."
    remedy = f"Make one with {command('convert')} SRC OUT"
    if folder.exists():
        return f"{folder}: no data set, {DATASET_FILE} is missing. {remedy}."
    return f"{folder}: no such data set. {remedy}, or check the path."


def _parse(data: bytes) -> Dataset:
    body = json.loads(data)
    digest = body.pop("digest")
    if digest != sha256_hex(canonical(body)):
        raise ValueError("digest")
    shards: dict[str, dict[str, tuple[Shard, ...]]] = {}
    for split, domains in body["splits"].items():
        shards[split] = {domain: tuple(Shard(**fields) for fields in listed) for domain, listed in domains.items()}
        for shard in (shard for listed in shards[split].values() for shard in listed):
            if not _SHARD_NAME.fullmatch(shard.file):  # no path may leave the folder, whoever wrote the digest
                raise ValueError(shard.file)
    manifest = body["manifest"]
    if manifest["file"] != MANIFEST_FILE:
        raise ValueError(manifest["file"])
    dataset = Dataset(
        encoding=body["encoding"],
        stored_size=body["stored_size"],
        shards=shards,
        manifest_bytes=manifest["bytes"],
        manifest_sha256=manifest["sha256"],
        manifest_rows=manifest["rows"],
    )
    if render(dataset) != data:
        raise ValueError("not the bytes that this package writes")
    return dataset


def read_manifest(folder: Path, dataset: Dataset, columns: list[str] | None = None) -> pa.Table:
    """The checked rows of `manifest.parquet`, in the order of split, domain and key.

    Raises:
        CorruptDatasetError: the file is missing or differs from what `dataset.json` says.
    """
    path = folder / MANIFEST_FILE
    remedy = "Restore the file, or convert the images again."
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CorruptDatasetError(f"{path}: missing. {remedy}") from None
    found = sha256_hex(data)
    if found != dataset.manifest_sha256:
        raise CorruptDatasetError(
            f"{path}: sha256 {found[:12]}... differs from {DATASET_FILE}'s {dataset.manifest_sha256[:12]}.... {remedy}"
        )
    # Without threads: pyarrow.parquet.read_table aborted one process in three that ended soon after it.
    table = pq.ParquetFile(pa.BufferReader(data)).read(columns=columns, use_threads=False)
    for key in table["key"].to_pylist() if "key" in table.column_names else ():
        if key.startswith(b"/") or b".." in key.split(b"/"):
            raise CorruptDatasetError(f"{path}: key {key!r} leaves the folder. Do not use this data set.")
    return table


def rows_of(table: pa.Table, shard: Shard) -> list[dict]:
    """The manifest's rows of a shard, in the order of its records."""
    return table.filter(pc.equal(table["shard"], shard.file)).to_pylist()


def row_name(row: dict) -> str:
    """The image of a manifest's row, for messages: "trainA/name"."""
    return f"{row['split']}{row['domain'].upper()}/{os.fsdecode(row['key'])}"


def check_shard_sizes(folder: Path, shards: tuple[Shard, ...]) -> None:
    """Raises CorruptDatasetError for a shard that is missing or has another size than recorded."""
    for shard in shards:
        path = folder / shard.file
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise CorruptDatasetError(f"{path}: missing. {repair_hint(folder)}") from None
        if found != shard.bytes:
            raise CorruptDatasetError(
                f"{path}: {found} bytes, but {DATASET_FILE} says {shard.bytes}. {repair_hint(folder)}"
            )


def repair_hint(folder: Path) -> str:
    """What to do about a damaged shard, for messages."""
    return f"Run `{command('verify')} {folder} --repair SRC` to rewrite this shard, or restore the file."
