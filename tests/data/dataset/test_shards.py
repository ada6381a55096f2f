"""The shards are ordinary MindRecord files: MindDataset reads the images that the loader reads."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data import ConversionError, open_loader
from ugatit_data.dataset.manifest import read_dataset
from ugatit_data.dataset.mapped import map_file
from ugatit_data.dataset.shards import record_places, write_shard
from ugatit_data.pixels.geometry import resize


def mind_dataset_records(folder, split, domain):
    import mindspore.dataset as ds

    files = [str(folder / shard.file) for shard in read_dataset(folder).shards[split][domain]]
    rows = ds.MindDataset(files, columns_list=["image"], shuffle=False)
    return [row["image"].tobytes() for row in rows.create_dict_iterator(num_epochs=1, output_numpy=True)]


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
@pytest.mark.parametrize("domain", ["a", "b"])
def test_mind_dataset_yields_the_same_images_as_the_loader(datasets, encoding, domain):
    records = mind_dataset_records(datasets[encoding], "train", domain)
    with open_loader(datasets[encoding], batch_size=1, img_size=78, domain=domain, augment=False) as loader:
        images = np.concatenate(list(loader))
    assert len(records) == len(images) > 0
    for record, image in zip(records, images, strict=True):
        if encoding == "raw":
            whole = np.frombuffer(record, np.uint8).reshape(78, 78, 3)
        else:
            whole = cv2.imdecode(np.frombuffer(record, np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(resize(whole, 78), image)


def test_mindspore_decodes_what_the_loader_decodes(datasets):
    import mindspore.dataset.vision as vision

    records = mind_dataset_records(datasets["jpeg"], "train", "a")
    with open_loader(datasets["jpeg"], batch_size=1, img_size=78, domain="a", augment=False) as loader:
        for record, image in zip(records, loader, strict=True):
            theirs = vision.Decode()(np.frombuffer(record, np.uint8)).astype(int)
            assert np.abs(theirs - image[0]).max() <= 3  # two libjpegs


@pytest.mark.parametrize("lengths", [[1], [5, 3, 9], [1 << 20, 7], [3 << 20, 1, 2 << 20], [400] * 700])
def test_records_lie_where_the_writer_says(tmp_path, lengths):
    random = np.random.default_rng(0)
    records = [random.integers(1, 256, length, np.uint8).tobytes() for length in lengths]
    path = tmp_path / "trainA-00000-of-00001.mindrecord"
    places = write_shard(path, lengths, records)
    np.testing.assert_array_equal(places, record_places(path))
    mapped = map_file(path)
    assert [mapped[offset : offset + length].tobytes() for offset, length in places.tolist()] == records


def test_the_same_records_give_the_same_file(tmp_path):
    name = "trainA-00000-of-00001.mindrecord"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_shard(tmp_path / folder / name, [1000] * 40, [bytes([1 + i % 250]) * 1000 for i in range(40)])
    for file in (name, name + ".db"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_disk_that_fills_up_is_named_in_one_line(tmp_path, monkeypatch):
    """As MindRecord says it on a tmpfs of 3 MiB."""
    from mindspore.mindrecord import FileWriter

    rule = "-" * 66
    said = (
        "Exception thrown from dataset pipeline. Refer to 'Dataset Pipeline Error Message'. \n\n"
        f"{rule}\n- Dataset Pipeline Error Message: \n{rule}\n"
        "[ERROR] No free disk to be used while writing mindrecord files, available free disk size: 3\n\n"
        f"{rule}\n- C++ Call Stack: (For framework developers) \n{rule}\nshard_writer.cc(584).\n"
    )

    def full(writer, rows):
        raise RuntimeError(said)

    monkeypatch.setattr(FileWriter, "write_raw_data", full)
    with pytest.raises(ConversionError) as raised:
        write_shard(tmp_path / "x.mindrecord", [3], [b"abc"])
    assert str(raised.value) == (
        "x.mindrecord: MindRecord could not write it: No free disk to be used while writing mindrecord files, "
        "available free disk size: 3. Make room, or see to it, and run the same command again to resume."
    )
