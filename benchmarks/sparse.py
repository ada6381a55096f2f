"""A data set of any number of images that takes no disk space: zeros in sparse files, with a real manifest."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ugatit_data.dataset import manifest
from ugatit_data.files import sha256_file


def make(folder: Path, images: int, side: int, shards: int = 1) -> manifest.Dataset:
    """Write the data set and return it: `images` black squares of `side` pixels in each of trainA and trainB.

    Its shards' SHA-256 are made up, so they cannot be verified; the loader reads them with `check="off"`.
    """
    folder.mkdir(parents=True)
    length = 3 * side * side
    rows: dict[str, list] = {name: [] for name in manifest.MANIFEST_SCHEMA.names}
    listed = {}
    for domain in ("a", "b"):
        bounds = [images * i // shards for i in range(shards + 1)]
        listed[domain] = tuple(
            _shard(
                folder, f"train{domain.upper()}-{i:05d}-of-{shards:05d}.mindrecord", bounds[i + 1] - bounds[i], length
            )
            for i in range(shards)
        )
        for i, shard in enumerate(listed[domain]):
            for row in range(shard.rows):
                number = bounds[i] + row
                filled = {
                    "split": "train", "domain": domain, "key": f"{number:09d}.png".encode(), "size": length,
                    "sha256": bytes(32), "shard": shard.file, "row": row, "offset": row * length, "length": length,
                    "xxh3": 0, "width": side, "height": side, "notes": "", "reason": None,
                }  # fmt: skip
                for name, values in rows.items():
                    values.append(filled[name])
    table = pa.table(rows, schema=manifest.MANIFEST_SCHEMA)
    path = folder / manifest.MANIFEST_FILE
    pq.write_table(table, path, compression="zstd")
    dataset = manifest.Dataset(
        encoding="raw", stored_size=side, shards={"train": listed}, manifest_bytes=path.stat().st_size,
        manifest_sha256=sha256_file(path), manifest_rows=table.num_rows,
    )  # fmt: skip
    (folder / manifest.DATASET_FILE).write_bytes(manifest.render(dataset))
    return dataset


def _shard(folder: Path, file: str, rows: int, length: int) -> manifest.Shard:
    with (folder / file).open("wb") as opened:
        opened.truncate(rows * length)
    made_up = "0" * 64
    return manifest.Shard(
        file=file, rows=rows, bytes=rows * length, sha256=made_up, db_bytes=0, db_sha256=made_up
    )  # fmt: skip
