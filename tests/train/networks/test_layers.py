"""Every layer in each of its forms against a plain float64 function: values, and gradients for inputs and weights.

What a form rewrites is compared with what it stands for: convolution as matmul, AdaLIN as one scale and shift,
CAM folded into its 1 x 1 weight, spectral norm divided out of the result in place of the weight.
"""

import dataclasses
from functools import cache

import autograd.numpy as np
import numpy
import pytest
from autograd.tracer import getval
from mindspore import nn

from ugatit_train.forms import ASCEND, CPU, Forms, form_for
from ugatit_train.networks import convolution, layers, normalisation, padding, ugatit

from .. import reference_networks as plain
from ..parity import Case, float32, measure

# Each form that the CPU does not take, alone.
CPU_BUT = {
    (field, value): dataclasses.replace(CPU, **{field: value})
    for field, value in [
        ("convolution", "operator"), ("tiles", False), ("upsampling", "large"), ("padding", "slices"),
        ("instance_norm", "moments"), ("instance_norm", "group_norm"), ("adalin", "folded"),
        ("adalin", "groups"), ("adalin", "unfolded"), ("leaky_relu", "operator"),
        ("leaky_relu", "prelu"), ("cam", "doubled"), ("sigma", "weight"), ("sigma", "own"),
    ]
}  # fmt: skip

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


