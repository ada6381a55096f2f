"""Convolution by Winograd's tiles against the plain sum over the window, in float64."""

import numpy
import pytest
from autograd import numpy as np

from ugatit_train.networks import winograd

from .. import reference_networks as plain
from ..parity import Case, float32, measure
from .test_layers import check

# (n, c_in, c_out, h, w, scale, padding): whole tiles, tiles that reach over the end, one tile, more samples than one.
SHAPES = [
    # from 512 pixels on tiles of 4 x 4, below of 2 x 2
    (1, 6, 5, 24, 24, 1, "reflect"),
    (3, 5, 7, 16, 12, 1, "reflect"),
    (2, 4, 6, 15, 18, 1, "reflect"),
    (3, 6, 5, 13, 14, 1, "zero"),
    (1, 6, 4, 14, 12, 2, "reflect"),
    (3, 6, 4, 9, 5, 2, "reflect"),
    (2, 4, 3, 8, 10, 2, "zero"),
    (2, 256, 8, 17, 18, 1, "reflect"),  # the networks' depth: rounding grows with it
    (1, 6, 5, 16, 16, 1, "reflect"),
    (3, 5, 7, 3, 5, 1, "reflect"),
    (2, 3, 4, 2, 5, 1, "zero"),
    (2, 6, 4, 5, 3, 2, "reflect"),
]


def case(n, c_in, c_out, h, w, scale, padding):
    random = numpy.random.default_rng([n, c_in, h, w, scale])
    shapes = [(n, c_in, h, w), (c_out, c_in, 3, 3)]

    def window_sum(_, x, weight):
        enlarged = plain.upsample(x) if scale == 2 else x
        return plain.conv2d(plain.pad(enlarged, 1, padding), weight, 1)

    return Case(
        cell=winograd.WinogradConv(padding, scale),
        plain=window_sum,
        inputs=tuple(float32(random.standard_normal(shape)) for shape in shapes),
    )


@pytest.fixture(scope="module")
def errors():
    return measure({str(shape): case(*shape) for shape in SHAPES})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_convolution_by_tiles_is_the_sum_over_the_window(errors, shape):
    check(errors[str(shape)])


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("size", [2, 3, 4, 9, 16, 64])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_transforms_are_exact_algebra(tile, size, padding, scale):
    """Of one row, where only the rounding of the matrices to float32 is left; both sides in float64."""
    random = numpy.random.default_rng(size)
    x, kernel = random.standard_normal(size), random.standard_normal(3)
    into, out = (matrix.astype(numpy.float64) for matrix in winograd.matrices(tile, size, scale, padding))
    g = winograd.transforms(tile)[1]
    products = (into @ x).reshape(len(g), -1) * (g @ kernel)[:, None]
    row = np.repeat(x, scale)
    row = np.pad(row, 1, mode="reflect") if padding == "reflect" else np.pad(row, 1)
    assert numpy.abs(products.ravel() @ out - numpy.correlate(row, kernel)).max() < 1e-6
