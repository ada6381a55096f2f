"""The generators' passes and both weighted losses of a step, each a Cell that `step.py` differentiates.

Legend: a, b (N, img_ch, H, W); y_b, cam_b = genA2B(concat(a, b)), so y_b is fake_b and identity_b; y_a likewise.
"""

from collections.abc import Callable

from mindspore import nn, ops

from ugatit_train.networks.ugatit import Generator
from ugatit_train.training.losses import lsgan

# The generators' passes in the order of `Translate`'s result and of `GeneratorLoss`'s first arguments: `ms.vjp` and
# `ms.value_and_grad` take and give flat tuples only.
PASSES = ("y_b", "cam_b", "y_a", "cam_a", "cycle_a", "cycle_b")


class Translate(nn.Cell):
    """Every pass of both generators: `PASSES`."""

    def __init__(self, a2b: Generator, b2a: Generator):
        super().__init__(auto_prefix=False)  # a prefix would rename the generators' parameters; so everywhere here
        self.a2b, self.b2a = a2b, b2a
        self.joins = a2b.forms.cycles == "joined"

    def construct(self, a, b):
        n = a.shape[0]
        if self.joins:
            fake_b, cam_fake_b, _ = self.a2b(a)
            y, cam_a, _ = self.b2a(ops.concat((b, a, fake_b), 0))
            z, cam_z, _ = self.a2b(ops.concat((b, y[:n]), 0))
            y_b, cam_b = ops.concat((fake_b, z[:n]), 0), ops.concat((cam_fake_b, cam_z[:n]), 0)
            return y_b, cam_b, y[: 2 * n], cam_a[: 2 * n], y[2 * n :], z[n:]
        y_b, cam_b, _ = self.a2b(ops.concat((a, b), 0))
        y_a, cam_a, _ = self.b2a(ops.concat((b, a), 0))
        cycle_a, _, _ = self.b2a(y_b[:n])
        cycle_b, _, _ = self.a2b(y_a[:n])
        return y_b, cam_b, y_a, cam_a, cycle_a, cycle_b


class DiscriminatorLoss(nn.Cell):
    """The discriminators' weighted loss: (scaled, unscaled).

    Real and fake images are one batch if both share the spectral norm's vectors.
    """

    def __init__(self, discriminators, weight: float, batched: bool):
        super().__init__(auto_prefix=False)
        self.disGA, self.disGB, self.disLA, self.disLB = discriminators
        self.weight = weight
        self.batched = batched

    def judge(self, discriminator, real, fake, vectors_real, vectors_fake):
        if self.batched:
            n = real.shape[0]
            logit, cam = discriminator(ops.concat((real, fake), 0), vectors_real)
            return lsgan(logit[:n], 1.0) + lsgan(logit[n:], 0.0) + lsgan(cam[:n], 1.0) + lsgan(cam[n:], 0.0)
        logit_real, cam_real = discriminator(real, vectors_real)
        logit_fake, cam_fake = discriminator(fake, vectors_fake)
        return lsgan(logit_real, 1.0) + lsgan(logit_fake, 0.0) + lsgan(cam_real, 1.0) + lsgan(cam_fake, 0.0)

    def construct(self, a, b, fake_a, fake_b, vectors_real, vectors_fake, loss_scale):
        real_ga, real_gb, real_la, real_lb = vectors_real
        fake_ga, fake_gb, fake_la, fake_lb = vectors_fake
        loss = self.judge(self.disGA, a, fake_a, real_ga, fake_ga)
        loss = loss + self.judge(self.disGB, b, fake_b, real_gb, fake_gb)
        loss = loss + self.judge(self.disLA, a, fake_a, real_la, fake_la)
        loss = loss + self.judge(self.disLB, b, fake_b, real_lb, fake_lb)
        loss = loss * self.weight
        return loss * loss_scale, loss


class GeneratorLoss(nn.Cell):
    """The generators' weighted loss as a function of `PASSES`: (scaled, unscaled, each term's value)."""

    def __init__(self, discriminators, weights: tuple[float, ...], functions: tuple[Callable, ...]):
        super().__init__(auto_prefix=False)
        self.disGA, self.disGB, self.disLA, self.disLB = discriminators
        self.weights, self.functions = weights, functions

    def construct(self, y_b, cam_b, y_a, cam_a, cycle_a, cycle_b, a, b, vectors, loss_scale):
        n = a.shape[0]
        fake_b, fake_a = y_b[:n], y_a[:n]
        vectors_ga, vectors_gb, vectors_la, vectors_lb = vectors
        passes = {
            "a": a,
            "b": b,
            "fake_a": fake_a,
            "fake_b": fake_b,
            "identity_a": y_a[n:],
            "identity_b": y_b[n:],
            "cycle_a": cycle_a,
            "cycle_b": cycle_b,
            "cam_fake_a": cam_a[:n],
            "cam_fake_b": cam_b[:n],
            "cam_identity_a": cam_a[n:],
            "cam_identity_b": cam_b[n:],
            "disGA": self.disGA(fake_a, vectors_ga),
            "disGB": self.disGB(fake_b, vectors_gb),
            "disLA": self.disLA(fake_a, vectors_la),
            "disLB": self.disLB(fake_b, vectors_lb),
        }
        values: tuple = ()
        for function in self.functions:
            values = values + (function(passes),)
        loss = self.weights[0] * values[0]
        for i in range(1, len(values)):
            loss = loss + self.weights[i] * values[i]
        return loss * loss_scale, loss, values
