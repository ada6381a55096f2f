"""Crops of raw records are those of the step-by-step way, at every corner of every record."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from ugatit_data import CorruptDatasetError, kernel, open_loader
from ugatit_data.augment import MARGIN, cut
from ugatit_data.crops import Crops
from ugatit_data.manifest import read_dataset, read_manifest
from ugatit_data.records import CHECKS, Records

SIZE = 48  # the data sets of the tests store MARGIN more


def opened(folder, check="off"):
    dataset = read_dataset(folder)
    return Records(folder, dataset, read_manifest(folder, dataset), "train", "a", check), dataset.stored_size


def copied(crops, *picks):
    """The batch of the picks: ids, flips, xs, ys."""
    batch = np.zeros((len(picks[0]), SIZE, SIZE, 3), np.uint8)
    crops.copy(batch, *(np.asarray(values) for values in picks))
    return batch


def cut_one_by_one(records, *picks):
    batch = np.zeros((len(picks[0]), SIZE, SIZE, 3), np.uint8)
    for out, sample, *draws in zip(batch, *picks, strict=True):
        cut(records.image(int(sample), None), out, *draws)
    return batch


@pytest.mark.parametrize("check", CHECKS)
def test_crops_equal_the_cut_record_by_record(datasets, check):
    records, stored_size = opened(datasets["raw"], check)  # three shards: the last record of each ends near its end
    crops, corners, many = Crops(records, stored_size), (0, 1, 17, MARGIN), len(records)
    for flip, x, y in itertools.product((False, True), corners, corners):
        picks = range(many), [flip] * many, [x] * many, [y] * many
        np.testing.assert_array_equal(copied(crops, *picks), cut_one_by_one(records, *picks))


def test_each_sample_of_a_batch_is_flipped_and_cropped_by_its_own_draw(datasets):
    records, stored_size = opened(datasets["raw"])
    crops, random = Crops(records, stored_size), np.random.default_rng(1)
    for count in (1, 2, 9) * 20:
        ids, xs, ys = random.integers(0, [[len(records)], [MARGIN + 1], [MARGIN + 1]], (3, count))
        picks = ids, random.random(count) < 0.5, xs, ys
        np.testing.assert_array_equal(copied(crops, *picks), cut_one_by_one(records, *picks))


@pytest.mark.parametrize("exported", [True, False])
@pytest.mark.parametrize("check", ["once", "every"])
def test_a_damaged_record_is_named_before_it_is_copied(datasets, monkeypatch, caplog, check, exported):
    if not exported:
        monkeypatch.setattr(kernel, "digest_address", lambda: 0)
    records, stored_size = opened(datasets["raw"], check)
    crops, batch = Crops(records, stored_size), np.zeros((3, SIZE, SIZE, 3), np.uint8)
    assert caplog.messages == ["this build of xxhash exports no XXH3_64bits: records are checked one by one, which is "
                               "slower"] * (not exported)  # fmt: skip
    picks = np.array([4, 5, 6]), np.array([False, True, False]), *np.zeros((2, 3), np.int64)
    crops.copy(batch, *picks)
    np.testing.assert_array_equal(batch, cut_one_by_one(records, *picks))
    assert records.due[[4, 5, 6, 7]].tolist() == ([0, 0, 0, 1] if check == "once" else [1, 1, 1, 1])
    records._xxh3[5] ^= 1
    records.due[:] = 1
    batch[:] = 0
    with pytest.raises(CorruptDatasetError, match=r"record . \(trainA/.*its bytes differ from their checksum") as first:
        crops.copy(batch, *picks)
    assert not batch[1:].any()
    with pytest.raises(CorruptDatasetError) as other:
        records.place(5)
    assert str(first.value) == str(other.value)


def test_off_checks_nothing(datasets):
    records, stored_size = opened(datasets["raw"], "off")
    records._xxh3[5] ^= 1
    assert copied(Crops(records, stored_size), [5], [True], [0], [0]).any()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("length", 3 * 77**2, "17787 bytes are no pixels of 78 x 78"),
        ("length", -1, "does not fit the shards"),
        ("offset", -1, "does not fit the shards"),
        ("offset", 2**63 - 1, "does not fit the shards"),  # with the length it would overflow
        ("offset", 1 << 40, "does not fit the shards"),
    ],
)
def test_a_manifest_that_points_elsewhere_is_refused_when_it_is_opened(datasets, column, value, words):
    dataset = read_dataset(datasets["raw"])
    table = read_manifest(datasets["raw"], dataset)
    values = table[column].to_pylist()
    values[2] = value
    table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), [values])
    with pytest.raises(CorruptDatasetError, match=words):
        Crops(Records(datasets["raw"], dataset, table, "train", "a", "off"), dataset.stored_size)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("check", ["once", "every"])
def test_a_damaged_record_reaches_no_batch_wherever_its_crop_lies(datasets, tmp_path, check, threads):
    """The last byte of a record is in one crop of 961; the batches before it are delivered."""
    copy = shutil.copytree(datasets["raw"], tmp_path / "copy")
    records, _ = opened(copy)
    damaged = 7
    shard, _, end = records.place(damaged)
    with (copy / f"trainA-{shard:05d}-of-00003.mindrecord").open("r+b") as file:
        file.seek(end - 1)
        byte = file.read(1)[0]
        file.seek(end - 1)
        file.write(bytes([byte ^ 128]))
    with open_loader(copy, img_size=SIZE, domain="a", threads=threads, check=check) as loader:
        step = [loader.sample_ids(step)[0].item() for step in range(len(records))].index(damaged)
        for _ in range(step):
            next(loader)
        with pytest.raises(CorruptDatasetError, match=rf"trainA-{shard:05d}.*its bytes differ from their checksum"):
            next(loader)
    with open_loader(copy, img_size=SIZE, domain="a", threads=threads, check="off") as loader:
        for _ in range(step + 1):
            next(loader)
