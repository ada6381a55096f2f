"""The losses against their float64 formulas: values, gradients, and logits of any size."""

import numpy
import pytest
from mindspore import nn

from ugatit_train.training import losses

from .. import reference as ref
from ..parity import Case, float32, measure


class Loss(nn.Cell):
    def __init__(self, function, *constants):
        super().__init__()
        self.function, self.constants = function, constants

    def construct(self, *inputs):
        return self.function(*inputs, *self.constants)


def case(function, plain, inputs, *constants):
    return Case(cell=Loss(function, *constants), plain=lambda _, *x: plain(*x, *constants), inputs=inputs)


def cases():
    random = numpy.random.default_rng(5)
    logit, cam = (float32(2 * random.standard_normal(shape)) for shape in [(3, 1, 4, 5), (3, 2)])
    x, y = float32(random.uniform(-1, 1, (2, 2, 3, 6, 7)))
    huge = float32([[100.0, -100.0], [1e4, -1e4], [90.0, -0.5]])  # exp(90) is beyond float32
    return {
        "lsgan_real": case(losses.lsgan, ref.mse_to, (logit,), 1.0),
        "lsgan_fake": case(losses.lsgan, ref.mse_to, (logit,), 0.0),
        "lsgan_cam_logits": case(losses.lsgan, ref.mse_to, (cam,), 1.0),
        "l1": case(losses.l1, ref.l1, (x, y)),
        "bce_translated": case(losses.bce, ref.bce_with_logits, (cam,), 1.0),
        "bce_identity": case(losses.bce, ref.bce_with_logits, (cam,), 0.0),
        "bce_huge_logits_translated": case(losses.bce, ref.bce_with_logits, (huge,), 1.0),
        "bce_huge_logits_identity": case(losses.bce, ref.bce_with_logits, (huge,), 0.0),
    }


@pytest.fixture(scope="module")
def errors():
    return measure(cases())


@pytest.mark.parametrize("name", cases())
def test_value_and_gradient(name, errors):
    (value,), gradients = errors[name]
    assert value < 1e-5
    assert max(gradients.values()) < 1e-4, gradients
