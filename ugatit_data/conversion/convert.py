"""Convert a source into a data set: plan -> check, decode and encode -> shards -> checksums -> commit.

Everything is written into `<out>.partial`; the last act renames it. A finished shard leaves a receipt. So after a kill
at any moment the same command redoes only what was not finished, and ends with the same bytes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, as_completed
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.conversion.jobs import RECEIPT_SUFFIX, Job, Receipt, run_job, valid_receipt
from ugatit_data.conversion.leaks import leaks
from ugatit_data.conversion.lock import Lock
from ugatit_data.conversion.plan import Plan, make_plan, whole
from ugatit_data.conversion.report import Report, empty_domain, tally
from ugatit_data.conversion.sources import Source, as_source
from ugatit_data.conversion.workers import holding_ctrl_c, process_pool
from ugatit_data.dataset.manifest import DATASET_FILE, MANIFEST_FILE, MANIFEST_SCHEMA, Dataset, Shard, render
from ugatit_data.dataset.shards import db_path
from ugatit_data.errors import BadInputError, ConversionError
from ugatit_data.files import fsync, partial_path, sha256_file


def convert(
    source: str | os.PathLike | Source,
    out: str | os.PathLike,
    *,
    encoding: str = "original",
    stored_size: int = 286,
    shards: int | None = None,
    lenient: bool = False,
    workers: int = 0,
    executor: Executor | None = None,
    strict: bool = False,
    progress: Callable[[int], object] = lambda images: None,
) -> Report:
    """Convert a source of images into a data set; the same call resumes an interrupted conversion.

    Args:
        source: a folder with trainA, trainB and, if there are any, testA and testB; or a `ParquetSource`.
        out: the folder to make.
        encoding: a name in `ENCODINGS`: "original" keeps the source's bytes, "jpeg" and "raw" store squares.
        stored_size: side of stored squares, in pixels.
        shards: shards per domain; by default one for each 64 MiB.
        lenient: accept JPEGs whose picture data are damaged or end early, as far as they go, with a note.
        workers, executor, strict, progress: see `carry_out`.

    Raises:
        BadInputError: an option or the source is wrong, or `out` exists, or a domain has no readable image.
        ConversionError, LockedError: see `carry_out`.
    """
    out = Path(out)
    plan = make_plan(as_source(source), out, encoding=encoding, stored_size=stored_size, shards=shards, lenient=lenient)
    return carry_out(plan, out, workers=workers, executor=executor, strict=strict, progress=progress)


def carry_out(
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
    0 is this process, which a crash of MindRecord or of a decoder then ends. A program that has workers must guard its
    main part by `if __name__ == "__main__":`, for they are spawned.

    Raises:
        BadInputError: `out` exists, or a domain has no readable image; nothing is left behind.
        ConversionError: it could not go on, as where a listed image is gone, or `strict` and one was rejected;
            what is finished is kept.
        LockedError: another conversion into `out` is at work.
    """
    began = time.monotonic()
    workers = whole("workers", workers, 0, 1 << 16)
    partial = partial_path(out)
    with Lock(partial) as lock:
        _check_space(plan, partial)
        _remove_foreign(plan, partial)
        todo = []
        for job in plan.jobs:
            if valid_receipt(partial, job):
                progress(len(job.keys))
            else:
                todo.append(job)
        _run(todo, partial, executor, workers, progress)
        receipts = [Receipt.read(partial / (job.file + RECEIPT_SUFFIX)) for job in plan.jobs]
        counted = tally(receipts)
        empty = empty_domain(receipts)
        if empty:
            lock.discard()
            raise BadInputError(f"{empty}: no readable image ({counted.reasons()}). Put images there.")
        if strict and counted.rejected:
            raise ConversionError(
                f"{sum(counted.rejected.values())} images were rejected ({counted.reasons()}), first "
                f"{counted.rejected_keys[0][0]}. Repair or remove them and run again, or leave out --strict."
            )
        dataset = _commit(receipts, partial, out, lock, plan)
    return Report(
        dataset=dataset,
        converted=counted.converted,
        rejected=dict(counted.rejected),
        notes=dict(counted.notes),
        rejected_keys=counted.rejected_keys,
        leaks=leaks(pa.concat_tables([receipt.rows for receipt in receipts])),
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


def _check_space(plan: Plan, partial: Path) -> None:
    """Finished shards count as free space: a resumed conversion needs only the rest."""
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
    for shard in dataset.all_shards():
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
