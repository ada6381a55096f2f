"""Memory of the delivered batches, taken back when nobody holds a batch any more.

Fresh memory costs a page fault for every 4 KiB: of raw records' time, more than half. So the blocks of dropped batches
are used again, under the rule of any allocator: not while a single array, view or tensor still refers to them.
"""

from __future__ import annotations

import collections
import sys

import numpy as np

_OURS = 2  # references to a block that nobody holds: a local name, and the argument of getrefcount


class Buffers:
    """Gives out arrays, and remembers the last `keep` of them to use their memory again. Safe in threads."""

    def __init__(self, keep: int):
        self._blocks: collections.deque[np.ndarray] = collections.deque(maxlen=keep)

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An array with any contents. Its memory is not given out again while a view of it is alive."""
        block = self._unused(shape, dtype)
        if block is None:
            block = np.empty(shape, dtype)
        array = block.view()
        self._blocks.append(block)
        return array

    def _unused(self, shape: tuple[int, ...], dtype: type) -> np.ndarray | None:
        for _ in range(len(self._blocks)):
            try:
                block = self._blocks.popleft()  # atomic: two threads never have the same in hand
            except IndexError:
                return None
            # NumPy has each view refer to the block itself, through however many views it was made.
            if sys.getrefcount(block) > _OURS:
                self._blocks.append(block)
            elif (block.shape, block.dtype) == (shape, dtype):
                return block
        return None

    def close(self) -> None:
        """Keep nothing any more."""
        self._blocks = collections.deque(maxlen=0)
