"""Generators and discriminators against the float64 reference, their initial weights, the smallest images."""

from functools import cache

import autograd.numpy as np
import mindspore as ms
import numpy
import pytest
from mindspore import Tensor, nn

from ugatit_train.forms import CPU, Forms
from ugatit_train.networks.ugatit import Discriminator, Generator, initialise
from ugatit_train.options.config import OptionError, Options, smallest_image

from .. import reference as ref
from .. import reference_init as init
from .. import reference_networks as reference
from ..judge import Judge
from ..parity import Case, float32, measure

GENERATORS = {
    "full_reflect": {"light": False, "padding": "reflect", "img_ch": 3},
    "full_zero_gray": {"light": False, "padding": "zero", "img_ch": 1},
    "light_reflect_gray": {"light": True, "padding": "reflect", "img_ch": 1},
    "light_zero": {"light": True, "padding": "zero", "img_ch": 3},
    "light_reflect_plain": {"light": True, "padding": "reflect", "img_ch": 3, "forms": Forms()},
}
DISCRIMINATORS = {
    "normed_reflect": {"spectral_norm": True, "padding": "reflect", "img_ch": 3, "n_layers": 4},
    "normed_zero_gray": {"spectral_norm": True, "padding": "zero", "img_ch": 1, "n_layers": 3},
    "not_normed_zero": {"spectral_norm": False, "padding": "zero", "img_ch": 3, "n_layers": 4},
    "normed_reflect_plain": {
        "spectral_norm": True,
        "padding": "reflect",
        "img_ch": 3,
        "n_layers": 3,
        "forms": Forms(),
    },  # fmt: skip
}


def one_by_one(network, x):
    """The network's outputs for a batch, each sample run alone."""
    outputs = [network(x[k : k + 1]) for k in range(x.shape[0])]
    return tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True))


def random_state(seed, light=True, img_ch=3, n_layers=4):
    """Reference parameters and u of a generator of 16 pixels and of a discriminator, rounded to float32."""
    params, u = init.init_weights(numpy.random.default_rng(seed), 4, 1, n_layers - 1, 16, img_ch, light)
    return {k: float32(v) for k, v in params.items()}, {k: float32(v) for k, v in u.items()}


def images(seed, img_ch, width=16):
    return float32(numpy.random.default_rng(seed).uniform(-1, 1, (2, img_ch, 16, width)))


def generator_case(light, padding, img_ch, forms=CPU):
    options = ref.Options(padding=padding)
    params, _ = random_state(1, light, img_ch)
    return Case(
        cell=Generator(forms, 4, 1, 16, img_ch, light, padding),
        plain=lambda p, x: one_by_one(lambda sample: reference.generator(p, sample, options), x),
        inputs=(images(2, img_ch, 24 if light else 16),),  # the light one takes any size
        params=ref.scope(params, "genA2B"),
    )


def discriminator_case(spectral_norm, padding, img_ch, n_layers, forms=CPU):
    options = ref.Options(padding=padding, spectral_norm=spectral_norm)
    params, u = random_state(3, img_ch=img_ch, n_layers=n_layers)
    _, vectors = ref.iterate(params, u)
    params, u = ref.scope(params, "disGA"), ref.scope(u, "disGA")

    def form(named, x):
        p = {k.removeprefix("discriminator."): v for k, v in named.items()}
        return one_by_one(lambda sample: reference.discriminator(p, vectors["disGA"], sample, options)[:2], x)

    return Case(
        cell=Judge(Discriminator(forms, 4, n_layers, img_ch, padding, spectral_norm)),
        plain=form,
        inputs=(images(4, img_ch, 24),),
        params={f"discriminator.{k}": v for k, v in {**params, **u}.items()},
    )


@cache
def generator_errors():
    return measure({name: generator_case(**options) for name, options in GENERATORS.items()})


@cache
def discriminator_errors():
    return measure({name: discriminator_case(**options) for name, options in DISCRIMINATORS.items()})


@pytest.mark.parametrize("name", GENERATORS)
def test_a_batch_through_the_generator_is_its_samples_one_by_one(name):
    check(generator_errors()[name])


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_batch_through_the_discriminator_is_its_samples_one_by_one(name):
    check(discriminator_errors()[name])


def check(errors):
    outputs, gradients = errors
    assert max(outputs) < 1e-5, outputs
    assert max(gradients.values()) < 1e-3, {k: e for k, e in gradients.items() if e >= 1e-3}


