"""The benchmark's PyTorch step does the same work as ours: its losses are those of the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from ..train import reference as ref

torch = pytest.importorskip("torch", reason="torch is not installed: the benchmark's peer is not checked")

SHAPE = {"ch": 4, "n_res": 1, "n_dis": 4, "img_size": 32, "img_ch": 3}
OTHER = {"lr": 4e-4, "weight_decay": 1e-2, "iteration": 4}  # the rate falls in step 3
OTHER |= {"adv_weight": 2.0, "cycle_weight": 3.0, "identity_weight": 4.0, "cam_weight": 100.0}


@pytest.fixture
def in_float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def peer_and_reference(torch_step, light, **options):
    """A step of the peer with the weights of a random state of the reference, and that state."""
    step = torch_step.Step(**SHAPE, light=light, **options)
    own = {}
    for network in (*step.GENERATORS, *step.DISCRIMINATORS):
        own |= {f"{network}.{name}": value for name, value in step[network].state_dict().items()}
    state = ref.init_state(np.random.default_rng(3), *SHAPE.values(), light)
    given = {torch_step.name_of(name): value for flat in (state.params, state.u) for name, value in flat.items()}
    assert {name for name in own if not name.endswith(("weight_v", "conv.weight"))} >= set(given)
    assert {name for name in own if name.endswith(("weight_orig", "bias", "rho", "gamma", "beta"))} <= set(given)
    for name, value in given.items():
        own[name].copy_(torch.from_numpy(np.reshape(value, own[name].shape)))
    return step, state


@pytest.mark.parametrize(
    ("light", "detach", "steps", "options"),
    [(True, True, 5, {}), (False, False, 5, {}), (True, True, 3, OTHER)],
)
def test_steps_have_the_losses_of_the_reference(light, detach, steps, options, load, in_float64):
    torch_step = load("torch_step")
    factors = {name.removesuffix("_weight"): value for name, value in options.items() if name.endswith("_weight")}
    adam = {name: options[name] for name in ("lr", "weight_decay") if name in options}
    step, state = peer_and_reference(torch_step, light, factors=factors, **adam, detach=detach)
    judged = ref.Options(**{"iteration": 1000, "sn_iterations": "per_pass", **options})
    random = np.random.default_rng(4)
    for t in range(1, steps + 1):
        a, b = random.uniform(-1, 1, (2, 1, 3, 32, 32))
        state, losses, _ = ref.train_step(state, a, b, t, judged)
        step.set_rate(ref.learning_rate(t, judged))
        found = step(torch.from_numpy(a), torch.from_numpy(b))
        assert found == pytest.approx((losses["d_loss"], losses["g_loss"]), rel=1e-6)


def test_the_averages_follow_the_weights_by_the_rule(load, in_float64):
    """From the first weights: average = d * average + (1 - d) * weight, d = min(decay, (1 + t) / (10 + t))."""
    step = load("torch_step").Step(**SHAPE, light=True, ema=0.25, lr=1e-2)
    name = "b2a.adares.0.conv1.1.weight"
    expected = step.weights[name].detach().clone()
    random = np.random.default_rng(5)
    for decay in (2 / 11, 3 / 12, 0.25):  # (1 + 3) / (10 + 3) is more
        before = step.weights[name].detach().clone()
        step(*torch.from_numpy(random.uniform(-1, 1, (2, 1, 3, 32, 32))))
        assert not torch.equal(step.weights[name], before)
        expected = decay * expected + (1 - decay) * step.weights[name].detach()
        assert torch.allclose(step.averages[name], expected, rtol=1e-12)
    assert len(step.averages) == len(step.weights) > 40


def test_bfloat16_is_the_step_with_coarser_numbers(load):
    torch_step = load("torch_step")
    steps = [torch_step.Step(**SHAPE, light=True, bfloat16=coarse) for coarse in (False, True)]
    for network in (*steps[0].GENERATORS, *steps[0].DISCRIMINATORS):
        steps[1][network].load_state_dict(steps[0][network].state_dict())
    a, b = torch.from_numpy(np.random.default_rng(6).uniform(-1, 1, (2, 1, 3, 32, 32)).astype(np.float32))
    exact, coarse = (step(a, b) for step in steps)
    assert exact == pytest.approx(coarse, rel=0.02)
    assert exact != pytest.approx(coarse, rel=1e-5)
