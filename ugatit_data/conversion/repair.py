"""Repair a data set: write its damaged and missing shards again, from the source."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ugatit_data.conversion.jobs import Job, write_job
from ugatit_data.conversion.sources import Source, as_source
from ugatit_data.conversion.verify import check_shard
from ugatit_data.dataset.manifest import Dataset, Shard, read_dataset, read_manifest, row_name, rows_of
from ugatit_data.dataset.records import encoding_of
from ugatit_data.errors import BadInputError, ConversionError


def repair(
    folder: str | os.PathLike,
    source: str | os.PathLike | Source,
    *,
    progress: Callable[[str], object] = lambda file: None,
) -> list[str]:
    """Rewrite damaged and missing shards from the source, a folder or a `ParquetSource`; returns the rewritten files.

    A shard is put in place only when its hashes are the recorded ones, so the data set is then what it was.

    Raises:
        BadInputError: a source image differs from the one that was converted, or is gone.
        ConversionError: the result is another, made by other versions of MindSpore or OpenCV.
        CorruptDatasetError: `dataset.json` or the manifest itself is damaged.
    """
    folder = Path(folder)
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    rewritten = []
    for shard in dataset.all_shards():
        if check_shard(folder, dataset, table, shard, deep=False):
            _rewrite(folder, dataset, shard, rows_of(table, shard), as_source(source))
            rewritten.append(shard.file)
            progress(shard.file)
    return rewritten


def _rewrite(folder: Path, dataset: Dataset, shard: Shard, rows: list[dict], source: Source) -> None:
    job = Job(
        file=shard.file,
        split=rows[0]["split"],
        domain=rows[0]["domain"],
        keys=tuple(row["key"] for row in rows),
        absent=frozenset(row["key"] for row in rows),  # one that is gone is named below, with what it should be
        source=source,
        encoding=dataset.encoding,
        encode=encoding_of(folder, dataset).encode,
        stored_size=dataset.stored_size,
        lenient=True,  # the data set may have been made so; for what was accepted without, it makes no difference
        plan_digest="",
        recorded={row["key"]: (row["length"], row["xxh3"]) for row in rows},
    )
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-repair-", dir=folder.absolute().parent))
    try:
        made, found = write_job(job, work)
        for row, now in zip(rows, found, strict=True):
            if now["sha256"] != row["sha256"]:
                reason = f"sha256 {now['sha256'].hex()[:12]}... instead" if now["sha256"] else now["reason"]
                raise BadInputError(
                    f"{row_name(row)}: not the image that was converted, {row['sha256'].hex()[:12]}... ({reason}). "
                    f"Pass the source that {shard.file} was made of."
                )
        if made != shard:
            raise ConversionError(
                f"{shard.file}: rewritten, it has another sha256 than recorded, so nothing was replaced. "
                "Repair with the versions of this package, MindSpore and the decoders that made it, or convert again."
            )
        for name in (shard.file, shard.file + ".db"):
            (work / name).chmod(folder.stat().st_mode & 0o666)
            os.replace(work / name, folder / name)
    finally:
        shutil.rmtree(work)
