"""Crops of raw records of just the right size: nothing is decoded or resized, so each is copied out of its shard.

Memory sets the time of it: most goes into waiting for the record, so nothing is read, written or called twice.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided

from .augment import MARGIN
from .geometry import Size, sides
from .records import Records


class Crops:
    """The crops of one domain, by sample id."""

    def __init__(self, records: Records, stored_size: int, size: Size):
        high, wide = sides(size)
        self._place = records.place
        self._row = 3 * stored_size  # bytes
        behind = (high - 1) * self._row + 3 * wide - 1  # from a crop's first byte to its last
        # Of each shard the crops at every byte that one can begin at: an index is then all that a crop takes.
        self._windows = [
            as_strided(shard, (max(0, len(shard) - behind), high, wide, 3), (1, self._row, 3, 1), writeable=False)
            for shard in records.maps
        ]

    def copy(self, batch: np.ndarray, ids: list[int], flips: list[bool], xs: list[int], ys: list[int]) -> None:
        """Fill `batch`, uint8 (N, h, w, 3), as `augment.cut` would with each record.

        Raises:
            CorruptDatasetError: as `Records.place`.
        """
        for out, sample, flip, x, y in zip(batch, ids, flips, xs, ys, strict=True):
            shard, begin, _ = self._place(sample)
            if flip:
                cv2.flip(self._windows[shard][begin + y * self._row + 3 * (MARGIN - x)], 1, out)
            else:
                out[:] = self._windows[shard][begin + y * self._row + 3 * x]
