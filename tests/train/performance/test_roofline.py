"""The roofline by hand."""

from __future__ import annotations

import pytest

from ugatit_train.performance.costs import Cost
from ugatit_train.performance.roofline import ASCEND, Machine, bound_by_memory, floor_s

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
    assert first.product_flop_per_s == pytest.approx(256e12, rel=0.03)
    assert first.bytes_per_s == pytest.approx(1.2e12, rel=0.2)
    assert second.product_flop_per_s == pytest.approx(353.9e12, rel=0.001)
