"""The decoding policy against a second library, on generated JPEGs, PNGs, WebPs, BMPs and JPEGs in TIFF."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.policy import decode

HIGH, WIDE = 37, 53


def samples(channels, bits=8):
    """Smooth with some noise; uint8 or uint16 (H, W, channels)."""
    random = np.random.default_rng(channels * 100 + bits)
    coarse = random.random((6, 7, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDE, HIGH), interpolation=cv2.INTER_CUBIC).reshape(HIGH, WIDE, channels)
    values = np.clip(smooth * 1.2 - 0.1 + random.random(smooth.shape) * 0.05, 0, 1)
    return np.round(values * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


RGB = Image.fromarray(samples(3))


def save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def over_white(values):
    """(H, W, 2 or 4) of 8 bits, the last is alpha -> float64 (H, W, 3)."""
    alpha = values[..., -1:].astype(float)
    colour = values[..., :-1].astype(float)
    return np.broadcast_to(np.round((colour * alpha + 255 * (255 - alpha)) / 255), (*values.shape[:2], 3))


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def jpegs():
    for mode, quality, progressive, restart in itertools.product(("RGB", "L", "CMYK"), (30, 95), (False, True), (0, 3)):
        for sampling in (0, 1, 2) if mode == "RGB" else (None,):
            options = {"quality": quality, "progressive": progressive, "restart_marker_blocks": restart}
            exif = Image.Exif()
            exif[274] = (len(str(options)) + quality + restart) % 8 + 1
            options |= {} if sampling is None else {"subsampling": sampling}
            yield save(RGB.convert(mode), "JPEG", exif=exif, **options)
    yield save(RGB, "JPEG", keep_rgb=True)
    for sampling in ((1, 1), (2, 1), (2, 2), (4, 1), (1, 2)):
        yield imagecodecs.jpeg8_encode(samples(3), 90, colorspace="RGB", outcolorspace="YCBCR", subsampling=sampling)
    inks = samples(4)  # not inverted, as no Adobe segment says it is
    yield imagecodecs.jpeg8_encode(inks, 90, colorspace="CMYK", outcolorspace="CMYK")
    yield imagecodecs.jpeg8_encode(inks, 90, colorspace="CMYK", outcolorspace="YCCK")


def test_jpeg():
    files = list(jpegs())
    assert len(files) > 45
    for number, data in enumerate(files):
        np.testing.assert_array_equal(decode(data).pixels, by_pillow(data), str(number))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png_of(values, bits, colour, interlaced=False, palette=None, clear=None, animated=False):
    """A PNG by hand, of any kind: (H, W, channels), every scan line with the filter 0."""
    lines = b""
    for top, left, down, across in PASSES if interlaced else ((0, 0, 1, 1),):
        part = values[top::down, left::across]
        if part.size:
            numbers = part.astype(">u2").reshape(len(part), -1, 1).view(np.uint8)
            packed = np.packbits(np.unpackbits(numbers, axis=2)[:, :, 16 - bits :].reshape(len(part), -1), axis=1)
            lines += b"".join(b"\0" + line.tobytes() for line in packed)
    data = b"\x89PNG\r\n\x1a\n"
    data += chunk(b"IHDR", struct.pack(">IIBBBBB", WIDE, HIGH, bits, colour, 0, 0, int(interlaced)))
    data += chunk(b"acTL", struct.pack(">II", 2, 0)) if animated else b""
    data += chunk(b"PLTE", palette.tobytes()) if palette is not None else b""
    data += chunk(b"tRNS", clear) if clear is not None else b""
    frame = struct.pack(">IIIIHHBB", WIDE, HIGH, 0, 0, 1, 10, 0, 0)
    data += chunk(b"fcTL", struct.pack(">I", 0) + frame) if animated else b""
    packed = zlib.compress(lines)
    data += chunk(b"IDAT", packed[:99]) + chunk(b"IDAT", packed[99:])
    if animated:
        second = zlib.compress(bytes(len(lines)))
        data += chunk(b"fcTL", struct.pack(">I", 1) + frame) + chunk(b"fdAT", struct.pack(">I", 2) + second)
    return data + chunk(b"IEND", b"")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("animated", [False, True])
@pytest.mark.parametrize(
    ("colour", "bits"),
    [*itertools.product((0,), (1, 2, 4, 8, 16)), *itertools.product((3,), (1, 2, 4, 8))]
    + [*itertools.product((2, 4, 6), (8, 16))],
)
def test_png(colour, bits, interlaced, animated):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    values = samples(channels, bits)
    palette = np.random.default_rng(bits).integers(0, 256, (1 << bits, 3), np.uint8) if colour == 3 else None
    bytes_of_8 = values >> 8 if bits == 16 else values if colour == 3 else values * (255 // ((1 << bits) - 1))
    for transparent in (False, True) if colour in (0, 2, 3) else (False,):
        clear = None
        if transparent and colour == 3:
            clear = np.random.default_rng(9).integers(0, 256, 1 << bits, np.uint8).tobytes()
        elif transparent:
            clear = values[20, 20].astype(">u2").tobytes()
        data = png_of(values, bits, colour, interlaced, palette, clear, animated)
        if colour == 3:
            expected = palette[values[..., 0]]
            if transparent:
                expected = over_white(np.dstack([expected, np.frombuffer(clear, np.uint8)[values[..., 0]]]))
        elif colour in (4, 6):
            expected = over_white(bytes_of_8)
        else:
            expected = np.broadcast_to(bytes_of_8, (HIGH, WIDE, 3))
            if transparent:
                expected = np.where((values == values[20, 20]).all(2, keepdims=True), 255, expected)
        decoded = decode(data)
        np.testing.assert_array_equal(decoded.pixels, expected, f"clear {transparent}")
        assert decoded.plain == (colour == 2 and bits == 8 and not transparent and not animated)
        if not animated:  # the second library agrees about the file
            read = imagecodecs.png_decode(data)
            read = read.reshape(HIGH, WIDE, -1)[..., : 1 if colour in (0, 4) else 3]
            if bits >= 8 and colour != 3:
                np.testing.assert_array_equal(read, values[..., : read.shape[2]])


def test_webp():
    for channels, lossless, quality, kind in itertools.product(
        (3, 4), (False, True), (40, 100), ("still", "animated", "oriented")
    ):
        image = Image.fromarray(samples(channels))
        options = {"lossless": lossless, "quality": quality, "exact": True}
        if kind == "animated":
            options |= {"save_all": True, "append_images": [ImageOps.mirror(image)]}
        if kind == "oriented":
            exif = Image.Exif()
            exif[274] = 5
            options["exif"] = exif
        data = save(image, "WEBP", **options)
        read = (
            imagecodecs.webp_decode(data, index=0) if kind != "animated" else np.asarray(Image.open(io.BytesIO(data)))
        )
        expected = over_white(read) if read.shape[2] == 4 else read
        expected = expected.swapaxes(0, 1) if kind == "oriented" else expected
        np.testing.assert_array_equal(decode(data).pixels, expected, f"{channels} {options}")


def bmp_of(pixels, bits, compression=0, masks=(), palette=b"", header=40, down=False):
    """A BMP by hand: `pixels` are its bytes as they stand in the file."""
    info = struct.pack(
        "<IiiHHIIiiII", header, WIDE, -HIGH if down else HIGH, 1, bits, compression, len(pixels), 0, 0, 0, 0
    )
    words = struct.pack(f"<{len(masks)}I", *masks)
    info += words.ljust(max(header - 40, len(words)), b"\0")
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + palette + pixels


def lines_of(values):
    """Lines of whole 4 bytes, from the bottom up."""
    lines = values[::-1].reshape(HIGH, -1)
    return np.pad(lines.view(np.uint8), ((0, 0), (0, -lines.view(np.uint8).shape[1] % 4))).tobytes()


@pytest.mark.parametrize(
    ("name", "masks"),
    [("565", (0xF800, 0x7E0, 0x1F)), ("555 by masks", (0x7C00, 0x3E0, 0x1F)), ("555", ())],
)
def test_bmp_of_16_bits(name, masks):
    green = 6 if name == "565" else 5
    values = np.dstack([samples(3, 5)[..., :1], samples(3, green)[..., 1:2], samples(3, 5)[..., 2:]]).astype("<u2")
    packed = values[..., 0] << (5 + green) | values[..., 1] << 5 | values[..., 2]
    expected = np.floor(values / np.array([31, (1 << green) - 1, 31]) * 255)
    data = bmp_of(lines_of(packed), 16, 3 if masks else 0, masks)
    np.testing.assert_array_equal(decode(data).pixels, expected)


def test_bmp_of_32_bits():
    rgba = samples(4)
    bgra, zeros = rgba[..., [2, 1, 0, 3]].copy(), rgba[..., [2, 1, 0, 3]].copy()
    zeros[..., 3] = 0
    rgb, laid = rgba[..., :3], over_white(rgba)
    standard, swapped = (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    files = [
        (bmp_of(lines_of(bgra), 32), laid),  # as Pillow writes alpha
        (bmp_of(lines_of(zeros), 32), rgb),  # the fourth byte is nothing
        (bmp_of(bgra.tobytes(), 32, down=True), laid),
        (bmp_of(lines_of(bgra), 32, 3, standard, header=108), laid),
        (bmp_of(lines_of(rgba), 32, 3, swapped, header=124), laid),
        (bmp_of(lines_of(bgra), 32, 3, standard[:3]), rgb),
        (save(Image.fromarray(rgba), "BMP"), laid),
    ]
    for number, (data, expected) in enumerate(files):
        np.testing.assert_array_equal(decode(data).pixels, expected, str(number))
    with pytest.raises(RejectedImageError, match="unsupported bmp: .*Unsupported BMP bitfields layout"):
        decode(bmp_of(lines_of(bgra), 32, 3, (0xFFC00000, 0x3FF000, 0xFFC)))


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_with_a_palette(bits):
    values = samples(1, bits)
    palette = np.random.default_rng(bits).integers(0, 256, (1 << bits, 4), np.uint8)
    expected = palette[values[..., 0]][..., [2, 1, 0]]
    numbers = np.unpackbits(values, axis=2)[..., 8 - bits :].reshape(HIGH, -1)
    plain = bmp_of(lines_of(np.packbits(numbers, axis=1)), bits, palette=palette.tobytes())
    np.testing.assert_array_equal(decode(plain).pixels, expected)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR_RGB), expected)
    if bits == 1:
        return
    runs = b""
    for line in values[::-1, :, 0]:
        for value in line.tolist():
            runs += bytes([1, value << 4 if bits == 4 else value])
        runs += b"\0\0"
    data = bmp_of(runs + b"\0\1", bits, {8: 1, 4: 2}[bits], palette=palette.tobytes())
    np.testing.assert_array_equal(decode(data).pixels, expected)
    with pytest.raises(RejectedImageError, match="damaged bmp|truncated bmp"):
        decode(bmp_of(runs[: len(runs) // 2], bits, {8: 1, 4: 2}[bits], palette=palette.tobytes()))


@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("kind", ["gray", "rgb", "ycbcr", "rgb planes"])
def test_jpeg_in_tiff(kind, tile):
    values = samples(1 if kind == "gray" else 3)
    options = {"photometric": "minisblack" if kind == "gray" else "rgb"}
    if kind == "ycbcr":
        options = {"photometric": "ycbcr", "subsampling": (2, 2)}
    if kind == "rgb planes":
        options["planarconfig"], values = "separate", np.moveaxis(values, -1, 0)
    elif kind == "rgb":
        options["compressionargs"] = {"outcolorspace": "rgb"}
    if kind == "gray":
        values = values[..., 0]
    buffer = io.BytesIO()
    rows = None if tile else 16
    tifffile.imwrite(buffer, values, compression="jpeg", metadata=None, tile=tile, rowsperstrip=rows, **options)
    data = buffer.getvalue()
    read = tifffile.imread(io.BytesIO(data))
    expected = np.moveaxis(read, 0, -1) if kind == "rgb planes" else read
    expected = np.repeat(expected[..., None], 3, 2) if kind == "gray" else expected
    decoded = decode(data).pixels
    np.testing.assert_array_equal(decoded, expected)
    with Image.open(io.BytesIO(data)) as image:
        if kind != "rgb planes":
            np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        begin, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    half = bytearray(data)
    half[begin + size // 2 + 200 * (not tile) : begin + size] = bytes(size - size // 2 - 200 * (not tile))
    with pytest.raises(RejectedImageError, match="damaged tiff"):
        decode(bytes(half))
