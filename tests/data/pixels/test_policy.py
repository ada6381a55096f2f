"""The decoding policy, against Pillow: every kind of file either gives the stated pixels or a named reason."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels import policy
from ugatit_data.pixels.policy import decode

RGB = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), (60, 40), interpolation=cv2.INTER_CUBIC
)
DEEP = (np.arange(40 * 60).reshape(40, 60) * 27).astype(np.uint16)
RAMP = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))

IMAGE = Image.fromarray(RGB)
ALPHA = Image.fromarray(np.dstack([RGB, RAMP]))
GRAY, PALETTE, BITS, CMYK = (IMAGE.convert(mode) for mode in ("L", "P", "1", "CMYK"))


def save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def over_white(image):
    return Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image.convert("RGBA")).convert("RGB")


def turned(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return save(IMAGE, kind, exif=exif.tobytes(), **({"lossless": True} if kind == "WEBP" else {"quality": 95}))


def with_icc():
    from PIL import ImageCms

    return save(IMAGE, "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


FILES = {  # name -> (bytes, notes)
    "jpeg": (save(IMAGE, "JPEG", quality=92), ""),
    "jpeg 4:4:4": (save(IMAGE, "JPEG", subsampling=0), ""),
    "jpeg progressive": (save(IMAGE, "JPEG", progressive=True), ""),
    "jpeg gray": (save(GRAY, "JPEG"), "gray to rgb"),
    "jpeg cmyk": (save(CMYK, "JPEG"), "cmyk to rgb"),
    "jpeg icc": (with_icc(), "icc profile ignored"),
    "png": (save(IMAGE, "PNG"), ""),
    "png palette": (save(PALETTE, "PNG"), "palette to rgb"),
    "png 1 bit": (save(BITS, "PNG"), "gray to rgb"),
    "png gray": (save(GRAY, "PNG"), "gray to rgb"),
    "png gray alpha": (save(ALPHA.convert("LA"), "PNG"), "alpha over white,gray to rgb"),
    "png alpha": (save(ALPHA, "PNG"), "alpha over white"),
    "png palette alpha": (save(PALETTE, "PNG", transparency=bytes(range(256))), "alpha over white,palette to rgb"),
    "png gray with a clear value": (save(GRAY, "PNG", transparency=100), "alpha over white,gray to rgb"),
    "png with a clear colour": (save(IMAGE, "PNG", transparency=tuple(RGB[5, 5].tolist())), "alpha over white"),
    "png animated": (
        save(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(180)]),
        "first of several frames or pages",
    ),
    "webp": (save(IMAGE, "WEBP", quality=95), ""),
    "webp lossless": (save(IMAGE, "WEBP", lossless=True), ""),
    "webp alpha": (save(ALPHA, "WEBP", lossless=True, exact=True), "alpha over white"),
    "webp animated": (
        save(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(180)], lossless=True),
        "first of several frames or pages",
    ),
    "bmp": (save(IMAGE, "BMP"), ""),
    "bmp palette": (save(PALETTE, "BMP"), "palette to rgb"),
    "bmp 1 bit": (save(BITS, "BMP"), "palette to rgb"),
    "tiff": (save(IMAGE, "TIFF"), ""),
    "tiff lzw": (save(IMAGE, "TIFF", compression="tiff_lzw"), ""),
    "tiff jpeg": (save(IMAGE, "TIFF", compression="jpeg"), ""),
    "tiff alpha": (save(ALPHA, "TIFF"), "alpha over white"),
    "tiff gray alpha": (save(ALPHA.convert("LA"), "TIFF"), "alpha over white,gray to rgb"),
    "tiff gray": (save(GRAY, "TIFF"), "gray to rgb"),
    "tiff fax": (save(BITS, "TIFF", compression="group4"), "gray to rgb"),
    "tiff palette": (save(PALETTE, "TIFF"), "palette to rgb"),
    "tiff cmyk": (save(CMYK, "TIFF"), "cmyk to rgb"),
}


@pytest.mark.parametrize("name", FILES)
def test_equals_pillow(name):
    data, notes = FILES[name]
    decoded = decode(data)
    with Image.open(io.BytesIO(data)) as image:
        has_alpha = image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info
        expected = np.asarray(over_white(image) if has_alpha else image.convert("RGB"))
    assert ",".join(decoded.notes) == notes
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.flags.c_contiguous
    difference = np.abs(decoded.pixels.astype(int) - expected)
    assert difference.max() <= (1 if "cmyk" in name else 0)  # OpenCV rounds CMYK by a shift
    plain = name in ("jpeg", "jpeg 4:4:4", "jpeg progressive", "jpeg icc", "png")
    assert decoded.plain == plain


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind, orientation):
    data = turned(kind, orientation)
    decoded = decode(data)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decoded.pixels, np.asarray(ImageOps.exif_transpose(image)))
    assert decoded.plain == (orientation == 1 and kind in ("JPEG", "PNG"))
    assert decoded.notes == (() if orientation == 1 else (f"orientation {orientation} applied",))


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bits_become_8_by_a_shift(extension):
    gray = cv2.imencode(extension, DEEP)[1].tobytes()
    np.testing.assert_array_equal(decode(gray).pixels, np.repeat((DEEP >> 8)[..., None], 3, 2))
    bgr = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    decoded = decode(cv2.imencode(extension, bgr)[1].tobytes())
    np.testing.assert_array_equal(decoded.pixels, bgr[..., ::-1] >> 8)
    assert "16 bits to 8" in decoded.notes


def test_every_colour_under_every_alpha_is_rounded_to_nearest():
    colour, alpha = np.divmod(np.arange(65536), 256)
    rgba = np.stack([colour] * 3 + [alpha], 1).astype(np.uint8).reshape(256, 256, 4)
    expected = np.floor((colour * alpha + 255 * (255 - alpha)) / 255 + 0.5).reshape(256, 256)
    found = policy.over_white(rgba)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.dstack([expected] * 3))


def test_16_bit_alpha_is_laid_over_white():
    bgra = np.dstack([DEEP, DEEP, DEEP, DEEP[::-1]])
    decoded = decode(cv2.imencode(".png", bgra)[1].tobytes()).pixels
    alpha = (DEEP[::-1] >> 8) / 255
    np.testing.assert_allclose(decoded[..., 0], (DEEP >> 8) * alpha + 255 * (1 - alpha), atol=0.5001)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("cut", ["1", "2", "30", "half", "all but 3"])
def test_truncation_is_refused(name, cut):
    data = FILES[name][0]
    rest = data[: {"half": len(data) // 2, "all but 3": 3}[cut]] if not cut.isdigit() else data[: -int(cut)]
    with pytest.raises(RejectedImageError, match="truncated|damaged|not an image"):
        decode(rest)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\0" * 1000, "not an image: unknown format"),
        (b"words and words", "not an image: unknown format"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not an image: a pointer of Git LFS, not the file: "),
        (b"\xef\xbb\xbf <!doctype HTML>", "not an image: an HTML page, not the file: download the file itself"),
        (b'{"labels": []}', "not an image: unknown format"),
        (np.random.default_rng(1).bytes(5000), "not an image: unknown format"),
        (save(IMAGE, "GIF"), "unsupported format: gif"),
        (save(IMAGE, "JPEG2000"), "unsupported format: jpeg2000"),
        (save(Image.fromarray(DEEP.astype(np.float32)), "TIFF"), "unsupported tiff: pixels of type float32"),
    ],
)
def test_what_cannot_be_decoded_is_named(data, reason):
    with pytest.raises(RejectedImageError, match=reason):
        decode(data)


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bombs():
    side = 30_000
    rows = zlib.compress(b"\0" * 1_000_000)
    png = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    yield "png", png + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    jpeg = save(IMAGE, "JPEG")
    at = jpeg.index(b"\xff\xc0")
    yield "jpeg", jpeg[: at + 5] + struct.pack(">HH", side, side) + jpeg[at + 9 :]
    webp = save(ALPHA, "WEBP")
    yield "webp", webp[:24] + (side - 1).to_bytes(3, "little") * 2 + webp[30:]


def tiff_of(packed, *, width, height, bits=8, samples=1, compression=8, **tags):
    values = {256: width, 257: height, 259: compression, 262: 2 if samples > 2 else 1, 273: 8, 277: samples}
    values |= {278: height, 279: len(packed)} | {int(tag[1:]): value for tag, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    entries += struct.pack("<HHIHH", 258, 3, 1, bits, 0)
    begin = 8 + len(packed)
    directory = struct.pack("<H", len(values) + 1) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", begin) + packed + directory


ZEROS = zlib.compress(bytes(300 << 20))

TIFF_BOMBS = {
    "more behind the strip": (tiff_of(ZEROS, width=9, height=9), None),
    "more behind the tile": (tiff_of(ZEROS, width=9, height=9, t322=16, t323=16, t324=8, t325=len(ZEROS)), None),
    "bits": (tiff_of(ZEROS, width=2000, height=500, bits=12), None),
    "large tiles": (tiff_of(ZEROS, width=9, height=9, t322=60_000, t323=60_000, t324=8, t325=9), "too large: tiles"),
    "wide samples": (tiff_of(ZEROS, width=13_000, height=13_000, bits=16, samples=8), "too large: .* of 8 channels"),
    "many samples": (tiff_of(ZEROS, width=9, height=9, samples=60_000), "unsupported tiff: 60000 channels"),
    "a JPEG of another size": (
        tiff_of(save(IMAGE, "JPEG")[:163] + b"\xff\xff\xff\xff", width=60, height=40, samples=3, compression=7),
        "tiff",
    ),
}


@pytest.mark.parametrize("name", TIFF_BOMBS)
def test_a_tiff_takes_memory_by_its_size_only(name):
    data, reason = TIFF_BOMBS[name]
    tracemalloc.start()
    try:
        if reason is None:
            assert not decode(data).pixels.any()
        else:
            with pytest.raises(RejectedImageError, match=reason):
                decode(data)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_directory_that_follows_itself_is_one_and_tags_of_the_same_bytes_are_refused():
    good = tiff_of(zlib.compress(bytes(81)), width=9, height=9)
    count = struct.unpack_from("<H", good, begin := struct.unpack_from("<I", good, 4)[0])[0]
    end = begin + 2 + 12 * count
    assert not decode(good[:end] + struct.pack("<I", begin) + good[end + 4 :]).pixels.any()
    size = 1 << 16
    tags = [(tag, 1, size, 0) for tag in (273, 279, 324, 325)]
    bomb = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    tracemalloc.start()
    try:
        with pytest.raises(RejectedImageError, match="tags of more values than the file has bytes"):
            decode(bomb + bytes(size - len(bomb)))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "data"), list(bombs()))
def test_a_bomb_is_refused_from_its_header(name, data):
    tracemalloc.start()
    try:
        with pytest.raises(RejectedImageError, match="too large: 30000 x 30000 pixels, the limit is 178956970"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_never_escape_the_policy(name):
    """Either pixels or a named reason: no other exception, no signal."""
    cv2.setLogLevel(0)
    random = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(FILES[name][0])
        for _ in range(int(random.integers(1, 4))):
            data[random.integers(min(len(data), 400))] ^= 1 << int(random.integers(8))
        try:
            pixels = decode(bytes(data)).pixels
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
        except RejectedImageError as error:
            assert error.reason


@pytest.mark.parametrize(
    ("data", "half"),
    [
        (save(IMAGE, "JPEG", subsampling=0), False),
        (save(IMAGE, "JPEG", subsampling=1), True),
        (save(IMAGE, "JPEG", subsampling=2, progressive=True), True),
        (save(GRAY, "JPEG"), False),
        (save(IMAGE, "PNG"), False),
        (save(IMAGE, "WEBP"), True),
        (save(IMAGE, "WEBP", lossless=True), False),
    ],
)
def test_half_chroma_is_known(data, half):
    assert decode(data).half_chroma == half
