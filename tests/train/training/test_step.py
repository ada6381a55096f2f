"""The compiled step against the literal step in float64: losses, gradients, five updates, rho, u, learning rate.

The reference runs every pass alone, folds nothing, and runs the generators again for the G update. Agreement shows
that the step's one forward pass of the generators, its split backward pass, its batched passes and its folded layers
are exact rewritings. Adam's first moment after step 1 gives the whole step's gradient: g = 2 m - weight_decay * p.
"""

from dataclasses import dataclass, fields

import numpy
import pytest
from mindspore import Parameter, Tensor, nn

from ugatit_train.forms import CPU
from ugatit_train.networks.compiling import GraphCache
from ugatit_train.networks.convolution import OwnBackward
from ugatit_train.training.terms import TERMS, loss_names

from .. import reference as ref
from ..parity import error
from ..stepping import (
    CONFIGURATIONS,
    NUM_STEPS,
    OTHERS,
    TRACED,
    Configuration,
    batches,
    compile_step,
    first_state,
    rhos,
    run,
)

LOSS_NAMES = loss_names(TERMS)
LOADED = ("full_per_pass_gray", "g_first_per_pass_others")  # all of them: tests/train/warm_starts.py


class Cache(GraphCache):
    """Notes whether each graph came from the folder."""

    def __init__(self, folder):
        super().__init__(folder)
        self.loaded = []

    def compile(self, cell, *inputs):
        self.loaded.append(super().compile(cell, *inputs))
        return self.loaded[-1]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What both sides had before step 1 and after each step, by parameter name: found and expected."""

    configuration: Configuration
    losses: list  # (found, expected) by name, a pair a step
    gradients: dict  # expected, of step 1
    found: list  # parameters, u, adam_m.*, adam_v.*
    overflowed: list  # the same after each of the steps with a scale in TOO_LARGE
    expected: list  # ref.State
    cold: tuple  # what `run` gave
    warm: tuple | None  # and again, with the graph from the compile cache


def clipped_by_global_norm(gradients):
    """ref.gradients, its result scaled down to a norm of 1."""

    def found(*arguments):
        grads, losses = gradients(*arguments)
        norm = numpy.sqrt(sum((g**2).sum() for g in grads.values()))
        assert norm > 1
        return {name: g / norm for name, g in grads.items()}, losses

    return found


def as_returned(losses):
    """The reference's losses by the names of the step's."""
    parts = {name: sum(v for k, v in losses.items() if k.startswith(name + "_")) for name in LOSS_NAMES[2:]}
    return {"d_loss": losses["d_loss"], "g_loss": losses["g_loss"]} | parts


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def record(request, tmp_path_factory):
    configuration, warm = CONFIGURATIONS[request.param], None
    if request.param == TRACED:
        returned, found, _ = request.getfixturevalue("traced_run")
    elif request.param in LOADED:
        cold, second = (Cache(tmp_path_factory.getbasetemp() / request.param) for _ in range(2))
        returned, found = run(configuration, cache=cold)
        warm = run(configuration, cache=second)
        assert (cold.loaded, second.loaded) == ([False], [True])
    else:
        returned, found = run(configuration)

    losses, gradients, expected = [], [], [first_state(configuration)]
    found, overflowed = found[: NUM_STEPS + 1], found[NUM_STEPS + 1 :]
    own = {"step", *(["loss_scale", "loss_scale_good_steps"] if configuration.loss_scale == "dynamic" else [])}
    assert {n for n in found[0] if not n.startswith(("adam_", "ema."))} == {*expected[0].params, *expected[0].u, *own}
    with pytest.MonkeyPatch.context() as patch:
        if configuration.clips_norm:
            patch.setattr(ref, "gradients", clipped_by_global_norm(ref.gradients))
        for t, (a, b) in enumerate(batches(configuration), 1):
            state, plain, grads = ref.train_step(expected[-1], a, b, t, configuration.reference)
            losses.append((dict(zip(LOSS_NAMES, returned[t - 1].tolist(), strict=True)), as_returned(plain)))
            expected.append(state)
            gradients.append(grads)
    return Record(
        configuration=configuration, losses=losses, gradients=gradients[0], found=found, overflowed=overflowed,
        expected=expected, cold=(returned, found + overflowed), warm=warm,
    )  # fmt: skip


def test_a_step_whose_graph_was_loaded_computes_what_the_compiled_one_did(record):
    """Losses and all parameters of every step, to the last bit."""
    if record.warm is None:
        assert record.configuration not in [CONFIGURATIONS[name] for name in LOADED]
        return
    (losses, found), (losses_too, found_too) = record.cold, record.warm
    assert numpy.array_equal(losses, losses_too)
    assert [{name: value.tobytes() for name, value in each.items()} for each in found] == [
        {name: value.tobytes() for name, value in each.items()} for each in found_too
    ]


def test_an_overflow_in_either_optimizer_leaves_out_both_updates(record):
    """A dynamic scale is halved, also where only one overflows; with a fixed one the step does not count."""
    scale, last, overflowed = record.configuration.loss_scale, record.found[-1], record.overflowed
    assert len(overflowed) == (2 if scale == "dynamic" else 1 if scale != 1 else 0)
    own = ("step", "loss_scale", "loss_scale_good_steps")
    for found in overflowed:
        for name in [n for n in last if n not in own and not n.endswith(".u")]:
            assert (found[name] == last[name]).all(), name
    if scale == "dynamic":
        assert (last["loss_scale"], last["loss_scale_good_steps"]) == (2.0**7, NUM_STEPS)
        infinite, large = overflowed
        assert (last["adam_t.g"], last["adam_t.d"], infinite["step"]) == (NUM_STEPS, NUM_STEPS, NUM_STEPS + 1)
        assert (large["loss_scale"], large["loss_scale_good_steps"]) == (2.0**126, 0)
    elif scale != 1:
        assert overflowed[0]["step"] == last["step"] == NUM_STEPS


def test_losses_from_one_generator_pass_are_those_of_running_it_again_for_g(record):
    found, expected = record.losses[0]
    assert found == pytest.approx(expected, rel=1e-5)


def test_gradients_of_the_split_backward_pass_are_those_of_two_full_ones(record):
    errors = {}
    for name, expected in record.gradients.items():
        decay = record.configuration.reference.weight_decay * record.found[0][name]
        errors[name] = error(2 * record.found[1][f"adam_m.{name}"] - decay, expected)
    assert len(errors) > 50
    assert numpy.median(list(errors.values())) < 1e-3
    if record.configuration is CONFIGURATIONS[TRACED]:  # of discriminators before their update: 8e-4
        assert numpy.median([e for name, e in errors.items() if name.startswith("gen")]) < 1e-4
    assert max(errors.values()) < 1e-2, {name: e for name, e in errors.items() if e >= 1e-2}


def test_five_updates_of_the_one_graph_step_follow_the_literal_steps(record):
    for found, expected in record.losses:
        assert found == pytest.approx(expected, rel=1e-3)
    assert record.found[-1]["step"] == NUM_STEPS


def test_the_average_of_the_generators_weights_follows_its_recurrence(record):
    """In float64, of the weights after each update; the other networks have none."""
    ema, found = record.configuration.ema, record.found
    averages = {n: value for n, value in found[0].items() if n.startswith("ema.")}
    assert set(averages) == ({f"ema.{n}" for n in found[0] if n.startswith("gen")} if ema else set())
    for name, average in averages.items():
        weight = name.removeprefix("ema.")
        assert (average == found[0][weight]).all()  # as it begins
        for t, after in enumerate(found[1:], 1):
            decay = min(ema, (1 + t) / (10 + t))
            average = decay * average + (1 - decay) * after[weight]
            assert error(after[name], average) < 1e-6
            assert (after[name] != after[weight]).any() or name.endswith(".rho")


def test_rho_stays_between_0_and_1_and_follows(record):
    names = rhos(record.found[0])
    assert len(names) == 8
    for found in record.found:
        for name in names:
            assert found[name].min() >= 0 and found[name].max() <= 1, name
    # Of step 1 only, and the median: Adam turns the sign of a gradient near zero into a whole step of 1e-4.
    differences = [numpy.abs(record.found[1][name] - record.expected[1].params[name]) for name in names]
    assert numpy.median(numpy.concatenate(differences)) < 1e-6
    if record.configuration.rho_at_its_bounds:  # half of them would have left by lr
        held, moved = 0, 0
        for name in names:
            before, after = (record.found[t][name] for t in (0, 1))
            held, moved = held + (after == before).sum(), moved + (after != before).sum()
        assert held > 10 and moved > 10


def test_u_follows_the_power_iterations(record):
    us = record.expected[0].u
    assert len(us) == 2 * (2 * record.configuration.n_dis + 4)
    for found, expected in zip(record.found, record.expected, strict=True):
        assert max(error(found[name], expected.u[name]) for name in us) < 1e-4
    moved = [name for name in us if us[name].size > 1 and (record.found[1][name] != record.found[0][name]).any()]
    assert bool(moved) == record.configuration.reference.spectral_norm


@pytest.mark.parametrize("networks", [ref.GENERATORS, ref.DISCRIMINATORS], ids=["generators", "discriminators"])
def test_learning_rate_is_constant_and_then_falls_linearly(networks, record):
    """Solved for in Adam's equation from the parameters and moments before and after each step."""
    options = record.configuration.reference
    half = options.iteration / 2
    for t in range(1, NUM_STEPS + 1):
        before, after = record.found[t - 1], record.found[t]
        rates = []
        for name in record.gradients:
            if name.split(".")[0] in networks and not name.endswith(".rho"):
                m, v = after[f"adam_m.{name}"] / (1 - 0.5**t), after[f"adam_v.{name}"] / (1 - 0.999**t)
                rates.append(((before[name] - after[name]) * (numpy.sqrt(v) + 1e-8) / m).ravel())
        expected = 1e-4 * min(1, (options.iteration - t) / half)
        assert numpy.median(numpy.concatenate(rates)) == pytest.approx(expected, rel=1e-3)


