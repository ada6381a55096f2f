"""The kernels that a step launches on Ascend: a budget, counted in the compiler's graph.

An aclnn kernel is launched directly, in 5 to 10 us; an aclop is compiled online and takes 20 to 40 us. Which is which,
MindSpore 2.10 chose for an Ascend 910B without a card; nothing was run on one. The graph does not depend on the
networks' width. MirrorPad stands for ReflectionPad2D, an aclnn that the CPU lacks: one kernel each way.
"""

import re
from collections import Counter

import mindspore
import numpy
import pytest
from mindspore import Tensor

from ugatit_train.networks.ugatit import Discriminator, Generator
from ugatit_train.performance.roofline import KERNELS
from ugatit_train.training.step import Step, StepSettings

from ..stepping import ASCEND_HERE

NO_KERNEL = {"MakeTuple", "TupleGetItem", "Depend", "UpdateState", "Load", "Reshape", "Return"}
ACLOP = {
    "AddN", "Adam", "Assign", "Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "FillV2", "RealDiv",
    "ReduceMean", "ReduceSum", "RsqrtGrad", "Stack", "StridedSlice", "StridedSliceGrad",
}  # fmt: skip
ACLNN = {
    "Abs", "Add", "AddExt", "AddScalar", "BroadcastTo", "Cast", "Concat", "Div", "Divs", "Equal", "Exp", "Expm1",
    "GroupNorm", "GroupNormGrad", "Log1p", "MatMul", "Maximum", "Minimum", "MirrorPad", "MirrorPadGrad", "Mul", "Muls",
    "Neg", "PReLU", "PReLUGrad", "ReLU", "Reciprocal", "ReduceMax", "ReluGrad", "Rsqrt", "Sign",
    "SplitWithSize", "Sqrt", "Sub", "SumExt", "Tanh", "TanhGrad", "Tile",
}  # fmt: skip


def kernels(graph):
    """How many of each primitive a file of the compiler's holds."""
    with graph.open() as lines:
        found = (re.match(r"\s+%\d+\([^)]*\) = (?:PrimFunc_)?(\w+)\(", line) for line in lines)
        counts = Counter(match[1] for match in found if match)
    return Counter({name: count for name, count in counts.items() if name not in NO_KERNEL})


@pytest.mark.parametrize("light", [True, False], ids=["light", "full"])
def test_a_step_keeps_to_the_budget_of_kernels(light, tmp_path, monkeypatch):
    monkeypatch.setenv("MS_DEV_DUMP_IR_PASSES", "validate")
    generators = [Generator(ASCEND_HERE, 1, 4, 256, 3, light) for _ in range(2)]
    discriminators = [Discriminator(ASCEND_HERE, 1, n_layers) for n_layers in (7, 7, 5, 5)]
    mindspore.set_context(save_graphs=1, save_graphs_path=str(tmp_path))
    try:
        image = Tensor(numpy.zeros((1, 3, 256, 256), numpy.float32))
        Step(generators, discriminators, StepSettings()).compile(image, image)
    finally:
        mindspore.set_context(save_graphs=0)
    (graph,) = tmp_path.rglob("*_validate_*.ir")
    found = kernels(graph)
    assert set(found) <= ACLOP | ACLNN
    assert 1000 < found.total() <= 4000
    aclop = sum(count for name, count in found.items() if name in ACLOP)
    assert aclop <= 1000
    assert (found.total() - aclop, aclop) == pytest.approx(KERNELS[light, False], rel=0.02), (
        "the projection counts others"
    )
