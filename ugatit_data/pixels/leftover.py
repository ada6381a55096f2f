"""Bytes that a decoder left behind a JPEG's picture data: stray ones, or a sign that the picture is damaged.

A decoder does not say where it stopped reading, so cut files are decoded to find out. Then two things tell damage: the
last byte of a scan that is not progressive is filled up neither with ones, as the standard asks, nor with zeros, so the
decoder has lost its way; or a pattern that stands behind the end begins before it, so the file was cut and filled up,
and some of the filling was decoded. In a progressive scan the last bits may be read and change no pixel: they tell
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ugatit_data.pixels.segments import END_OF_IMAGE

FILLING = "filling in the place of picture data"
LOST = "the picture ends in the middle of its data"

_COINCIDENCE = 2  # last bytes of the data may look like the pattern behind them
_PERIOD = 1024  # bytes of a pattern, at most
_REPEATS = 8  # bytes that a pattern must repeat at least, beyond its second time


def data_end(is_whole: Callable[[bytes], bool], data: bytes, first: int, last: int) -> int:
    """Where the picture data of the last scan end: between `first` and `last`, at which `is_whole` holds.

    `is_whole` gets the file cut at a place, with an end marker; it says whether the pixels are still the same.
    """
    while first < last:
        middle = (first + last) // 2
        if is_whole(data[:middle] + END_OF_IMAGE):
            last = middle
        else:
            first = middle + 1
    return last


def damage(is_whole: Callable[[bytes], bool], data: bytes, begin: int, end: int, marker: int, progressive: bool) -> str:
    """What is wrong with the picture data in [begin, end), if anything is; the bytes up to `marker` are left over."""
    if _is_filled(np.frombuffer(data, np.uint8, marker - begin, begin), end - begin):
        return FILLING
    last = data[end - 1]
    if progressive or last == 0 and data[end - 2] == 0xFF:  # 0xFF in the data, and so followed by 0: all ones
        return ""
    padding = 0xFF if last & 1 else 0
    change = (last ^ padding) & -(last ^ padding)  # the lowest bit that is none of the padding, if that is alike
    unread = [is_whole(data[: end - 1] + _byte(last ^ bit) + END_OF_IMAGE) for bit in {1, change} - {0}]
    return LOST if change and all(unread) else ""


def _byte(value: int) -> bytes:
    """As it stands in picture data."""
    return b"\xff\0" if value == 0xFF else bytes([value])


def _is_filled(values: np.ndarray, end: int) -> bool:
    """Whether a pattern goes over the place `end`, to the last value or so far that there is no doubt."""
    values = values[max(end - 4 * _PERIOD, 0) : end + 4 * _PERIOD]
    before = min(end, 4 * _PERIOD) - _COINCIDENCE - 1
    for period in range(1, _PERIOD + 1):
        start = min(before, len(values) - 2 * period - _REPEATS)
        if start >= 0 and np.array_equal(values[start:-period], values[start + period :]):
            return True
    return False
