"""The fast JPEG decoder makes OpenCV's pixels, or steps back for it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels import jpeg
from ugatit_data.pixels.jpeg import Scratch, decode_jpeg
from ugatit_data.pixels.policy import decode, decode_stored


def picture(height, width):
    random = np.random.default_rng(height * width)
    smooth = cv2.resize(random.integers(0, 256, (6, 7, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(smooth, random.integers(0, 20, smooth.shape, np.uint8))


def encode(pixels, *options):
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


def by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("size", [(1, 1), (8, 17), (53, 37), (256, 256), (31, 700)])
@pytest.mark.parametrize("sampling", ["411", "420", "422", "440", "444"])
def test_pixels_are_those_of_opencv(size, sampling):
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    scratch, pixels = Scratch(), picture(*size)
    for quality in (30, 92, 100):
        options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
        for more in ((), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 3)):
            data = encode(pixels, *options, *more)
            found = decode_jpeg(data, scratch)
            assert np.shares_memory(found, scratch.pixels(1, 1))
            np.testing.assert_array_equal(found, by_opencv(data))


def test_components_that_are_rgb_already():
    buffer = io.BytesIO()
    Image.fromarray(picture(40, 50)).save(buffer, "JPEG", keep_rgb=True)
    assert b"Adobe" in buffer.getvalue()
    np.testing.assert_array_equal(decode_jpeg(buffer.getvalue(), Scratch()), by_opencv(buffer.getvalue()))


def test_what_the_policy_tolerates_is_left_to_it():
    sound = encode(picture(64, 80))
    noisy = sound[:-2] + bytes(99) + sound[-2:]  # bytes that belong to nothing: libjpeg warns, OpenCV goes on
    assert decode_jpeg(noisy, Scratch()) is None
    for found in (decode(noisy).pixels, decode_stored(np.frombuffer(noisy, np.uint8), Scratch())):
        np.testing.assert_array_equal(found, by_opencv(sound))


def test_damaged_files_give_what_opencv_gives():
    """Flipped bits: the same pixels, or a refusal where OpenCV refuses."""
    sound, random = encode(picture(64, 80)), np.random.default_rng(0)
    refused = different = 0
    for at in random.integers(2, len(sound), 400):
        data = bytearray(sound)
        data[at] ^= 1 << random.integers(8)
        expected = by_opencv(bytes(data))
        try:
            found = decode_stored(np.frombuffer(bytes(data), np.uint8), Scratch())
        except RejectedImageError:
            refused += 1
            assert expected is None
            continue
        np.testing.assert_array_equal(found, expected)
        different += decode_jpeg(bytes(data), Scratch()) is None
    assert refused > 5
    assert different > 50  # the decoder complained, and OpenCV's pixels were taken


def test_memory_is_used_again_unless_it_is_large(monkeypatch):
    scratch = Scratch()
    first, second = scratch.pixels(30, 40), scratch.pixels(20, 50)
    assert np.shares_memory(first, second)
    assert (second.shape, second.dtype) == ((20, 50, 3), np.uint8)
    assert first.ctypes.data % 64 == 16
    assert not np.shares_memory(scratch.pixels(31, 40), first)
    monkeypatch.setattr(jpeg, "_KEEP_BYTES", 31 * 40 * 3)
    assert not np.shares_memory(scratch.pixels(100, 100), scratch.pixels(100, 100))
    assert np.shares_memory(scratch.pixels(31, 40), scratch.pixels(2, 2))
