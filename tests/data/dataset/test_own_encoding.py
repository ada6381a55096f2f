"""An encoding from outside: a pair of functions and a line in the table; nothing of the package is patched.

The code stands in CONTRIBUTING.md, "An encoding".
"""

from __future__ import annotations

import inspect
import shutil
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import (
    ENCODINGS,
    BadInputError,
    CorruptDatasetError,
    Encoding,
    ascend_pipeline,
    convert,
    open_loader,
    repair,
    verify,
)
from ugatit_data.conversion.looking import extract
from ugatit_data.dataset.manifest import read_dataset
from ugatit_data.pixels.geometry import resize

SIZE = 64


def deflate(data, decoded, stored_size):
    return zlib.compress(resize(decoded.pixels, stored_size).tobytes(), 1)


def inflate(record, stored_size, scratch):
    return np.frombuffer(zlib.decompress(record), np.uint8).reshape(stored_size, stored_size, 3)


@pytest.fixture
def table():
    """The caller's line, and the table as it was after the test."""
    ENCODINGS["deflated"] = Encoding(deflate, inflate, fixed_size=True, estimate=lambda size, stored: 2 * stored**2)
    yield
    del ENCODINGS["deflated"]


@pytest.fixture
def deflated(table, source, tmp_path):
    convert(source, tmp_path / "deflated", encoding="deflated", stored_size=SIZE, shards=2)
    return tmp_path / "deflated"


def test_contributing_shows_this_code():
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
    assert inspect.getsource(deflate) in text
    assert inspect.getsource(inflate) in text
    assert 'ENCODINGS["deflated"] = Encoding(deflate, inflate, fixed_size=True, ' in text


def test_what_was_converted_is_read_back(deflated, source, tmp_path):
    convert(source, tmp_path / "raw", encoding="raw", stored_size=SIZE)
    described = read_dataset(deflated)
    assert (described.encoding, described.stored_size) == ("deflated", SIZE)
    for options in ({"augment": False, "domain": "a", "img_size": SIZE}, {"img_size": 34, "domain": "b"}):
        with open_loader(deflated, **options) as own, open_loader(tmp_path / "raw", **options) as raw:
            for _ in range(9):
                np.testing.assert_array_equal(next(own), next(raw))


def test_workers_need_no_table_of_their_own(table, source, tmp_path, deflated):
    convert(source, tmp_path / "again", encoding="deflated", stored_size=SIZE, shards=2, workers=1)
    assert read_dataset(tmp_path / "again").dataset_id == read_dataset(deflated).dataset_id


def test_it_is_verified_repaired_and_extracted(deflated, source, tmp_path):
    assert verify(deflated, deep=True) == []
    shard = deflated / "trainA-00001-of-00002.mindrecord"
    before = shard.read_bytes()
    shard.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert [problem.file for problem in verify(deflated)] == [shard.name]
    assert repair(deflated, source) == [shard.name]
    assert shard.read_bytes() == before
    assert extract(deflated, tmp_path / "out") == 30
    expected = resize(cv2.imread(str(source / "trainA" / "000.jpg")), SIZE)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "trainA" / "000.jpg.png")), expected)


def turned(record, stored_size, scratch):
    """A file that holds the picture upside down."""
    return cv2.imdecode(record, cv2.IMREAD_COLOR_RGB)[::-1]


@pytest.mark.parametrize(
    ("decode", "words"),
    [(turned, None), (lambda *_: None, "cannot be decoded: AttributeError"), (lambda *_: 1 / 0, "ZeroDivisionError")],
)
def test_files_of_an_own_encoding_are_verified_by_its_own_decoder(source, tmp_path, decode, words):
    """What the policy makes of such a file says nothing."""
    ENCODINGS["own"] = Encoding(lambda data, *_: data, decode, False, lambda size, _: size, contents="file")
    try:
        convert(source, tmp_path / "own", encoding="own")
        found = [problem.what for problem in verify(tmp_path / "own", deep=True)]
    finally:
        del ENCODINGS["own"]
    assert len(found) == (30 if words else 0)
    assert all(words in what for what in found)


def test_a_card_does_not_decode_it(deflated):
    with pytest.raises(BadInputError, match="a card decodes JPEG and PNG, not 'deflated'. Use open_loader"):
        ascend_pipeline(deflated, epoch=0, device="CPU")


def test_without_its_line_the_data_set_is_refused(deflated, source, tmp_path):
    own = ENCODINGS.pop("deflated")
    try:
        for attempt in (open_loader, lambda folder: verify(folder, deep=True), lambda f: extract(f, tmp_path / "out")):
            with pytest.raises(CorruptDatasetError, match="encoding 'deflated' is unknown here. .* be in ENCODINGS"):
                attempt(deflated)
        with pytest.raises(BadInputError, match="encoding 'deflated': unknown. Choose one of original, jpeg, raw"):
            convert(source, tmp_path / "more", encoding="deflated")
        copy = shutil.copytree(deflated, tmp_path / "copy")
        (copy / "trainA-00001-of-00002.mindrecord").unlink()
        with pytest.raises(CorruptDatasetError, match="encoding 'deflated' is unknown here"):
            repair(copy, source)
    finally:
        ENCODINGS["deflated"] = own
