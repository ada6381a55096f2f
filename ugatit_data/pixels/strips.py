"""The strips or tiles of a TIFF page -> samples. Libraries unpack: zlib, libjpeg-turbo, and libtiff through Pillow.

Strict where they are not: a strip must give as many bytes as it has pixels. zlib's checksum must hold. libjpeg must not
warn. Fax data, in which libtiff takes anything, must be what libtiff itself would make of the picture.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import simplejpeg
from PIL import Image, TiffImagePlugin, _imaging

from ugatit_data.errors import RejectedImageError, in_words
from ugatit_data.pixels.geometry import MAX_PIXELS

_NONE, _RLE, _FAX3, _FAX4, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 2, 3, 4, 5, 7, 8, 32773
_FAX = {_RLE: "tiff_ccitt", _FAX3: "group3", _FAX4: "group4"}  # Pillow's names
_FAX_DPI = (98.0, 196.0)  # a fax's, normal and fine
COMPRESSIONS = {_NONE, *_FAX, _LZW, _JPEG, _DEFLATE, 32946, _PACKBITS}

MAX_BYTES = MAX_PIXELS * 4  # of samples: four of 8 bits
_MOST = 1 << 20  # strips or tiles: each takes some us of a core, whatever it holds
_MOST_SLOW = {**dict.fromkeys(_FAX, 1 << 16), _LZW: 1 << 17}  # and here some 100 us
MAX_TILE_BYTES = 256 << 20
_AT_ONCE = 1 << 20  # bytes of packed bits that are taken apart at once: each takes eight times that
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How the samples of a page are stored."""

    width: int
    height: int
    samples: int  # of a pixel
    bits: int  # of a sample
    order: str  # of bytes, "<" or ">"
    planar: bool  # each sample's plane by itself
    compression: int
    predictor: int
    reverse: bool  # the lowest bit comes first
    fax_options: int
    tables: bytes  # of JPEG
    ycbcr: bool  # what JPEG holds
    wide: int  # of a strip or tile
    high: int
    tiled: bool
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def depth(self) -> int:
        """Samples that lie together in a strip."""
        return 1 if self.planar else self.samples


