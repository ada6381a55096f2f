"""Each encoding gives back what it was given, as exactly as it says."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ugatit_data.dataset.encodings import ENCODINGS
from ugatit_data.pixels.geometry import resize
from ugatit_data.pixels.jpeg import Scratch
from ugatit_data.pixels.policy import decode

SMOOTH = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8), (90, 70), interpolation=cv2.INTER_CUBIC
)


def save(pixels, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def round_trip(encoding, data, size):
    record = ENCODINGS[encoding].encode(data, decode(data), size)
    return record, ENCODINGS[encoding].decode(np.frombuffer(record, np.uint8), size, Scratch())


@pytest.mark.parametrize("data", [save(SMOOTH, "JPEG"), save(SMOOTH, "PNG"), save(SMOOTH, "JPEG", progressive=True)])
def test_original_keeps_plain_files(data):
    record, pixels = round_trip("original", data, None)
    assert record == data
    np.testing.assert_array_equal(pixels, decode(data).pixels)


@pytest.mark.parametrize("data", [save(SMOOTH, "BMP"), save(SMOOTH, "WEBP"), save(SMOOTH[..., 0], "JPEG")])
def test_original_is_lossless_where_it_must_encode(data):
    record, pixels = round_trip("original", data, None)
    assert record.startswith(b"\x89PNG")
    np.testing.assert_array_equal(pixels, decode(data).pixels)


def test_raw_holds_the_resized_pixels():
    record, pixels = round_trip("raw", save(SMOOTH, "PNG"), 64)
    assert len(record) == 64 * 64 * 3
    np.testing.assert_array_equal(pixels, resize(SMOOTH, 64))


@pytest.mark.parametrize(("source", "sampling", "off"), [("PNG", 0x11, 1.5), ("JPEG", 0x22, 3)])
def test_jpeg_keeps_as_much_colour_as_the_source_has(source, sampling, off):
    data = save(SMOOTH, source)
    record, pixels = round_trip("jpeg", data, 64)
    frame = record.index(b"\xff\xc0")
    assert record[frame + 11] == sampling
    assert np.abs(pixels.astype(int) - resize(decode(data).pixels, 64)).mean() < off
