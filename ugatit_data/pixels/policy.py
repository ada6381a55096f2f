"""The decoding policy, the same everywhere: any bytes -> checked uint8 HWC RGB, or a named reason why not.

- The format is what the content says, not the extension.
- Size is checked in the header, before anything is decoded; truncated and damaged files are refused.
- What is wrong with a file, but leaves the pixels right, is noted. So is what only `lenient` accepts.
- EXIF orientation is applied. CMYK, gray, palette and 1-bit become RGB.
- Alpha is laid over white; another extra channel is left out. 16 bits become 8 by >> 8.
- Of an animation the first frame is taken, of several pages the first.
- ICC profiles are ignored, and noted.

Each kind has a decoder that is known to read it rightly (tests/data/pixels/test_second_*.py): libjpeg-turbo JPEG,
OpenCV PNG (the picture's own chunks) and still WebP, Pillow BMP, animated WebP and CMYK, `tiff.py` TIFF.

One file takes 4 GiB of memory at most, whatever it says of itself (measured: 3.5 GiB, an animated WebP of 178
megapixels with alpha; a JPEG 1.1 GiB). Whatever it does to a decoder is its own reason.

Strictness belongs to conversion. What a data set holds is read by `decode_stored`, whatever the rules were.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

import cv2
import numpy as np
from PIL import features

from ugatit_data.errors import DataError, RejectedImageError, in_words
from ugatit_data.pixels.colours import over_white
from ugatit_data.pixels.geometry import MAX_PIXELS
from ugatit_data.pixels.headers import Header, read_header
from ugatit_data.pixels.jpeg import Scratch, decode_jpeg, decode_source
from ugatit_data.pixels.pillow import pillow_image
from ugatit_data.pixels.png import only_picture
from ugatit_data.pixels.segments import Segments
from ugatit_data.pixels.tiff import Page, decode_page

POLICY = 2
"""Goes up when these rules change. 1 was that of version 0.1."""

_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def decoders() -> dict[str, str | None]:
    """The versions that pixels may depend on: of the policy, and of every library that decodes."""
    parts = {f"pillow {name}": features.version(name) for name in ("jpg", "libtiff", "webp", "libjpeg_turbo")}
    return {
        "policy": str(POLICY),
        "opencv": cv2.__version__,
        "simplejpeg": version("simplejpeg"),
        "pillow": version("Pillow"),
    } | parts


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


def decode(data: bytes, lenient: bool = False) -> Decoded:
    """Decode the bytes of an image file by the policy.

    `lenient` accepts JPEGs whose picture data are damaged or end early, as far as they go.

    Raises:
        RejectedImageError: with the reason, for the manifest, whatever the file made a decoder do.
    """
    try:
        return _decode(data, lenient)
    except (RejectedImageError, DataError):
        raise
    except Exception as error:  # one file must not end a conversion
        raise RejectedImageError(f"the decoder failed: {in_words(error)}") from error


def _decode(data: bytes, lenient: bool) -> Decoded:
    header = read_header(data)
    if header.width * header.height > MAX_PIXELS:
        raise RejectedImageError(f"too large: {header.width} x {header.height} pixels, the limit is {MAX_PIXELS}")
    plain = (
        header.format in ("jpeg", "png")
        and (header.channels, header.bits, header.orientation) == (3, 8, 1)
        and not header.palette
        and not header.animated
    )
    pixels, notes = _decode_by_format(data, header, plain, lenient)
    if pixels.shape[:2] != (header.height, header.width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise RejectedImageError(
            f"damaged {header.format}: {header.width} x {header.height} in the header, {found} found"
        )
    pixels = np.ascontiguousarray(orient(pixels, header.orientation))
    return Decoded(pixels, plain and not notes, header.half_chroma, _notes(header) + notes)


def _decode_by_format(data: bytes, header: Header, plain: bool, lenient: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """uint8 (H, W, 3) RGB, not turned yet, and what is to be noted beside that which the header tells."""
    if isinstance(header.found, Segments):
        return decode_source(header.found, lenient)
    if isinstance(header.found, Page):
        return decode_page(data, header.found), ()
    if plain:
        return _imdecode(only_picture(data), _RGB, header.format), ()
    if header.format == "bmp" or header.format == "webp" and header.animated:
        image = pillow_image(data, header.format)
        if isinstance(header.found, np.ndarray):
            return over_white(np.dstack([np.asarray(image), header.found])), ()
        if image.mode != "RGBA":
            return np.asarray(image.convert("RGB")), ()
        return over_white(np.asarray(image)), () if header.alpha else ("alpha over white",)
    if header.format == "png":  # without its animation too, which OpenCV takes for the picture
        return _decode_any(only_picture(data), header), ()
    return _decode_any(data, header), ()


def decode_stored(record: np.ndarray, scratch: Scratch) -> np.ndarray:
    """uint8 (H, W, 3) RGB of a stored JPEG or PNG that passed the policy of its time; it may lie in `scratch`.

    Raises:
        RejectedImageError: the decoder failed.
    """
    if record[0] != 0xFF:  # a PNG begins with 0x89
        return _imdecode(only_picture(record), _RGB, "stored")
    pixels = decode_jpeg(record, scratch, strict=False)
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


def _decode_any(data: bytes | np.ndarray, header: Header) -> np.ndarray:
    pixels = _imdecode(data, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION, header.format)
    if header.clear is not None:  # OpenCV drops this too; it has scaled fewer than 8 bits up to 8
        assert header.bits is not None, "a PNG's header has them"
        scale = 255 // ((1 << header.bits) - 1) if header.bits < 8 else 1
        pixels = np.where(pixels == header.clear * scale, np.iinfo(pixels.dtype).max, pixels).astype(pixels.dtype)
    if pixels.dtype == np.uint16:
        pixels = np.right_shift(pixels, 8, out=pixels).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise RejectedImageError(f"unsupported {header.format}: pixels of type {pixels.dtype}")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if channels == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if channels == 4:
        return over_white(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))
    raise RejectedImageError(f"unsupported {header.format}: {channels} channels")


def _notes(header: Header) -> tuple[str, ...]:
    seen = {
        f"orientation {header.orientation} applied": header.orientation != 1,
        "icc profile ignored": header.icc,
        f"{header.bits} bits to 8": (header.bits or 0) > 8,
        "alpha over white": header.alpha,
        "cmyk to rgb": header.cmyk,
        "gray to rgb": header.channels in (1, 2) and not header.palette,
        "palette to rgb": header.palette,
        "first of several frames or pages": header.animated,
    }
    return tuple(note for note, holds in seen.items() if holds)
