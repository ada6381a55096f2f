"""What an image file says about itself before it is decoded: format, size, orientation, and where it ends.

Python parses it here, so that nothing unchecked reaches a decoder: MindSpore's can die of a truncated JPEG, OpenCV's
fills the missing part with gray and does not report it. Pillow's reading of headers checks none of this, no CRC of
a PNG and no end of a JPEG, and it keeps every tag, however many times a small file names the same bytes.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np

from ugatit_data.errors import RejectedImageError
from ugatit_data.files import place_holder
from ugatit_data.pixels.exif import from_profile, orientation
from ugatit_data.pixels.segments import Segments, walk
from ugatit_data.pixels.tiff import Page, read_page

# The start of each format that can be decoded, or that deserves a name in the manifest.
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "bigtiff"),
    (b"MM\0+", "bigtiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"<svg", "svg"),
)
_HEIF_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")

_PNG_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # by colour type
_MOST_PROFILES = 4  # that are unpacked to look for EXIF's orientation
_PROFILES = (b"Raw profile type exif\0", b"Raw profile type APP1\0")


@dataclasses.dataclass(slots=True)
class Header:
    """What the file declares. `orientation` is EXIF's 1-8; `channels` and `bits` as stored, None where unknown."""

    format: str
    width: int
    height: int
    channels: int | None = None
    bits: int | None = None
    orientation: int = 1
    icc: bool = False
    palette: bool = False
    animated: bool = False
    cmyk: bool = False
    clear: int | None = None
    """The gray value that a PNG declares to be transparent, in its own bits."""
    half_chroma: bool = False
    """Whether colour is stored at less than full resolution, as most JPEGs do."""
    alpha: bool = False
    """Whether a channel is alpha."""
    found: Segments | Page | np.ndarray | None = None
    """What the decoder needs: a JPEG's segments, a TIFF's page, a BMP's alpha."""


