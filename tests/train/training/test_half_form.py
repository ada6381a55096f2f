"""The step in Ascend's form with convolutions in float16, which the option refuses on the CPU: beside float32's."""

import dataclasses

import mindspore
import numpy
import pytest
from mindspore import Parameter, Tensor

from ugatit_train.networks import compiling
from ugatit_train.training import faults

from ..parity import fill
from ..stepping import ASCEND_HERE, Configuration, compile_step, first_state, snapshot

STEPS = 30
PLAIN = Configuration(options={"iteration": 1000})


def thirty_steps(configuration, forms):
    """(the losses of each step, the Step)."""
    step, state = compile_step(configuration, forms), first_state(configuration)
    fill(step, {**state.params, **state.u})
    compiling.graphs().compile(step, *images(0))  # the one in float32 is test_step.py's too
    return numpy.stack([step(*images(t)).asnumpy() for t in range(STEPS)]), step


def images(t):
    return [Tensor(x) for x in numpy.random.default_rng([4, t]).uniform(-1, 1, (2, 1, 3, 32, 32)).astype("float32")]


@pytest.fixture(scope="module")
def half():
    return thirty_steps(dataclasses.replace(PLAIN, loss_scale="dynamic"), dataclasses.replace(ASCEND_HERE, half=True))


def test_thirty_steps_in_float16_have_the_losses_of_float32_within_two_percent(half):
    whole, _ = thirty_steps(PLAIN, ASCEND_HERE)
    losses, _ = half
    numpy.testing.assert_allclose(losses.mean(0), whole.mean(0), rtol=0.02)
    assert (losses != whole).any()


def test_the_optimizers_make_equal_counts_of_updates_from_the_first_steps_on(half):
    _, step = half
    found = snapshot(step.state())
    assert found["adam_t.g"] == found["adam_t.d"] >= STEPS - 5
    assert found["step"] == STEPS


def test_an_overflow_of_the_generators_alone_takes_back_the_discriminators_update(half):
    """At 2^15, float16's usual first scale, the CAM loss overflows and the discriminators' loss does not."""
    _, step = half
    state = step.state()
    state["loss_scale"].set_data(Tensor(numpy.float32(2.0**15)))
    before = snapshot(state)
    step(*images(STEPS))
    after = snapshot(state)
    assert after["loss_scale"] == 2.0**14 and after["step"] == before["step"] + 1
    for name in [n for n in before if n.startswith(("gen", "dis", "adam")) and not n.endswith(".u")]:
        assert (after[name] == before[name]).all(), name


def test_a_fixed_scale_that_overflows_says_so_at_the_first_step_and_each_time_it_has_doubled(caplog):
    counted = Parameter(Tensor(7, mindspore.int32), name="step")
    skipped = faults.Skipped({"step": counted}, 7)
    for step, done in ((8, 8), (9, 8), (10, 8), (11, 8), (12, 9), (13, 9), (14, 10)):
        counted.set_data(Tensor(done, mindspore.int32))
        skipped.tell(step)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["step 9", "step 10", "step 13"]
    assert "begin a new run with a smaller --loss_scale, or with dynamic" in caplog.text
