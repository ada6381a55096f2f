"""Crops of raw records are those of the step-by-step way, at every corner of every record."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from ugatit_data import CorruptDatasetError, open_loader
from ugatit_data.augment import MARGIN, cut
from ugatit_data.crops import Crops
from ugatit_data.manifest import read_dataset, read_manifest
from ugatit_data.records import Records

SIZE = 48  # the data sets of the tests store MARGIN more


def opened(folder, check="off"):
    dataset = read_dataset(folder)
    return Records(folder, dataset, read_manifest(folder, dataset), "train", "a", check), dataset.stored_size


@pytest.mark.parametrize("check", ["off", "every"])  # copied at once, and one by one
def test_crops_equal_the_cut_record_by_record(datasets, check):
    records, stored_size = opened(datasets["raw"], check)  # three shards: the last record of each ends near its end
    crops, corners = Crops(records, stored_size, SIZE), (0, 1, 17, MARGIN)
    for flip, x, y in itertools.product((False, True), corners, corners):
        batch, expected = np.zeros((2, len(records), SIZE, SIZE, 3), np.uint8)
        many = len(records)
        crops.copy(batch, list(range(many)), [flip] * many, [x] * many, [y] * many)
        for sample in range(many):
            cut(records.image(sample, None), expected[sample], flip, x, y)
        np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize("check", ["off", "every"])
def test_each_sample_of_a_batch_is_flipped_and_cropped_by_its_own_draw(datasets, check):
    records, stored_size = opened(datasets["raw"], check)
    crops, random = Crops(records, stored_size, SIZE), np.random.default_rng(1)
    for count in (1, 2, 9) * 20:  # so that every pattern of neighbouring flips occurs
        ids, xs, ys = random.integers(0, [[len(records)], [MARGIN + 1], [MARGIN + 1]], (3, count)).tolist()
        flips = (random.random(count) < 0.5).tolist()
        batch, expected = np.zeros((2, count, SIZE, SIZE, 3), np.uint8)
        crops.copy(batch, ids, flips, xs, ys)
        for sample, out, flip, x, y in zip(ids, expected, flips, xs, ys, strict=True):
            cut(records.image(sample, None), out, flip, x, y)
        np.testing.assert_array_equal(batch, expected)


def test_a_damaged_record_is_named_before_it_is_copied(datasets):
    records, stored_size = opened(datasets["raw"], "every")
    crops, batch = Crops(records, stored_size, SIZE), np.zeros((2, SIZE, SIZE, 3), np.uint8)
    records._xxh3[5] ^= 1
    with pytest.raises(CorruptDatasetError, match=r"record . \(trainA/.*its bytes differ from their checksum"):
        crops.copy(batch, [4, 5], [False, True], [0, 0], [0, 0])
    assert not batch[1].any()


def test_the_mapped_file_cannot_be_written_through_a_window(datasets):
    records, stored_size = opened(datasets["raw"])
    for windows in Crops(records, stored_size, SIZE)._windows:
        with pytest.raises(ValueError, match="read-only"):
            windows[0][0, 0, 0] = 1


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
