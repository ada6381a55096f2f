"""The decoding policy in conversions: lenient or not, what the ledger says, and data sets that older rules made."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError, convert, open_loader, repair, verify
from ugatit_data.conversion import jobs
from ugatit_data.conversion.plan import make_plan
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.dataset import encodings
from ugatit_data.dataset.manifest import read_dataset, read_manifest
from ugatit_data.pixels import policy
from ugatit_data.pixels.policy import Decoded

END = b"\xff\xd9"


def jpeg(number):
    random = np.random.default_rng(number)
    pixels = cv2.resize(random.integers(0, 256, (6, 5, 3), np.uint8), (60, 50), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


GOOD, HALF, NOISY = jpeg(1), jpeg(2)[:-900] + END, jpeg(3)[:-2] + b"stray bytes" * 9 + END


@pytest.fixture
def pictures(tmp_path):
    for domain in ("trainA", "trainB"):
        folder = tmp_path / "pictures" / domain
        folder.mkdir(parents=True)
        for name, data in (("good", GOOD), ("half", HALF), ("noisy", NOISY)):
            (folder / f"{name}.jpg").write_bytes(data)
    return tmp_path / "pictures"


def ledger(folder):
    rows = read_manifest(folder, read_dataset(folder)).to_pylist()
    return {row["key"].decode(): row for row in rows if row["domain"] == "a"}


@pytest.mark.parametrize("encoding", ["original", "jpeg", "raw"])
def test_lenient_accepts_half_a_picture_with_a_note(pictures, tmp_path, encoding, capfd):
    report = convert(pictures, tmp_path / "strict", encoding=encoding)
    assert (report.converted, report.rejected) == (4, {"damaged jpeg": 2})
    rows = ledger(tmp_path / "strict")
    assert rows["half.jpg"]["reason"] == "damaged jpeg: Corrupt JPEG data: premature end of data segment"
    assert rows["good.jpg"]["notes"] == ""
    assert "bytes left over behind the picture data: 99" in rows["noisy.jpg"]["notes"]
    assert report.notes == {"bytes left over behind the picture data": 2}, "one line, whatever the numbers"

    report = convert(pictures, tmp_path / "lenient", encoding=encoding, lenient=True)
    assert (report.converted, report.rejected) == (6, {})
    rows = ledger(tmp_path / "lenient")
    assert rows["half.jpg"]["notes"] == "damaged: Corrupt JPEG data: premature end of data segment"
    for folder in (tmp_path / "strict", tmp_path / "lenient"):
        assert verify(folder, deep=True) == []
        with open_loader(folder, batch_size=2, img_size=32, threads=1) as loader:
            next(loader)
    with open_loader(tmp_path / "lenient", domain="a", augment=False, batch_size=3, img_size=32, threads=1) as loader:
        assert len(loader.keys("a")) == 3
    assert "JPEG" not in capfd.readouterr().err  # libjpeg's own words
    [shard] = (tmp_path / "lenient").glob("trainA*.mindrecord")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    assert repair(tmp_path / "lenient", pictures) == [shard.name]
    assert shard.read_bytes() == whole


def test_no_conversion_goes_on_under_another_policy(pictures, tmp_path, monkeypatch):
    def digest(**options):
        plan = make_plan(FolderSource(pictures), tmp_path / "out", **options)
        return [job.plan_digest for job in plan.jobs]

    strict = digest()
    assert digest() == strict
    assert not set(digest(lenient=True)) & set(strict)
    monkeypatch.setattr(policy, "POLICY", policy.POLICY + 1)
    assert not set(digest()) & set(strict)
    monkeypatch.undo()
    real = policy.version
    for name in ("Pillow", "simplejpeg"):
        monkeypatch.setattr(policy, "version", lambda part, name=name: "0" if part == name else real(part))
        assert not set(digest()) & set(strict)


def test_what_older_rules_let_in_is_read_as_before_and_named(pictures, tmp_path, monkeypatch):
    """Under the rules of 0.1 such JPEGs were kept as they are, orientation and all that was not understood included."""
    turned = b"\xff\xe1\0\x2aExif\0\0Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0" + bytes(6)
    (pictures / "trainA" / "turned.jpg").write_bytes(GOOD[:2] + turned + GOOD[2:])

    def as_before(data, lenient=False):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        return Decoded(pixels, True, True, ())

    with monkeypatch.context() as old:
        old.setattr(jobs, "decode", as_before)
        convert(pictures, tmp_path / "old", shards=1)
    with open_loader(tmp_path / "old", domain="a", augment=False, batch_size=4, img_size=50, threads=1) as loader:
        batch = next(loader)
        for image, key in zip(batch, loader.keys("a"), strict=True):
            before = as_before((pictures / "trainA" / key.decode()).read_bytes()).pixels
            np.testing.assert_array_equal(image, encodings.resize(before, 50))
    assert verify(tmp_path / "old") == []
    found = [problem.what for problem in verify(tmp_path / "old", deep=True) if problem.file.startswith("trainA")]
    assert found == [
        "record 1 (half.jpg): is read as it always was, but today's rules would reject it: "
        "damaged jpeg: Corrupt JPEG data: premature end of data segment",
        "record 3 (turned.jpg): is read as it always was, but today's rules would read it otherwise: "
        "orientation 3 applied",
    ]


def test_what_older_rules_kept_is_repaired(pictures, tmp_path, monkeypatch):
    """Today the noisy one would be stored as PNG, the half one would be rejected: the data set has their bytes."""
    (pictures / "trainA" / "fatal.jpg").write_bytes(GOOD[:-1000] + GOOD[-900:])
    refused = policy.decode
    with monkeypatch.context() as old:
        old.setattr(jobs, "decode", lambda data, lenient: Decoded(np.zeros((50, 60, 3), np.uint8), True, True, ()))
        convert(pictures, tmp_path / "old", shards=1)
    for name in sorted(path.name for path in (tmp_path / "old").glob("*.mindrecord")):
        whole = (tmp_path / "old" / name).read_bytes()
        (tmp_path / "old" / name).write_bytes(whole[:-9])
        assert repair(tmp_path / "old", pictures) == [name]
        assert (tmp_path / "old" / name).read_bytes() == whole
    assert jobs.decode is refused
    (pictures / "trainA" / "noisy.jpg").write_bytes(NOISY + b"more")
    (tmp_path / "old" / "trainA-00000-of-00001.mindrecord").unlink()
    with pytest.raises(BadInputError, match="trainA/noisy.jpg: not the image that was converted"):
        repair(tmp_path / "old", pictures)


def test_any_exception_of_one_file_is_that_files_row(pictures, tmp_path, monkeypatch):
    real = policy.decode_source

    def fail(found, lenient):
        if found.clean == GOOD:
            raise MemoryError
        return real(found, lenient)

    monkeypatch.setattr(policy, "decode_source", fail)
    report = convert(pictures, tmp_path / "one")
    assert report.converted == 2
    assert ledger(tmp_path / "one")["good.jpg"]["reason"] == "the decoder failed: MemoryError"
    monkeypatch.undo()

    def encode(data, decoded, size):
        if data == GOOD:
            raise OverflowError("too much")
        return data

    monkeypatch.setitem(encodings.ENCODINGS, "mine", encodings.Encoding(encode, None, False, lambda size, stored: size))
    report = convert(pictures, tmp_path / "two", encoding="mine")
    assert report.converted == 2
    assert ledger(tmp_path / "two")["good.jpg"]["reason"] == "cannot be stored: OverflowError: too much"
