"""The decoding policy, the same everywhere: any bytes -> checked uint8 HWC RGB, or a named reason why not.

- The format is what the content says, not the extension.
- Size is checked in the header, before anything is decoded; truncated files are refused.
- EXIF orientation is applied. CMYK, gray, palette and 1-bit become RGB.
- Alpha is laid over white; 16 bits become 8 by >> 8; of an animation the first frame is taken.
- ICC profiles are ignored, and noted.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.headers import Header, read_header
from ugatit_data.pixels.jpeg import Scratch, decode_jpeg

MAX_PIXELS = 178_956_970  # half a GiB of RGB; Pillow's limit too, under the name of decompression bomb

_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A decoded image.

    `plain`: any decoder makes the same pixels of these bytes, so they may be stored as they are. `half_chroma`: the
    source held colour at less than full resolution.
    """

    pixels: np.ndarray  # uint8 (H, W, 3), RGB
    plain: bool
    half_chroma: bool
    notes: tuple[str, ...]  # what was changed or ignored


def decode(data: bytes) -> Decoded:
    """Decode the bytes of an image file by the policy.

    Raises:
        RejectedImageError: with the reason, for the manifest.
    """
    header = read_header(data)
    if header.width * header.height > MAX_PIXELS:
        raise RejectedImageError(f"too large: {header.width} x {header.height} pixels, the limit is {MAX_PIXELS}")
    plain = (
        header.format in ("jpeg", "png")
        and (header.channels, header.bits, header.orientation) == (3, 8, 1)
        and not header.palette
        and not header.animated
    )
    pixels = _decode_rgb(data, header) if plain or header.format in ("jpeg", "bmp") else _decode_any(data, header)
    if header.format == "tiff":  # OpenCV turns these itself, whatever the flags say
        turned = header.orientation in (5, 6, 7, 8)
        header = dataclasses.replace(header, width=header.height, height=header.width) if turned else header
        upright = 1
    else:
        upright = header.orientation
    if pixels.shape[:2] != (header.height, header.width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise RejectedImageError(
            f"damaged {header.format}: {header.width} x {header.height} in the header, {found} found"
        )
    return Decoded(np.ascontiguousarray(orient(pixels, upright)), plain, header.half_chroma, _notes(header))


def decode_stored(record: np.ndarray, scratch: Scratch) -> np.ndarray:
    """uint8 (H, W, 3) RGB of a stored JPEG or PNG that passed `decode` when it was converted; it may lie in `scratch`.

    Raises:
        RejectedImageError: the decoder failed.
    """
    pixels = decode_jpeg(record, scratch) if record[0] == 0xFF else None  # a PNG begins with 0x89
    return _imdecode(record, _RGB, "stored") if pixels is None else pixels


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, C) turned upright, for EXIF orientations 1-8; a view."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _imdecode(data: bytes | np.ndarray, flags: int, name: str) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data, flags)
    except cv2.error as error:
        raise RejectedImageError(f"damaged {name}: {error.err}") from None
    if pixels is None:
        raise RejectedImageError(f"damaged {name}: the decoder gave up")
    return pixels


def _decode_rgb(data: bytes, header: Header) -> np.ndarray:
    pixels = decode_jpeg(data, Scratch()) if (header.format, header.channels, header.bits) == ("jpeg", 3, 8) else None
    return _imdecode(data, _RGB, header.format) if pixels is None else pixels


def _decode_any(data: bytes, header: Header) -> np.ndarray:
    pixels = _imdecode(data, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION, header.format)
    if header.format == "tiff" and header.channels == 2:
        raise RejectedImageError("unsupported tiff: gray with alpha")  # OpenCV drops the alpha
    if header.clear is not None:  # OpenCV drops this too; it has scaled fewer than 8 bits up to 8
        assert header.bits is not None, "a PNG's header has them"
        scale = 255 // ((1 << header.bits) - 1) if header.bits < 8 else 1
        pixels = np.where(pixels == header.clear * scale, np.iinfo(pixels.dtype).max, pixels).astype(pixels.dtype)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise RejectedImageError(f"unsupported {header.format}: pixels of type {pixels.dtype}")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if channels == 4:
        return over_white(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA), header.premultiplied)
    raise RejectedImageError(f"unsupported {header.format}: {channels} channels")


def over_white(rgba: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """uint8 (H, W, 4) laid over white: (H, W, 3), rounded to nearest."""
    alpha = rgba[:, :, 3:].astype(np.uint16)
    if premultiplied:
        return np.minimum(rgba[:, :, :3] + (255 - alpha), 255).astype(np.uint8)
    total = rgba[:, :, :3] * alpha + 255 * (255 - alpha)  # at most 255 * 255, within uint16
    return ((total.astype(np.uint32) + 127) // 255).astype(np.uint8)


def _notes(header: Header) -> tuple[str, ...]:
    seen = {
        f"orientation {header.orientation} applied": header.orientation != 1,
        "icc profile ignored": header.icc,
        "16 bits to 8": header.bits == 16,
        "alpha over white": header.channels in (2, 4) and not header.cmyk,
        "cmyk to rgb": header.cmyk,
        "gray to rgb": header.channels in (1, 2) and not header.palette,
        "palette to rgb": header.palette,
        "first of several frames or pages": header.animated,
    }
    return tuple(note for note, holds in seen.items() if holds)
