"""Conversion: what is published, and what a bad source leaves behind."""

from __future__ import annotations

import hashlib
import os
import shutil

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError, CorruptDatasetError, FormatVersionError, open_loader
from ugatit_data.conversion import jobs
from ugatit_data.dataset.manifest import read_dataset, read_manifest

COUNTS = {"trainA": 13, "trainB": 9, "testA": 5, "testB": 3}


@pytest.fixture
def own(source, tmp_path):
    """A copy of the source to spoil."""
    return shutil.copytree(source, tmp_path / "own")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_published_files_and_counts(dataset):
    described = read_dataset(dataset)
    names = {shard.file for domains in described.shards.values() for shards in domains.values() for shard in shards}
    assert names == {
        f"{split}{domain}-{index:05d}-of-00002.mindrecord"
        for split in ("train", "test")
        for domain in "AB"
        for index in (0, 1)
    }
    expected = names | {name + ".db" for name in names} | {"dataset.json", "manifest.parquet"}
    assert {path.name for path in dataset.iterdir()} == expected
    assert {f"{s}{d.upper()}": described.num_images(s, d) for s in ("train", "test") for d in "ab"} == COUNTS


def test_manifest_rows_describe_source_and_record(dataset, source):
    rows = read_manifest(dataset, read_dataset(dataset)).to_pylist()
    assert len(rows) == sum(COUNTS.values())
    for row in rows:
        data = (source / f"{row['split']}{row['domain'].upper()}" / row["key"].decode()).read_bytes()
        assert (row["size"], row["sha256"]) == (len(data), hashlib.sha256(data).digest())
        stored = (dataset / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["length"]]
        assert stored == data  # "original" keeps plain files as they are
        height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert (row["width"], row["height"], row["reason"]) == (width, height, None)


def test_the_same_source_gives_the_same_bytes_anywhere(dataset, own, tmp_path, convert_folder):
    for path in own.rglob("*"):
        os.utime(path, (1, 1))
    again = convert_folder(own, tmp_path / "elsewhere", encoding="original", stored_size=78, shards=2, workers=2)
    assert contents(again) == contents(dataset)


@pytest.mark.parametrize("held", [1, 6000])
def test_records_that_went_through_a_file_give_the_same_bytes(
    held, dataset, source, tmp_path, convert_folder, monkeypatch
):
    spooled = []

    class Spool(jobs._Spool):
        def records(self, lengths):
            spooled.append(len(lengths) - len(self._held))
            assert self._bytes <= held  # what bounds the memory of a worker
            return super().records(lengths)

    monkeypatch.setattr(jobs, "_SPOOL_BYTES", held)
    monkeypatch.setattr(jobs, "_Spool", Spool)
    again = convert_folder(source, tmp_path / "spooled", encoding="original", stored_size=78, shards=2)
    assert contents(again) == contents(dataset)
    assert sum(spooled) == sum(COUNTS.values()) if held == 1 else 0 < sum(spooled) < sum(COUNTS.values())


def test_no_place_of_this_machine_is_published(dataset, source):
    for data in contents(dataset).values():
        assert str(source).encode() not in data
        assert str(dataset).encode() not in data


def test_test_domains_may_be_missing_and_others_are_ignored(own, tmp_path, convert_folder):
    shutil.rmtree(own / "testB")
    (own / "testA").rename(own / "testA_target")
    out = convert_folder(own, tmp_path / "out")
    assert set(read_dataset(out).shards) == {"train"}
    with pytest.raises(BadInputError, match="holds no testA"):
        open_loader(out, "test")


def test_rejected_images_are_in_the_manifest_and_not_in_the_order(own, tmp_path, convert_folder):
    (own / "trainA" / "000.jpg").write_bytes((own / "trainA" / "000.jpg").read_bytes()[:-30])
    (own / "trainA" / "notes.txt").write_text("not an image")
    (own / "trainA" / ".hidden").write_text("left out")
    os.mkfifo(own / "trainA" / "pipe.jpg")
    (own / "trainA" / "loop").symlink_to(own / "trainA")
    (own / "trainA" / "dangling.png").symlink_to("nowhere")
    out = convert_folder(own, tmp_path / "out")
    rows = read_manifest(out, read_dataset(out)).to_pylist()
    rejected = {row["key"]: row["reason"] for row in rows if row["reason"]}
    assert rejected == {
        b"000.jpg": "truncated jpeg: no end-of-image marker",
        b"notes.txt": "not an image: unknown format",
        b"pipe.jpg": "not a regular file",
        b"dangling.png": "unreadable: No such file or directory",
    }
    assert all(row["shard"] is None for row in rows if row["reason"])
    with open_loader(out, img_size=32, domain="a", augment=False) as loader:
        assert loader.num_a == 12
        assert len(list(loader)) == 12
        assert not set(loader.keys("a")) & set(rejected)


def test_an_edited_dataset_json_is_corrupt(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    text = (copy / "dataset.json").read_text()
    (copy / "dataset.json").write_text(text.replace('"rows": 13', '"rows": 12').replace('"rows": 7', '"rows": 6'))
    with pytest.raises(CorruptDatasetError, match="does not match its digest|do not match its digest"):
        open_loader(copy)


def test_another_format_version_is_named(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    text = (copy / "dataset.json").read_text()
    (copy / "dataset.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(FormatVersionError, match="format version 2, but this package reads version 1. Convert"):
        open_loader(copy)


def test_a_missing_data_set_is_named(tmp_path):
    with pytest.raises(BadInputError, match="no such data set. Make one with ugatit convert SRC OUT"):
        open_loader(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="dataset.json is missing"):
        open_loader(tmp_path / "empty")
    (tmp_path / "late.partial").mkdir()
    with pytest.raises(BadInputError, match="not finished yet"):
        open_loader(tmp_path / "late")


def test_files_are_readable_by_others_as_the_folder_is(dataset):
    modes = {path.name: path.stat().st_mode & 0o777 for path in dataset.iterdir()}
    assert set(modes.values()) == {dataset.stat().st_mode & 0o666}


def test_folders_above_the_output_are_made_and_go_where_nothing_came_of_it(own, tmp_path, convert_folder, dataset):
    out = convert_folder(own, tmp_path / "new" / "er" / "out", encoding="original", stored_size=78, shards=2)
    assert contents(out) == contents(dataset)
    for path in [*(own / "trainA").rglob("*")]:
        if path.is_file():
            path.write_text("words")
    with pytest.raises(BadInputError, match="trainA: no readable image"):
        convert_folder(own, tmp_path / "other" / "er" / "out")
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="file: no folder, so out cannot be made there"):
        convert_folder(own, tmp_path / "file" / "er" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"own", "new", "file"}


def test_integers_of_numpy_give_the_same_data_set(source, tmp_path, convert_folder, datasets):
    numbers = {"stored_size": np.int64(78), "shards": np.uint8(3), "workers": np.int32(0)}
    out = convert_folder(source, tmp_path / "out", encoding="raw", **numbers)
    assert contents(out) == contents(datasets["raw"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stored_size": 2.5}, "stored_size 2.5: must be 1 to 8192"),
        ({"stored_size": "64"}, "stored_size '64': must be"),
        ({"shards": 1.0}, "shards 1.0: must be 1 to 1000"),
        ({"workers": -1}, "workers -1: must be 0 to"),
    ],
)
def test_bad_numbers_are_named(source, tmp_path, convert_folder, options, message):
    with pytest.raises(BadInputError, match=message):
        convert_folder(source, tmp_path / "out", **options)
    assert not any(tmp_path.iterdir())
