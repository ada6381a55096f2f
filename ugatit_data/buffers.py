"""Memory of the delivered batches, taken back when nobody holds a batch any more.

Fresh memory costs a page fault for every 4 KiB: of raw records' time, more than half. So the blocks of dropped batches
are used again, under the rule of any allocator: not while a single array, view or tensor still refers to them.
"""

from __future__ import annotations

import ctypes
import functools
import math

import numpy as np


@functools.cache
def _lease(size: int) -> type:
    """Memory of so many bytes that calls `gone` when nobody refers to it any more."""

    def __del__(self):
        self.gone()

    return type("_Lease", (ctypes.c_ubyte * size,), {"__del__": __del__})


class Buffers:
    """Gives out arrays; keeps at most `keep` free blocks of the size last asked for. Safe in threads."""

    def __init__(self, keep: int):
        self._keep = keep
        self._free: list[np.ndarray] = []

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array with any contents. Its memory is not given out again while a view of it is alive."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            block = self._free.pop()  # atomic: two threads never get the same
        except IndexError:
            block = np.empty(0, np.uint8)
        if block.size != size:
            block = np.empty(size, np.uint8)
        # The array holds `lease`, and every view of the array holds the array: `lease` dies when the last of them is
        # gone. It is no ndarray, for NumPy would leave it out and hold `block` instead.
        lease = _lease(size).from_buffer(block)
        lease.gone = functools.partial(self._take_back, block)
        return np.ndarray(shape, dtype, lease)

    def _take_back(self, block: np.ndarray) -> None:
        if len(self._free) < self._keep:
            self._free.append(block)

    def close(self) -> None:
        """Keep nothing any more."""
        self._keep = 0
        self._free.clear()
