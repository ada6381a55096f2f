"""Resizing, the same in the whole engine: to any shape, bilinear upwards, area-averaged downwards.

A size is the side of a square, or (height, width).
"""

from __future__ import annotations

import cv2
import numpy as np

MAX_PIXELS = 178_956_970
"""Of an image that is decoded: half a GiB of RGB; Pillow's limit too, under the name of decompression bomb."""

Size = int | tuple[int, int]


def sides(size: Size) -> tuple[int, int]:
    """(height, width)."""
    return size if isinstance(size, (tuple, list)) else (size, size)


def resize(pixels: np.ndarray, size: Size) -> np.ndarray:
    """uint8 (H, W, C) -> that of `size`; the same array where it has that size already.

    An axis that shrinks is averaged over areas, one that grows is interpolated; where one does and the other does
    not, the shrinking comes first.
    """
    (height, width), (high, wide) = pixels.shape[:2], sides(size)
    if height == high and width == wide:
        return pixels
    if height > high or width > wide:
        pixels = cv2.resize(pixels, (min(width, wide), min(height, high)), interpolation=cv2.INTER_AREA)
    if height < high or width < wide:
        pixels = cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_LINEAR)
    return pixels


def resize_corner(
    pixels: np.ndarray, size: Size, right: int, bottom: int, memory: np.ndarray | None = None
) -> np.ndarray:
    """At least the rows [0, bottom) and columns [0, right) of `resize(pixels, size)`, to the last bit.

    Where the image grows, only this part is computed. OpenCV gets the scale itself, so that the part has the pixels of
    the whole. The part is then a view of `memory`, uint8 of `size`, if that is given: used for one image after the
    other, it stays in the processor's cache.
    """
    (height, width), (full_height, full_width) = pixels.shape[:2], sides(size)
    if height >= full_height or width >= full_width:
        return resize(pixels, size)
    wide = min(width, -(-right * width // full_width) + 1)
    high = min(height, -(-bottom * height // full_height) + 1)
    fx, fy = full_width / width, full_height / height
    if memory is not None:  # OpenCV rounds the size of the result in this way
        memory = memory[: round(high * fy), : round(wide * fx)]
    return cv2.resize(pixels[:high, :wide], None, memory, fx, fy, cv2.INTER_LINEAR)
