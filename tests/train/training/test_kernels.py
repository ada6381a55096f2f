"""The kernels that a step launches on Ascend: a budget, counted in the compiler's graph.

An aclnn kernel is launched directly, in 5 to 10 us; an aclop is compiled online and takes 20 to 40 us. Which is which,
MindSpore 2.10 chose for an Ascend 910B without a card; nothing was run on one. The graph does not depend on the
networks' width. MirrorPad stands for ReflectionPad2D, an aclnn that the CPU lacks: one kernel each way.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import mindspore
import numpy
import pytest
from mindspore import ParameterTuple, Tensor, nn

from ugatit_train import runtime
from ugatit_train.networks.ugatit import Discriminator, Generator
from ugatit_train.performance.roofline import COPIES, KERNELS
from ugatit_train.training.step import Step, StepSettings

from .. import graphs
from ..stepping import ASCEND_HERE

ACLOP = {
    "AddN", "Adam", "Assign", "Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "FillV2", "RealDiv",
    "ReduceMean", "ReduceSum", "RsqrtGrad", "Stack", "StridedSlice", "StridedSliceGrad", "TensorMove",
}  # fmt: skip
ACLNN = {
    "Abs", "Add", "AddExt", "AddScalar", "BroadcastTo", "Cast", "Concat", "Div", "Divs", "Equal", "Exp", "Expm1",
    "GroupNorm", "GroupNormGrad", "Log1p", "MatMul", "Maximum", "Minimum", "MirrorPad", "MirrorPadGrad", "Mul", "Muls",
    "Neg", "PReLU", "PReLUGrad", "ReLU", "Reciprocal", "ReduceMax", "ReluGrad", "Rsqrt", "Sign",
    "SplitWithSize", "Sqrt", "Sub", "SumExt", "Tanh", "TanhGrad", "Tile",
}  # fmt: skip


COUNT = """
import json, os, sys
from ugatit_train import runtime
runtime.setup("CPU")
del os.environ["MS_DEV_SIDE_EFFECT_LOAD_ELIM"]
from train.training.test_kernels import compiled
print(json.dumps(compiled(sys.argv[1], 4, 256, (7, 7, 5, 5)).kernels()))
"""


def compiled(folder, n_res, size, n_layers):
    """The graph of a step of the light model."""
    generators = [Generator(ASCEND_HERE, 1, n_res, size, 3, light=True) for _ in range(2)]
    discriminators = [Discriminator(ASCEND_HERE, 1, n) for n in n_layers]
    image = Tensor(numpy.zeros((1, 3, size, size), numpy.float32))
    with graphs.saving(folder) as found:
        Step(generators, discriminators, StepSettings()).compile(image, image)
    return found


@pytest.fixture(scope="module")
def light_kernels(tmp_path_factory):
    """Of the light model, with MindSpore's copies of parameters, as a card has them: see `runtime`.

    In a process of its own, for MindSpore reads once whether to make them.
    """
    command = [sys.executable, "-c", COUNT, str(tmp_path_factory.mktemp("graphs"))]
    tests = Path(__file__).parents[2]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]), "GLIBC_TUNABLES": runtime.MALLOC_TUNABLES
    }  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return of_kind(Counter(json.loads(done.stdout.splitlines()[-1])))


class Translate(nn.Cell):
    """What a step reads of a generator."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def construct(self, x):
        y, logit, _ = self.generator(x)
        return y, logit


class Pass(nn.Cell):
    """A generator's pass and its gradient for every weight."""

    def __init__(self, light):
        super().__init__()
        self.translate = Translate(Generator(ASCEND_HERE, 1, 1, 32, 3, light))
        self.weights = ParameterTuple(self.translate.trainable_params())

    def construct(self, x, dy, dlogit):
        y, backward = mindspore.vjp(self.translate, x, weights=self.weights)
        return y, backward(dy, dlogit)


def of_kind(counts):
    """(aclnn, aclop) kernels."""
    assert set(counts) <= ACLOP | ACLNN
    aclop = sum(count for name, count in counts.items() if name in ACLOP)
    return numpy.array([counts.total() - aclop, aclop])


def check(kernels, light):
    assert 1000 < kernels.sum() <= 4000 and kernels[1] <= 1000
    aclnn, aclop = KERNELS[light, False]
    assert tuple(kernels) == pytest.approx((aclnn, aclop + COPIES[False]), rel=0.02), "the projection counts others"


def test_a_step_of_the_light_model_keeps_to_the_budget_of_kernels(light_kernels):
    check(light_kernels, light=True)


def test_a_step_of_the_full_model_keeps_to_it_too(light_kernels, tmp_path):
    """The models differ in what AdaLIN's parameters are computed from, once in each of a step's three passes."""
    image, logit = Tensor(numpy.zeros((1, 3, 32, 32), numpy.float32)), Tensor(numpy.zeros((1, 2), numpy.float32))
    found = {}
    for light in (True, False):
        with graphs.saving(tmp_path / str(light)) as graph:
            Pass(light).compile(image, image, logit)
        found[light] = of_kind(graph.kernels())
    assert (found[True] != found[False]).any()
    check(light_kernels + 3 * (found[False] - found[True]), light=False)


def test_no_order_of_the_kernels_needs_a_copy_of_a_parameter(tmp_path):
    """Nor does a backward pass read what an update has replaced. (MindSpore's copies are off here: see `runtime`.)"""
    step = compiled(tmp_path, 1, 32, (4, 4, 2, 2))
    assert step.kernels()["TensorMove"] == 0
    assert step.misread() == []
