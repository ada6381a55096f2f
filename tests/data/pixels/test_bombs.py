"""What a small file can cost: nothing but the picture is unpacked; many small parts take no more than their bytes."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.exif import orientation
from ugatit_data.pixels.jpeg import Scratch
from ugatit_data.pixels.png import only_picture
from ugatit_data.pixels.policy import decode, decode_stored

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
PNG = cv2.imencode(".png", PIXELS[:, :, ::-1])[1].tobytes()
JPEG = cv2.imencode(".jpg", PIXELS)[1].tobytes()


def seconds(function, *arguments):
    """Of this process, and the result."""
    began = time.process_time()
    made = function(*arguments)
    return time.process_time() - began, made


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(chunks, png=PNG):
    return png[:33] + chunks + png[33:]


PACKED = zlib.compress(bytes(7_000_000), 9)
TEXTS = {
    "zTXt": b"".join(chunk(b"zTXt", b"k%d\0\0" % number + PACKED) for number in range(300)),
    "iTXt": b"".join(chunk(b"iTXt", b"k%d\0\1\0\0\0" % number + PACKED) for number in range(300)),
    "iCCP": chunk(b"iCCP", b"p\0\0" + PACKED) * 300,
    "raw profiles": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"x " * 3_000_000)) * 3000,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_and_profiles_of_a_png_are_not_unpacked(kind, capfd):
    data = with_chunks(TEXTS[kind])
    for read in (lambda: decode(data).pixels, lambda: decode_stored(np.frombuffer(data, np.uint8), Scratch())):
        took, pixels = seconds(read)
        np.testing.assert_array_equal(pixels, PIXELS)
        assert took < 1
    assert capfd.readouterr() == ("", "")


def test_chunks_that_are_left_out_change_no_pixel():
    """Those of the colours too: OpenCV has never heeded them."""
    others = {
        b"gAMA": struct.pack(">I", 10000),
        b"cHRM": struct.pack(">8I", *[31270, 32900, 70000, 30000, 20000, 70000, 15000, 6000]),
        b"sRGB": b"\1",
        b"sBIT": b"\3\3\3",
        b"bKGD": struct.pack(">3H", 9, 8, 7),
        b"pHYs": struct.pack(">IIB", 9, 5, 1),
        b"tIME": struct.pack(">H5B", 2020, 1, 1, 1, 1, 1),
        b"eXIf": b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(4),
        b"prIv": b"anything",
    }
    alpha = cv2.imencode(".png", np.dstack([PIXELS, PIXELS[:, :, :1]]))[1].tobytes()
    deep = cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes()
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).quantize(16).save(buffer, "PNG", transparency=3)
    for png in (PNG, alpha, deep, buffer.getvalue()):
        for kind, body in others.items():
            file = with_chunks(chunk(kind, body if kind != b"sBIT" else body + b"\3" * (png == alpha)), png)
            for flags in (cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION, -1 | cv2.IMREAD_IGNORE_ORIENTATION):
                whole, bare = (
                    cv2.imdecode(np.frombuffer(each, np.uint8), flags) for each in (file, only_picture(file))
                )
                np.testing.assert_array_equal(whole, bare)


def test_a_png_of_the_picture_alone_is_passed_on_as_it_is():
    record = np.frombuffer(PNG, np.uint8)
    assert only_picture(PNG) is PNG and only_picture(record) is record
    assert only_picture(PNG[:-20]) == PNG[:-20]
    more = with_chunks(chunk(b"tEXt", b"a\0b"))
    assert only_picture(more) == only_picture(np.frombuffer(more, np.uint8)) == PNG


def exif_bomb(count=5000, tag=0x9000):
    """Tags that all name the same bytes, and one segment of a JPEG."""
    entries = b"".join(struct.pack("<HHII", tag + number, 7, 60000, 0) for number in range(count))
    body = (b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, count) + entries).ljust(65530, b"\0")
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def test_exif_is_not_read_by_pillow_either():
    """Which reads it where it finds no resolution: in JPEGs of CMYK and of unusual samplings, which it decodes."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("CMYK").save(buffer, "JPEG")
    full = cv2.imencode(".jpg", PIXELS[:8], [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])
    odd = bytearray(full[1].tobytes())
    odd[odd.index(b"\xff\xc0") + 11] = 0x31  # luma at 3 x 1: one unit of three luma blocks
    odd = bytes(odd[:2] + odd[4 + int.from_bytes(odd[4:6], "big") :])  # without its resolution
    for data in (buffer.getvalue(), odd):
        expected = decode(data, lenient=True)  # behind the odd one's picture data are more
        tracemalloc.start()
        found = decode(data[:2] + exif_bomb() + data[2:], lenient=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.notes == expected.notes
        assert peak < 4 << 20


@pytest.mark.parametrize(
    "between",
    [
        b"\xff\1",
        b"\xff\xd3\xff\1",
        b"\xff\0",
        b"\xff\1x",
        b"\xff\xff\0",
        b"\xff\xe3\0\2",
        b"\xff\xe3\0\2x",
        b"\xff" * 3,
    ],
    ids=bytes.hex,
)
def test_many_markers_take_no_more_than_their_bytes(between):
    file = JPEG[:2] + between * (1_000_000 // len(between)) + JPEG[2:]
    took, found = seconds(decode, file)
    np.testing.assert_array_equal(found.pixels, decode(JPEG).pixels)
    assert took < 4


def test_a_signature_many_times_takes_no_more_than_its_bytes():
    took, found = seconds(
        orientation, [b"Exif\0\0" * 500_000 + b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"]
    )
    assert took < 1
    assert found == 6


def tiff_of_lines(count, compression, strip, bits=8):
    """One pixel wide, one pixel a strip; all strips are the same bytes."""
    places = struct.pack("<I", 8) * count + struct.pack("<I", len(strip)) * count
    begin = 8 + len(strip) + len(strip) % 2
    tags = [
        *((256, 1, 1), (257, 1, count), (258, 1, bits), (259, 1, compression), (262, 1, 1), (273, count, begin)),
        *((277, 1, 1), (278, 1, 1), (279, count, begin + 4 * count)),
    ]
    head = struct.pack("<2sHI", b"II", 42, begin + len(places)) + strip + bytes(len(strip) % 2) + places
    return (
        head
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", tag, 4, *rest) for tag, *rest in tags)
        + bytes(4)
    )


@pytest.mark.parametrize(
    ("compression", "strip", "most"),
    [(1, b"\5", 1 << 20), (5, b"\x80\x01\x60\x20", 1 << 17), (4, b"\0\x10\x01", 1 << 16)],
)
def test_a_tiff_of_more_strips_than_any_picture_has_is_refused_by_name(compression, strip, most):
    bits = 1 if compression == 4 else 8
    took, _ = seconds(
        lambda: pytest.raises(RejectedImageError, decode, tiff_of_lines(most + 1, compression, strip, bits)).match(
            f"^unsupported tiff: {most + 1} strips or tiles of compression {compression}$"
        )
    )
    assert took < 2
    if compression == 1:
        assert decode(tiff_of_lines(5000, compression, strip)).pixels.shape == (5000, 1, 3)
