"""The loss scale of a backward pass in float16, where small gradients would become zero."""

import mindspore as ms
from mindspore import Parameter, nn, ops

FIRST = 2.0**7  # the CAM loss weighs 1000: from 2^15, float16's usual start, the generators lost their first 11 updates
WINDOW = 1000  # good steps before it is doubled


class LossScale(nn.Cell):
    """A factor for the losses, by which the gradients are divided: a number, or "dynamic".

    A step with a gradient that is not finite updates nothing. The dynamic factor is halved then, and doubled after 1000
    steps without one.
    """

    def __init__(self, scale: float | str):
        super().__init__(auto_prefix=False)
        self.is_dynamic = scale == "dynamic"
        self.scales = scale != 1
        self.number = 1.0 if self.is_dynamic else float(scale)
        if self.is_dynamic:
            self.scaler = ms.amp.DynamicLossScaler(FIRST, 2, WINDOW)
            self.value, self.counter = self.scaler.scale_value, self.scaler.counter
            self.value.name, self.counter.name = "loss_scale", "loss_scale_good_steps"
            for parameter in (self.value, self.counter):
                parameter.requires_grad = False

    def state(self) -> list[Parameter]:
        """What a checkpoint holds of it: the dynamic one's factor and its count of good steps."""
        return [self.value, self.counter] if self.is_dynamic else []

    def factor(self):
        """The present factor."""
        return self.value * 1.0 if self.is_dynamic else self.number

    def unscale(self, gradients, factor):
        """(gradients / factor, whether all are finite); True without a scale, which is not checked."""
        if not self.scales:
            return gradients, True
        finite = _all_finite(gradients)
        unscaled: tuple = ()
        for gradient in gradients:
            unscaled = unscaled + (gradient * (1 / factor),)
        return unscaled, finite

    def adjust(self, finite):
        """Halves or doubles the factor after a step."""
        return self.scaler.adjust(finite) if self.is_dynamic else True


def _all_finite(gradients):
    """Of the gradients themselves: `ms.amp.all_finite` reads a status register on the first Ascend 910."""
    finite: tuple = ()
    for gradient in gradients:
        finite = finite + (ops.isfinite(gradient).all(),)
    return ops.stack(finite).all()


def zero_unless(finite, values):
    """The values if `finite`, otherwise zeros: a factor of 0 would not remove NaN."""
    kept: tuple = ()
    for value in values:
        kept = kept + (ops.where(finite, value, ops.zeros_like(value)),)
    return kept
