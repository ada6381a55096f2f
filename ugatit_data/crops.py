"""Crops of raw records of just the right size: nothing is decoded or resized, so they are copied out of their shards.

In few calls: each one lets go of the interpreter and has to get it back, which among threads takes longer than to copy
an image. So a batch is copied at once, and neighbours that are to be flipped are flipped together, in place. Only where
every record is checked is each one copied right after that, while it lies in the processor's cache.
"""

from __future__ import annotations

import itertools

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
        self._one_by_one = records.checks_every_read
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
        crops = (self._crop(*each) for each in zip(ids, flips, xs, ys, strict=True))
        if self._one_by_one:
            for out, crop, flip in zip(batch, crops, flips, strict=True):
                if flip:
                    cv2.flip(crop, 1, dst=out)
                else:
                    out[:] = crop
            return
        high, wide = batch.shape[1:3]
        tall = batch.reshape(-1, wide, 3)
        cv2.vconcat(list(crops), dst=tall)
        for flip, run in itertools.groupby(range(len(flips)), flips.__getitem__):
            if flip:
                numbers = list(run)
                rows = tall[numbers[0] * high : (numbers[-1] + 1) * high]
                cv2.flip(rows, 1, dst=rows)

    def _crop(self, sample: int, flip: bool, x: int, y: int) -> np.ndarray:
        """The crop as it lies in the shard, not flipped yet; its record checked, if it is to be."""
        shard, begin, _ = self._place(sample)
        return self._windows[shard][begin + y * self._row + 3 * (MARGIN - x if flip else x)]
