"""The least time of a step by the roofline model: a layer takes as long as its FLOPs or bytes, whichever is more.

This machine's ceilings are measured (`ceilings.py`). Those of Ascend processors are published figures, so times for
them are projections, not measurements.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ugatit_train.performance.costs import Cost


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine can do at most."""

    name: str
    product_flop_per_s: float  # matrix products and convolutions
    bytes_per_s: float
    source: str


def _from_platform_file(name: str, file: str, cores: int, mhz: int) -> Machine:
    """From CANN's platform file: each cycle, a core does 16 x 16 x 16 multiply-adds and moves 32 bytes."""
    cycles = cores * mhz * 1e6
    return Machine(
        name=name,
        product_flop_per_s=cycles * 2 * 16**3,
        bytes_per_s=cycles * 32,
        source=f"CANN, platform_config/{file}: {cores} cores, cube 16x16x16 at {mhz} MHz, ddr_rate 32",
    )


# Of float16 products: CANN computes float32 convolutions so by default. Huawei's own figures for the 910 (launch of
# 2019) are 256 TFLOP/s and 1.2 TB/s. For the 910B, sources give 280 to 354 TFLOP/s.
ASCEND = (
    _from_platform_file("Ascend 910", "Ascend910A.ini", cores=32, mhz=1000),
    _from_platform_file("Ascend 910B", "Ascend910B2C.ini", cores=24, mhz=1800),
)
MODEL_ZOO_MS = 640.0  # milliseconds of a step: the model zoo's figure; full, 256 px, batch 1, Ascend 910, no data wait


def floor_s(costs: Iterable[Cost], machine: Machine) -> float:
    """Seconds that a step takes at least, unless work or memory traffic is left out."""
    return sum(_least_s(cost, machine) for cost in costs)


def bound_by_memory(costs: Iterable[Cost], machine: Machine) -> float:
    """The share of `floor_s` that is spent in layers bound by memory."""
    costs = list(costs)
    bound = [cost for cost in costs if cost.bytes / machine.bytes_per_s > _product_s(cost, machine)]
    return floor_s(bound, machine) / floor_s(costs, machine)


def _least_s(cost: Cost, machine: Machine) -> float:
    return max(_product_s(cost, machine), cost.bytes / machine.bytes_per_s)


def _product_s(cost: Cost, machine: Machine) -> float:
    # Other layers run on other units, and have so few FLOPs per byte that memory decides.
    return cost.flops / machine.product_flop_per_s if cost.is_product else 0.0
