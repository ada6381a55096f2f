"""Resizing, as the whole engine does it: squashed to a square, bilinear upwards, area-averaged downwards."""

from __future__ import annotations

import cv2
import numpy as np


def resize(pixels: np.ndarray, side: int) -> np.ndarray:
    """uint8 (H, W, C) -> (side, side, C); the same array where it has that size already.

    An axis that shrinks is averaged over areas, one that grows is interpolated; where one does and the other does
    not, the shrinking comes first.
    """
    height, width = pixels.shape[:2]
    if height == side and width == side:
        return pixels
    if height > side or width > side:
        pixels = cv2.resize(pixels, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)
    if height < side or width < side:
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)
    return pixels


def resize_corner(
    pixels: np.ndarray, side: int, right: int, bottom: int, scratch: np.ndarray | None = None
) -> np.ndarray:
    """At least the rows [0, bottom) and columns [0, right) of `resize(pixels, side)`, to the last bit.

    Where the image grows, only the part that is asked for is computed: OpenCV is given the scale itself, which keeps
    every pixel of the part at the place that it has in the whole. The part is then a view of `scratch`, uint8
    (side, side, 3), if that is given: memory that stays in the processor's cache from one image to the next.
    """
    height, width = pixels.shape[:2]
    if height >= side or width >= side:
        return resize(pixels, side)
    wide = min(width, -(-right * width // side) + 1)
    high = min(height, -(-bottom * height // side) + 1)
    fx, fy = side / width, side / height
    if scratch is not None:  # OpenCV rounds the size of the result in this way
        scratch = scratch[: round(high * fy), : round(wide * fx)]
    return cv2.resize(pixels[:high, :wide], None, scratch, fx, fy, cv2.INTER_LINEAR)
