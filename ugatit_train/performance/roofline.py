"""The least time of a step by the roofline model: a layer takes as long as its FLOPs or bytes, whichever is more.

This machine's ceilings are measured (`ceilings.py`). Those of Ascend processors are published figures, so times for
them, at a share of their roofline and with the launches of a step's kernels, are projections: nothing ran on a card.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ugatit_train.forms import form_for
from ugatit_train.performance.costs import Cost, Layer, step_costs
from ugatit_train.runtime import Precision


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine can do at most."""

    name: str
    product_flop_per_s: float  # matrix products and convolutions
    bytes_per_s: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Chip:
    """An Ascend processor as CANN's platform file has it: in a cycle a core moves 32 bytes."""

    name: str
    file: str
    cores: int
    mhz: int
    precision: Precision  # of convolutions, by default (`runtime.set_precision`)
    multiply_adds: dict[Precision, int]  # of a core's cube in a cycle
    cards_gb: tuple[int, ...]  # memory of its cards

    def machine(self, precision: Precision) -> Machine:
        cycles = self.cores * self.mhz * 1e6
        return Machine(
            name=self.name,
            product_flop_per_s=cycles * 2 * self.multiply_adds[precision],
            bytes_per_s=cycles * 32,
            source=f"CANN, platform_config/{self.file}: {self.cores} cores, cube 16x16x16 (float16) at {self.mhz} MHz, "
            f"ddr_rate 32; {precision}: {self.multiply_adds[precision]} multiply-adds a cycle",
        )


# Huawei's own figures for the 910 (launch of 2019) are 256 TFLOP/s in float16 and 1.2 TB/s. For the 910B, sources give
# 280 to 354 TFLOP/s in float16. Its rates of HF32 and float32, a half and a quarter of that, are assumed: no published
# figure was found. Were HF32 a quarter too, the convolutions would take 1.8 times as long.
ASCEND = (
    Chip(
        name="Ascend 910", file="Ascend910A.ini", cores=32, mhz=1000, precision="float16",
        multiply_adds={"float16": 16**3}, cards_gb=(32,),
    ),
    Chip(
        name="Ascend 910B", file="Ascend910B2C.ini", cores=24, mhz=1800, precision="hf32",
        multiply_adds={"float16": 16**3, "hf32": 16**3 // 2, "float32": 16**3 // 4}, cards_gb=(32, 64),
    ),
)  # fmt: skip
# Milliseconds of a step at 256 px, batch 1, on an Ascend 910, as others report them: the users' of the original project
# (full model, no data wait), and the model zoo's CycleGAN (MindSpore 1.2).
USERS_MS, CYCLEGAN_MS = 640.0, 123.0

# Seconds to launch one kernel: an aclnn directly, an aclop, which is compiled online. Stated, not measured.
ACLNN_S, ACLOP_S = (5e-6, 10e-6), (20e-6, 40e-6)
# (aclnn, aclop) kernels of a step of the sizes COUNTED, of the light model or not, with convolutions in float16 or
# not: counted in the compiler's graph, as tests/train/training/test_kernels.py does. float16 adds 697 casts, and a
# dynamic loss scale looks at each gradient and selects each new weight and moment.
# In float16 other numbers were counted once; the step has changed since by as much as in float32, and so have these.
KERNELS = {
    (True, False): (2742, 832),
    (False, False): (2739, 826),
    (True, True): (4437, 1019),
    (False, True): (4434, 1013),
}
# Beside them TensorMove, an aclop: MindSpore copies what a step reads several times, but on the CPU, where the count is
# made, `runtime.setup` turns that off.
COPIES = {False: 160, True: 462}  # with convolutions in float16, or not
COUNTED = {"n_res": 4, "n_dis": 6}

_PARTS = {
    "conv": "convolutions",
    "cast": "casts",
    "loss_scale": "loss scale",
    **dict.fromkeys(("linear", "adam", "spectral_norm", "copy"), "weights"),
}
PARTS = ("convolutions", "casts", "other layers", "weights", "loss scale")


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Seconds of a step on a chip, by part, and of its launches, at least and at most. Never measured."""

    chip: str
    precision: Precision
    efficiency: float
    parts_s: dict[str, float]  # `PARTS`; weights: all that weights' bytes bind: linear, Adam, spectral norm, copies
    launches_s: tuple[float, float]

    @property
    def layers_s(self) -> float:
        return sum(self.parts_s.values())

    @property
    def step_s(self) -> tuple[float, float]:
        """With all launches added. Those that a busy card hides, because they are made ahead, shorten it."""
        low, high = self.launches_s
        return self.layers_s + low, self.layers_s + high


def project(
    layers: dict[str, list[Layer]], batch: int, light: bool, chip: Chip, *,
    precision: Precision | None = None, efficiency: float = 0.3, spectral_norm: bool = True,
) -> Projection:  # fmt: skip
    """A step of `layers` (as `costs.networks` gives them) in Ascend's forms, at a share of the chip's roofline.

    `precision` of None is the chip's own.
    """
    precision = precision or chip.precision
    forms = form_for("Ascend", half=precision == "float16")
    machine = chip.machine(precision)
    parts = dict.fromkeys(PARTS, 0.0)
    for cost in step_costs(layers, batch, spectral_norm, forms):
        parts[_PARTS.get(cost.kind, "other layers")] += _least_s(cost, machine) / efficiency
    aclnn, aclop = KERNELS[light, forms.half]
    low, high = (
        aclnn * direct + (aclop + COPIES[forms.half]) * compiled
        for direct, compiled in zip(ACLNN_S, ACLOP_S, strict=True)
    )
    return Projection(
        chip=chip.name, precision=precision, efficiency=efficiency, parts_s=parts, launches_s=(low, high)
    )  # fmt: skip


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
