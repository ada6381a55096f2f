"""Memory of the delivered batches, used again when nobody holds a batch any more.

Fresh memory costs a page fault for every 4 KiB: more than half of the time of raw records. So the blocks of dropped
batches are used again, under the rule of any allocator: not while a single array, view or tensor still refers to them.
"""

from __future__ import annotations

import collections
import sys

import numpy as np


def _oldest(blocks: collections.deque[np.ndarray]) -> tuple[np.ndarray, int]:
    """Take the oldest block out, and count the references to it. Raises IndexError where there is none."""
    block = blocks.popleft()  # atomic: no two threads take the same
    return block, sys.getrefcount(block)


# How many references a block has that nobody else holds: 2 in Python 3.10 to 3.12 (a local name, and the argument of
# getrefcount); other versions may count otherwise.
_OURS = _oldest(collections.deque([np.empty(0)]))[1]


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
                block, references = _oldest(self._blocks)
            except IndexError:
                return None
            # NumPy has each view refer to the block itself, through however many views it was made.
            if references > _OURS:
                self._blocks.append(block)
            elif (block.shape, block.dtype) == (shape, dtype):
                return block
        return None

    def close(self) -> None:
        """Keep nothing any more."""
        self._blocks = collections.deque(maxlen=0)
