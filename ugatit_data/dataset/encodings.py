"""How an image is stored in a record: encode beside decode, one table by name.

| name | record | for |
|---|---|---|
| original | the source's bytes; PNG where those are no plain RGB JPEG or PNG | the smallest change, any later size |
| jpeg | the stored square as JPEG, quality 95 | no resizing while reading; large sources become small |
| raw | the stored square's pixels | the fastest: nothing is decoded, 3 * stored_size**2 bytes each |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from ugatit_data.pixels.geometry import resize
from ugatit_data.pixels.jpeg import Room
from ugatit_data.pixels.policy import Decoded, decode_stored


@dataclasses.dataclass(frozen=True)
class Encoding:
    """One way to store images."""

    encode: Callable[[bytes, Decoded, int], bytes]
    """(source bytes, decoded source, stored size) -> record."""
    decode: Callable[[np.ndarray, int | None, Room], np.ndarray]
    """(record as uint8 (n,), stored size, room) -> uint8 (H, W, 3) RGB, which may lie in the room; for raw a view of
    the record."""
    fixed_size: bool
    """Whether images are stored as squares of the stored size."""
    estimate: Callable[[int, int], int]
    """(bytes of a source, stored size) -> about how many bytes its record takes."""


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


def _decode_file(record: np.ndarray, stored_size: int | None, room: Room) -> np.ndarray:
    return decode_stored(record, room)


def _decode_raw(record: np.ndarray, stored_size: int | None, room: Room) -> np.ndarray:
    return record.reshape(stored_size, stored_size, 3)


ENCODINGS = {
    "original": Encoding(_keep, _decode_file, False, lambda size, stored: size),
    "jpeg": Encoding(_encode_jpeg, _decode_file, True, lambda size, stored: stored * stored * 3 // 4),
    "raw": Encoding(_encode_raw, _decode_raw, True, lambda size, stored: stored * stored * 3),
}
