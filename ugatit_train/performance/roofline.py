"""The least time of a step by the roofline: every layer takes the longer of its FLOPs and its bytes at the ceilings.

The ceilings of this machine are measured (`ceilings.py`); those of Ascend processors are published figures, and what is
made of them are projections, not measurements.
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

    @property
    def ridge(self) -> float:
        """FLOPs a byte from which on a product is bound by arithmetic."""
        return self.product_flop_per_s / self.bytes_per_s


def _from_platform_file(name: str, file: str, cores: int, mhz: int) -> Machine:
    """From CANN's platform file: cores with a cube of 16 x 16 x 16 multiply-adds and 32 bytes of memory a cycle."""
    cycles = cores * mhz * 1e6
    return Machine(
        name=name,
        product_flop_per_s=cycles * 2 * 16**3,
        bytes_per_s=cycles * 32,
        source=f"CANN, platform_config/{file}: {cores} cores, cube 16x16x16 at {mhz} MHz, ddr_rate 32",
    )


# float16 products, to which CANN turns float32 convolutions by default. Huawei's own figure for the 910 is 256 TFLOP/s
# (launch of 2019), and 1.2 TB/s for its memory; for the 910B, figures between 280 and 354 TFLOP/s are in circulation.
ASCEND = (
    _from_platform_file("Ascend 910", "Ascend910A.ini", cores=32, mhz=1000),
    _from_platform_file("Ascend 910B", "Ascend910B2C.ini", cores=24, mhz=1800),
)
SEED_MS = 640.0  # full model, 256 px, batch 1, Ascend 910: the original project's own figure, without the data wait


def floor_s(costs: Iterable[Cost], machine: Machine) -> float:
    """Seconds that the step cannot go below without leaving out work or memory traffic."""
    return sum(_least_s(cost, machine) for cost in costs)


def bound_by_memory(costs: Iterable[Cost], machine: Machine) -> float:
    """The share of `floor_s` that layers take which memory bounds."""
    costs = list(costs)
    bound = [cost for cost in costs if cost.bytes / machine.bytes_per_s > _product_s(cost, machine)]
    return floor_s(bound, machine) / floor_s(costs, machine)


def _least_s(cost: Cost, machine: Machine) -> float:
    return max(_product_s(cost, machine), cost.bytes / machine.bytes_per_s)


def _product_s(cost: Cost, machine: Machine) -> float:
    # What is no matrix product runs on other units, and has so few FLOPs a byte that memory decides.
    return cost.flops / machine.product_flop_per_s if cost.is_product else 0.0
