"""The alarms of a run's page: each is shown firing, and silent on a run that learns.

healthy_metrics.jsonl is of a real run: 300 steps on the sample data, light, ch 16, 64 px, lr 4e-4, to four digits.
"""

from pathlib import Path

import numpy as np
import pytest

from ugatit_train.training.log import read_metrics
from ugatit_train.training.page import alarms

HEALTHY = Path(__file__).with_name("healthy_metrics.jsonl")


@pytest.fixture(scope="module")
def losses():
    steps = read_metrics(HEALTHY)
    names = ("d_loss", "g_loss", "g_adv", "g_cycle", "g_identity", "g_cam")
    return {name: np.array([line[name] for line in steps]) for name in names}


def pictures(seed, count=4, size=32):
    """Coarse random pictures, uint8 (count, size, size, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, size // 8, size // 8, 3), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def seen(inputs, outputs, steps=(100, 200, 300)):
    return [alarms.look(step, inputs, outputs) for step in steps]


def titles(found):
    return [alarm.title for alarm in found]


def test_a_run_that_learns_has_none(losses):
    # The figures of that run's own samples.
    a2b = [
        alarms.Seen(step=s, change=c, variety=v) for s, c, v in ((270, 1.90, 0.57), (285, 1.99, 0.59), (300, 2, 0.6))
    ]
    b2a = [
        alarms.Seen(step=s, change=c, variety=v) for s, c, v in ((270, 2.77, 0.88), (285, 2.9, 0.87), (300, 2.8, 0.84))
    ]
    for steps in (40, 100, 200, 300):
        part = {name: values[:steps] for name, values in losses.items()}
        assert titles(alarms.all_alarms(part, steps, {"A to B": a2b, "B to A": b2a}, 1.0)) == []


def test_what_a_picture_is_compared_with():
    x = pictures(1)
    copy, other, one = alarms.look(1, x, x), alarms.look(1, x, pictures(2)), alarms.look(1, x, x[:1].repeat(4, 0))
    assert copy.change == 0 and copy.variety == pytest.approx(1)
    assert 1 < other.change < 2 and 0.8 < other.variety < 1.2
    assert one.variety == 0
    assert alarms.look(1, x[:1], x[:1]).variety == np.inf  # one input has nothing to be compared with
    assert alarms.look(1, x[:1].repeat(4, 0), x[:1].repeat(4, 0)).variety == np.inf


def test_output_equals_input():
    x = pictures(1)
    nearly = np.clip(x.astype(int) + np.random.default_rng(0).integers(-12, 13, x.shape), 0, 255).astype(np.uint8)
    fired = alarms.equals_input("A to B", seen(x, nearly))
    assert fired.title == "A to B: the output equals the input" and "--cycle_weight 5" in fired.tries[0]
    darker = (x // 2).astype(np.uint8)
    assert alarms.equals_input("A to B", seen(x, darker)) is None
    one_is_not = seen(x, nearly)[:2] + seen(x, darker, steps=(400,))
    assert alarms.equals_input("A to B", one_is_not) is None
    assert alarms.equals_input("A to B", seen(x, nearly, steps=(200, 300))) is None  # too few samples to say
    assert alarms.equals_input("A to B", seen(x, nearly, steps=(10, 20, 30))) is None  # too early


def test_outputs_all_alike():
    x, fog = pictures(1), np.full((4, 32, 32, 3), (250, 160, 90), np.uint8)
    fog[:, :4] += pictures(2)[:, :4] // 200  # nearly
    fired = alarms.all_alike("B to A", seen(x, fog))
    assert fired.title == "B to A: the outputs are all alike" and "--cycle_weight 20" in fired.tries[0]
    assert alarms.all_alike("B to A", seen(x, pictures(2))) is None
    assert alarms.all_alike("B to A", seen(x[:1], fog[:1])) is None
    assert alarms.all_alike("B to A", seen(x, fog, steps=(15, 30, 45))) is None  # every run begins so


@pytest.mark.parametrize("name", ["d_loss", "g_adv", "g_cycle", "g_identity", "g_cam", "g_loss"])
def test_a_loss_that_is_stuck(losses, name):
    dead = np.concatenate([losses[name][:100], np.full(200, 2.7726)])
    assert "has been the same in the last quarter" in alarms.stuck(name, dead, 300).what
    assert alarms.stuck(name, losses[name], 300) is None
    assert alarms.stuck(name, dead[-30:], 30) is None


def test_a_loss_that_should_have_fallen(losses):
    level = np.resize(losses["g_identity"][:30], 300)
    assert "has not fallen since the run began: " in alarms.stuck("g_identity", level, 1000).what
    assert alarms.stuck("g_identity", level, 999) is None
    assert alarms.stuck("d_loss", level, 5000) is None  # a game has no need to fall
    falling = level * np.linspace(1, 0.8, 300)
    assert alarms.stuck("g_identity", falling, 5000) is None


@pytest.mark.parametrize("name", ["d_loss", "g_adv", "g_cycle", "g_identity", "g_cam", "g_loss"])
def test_a_loss_that_explodes(losses, name):
    rising = losses[name] * np.concatenate([np.ones(200), np.geomspace(1, 100, 100)])
    fired = alarms.exploding(name, rising)
    assert fired.title == f"{name} explodes" and "smaller --lr" in fired.tries[0]
    at_once = losses[name] * np.concatenate([np.ones(20), np.full(280, 50)])  # the median is up there too
    assert alarms.exploding(name, at_once) is not None
    assert alarms.exploding(name, losses[name]) is None
    bump = losses[name] * np.concatenate([np.ones(200), np.full(50, 20), np.ones(50)])  # over again
    assert alarms.exploding(name, bump) is None


def test_discriminators_that_have_won(losses):
    d, g = losses["d_loss"].copy(), losses["g_adv"].copy()
    d[150:], g[150:] = 0.1, 7.6
    fired = alarms.discriminator_won(d, g, 1.0)
    assert fired.title == "The discriminators have won" and "--n_dis" in fired.tries[1]
    assert alarms.discriminator_won(5 * d, g, 5.0) is not None  # d_loss holds the weight
    assert alarms.discriminator_won(5 * d, g, 1.0) is None
    assert alarms.discriminator_won(d, losses["g_adv"], 1.0) is None
    assert alarms.discriminator_won(losses["d_loss"], losses["g_adv"], 1.0) is None
    assert alarms.discriminator_won(d, g, 0.0) is None  # no adversarial loss


def test_all_alarms_are_told_together(losses):
    x = pictures(1)
    found = alarms.all_alarms(losses | {"g_cam": losses["g_cam"] * np.geomspace(1, 99, 300)}, 300, {
        "A to B": seen(x, x), "B to A": seen(x, x[:1].repeat(4, 0)),
    }, 1.0)  # fmt: skip
    assert titles(found) == [
        "A to B: the output equals the input", "B to A: the outputs are all alike", "g_cam explodes",
    ]  # fmt: skip
    assert all(alarm.what.endswith(".") and len(alarm.tries) >= 2 for alarm in found)
