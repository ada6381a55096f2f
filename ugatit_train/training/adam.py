"""Adam with weight decay, as the paper's code has it from PyTorch, inside of the compiled step."""

import math

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.ops import operations as P
from mindspore.ops.auto_generate.gen_ops_prim import AddExt

from ugatit_train.training.loss_scale import zero_unless


class Adam(nn.Cell):
    """Adam(0.5, 0.999, eps 1e-8) as torch.optim.Adam has it, weight decay added to the gradient.

    The fused primitive applies eps before it corrects the bias. With beta1_power and beta2_power 0 it corrects nothing;
    the rate and eps that it is given contain the correction.
    """

    BETA1, BETA2, EPS = 0.5, 0.999, 1e-8

    def __init__(
        self, parameters: ParameterTuple, weight_decay: float, skips: bool = False, count: str = "", by_alpha=False
    ):
        """skips: updates with gradients that are not finite are left out; count: names its own count of updates.

        by_alpha: `Forms.optimizer` is "alpha".
        """
        super().__init__(auto_prefix=False)
        self.parameters = parameters
        self.skips, self.counts = skips, count != ""
        if self.counts:
            self.updates = Parameter(Tensor(0, mstype.int32), name=f"adam_t.{count}", requires_grad=False)
        self.m = ParameterTuple([_moment(p, "adam_m") for p in parameters])
        self.v = ParameterTuple([_moment(p, "adam_v") for p in parameters])
        self.weight_decay = Tensor(weight_decay, mstype.float32)
        self.alpha = weight_decay if by_alpha else 0.0
        self.update, self.add = P.Adam(), AddExt()
        self.map = ops.HyperMap()

    def state(self) -> list[Parameter]:
        """What a checkpoint holds of it: its count of updates, if it has one, and the moments."""
        return [*([self.updates] if self.counts else []), *self.m, *self.v]

    def construct(self, gradients, step, lr, finite):
        """Applies one update. If it `skips`, an update that is not `finite` changes nothing.

        step: float32, from 1: which update this is, unless it counts them itself.
        """
        beta1, beta2 = self.BETA1, self.BETA2
        lr = ops.depend(lr, gradients)  # every gradient reads its parameters before any update
        if self.counts:
            step = ops.maximum(ops.assign_add(self.updates, finite.astype(mstype.int32)), 1).astype(mstype.float32)
        if self.skips:
            counts = finite.astype(mstype.float32)
            # With zero gradients and decay rates of 1 the moments stay as they are.
            gradients, lr = zero_unless(finite, gradients), lr * counts
            beta1, beta2 = 1 - (1 - beta1) * counts, 1 - (1 - beta2) * counts
        # -expm1(t log b) is 1 - b**t without the cancellation that costs half of float32's digits at small t.
        root = ops.sqrt(-ops.expm1(step * math.log(self.BETA2)))
        rate = lr * root / -ops.expm1(step * math.log(self.BETA1))
        eps = self.EPS * root
        if self.alpha:
            apply = ops.partial(_adam_by_alpha, self.update, self.add, self.alpha, rate, beta1, beta2, eps)
            return self.map(apply, self.parameters, self.m, self.v, gradients)
        # Not a loop: the compiler makes and analyses two graphs for each turn of one.
        apply = ops.partial(_adam, self.update, self.weight_decay, rate, beta1, beta2, eps)
        return self.map(apply, self.parameters, self.m, self.v, gradients)

    def count(self, step, done):
        """float32: how many updates there are once one is `done`; `step` unless it counts them itself."""
        return ops.depend(self.updates, done).astype(mstype.float32) if self.counts else step

    def before(self, finite):
        """Copies of the parameters and moments for `undo`, made before the update; zeros if it is not `finite`."""
        return (
            zero_unless(finite, self.parameters),
            zero_unless(finite, self.m),
            zero_unless(finite, self.v),
        )

    def undo(self, before, undone, done):
        """If `undone`, puts back what was `before` the update that is `done`, which was finite."""
        parameters, m, v = before
        back = ops.partial(_put_back, undone, done)
        restored = (self.map(back, self.parameters, parameters), self.map(back, self.m, m), self.map(back, self.v, v))
        if not self.counts:
            return restored
        return restored, ops.assign_sub(self.updates, ops.depend(undone, done).astype(mstype.int32))


def _adam(update, weight_decay, rate, beta1, beta2, eps, parameter, m, v, gradient):
    # Without `depend` every product is computed early and held until it is needed.
    decayed = gradient + ops.depend(weight_decay, gradient) * parameter
    return update(parameter, m, v, 0.0, 0.0, rate, beta1, beta2, eps, decayed)[0]


def _adam_by_alpha(update, add, alpha, rate, beta1, beta2, eps, parameter, m, v, gradient):
    return update(parameter, m, v, 0.0, 0.0, rate, beta1, beta2, eps, add(gradient, parameter, alpha))[0]


def _put_back(undone, done, parameter, before):
    return ops.assign(parameter, ops.where(undone, before, ops.depend(parameter, done)))


def _moment(parameter: Parameter, prefix: str) -> Parameter:
    return Parameter(
        Tensor(np.zeros(parameter.shape, np.float32)), name=f"{prefix}.{parameter.name}", requires_grad=False
    )


def clip_by_global_norm(gradients):
    """Scales the gradients of one optimizer down to a global norm of 1."""
    total = 0.0
    for gradient in gradients:
        total = total + (gradient * gradient).sum()
    factor = 1 / ops.maximum(ops.sqrt(total), 1.0)
    clipped: tuple = ()
    for gradient in gradients:
        clipped = clipped + (gradient * factor,)
    return clipped


def clip_rho(done, rho):
    """Puts rho, once the update is `done`, back between 0 and 1."""
    return ops.assign(rho, ops.clip_by_value(ops.depend(rho, done), 0.0, 1.0))
