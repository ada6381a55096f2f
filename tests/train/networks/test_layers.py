"""Every layer against its plain float64 form: values, and gradients for inputs and weights.

What the trainer rewrites is compared with what it stands for: convolution as matmul, AdaLIN as one scale and shift,
CAM folded into its 1 x 1 weight, spectral norm divided out of the result in place of the weight.
"""

from functools import cache

import autograd.numpy as np
import numpy
import pytest
from autograd.tracer import getval
from mindspore import nn

from ugatit_train import runtime
from ugatit_train.networks import convolution, layers, normalisation

from .. import reference_networks as plain
from ..parity import Case, float32, measure

VALUE, GRADIENT = 1e-5, 1e-4  # relative to the largest of the tensor

# (c_in, c_out, k, stride, h, w): each kernel and stride of the networks, channels up and down, maps that are large and
# small against the weight, and sizes whose last row no stride reaches.
CONVOLUTIONS = [
    (3, 8, 7, 1, 14, 13),  # generator: down0
    (4, 8, 3, 2, 13, 12),  # down1, down2
    (8, 8, 3, 1, 12, 12),  # residual blocks
    (12, 6, 3, 1, 10, 11),  # up-sampling blocks
    (24, 3, 7, 1, 12, 13),  # out
    (3, 8, 4, 2, 12, 11),  # discriminator: the first
    (16, 4, 4, 2, 6, 6),
    (16, 32, 4, 2, 6, 6),  # a small map and a large weight
    (16, 32, 4, 1, 5, 5),
    (48, 1, 4, 1, 6, 7),  # the last
    (6, 12, 1, 1, 9, 8),  # CAM
    (40, 24, 1, 1, 3, 3),
]


@cache
def convolutions():
    random = numpy.random.default_rng(7)
    cases = {}

    def add(name, cell, c_in, c_out, k, stride, h, w):
        for n in (1, 3):
            cases[f"{name}_{c_in}to{c_out}_{k}x{k}_stride{stride}_batch{n}"] = Case(
                cell=cell,
                plain=lambda _, x, weight: plain.conv2d(x, weight, stride),
                inputs=tuple(float32(random.standard_normal(s)) for s in [(n, c_in, h, w), (c_out, c_in, k, k)]),
            )

    for c_in, c_out, k, stride, h, w in CONVOLUTIONS:
        add("valid_conv", convolution.valid_conv(c_in, c_out, k, stride), c_in, c_out, k, stride, h, w)
    for c_in, c_out in ((4, 6), (9, 2)):
        add("gather", convolution.GatherConv(3, 1), c_in, c_out, 3, 1, 8, 9)
        add("scatter", convolution.ScatterConv(3), c_in, c_out, 3, 1, 8, 9)
    add("scatter_small_map", convolution.ScatterConv(3), 64, 8, 3, 1, 5, 5)
    return cases


@cache
def convolution_errors():
    return measure(convolutions())


@pytest.mark.parametrize("name", convolutions())
def test_convolution_as_matmul_is_the_sum_over_the_window(name):
    check(convolution_errors()[name])


def test_a_convolution_in_float16_takes_and_gives_float32_and_keeps_three_digits(monkeypatch):
    random = numpy.random.default_rng(9)
    monkeypatch.setattr(runtime, "_half", True)
    with runtime.plain_operators():
        half = convolution.valid_conv(4, 6, 3)
    cases = {
        name: Case(
            cell=cell,
            plain=lambda _, x, weight: plain.conv2d(x, weight, 1),
            inputs=tuple(float32(random.standard_normal(shape)) for shape in [(2, 4, 8, 9), (6, 4, 3, 3)]),
        )
        for name, cell in {"half": half, "whole": convolution.GatherConv(3, 1)}.items()
    }
    errors = measure(cases)
    check(errors["whole"])
    outputs, gradients = errors["half"]
    for error in (*outputs, *gradients.values()):
        assert 1e-5 < error < 2e-3  # coarser than float32, so it was float16


