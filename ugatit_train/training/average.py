"""The exponential average of the generators' weights, and the beginning of one."""

from collections.abc import Mapping

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P

from ugatit_train.training.adam import Adam
from ugatit_train.training.checkpoint import EMA


class Average(nn.Cell):
    """For each weight that `adam` trains, `ema.<its name>`: average = d * average + (1 - d) * weight, once an update.

    d = min(decay, (1 + t) / (10 + t)), t counting the updates from 1: a short run is no average of its first weights.
    This is the rule of TensorFlow's ExponentialMovingAverage with `num_updates`
    (https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage).

    Adam's first moment is such an average, so Adam's kernel makes it: one launch for each weight. With the weight as
    its gradient, a rate of 0 and a second decay of 1, it leaves the other two arrays that it takes as they are: they
    are the weight's moments.
    """

    def __init__(self, adam: Adam, decay: float):
        super().__init__(auto_prefix=False)
        self.decay, self.skips = decay, adam.skips
        self.weights, self.m, self.v = adam.parameters, adam.m, adam.v
        self.averages = ParameterTuple(
            [Parameter(Tensor(np.zeros(p.shape, np.float32)), name=f"{EMA}.{p.name}", requires_grad=False)
             for p in adam.parameters]
        )  # fmt: skip
        self.update, self.map = P.Adam(), ops.HyperMap()

    def state(self) -> list[Parameter]:
        """What a checkpoint holds of it."""
        return [*self.averages]

    def construct(self, updates, finite, done):
        """Takes in the weights once their update is `done`; one that was not `finite` changes nothing.

        updates: float32, how many there were with this one.
        """
        gain = ops.maximum(1 - self.decay, 9 / (10 + updates))
        if self.skips:
            gain = gain * finite.astype(mstype.float32)
        apply = ops.partial(_take_in, self.update, 1 - gain, done)
        return self.map(apply, self.averages, self.weights, self.m, self.v)


def _take_in(update, decay, done, average, weight, m, v):
    return update(m, average, v, 0.0, 0.0, 0.0, decay, 1.0, 1.0, ops.depend(weight, done))[1]


def begin(state: Mapping[str, Parameter]) -> None:
    """Sets every average in a `Step.state()` to its weight's present value."""
    for name, average in state.items():
        if name.startswith(f"{EMA}."):
            average.set_data(Tensor(state[name.removeprefix(f"{EMA}.")].asnumpy()))
