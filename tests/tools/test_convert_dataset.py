"""The command: its summary, its exit codes, and that bad input leaves nothing behind."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / "tools" / "convert_dataset.py"


def run(*arguments, **options):
    command = [sys.executable, TOOL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    for number, name in enumerate(("trainA", "trainB", "testA")):
        (root / name).mkdir(parents=True)
        for index in range(3):
            pixels = np.random.default_rng(number * 10 + index).integers(0, 256, (40, 40, 3), np.uint8)
            cv2.imwrite(str(root / name / f"{index}.jpg"), pixels)
    return root


def assert_refused(done, tmp_path, *words, code=2):
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"source"}


def spoilt_png():
    """All checksums of its chunks are right, but not that of the packed pixels, of which libpng tells on stderr."""
    data = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    at = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, at - 4)
    body = data[at : at + 3 + length] + bytes([data[at + 3 + length] ^ 1])
    return data[:at] + body + struct.pack(">I", zlib.crc32(body)) + data[at + 8 + length :]


def test_converts_and_reports(source, tmp_path):
    (source / "trainB" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (source / "trainB" / "spoilt.png").write_bytes(spoilt_png())
    done = run(source, tmp_path / "out", "--encoding", "raw", "--stored_size", "32", "--workers", "1")
    assert (done.returncode, done.stderr) == (0, ""), "not a word of libpng"
    assert "converted 9 images, rejected 2 (1 damaged png, 1 truncated png)" in done.stdout
    assert "rejected 'trainB/broken.png': truncated png" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}


def test_a_missing_domain(source, tmp_path):
    (source / "trainB").rename(source / "trainC")
    assert_refused(
        run(source, tmp_path / "out"), tmp_path, "trainB: no such folder", "Put the images of domain B there"
    )


def test_an_empty_domain(source, tmp_path):
    for path in (source / "trainA").iterdir():
        path.unlink()
    assert_refused(run(source, tmp_path / "out"), tmp_path, "trainA: empty", "Put the images of domain A there")


def test_no_readable_image(source, tmp_path):
    for path in (source / "trainA").iterdir():
        path.write_text("words")
    done = run(source, tmp_path / "out", "--workers", "1")
    assert_refused(done, tmp_path, "trainA: no readable image (3 not an image)", "Put")


def test_a_missing_source(source, tmp_path):
    assert_refused(run(tmp_path / "nothing", tmp_path / "out"), tmp_path, "nothing: no such folder", "Pass the folder")


def test_an_output_that_exists(source, tmp_path):
    done = run(source, source)
    assert_refused(done, tmp_path, "exists already. Remove it, or choose another")


@pytest.mark.parametrize(
    ("option", "word"),
    [
        (("--shards", "0"), "--shards: 0 is not a whole number from 1"),
        (("--shards", "1001"), "shards 1001: must be 1 to 1000"),
        (("--stored_size", "0"), "--stored_size: 0 is not a whole number from 1"),
        (("--stored_size", "10000"), "stored_size 10000: must be 1 to 8192"),
        (("--encodings", "raw"), "--encodings: unknown option: did you mean --encoding?"),
        (("--encoding", "webp"), "invalid choice: 'webp'"),
        (("--scheduler", "head:8786"), "--scheduler head:8786: must be tcp://host:port"),
        (("--source", "parquet"), "no rows of trainA. Name the files trainA*.parquet"),
    ],
)
def test_a_bad_option(source, tmp_path, option, word):
    assert_refused(run(source, tmp_path / "out", *option), tmp_path, word)


def test_strict_exits_1_and_publishes_nothing(source, tmp_path):
    (source / "trainB" / "broken.png").write_bytes(b"nothing")
    done = run(source, tmp_path / "out", "--strict", "--workers", "1")
    assert done.returncode == 1
    assert "1 images were rejected (1 not an image), first trainB/broken.png" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out.partial"}


def test_what_the_system_refuses_is_one_line(source, tmp_path):
    """An output in a folder that cannot be written; /proc refuses root too."""
    done = run(source, "/proc/ugatit-test")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "/proc/ugatit-test" in done.stderr and "same command again" in done.stderr