class Call(nn.Cell):
    """A function as a Cell."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def construct(self, *inputs):
        return self.function(*inputs)


class UpConvOfMapsTooLargeForTiles(nn.Cell):
    """What `UpsampledConv` computes from 65 pixels on."""

    def __init__(self, mode):
        super().__init__()
        self.pad, self.up_conv = layers.Pad(1, "edge" if mode == "reflect" else mode), convolution.UpConv()

    def construct(self, x, weight):
        return self.up_conv(self.pad(x), weight)


class Normed(nn.Cell):
    """A layer under spectral norm with the vectors of one power iteration: (result, new u, v, sigma)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def construct(self, x):
        u, v = self.layer.iterate(self.layer.u)
        return self.layer(x, (u, v)), u.reshape(-1), v.reshape(-1), self.layer.sigma(u, v).sum()


class Unnormed(nn.Cell):
    """The same layer with its spectral norm left out."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def construct(self, x):
        return self.layer(x, ())


def normed(apply):
    """The plain form of `Normed` from apply(x, normalised weight, params)."""

    def form(params, x):
        weight = params["layer.weight"]
        u, v = plain.power_iteration(getval(weight), params["layer.u"])  # constants for the gradient
        sigma = np.dot(u, np.dot(np.reshape(weight, (weight.shape[0], -1)), v))
        return apply(x, weight / sigma, params), u, v, sigma

    return form


def with_bias(y, bias):
    return y + bias[None, :, None, None]


@cache
def others():
    random = numpy.random.default_rng(8)

    def normal(*shape):
        return float32(random.standard_normal(shape))

    def near(centre, *shape):
        return float32(centre + 0.2 * random.uniform(-1, 1, shape))

    x = normal(2, 6, 8, 7)
    offset = x * 2 + numpy.arange(6)[None, :, None, None]  # maps far from zero and from each other
    gamma, beta, rho = near(1, 2, 6), normal(2, 6), near(0.5, 6)
    conv, u = {"layer.weight": normal(8, 6, 4, 4), "layer.bias": normal(8)}, {"layer.u": plain.normalise(normal(8))}
    last = {"layer.weight": normal(1, 6, 4, 4), "layer.u": numpy.ones(1)}
    linear = {"layer.weight": normal(3, 6), "layer.u": plain.normalise(normal(3))}
    cases = {
        f"pad_{p}_{mode}": Case(
            cell=layers.Pad(p, mode), plain=lambda _, x, p=p, mode=mode: plain.pad(x, p, mode), inputs=(x,)
        )
        for p in (1, 3)
        for mode in ("reflect", "zero")
    }
    small = normal(3, 6, 5, 4)
    cases |= {
        f"upsampled_conv_{mode}_{len(batch)}": Case(
            cell=layers.UpsampledConv(6, 4, mode),
            plain=lambda p, x, mode=mode: plain.conv2d(plain.pad(plain.upsample(x), 1, mode), p["weight"], 1),
            inputs=(batch,),
            params={"weight": normal(4, 6, 3, 3)},
        )
        for mode in ("reflect", "zero")
        for batch in (small, small[:1])
    }
    cases |= {
        f"up_conv_on_the_small_map_{mode}_{len(batch)}": Case(
            cell=UpConvOfMapsTooLargeForTiles(mode),
            plain=lambda _, x, weight, mode=mode: plain.conv2d(plain.pad(plain.upsample(x), 1, mode), weight, 1),
            inputs=(batch, normal(4, 6, 3, 3)),
        )
        for mode in ("reflect", "zero")
        for batch in (small, small[:1])
    }
    cases |= {
        "instance_norm": Case(
            cell=normalisation.InstanceNorm(), plain=lambda _, x: plain.instance_norm(x), inputs=(offset,)
        ),
        "adalin_folded_into_one_scale_and_shift": Case(
            cell=normalisation.AdaLIN(6),
            plain=lambda p, x, gamma, beta: plain.adalin(x, p["rho"], gamma, beta),
            inputs=(offset, gamma, beta),
            params={"rho": rho},
        ),
        "adalin_of_maps_far_above_their_deviation": Case(
            cell=normalisation.AdaLIN(6),
            plain=lambda p, x, gamma, beta: plain.adalin(x, p["rho"], gamma, beta),
            inputs=(offset + 30, gamma, beta),
            params={"rho": rho},
        ),
        "lin_folded_into_one_scale_and_shift": Case(
            cell=normalisation.LIN(6),
            plain=lambda p, x: plain.lin(x, p["rho"], p["gamma"], p["beta"]),
            inputs=(offset,),
            params={"rho": near(0.5, 6), "gamma": near(1, 6), "beta": normal(6)},
        ),
        "upsample": Case(cell=Call(layers.upsample), plain=lambda _, x: plain.upsample(x), inputs=(x,)),
        "pool": Case(
            cell=Call(layers.pool),
            plain=lambda _, x: (np.mean(x, axis=(2, 3)), np.max(x, axis=(2, 3))),
            inputs=(x,),
        ),
        "leaky_relu": Case(cell=Call(layers.leaky_relu), plain=lambda _, x: plain.leaky_relu(x), inputs=(x,)),
        "linear": Case(
            cell=layers.Linear(6, 3),
            plain=lambda p, x: plain.linear(x, p["weight"]),
            inputs=(normal(2, 6),),
            params={"weight": normal(3, 6)},
        ),
        "conv_with_bias": Case(
            cell=layers.Conv(6, 4, 3, stride=2, bias=True),
            plain=lambda p, x: with_bias(plain.conv2d(x, p["weight"], 2), p["bias"]),
            inputs=(x,),
            params={"weight": normal(4, 6, 3, 3), "bias": normal(4)},
        ),
        "attention_with_cam_folded_into_its_weight": Case(
            cell=layers.Attention(6),
            plain=lambda p, x, gap, gmp: plain.cam(x, gap, gmp, gap, gmp, p["weight"], p["bias"])[0],
            inputs=(x, normal(1, 6), normal(1, 6)),
            params={"weight": normal(6, 12, 1, 1), "bias": normal(6)},
        ),
        "spectral_conv_divides_its_result_by_sigma": Case(
            cell=Normed(layers.SpectralConv(6, 8, 4, stride=2, bias=True)),
            plain=normed(lambda x, weight, p: with_bias(plain.conv2d(x, weight, 2), p["layer.bias"])),
            inputs=(x,),
            params=conv | u,
        ),
        "spectral_conv_of_one_channel": Case(
            cell=Normed(layers.SpectralConv(6, 1, 4)),
            plain=normed(lambda x, weight, p: plain.conv2d(x, weight)),
            inputs=(x,),
            params=last,
        ),
        "spectral_conv_without_the_norm": Case(
            cell=Unnormed(layers.SpectralConv(6, 8, 4, stride=2, bias=True)),
            plain=lambda p, x: with_bias(plain.conv2d(x, p["layer.weight"], 2), p["layer.bias"]),
            inputs=(x,),
            params=conv,
        ),
        "spectral_linear_divides_its_result_by_sigma": Case(
            cell=Normed(layers.SpectralLinear(6, 3)),
            plain=normed(lambda x, weight, p: plain.linear(x, weight)),
            inputs=(normal(2, 6),),
            params=linear,
        ),
        "spectral_linear_without_the_norm": Case(
            cell=Unnormed(layers.SpectralLinear(6, 3)),
            plain=lambda p, x: plain.linear(x, p["layer.weight"]),
            inputs=(normal(2, 6),),
            params={"layer.weight": normal(3, 6)},
        ),
    }
    return cases


@cache
def other_errors():
    return measure(others())


@pytest.mark.parametrize("name", others())
def test_layer_is_its_plain_form(name):
    check(other_errors()[name])


def test_flat_maps_stay_finite():
    """Only the rounding of their mean is left of them, which the division by sqrt(EPS) makes 300 times larger."""
    params = {"rho": numpy.full(6, 0.5), "gamma": numpy.ones(6), "beta": numpy.zeros(6)}

    def flat(value):
        levels = value * (1 + numpy.arange(6) / 7)[None, :, None, None]
        return Case(
            cell=normalisation.LIN(6),
            plain=lambda p, x: plain.lin(x, p["rho"], p["gamma"], p["beta"]),
            inputs=(float32(numpy.broadcast_to(levels, (2, 6, 16, 16))),),
            params=params,
        )

    errors = measure({f"{value}": flat(value) for value in (1.0, 5.3, 17.7, 100.7)})
    for outputs, gradients in errors.values():
        assert max(outputs) < 0.1 and gradients["input 0"] < 0.1, errors
        assert numpy.isfinite(list(gradients.values())).all(), errors


def check(errors):
    outputs, gradients = errors
    assert max(outputs) < VALUE, outputs
    assert max(gradients.values()) < GRADIENT, gradients
