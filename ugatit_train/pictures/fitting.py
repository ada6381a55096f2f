"""How a picture of any size goes through a network of one size: what the network sees, and how outputs are joined.

squash   the picture is resized to one size, as the training data were, and stays so
resize   the same, and the output is resized to the picture's own size
whole    the picture as it is, edges reflected up to a multiple of 4; for networks that take any size
tiles    overlapping parts of the picture, blended; the network normalises each by itself, so tones may differ
"""

import dataclasses
from typing import Literal

import cv2
import numpy as np

from ugatit_data.pixels.geometry import resize

Way = Literal["squash", "resize", "whole", "tiles"]
SMALLEST = 8  # pixels: after two halvings 2 are left, which a reflection by 1 needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """A way, and the height and width in pixels of what the network sees (`whole` ignores it).

    `shown` is the size of `squash`'s output, if it differs.
    """

    way: Way
    size: tuple[int, int]
    shown: tuple[int, int] | None = None

    def pieces(self, picture: np.ndarray) -> list[np.ndarray]:
        """What the network sees of a picture, uint8 (H, W, 3): one or more pieces of one shape."""
        if self.way in ("squash", "resize"):
            return [resize(picture, self.size)]
        full = self._full(*picture.shape[:2])
        bottom, right = full[0] - picture.shape[0], full[1] - picture.shape[1]
        if bottom or right:
            picture = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
        return [picture[rows, columns] for rows, columns in self._parts(full)]

    def beside(self, picture: np.ndarray) -> np.ndarray:
        """The picture at the size of its output."""
        return resize(picture, self.shown or self.size) if self.way == "squash" else picture

    def joined(self, outputs: list[np.ndarray], high: int, wide: int) -> np.ndarray:
        """The outputs of a picture's pieces, float32 (C, h, w) each, as one (C, H, W); the picture is high x wide.

        Outputs smaller than their pieces (heat maps) are enlarged.
        """
        if self.way == "squash":
            return _scaled(outputs[0], *(self.shown or self.size))
        if self.way == "resize":
            return _scaled(outputs[0], high, wide)
        full = self._full(high, wide)
        if self.way == "whole":
            return _scaled(outputs[0], *full)[:, :high, :wide]
        total = np.zeros((outputs[0].shape[0], *full), np.float32)
        weights = np.zeros(full, np.float32)
        share = np.outer(*(np.minimum(_to_the_edge(side), side // 4) for side in self.size))
        for output, (rows, columns) in zip(outputs, self._parts(full), strict=True):
            total[:, rows, columns] += _scaled(output, *self.size) * share
            weights[rows, columns] += share
        return (total / weights)[:, :high, :wide]

    def _full(self, high: int, wide: int) -> tuple[int, int]:
        """The height and width to which a picture is extended before it is cut into pieces."""
        if self.way == "whole":
            return max(SMALLEST, -(-high // 4) * 4), max(SMALLEST, -(-wide // 4) * 4)
        return max(high, self.size[0]), max(wide, self.size[1])

    def _parts(self, full: tuple[int, int]) -> list[tuple[slice, slice]]:
        """Rows and columns of each piece. Tiles are evenly spread and overlap by at least a quarter of their side."""
        if self.way == "whole":
            return [(slice(None), slice(None))]
        spread = []
        for side, tile in zip(full, self.size, strict=True):
            rest = side - tile
            count = -(-rest // (tile - tile // 4)) + 1
            starts = [rest * i // max(1, count - 1) for i in range(count)]
            spread.append([slice(start, start + tile) for start in starts])
        return [(rows, columns) for rows in spread[0] for columns in spread[1]]


def _to_the_edge(side: int) -> np.ndarray:
    """1, 2, ... 2, 1: the distance of each pixel of a row from the nearer edge."""
    return np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float32)


def _scaled(maps: np.ndarray, high: int, wide: int) -> np.ndarray:
    """float32 (C, h, w) resized to high x wide."""
    if maps.shape[1:] == (high, wide):
        return maps
    way = cv2.INTER_AREA if high <= maps.shape[1] and wide <= maps.shape[2] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(one, (wide, high), interpolation=way) for one in maps])
