"""The mindspore.dataset pipelines give what the loader gives. Nothing here ran on a card."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from ugatit_data import BadInputError, CorruptDatasetError, as_mindspore_dataset, ascend_pipeline, open_loader

SIZE = 48


def test_generator_dataset_yields_the_loader_epoch_by_epoch(dataset):
    with open_loader(dataset, batch_size=4, img_size=SIZE, layout="float32") as loader:
        expected = list(itertools.islice(loader, 8))
    with open_loader(dataset, batch_size=4, img_size=SIZE, layout="float32") as loader:
        pipeline = as_mindspore_dataset(loader)
        assert pipeline.get_dataset_size() == 4
        assert pipeline.get_col_names() == ["a", "b"]
        rows = [row for _ in range(2) for row in pipeline.create_dict_iterator(num_epochs=1, output_numpy=True)]
    assert len(rows) == 8
    for row, (a, b) in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(row["a"], a)
        np.testing.assert_array_equal(row["b"], b)


def test_a_single_domain_has_a_single_column(dataset):
    with open_loader(dataset, batch_size=4, img_size=SIZE, domain="b") as loader:
        pipeline = as_mindspore_dataset(loader)
        assert pipeline.get_col_names() == ["b"]
        assert len(list(pipeline.create_dict_iterator(num_epochs=1, output_numpy=True))) == 3


def test_a_finite_loader_is_one_epoch_with_its_short_batch(dataset):
    with open_loader(dataset, batch_size=4, img_size=SIZE, domain="b", augment=False) as loader:
        expected = list(loader)
    assert [len(batch) for batch in expected] == [4, 4, 1]
    with open_loader(dataset, batch_size=4, img_size=SIZE, domain="b", augment=False) as loader:
        rows = list(as_mindspore_dataset(loader).create_dict_iterator(num_epochs=1, output_numpy=True))
    for row, batch in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(row["b"], batch)


@pytest.mark.parametrize("encoding", ["original", "jpeg"])
@pytest.mark.parametrize("epoch", [0, 2])
def test_ascend_pipeline_has_the_loaders_order_and_augmentation(datasets, encoding, epoch):
    options = {"batch_size": 2, "img_size": SIZE, "rank": 1, "world": 2, "seed": 5}
    with open_loader(datasets[encoding], start_step=epoch * 4, **options) as loader:
        expected = list(itertools.islice(loader, 4))
    options = {name: np.int64(value) for name, value in options.items()}  # as good as Python's
    pipeline = ascend_pipeline(datasets[encoding], epoch=np.int64(epoch), device="CPU", **options)
    rows = list(pipeline.create_dict_iterator(num_epochs=1, output_numpy=True))
    assert len(rows) == 4
    for row, batch in zip(rows, expected, strict=True):
        for name, images in zip("ab", batch, strict=True):
            assert row[name].shape == images.shape
            assert np.abs(row[name].astype(int) - images).mean() < 1.5  # another libjpeg, another resizer


def test_ascend_pipeline_takes_the_descriptors_that_its_shards_need(datasets, few_descriptors):
    few_descriptors(3)
    pipeline = ascend_pipeline(datasets["original"], epoch=0, img_size=SIZE, batch_size=13, device="CPU")
    assert len(list(pipeline.create_dict_iterator(num_epochs=1, output_numpy=True))) == 1


def test_ascend_pipeline_refuses_what_it_cannot_do(datasets, tmp_path):
    with pytest.raises(BadInputError, match="raw records need no decoding. Use open_loader"):
        ascend_pipeline(datasets["raw"], epoch=0, device="CPU")
    with pytest.raises(BadInputError, match="epoch -1: must be an integer of at least 0"):
        ascend_pipeline(datasets["jpeg"], epoch=-1, device="CPU")
    with pytest.raises(BadInputError, match=r"img_size \(32, 48\): must be the side of a square"):
        ascend_pipeline(datasets["jpeg"], epoch=0, img_size=(32, 48), device="CPU")
    copy = shutil.copytree(datasets["jpeg"], tmp_path / "copy")
    shard = copy / "trainB-00000-of-00001.mindrecord"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptDatasetError, match="trainB-00000-of-00001.mindrecord: sha256 .* Run `ugatit verify"):
        ascend_pipeline(copy, epoch=0, device="CPU")
