"""EXIF's orientation is found however a writer put it there, and nothing else of EXIF is read."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from ugatit_data.pixels.policy import decode

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
SIGNATURE = b"Exif\0\0"


def save(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


def entry(tag, kind, count, value, order="<"):
    body = struct.pack(order + "HHI", tag, kind, count)
    return body + (struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value))


def exif(*entries, order="<", count=None):
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return start + struct.pack(order + "H", len(entries) if count is None else count) + b"".join(entries) + bytes(4)


def app1(body):
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


TURN, OUTSIDE = entry(274, 3, 1, 6), entry(271, 2, 4000, 999_999)
TURNED = exif(TURN)
JPEG = save("JPEG")


def jpeg(*segments):
    return JPEG[:2] + b"".join(map(app1, segments)) + JPEG[2:]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks):
    data = save("PNG")
    return data[:33] + b"".join(chunk(kind, body) for kind, body in chunks) + data[33:]


def webp(body):
    data = save("WEBP", lossless=True, exif=b"placeholder")
    at = data.index(b"EXIF")
    data = data[:at] + b"EXIF" + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def profile(name=b"exif"):
    digits = (SIGNATURE + TURNED).hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n" + name + b"\n%8d\n" % (len(digits) // 2) + lines + b"\n"


FILES = {
    "as it should be": jpeg(SIGNATURE + TURNED),
    "big endian": jpeg(SIGNATURE + exif(entry(274, 3, 1, 6, ">"), order=">")),
    "as a long": jpeg(SIGNATURE + exif(entry(274, 4, 1, 6))),
    "another tag points outside": jpeg(SIGNATURE + exif(OUTSIDE, TURN)),
    "numbers of another tag lie outside": jpeg(SIGNATURE + exif(entry(282, 4, 10, 999_999), TURN)),
    "another tag of no known type": jpeg(SIGNATURE + exif(entry(270, 99, 7, 0), TURN)),
    "a second segment says nothing": jpeg(SIGNATURE + TURNED, SIGNATURE + exif(OUTSIDE)),
    "a second segment says otherwise": jpeg(SIGNATURE + TURNED, SIGNATURE + exif(entry(274, 3, 1, 3))),
    "only a second segment says it": jpeg(SIGNATURE + exif(OUTSIDE), SIGNATURE + TURNED),
    "continued in a second segment": jpeg(SIGNATURE + TURNED[:9], SIGNATURE + TURNED[9:]),
    "another program's segment first": jpeg(b"http://ns.adobe.com/xap/1.0/\0<x/>", SIGNATURE + TURNED),
    "the signature twice": jpeg(SIGNATURE * 2 + TURNED),
    "another last byte of the signature": jpeg(b"Exif\0\xff" + TURNED),
    "a directory that ends early": jpeg(SIGNATURE + exif(TURN, count=50)),
    "no next directory": jpeg(SIGNATURE + TURNED[:-4]),
    "png": png((b"eXIf", TURNED)),
    "png with a JPEG's signature": png((b"eXIf", SIGNATURE + TURNED)),
    "png after the picture": save("PNG")[:-12] + chunk(b"eXIf", TURNED) + save("PNG")[-12:],
    "png, raw profile": png((b"tEXt", b"Raw profile type exif\0" + profile())),
    "png, packed raw profile": png((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile()))),
    "png, raw profile APP1": png((b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(profile(b"generic")))),
    "webp": webp(TURNED),
    "webp with a JPEG's signature": webp(SIGNATURE + TURNED),
    "webp, another tag points outside": webp(exif(OUTSIDE, TURN)),
}


@pytest.mark.parametrize("name", FILES)
def test_orientation_is_found(name):
    decoded = decode(FILES[name])
    assert decoded.notes == ("orientation 6 applied",)
    assert not decoded.plain
    upright = decode(JPEG).pixels if FILES[name].startswith(b"\xff\xd8") else PIXELS
    np.testing.assert_array_equal(decoded.pixels, np.rot90(upright, -1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        SIGNATURE,
        SIGNATURE + b"II*\0",
        SIGNATURE + b"II*\0\xff\xff\xff\xff",
        SIGNATURE + b"words" * 9,
        SIGNATURE + exif(),
        SIGNATURE + exif(entry(274, 3, 1, 9)),
        SIGNATURE + exif(entry(274, 3, 1, 0)),
        SIGNATURE + exif(entry(274, 3, 0, 6)),
        SIGNATURE + exif(entry(274, 2, 1, 6)),
        SIGNATURE + TURNED[:20],
    ],
)
def test_what_makes_no_sense_turns_nothing(body):
    assert decode(jpeg(body)).plain
    for data in (png((b"eXIf", body)), png((b"zTXt", b"Raw profile type exif\0\0" + body)), webp(body)):
        assert decode(data).notes == ()


def bombs():
    """Tags that all name the same large block, as a few kilobytes can hold by the thousand."""
    many = [entry(tag % 65536, 4, 16_000, 8) for tag in range(300, 300 + 5000)]
    yield "jpeg", jpeg(SIGNATURE + exif(*many))
    yield "png", png((b"eXIf", exif(*many) + bytes(60_000)))
    yield "webp", webp(exif(*many) + bytes(60_000))
    yield "packed", png((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 9\n" + b"00" * (100 << 20))))
    tiff = save("TIFF")
    (start,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, start)
    own = tiff[start + 2 : start + 2 + 12 * count]
    data = tiff + bytes(len(tiff) % 2) + bytes(250_000)
    many = b"".join(entry(tag, 4, 60_000, 8) for tag in range(40_000, 60_000))
    directory = struct.pack("<H", count + 20_000) + own + many + bytes(4)
    yield "tiff", data[:4] + struct.pack("<I", len(data)) + data[8:] + directory
    again = struct.pack("<H", count + 20_000) + own + many + struct.pack("<I", len(data))
    yield "tiff without end", data[:4] + struct.pack("<I", len(data)) + data[8:] + again


@pytest.mark.parametrize(("name", "data"), list(bombs()))
def test_tags_that_nobody_uses_are_not_read(name, data):
    began = time.process_time()
    tracemalloc.start()
    try:
        assert decode(data).pixels.shape == PIXELS.shape
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 3
