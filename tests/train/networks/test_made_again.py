"""`--recompute`: the backward pass makes again what the forward pass made of its maps, and gives the same values."""

from collections import Counter

import mindspore as ms
import numpy
import pytest
from mindspore import ParameterTuple, Tensor, nn, ops

from ugatit_train.forms import CPU
from ugatit_train.networks.convolution import OwnBackward
from ugatit_train.networks.layers import UpsampledConv
from ugatit_train.networks.ugatit import PaddedConv, initialise

from .. import graphs
from ..stepping import ASCEND_HERE


class Convolutions(nn.Cell):
    """Of 3 x 3, 3 x 3 after up-sampling, 7 x 7 of stride 2, and 7 x 7 to one map."""

    def __init__(self, forms, recompute):
        super().__init__()
        self.first, self.up = PaddedConv(forms, 8, 8, 3, "reflect"), UpsampledConv(forms, 8, 8, "reflect")
        self.down, self.last = PaddedConv(forms, 8, 8, 7, "reflect", 2), PaddedConv(forms, 8, 1, 7, "reflect")
        for _, cell in self.cells_and_names():
            if isinstance(cell, OwnBackward):
                cell.saves_memory = recompute

    def construct(self, x):
        return self.last(ops.relu(self.down(ops.relu(self.up(ops.relu(self.first(x)))))))


class Gradients(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network, self.weights = network, ParameterTuple(network.trainable_params())

    def construct(self, x):
        y, backward = ms.vjp(self.network, x, weights=self.weights)
        return y, backward(y)


@pytest.mark.parametrize(
    ("forms", "again"),
    [
        pytest.param(ASCEND_HERE, {"MirrorPad": 4, "BroadcastTo": 1}, id="Conv2D: maps padded and enlarged"),
        pytest.param(CPU, {"Im2Col": 1, "BatchMatMul": 2, "MatMul": 4}, id="matmul: columns and tiles"),
    ],
)
def test_what_is_made_of_a_map_is_made_twice_with_equal_values_and_gradients(forms, again, tmp_path):
    x = Tensor(numpy.random.default_rng(0).standard_normal((1, 8, 16, 16)).astype(numpy.float32))
    counts, values = {}, {}
    for recompute in (False, True):
        network = Convolutions(forms, recompute)
        initialise(network, 1)
        with graphs.saving(tmp_path / str(recompute)) as graph:
            y, (dx, dweights) = Gradients(network)(x)
        counts[recompute] = graph.kernels()
        values[recompute] = [each.asnumpy() for each in (y, dx[0], *dweights)]
    more = counts[True] - counts[False]
    assert {name: more[name] for name in again} == again, (counts, more)
    assert more["Conv2D"] == 0 and counts[False] - counts[True] == Counter()
    assert (values[True][0] == values[False][0]).all()
    for found, expected in zip(values[True], values[False], strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
