"""Crops of raw records are those of the step-by-step way, at every corner of every record."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from ugatit_data import CorruptDatasetError, open_loader
from ugatit_data.dataset.manifest import read_dataset, read_manifest
from ugatit_data.dataset.records import CHECKS, Records
from ugatit_data.loading import kernel, order
from ugatit_data.loading.augment import MARGIN, PAPER, cut
from ugatit_data.loading.crops import _STEPS, Crops, _picks
from ugatit_data.loading.options import LoaderOptions

SIZE = 48  # the data sets of the tests store MARGIN more


def opened(folder, check="off"):
    dataset = read_dataset(folder)
    return Records(folder, dataset, read_manifest(folder, dataset), "train", "a", check), dataset.stored_size


def both(folder, check="off"):
    """Records of both domains, and the stored size."""
    dataset = read_dataset(folder)
    table = read_manifest(folder, dataset)
    return {d: Records(folder, dataset, table, "train", d, check) for d in order.DOMAINS}, dataset.stored_size


def cut_one_by_one(records, seed, start, stop):
    """The batches of the positions [start, stop), one domain after the other."""
    batch = []
    for domain, mine in records.items():
        for sample, *draws in zip(*order.samples(seed, domain, len(mine), start, stop, PAPER), strict=True):
            batch.append(np.zeros((SIZE, SIZE, 3), np.uint8))
            cut(mine.image(int(sample), None), batch[-1], None, *draws)
    return np.stack(batch)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("batch_size", "rank", "world"), [(1, 0, 1), (5, 0, 1), (30, 0, 1), (2, 1, 3)])
def test_crops_equal_the_cut_record_by_record(datasets, check, batch_size, rank, world):
    records, stored_size = both(datasets["raw"], check)  # three shards: the last record of each ends near its end
    crops = Crops(records, stored_size, LoaderOptions(batch_size=batch_size, rank=rank, world=world))
    for seed, step in itertools.product((1, 2), range(40)):
        batch = np.zeros((2 * batch_size, SIZE, SIZE, 3), np.uint8)
        crops.copy(batch, seed, step)
        positions = order.rank_positions(step, batch_size, rank, world)
        np.testing.assert_array_equal(batch, cut_one_by_one(records, seed, *positions))


def test_a_crop_begins_where_its_corner_is_also_at_the_edges(monkeypatch):
    for flip, x, y in itertools.product((False, True), (0, MARGIN), (0, MARGIN)):
        drawn = [np.full(_STEPS, value) for value in (0, flip, x, y)]
        monkeypatch.setattr(order, "samples", lambda *_, drawn=drawn: drawn)
        begins = _picks.__wrapped__(1, (("a", 1),), 0, PAPER, True, 1, 0, 1)[..., 2:]
        assert (begins == (y, 3 * (MARGIN - x if flip else x))).all()


@pytest.mark.parametrize("exported", [True, False])
@pytest.mark.parametrize("check", ["once", "every"])
@pytest.mark.parametrize("domain", order.DOMAINS)
def test_a_damaged_record_is_named_and_nothing_after_it_copied(datasets, monkeypatch, caplog, check, exported, domain):
    if not exported:
        monkeypatch.setattr(kernel, "digest_addresses", lambda: (0, 0, 0))
    records, stored_size = both(datasets["raw"], check)
    mine, count = records[domain], len(records[domain])
    damaged = order.samples(1, domain, count, 2, 3, PAPER)[0].item()  # third in its domain's batch
    mine._xxh3[damaged] ^= 1
    mine.sums = mine.sums.copy()
    mine.sums[damaged] ^= np.uint64(1)
    crops, batch = Crops(records, stored_size, LoaderOptions(batch_size=8)), np.zeros((16, SIZE, SIZE, 3), np.uint8)
    told = "this build of xxhash exports no XXH3_64bits: records are checked one by one, which is slower"
    assert caplog.messages == ([] if exported else [told])
    for _ in range(2):  # what was found is found again
        with pytest.raises(
            CorruptDatasetError, match=f"record . .train{domain.upper()}/.*differ from their checksum"
        ) as it:
            crops.copy(batch, 1, 0)
        place = 2 if domain == "a" else 10
        assert not batch[place + 1 :].any()
    with pytest.raises(CorruptDatasetError) as other:
        mine.place(damaged)
    assert str(it.value) == str(other.value)


@pytest.mark.parametrize(("check", "found"), [("off", False), ("once", False), ("every", True)])
def test_damage_after_the_first_read_is_found_where_every_read_is_checked(datasets, check, found):
    records, stored_size = both(datasets["raw"], check)
    for mine in records.values():
        mine.sums = mine.sums.copy()
    crops, batch = Crops(records, stored_size, LoaderOptions(batch_size=13)), np.zeros((26, SIZE, SIZE, 3), np.uint8)
    crops.copy(batch, 1, 0)
    crops._known[1][:] += np.uint64(1)
    if found:
        with pytest.raises(CorruptDatasetError, match="differ from their checksum"):
            crops.copy(batch, 1, 1)
    else:
        crops.copy(batch, 1, 1)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("length", 3 * 77**2, "record 2 .trainA/.*17787 bytes are no 78 x 78 pixels"),
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
        records = {"a": Records(datasets["raw"], dataset, table, "train", "a", "off")}
        Crops(records, dataset.stored_size, LoaderOptions())


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
