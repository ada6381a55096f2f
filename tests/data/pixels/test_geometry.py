"""The fused operation does what the paper's steps do, one after the other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data.loading.augment import MARGIN, Output, cut, fit
from ugatit_data.pixels.geometry import resize, resize_corner


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
        cut(image, out, flip, x, y)
        difference = np.abs(out.astype(int) - stepwise)
        assert difference.mean() <= 1 / 255
        if size == (high + MARGIN, wide + MARGIN):  # as raw records: copies
            assert difference.max() == 0


@pytest.mark.parametrize("size", [(256, 256), (200, 131), (1, 1), (285, 285), (286, 100), (500, 40)])
def test_a_corner_equals_that_of_the_whole_to_the_last_bit(size):
    image = picture(*size)
    whole = resize(image, 286)
    for right, bottom in [(1, 1), (256, 256), (256, 286), (271, 263), (286, 286)]:
        scratch = np.full((286, 286, 3), 99, np.uint8)
        for part in (resize_corner(image, 286, right, bottom), resize_corner(image, 286, right, bottom, scratch)):
            np.testing.assert_array_equal(part[:bottom, :right], whole[:bottom, :right])
        if max(size) < 286:  # the memory that was offered is the one that was used
            assert np.shares_memory(part, scratch)


def test_up_is_bilinear_and_down_is_area():
    image = picture(64, 64)
    np.testing.assert_array_equal(resize(image, 100), cv2.resize(image, (100, 100), interpolation=cv2.INTER_LINEAR))
    expected = image.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(resize(image, 32) - expected).max() <= 0.5
    tall = picture(128, 16)  # one axis shrinks, the other grows: no row is skipped
    halved = cv2.resize(tall, (16, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resize(tall, 64), cv2.resize(halved, (64, 64), interpolation=cv2.INTER_LINEAR))
    assert resize(image, 64) is image
    assert resize(image, (64, 64)) is image
    high = cv2.resize(cv2.resize(image, (16, 64), interpolation=cv2.INTER_AREA), (16, 100))
    np.testing.assert_array_equal(resize(image, (100, 16)), high)


def test_evaluation_keeps_the_whole_image():
    image = picture(50, 70)
    out = np.empty((32, 32, 3), np.uint8)
    fit(image, out)
    np.testing.assert_array_equal(out, resize(image, 32))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (33, 7), (40, 88)])
def test_floats_are_the_rounded_quotients_and_reach_both_ends(channels, size):
    output, pixels = Output("float32", channels, size), picture(*size)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    place = np.full((channels, *size), np.nan, np.float32)
    output.pixels(place)[:] = pixels
    output.finish(output.pixels(place), place)
    planes = pixels.transpose(2, 0, 1) if channels == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[None]
    np.testing.assert_allclose(place, (planes.astype(np.float64) - 127.5) / 127.5, rtol=0, atol=1e-7)
    assert place[:, -1, -1].tolist() == [1] * channels
    if size != (1, 1):
        assert place[:, 0, 0].tolist() == [-1] * channels