def sniff(data: bytes) -> str | None:
    """The format by content; None where it is no known image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "heif or avif"
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)


def read_header(data: bytes) -> Header:
    """The header of an image file.

    Raises:
        RejectedImageError: empty, unknown or unsupported format, damaged header, or truncated.
    """
    if not data:
        raise RejectedImageError("empty file")
    name = sniff(data)
    if name is None:
        raise RejectedImageError(f"not an image: {place_holder(data) or 'unknown format'}")
    parse = _PARSERS.get(name)
    if parse is None:
        raise RejectedImageError(f"unsupported format: {name}")
    try:
        header = parse(data)
    except (struct.error, IndexError):
        raise RejectedImageError(f"truncated {name}: the header ends early") from None
    if header.width <= 0 or header.height <= 0:
        raise RejectedImageError(f"damaged {name}: {header.width} x {header.height} pixels")
    return header


def _jpeg(data: bytes) -> Header:
    found = walk(data)
    return Header(
        "jpeg",
        found.width,
        found.height,
        found.channels,
        found.bits,
        found.orientation,
        found.icc,
        cmyk=found.channels == 4,
        half_chroma=found.half_chroma,
        found=found,
    )


def _png(data: bytes) -> Header:
    ihdr, icc, clear, animated, palette, at = None, False, None, False, False, 8
    exif: list[bytes] = []
    profiles: list[bytes] = []
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        crc = data[at + 8 + length : at + 12 + length]
        if len(body) != length or len(crc) != 4:
            raise RejectedImageError("truncated png: a chunk ends early")
        if struct.unpack(">I", crc)[0] != zlib.crc32(body, zlib.crc32(kind)):
            raise RejectedImageError(f"damaged png: checksum of chunk {kind.decode('latin-1')!r}")
        at += 12 + length
        if kind == b"IHDR":
            ihdr = struct.unpack(">IIBBBBB", body)
        elif kind == b"eXIf":
            exif.append(body)
        elif kind in (b"tEXt", b"zTXt") and body.startswith(_PROFILES) and len(profiles) < _MOST_PROFILES:
            profiles.append(from_profile(body[len(_PROFILES[0]) :], kind == b"zTXt"))
        elif kind == b"iCCP":
            icc = True
        elif kind == b"tRNS":
            clear = body
        elif kind == b"acTL":
            animated = True
        elif kind == b"PLTE":
            palette = True
        elif kind == b"IEND":
            break
    if ihdr is None:
        raise RejectedImageError("damaged png: no IHDR chunk")
    width, height, bits, colour, *methods = ihdr
    if bits not in _PNG_BITS.get(colour, ()) or methods not in ([0, 0, 0], [0, 0, 1]):
        raise RejectedImageError(f"damaged png: colour type {colour} of {bits} bits; methods {bytes(methods).hex()}")
    if colour == 3 and not palette:
        raise RejectedImageError("damaged png: no palette before the picture")
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[colour]
    if clear is not None:
        channels = {1: 2, 3: 4}.get(channels, channels)
    gray = struct.unpack(">H", clear)[0] if clear is not None and colour == 0 else None
    turn, alpha = orientation(exif) if exif else orientation(profiles), channels in (2, 4)
    return Header("png", width, height, channels, bits, turn, icc, colour == 3, animated, clear=gray, alpha=alpha)


def _bmp(data: bytes) -> Header:
    size, *_ = struct.unpack_from("<I", data, 2)
    header_size, width, height, _, bits = struct.unpack_from("<IiiHH", data, 14)
    if header_size == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    if width < 0:  # the height's sign is the order of the rows; the width's means nothing
        raise RejectedImageError(f"damaged bmp: a width of {width} pixels")
    start = struct.unpack_from("<I", data, 10)[0]
    compression = struct.unpack_from("<I", data, 30)[0] if header_size >= 40 else 0
    compressed = compression in (1, 2)
    need = start + (width * bits + 31) // 32 * 4 * abs(height)
    if not compressed and len(data) < need or compressed and len(data) < size:
        raise RejectedImageError("truncated bmp: fewer bytes than its header says")
    fourth = None
    if bits == 32 and compression == 0:  # the fourth byte is said to be nothing; where it holds anything, it is alpha
        fourth = np.frombuffer(data, np.uint8, need - start, start)[3::4].reshape(abs(height), width)
        fourth = (fourth[::-1] if height > 0 else fourth) if fourth.any() else None
    found, alpha = fourth, fourth is not None
    return Header("bmp", width, abs(height), 3, 8, palette=bits <= 8, alpha=alpha, found=found)


def _webp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 4)
    if len(data) < size + 8:
        raise RejectedImageError("truncated webp: fewer bytes than its header says")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF, 3, 8, half_chroma=True)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        alpha = bool(bits >> 28 & 1)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 4 if alpha else 3, 8, alpha=alpha)
    if kind != b"VP8X":
        raise RejectedImageError("damaged webp: unknown first chunk")
    flags = data[20]
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    exif: list[bytes] = []
    at = 12
    while at + 8 <= len(data):
        chunk, length = struct.unpack_from("<4sI", data, at)
        if chunk == b"EXIF":
            exif.append(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    alpha = bool(flags & 0x10)
    return Header(
        "webp",
        width,
        height,
        4 if alpha else 3,
        8,
        orientation(exif),
        bool(flags & 0x20),
        animated=bool(flags & 2),
        alpha=alpha,
    )


def _tiff(data: bytes) -> Header:
    page = read_page(data)
    layout = page.layout
    return Header(
        "tiff",
        layout.width,
        layout.height,
        layout.samples,
        layout.bits,
        page.orientation,
        page.icc,
        palette=page.colours is not None,
        animated=page.several,
        cmyk=page.cmyk,
        alpha=page.alpha is not None,
        found=page,
    )


_PARSERS = {"jpeg": _jpeg, "png": _png, "bmp": _bmp, "webp": _webp, "tiff": _tiff}
