"""The form of the step, on three scalars: a backward pass split at the fakes, two optimizers, one graph.

The expected figures are worked out by hand in the order of the paper's code: two forward and two backward passes, the
discriminator's first, the generator's through the updated discriminator.
"""

import mindspore as ms
import numpy
import pytest
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

LR = 0.01
A = numpy.float32([0.5, -1.2, 2.0])
START = {"g.w": 0.7, "g.c": 0.3, "d.w": 0.5}


class Generator(nn.Cell):
    def __init__(self):
        super().__init__()
        self.w, self.c = Parameter(Tensor([0.7], ms.float32), name="w"), Parameter(Tensor([0.3], ms.float32), name="c")

    def construct(self, x):
        return ops.tanh(x * self.w) + self.c * x


class Discriminator(nn.Cell):
    def __init__(self):
        super().__init__()
        self.w = Parameter(Tensor([0.5], ms.float32), name="w")

    def construct(self, x):
        return x * self.w


class FirstPass(nn.Cell):
    """The generator's pass; a Cell of its own, because one Cell cannot be differentiated at two levels."""

    def __init__(self, g):
        super().__init__(auto_prefix=False)
        self.g = g

    def construct(self, a):
        return self.g(a)


class DiscriminatorLoss(nn.Cell):
    def __init__(self, d):
        super().__init__(auto_prefix=False)
        self.d = d

    def construct(self, a, fake):
        real, judged = self.d(a), self.d(fake)
        return ((real - 1.0) * (real - 1.0)).mean() + (judged * judged).mean()


class GeneratorLoss(nn.Cell):
    """Adversarial and cycle, as a function of the fake; the second pass of the generator is inside."""

    def __init__(self, g, d):
        super().__init__(auto_prefix=False)
        self.g, self.d = g, d

    def construct(self, fake, a):
        judged = self.d(fake)
        return ((judged - 1.0) * (judged - 1.0)).mean() + 10 * ops.abs(self.g(fake) - a).mean()


class ToyStep(nn.Cell):
    """One forward pass of g serves both updates."""

    def __init__(self):
        super().__init__()
        self.g, self.d = Generator(), Discriminator()
        self.g_parameters, self.d_parameters = ParameterTuple([self.g.w, self.g.c]), ParameterTuple([self.d.w])
        self.first_pass = FirstPass(self.g)
        self.d_gradient = ms.value_and_grad(DiscriminatorLoss(self.d), None, self.d_parameters)
        self.g_gradient = ms.value_and_grad(GeneratorLoss(self.g, self.d), 0, self.g_parameters)

    def construct(self, a):
        fake, backward = ms.vjp(self.first_pass, a, weights=self.g_parameters)
        d_loss, d_grads = self.d_gradient(a, ops.stop_gradient(fake))
        updated = ops.assign(self.d.w, self.d.w - LR * d_grads[0])
        g_loss, (cotangent, tail) = self.g_gradient(ops.depend(fake, updated), a)
        _, head = backward(cotangent)
        w_grad, c_grad = head[0] + tail[0], head[1] + tail[1]
        done = (ops.assign(self.g.w, self.g.w - LR * w_grad), ops.assign(self.g.c, self.g.c - LR * c_grad))
        return ops.depend((d_loss, g_loss, d_grads[0], w_grad, c_grad), done)


def by_hand(w, c, d, a):
    """(d_loss, g_loss, gradients of d, w, c) of two full passes, and the new w, c, d."""
    fake = numpy.tanh(a * w) + c * a
    d_loss = ((d * a - 1) ** 2).mean() + ((d * fake) ** 2).mean()
    d_grad = (2 * (d * a - 1) * a).mean() + (2 * d * fake**2).mean()
    d = d - LR * d_grad

    fake = numpy.tanh(a * w) + c * a  # again, as the paper's code does
    dfake_dw, dfake_dc = (1 - numpy.tanh(a * w) ** 2) * a, a
    slope = 1 - numpy.tanh(fake * w) ** 2
    cycle = numpy.tanh(fake * w) + c * fake
    sign = 10 * numpy.sign(cycle - a)
    g_loss = ((d * fake - 1) ** 2).mean() + 10 * numpy.abs(cycle - a).mean()
    at_fake = 2 * (d * fake - 1) * d + sign * (slope * w + c)
    w_grad = (at_fake * dfake_dw + sign * slope * fake).mean()
    c_grad = (at_fake * dfake_dc + sign * fake).mean()
    return (d_loss, g_loss, d_grad, w_grad, c_grad), (w - LR * w_grad, c - LR * c_grad, d)


def test_split_backward_pass_and_two_updates_in_one_graph_equal_two_full_passes():
    step = ToyStep()
    w, c, d = (START[name] for name in ("g.w", "g.c", "d.w"))
    for _ in range(3):
        found = [float(x.asnumpy().item()) for x in step(Tensor(A))]
        expected, (w, c, d) = by_hand(w, c, d, A.astype(numpy.float64))
        assert found == pytest.approx(expected, rel=1e-5)
        updated = [float(p.asnumpy().item()) for p in (step.g.w, step.g.c, step.d.w)]
        assert updated == pytest.approx([w, c, d], rel=1e-5)


def test_by_hand_is_the_finite_difference():
    a, eps = A.astype(numpy.float64), 1e-6
    (_, _, d_grad, w_grad, c_grad), (_, _, d_new) = by_hand(0.7, 0.3, 0.5, a)

    def g_loss(w, c):  # with the updated discriminator held
        fake = numpy.tanh(a * w) + c * a
        return ((d_new * fake - 1) ** 2).mean() + 10 * numpy.abs(numpy.tanh(fake * w) + c * fake - a).mean()

    assert w_grad == pytest.approx((g_loss(0.7 + eps, 0.3) - g_loss(0.7 - eps, 0.3)) / (2 * eps), rel=1e-6)
    assert c_grad == pytest.approx((g_loss(0.7, 0.3 + eps) - g_loss(0.7, 0.3 - eps)) / (2 * eps), rel=1e-6)
    up, down = (by_hand(0.7, 0.3, 0.5 + e, a)[0][0] for e in (eps, -eps))
    assert d_grad == pytest.approx((up - down) / (2 * eps), rel=1e-6)
