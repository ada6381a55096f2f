"""The measures of likeness against their definitions, on pictures of which the answer is known."""

import numpy as np
import pytest

from ugatit_train.pictures import likeness


@pytest.fixture
def pictures():
    return np.random.default_rng(1).integers(0, 256, (3, 16, 20, 3)).astype(np.uint8)


def test_difference_and_ratio(pictures):
    black, gray, white = (np.full_like(pictures, value) for value in (0, 100, 200))
    assert likeness.difference(black, white) == likeness.difference(white, black) == 200
    assert likeness.ratio(gray, black, white) == 0.5
    assert likeness.ratio(white, black, white) == 0
    assert likeness.ratio(black, black, white) == 1


def test_an_affine_change_of_colour_is_found_and_nothing_else(pictures):
    inputs = pictures // 2 + 60
    change = np.array([[0.5, 0.1, 0.0], [0.2, 0.6, 0.1], [0.0, 0.1, 0.4]])
    true = np.rint(inputs @ change + [10, 20, 30]).astype(np.uint8)
    assert np.abs(likeness.recoloured(inputs, true).astype(int) - true).max() <= 1
    turned = true[:, ::-1]  # another arrangement of the same colours is none
    assert likeness.difference(likeness.recoloured(inputs, turned), turned) > 10


def test_edges_are_where_they_belong_whatever_the_colours():
    left, right = np.full((2, 32, 32, 3), 220, np.uint8), np.full((2, 32, 32, 3), 220, np.uint8)
    left[:, :, 8:11] = 20
    right[:, :, 20:23] = 20
    assert likeness.edge_correlation(left, left) == pytest.approx(1)
    assert likeness.edge_correlation(255 - left // 2, left) == pytest.approx(1, abs=1e-3)
    assert likeness.edge_correlation(right, left) < 0
    assert likeness.edge_correlation(np.full_like(left, 128), left) == 0


def test_edge_correlation_is_pearsons_of_sobels_gradients(pictures):
    from scipy import ndimage

    other = np.roll(pictures, 1, axis=1)
    expected = []
    for pair in zip(pictures, other, strict=True):
        maps = []
        for picture in pair:
            gray = np.rint(picture @ [0.299, 0.587, 0.114])
            maps.append(np.hypot(*(ndimage.sobel(gray, axis, mode="mirror") for axis in (0, 1))).ravel())
        expected.append(np.corrcoef(*maps)[0, 1])
    assert likeness.edge_correlation(pictures, other) == pytest.approx(np.mean(expected), abs=2e-3)