def unpack(data: bytes, layout: Layout) -> np.ndarray:
    """uint8 (H, W, samples), of more than 8 bits the upper 8; where JPEG holds YCbCr, RGB.

    Raises:
        RejectedImageError: damaged, truncated or unsupported.
    """
    _check(layout)
    down, across = -(-layout.height // layout.high), -(-layout.width // layout.wide)
    planes = layout.samples if layout.planar else 1
    count = down * across * planes
    if len(layout.starts) < count:
        raise RejectedImageError(f"damaged tiff: {len(layout.starts)} strips or tiles of {count}")
    if count > _MOST_SLOW.get(layout.compression, _MOST):
        raise RejectedImageError(f"unsupported tiff: {count} strips or tiles of compression {layout.compression}")
    out = np.empty((layout.height, layout.width, layout.samples), np.uint8)
    for number in range(count):
        plane, place = divmod(number, down * across)
        top, left = place // across * layout.high, place % across * layout.wide
        rows = layout.high if layout.tiled else min(layout.high, layout.height - top)
        strip = _strip(data, layout, number, rows)
        bottom, right = min(top + rows, layout.height), min(left + layout.wide, layout.width)
        target = out[top:bottom, left:right, plane : plane + layout.depth]
        part = strip[: bottom - top, : right - left]
        np.copyto(target, part >> (layout.bits - 8) if layout.bits > 8 else part, casting="unsafe")
    return out


def _check(layout: Layout) -> None:
    """Raises RejectedImageError before any memory is taken."""
    size = 2 if layout.bits > 8 else 1
    if min(layout.width, layout.height, layout.wide, layout.high) < 1:
        raise RejectedImageError("damaged tiff: strips or tiles without size")
    if layout.width * layout.height * layout.samples * size > MAX_BYTES:
        raise RejectedImageError(f"too large: {layout.width} x {layout.height} pixels of {layout.samples} channels")
    if layout.tiled and layout.wide * layout.high * layout.depth * size > MAX_TILE_BYTES:
        raise RejectedImageError(f"too large: tiles of {layout.wide} x {layout.high} pixels")
    if layout.predictor not in (1, 2) or layout.predictor == 2 and layout.bits not in (8, 16):
        raise RejectedImageError(f"unsupported tiff: predictor {layout.predictor} of {layout.bits} bits")
    if layout.compression == _JPEG and layout.bits != 8:
        raise RejectedImageError(f"unsupported tiff: JPEG of {layout.bits} bits")
    if layout.compression in _FAX and (layout.bits, layout.samples) != (1, 1):
        raise RejectedImageError("unsupported tiff: fax of more than black and white")


def _strip(data: bytes, layout: Layout, number: int, rows: int) -> np.ndarray:
    """The samples of one strip or tile, (rows, wide, depth)."""
    start, size = int(layout.starts[number]), int(layout.sizes[number])
    line = -(-layout.wide * layout.depth * layout.bits // 8)
    need = line * rows
    if layout.compression == _NONE:
        packed = data[start : start + need]  # what is said of its size is wrong in some files
    else:
        packed = data[start : start + size] if size else data[start:] if len(layout.starts) == 1 else b""
    if layout.reverse and layout.compression != _JPEG:
        packed = packed.translate(_REVERSED)
    if layout.compression == _JPEG:
        return _jpeg(packed, layout, rows)
    raw = _UNPACK[layout.compression](packed, need, layout, rows)
    if len(raw) < need:
        raise RejectedImageError(f"damaged tiff: strip or tile {number} ends early")
    return _samples(np.frombuffer(raw, np.uint8, need).reshape(rows, line), layout)


def _samples(lines: np.ndarray, layout: Layout) -> np.ndarray:
    """uint8 (rows, bytes) -> (rows, wide, depth), with the predictor undone."""
    if layout.bits in (8, 16):
        values = lines.view(f"{layout.order}u{layout.bits // 8}").reshape(len(lines), layout.wide, layout.depth)
        if layout.predictor == 2 and layout.compression in (_LZW, _DEFLATE, 32946):
            native = np.uint8 if layout.bits == 8 else np.uint16
            values = np.cumsum(values.astype(native), 1, dtype=native)
        return values
    values = np.zeros((len(lines), layout.wide, layout.depth), np.uint16 if layout.bits > 8 else np.uint8)
    rows = max(_AT_ONCE // lines.shape[1], 1)
    for top in range(0, len(lines), rows):
        bits = np.unpackbits(lines[top : top + rows], axis=1)[:, : layout.wide * layout.depth * layout.bits]
        bits = bits.reshape(-1, layout.wide, layout.depth, layout.bits)
        for number in range(layout.bits):
            values[top : top + rows] = values[top : top + rows] << 1 | bits[..., number]
    return values


def _stored(packed: bytes, need: int, layout: Layout, rows: int) -> bytes:
    return packed


def _inflate(packed: bytes, need: int, layout: Layout, rows: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, need)
        if len(raw) == need:
            unpacker.decompress(unpacker.unconsumed_tail, 1)  # the checksum, which stands behind the last byte
    except zlib.error as error:
        raise RejectedImageError(f"damaged tiff: {error}") from None
    return raw


def _packbits(packed: bytes, need: int, layout: Layout, rows: int) -> bytes:
    raw, at = bytearray(), 0
    while len(raw) < need and at < len(packed):
        count = packed[at]
        if count < 128:
            raw += packed[at + 1 : at + 2 + count]
            at += 2 + count
        else:
            raw += packed[at + 1 : at + 2] * (257 - count) if count > 128 else b""
            at += 2 if count > 128 else 1
    return bytes(raw)


def _lzw(packed: bytes, need: int, layout: Layout, rows: int) -> bytes:
    line = need // rows
    return _by_libtiff(packed, line, rows, 8, _LZW, 0).tobytes()


def _fax(packed: bytes, need: int, layout: Layout, rows: int) -> bytes:
    image = _by_libtiff(packed, layout.wide, rows, 1, layout.compression, layout.fax_options)
    if not any(packed.startswith(_fax_of(image, layout, rows, dpi)[:-4]) for dpi in _FAX_DPI):
        raise RejectedImageError("damaged tiff: fax data that do not make a picture")
    return np.packbits(np.asarray(image), axis=1).tobytes()


def _fax_of(image: Image.Image, layout: Layout, rows: int, dpi: float) -> bytes:
    """What libtiff writes for a picture: in two dimensions, it codes fewer rows alone from 150 dpi on."""
    again = io.BytesIO()
    info = {278: rows, 282: dpi, 283: dpi, 296: 2}
    info |= {292: layout.fax_options} if layout.compression == _FAX3 else {}
    image.save(again, "TIFF", compression=_FAX[layout.compression], tiffinfo=info)
    made = TiffImagePlugin.TiffImageFile(io.BytesIO(again.getvalue()))
    begin, size = made.tag_v2[273][0], made.tag_v2[279][0]
    expected = again.getvalue()[begin : begin + size]
    return expected.rstrip(b"\0") if layout.compression == _FAX4 else expected


@functools.cache
def _silence_libtiff() -> None:
    """Pillow's libtiff prints to stderr what it then fails of; Pillow turns off its warnings only."""
    with contextlib.suppress(AttributeError, OSError):  # a build that keeps its libtiff to itself
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def _by_libtiff(packed: bytes, width: int, rows: int, bits: int, compression: int, fax_options: int) -> Image.Image:
    """One strip, put into a TIFF of its own, as a gray or bilevel image whose zeros are zeros."""
    tags = [
        *((256, 4, width), (257, 4, rows), (258, 3, bits), (259, 3, compression), (262, 3, 1), (273, 4, 8)),
        *((277, 3, 1), (278, 4, rows), (279, 4, len(packed)), (292, 4, fax_options)),
    ]
    begin = 8 + len(packed) + len(packed) % 2
    file = struct.pack("<2sHI", b"II", 42, begin) + packed + bytes(len(packed) % 2) + struct.pack("<H", len(tags))
    file += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags) + bytes(4)
    _silence_libtiff()
    try:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(file))
        image.load()
        return image
    except (OSError, SyntaxError, ValueError) as error:
        raise RejectedImageError(f"damaged tiff: libtiff cannot unpack it ({in_words(error)})") from None


def _jpeg(packed: bytes, layout: Layout, rows: int) -> np.ndarray:
    """A strip that is a JPEG of its own, but for the tables that all share."""
    if layout.depth not in (1, 3):
        raise RejectedImageError(f"unsupported tiff: JPEG of {layout.depth} channels")
    # Whether it holds YCbCr the page says, not the strip: Adobe's segment tells the decoder.
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([layout.ycbcr])
    file = b"\xff\xd8" + layout.tables[2:-2] + (adobe if layout.depth == 3 else b"") + packed[2:]
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(file)
        if not rows <= height <= layout.high or width != layout.wide:
            raise RejectedImageError("damaged tiff: a JPEG of another size than its strip or tile")
        pixels = simplejpeg.decode_jpeg(file, "GRAY" if layout.depth == 1 else "RGB")
    except ValueError as error:
        raise RejectedImageError(f"damaged tiff: {error}") from None
    return pixels[:rows].reshape(rows, layout.wide, layout.depth)


_UNPACK: dict[int, Callable[[bytes, int, Layout, int], bytes]] = {
    _NONE: _stored,
    **dict.fromkeys(_FAX, _fax),
    _LZW: _lzw,
    **dict.fromkeys((_DEFLATE, 32946), _inflate),
    _PACKBITS: _packbits,
}
