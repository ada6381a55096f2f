"""The roofline by hand."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import mindspore
import pytest

from ugatit_train import runtime
from ugatit_train.performance import costs
from ugatit_train.performance.costs import Cost
from ugatit_train.performance.roofline import ASCEND, COPIES, KERNELS, Machine, bound_by_memory, floor_s, project

MACHINE = Machine(name="m", product_flop_per_s=100.0, bytes_per_s=10.0, source="")


def cost(flops, moved, is_product):
    return Cost(network="n", layer="l", kind="k", flops=flops, bytes=moved, is_product=is_product)


def test_a_layer_takes_the_longer_of_arithmetic_and_memory():
    assert floor_s([cost(300, 10, True)], MACHINE) == 3
    assert floor_s([cost(300, 50, True)], MACHINE) == 5
    assert floor_s([cost(300, 20, False)], MACHINE) == 2  # no product: memory alone counts
    both = [cost(300, 10, True), cost(300, 50, True), cost(300, 20, False)]
    assert floor_s(both, MACHINE) == 10
    assert bound_by_memory(both, MACHINE) == pytest.approx(0.7)


def test_the_published_ceilings_come_out_of_the_platform_files():
    """The cores' cycles give nearly Huawei's own figures for the 910, 256 TFLOP/s and 1.2 TB/s."""
    first, second = ASCEND
    assert first.machine("float16").product_flop_per_s == pytest.approx(256e12, rel=0.03)
    assert first.machine("float16").bytes_per_s == pytest.approx(1.2e12, rel=0.2)
    assert second.machine("float16").product_flop_per_s == pytest.approx(353.9e12, rel=0.001)
    assert second.machine("hf32").product_flop_per_s == second.machine("float16").product_flop_per_s / 2


def test_each_chip_has_the_precision_that_training_sets(monkeypatch):
    """`runtime.set_precision` and the projection agree on a chip's own precision, and on what it lacks."""
    recorder = SimpleNamespace(precision_mode=lambda _: None, conv_allow_hf32=lambda _: None)
    recorder.matmul_allow_hf32 = recorder.conv_allow_hf32
    monkeypatch.setattr(mindspore.device_context.ascend, "op_precision", recorder)
    monkeypatch.setattr(runtime, "device", lambda: "Ascend")
    for chip, name in zip(ASCEND, ("Ascend910A", "Ascend910B2"), strict=True):
        monkeypatch.setattr(mindspore.hal, "get_device_name", lambda _, name=name: name)
        assert runtime.set_precision(None) == chip.precision
        for precision in ("float32", "hf32", "float16"):
            has = precision in chip.multiply_adds
            with contextlib.nullcontext() if has else pytest.raises(runtime.DeviceError):
                runtime.set_precision(precision)


def test_a_projection_by_hand():
    """One convolution of one generator on the first 910: float16 bytes, casts each way, and the launches."""
    layer = costs.Layer(name="c", kind="conv", inputs=1000, outputs=2000, flops=0, weights=500)
    layers = {"genA2B": [layer, layer, layer]}
    chip = ASCEND[0]
    found = project(layers, 1, True, chip, efficiency=0.5)
    per_s = chip.machine("float16").bytes_per_s
    # A to B takes one image, then two: forward, weights' gradient, and the input's of what does not take an image
    passes = [n * 3000 + 500 for n in (1, 2)]
    moved = 2 * (passes[0] * (2 + 2 + 3) + passes[1] * 9)
    assert found.parts_s["convolutions"] == pytest.approx(moved / per_s / 0.5)
    cast = 6 * sum(3 * (n * (3000 + 2000) + 2 * 500) + inputs * n * 1000 for n, inputs in ((1, 1), (2, 3)))
    assert found.parts_s["casts"] == pytest.approx(cast / per_s / 0.5)
    assert found.parts_s["weights"] == pytest.approx(7 * 4 * 1500 / per_s / 0.5)  # Adam
    assert found.parts_s["loss scale"] == pytest.approx(5 * 4 * 1500 / per_s / 0.5)
    aclnn, aclop = KERNELS[True, True][0], KERNELS[True, True][1] + COPIES[True]
    assert found.launches_s == pytest.approx((aclnn * 5e-6 + aclop * 20e-6, aclnn * 10e-6 + aclop * 40e-6))
    assert found.step_s == pytest.approx([sum(found.parts_s.values()) + s for s in found.launches_s])
    wide = project(layers, 1, True, ASCEND[1])
    assert wide.precision == "hf32" and wide.parts_s["casts"] == 0
    assert sum(wide.launches_s) < sum(found.launches_s)


def test_the_discriminators_are_copied_and_kept_for_the_loss_scale():
    layer = costs.Layer(name="c", kind="linear", inputs=1, outputs=1, flops=0, weights=500)
    for chip, precision, copies, kept in ((ASCEND[1], "hf32", 2, 0), (ASCEND[0], "float16", 7, 5 + 21)):
        layers = {"disGA": [layer]}
        with_one = project(layers, 1, True, chip, precision=precision, efficiency=1.0, spectral_norm=False)
        per_s = chip.machine(precision).bytes_per_s
        assert with_one.parts_s["loss scale"] == pytest.approx(kept * 4 * 500 / per_s)
        adam_and_copies = with_one.parts_s["weights"] - sum(
            cost.bytes / per_s for cost in costs._layer_costs_of(layers, 1)
        )
        assert adam_and_copies == pytest.approx((7 + 2 * copies) * 4 * 500 / per_s)


def test_more_precision_takes_no_less_time():
    layers = costs.networks(ch=64, n_res=4, n_dis=6, height=256, width=256, img_ch=3, light=True)
    float32, hf32 = (project(layers, 1, True, ASCEND[1], precision=p).layers_s for p in ("float32", "hf32"))
    assert float32 > hf32