# Initial weights


def parameters(cell):
    return {name: p.asnumpy().copy() for name, p in cell.parameters_and_names()}


def initialised(cell, seed=11):
    initialise(cell, seed)
    return parameters(cell)


class Pair(nn.Cell):
    def __init__(self):
        super().__init__()
        self.first, self.second = Generator(CPU, 16, 1, 16, light=True), Discriminator(CPU, 16, 4)


@pytest.fixture(scope="module")
def pair():
    return initialised(Pair())


def test_weights_depend_on_the_seed_and_nothing_else(pair):
    for name, value in initialised(Pair()).items():
        numpy.testing.assert_array_equal(value, pair[name], err_msg=name)
    other = initialised(Pair(), seed=12)
    drawn = [name for name in pair if name.endswith((".weight", ".bias", ".u")) and pair[name].size > 1]
    assert len(drawn) > 20
    assert not [name for name in drawn if (other[name] == pair[name]).any()]


def test_weights_of_one_shape_differ_by_their_name(pair):
    two = nn.CellList([Generator(CPU, 4, 1, 16, light=True) for _ in range(2)])
    values = initialised(two) | {k: v for k, v in pair.items() if k.endswith(".u")}
    drawn = {k: v for k, v in values.items() if k.endswith((".weight", ".bias", ".u")) and v.size > 1}
    by_shape = {}
    for name, value in drawn.items():
        for other in by_shape.setdefault(value.shape, []):
            assert not (value == drawn[other]).any(), (name, other)
        by_shape[value.shape].append(name)
    assert max(len(names) for names in by_shape.values()) >= 8


def test_weights_are_uniform_in_pytorchs_default_bound(pair):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), fan_in being C * k * k of the layer, for its weight and its bias."""
    for name, value in pair.items():
        if not name.endswith((".weight", ".bias")):
            continue
        weight = pair[name.removesuffix("bias") + "weight"] if name.endswith(".bias") else value
        bound = 1 / numpy.sqrt(numpy.prod(weight.shape[1:]))
        assert numpy.abs(value).max() <= bound * (1 + 1e-6), name
        if value.size >= 400:
            assert numpy.abs(value).max() > 0.97 * bound, name
            assert abs(value.mean()) < 0.2 * bound, name
            assert value.std() == pytest.approx(bound / numpy.sqrt(3), rel=0.1), name


def test_u_are_unit_vectors_and_the_norms_begin_as_in_the_paper(pair):
    us = {name: value for name, value in pair.items() if name.endswith(".u")}
    assert len(us) == 6  # three convolutions, two classifiers, the last convolution
    for name, u in us.items():
        assert numpy.linalg.norm(u) == pytest.approx(1, rel=1e-6), name
    start = {"adares.0.norm1.rho": 0.9, "adares.0.norm2.rho": 0.9}
    for up in ("up0", "up1"):
        start |= {f"{up}.norm.rho": 0.0, f"{up}.norm.gamma": 1.0, f"{up}.norm.beta": 0.0}
    for name, value in start.items():
        assert (pair[f"first.{name}"] == numpy.float32(value)).all(), name


# Sizes


@pytest.mark.parametrize("n_layers", [3, 4])
def test_smallest_image_fits_and_one_pixel_less_does_not(n_layers, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)  # a graph that does not compile leaves a file behind
    judge = Judge(Discriminator(CPU, 2, n_layers))
    initialise(judge, 1)
    size = smallest_image(n_layers)
    assert size == 3 * 2 ** (n_layers - 2)

    logit, cam_logit = judge(Tensor(images(5, 3)[:, :, :size, :size], ms.float32))
    assert logit.shape == (2, 1, 1, 1) and cam_logit.shape == (2, 2)
    with pytest.raises(ValueError, match="paddings must be no greater than the dimension size"):
        judge(Tensor(images(5, 3)[:, :, : size - 1, : size - 1], ms.float32))


@pytest.mark.parametrize("n_dis", [4, 5, 6])
def test_the_options_ask_for_the_smallest_image_of_the_global_discriminator(n_dis):
    size = smallest_image(n_dis + 1)
    assert Options(n_dis=n_dis, img_size=size).img_size == size
    with pytest.raises(OptionError, match=f"--img_size {size} or more"):
        Options(n_dis=n_dis, img_size=size - 4)
