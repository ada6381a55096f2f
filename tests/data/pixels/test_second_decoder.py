"""The decoding policy against a second library, on generated TIFFs; other formats are in test_second_formats.py.

Each file is written by a library, and read by another than the policy uses: tifffile with imagecodecs, imagecodecs
alone, Pillow. What the second one reads goes through the policy's rules, written here once more, in float64.
"""

from __future__ import annotations

import io
import itertools
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.policy import decode

HIGH, WIDE = 37, 53


def samples(channels, bits):
    """Smooth with some noise, every value of the range; uint8 or uint16 (H, W, channels)."""
    random = np.random.default_rng(channels * 100 + bits)
    coarse = random.random((6, 7, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDE, HIGH), interpolation=cv2.INTER_CUBIC).reshape(HIGH, WIDE, channels)
    values = np.clip(smooth * 1.2 - 0.1 + random.random(smooth.shape) * 0.05, 0, 1)
    return np.round(values * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def to_8(values, bits):
    return values >> (bits - 8) if bits >= 8 else np.floor(values / ((1 << bits) - 1) * 255 + 1e-9)


def by_the_rules(values, bits, kind, colours=None):
    """float64 (H, W, 3): the policy in one place, apart from ours."""
    if kind == "palette":
        return (colours >> 8).T[values[..., 0]].astype(float)
    values = np.asarray(to_8(values, bits), float)
    if kind == "cmyk":
        return np.round((255 - values[..., :3]) * (255 - values[..., 3:4]) / 255)
    if kind == "white is 0":
        values = 255 - values
    rgb = np.repeat(values[..., :1], 3, 2) if values.shape[2] <= 2 else values[..., :3]
    if kind == "alpha":
        rgb = np.round((rgb * values[..., -1:] + 255 * (255 - values[..., -1:])) / 255)
    if kind == "premultiplied":
        rgb = np.minimum(rgb + 255 - values[..., -1:], 255)
    return rgb


# kind of picture -> channels, tifffile's words for it, the rule
TIFFS = {
    "gray": (1, {"photometric": "minisblack"}, ""),
    "white is 0": (1, {"photometric": "miniswhite"}, "white is 0"),
    "gray with alpha": (2, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, "alpha"),
    "gray with a mask": (2, {"photometric": "minisblack", "extrasamples": ["unspecified"]}, ""),
    "rgb": (3, {"photometric": "rgb"}, ""),
    "rgb with alpha": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, "alpha"),
    "rgb multiplied by alpha": (4, {"photometric": "rgb", "extrasamples": ["assocalpha"]}, "premultiplied"),
    "rgb with a mask": (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}, ""),
    "palette": (1, {"photometric": "palette"}, "palette"),
    "cmyk": (4, {"photometric": "separated"}, "cmyk"),
}
LAYOUTS = {
    "strips": {"rowsperstrip": 10},
    "tiles, MM": {"tile": (16, 32), "byteorder": ">"},
    "one strip, MM": {"byteorder": ">"},
    "tiles": {"tile": (32, 16)},
}
PACKINGS = [(None, False), ("lzw", False), ("lzw", True), ("zlib", False), ("zlib", True), ("packbits", False)]


def tiffs(kind):
    channels, words, rule = TIFFS[kind]
    for bits, planar, (packing, predictor), layout in itertools.product(
        (8, 16), ("contig", "separate"), PACKINGS, LAYOUTS
    ):
        if channels == 1 and planar == "separate" or rule == "palette" and bits > 8:
            continue
        if channels > 1 and layout in ("one strip, MM", "tiles"):
            continue  # hundreds are enough
        values, options = samples(channels, bits), words | LAYOUTS[layout]
        if rule == "palette":
            options["colormap"] = np.random.default_rng(bits).integers(0, 65536, (3, 1 << bits)).astype(np.uint16)
        if channels > 1:
            options["planarconfig"] = planar
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            values[..., 0] if channels == 1 else values if planar == "contig" else np.moveaxis(values, -1, 0),
            compression=packing,
            predictor=predictor,
            metadata=None,
            **options,
        )
        yield (bits, planar, packing, predictor, layout), buffer.getvalue(), bits, rule, options.get("colormap")


@pytest.mark.parametrize("kind", TIFFS)
def test_tiff(kind):
    count = 0
    for name, data, bits, rule, colours in tiffs(kind):
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            read = page.asarray()
            if read.ndim == 2:
                read = read[..., None]
            elif page.planarconfig == 2:
                read = np.moveaxis(read, 0, -1)
        np.testing.assert_array_equal(read, samples(TIFFS[kind][0], bits))  # the judge reads what was written
        decoded = decode(data)
        np.testing.assert_array_equal(decoded.pixels, by_the_rules(read, bits, rule, colours), str(name))
        assert not decoded.plain
        count += 1
    assert count >= 20


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", ["strips", "tiles"])
def test_tiff_orientation(orientation, layout):
    values, buffer = samples(3, 8), io.BytesIO()
    extra = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(buffer, values, photometric="rgb", metadata=None, extratags=extra, **LAYOUTS[layout])
    upright = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.swapaxes(0, 1),
        6: np.rot90(values, -1),
        7: values.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(values, 1),
    }
    np.testing.assert_array_equal(decode(buffer.getvalue()).pixels, upright[orientation])


