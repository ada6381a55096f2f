"""The fused operation: a decoded image -> flipped, resized, cropped pixels, in the batch's memory.

The paper's order is flip, resize to size + 30, random crop. Flip and crop commute (the crop's x counts from the other
side), so the crop is cut first and flipped on its way into the batch, and only the cropped part is resized.
"""

from __future__ import annotations

import cv2
import numpy as np

from ugatit_data.pixels.geometry import Size, resize, resize_corner, sides
from ugatit_data.pixels.jpeg import Scratch

MARGIN = 30  # the paper's: 256 is cropped out of 286
# What each of the 256 values is as float32; this way round the ends are exactly -1 and 1.
_LEVELS = (np.arange(256, dtype=np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)


def cut(image: np.ndarray, out: np.ndarray, flip: bool, x: int, y: int, scratch: np.ndarray | None = None) -> None:
    """Fill `out`, uint8 (h, w, 3), from `image`, uint8 (H, W, 3), by flip and the crop's corner, 0..MARGIN each.

    `scratch`, uint8 (h + MARGIN, w + MARGIN, 3), is memory for the resized image; it saves getting some.
    """
    high, wide = out.shape[:2]
    if flip:
        x = MARGIN - x
    whole = resize_corner(image, (high + MARGIN, wide + MARGIN), x + wide, y + high, scratch)
    if flip:
        cv2.flip(whole[y : y + high, x : x + wide], 1, dst=out)
    else:
        out[:] = whole[y : y + high, x : x + wide]


def fit(image: np.ndarray, out: np.ndarray) -> None:
    """Fill `out`, uint8 (h, w, 3), with the whole `image`, as in evaluation."""
    out[:] = resize(image, out.shape[:2])


class Output:
    """The layout that batches have, and how an image gets into it.

    "uint8" is (N, H, W, C), "float32" (N, C, H, W) in [-1, 1] by (x - 127.5) / 127.5. One channel is BT.601 luma.
    An object belongs to one thread: it holds that thread's scratch memory.
    """

    def __init__(self, layout: str, channels: int, size: Size):
        high, wide = sides(size)
        self._float, self._gray = layout == "float32", channels == 1
        self.decoded = Scratch()  # for decoding
        self.scratch = np.empty((high + MARGIN, wide + MARGIN, 3), np.uint8)
        self._pixels = np.empty((high, wide, 3), np.uint8)
        self._planes = np.empty((channels, high, wide), np.uint8)
        self._plane_list = list(self._planes)

    def pixels(self, place: np.ndarray) -> np.ndarray:
        """Where an image's pixels, uint8 (H, W, 3), are to be written: its place in the batch, if that fits."""
        return self._pixels if self._float or self._gray else place

    def finish(self, pixels: np.ndarray, place: np.ndarray) -> None:
        """Bring what was written into `pixels(place)` to its place in the batch."""
        if pixels is place:
            return
        if self._gray:
            plane = self._planes[0] if self._float else place[:, :, 0]
            cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY, dst=plane)
        else:
            cv2.split(pixels, self._plane_list)
        if self._float:
            wide = place.shape[-1]
            # One pass over memory: arithmetic, three passes in NumPy and two in OpenCV, takes a third longer.
            cv2.LUT(self._planes.reshape(-1, wide), _LEVELS, dst=place.reshape(-1, wide))


def batch_shape(layout: str, channels: int, count: int, size: Size) -> tuple[tuple[int, ...], type]:
    """Shape and dtype of a batch of `count` images."""
    high, wide = sides(size)
    if layout == "uint8":
        return (count, high, wide, channels), np.uint8
    return (count, channels, high, wide), np.float32
