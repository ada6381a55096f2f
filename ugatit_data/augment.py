"""The fused operation: a stored record -> flipped, resized, cropped pixels, in the batch's memory.

The paper's order is flip, resize to size + 30, random crop. Flip and crop commute (the crop's x counts from the other
side), so the crop is cut first and flipped on its way into the batch.
"""

from __future__ import annotations

import cv2
import numpy as np

from .geometry import resize

MARGIN = 30  # the paper's: 256 is cropped out of 286


def cut(image: np.ndarray, out: np.ndarray, flip: bool, x: int, y: int) -> None:
    """Fill `out`, uint8 (S, S, 3), from `image`, uint8 (H, W, 3), by flip and the crop's corner, 0..MARGIN each."""
    side = out.shape[0]
    whole = resize(image, side + MARGIN)
    if flip:
        x = MARGIN - x
        cv2.flip(whole[y : y + side, x : x + side], 1, dst=out)
    else:
        out[:] = whole[y : y + side, x : x + side]


def fit(image: np.ndarray, out: np.ndarray) -> None:
    """Fill `out`, uint8 (S, S, 3), with the whole `image`, as in evaluation."""
    out[:] = resize(image, out.shape[0])


def finish(batch: np.ndarray, layout: str, channels: int) -> np.ndarray:
    """A batch of uint8 (N, S, S, 3) RGB in the layout and with the channels that were asked for.

    "uint8": (N, S, S, C). "float32": (N, C, S, S) in [-1, 1], x / 127.5 - 1. One channel is BT.601 luma.
    """
    if channels == 1:
        flat = batch.reshape(-1, batch.shape[2], 3)
        batch = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).reshape(*batch.shape[:3], 1)
    if layout == "uint8":
        return batch
    return cv2.dnn.blobFromImages([*batch], 1 / 127.5, mean=(127.5,) * channels)
