"""The loss scale of a backward pass in float16, where small gradients would become zero."""

import mindspore as ms
from mindspore import Parameter, nn, ops

FIRST = 2.0**15  # float16 ends at 65504; a few steps halve what is too large
WINDOW = 1000  # good steps before it is doubled


class LossScale(nn.Cell):
    """A factor for the losses, by which the gradients are divided: a number, or "dynamic".

    The dynamic one is halved at each step with a gradient that is not finite, and doubled after 1000 steps without one.
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
        """(gradients / factor, whether all are finite); True with a fixed factor, which is not checked."""
        if not self.scales:
            return gradients, True
        finite = ms.amp.all_finite(gradients) if self.is_dynamic else True
        unscaled: tuple = ()
        for gradient in gradients:
            unscaled = unscaled + (gradient * (1 / factor),)
        return unscaled, finite

    def adjust(self, finite):
        """Halves or doubles the factor after a step."""
        return self.scaler.adjust(finite) if self.is_dynamic else True


def zero_unless(finite, gradients):
    """The gradients if `finite`, otherwise zeros: a factor of 0 would not remove NaN."""
    kept: tuple = ()
    for gradient in gradients:
        kept = kept + (ops.where(finite, gradient, ops.zeros_like(gradient)),)
    return kept
