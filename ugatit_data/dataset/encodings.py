"""How an image is stored in a record: encode beside decode, one table by name.

| name | record | for |
|---|---|---|
| original | the source's bytes; PNG where those are no plain RGB JPEG or PNG | the smallest change, any later size |
| jpeg | the stored square as JPEG, quality 95 | no resizing while reading; large sources become small |
| raw | the stored square's pixels | the fastest: nothing is decoded, 3 * stored_size**2 bytes each |

Another encoding is a pair of functions and one line: `ENCODINGS["name"] = Encoding(...)`, before a data set is
converted with it or read. Whoever reads the data set needs the line too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from ugatit_data.pixels.geometry import resize
from ugatit_data.pixels.jpeg import Scratch
from ugatit_data.pixels.policy import Decoded, decode_stored


@dataclasses.dataclass(frozen=True)
class Encoding:
    """One way to store images. Workers import `encode` by its name: a function at the top of a module, no lambda."""

    encode: Callable[[bytes, Decoded, int], bytes]
    """(source bytes, decoded source, stored size) -> record."""
    decode: Callable[[np.ndarray, int | None, Scratch], np.ndarray]
    """(record as uint8 (n,), stored size, scratch) -> uint8 (H, W, 3) RGB, which may lie in `scratch` or be a view of
    the record. Raises RejectedImageError or ValueError where the record makes no sense."""
    fixed_size: bool
    """Whether images are stored as squares of the stored size; `decode` gets None for it otherwise."""
    estimate: Callable[[int, int], int]
    """(bytes of a source, stored size) -> about how many bytes its record takes."""
    contents: Literal["file", "pixels", "own"] = "own"
    """What a record is: a JPEG or PNG "file", which others can decode; the stored square's "pixels", row by row, so
    that crops are mere copies; or the encoding's "own", which `decode` alone understands."""


def _keep(data: bytes, decoded: Decoded, stored_size: int) -> bytes:
    if decoded.plain:
        return data
    # zlib level 1: level 6 saves a tenth and takes five times as long
    return _imencode(".png", decoded.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _encode_jpeg(data: bytes, decoded: Decoded, stored_size: int) -> bytes:
    # 4:4:4 unless the source had no more colour than 4:2:0 holds: that decodes in four fifths of the time, and at 286
    # pixels differs by 1.2 / 255 from the resized source, on average, where 4:4:4 differs by 1.0.
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if decoded.half_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return _imencode(".jpg", resize(decoded.pixels, stored_size), options)


def _encode_raw(data: bytes, decoded: Decoded, stored_size: int) -> bytes:
    return resize(decoded.pixels, stored_size).tobytes()


def _imencode(extension: str, pixels: np.ndarray, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(extension, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    assert done, "OpenCV encodes every uint8 image that it has decoded"
    return encoded.tobytes()


def decode_file(record: np.ndarray, stored_size: int | None, scratch: Scratch) -> np.ndarray:
    """What the table's own encodings read a JPEG or PNG with."""
    return decode_stored(record, scratch)


def _decode_raw(record: np.ndarray, stored_size: int | None, scratch: Scratch) -> np.ndarray:
    assert stored_size is not None, "images of a fixed size"
    return record.reshape(stored_size, stored_size, 3)


ENCODINGS = {
    "original": Encoding(_keep, decode_file, False, lambda size, stored: size, "file"),
    "jpeg": Encoding(_encode_jpeg, decode_file, True, lambda size, stored: stored * stored * 3 // 4, "file"),
    "raw": Encoding(_encode_raw, _decode_raw, True, lambda size, stored: stored * stored * 3, "pixels"),
}