def tiff_of(values, bits, photometric, compression=1, reverse=False, extra=()):
    """A TIFF of one strip whose samples have any number of bits, by hand: tifffile does not write all of them."""
    lines = np.unpackbits(values.astype(">u2").reshape(HIGH, -1, 1).view(np.uint8), axis=2)[:, :, 16 - bits :]
    packed = np.packbits(lines.reshape(HIGH, -1), axis=1).tobytes()
    if compression == 5:
        packed = imagecodecs.lzw_encode(packed)
    elif compression == 8:
        packed = imagecodecs.zlib_encode(packed)
    elif compression == 32773:
        packed = imagecodecs.packbits_encode(packed)
    if reverse:
        packed = imagecodecs.bitorder_encode(packed)
    channels = values.shape[2]
    tags = [(256, 4, [WIDE]), (257, 4, [HIGH]), (258, 3, [bits] * channels), (259, 3, [compression])]
    tags += [(262, 3, [photometric]), (266, 3, [2 if reverse else 1]), (273, 4, [8]), (277, 3, [channels])]
    tags += [(278, 4, [HIGH]), (279, 4, [len(packed)]), *extra]
    data = bytearray(b"II*\0" + bytes(4) + packed + bytes(len(packed) % 2))
    entries = b""
    for tag, kind, numbers in tags:
        body = struct.pack(f"<{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(body) > 4:
            place = struct.pack("<I", len(data))
            data += body
            body = place
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + body.ljust(4, b"\0")
    data[4:8] = struct.pack("<I", len(data))
    return bytes(data + struct.pack("<H", len(tags)) + entries + bytes(4))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8, 10, 12, 14])
def test_tiff_of_any_depth(bits):
    rules = [(1, 0, "white is 0", ()), (1, 1, "", ()), (3, 2, "", ()), (4, 5, "cmyk", ())]
    rules += [(4, 2, "alpha", [(338, 3, [2])]), (2, 1, "", [(338, 3, [0])])]
    if bits <= 8:
        colours = np.random.default_rng(bits).integers(0, 65536, (3, 1 << bits))
        rules.append((1, 3, "palette", [(320, 3, colours.ravel().tolist())]))
    for (channels, photometric, rule, extra), compression, reverse in itertools.product(
        rules, (1, 5, 8, 32773), (False, True)
    ):
        values = samples(channels, bits)
        data = tiff_of(values, bits, photometric, compression, reverse, extra)
        expected = by_the_rules(values, bits, rule, colours if rule == "palette" else None)
        np.testing.assert_array_equal(decode(data).pixels, expected, f"{rule} {compression} {reverse}")
        if bits == 8 and not reverse:
            np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)).reshape(values.shape), values)


@pytest.mark.parametrize(("name", "compression"), [("rle", 2), ("fax3", 3), ("fax4", 4)])
def test_fax(name, compression):
    bits = cv2.resize(samples(1, 8), (WIDE * 3, HIGH * 3)) > 120
    for dpi in (None, 98.0, 204.0) if compression == 3 else ():  # coded in two dimensions, by the resolution
        buffer = io.BytesIO()
        info = {292: 1} | ({282: dpi, 283: dpi, 296: 2} if dpi else {})
        Image.fromarray(bits).save(buffer, "TIFF", compression="group3", tiffinfo=info)
        np.testing.assert_array_equal(decode(buffer.getvalue()).pixels, np.repeat(bits[..., None], 3, 2) * 255)
    a_fax_is_itself_or_refused(name, compression)


def a_fax_is_itself_or_refused(name, compression):
    """Written by imagecodecs and by libtiff; what libtiff would read from damaged data is refused."""
    bits = cv2.resize(samples(1, 8), (WIDE * 3, HIGH * 3))[..., None] > 120
    high, wide = bits.shape[:2]
    image, buffer = Image.fromarray(bits[..., 0]), io.BytesIO()
    image.save(buffer, "TIFF", compression={2: "tiff_ccitt", 3: "group3", 4: "group4"}[compression])
    data = buffer.getvalue()
    expected = np.repeat(bits, 3, 2) * 255
    np.testing.assert_array_equal(decode(data).pixels, expected)
    with Image.open(io.BytesIO(data)) as file:
        begin, size = file.tag_v2[273][0], file.tag_v2[279][0]
    random, differ, refused = np.random.default_rng(0), 0, 0
    for number in range(90):
        damaged = bytearray(data)
        at = begin + int(random.integers(size * 9 // 10))
        if number % 3 == 0:
            damaged[at] ^= 1 << int(random.integers(8))
        else:
            damaged[at : at + 20 if number % 3 == 1 else begin + size] = bytes(
                20 if number % 3 == 1 else begin + size - at
            )
        try:
            differ += not np.array_equal(decode(bytes(damaged)).pixels, expected)
        except RejectedImageError:
            refused += 1
    assert refused > 70 and differ <= 9, (refused, differ)  # a flipped bit may make another picture that is whole