def test_every_operator_has_another_form_in_one_of_the_kinds():
    assert [f.name for f in fields(OTHERS) if getattr(OTHERS, f.name) == getattr(CPU, f.name)] == ["half"]
    assert OTHERS in [configuration.forms for configuration in CONFIGURATIONS.values()]


@pytest.mark.parametrize("name", [TRACED, "ascend_full_g_first"])
def test_recompute_reaches_every_cell_with_a_backward_of_its_own(name):
    cells = [cell for _, cell in compile_step(CONFIGURATIONS[name]).cells_and_names() if isinstance(cell, OwnBackward)]
    assert len(cells) > 20
    assert {cell.saves_memory for cell in cells} == {CONFIGURATIONS[name].recompute}


@pytest.mark.parametrize("name", [TRACED, "g_first_per_pass_others"], ids=["fixed loss scale", "dynamic loss scale"])
def test_the_state_is_every_parameter_in_the_order_of_the_files(name):
    """Of version 1's files, which were written from all parameters that the step's Cell reaches."""
    step = compile_step(CONFIGURATIONS[name])
    reached = [p.name for p in step.get_parameters()]
    assert list(step.state()) == reached
    assert ("loss_scale" in reached) == (name != TRACED)
    assert all(parameter.name == key for key, parameter in step.state().items())
    step.odd = nn.Cell()
    step.odd.w = Parameter(Tensor([1.0]), name="w")
    assert len(list(step.get_parameters())) == len(reached) + 1 and list(step.state()) == reached
