"""The benchmark's PyTorch step does the same work as ours: its losses are those of the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from ..train import reference as ref

torch = pytest.importorskip("torch", reason="torch is not installed: the benchmark's peer is not checked")

GENERATORS = {"genA2B": "a2b", "genB2A": "b2a"}
DISCRIMINATORS = {"disGA": "ga", "disGB": "gb", "disLA": "la", "disLB": "lb"}


def peer_name(name: str) -> str:
    """`genA2B.res.0.conv2.weight` -> the peer's `a2b.down.12.body.5.weight`, for one residual block."""
    network, _, rest = name.partition(".")
    if network in GENERATORS:
        table = {
            "down0": "down.1", "down1": "down.5", "down2": "down.9", "cam.": "", "fc1": "fc.0", "fc2": "fc.2",
            "res.0.conv1": "down.12.body.1", "res.0.conv2": "down.12.body.5",
            "adares.0.conv1": "adares.0.conv1.1", "adares.0.conv2": "adares.0.conv2.1",
            "up0.conv": "up.2", "up0.norm": "up.3", "up1.conv": "up.7", "up1.norm": "up.8", "out": "up.11",
        }  # fmt: skip
        found = next((old for old in table if rest.startswith(old)), "")
        return f"{GENERATORS[network]}.{table.get(found, '')}{rest[len(found) :]}"
    parts = rest.replace("cam.", "").split(".")
    if parts[0] == "convs":
        parts = ["body", str(1 + 3 * int(parts[1])), *parts[2:]]
    elif parts[0] == "conv":
        parts = ["head", "1", *parts[1:]]
    normed = parts[0] != "conv1x1"
    parts[-1] = {"weight": "weight_orig" if normed else "weight", "u": "weight_u"}.get(parts[-1], parts[-1])
    return ".".join([DISCRIMINATORS[network], *parts])


@pytest.mark.parametrize(("light", "detach"), [(True, True), (False, False)])
def test_five_steps_have_the_losses_of_the_reference(light, detach, load):
    torch_step = load("torch_step")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        step = torch_step.Step(ch=4, n_res=1, n_dis=4, img_size=32, img_ch=3, light=light, detach=detach)
        own = {}
        for network in (*GENERATORS.values(), *DISCRIMINATORS.values()):
            own |= {f"{network}.{name}": value for name, value in getattr(step, network).state_dict().items()}
        state = ref.init_state(np.random.default_rng(3), 4, 1, 4, 32, 3, light)
        given = {peer_name(name): value for flat in (state.params, state.u) for name, value in flat.items()}
        assert {name for name in own if not name.endswith(("weight_v", "conv.weight"))} >= set(given)
        assert {name for name in own if name.endswith(("weight_orig", "bias", "rho", "gamma", "beta"))} <= set(given)
        for name, value in given.items():
            own[name].copy_(torch.from_numpy(np.reshape(value, own[name].shape)))
        options = ref.Options(iteration=1000, sn_iterations="per_pass")
        random = np.random.default_rng(4)
        for t in range(1, 6):
            a, b = random.uniform(-1, 1, (2, 1, 3, 32, 32))
            state, losses, _ = ref.train_step(state, a, b, t, options)
            found = step(torch.from_numpy(a), torch.from_numpy(b))
            assert found == pytest.approx((losses["d_loss"], losses["g_loss"]), rel=1e-6)
    finally:
        torch.set_default_dtype(before)
