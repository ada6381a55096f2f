"""`--recompute` where Conv2D is MindSpore's own: the padded and enlarged maps are made twice, the convolutions once."""

import mindspore as ms
import numpy
from mindspore import ParameterTuple, Tensor, nn, ops

from ugatit_train.networks.convolution import OwnBackward
from ugatit_train.networks.layers import UpsampledConv
from ugatit_train.networks.ugatit import PaddedConv, initialise

from .. import graphs
from ..stepping import ASCEND_HERE


class Convolutions(nn.Cell):
    def __init__(self, recompute):
        super().__init__()
        self.first, self.second = (PaddedConv(ASCEND_HERE, 4, 4, 3, "reflect") for _ in range(2))
        self.up = UpsampledConv(ASCEND_HERE, 4, 4, "reflect")
        for _, cell in self.cells_and_names():
            if isinstance(cell, OwnBackward):
                cell.saves_memory = recompute

    def construct(self, x):
        return self.up(ops.relu(self.second(ops.relu(self.first(x)))))


class Gradients(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network, self.weights = network, ParameterTuple(network.trainable_params())

    def construct(self, x):
        y, backward = ms.vjp(self.network, x, weights=self.weights)
        return y, backward(y)


def test_maps_are_made_twice_and_convolved_once_with_equal_values_and_gradients(tmp_path):
    x = Tensor(numpy.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(numpy.float32))
    counts, values = {}, {}
    for recompute in (False, True):
        network = Convolutions(recompute)
        initialise(network, 1)
        with graphs.saving(tmp_path / str(recompute)) as graph:
            y, (dx, dweights) = Gradients(network)(x)
        counts[recompute] = graph.kernels()
        values[recompute] = [each.asnumpy() for each in (y, dx[0], *dweights)]
    more = counts[True] - counts[False]
    assert more["MirrorPad"] == counts[False]["MirrorPad"] == 3 and more["BroadcastTo"] == 1
    assert set(more) <= {"MirrorPad", "BroadcastTo"} and counts[True]["Conv2D"] == counts[False]["Conv2D"] == 3
    for found, expected in zip(values[True], values[False], strict=True):
        numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
