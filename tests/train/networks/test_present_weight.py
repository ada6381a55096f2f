"""A gradient that goes back through a layer after its update in the same graph is that of the updated layer.

The step's generators learn from discriminators that it has just updated. The loss alone does not show which weights a
backward pass reads.
"""

import autograd
import autograd.numpy as np
import mindspore as ms
import numpy
import pytest
from mindspore import ParameterTuple, Tensor, nn, ops

from ugatit_train.forms import ASCEND, CPU
from ugatit_train.networks.layers import SpectralConv

from .. import reference_networks as plain
from ..parity import error, fill, float32

RATE = 0.5


class Loss(nn.Cell):
    def __init__(self, layer):
        super().__init__(auto_prefix=False)
        self.layer = layer

    def construct(self, x, u, v):
        y = self.layer(x, (u, v))
        return (y * y).sum()


class UpdateThenGradient(nn.Cell):
    """The gradient for y through the layer, after a step against the gradient of x's loss."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.of_weight = ms.grad(Loss(layer), None, ParameterTuple([layer.weight]))
        self.of_input = ms.grad(Loss(layer), 0)

    def construct(self, x, y, u, v):
        (gradient,) = self.of_weight(x, u, v)
        updated = ops.assign(self.layer.weight, self.layer.weight - RATE * gradient)
        return self.of_input(ops.depend(y, updated), u, v)


@pytest.mark.parametrize(("forms", "c_in", "c_out"), [(CPU, 3, 4), (CPU, 16, 2), (ASCEND, 3, 4)])
def test_the_gradient_after_an_update_is_that_of_the_updated_weight(forms, c_in, c_out):
    """By im2col, by col2im, and by the operator with the norm's own backward."""
    random = numpy.random.default_rng(3)
    weight = float32(random.standard_normal((c_out, c_in, 4, 4)))
    x, y = (float32(random.standard_normal((1, c_in, 7, 6))) for _ in range(2))
    u, v = plain.power_iteration(weight, plain.normalise(random.standard_normal(c_out)))
    u, v = float32(u), float32(v)

    def loss(weight, x):
        sigma = np.dot(u, np.dot(np.reshape(weight, (c_out, -1)), v))
        return np.sum(plain.conv2d(x, weight / sigma, 1) ** 2)

    updated = weight - RATE * autograd.grad(loss)(weight, x)
    expected = autograd.grad(loss, 1)(updated, y)
    layer = SpectralConv(forms, c_in, c_out, 4)
    fill(layer, {"weight": weight})
    inputs = [Tensor(array.astype(numpy.float32)) for array in (x, y, u.reshape(-1, 1), v.reshape(-1, 1))]
    assert error(UpdateThenGradient(layer)(*inputs).asnumpy(), expected) < 1e-4
    assert error(expected, autograd.grad(loss, 1)(weight, y)) > 0.1
