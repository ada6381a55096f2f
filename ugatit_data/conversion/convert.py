"""Convert a source into a data set: plan -> validate and encode -> shards -> checksums -> commit.

Everything is written into `<out>.partial`; the last act renames it. A finished shard leaves a receipt, so that the
same command, run again after a kill at any moment, redoes only what was not finished, and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, as_completed
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.conversion.jobs import RECEIPT_SUFFIX, Job, Receipt, plan_digest, run_job, valid_receipt
from ugatit_data.conversion.lock import Lock
from ugatit_data.conversion.sources import Domain, Source
from ugatit_data.conversion.workers import holding_ctrl_c, process_pool
from ugatit_data.dataset.encodings import ENCODINGS
from ugatit_data.dataset.manifest import DATASET_FILE, MANIFEST_FILE, MANIFEST_SCHEMA, Dataset, Shard, render
from ugatit_data.dataset.shards import db_path
from ugatit_data.errors import BadInputError, ConversionError
from ugatit_data.files import PARTIAL_SUFFIX, fsync, sha256_file

SHARD_BYTES = 64 << 20
"""Aim of a shard's size: enough for sequential disks, small enough to share out and to lose."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a conversion did."""

    dataset: Dataset
    converted: int
    rejected: dict[str, int]
    """reason -> how many."""
    notes: dict[str, int]
    """What the decoding policy changed or ignored -> in how many images."""
    rejected_keys: list[tuple[str, str]]
    """The first rejected images: ("trainA/name", reason)."""
    resumed_shards: int
    stored_bytes: int
    elapsed_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be done, before anything is."""

    jobs: tuple[Job, ...]
    images: int
    source_bytes: int
    estimated_bytes: int


def make_plan(
    source: Source, out: Path, *, encoding: str = "original", stored_size: int = 286, shards: int | None = None
) -> Plan:
    """List the source and cut each domain into shards: contiguous ranges in key order, of equal counts.

    How many depends on the bytes alone, unless `shards` gives it for every domain.

    Raises:
        BadInputError: an option or the source is wrong, or `out` exists.
    """
    if encoding not in ENCODINGS:
        raise BadInputError(f"encoding {encoding!r}: unknown. Choose one of {', '.join(ENCODINGS)}.")
    if not 1 <= stored_size <= 8192:
        raise BadInputError(f"stored_size {stored_size}: must be 1 to 8192 pixels.")
    if shards is not None and not 1 <= shards <= 1000:
        raise BadInputError(f"shards {shards}: must be 1 to 1000.")
    if os.path.lexists(out):
        raise BadInputError(f"{out}: exists already. Remove it, or choose another output folder.")
    if not out.absolute().parent.is_dir():
        raise BadInputError(f"{out.absolute().parent}: no such folder. Make it first.")
    domains = source.entries()
    estimate = ENCODINGS[encoding].estimate
    jobs, total = [], 0
    size = stored_size if ENCODINGS[encoding].fixed_size else None
    for (split, domain), entries in domains.items():
        estimated = sum(estimate(entry.size, stored_size) for entry in entries)
        count = min(shards or -(-estimated // SHARD_BYTES) or 1, len(entries))
        total += estimated
        for index in range(count):
            start, stop = len(entries) * index // count, len(entries) * (index + 1) // count
            file = f"{split}{domain.upper()}-{index:05d}-of-{count:05d}.mindrecord"
            jobs.append(
                Job(
                    file=file,
                    split=split,
                    domain=domain,
                    keys=tuple(entry.key for entry in entries[start:stop]),
                    source=source,
                    encoding=encoding,
                    stored_size=size,
                    plan=plan_digest(encoding, size, file, entries[start:stop]),
                )
            )
    everything = [entry for entries in domains.values() for entry in entries]
    return Plan(
        jobs=tuple(jobs),
        images=len(everything),
        source_bytes=sum(entry.size for entry in everything),
        estimated_bytes=total,
    )


def convert(
    plan: Plan,
    out: Path,
    *,
    workers: int = 0,
    executor: Executor | None = None,
    strict: bool = False,
    progress: Callable[[int], object] = lambda images: None,
) -> Report:
    """Carry out a plan. `progress` is called with the number of images of each finished shard.

    `executor` runs the shards; one that runs elsewhere must see the same folders. Without one, `workers` processes do;
    0 is this process, which a crash of MindRecord or of a decoder then ends.

    Raises:
        BadInputError: `out` exists, or a domain has no readable image; nothing is left behind.
        ConversionError: it could not go on, or `strict` and an image was rejected; what is finished is kept.
        LockedError: another conversion into `out` is at work.
    """
    began = time.monotonic()
    partial = out.with_name(out.name + PARTIAL_SUFFIX)
    with Lock(partial) as lock:
        _check_room(plan, partial)
        _remove_foreign(plan, partial)
        todo = []
        for job in plan.jobs:
            if valid_receipt(partial, job):
                progress(len(job.keys))
            else:
                todo.append(job)
        _run(todo, partial, executor, workers, progress)
        receipts = [Receipt.read(partial / (job.file + RECEIPT_SUFFIX)) for job in plan.jobs]
        tally = _tally(receipts)
        empty = _empty_domain(receipts)
        if empty:
            lock.discard()
            raise BadInputError(f"{empty}: no readable image ({_reasons(tally.rejected)}). Put images there.")
        if strict and tally.rejected:
            raise ConversionError(
                f"{sum(tally.rejected.values())} images were rejected ({_reasons(tally.rejected)}), first "
                f"{tally.keys[0][0]}. Repair or remove them and run again, or leave out --strict."
            )
        dataset = _commit(receipts, partial, out, lock, plan)
    return Report(
        dataset=dataset,
        converted=tally.converted,
        rejected=dict(tally.rejected),
        notes=dict(tally.notes),
        rejected_keys=tally.keys,
        resumed_shards=len(plan.jobs) - len(todo),
        stored_bytes=sum(file.stat().st_size for file in out.iterdir()),
        elapsed_s=time.monotonic() - began,
    )


def _run(
    jobs: list[Job], partial: Path, executor: Executor | None, workers: int, progress: Callable[[int], object]
) -> None:
    try:
        if executor is not None:
            _gather(executor, jobs, partial, progress)
        elif workers and jobs:
            with process_pool(min(workers, len(jobs))) as pool:
                _gather(pool, jobs, partial, progress)
        else:
            for job in jobs:
                run_job(job, partial)
                progress(len(job.keys))
    except OSError as error:
        raise ConversionError(
            f"{partial}: {error.strerror or error}. Make room, or see to it, and run the same command again to resume."
        ) from error
    except BrokenExecutor as error:
        raise ConversionError(f"{partial}: a worker died ({error}). Run the same command again to resume.") from error


def _gather(executor: Executor, jobs: list[Job], partial: Path, progress: Callable[[int], object]) -> None:
    with holding_ctrl_c():
        futures = {executor.submit(run_job, job, partial): job for job in jobs}
    try:
        for future in as_completed(futures):
            future.result()
            path = partial / futures[future].file
            for file in (path, db_path(path)):
                if file.exists():  # not where every image was rejected
                    fsync(file)  # while the workers make the next ones, so that little is left for the end
            progress(len(futures[future].keys))
    finally:
        for future in futures:
            future.cancel()


def _check_room(plan: Plan, partial: Path) -> None:
    """The finished shards count as room: a resumed conversion needs only the rest."""
    there = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    free = shutil.disk_usage(partial).free + there
    if free < plan.estimated_bytes:
        raise ConversionError(
            f"{partial.parent}: {free >> 20} MiB free, but the data set needs about {plan.estimated_bytes >> 20} MiB. "
            "Make room, or choose another output folder or --encoding."
        )


def _remove_foreign(plan: Plan, partial: Path) -> None:
    """Remove what an earlier conversion by another plan, or an interrupted shard, has left."""
    mine = {name for job in plan.jobs for name in (job.file, job.file + ".db", job.file + RECEIPT_SUFFIX)}
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in mine and path.name != Lock.NAME:
            path.unlink()


@dataclasses.dataclass
class _Tally:
    converted: int = 0
    rejected: Counter = dataclasses.field(default_factory=Counter)
    notes: Counter = dataclasses.field(default_factory=Counter)
    keys: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def _tally(receipts: list[Receipt]) -> _Tally:
    tally = _Tally()
    for receipt in receipts:
        columns = [receipt.rows[name].to_pylist() for name in ("split", "domain", "key", "reason", "notes")]
        for split, domain, key, reason, notes in zip(*columns, strict=True):
            if reason is None:
                tally.converted += 1
                tally.notes.update(notes.split(",") if notes else ())
                continue
            tally.rejected[reason.split(":")[0]] += 1
            if len(tally.keys) < 20:
                tally.keys.append((f"{split}{domain.upper()}/{os.fsdecode(key)}", reason))
    return tally


def _reasons(rejected: Counter) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in rejected.most_common(3))


def _empty_domain(receipts: list[Receipt]) -> str | None:
    """The name of the first domain that was listed, but holds no image that can be read."""
    counts: Counter[Domain] = Counter()
    for receipt in receipts:
        counts[receipt.job_split, receipt.job_domain] += receipt.shard.rows if receipt.shard else 0
    return next((f"{split}{domain.upper()}" for (split, domain), count in counts.items() if count == 0), None)


def _commit(receipts: list[Receipt], partial: Path, out: Path, lock: Lock, plan: Plan) -> Dataset:
    """Manifest, fsync, `dataset.json`, rename."""
    with pq.ParquetWriter(partial / MANIFEST_FILE, MANIFEST_SCHEMA, compression="zstd") as writer:
        writer.write_table(pa.concat_tables([receipt.rows for receipt in receipts]), row_group_size=1 << 16)
    shards: dict[str, dict[str, list[Shard]]] = {}
    for receipt in receipts:
        listed = shards.setdefault(receipt.job_split, {}).setdefault(receipt.job_domain, [])
        if receipt.shard:
            listed.append(receipt.shard)
    dataset = Dataset(
        encoding=plan.jobs[0].encoding,
        stored_size=plan.jobs[0].stored_size,
        shards={split: {domain: tuple(v) for domain, v in domains.items()} for split, domains in shards.items()},
        manifest_bytes=(partial / MANIFEST_FILE).stat().st_size,
        manifest_sha256=sha256_file(partial / MANIFEST_FILE),
        manifest_rows=sum(receipt.rows.num_rows for receipt in receipts),
    )
    for listed in shards.values():
        for shard in (shard for group in listed.values() for shard in group):
            fsync(partial / shard.file)
            fsync(db_path(partial / shard.file))
    (partial / DATASET_FILE).write_bytes(render(dataset))
    for receipt_file in partial.glob("*" + RECEIPT_SUFFIX):
        receipt_file.unlink()
    for path in (partial / MANIFEST_FILE, partial / DATASET_FILE, partial):
        fsync(path)
    lock.publish(out)
    fsync(out.absolute().parent)
    return dataset
