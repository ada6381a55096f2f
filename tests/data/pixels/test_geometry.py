"""Resizing: bilinear upwards, area-averaged downwards, and a part is that of the whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ugatit_data.pixels.geometry import resize, resize_corner


def picture(height, width, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (9, 9, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(smooth + random.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


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
