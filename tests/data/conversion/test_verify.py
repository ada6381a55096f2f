"""Damage is named by file and record; repair brings back the same bytes or refuses."""

from __future__ import annotations

import errno
import os
import shutil
import sys

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError, CorruptDatasetError, open_loader, repair, verify
from ugatit_data.conversion import looking
from ugatit_data.conversion import verify as checking
from ugatit_data.conversion.looking import extract, peek
from ugatit_data.dataset.manifest import read_dataset, read_manifest

SHARD = "trainA-00001-of-00002.mindrecord"


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "copy")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flip(path, at, bit=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def place(folder, number=2):
    """Offset and length of a record of SHARD."""
    rows = read_manifest(folder, read_dataset(folder)).to_pylist()
    row = [row for row in rows if row["shard"] == SHARD][number]
    return row["offset"], row["length"], row["key"].decode()


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_data_set_has_no_problems(datasets, encoding, deep):
    assert verify(datasets[encoding], deep=deep) == []


def test_a_flipped_pixel_is_named_by_verify_and_at_read_and_repaired(copy, dataset, source):
    offset, length, key = place(copy)
    flip(copy / SHARD, offset + length // 2)
    (problem,) = verify(copy)
    assert problem.file == SHARD
    assert f"1 of 7 records are damaged, first record 2 (trainA/{key})" in problem.what
    with (
        open_loader(copy, img_size=32, batch_size=13) as loader,
        pytest.raises(
            CorruptDatasetError, match=f"{SHARD}, record 2 .*{key}.*differ from their checksum. Run `ugatit ver"
        ),
    ):
        next(loader)
    assert repair(copy, source) == [SHARD]
    assert contents(copy) == contents(dataset)
    assert verify(copy, deep=True) == []


def test_every_read_checks_what_changes_after_the_first(copy):
    """`check="once"` trusts a record that was right; `check="every"` does not; "off" checks nothing."""
    offset, length, _ = place(copy)
    keys = {}
    for check in ("every", "once", "off"):
        with open_loader(copy, img_size=32, batch_size=13, domain="a", threads=1, prefetch=1, check=check) as loader:
            next(loader)
            with (copy / SHARD).open("r+b") as file:
                file.seek(offset + length - 40)
                byte = file.read(1)[0]
                file.seek(offset + length - 40)
                file.write(bytes([byte ^ 1]))
            try:
                next(loader), next(loader)
                keys[check] = "read"
            except CorruptDatasetError:
                keys[check] = "refused"
            with (copy / SHARD).open("r+b") as file:
                file.seek(offset + length - 40)
                file.write(bytes([byte]))
    assert keys == {"every": "refused", "once": "read", "off": "read"}


def test_a_shard_that_cannot_be_read_is_a_problem_not_an_end(copy, monkeypatch):
    def unreadable(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(checking, "sha256_file", unreadable)
    monkeypatch.setattr(checking, "map_file", unreadable)
    assert {problem.what for problem in verify(copy)} == {"unreadable: Permission denied"}


@pytest.mark.skipif(sys.platform != "linux", reason="SIGBUS is caught on Linux only")
@pytest.mark.parametrize("damaged", [False, True])
def test_a_shard_that_is_cut_short_while_it_is_checked_is_said_to_be(copy, monkeypatch, damaged):
    real = checking.stored_record
    if damaged:
        flip(copy / SHARD, place(copy)[0])

    def cut(mapped, row):
        if row["shard"] == SHARD and (copy / SHARD).stat().st_size > 4096:
            os.truncate(copy / SHARD, 4096)
        return real(mapped, row)

    monkeypatch.setattr(checking, "stored_record", cut)
    (problem,) = verify(copy, deep=True)
    assert problem.file == SHARD and problem.repairable
    assert problem.what.endswith("was cut short, or its disk failed, while it was read")


@pytest.mark.parametrize("name", [SHARD, SHARD + ".db"])
def test_a_missing_file_is_named_and_repaired(copy, dataset, source, name):
    (copy / name).unlink()
    (problem,) = verify(copy)
    assert (problem.file, problem.what, problem.repairable) == (name, "missing", True)
    assert repair(copy, source) == [SHARD]
    assert contents(copy) == contents(dataset)


def test_the_loader_does_not_need_the_db_files(copy, dataset):
    """Offsets stand in the manifest: what only MindDataset reads is for `verify` to miss, not for the loader."""
    (copy / (SHARD + ".db")).unlink()
    with (
        open_loader(copy, img_size=32, batch_size=13) as without,
        open_loader(dataset, img_size=32, batch_size=13) as whole,
    ):
        for one, other in zip(next(without), next(whole), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cut", [1, 100, None])
def test_truncation_is_named_at_open(copy, cut):
    data = (copy / SHARD).read_bytes()
    (copy / SHARD).write_bytes(data[: -cut if cut else 0])
    with pytest.raises(CorruptDatasetError, match=f"{SHARD}: {len(data) - cut if cut else 0} bytes, but"):
        open_loader(copy)
    assert [problem.file for problem in verify(copy)] == [SHARD]


def test_swapped_shards_are_named(copy):
    first, second = copy / "trainA-00000-of-00002.mindrecord", copy / SHARD
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other), second.write_bytes(one)
    assert {problem.file for problem in verify(copy)} == {first.name, second.name}
    with pytest.raises(CorruptDatasetError, match="trainA"), open_loader(copy, img_size=32, batch_size=13) as loader:
        next(loader)


def test_a_renamed_and_a_foreign_shard_are_named(copy, datasets):
    (copy / SHARD).rename(copy / "trainA-00009-of-00009.mindrecord")
    problems = {problem.file: problem.what for problem in verify(copy)}
    assert problems[SHARD] == "missing"
    assert "does not belong" in problems["trainA-00009-of-00009.mindrecord"]
    shutil.copy(datasets["raw"] / "trainA-00000-of-00003.mindrecord", copy / SHARD)
    with pytest.raises(CorruptDatasetError, match=SHARD):
        open_loader(copy)


def test_repair_refuses_another_source(copy, source, tmp_path):
    own = shutil.copytree(source, tmp_path / "own")
    flip(copy / SHARD, place(copy)[0] + 5)
    before = contents(copy)
    path = own / "trainA" / place(copy, 0)[2]
    pixels = cv2.imread(str(path))
    cv2.imwrite(str(path), 255 - pixels)
    with pytest.raises(BadInputError, match="not the image that was converted.*Pass the source that"):
        repair(copy, own)
    path.unlink()
    with pytest.raises(BadInputError, match="No such file or directory"):
        repair(copy, own)
    assert contents(copy) == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"copy", "own"}


@pytest.mark.parametrize("key", [b"../../escape.jpg", b"/etc/passwd", b"a/../../b"])
def test_a_key_that_leaves_the_folder_is_refused(copy, tmp_path, key):
    """Even where every digest was made to fit."""
    import dataclasses

    import pyarrow as pa
    import pyarrow.parquet as pq

    from ugatit_data.dataset.manifest import DATASET_FILE, MANIFEST_FILE, MANIFEST_SCHEMA, render
    from ugatit_data.files import sha256_file

    described = read_dataset(copy)
    rows = read_manifest(copy, described).to_pylist()
    rows[0]["key"] = key
    pq.write_table(pa.Table.from_pylist(rows, MANIFEST_SCHEMA), copy / MANIFEST_FILE)
    forged = dataclasses.replace(described, manifest_sha256=sha256_file(copy / MANIFEST_FILE))
    (copy / DATASET_FILE).write_bytes(render(forged))
    for attempt in (lambda: open_loader(copy), lambda: extract(copy, tmp_path / "out"), lambda: verify(copy)):
        with pytest.raises(CorruptDatasetError, match="leaves the folder"):
            attempt()


def test_a_shard_name_that_leaves_the_folder_is_refused(copy):
    import dataclasses

    from ugatit_data.dataset.manifest import DATASET_FILE, render

    described = read_dataset(copy)
    for name in ("../trainA-00000-of-00002.mindrecord", "/dev/zero"):
        shard = dataclasses.replace(described.shards["train"]["a"][0], file=name)
        shards = {"train": {"a": (shard,), "b": described.shards["train"]["b"]}}
        (copy / DATASET_FILE).write_bytes(render(dataclasses.replace(described, shards=shards)))
        with pytest.raises(CorruptDatasetError, match="damaged"):
            open_loader(copy)


def test_peek_names_samples(dataset):
    lines = list(peek(dataset, 2))
    assert len(lines) == 8
    assert lines[0].startswith("trainA 0: '000.jpg', 64 x 60, ")
    assert lines[0].endswith(" bytes, record 0 of trainA-00000-of-00002.mindrecord")


def test_extract_gives_the_sources_back(dataset, source, tmp_path):
    assert extract(dataset, tmp_path / "out") == 30
    for path in source.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(source)).read_bytes() == path.read_bytes()
    with pytest.raises(BadInputError, match="exists already"):
        extract(dataset, tmp_path / "out")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_is_not_extracted_whole_is_gone(dataset, tmp_path, monkeypatch, error):
    def full(target, row, name, data, write=looking._write_image):
        write(target, row, name, data)
        raise error

    monkeypatch.setattr(looking, "_write_image", full)
    with pytest.raises(type(error)):
        extract(dataset, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_extract_of_raw_records_keeps_their_pixels(datasets, tmp_path):
    extract(datasets["raw"], tmp_path / "out")
    with open_loader(datasets["raw"], img_size=78, domain="b", augment=False) as loader:
        for key, image in zip(loader.keys("b"), loader, strict=True):
            name = key.decode() if key.endswith(b".png") else key.decode() + ".png"
            written = cv2.imread(str(tmp_path / "out" / "trainB" / name), cv2.IMREAD_COLOR_RGB)
            np.testing.assert_array_equal(written, image[0])
