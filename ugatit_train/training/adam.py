"""Adam with weight decay, as the paper's code has it from PyTorch, inside of the compiled step."""

import math

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P

from ugatit_train.training.loss_scale import zero_unless


class Adam(nn.Cell):
    """Adam(0.5, 0.999, eps 1e-8) as torch.optim.Adam has it, weight decay added to the gradient.

    The fused primitive applies eps before it corrects the bias. With beta1_power and beta2_power 0 it corrects nothing;
    the rate and eps that it is given contain the correction.
    """

    BETA1, BETA2, EPS = 0.5, 0.999, 1e-8

    def __init__(self, parameters: ParameterTuple, weight_decay: float, skips: str = ""):
        """skips: names the count of updates, if those with gradients that are not finite are to be left out."""
        super().__init__(auto_prefix=False)
        self.parameters = parameters
        self.skips = skips != ""
        if self.skips:
            self.updates = Parameter(Tensor(0, mstype.int32), name=f"adam_t.{skips}", requires_grad=False)
        self.m = ParameterTuple([_moment(p, "adam_m") for p in parameters])
        self.v = ParameterTuple([_moment(p, "adam_v") for p in parameters])
        self.weight_decay = Tensor(weight_decay, mstype.float32)
        self.update = P.Adam()
        self.map = ops.HyperMap()

    def state(self) -> list[Parameter]:
        """What a checkpoint holds of it: its count of updates, if it has one, and the moments."""
        return [*([self.updates] if self.skips else []), *self.m, *self.v]

    def construct(self, gradients, step, lr, finite):
        """Applies one update. step: float32, from 1. If it `skips`, an update that is not `finite` changes nothing."""
        beta1, beta2 = self.BETA1, self.BETA2
        lr = ops.depend(lr, gradients)  # every gradient reads its parameters before any update
        if self.skips:
            step = ops.maximum(ops.assign_add(self.updates, finite.astype(mstype.int32)), 1).astype(mstype.float32)
            counts = finite.astype(mstype.float32)
            # With zero gradients and decay rates of 1 the moments stay as they are.
            gradients, lr = zero_unless(finite, gradients), lr * counts
            beta1, beta2 = 1 - (1 - beta1) * counts, 1 - (1 - beta2) * counts
        # -expm1(t log b) is 1 - b**t without the cancellation that costs half of float32's digits at small t.
        root = ops.sqrt(-ops.expm1(step * math.log(self.BETA2)))
        rate = lr * root / -ops.expm1(step * math.log(self.BETA1))
        eps = self.EPS * root
        # Not a loop: the compiler makes and analyses two graphs for each turn of one.
        apply = ops.partial(_adam, self.update, self.weight_decay, rate, beta1, beta2, eps)
        return self.map(apply, self.parameters, self.m, self.v, gradients)


def _adam(update, weight_decay, rate, beta1, beta2, eps, parameter, m, v, gradient):
    # Without `depend` every product is computed early and held until it is needed.
    decayed = gradient + ops.depend(weight_decay, gradient) * parameter
    return update(parameter, m, v, 0.0, 0.0, rate, beta1, beta2, eps, decayed)[0]


def _moment(parameter: Parameter, prefix: str) -> Parameter:
    return Parameter(
        Tensor(np.zeros(parameter.shape, np.float32)), name=f"{prefix}.{parameter.name}", requires_grad=False
    )
