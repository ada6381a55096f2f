"""A loss term, a schedule and a generator layer from outside of the package; one compiled step carries all three."""

import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from ugatit_train.forms import CPU
from ugatit_train.networks.normalisation import InstanceNorm
from ugatit_train.networks.ugatit import Discriminator, Generator, PaddedConv, Parts, initialise
from ugatit_train.options.schedule import Schedule
from ugatit_train.training.step import Step, StepSettings
from ugatit_train.training.terms import TERMS, Term

CONTRIBUTING = Path(__file__).parents[3] / "CONTRIBUTING.md"
LR, WEIGHT, STEPS = 1e-3, 1e4, 6


def total_variation(passes):
    """Mean absolute difference of neighbouring pixels of the fakes."""
    total = 0.0
    for fake in (passes["fake_a"], passes["fake_b"]):
        total = total + ops.abs(fake[:, :, 1:] - fake[:, :, :-1]).mean()
        total = total + ops.abs(fake[:, :, :, 1:] - fake[:, :, :, :-1]).mean()
    return total


def cosine(step, decay_start, iteration, xp):
    """1 to `decay_start`, then half a cosine down to 0 at `iteration`."""
    done = xp.maximum(step - decay_start, 0) / max(iteration - decay_start, 1)
    return 0.5 + 0.5 * xp.cos(done * 3.14159265)


class GatedResBlock(nn.Cell):
    """x + gate * norm(conv(x)), with a gate for each channel that begins at 0."""

    def __init__(self, forms, c, padding, norm):
        super().__init__()
        self.conv = PaddedConv(forms, c, c, 3, padding)
        self.norm = norm(forms)
        self.gate = Parameter(Tensor(np.zeros((c,), np.float32)), name="gate")

    def construct(self, x):
        return x + self.gate.reshape(1, -1, 1, 1) * self.norm(self.conv(x))


class HalfNorm(nn.Cell):
    """The mean of a map and its instance norm."""

    def __init__(self, forms):
        super().__init__()
        self.norm = InstanceNorm(forms)

    def construct(self, x):
        return 0.5 * (x + self.norm(x))


@pytest.fixture(scope="module")
def toy():
    """(step, its losses by name at each step, the generators' weights before and after step 1, the first fakes)."""
    parts = Parts(residual=GatedResBlock, norm=HalfNorm)
    generators = [Generator(CPU, 2, 1, 24, 1, light=True, parts=parts) for _ in range(2)]
    discriminators = [Discriminator(CPU, 2, 2, 1) for _ in range(4)]
    settings = StepSettings(lr=LR, weight_decay=0.0, iteration=STEPS + 2, decay_start=0, decay=cosine)
    terms = (*TERMS, Term(name="g_tv", weight=WEIGHT, function=total_variation))
    step = Step(generators, discriminators, settings, terms=terms)
    initialise(step, 3)
    images = np.random.default_rng(5).uniform(-1, 1, (2, 1, 1, 24, 24)).astype(np.float32)
    a, b = map(Tensor, images)
    fakes = [generator(image)[0].asnumpy() for generator, image in zip(generators, (a, b), strict=True)]
    weights = [{p.name: p.asnumpy().copy() for p in step.g_parameters}]
    losses = []
    for _ in range(STEPS):
        losses.append(dict(zip(step.loss_names, step(a, b).asnumpy().tolist(), strict=True)))
        weights.append({p.name: p.asnumpy().copy() for p in step.g_parameters})
    return step, losses, weights, fakes


def test_a_term_is_a_line_of_the_table_and_trains(toy):
    step, losses, _, fakes = toy
    assert list(losses[0]) == ["d_loss", "g_loss", "g_adv", "g_cycle", "g_identity", "g_cam", "g_tv"]
    expected = sum(np.abs(np.diff(fake.astype(np.float64), axis=axis)).mean() for fake in fakes for axis in (2, 3))
    assert losses[0]["g_tv"] == pytest.approx(expected, rel=1e-5)
    for line in losses:
        weighted = line["g_adv"] + 10 * line["g_cycle"] + 10 * line["g_identity"] + 1000 * line["g_cam"]
        assert line["g_loss"] == pytest.approx(weighted + WEIGHT * line["g_tv"], rel=1e-5)
    assert losses[-1]["g_tv"] < 0.99 * losses[0]["g_tv"]


def test_a_schedule_is_a_function_that_the_log_and_the_step_share(toy):
    """Adam's first update is as large as the rate, whatever the gradient."""
    weights = toy[2]
    schedule = Schedule(iteration=STEPS + 2, decay_start=0, print_every=1, save_every=1, decay=cosine)
    logged = [schedule.learning_rate(t, LR) for t in (1, STEPS + 2)]
    assert logged == pytest.approx([LR * (0.5 + 0.5 * np.cos(np.pi / (STEPS + 2))), 0.0], abs=1e-9)
    moved = np.concatenate([np.abs(weights[1][name] - weights[0][name]).ravel() for name in weights[0]])
    assert np.median(moved) == pytest.approx(logged[0], rel=1e-3)


def test_a_block_and_a_norm_are_classes_that_the_generator_is_given(toy):
    step, _, weights, _ = toy
    gates = [name for name in step.state() if name.endswith("res.0.gate") and not name.startswith("adam")]
    assert gates == ["genA2B.res.0.gate", "genB2A.res.0.gate"]
    for name in gates:
        assert not weights[0][name].any() and weights[1][name].all()
    assert isinstance(step.genA2B.norm, HalfNorm) and isinstance(step.genA2B.res[0].norm, HalfNorm)


def test_two_terms_of_one_name_are_refused():
    again = dataclasses.replace(TERMS[0], weight=2.0)
    with pytest.raises(ValueError, match="g_adv, g_cycle, g_identity, g_cam, g_adv: give each another name"):
        Step([], [], StepSettings(), terms=(*TERMS, again))


@pytest.mark.parametrize("toy_code", [total_variation, cosine, GatedResBlock], ids=lambda code: code.__name__)
def test_contributing_shows_these(toy_code):
    assert inspect.getsource(toy_code) in CONTRIBUTING.read_text()
