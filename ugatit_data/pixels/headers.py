"""What an image file says about itself before it is decoded: format, size, orientation, and where it ends.

Python parses it here, so that nothing unchecked reaches a decoder: MindSpore's can die of a truncated JPEG, OpenCV's
fills the missing part with gray and does not report it.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np

from ugatit_data.errors import RejectedImageError

# The start of each format that OpenCV can decode, or that deserves a name in the manifest.
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"<svg", "svg"),
)
_HEIF_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")

_END_OF_IMAGE = b"\xff\xd9"
_BLOCK = 1 << 16  # bytes that are searched for a marker at once
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive: what libjpeg-turbo decodes
_JPEG_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


@dataclasses.dataclass(frozen=True)
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
    premultiplied: bool = False
    """Whether the decoder gives colours already multiplied by alpha."""


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
        raise RejectedImageError("not an image: unknown format")
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
    frame, progressive, orientation, icc, at = None, False, 1, False, 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        if data[at] != 0xFF:
            raise RejectedImageError("damaged jpeg: no marker where one must be")
        marker = data[at + 1]
        if marker == 0xD9:
            break
        if marker in _JPEG_OTHER_FRAMES:
            raise RejectedImageError("unsupported jpeg: lossless, hierarchical or arithmetic coding")
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at + 4 : at + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise RejectedImageError("truncated jpeg: a segment ends early")
        at += 2 + length
        if marker in _JPEG_FRAMES:
            frame, progressive = struct.unpack_from(">BHHB", segment), marker == 0xC2
            samplings = segment[7::3]  # of each component, horizontal and vertical
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            orientation = exif_orientation(segment[6:])
        elif marker == 0xE2 and segment.startswith(b"ICC_PROFILE\0"):
            icc = True
        elif marker == 0xDA:
            if frame and not progressive and segment[0] == frame[3]:
                # The usual file: one scan holds everything. In it no 0xFF stands before a 0xD9 but in the end marker.
                if data.endswith(_END_OF_IMAGE) and at <= len(data) - 2:  # nearly always, and a search takes 19 us
                    break
                at = data.find(_END_OF_IMAGE, at)
                if at < 0:
                    raise RejectedImageError("truncated jpeg: no end-of-image marker")
            else:
                at = _next_marker(data, at)
    if frame is None:
        raise RejectedImageError("damaged jpeg: no frame header")
    bits, height, width, channels = frame
    half = len(set(samplings)) > 1
    return Header("jpeg", width, height, channels, bits, orientation, icc, cmyk=channels == 4, half_chroma=half)


def _next_marker(data: bytes, at: int) -> int:
    """Where the marker is that ends the entropy-coded data which begins at `at`.

    In that data 0xFF is followed by 0 (stuffing), a restart marker or another 0xFF (fill).
    """
    values = np.frombuffer(data, np.uint8)
    for begin in range(at, len(data) - 1, _BLOCK):
        block = values[begin : begin + _BLOCK + 1]
        marks = np.flatnonzero(block[:-1] == 0xFF)
        following = block[marks + 1]
        ends = marks[(following != 0) & (following != 0xFF) & (following & 0xF8 != 0xD0)]
        if len(ends):
            return begin + int(ends[0])
    raise RejectedImageError("truncated jpeg: no end-of-image marker")


def _png(data: bytes) -> Header:
    ihdr, orientation, icc, clear, animated, at = None, 1, False, None, False, 8
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
            orientation = exif_orientation(body)
        elif kind == b"iCCP":
            icc = True
        elif kind == b"tRNS":
            clear = body
        elif kind == b"acTL":
            animated = True
        elif kind == b"IEND":
            break
    if ihdr is None:
        raise RejectedImageError("damaged png: no IHDR chunk")
    width, height, bits, colour, *_ = ihdr
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour)
    if channels is None:
        raise RejectedImageError(f"damaged png: colour type {colour}")
    if clear is not None:
        channels = {1: 2, 3: 4}.get(channels, channels)
    gray = struct.unpack(">H", clear)[0] if clear is not None and colour == 0 else None
    return Header("png", width, height, channels, bits, orientation, icc, colour == 3, animated, clear=gray)


def _bmp(data: bytes) -> Header:
    size, *_ = struct.unpack_from("<I", data, 2)
    header_size, width, height, _, bits = struct.unpack_from("<IiiHH", data, 14)
    if header_size == 12:  # OS/2
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    start = struct.unpack_from("<I", data, 10)[0]
    compressed = header_size >= 40 and struct.unpack_from("<I", data, 30)[0] in (1, 2)
    need = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if not compressed and len(data) < need or compressed and len(data) < size:
        raise RejectedImageError("truncated bmp: fewer bytes than its header says")
    return Header("bmp", abs(width), abs(height), 3, 8, palette=bits <= 8)


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
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 4 if bits >> 28 & 1 else 3, 8)
    if kind != b"VP8X":
        raise RejectedImageError("damaged webp: unknown first chunk")
    flags = data[20]
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    orientation, at = 1, 12
    while at + 8 <= len(data):
        chunk, length = struct.unpack_from("<4sI", data, at)
        if chunk == b"EXIF":
            body = data[at + 8 : at + 8 + length]
            orientation = exif_orientation(body.removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    channels = 4 if flags & 0x10 else 3
    return Header("webp", width, height, channels, 8, orientation, bool(flags & 0x20), animated=bool(flags & 2))


def _tiff(data: bytes) -> Header:
    pages = _tiff_pages(data)
    tags = pages[0]
    if 256 not in tags or 257 not in tags:
        raise RejectedImageError("damaged tiff: no size")
    for page in pages:  # strips or tiles: offsets and lengths
        starts = page.get(273) or page.get(324) or [0]
        sizes = page.get(279) or page.get(325) or [0]
        if any(start + size > len(data) for start, size in zip(starts, sizes, strict=False)):
            raise RejectedImageError("truncated tiff: pixels beyond the end of the file")
    bits, photometric, extra = max(tags.get(258, [1])), tags.get(262, [1])[0], tags.get(338, [None])[0]
    return Header(
        "tiff",
        tags[256][0],
        tags[257][0],
        tags.get(277, [1])[0],
        bits,
        exif_orientation(data),
        34675 in tags,
        photometric == 3,
        animated=len(pages) > 1,
        cmyk=photometric == 5,
        premultiplied=bits == 8 or extra == 1,  # libtiff multiplies when it makes 8-bit RGBA
    )


_PARSERS = {"jpeg": _jpeg, "png": _png, "bmp": _bmp, "webp": _webp, "tiff": _tiff}


def _tiff_pages(data: bytes, most: int = 1000) -> list[dict[int, list[int]]]:
    """The integer tags of each directory of a TIFF structure, which EXIF is too. Raises struct.error where it ends."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return [{}]
    pages: list[dict[int, list[int]]] = []
    (start,) = struct.unpack_from(order + "I", data, 4)
    while start and len(pages) < most:
        (count,) = struct.unpack_from(order + "H", data, start)
        end = start + 2 + 12 * count
        pages.append(dict(_tiff_tag(data, order, at) for at in range(start + 2, end, 12)))
        (start,) = struct.unpack_from(order + "I", data, end) if len(pages) < most else (0,)
    return pages or [{}]


def _tiff_tag(data: bytes, order: str, at: int) -> tuple[int, list[int]]:
    tag, kind, count = struct.unpack_from(order + "HHI", data, at)
    code = {1: "B", 3: "H", 4: "I"}.get(kind)
    if code is None or count == 0 or count > len(data):
        return tag, [0]
    size = struct.calcsize(code) * count
    start = at + 8 if size <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
    return tag, list(struct.unpack_from(f"{order}{count}{code}", data, start))


def exif_orientation(exif: bytes) -> int:
    """EXIF's orientation, 1-8; 1 where it is absent or makes no sense."""
    try:
        value = _tiff_pages(exif, most=1)[0].get(274, [1])[0]
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1
