"""Counts of FLOPs, bytes and weights against counts by hand, and against the networks' own weights."""

from __future__ import annotations

import pytest

from ugatit_train.forms import CPU
from ugatit_train.networks.ugatit import Discriminator, Generator
from ugatit_train.performance import costs

SHAPE = {"height": 256, "width": 256, "img_ch": 3}
LIGHT = costs.generator_layers(ch=64, n_res=4, light=True, **SHAPE)
FULL = costs.generator_layers(ch=64, n_res=4, light=False, **SHAPE)
GLOBAL = costs.discriminator_layers(ch=64, n_layers=7, **SHAPE)


@pytest.mark.parametrize(
    ("layers", "name", "kind", "inputs", "outputs", "weights", "flops"),
    [
        (LIGHT, "down0.pad", "pad", 3 * 256**2, 3 * 262**2, 0, 0),
        (LIGHT, "down0", "conv", 3 * 262**2, 64 * 256**2, 64 * 3 * 49, 2 * 64 * 3 * 49 * 256**2),
        (LIGHT, "down1", "conv", 64 * 258**2, 128 * 128**2, 128 * 64 * 9, 2 * 128 * 64 * 9 * 128**2),
        (LIGHT, "down1.norm", "norm", 128 * 128**2, 128 * 128**2, 0, 8 * 128 * 128**2),
        (LIGHT, "res.3.conv2", "conv", 256 * 66**2, 256 * 64**2, 256 * 256 * 9, 2 * 256 * 256 * 9 * 64**2),
        (LIGHT, "res.3.add", "add", 256 * 64**2, 256 * 64**2, 0, 256 * 64**2),
        (LIGHT, "cam.pool", "pool", 256 * 64**2, 512, 0, 2 * 256 * 64**2),
        (LIGHT, "cam.conv1x1", "conv", 512 * 64**2, 256 * 64**2, 512 * 256 + 256, 2 * 512 * 256 * 64**2),
        (LIGHT, "fc1", "linear", 256, 256, 256**2, 2 * 256**2),
        (FULL, "fc1", "linear", 256 * 64**2, 256, 256**2 * 64**2, 2 * 256**2 * 64**2),
        (LIGHT, "up1.upsample", "upsample", 128 * 128**2, 128 * 256**2, 0, 0),
        (LIGHT, "up1.conv", "conv", 128 * 258**2, 64 * 256**2, 64 * 128 * 9, 2 * 64 * 128 * 9 * 256**2),
        (LIGHT, "out.activation", "activation", 3 * 256**2, 3 * 256**2, 0, 3 * 256**2),
        (GLOBAL, "convs.1", "conv", 64 * 130**2, 128 * 64**2, 128 * 64 * 16 + 128, 2 * 128 * 64 * 16 * 64**2),
        (GLOBAL, "convs.5", "conv", 1024 * 10**2, 2048 * 7**2, 2048 * 1024 * 16 + 2048, 2 * 2048 * 1024 * 16 * 7**2),
        (GLOBAL, "conv", "conv", 2048 * 9**2, 6**2, 2048 * 16, 2 * 2048 * 16 * 6**2),
    ],
)
def test_one_layer_of_each_kind_by_hand(layers, name, kind, inputs, outputs, weights, flops):
    layer = next(layer for layer in layers if layer.name == name)
    assert (layer.kind, layer.inputs, layer.outputs, layer.weights) == (kind, inputs, outputs, weights)
    assert layer.flops == flops


def test_a_small_upsampling_takes_four_2x2_convolutions_of_the_small_map():
    small = costs.generator_layers(ch=64, n_res=4, light=True, small_upsampling=True, **SHAPE)
    flops = next(layer.flops for layer in small if layer.name == "up1.conv")
    assert flops == 4 * 2 * 64 * 128 * 4 * 128**2


@pytest.mark.parametrize("light", [True, False])
def test_weights_are_those_of_the_networks(light):
    """Product layers only: the few numbers for each channel of norms and spectral norm are not counted."""
    layers = costs.generator_layers(ch=4, n_res=2, height=32, width=32, img_ch=1, light=light)
    own = Generator(CPU, 4, 2, 32, 1, light).trainable_params()
    assert sum(layer.weights for layer in layers) == sum(p.size for p in own if p.name.endswith(("weight", "bias")))
    layers = costs.discriminator_layers(ch=4, n_layers=5, height=32, width=32, img_ch=1)
    assert sum(layer.weights for layer in layers) == sum(p.size for p in Discriminator(CPU, 4, 5, 1).trainable_params())


def test_the_backward_of_a_layer_by_hand():
    """down1: forward, input gradient and weight gradient in both passes of genA2B; down0 has no input gradient once."""
    layers = {"genA2B": LIGHT}
    found = [cost for cost in costs._layer_costs_of(layers, batch=1) if cost.layer in ("down0", "down1")]
    flops = {name: 2 * c_out * c_in * kk * pixels**2
             for name, c_out, c_in, kk, pixels in (("down0", 64, 3, 49, 256), ("down1", 128, 64, 9, 128))}  # fmt: skip
    by_layer = [(cost.layer, cost.flops) for cost in found]
    assert by_layer == [
        ("down0", 2 * 2 * flops["down0"]), ("down1", 2 * 3 * flops["down1"]),  # two samples, a and b
        ("down0", 3 * flops["down0"]), ("down1", 3 * flops["down1"]),  # the cycle
    ]  # fmt: skip
    moved, weights = 64 * 258**2 + 128 * 128**2, 128 * 64 * 9
    assert found[1].bytes == 4 * 3 * (2 * moved + weights)


def test_a_step_is_what_the_hand_count_of_the_design_says():
    """131 / 530 / 2,146 GFLOP at 64 / 128 / 256 px, counted by hand before this code was written."""
    for size, n_dis, expected in ((64, 5, 131e9), (128, 6, 530e9), (256, 6, 2146e9)):
        layers = costs.networks(ch=64, n_res=4, n_dis=n_dis, height=size, width=size, img_ch=3, light=True)
        found = costs.step_costs(layers, batch=1)
        assert sum(cost.flops for cost in found if cost.is_product) == pytest.approx(expected, rel=0.01)


def test_adam_and_spectral_norm_move_the_weights():
    layers = costs.networks(ch=64, n_res=4, n_dis=6, light=True, **SHAPE)
    found = {(cost.network, cost.kind): cost for cost in costs.step_costs(layers, batch=1)}
    weights = sum(layer.weights for layer in GLOBAL)
    assert found["disGA", "adam"].bytes == 7 * 4 * weights
    normed = weights - (2 * 2048 * 2048 + 2048) - (64 + 128 + 256 + 512 + 1024 + 2048)
    assert found["disGA", "spectral_norm"].bytes == 5 * 4 * normed
    assert ("genA2B", "spectral_norm") not in found
    without = costs.step_costs(layers, batch=1, spectral_norm=False)
    assert not [cost for cost in without if cost.kind == "spectral_norm"]
