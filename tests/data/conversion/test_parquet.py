"""Hugging Face style Parquet as a source."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ugatit_data import BadInputError, ParquetSource, convert, open_loader
from ugatit_data.dataset.manifest import read_dataset, read_manifest
from ugatit_data.errors import RejectedImageError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def files(folder):
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


def write(path, rows, column="image", row_group_size=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = column if isinstance(column, dict) else {column: rows}
    table = pa.table({name: pa.array(values, IMAGE) for name, values in columns.items()})
    pq.write_table(table, path, row_group_size=row_group_size)


def as_rows(images):
    return [{"bytes": data, "path": f"{index}.jpg"} for index, data in enumerate(images)]


@pytest.fixture
def root(source, tmp_path):
    root = tmp_path / "hub"
    a = files(source / "trainA")
    write(root / "data" / "trainA-00000-of-00002.parquet", as_rows(a[:9]))
    write(root / "data" / "trainA-00001-of-00002.parquet", as_rows(a[9:]))
    write(root / "trainB.parquet", as_rows(files(source / "trainB")))
    return root


def test_rows_become_images_in_order(root, source, tmp_path):
    out = tmp_path / "out"
    convert(ParquetSource(root), out, shards=2, workers=2)
    with open_loader(out, img_size=32, domain="a", augment=False) as loader:
        keys = loader.keys("a")
        assert len(list(loader)) == len(keys) == 13
    assert keys[0] == b"data/trainA-00000-of-00002.parquet/0000000000"
    assert keys[-1] == b"data/trainA-00001-of-00002.parquet/0000000003"
    stored = []
    for row in read_manifest(out, read_dataset(out)).to_pylist():
        if row["domain"] == "a":
            stored.append((out / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["length"]])
    assert stored == files(source / "trainA")


def test_null_rows_and_paths(root, source, tmp_path):
    picture = files(source / "trainA")[0]
    (root / "pictures").mkdir()
    (root / "pictures" / "one.jpg").write_bytes(picture)
    (tmp_path / "outside.jpg").write_bytes(picture)
    rows = [
        {"bytes": None, "path": "pictures/one.jpg"},
        None,
        {"bytes": None, "path": None},
        {"bytes": None, "path": "../outside.jpg"},
        {"bytes": None, "path": "missing.jpg"},
        {"bytes": picture, "path": "/somewhere/else.jpg"},
    ]
    write(root / "trainB.parquet", rows)
    out = tmp_path / "out"
    report = convert(ParquetSource(root), out)
    assert report.converted == 15
    assert report.rejected_keys == [
        ("trainB/trainB.parquet/0000000001", "null row: neither bytes nor path"),
        ("trainB/trainB.parquet/0000000002", "null row: neither bytes nor path"),
        ("trainB/trainB.parquet/0000000003", "path outside of the source"),
        ("trainB/trainB.parquet/0000000004", "unreadable: No such file or directory"),
    ]


def test_both_domains_in_one_file_and_another_column(source, tmp_path):
    a, b = (as_rows(files(source / name)[:5]) for name in ("trainA", "trainB"))
    write(tmp_path / "hub" / "train-00000-of-00001.parquet", None, {"photoA": a, "photoB": b})
    listed = ParquetSource(tmp_path / "hub", "photo")
    assert [len(entries) for entries in listed.entries().values()] == [5, 5]
    key = listed.entries()["train", "b"][3].key
    assert listed.read("train", "b", key) == b[3]["bytes"]
    assert listed.read("train", "a", key) == a[3]["bytes"]


def test_a_plain_binary_column(tmp_path):
    for name in "AB":
        path = tmp_path / f"train{name}.parquet"
        pq.write_table(pa.table({"image": pa.array([b"one", None], pa.binary())}), path)
    source = ParquetSource(tmp_path)
    keys = [entry.key for entry in source.entries()["train", "a"]]
    assert source.read("train", "a", keys[0]) == b"one"
    with pytest.raises(RejectedImageError, match="null row"):
        source.read("train", "a", keys[1])


def test_bad_sources_are_named(root, tmp_path):
    with pytest.raises(BadInputError, match="no image column 'photo' among image. Choose one with --column"):
        ParquetSource(root, "photo").entries()
    (root / "trainB.parquet").unlink()
    with pytest.raises(BadInputError, match="no rows of trainB. Name the files trainB"):
        ParquetSource(root).entries()
    (root / "trainB.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadInputError, match="unreadable Parquet"):
        ParquetSource(root).entries()
    with pytest.raises(BadInputError, match="no such folder"):
        ParquetSource(tmp_path / "nothing").entries()
