"""The layouts that batches have: "uint8" is (N, H, W, C), "float32" (N, C, H, W) in [-1, 1] by (x - 127.5) / 127.5.

One channel is BT.601 luma.
"""

from __future__ import annotations

import cv2
import numpy as np

from ugatit_data.pixels.geometry import Size, sides
from ugatit_data.pixels.jpeg import Scratch

LAYOUTS = ("uint8", "float32")
# What each of the 256 values is as float32; this way round the ends are exactly -1 and 1.
_LEVELS = (np.arange(256, dtype=np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)


class Output:
    """How an image gets into its slot of a batch. An object belongs to one thread: it holds that thread's memory."""

    def __init__(self, layout: str, channels: int, size: Size, margin: int):
        high, wide = sides(size)
        self._float, self._gray = layout == "float32", channels == 1
        self.decoded = Scratch()
        self.memory = np.empty((high + margin, wide + margin, 3), np.uint8)  # for `Augmentation.make`
        self._pixels = np.empty((high, wide, 3), np.uint8)
        self._planes = np.empty((channels, high, wide), np.uint8)
        self._plane_list = list(self._planes)

    def pixels(self, slot: np.ndarray) -> np.ndarray:
        """Where an image's pixels, uint8 (H, W, 3), are to be written: its slot, if they fit there."""
        return self._pixels if self._float or self._gray else slot

    def finish(self, pixels: np.ndarray, slot: np.ndarray) -> None:
        """Bring what was written into `pixels(slot)` to its slot of the batch."""
        if pixels is slot:
            return
        if self._gray:
            plane = self._planes[0] if self._float else slot[:, :, 0]
            cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY, dst=plane)
        else:
            cv2.split(pixels, self._plane_list)
        if self._float:
            wide = slot.shape[-1]
            # One pass over memory: arithmetic, three passes in NumPy and two in OpenCV, takes a third longer.
            cv2.LUT(self._planes.reshape(-1, wide), _LEVELS, dst=slot.reshape(-1, wide))


def image_shape(layout: str, channels: int, size: Size) -> tuple[tuple[int, ...], type]:
    """Shape and dtype of one image of a batch."""
    high, wide = sides(size)
    return ((high, wide, channels), np.uint8) if layout == "uint8" else ((channels, high, wide), np.float32)
