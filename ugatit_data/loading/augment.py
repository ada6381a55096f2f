"""Augmentations: a decoded image and its random words -> the pixels that a batch holds.

The paper's is flip, resize to size + 30, random crop. Flip and crop commute (the crop's x counts from the other side),
so the crop is cut first and flipped on its way into the batch, and only the cropped part is resized.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from ugatit_data.errors import BadInputError
from ugatit_data.pixels.geometry import resize, resize_corner

MARGIN = 30  # the paper's: 256 is cropped out of 286


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Augmentation:
    """One way to make the pixels of a batch out of decoded images.

    They depend on the image and its random words alone, and these on (seed, domain, pass, sample id): they are the
    same for any number of threads and ranks, and after a restart, as long as `make` and `draw` are pure functions.
    """

    make: Callable[..., None]
    """make(image, out, memory, *values) fills `out`, uint8 (h, w, 3) RGB, from `image`, uint8 (H, W, 3) RGB of any
    size, which it must not change. `values` are Python numbers: this image's, of each array that `draw` made. `memory`,
    uint8 (h + margin, w + margin, 3), is the thread's own, with any contents: it saves getting some."""
    draw: Callable[..., tuple[np.ndarray, ...]] = lambda: ()
    """draw(*words), a uint64 array (n,) for each of `uses` -> arrays (n,): a value for each of n images."""
    uses: tuple[int, ...] = ()
    """The streams of random words that it draws from, a word of each for an image and pass. 0 is the order's and 1 the
    paper's augmentation's; take new ones from 2 on."""
    margin: int = 0
    """Pixels by which an image is larger, before it is cropped, than what is delivered."""
    crops: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None
    """The fused form, for one that does no more to an image of size + margin than to crop it, perhaps mirrored:
    crops(*arrays of `draw`) -> mirrored or not, bool (n,); the crop's left column and top row in the stored image,
    int64 (n,), 0..margin. Crops of raw records are then copied by one compiled call a batch."""

    def __post_init__(self) -> None:
        if any(use < 1 for use in self.uses):
            raise BadInputError(f"uses {self.uses}: must be at least 1, for 0 is the order's stream.")
        if self.margin < 0:
            raise BadInputError(f"margin {self.margin}: must be at least 0.")


def flips_and_corners(words: np.ndarray, margin: int = MARGIN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flip (bool), x and y (int64, each uniform over 0..margin) out of random words, uint64 (n,).

    Bit 63 is the flip, bits 0-31 make x, bits 32-62 make y, so that the three are independent. Multiply and shift:
    the bias is below margin / 2**31.
    """
    side = np.uint64(margin + 1)
    x = ((words & np.uint64(0xFFFFFFFF)) * side) >> np.uint64(32)
    y = (((words >> np.uint64(32)) & np.uint64(0x7FFFFFFF)) * side) >> np.uint64(31)
    return (words >> np.uint64(63)).astype(bool), x.astype(np.int64), y.astype(np.int64)


def cut(image: np.ndarray, out: np.ndarray, memory: np.ndarray | None, flip: bool, x: int, y: int) -> None:
    """Flip, resize to the size of `out` + MARGIN, crop at (x, y), 0..MARGIN each: `Augmentation.make` of the paper."""
    high, wide = out.shape[:2]
    if flip:
        x = MARGIN - x
    whole = resize_corner(image, (high + MARGIN, wide + MARGIN), x + wide, y + high, memory)
    if flip:
        cv2.flip(whole[y : y + high, x : x + wide], 1, dst=out)
    else:
        out[:] = whole[y : y + high, x : x + wide]


def _crops(flips: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return flips, np.where(flips, MARGIN - xs, xs), ys


def fit(image: np.ndarray, out: np.ndarray, memory: np.ndarray | None) -> None:
    """The whole image, resized to the size of `out`."""
    high, wide = out.shape[:2]
    out[:] = resize(image, (high, wide))


PAPER = Augmentation(make=cut, draw=flips_and_corners, uses=(1,), margin=MARGIN, crops=_crops)
WHOLE = Augmentation(make=fit)  # as in evaluation: nothing random
