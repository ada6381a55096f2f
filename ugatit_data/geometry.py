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
    if (height, width) == (side, side):
        return pixels
    if height > side or width > side:
        pixels = cv2.resize(pixels, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)
    if height < side or width < side:
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)
    return pixels
