"""One shard as a unit of work for any process: what it is to hold, how it is made, and the receipt that it leaves."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ugatit_data.conversion.sources import Entry, Source, failed, unreadable
from ugatit_data.conversion.workers import quiet
from ugatit_data.dataset.manifest import MANIFEST_SCHEMA, VERSION, Shard, row_name
from ugatit_data.dataset.shards import MAX_RECORD, db_path, write_shard
from ugatit_data.errors import RejectedImageError, in_words
from ugatit_data.files import canonical, sha256_file, write_whole
from ugatit_data.pixels.policy import Decoded, decode, decoders

RECEIPT_SUFFIX = ".receipt"
_SPOOL_BYTES = 8 << 20  # encoded records held in memory; those of a larger shard go through a file
_SPOOL_BUFFER = 1 << 20  # one system call for some fifty records


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What one shard is to hold. Small, and can be pickled: it may run on another machine."""

    file: str
    split: str
    domain: str
    keys: tuple[bytes, ...]
    absent: frozenset[bytes] = frozenset()
    """Those of the keys that nothing was behind when the source was listed; see `Entry.absent`."""
    source: Source
    encoding: str
    encode: Callable[[bytes, Decoded, int], bytes]
    """The encoding's: carried along, for a worker's table of encodings need not hold what the caller's does."""
    stored_size: int | None
    lenient: bool
    """Whether the decoding policy accepts what it can of damaged JPEGs."""
    plan_digest: str
    """Of this shard (the function below): a receipt of another plan is void."""
    recorded: Mapping[bytes, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """To repair: by key the length and the XXH3-64 of the record that was. A file that has them is the record,
    whatever the rules of today make of it."""


def plan_digest(encoding: str, stored_size: int | None, lenient: bool, file: str, entries: list[Entry]) -> str:
    """Digest of options, decoding policy, libraries and the listed files of a shard, with their sizes and time stamps.

    It enters receipts only, which a finished data set does not hold: pictures that two policies decode alike make data
    sets of the same id.
    """
    digest = hashlib.sha256(
        canonical(
            {
                "format": VERSION,
                "encoding": encoding,
                "stored_size": stored_size,
                "lenient": lenient,
                "decoders": decoders(),
                "file": file,
                "mindspore": version("mindspore"),
                "pyarrow": pa.__version__,
            }
        )
    )
    for entry in entries:
        digest.update(f"{entry.key.hex()} {entry.size} {entry.stamp}\n".encode())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What a finished job leaves beside its shard: its rows of the manifest and the hashes of its files."""

    plan_digest: str
    job_split: str
    job_domain: str
    shard: Shard | None
    """None where every image was rejected: then there is no file."""
    rows: pa.Table

    def write(self, path: Path) -> None:
        """Write it in one step: either the whole receipt is there or none."""
        shard = dataclasses.asdict(self.shard) if self.shard else None
        meta = {"plan": self.plan_digest, "split": self.job_split, "domain": self.job_domain, "shard": shard}
        buffer = pa.BufferOutputStream()
        pq.write_table(self.rows.replace_schema_metadata({"receipt": json.dumps(meta)}), buffer, compression="zstd")
        data = buffer.getvalue().to_pybytes()
        write_whole(path, hashlib.sha256(data).digest() + data, durable=True)

    @staticmethod
    def read(path: Path) -> Receipt:
        """Raises ValueError where the file is damaged."""
        content = path.read_bytes()
        digest, data = content[:32], content[32:]
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"{path}: damaged")
        rows = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)  # see manifest.read_manifest
        meta = json.loads(rows.schema.metadata[b"receipt"])
        shard = Shard(**meta["shard"]) if meta["shard"] else None
        return Receipt(
            meta["plan"], meta["split"], meta["domain"], shard, rows.replace_schema_metadata(None).cast(MANIFEST_SCHEMA)
        )


def valid_receipt(partial: Path, job: Job) -> bool:
    """Whether the job was finished by the same plan, and its files still have the hashes of the receipt."""
    try:
        receipt = Receipt.read(partial / (job.file + RECEIPT_SUFFIX))
        if receipt.plan_digest != job.plan_digest:
            return False
        shard, path = receipt.shard, partial / job.file
        return shard is None or ((shard.sha256, shard.db_sha256) == (sha256_file(path), sha256_file(db_path(path))))
    except (FileNotFoundError, ValueError, KeyError):
        return False


def run_job(job: Job, partial: Path) -> None:
    """Validate, encode and write one shard into `partial`, read it back, and leave the receipt.

    The shard is written in a folder of this attempt, then moved, with its name. So a worker that lives a moment longer
    than its killed parent cannot spoil what a new run writes.
    """
    cv2.setLogLevel(0)  # the manifest says what is wrong with an image; OpenCV would say it on stderr too
    folder = Path(tempfile.mkdtemp(prefix=".work-", dir=partial))
    try:
        shard, rows = write_job(job, folder)
        (partial / (job.file + RECEIPT_SUFFIX)).unlink(missing_ok=True)
        if shard:
            for file in (folder / job.file, db_path(folder / job.file)):
                file.chmod(partial.stat().st_mode & 0o666)  # MindRecord's 0600 is unreadable on shared storage
                os.replace(file, partial / file.name)
        table = pa.Table.from_pylist(rows, MANIFEST_SCHEMA)
        Receipt(job.plan_digest, job.split, job.domain, shard, table).write(partial / (job.file + RECEIPT_SUFFIX))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_job(job: Job, folder: Path) -> tuple[Shard | None, list[dict]]:
    """Write a job's shard into `folder` and read it back: its description and its rows of the manifest.

    Raises:
        OSError, ConversionError: the disk is full, the source fails, or what was written reads back differently.
    """
    rows = []
    path = folder / job.file
    with contextlib.closing(_Spool(folder)) as spool:
        for key in job.keys:
            row, record = _encode(job, key)
            rows.append({"split": job.split, "domain": job.domain, "key": key, **row})
            if record is not None:
                spool.add(record)
        stored = [row for row in rows if "reason" not in row]
        if not stored:
            return None, rows
        lengths = [row["length"] for row in stored]
        _reserve(folder, sum(lengths))
        places = write_shard(path, lengths, spool.records(lengths))
    with path.open("rb", buffering=0) as file:  # not mapped: the pages would count as this process's memory
        for number, (row, (offset, length)) in enumerate(zip(stored, places.tolist(), strict=True)):
            if xxhash.xxh3_64_intdigest(os.pread(file.fileno(), length, offset)) != row["xxh3"]:
                raise OSError(f"{path.name}: record {number} reads back differently from what was written")
            row.update(shard=job.file, row=number, offset=offset)
    shard = Shard(
        file=job.file,
        rows=len(stored),
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        db_bytes=db_path(path).stat().st_size,
        db_sha256=sha256_file(db_path(path)),
    )
    return shard, rows


class _Spool:
    """Encoded records that wait until the last is there: the largest decides the shard's page size.

    A few are held in memory, more of them in a file, so that a worker's memory does not grow with the shard.
    """

    def __init__(self, folder: Path):
        self._held: collections.deque[bytes] = collections.deque()
        self._bytes = 0
        self._file = tempfile.TemporaryFile(dir=folder, buffering=_SPOOL_BUFFER)  # noqa: SIM115  closed with the spool

    def add(self, record: bytes) -> None:
        self._held.append(record)
        self._bytes += len(record)
        if self._bytes > _SPOOL_BYTES:
            self._file.writelines(self._held)
            self._held.clear()
            self._bytes = 0

    def records(self, lengths: list[int]) -> Iterator[bytes]:
        """All records, once."""
        self._file.seek(0)
        in_file = len(lengths) - len(self._held)
        for length in lengths[:in_file]:
            yield self._file.read(length)
        while self._held:
            yield self._held.popleft()

    def close(self) -> None:
        self._file.close()


def _reserve(folder: Path, size: int) -> None:
    """Raise OSError where the disk is too full, before MindRecord finds out: it may die of it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size + size // 8 + (2 << 20))  # pages and header come on top


def _record(job: Job, data: bytes, decoded: Decoded) -> bytes:
    try:
        return job.encode(data, decoded, job.stored_size or 0)
    except RejectedImageError:
        raise
    except Exception as error:  # one picture must not end a conversion
        raise RejectedImageError(f"cannot be stored: {in_words(error)}") from error


def _encode(job: Job, key: bytes) -> tuple[dict, bytes | None]:
    """One image: its row of the manifest, and its record unless it is rejected."""
    row: dict = {"size": None, "sha256": None}
    try:
        data = _read(job, key)
        row.update(size=len(data), sha256=hashlib.sha256(data).digest())
        length, xxh3 = job.recorded.get(key, (None, None))
        if len(data) == length and xxhash.xxh3_64_intdigest(data) == xxh3:
            return row | {"length": length, "xxh3": xxh3}, data
        with quiet():
            decoded = decode(data, job.lenient)
        record = _record(job, data, decoded)
        if len(record) > MAX_RECORD:
            raise RejectedImageError(f"too large: a record of {len(record)} bytes, the limit is {MAX_RECORD}")
    except RejectedImageError as error:
        return row | {"reason": error.reason}, None
    height, width = (job.stored_size, job.stored_size) if job.stored_size else decoded.pixels.shape[:2]
    return row | {
        "length": len(record),
        "xxh3": xxhash.xxh3_64_intdigest(record),
        "width": width,
        "height": height,
        "notes": ",".join(decoded.notes),
    }, record


def _read(job: Job, key: bytes) -> bytes:
    """The bytes of one image, which the source is asked for. What was listed and is gone is no image's fault.

    Raises:
        RejectedImageError: they cannot be had, and never will be.
        ConversionError: the source fails.
    """
    try:
        return job.source.read(job.split, job.domain, key)
    except OSError as error:
        if key in job.absent and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise RejectedImageError(unreadable(error)) from None
        raise failed(row_name({"split": job.split, "domain": job.domain, "key": key}), error) from None
