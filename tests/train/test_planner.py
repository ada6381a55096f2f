"""The plan of memory and time: held to measured peaks, and to what any plan must obey."""

import dataclasses
import json
from pathlib import Path

import pytest

from ugatit_train import planner
from ugatit_train.config import Options

RECORD = Path(__file__).parents[2] / "benchmarks" / "results" / "memory.json"
MEASURED = [
    entry for entry in json.loads(RECORD.read_text())["results"] if entry["unit"] == "mib"
]  # of benchmarks/memory.py


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry["name"])
def test_the_plan_is_within_a_quarter_of_the_measured_peak(entry):
    planned = planner.plan(Options(**entry["tags"]["options"])).total / planner.MIB
    assert planned == pytest.approx(entry["median"], rel=0.25)


def test_the_record_holds_what_the_constants_were_fitted_to():
    options = [Options(**entry["tags"]["options"]) for entry in MEASURED]
    assert {o.light for o in options} == {True, False}
    assert {o.img_size for o in options} >= {64, 128, 256}
    assert len({o.ch for o in options}) > 1 and len({o.batch_size for o in options}) > 1


def test_a_plan_counts_every_weight_and_both_moments():
    plan = planner.plan(Options(light=True, ch=2, n_res=1, n_dis=4, img_size=32))
    from ugatit_train.networks import Discriminator, Generator

    generator = Generator(2, 1, 32, 3, True)
    discriminators = [Discriminator(2, n) for n in (5, 3)]
    own = [sum(p.size for p in network.trainable_params()) for network in (generator, *discriminators)]
    norms = sum(p.size for p in generator.trainable_params() if p.name.endswith((".rho", "norm.gamma", "norm.beta")))
    assert plan.weights == 4 * 2 * (sum(own) - norms)
    assert plan.optimizer == 2 * plan.weights


@pytest.mark.parametrize("change", [{"img_size": 384}, {"batch_size": 2}, {"ch": 96}, {"light": False}, {"n_res": 6}])
def test_more_of_anything_takes_more(change):
    base = Options(light=True)
    more = dataclasses.replace(base, **change)
    assert planner.plan(more).total > planner.plan(base).total
    assert planner.plan(more).step_flops > planner.plan(base).step_flops


def test_a_run_that_does_not_fit_is_warned_of(monkeypatch):
    monkeypatch.setattr(planner, "device_bytes", lambda _: 4 * planner.GIB)
    words = planner.warning(Options())
    assert "GiB are needed, CPU has 4: give --light, --recompute, a smaller --img_size" in words and "\n" not in words
    assert planner.warning(Options(light=True, img_size=64, n_dis=5, ch=16)) == ""
    monkeypatch.undo()
    assert planner.device_bytes("CPU") > planner.GIB
    assert planner.device_bytes("Ascend") == 32 * planner.GIB
    assert planner.device_bytes("GPU") is None and planner.warning(Options(device_target="GPU")) == ""


def test_the_words():
    text = planner.describe(Options(light=True, iteration=100), 100, 200.0)
    assert "memory, estimated: " in text and "time, estimated: " in text and "for 100 steps" in text
    assert "not estimated for Ascend" in planner.describe(Options(device_target="Ascend"), 100, None)
    assert [planner.duration(s) for s in (59, 3700, 90061)] == ["1 min", "1 h 2 min", "1 d 1 h"]
    assert [planner.duration(s) for s in (3599, 7199, 86399)] == ["1 h 0 min", "2 h 0 min", "1 d 0 h"]
