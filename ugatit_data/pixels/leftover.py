"""Bytes that a decoder left behind a JPEG's picture data: stray ones, or a sign that the picture is damaged.

A decoder does not say where it stopped reading, so cut files are decoded to find out. Then two things tell damage: the
last byte is not filled up with ones, as encoders do, so the decoder has lost its way; or a pattern that stands behind
the end begins before it, so the file was cut and filled up, and some of the filling was decoded.
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


def damage(is_whole: Callable[[bytes], bool], data: bytes, begin: int, end: int, marker: int) -> str:
    """What is wrong with the picture data in [begin, end), if anything is; the bytes up to `marker` are left over."""
    if _is_filled(np.frombuffer(data, np.uint8, marker - begin, begin), end - begin):
        return FILLING
    last = data[end - 1]
    if last == 0 and data[end - 2] == 0xFF:  # 0xFF in the data, and so followed by 0: all ones
        return ""
    zero = (last ^ 0xFF) & -(last ^ 0xFF)  # the lowest bit that is no one
    other = bytes([last | zero]) if last | zero != 0xFF else b"\xff\0"
    return LOST if is_whole(data[: end - 1] + other + END_OF_IMAGE) else ""  # then nothing has read that bit


def _is_filled(values: np.ndarray, end: int) -> bool:
    """Whether a pattern goes over the place `end`, to the last value or so far that there is no doubt."""
    values = values[max(end - 4 * _PERIOD, 0) : end + 4 * _PERIOD]
    before = min(end, 4 * _PERIOD) - _COINCIDENCE - 1
    for period in range(1, _PERIOD + 1):
        start = min(before, len(values) - 2 * period - _REPEATS)
        if start >= 0 and np.array_equal(values[start:-period], values[start + period :]):
            return True
    return False
