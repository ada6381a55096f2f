"""The fused operation does what the paper's steps do, one after the other; layouts hold the pixels that they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data.loading.augment import MARGIN, cut, fit
from ugatit_data.loading.output import Output
from ugatit_data.pixels.geometry import resize


def picture(height, width, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (9, 9, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(smooth + random.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(256, 256), (60, 64), (97, 64), (94, 94), (93, 94), (200, 50), (300, 420), (1, 1)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("high", "wide"), [(64, 64), (40, 88)])
def test_fused_equals_step_by_step(size, flip, high, wide):
    image = picture(*size)
    random = np.random.default_rng(1)
    for x, y in [(0, 0), (30, 30), (0, 30), *random.integers(0, 31, (20, 2)).tolist()]:
        stepwise = resize(np.ascontiguousarray(image[:, ::-1]) if flip else image, (high + MARGIN, wide + MARGIN))
        stepwise = stepwise[y : y + high, x : x + wide]
        out = np.empty((high, wide, 3), np.uint8)
        cut(image, out, None, flip, x, y)
        difference = np.abs(out.astype(int) - stepwise)
        assert difference.mean() <= 1 / 255
        if size == (high + MARGIN, wide + MARGIN):  # as raw records: copies
            assert difference.max() == 0


def test_evaluation_keeps_the_whole_image():
    image = picture(50, 70)
    out = np.empty((32, 32, 3), np.uint8)
    fit(image, out, None)
    np.testing.assert_array_equal(out, resize(image, 32))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (33, 7), (40, 88)])
def test_floats_are_the_rounded_quotients_and_reach_both_ends(channels, size):
    output, pixels = Output("float32", channels, size, MARGIN), picture(*size)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    slot = np.full((channels, *size), np.nan, np.float32)
    output.pixels(slot)[:] = pixels
    output.finish(output.pixels(slot), slot)
    planes = pixels.transpose(2, 0, 1) if channels == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[None]
    np.testing.assert_allclose(slot, (planes.astype(np.float64) - 127.5) / 127.5, rtol=0, atol=1e-7)
    assert slot[:, -1, -1].tolist() == [1] * channels
    if size != (1, 1):
        assert slot[:, 0, 0].tolist() == [-1] * channels
