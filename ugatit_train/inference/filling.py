"""What a network is as a function, and one that is compiled for each shape with few shapes."""

from collections.abc import Callable

import numpy as np

Translator = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""float32 (N, C, H, W) in [-1, 1] to pictures of the same shape and range, and heat maps (N, 1, H/4, W/4)."""


def filled(run: Translator) -> Translator:
    """The same for a network that is compiled for each shape: once for each size.

    A batch smaller than an earlier one of its size is filled up to that, which saves a compilation and changes no
    output: the network treats each sample by itself.
    """
    largest: dict[tuple[int, ...], int] = {}  # (H, W) -> the largest batch so far

    def call(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = len(x)
        largest[x.shape[2:]] = batch = max(count, largest.get(x.shape[2:], 0))
        made, heatmap = run(np.concatenate([x, x[:1].repeat(batch - count, 0)]) if batch > count else x)
        return made[:count], heatmap[:count]

    return call
