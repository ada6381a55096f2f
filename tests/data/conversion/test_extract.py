"""What is extracted gives every image back, under a name of its own, and converts to the same data set."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import ENCODINGS, BadInputError, CorruptDatasetError, Encoding, convert
from ugatit_data.conversion import looking
from ugatit_data.conversion.looking import extract
from ugatit_data.dataset.manifest import read_dataset

# name -> format; each a kind of name that an ending, put behind it, could spoil.
NAMES = {
    b"noext": "jpg", b"noext.jpg": "jpg",  # one name for two
    b"a": "jpg", b"a (2).jpg": "jpg", b"a-b.jpg": "png",  # another order: " ", "-" < "."
    b"c": "jpg", b"c.jpg/d.jpg": "jpg",  # a file where a folder is to be
    b"x" * 255: "jpg", b"y" * 251 + b".jpg": "jpg", b"z" * 252: "png",  # no room
    b"wrong.png": "jpg", b"WRONG.JPG": "png", b"right.JPEG": "jpg", b"dots.v1": "png",
    b"alone": "jpg", b"deep/alone": "png", b"deep/er/no.bmp": "bmp", b"deep/er/no.bmp.png": "png",
    b"f.webp": "webp", b"g": "webp", b"h.bin": "tiff", b"\xff\xfe": "jpg", b"new\nline": "png",
}  # fmt: skip


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    draw = np.random.default_rng(0)
    for domain in ("trainA", "trainB"):
        for name, kind in NAMES.items():
            path = Path(os.fsdecode(os.path.join(os.fsencode(root / domain), name)))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(f".{kind}", draw.integers(0, 256, (20, 20, 3), np.uint8))[1].tobytes())
    return root


def as_it_is(data, decoded, stored_size):
    return data


def decode(record, stored_size, scratch):
    return cv2.imdecode(record, cv2.IMREAD_COLOR_RGB)


@pytest.fixture
def verbatim():
    """An encoding that keeps the bytes of every format."""
    ENCODINGS["verbatim"] = Encoding(as_it_is, decode, fixed_size=False, estimate=lambda size, stored: size)
    yield
    del ENCODINGS["verbatim"]


def names(root):
    """The files below a domain's folder, as keys."""
    return [os.fsencode(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]


@pytest.mark.parametrize("encoding", ["original", "raw", "verbatim"])
def test_extracted_and_converted_it_is_the_same_data_set(odd, tmp_path, encoding, verbatim):
    convert(odd, tmp_path / "one", encoding=encoding, stored_size=16)
    assert extract(tmp_path / "one", tmp_path / "out") == 2 * len(NAMES)
    assert len(names(tmp_path / "out" / "trainA")) == len(NAMES)
    convert(tmp_path / "out", tmp_path / "two", encoding=encoding, stored_size=16)
    assert read_dataset(tmp_path / "two").dataset_id == read_dataset(tmp_path / "one").dataset_id


@pytest.mark.parametrize(("shards", "same"), [(1, True), (2, False)])
def test_rejected_images_move_the_cuts_between_shards_only(odd, tmp_path, shards, same):
    """As --help says: shards are cut by the number of files, before any is read."""
    source = shutil.copytree(odd, tmp_path / "source")
    for number in range(8):
        (source / "trainA" / f"0{number}.jpg").write_bytes(b"no picture")
    assert convert(source, tmp_path / "one", shards=shards).rejected == {"not an image": 8}
    extract(tmp_path / "one", tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "two", shards=shards)
    assert (read_dataset(tmp_path / "two").dataset_id == read_dataset(tmp_path / "one").dataset_id) is same


def test_names_get_an_ending_that_fits_where_there_is_room(odd, tmp_path):
    convert(odd, tmp_path / "one")
    extract(tmp_path / "one", tmp_path / "out")
    found = set(names(tmp_path / "out" / "trainB"))
    kept = {
        b"noext",
        b"noext.jpg",
        b"a",
        b"c",
        b"c.jpg/d.jpg",
        b"x" * 255,
        b"z" * 252,
        b"right.JPEG",
        b"deep/er/no.bmp",
    }
    assert kept <= found
    assert {b"alone.jpg", b"deep/alone.png", b"wrong.png.jpg", b"WRONG.JPG.png", b"g.png", b"\xff\xfe.jpg"} <= found


def test_every_format_that_a_record_keeps_gets_its_ending(odd, tmp_path, verbatim):
    convert(odd, tmp_path / "one", encoding="verbatim")
    extract(tmp_path / "one", tmp_path / "out")
    found = set(names(tmp_path / "out" / "trainA"))
    assert {b"f.webp", b"g.webp", b"h.bin.tif", b"deep/er/no.bmp"} <= found
    for name in found:
        source = next(key for key in (name, name.rpartition(b".")[0]) if key in NAMES)
        there = (Path(os.fsdecode(os.path.join(os.fsencode(root), name_))) for root, name_ in
                 ((odd / "trainA", source), (tmp_path / "out" / "trainA", name)))  # fmt: skip
        one, other = (path.read_bytes() for path in there)
        assert one == other


def test_two_names_that_are_one_there_are_no_overwriting(dataset, tmp_path, monkeypatch):
    """As on a file system without small letters."""
    monkeypatch.setattr(looking._Names, "of", lambda self, key, data: b"same")
    with pytest.raises(BadInputError, match="testA/001.jpg: the file system of .* takes its name for that of another"):
        extract(dataset, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("names", [{b"000.jpg": b"same", b"deep/002.jpg": b"same/x"}, {b"000.jpg": b"deep"}])
def test_a_file_where_a_folder_is_to_be_is_no_overwriting(dataset, tmp_path, monkeypatch, names):
    """As on a file system without small letters, in either order."""
    monkeypatch.setattr(looking._Names, "of", lambda self, key, data: names.get(key, key))
    with pytest.raises(BadInputError, match="testA/.*: the file system of .* takes its name for that of another"):
        extract(dataset, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_shard_that_cannot_be_read_is_named_not_the_target(dataset, tmp_path, monkeypatch):
    def unreadable(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(looking, "map_file", unreadable)
    with pytest.raises(CorruptDatasetError, match="A-00000-of-00002.mindrecord: unreadable: Permission denied"):
        extract(dataset, tmp_path / "out")
    monkeypatch.undo()

    def decode(record, stored_size, scratch):
        raise ValueError("no sense")

    monkeypatch.setattr(looking, "encoding_of", lambda *_: Encoding(as_it_is, decode, False, lambda *_: 0))
    monkeypatch.setattr(looking, "hashlib", types.SimpleNamespace(sha256=lambda data: hashlib.sha256(b"")))
    with pytest.raises(
        CorruptDatasetError, match=r"record 0 \(testA/000.jpg\): cannot be decoded: ValueError: no sense"
    ):
        extract(dataset, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="SIGBUS is caught on Linux only")
@pytest.mark.parametrize("when", ["before its checksum", "after its checksum"])
def test_a_shard_that_is_cut_short_meanwhile_gives_no_picture_of_zeros(dataset, tmp_path, monkeypatch, when):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    shard = copy / "trainA-00001-of-00002.mindrecord"
    real = looking.stored_record

    def cut(mapped, row):
        record, sound = real(mapped, row) if when == "after its checksum" else (None, None)
        if row["shard"] == shard.name:
            os.truncate(shard, 4096)
        return (record, sound) if when == "after its checksum" else real(mapped, row)

    monkeypatch.setattr(looking, "stored_record", cut)
    with pytest.raises(
        CorruptDatasetError, match=f"{shard.name}: was cut short, or its disk failed, while it was read"
    ):
        extract(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_above_is_made_and_goes_where_nothing_came_of_it(dataset, tmp_path, monkeypatch):
    extract(dataset, tmp_path / "new" / "er" / "out")
    assert (tmp_path / "new" / "er" / "out" / "trainA" / "000.jpg").is_file()
    monkeypatch.setattr(looking, "_as_file", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract(dataset, tmp_path / "other" / "er" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"new"}