class Call(nn.Cell):
    """A function as a Cell."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def construct(self, *inputs):
        return self.function(*inputs)


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
        add("valid_conv", convolution.valid_conv(CPU, c_in, c_out, k, stride), c_in, c_out, k, stride, h, w)
    for c_in, c_out, k, stride, h, w in CONVOLUTIONS[1:3]:
        operator = convolution.valid_conv(CPU_BUT["convolution", "operator"], c_in, c_out, k, stride)
        add("operator", Call(operator), c_in, c_out, k, stride, h, w)
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


def test_a_convolution_in_float16_takes_and_gives_float32_and_keeps_three_digits():
    random = numpy.random.default_rng(9)
    half = convolution.valid_conv(Forms(half=True), 4, 6, 3)
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
    small, weight = normal(3, 6, 5, 4), normal(4, 6, 3, 3)

    def pad(name, forms, p, mode):
        cell = padding.Pad(forms, p, mode)
        cases[name] = Case(cell=cell, plain=lambda _, x: plain.pad(x, p, mode), inputs=(x,))

    def padded_conv_made_again(name, k, stride, mode):
        cell, weight = ugatit.PaddedConv(Forms(), 6, 4, k, mode, stride), normal(4, 6, k, k)
        cell.again.saves_memory = True
        cases[name] = Case(
            cell=cell,
            plain=lambda p, x: plain.conv2d(plain.pad(x, k // 2, mode), p["weight"], stride),
            inputs=(x,),
            params={"weight": weight},
        )

    def upsampled_conv(name, forms, mode, batch, again=False):
        cell = layers.UpsampledConv(forms, 6, 4, mode)
        cell.again.saves_memory = again
        cases[name] = Case(
            cell=cell,
            plain=lambda p, x: plain.conv2d(plain.pad(plain.upsample(x), 1, mode), p["weight"], 1),
            inputs=(batch,),
            params={"weight": weight},
        )

    def instance_norm(name, forms):
        cell = normalisation.InstanceNorm(forms)
        cases[name] = Case(cell=cell, plain=lambda _, x: plain.instance_norm(x), inputs=(offset,))

    def adalin(name, forms, x):
        cases[name] = Case(
            cell=normalisation.AdaLIN(forms, 6),
            plain=lambda p, x, gamma, beta: plain.adalin(x, p["rho"], gamma, beta),
            inputs=(x, gamma, beta),
            params={"rho": rho},
        )

    def lin(name, forms):
        cases[name] = Case(
            cell=normalisation.LIN(forms, 6),
            plain=lambda p, x: plain.lin(x, p["rho"], p["gamma"], p["beta"]),
            inputs=(offset,),
            params={"rho": near(0.5, 6), "gamma": near(1, 6), "beta": normal(6)},
        )

    def leaky_relu(name, forms):
        cell = Call(layers.leaky_relu(forms))
        cases[name] = Case(cell=cell, plain=lambda _, x: plain.leaky_relu(x), inputs=(x,))

    def attention(name, forms):
        cases[name] = Case(
            cell=layers.Attention(forms, 6),
            plain=lambda p, x, gap, gmp: plain.cam(x, gap, gmp, gap, gmp, p["weight"], p["bias"])[0],
            inputs=(x, normal(1, 6), normal(1, 6)),
            params={"weight": normal(6, 12, 1, 1), "bias": normal(6)},
        )

    def spectral(name, forms):
        cases[f"spectral_conv{name}"] = Case(
            cell=Normed(layers.SpectralConv(forms, 6, 8, 4, stride=2, bias=True)),
            plain=normed(lambda x, weight, p: with_bias(plain.conv2d(x, weight, 2), p["layer.bias"])),
            inputs=(x,),
            params=conv | u,
        )
        cases[f"spectral_conv_of_one_channel{name}"] = Case(
            cell=Normed(layers.SpectralConv(forms, 6, 1, 4)),
            plain=normed(lambda x, weight, p: plain.conv2d(x, weight)),
            inputs=(x,),
            params=last,
        )
        cases[f"spectral_linear{name}"] = Case(
            cell=Normed(layers.SpectralLinear(forms, 6, 3)),
            plain=normed(lambda x, weight, p: plain.linear(x, weight)),
            inputs=(normal(2, 6),),
            params=linear,
        )

    cases: dict[str, Case] = {}
    for mode in ("reflect", "zero"):
        for p in (1, 3):
            pad(f"pad_{p}_{mode}", CPU, p, mode)
            pad(f"pad_{p}_{mode}_of_slices", CPU_BUT["padding", "slices"], p, mode)
        for batch in (small, small[:1]):
            upsampled_conv(f"upsampled_conv_{mode}_{len(batch)}", CPU, mode, batch)
            upsampled_conv(f"upsampled_conv_on_the_small_map_{mode}_{len(batch)}", CPU_BUT["tiles", False], mode, batch)
            upsampled_conv(f"upsampled_conv_plain_{mode}_{len(batch)}", Forms(), mode, batch)
        upsampled_conv(f"upsampled_conv_made_again_{mode}", Forms(), mode, small, again=True)
        padded_conv_made_again(f"padded_conv_made_again_{mode}", 3, 2, mode)
        sliced = dataclasses.replace(CPU, tiles=False, padding="slices")
        upsampled_conv(f"upsampled_conv_on_the_small_map_{mode}_of_slices", sliced, mode, small)
    instance_norm("instance_norm", CPU)
    instance_norm("instance_norm_by_group_norm", CPU_BUT["instance_norm", "group_norm"])
    instance_norm("instance_norm_by_moments", CPU_BUT["instance_norm", "moments"])
    for form in ("maps", "folded", "groups", "unfolded"):
        forms = dataclasses.replace(CPU, adalin=form)
        adalin(f"adalin_{form}", forms, offset)
        adalin(f"adalin_{form}_of_maps_far_above_their_deviation", forms, offset + 30)
        lin(f"lin_{form}", forms)
    leaky_relu("leaky_relu", CPU)
    leaky_relu("leaky_relu_by_prelu", CPU_BUT["leaky_relu", "prelu"])
    leaky_relu("leaky_relu_operator", CPU_BUT["leaky_relu", "operator"])
    attention("attention_with_cam_folded_into_its_weight", CPU)
    attention("attention_of_the_doubled_map", CPU_BUT["cam", "doubled"])
    spectral("_divides_its_result_by_sigma", CPU)
    spectral("_divides_its_result_by_sigma_with_a_backward_of_its_own", CPU_BUT["sigma", "own"])
    spectral("_divides_its_weight_by_sigma", CPU_BUT["sigma", "weight"])
    cases |= {
        "upsample": Case(cell=Call(layers.upsample), plain=lambda _, x: plain.upsample(x), inputs=(x,)),
        "pool": Case(
            cell=Call(layers.pool),
            plain=lambda _, x: (np.mean(x, axis=(2, 3)), np.max(x, axis=(2, 3))),
            inputs=(x,),
        ),
        "linear": Case(
            cell=layers.Linear(6, 3),
            plain=lambda p, x: plain.linear(x, p["weight"]),
            inputs=(normal(2, 6),),
            params={"weight": normal(3, 6)},
        ),
        "conv_with_bias": Case(
            cell=layers.Conv(CPU, 6, 4, 3, stride=2, bias=True),
            plain=lambda p, x: with_bias(plain.conv2d(x, p["weight"], 2), p["bias"]),
            inputs=(x,),
            params={"weight": normal(4, 6, 3, 3), "bias": normal(4)},
        ),
        "spectral_conv_without_the_norm": Case(
            cell=Unnormed(layers.SpectralConv(CPU, 6, 8, 4, stride=2, bias=True)),
            plain=lambda p, x: with_bias(plain.conv2d(x, p["layer.weight"], 2), p["layer.bias"]),
            inputs=(x,),
            params=conv,
        ),
        "spectral_linear_without_the_norm": Case(
            cell=Unnormed(layers.SpectralLinear(CPU, 6, 3)),
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
def test_a_layer_is_its_plain_function(name):
    check(other_errors()[name])


def test_flat_maps_stay_finite():
    """Only the rounding of their mean is left of them, which the division by sqrt(EPS) makes 300 times larger."""
    params = {"rho": numpy.full(6, 0.5), "gamma": numpy.ones(6), "beta": numpy.zeros(6)}

    def flat(value):
        levels = value * (1 + numpy.arange(6) / 7)[None, :, None, None]
        return Case(
            cell=normalisation.LIN(CPU, 6),
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


# What a device gets


def test_the_cpu_and_ascend_take_forms_of_their_own_and_a_gpu_the_plain_ones():
    assert form_for("CPU") == CPU
    assert form_for("Ascend") == ASCEND
    assert form_for("Ascend", half=True) == dataclasses.replace(ASCEND, half=True)
    assert form_for("Ascend", any_size=True) == Forms()  # its operators are compiled for one size
    assert form_for("GPU") == form_for("GPU", any_size=True) == Forms()
    assert form_for("GPU", half=True) == Forms(half=True)
    assert form_for("CPU", any_size=True) == CPU_BUT["tiles", False]


@pytest.mark.parametrize("change", [{"cam": "fold"}, {"padding": None}, {"tiles": 2}])
def test_a_form_that_no_operator_has_is_refused(change):
    with pytest.raises(ValueError, match=f"{[*change][0]}=.*: give one of"):
        Forms(**change)


@pytest.mark.parametrize("change", [{"convolution": "matmul"}, {"tiles": True}, {"upsampling": "small"}])
def test_float16_is_refused_where_a_form_would_leave_it_out(change):
    with pytest.raises(ValueError, match="half=True needs"):
        Forms(half=True, **change)
    with pytest.raises(ValueError, match="half=True needs"):
        form_for("CPU", half=True)
