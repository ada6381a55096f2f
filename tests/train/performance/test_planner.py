"""The estimates of memory and time: compared with measured steps, and with what must hold for any run."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from ugatit_train.forms import ASCEND, CPU, Forms
from ugatit_train.options.config import Options
from ugatit_train.performance import costs, planner

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
RECORD = json.loads((RESULTS / "memory.json").read_text())["results"]  # of benchmarks/memory.py
MEASURED = [entry for entry in RECORD if entry["unit"] == "mib"]
TIMED = [entry for entry in RECORD if entry["unit"] == "seconds"]  # measured on a quiet machine
# image size -> GFLOP/s of a matrix product and seconds of a step (light, ch 64, batch 1) of the same turns: medians of
# benchmarks/step_time.py at commit 35216c65 on a quiet Xeon with AVX-512.
FITTED = {64: (405.2, 0.891), 128: (413.1, 2.904), 256: (412.6, 7.285)}
# No constant was fitted to these.
INDEPENDENT = (
    "light, 64 px, ch 64, batch 4: peak",
    "light, 96 px, ch 64, batch 1: peak",
    "light, 128 px, ch 64, batch 1, recompute True: peak",
    "light, 256 px, ch 64, batch 1, recompute True: peak",
    "full, 128 px, ch 64, batch 1: peak",
    "full, 128 px, ch 64, batch 1, Ascend's forms: peak",
    "full, 64 px, ch 64, batch 1, plain forms: peak",
)


FORMS = {
    "cpu": CPU,
    "plain": Forms(),
    "ascend": dataclasses.replace(ASCEND, padding="mirror"),
}  # of benchmarks/memory.py


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry["name"])
def test_the_estimate_is_within_a_quarter_of_the_measured_peak(entry):
    forms = FORMS[entry["tags"].get("forms", "cpu")]
    estimated = planner.estimate(Options(**entry["tags"]["options"]), forms).total / planner.MIB
    assert estimated == pytest.approx(entry["median"], rel=0.25)


@pytest.mark.parametrize(("size", "n_dis"), [(64, 5), (128, 6), (256, 6)])
def test_the_time_is_within_a_half_of_the_steps_that_the_constants_were_fitted_to(size, n_dis):
    sgemm, step_s = FITTED[size]
    needs = planner.estimate(Options(light=True, img_size=size, n_dis=n_dis))
    assert planner.step_seconds(needs, sgemm) == pytest.approx(step_s, rel=0.5)


@pytest.mark.parametrize("entry", TIMED, ids=lambda entry: entry["name"])
def test_the_time_is_within_a_half_of_steps_that_nothing_was_fitted_to(entry):
    estimated = planner.step_seconds(
        planner.estimate(Options(**entry["tags"]["options"])), entry["tags"]["sgemm_gflop_per_s"]
    )
    assert estimated == pytest.approx(entry["median"], rel=0.5)


def test_the_record_holds_what_the_constants_were_fitted_to_and_what_they_were_not():
    assert {entry["name"] for entry in MEASURED} > set(INDEPENDENT)
    options = [Options(**entry["tags"]["options"]) for entry in MEASURED if entry["name"] not in INDEPENDENT]
    assert len(options) >= 7 and len(TIMED) >= 3
    assert {entry["tags"].get("forms") for entry in MEASURED} == {None, "plain", "ascend"}
    assert {o.light for o in options} == {True, False}
    assert {o.img_size for o in options} >= {64, 128, 256}
    assert len({o.ch for o in options}) > 1 and len({o.batch_size for o in options}) > 1


def test_an_estimate_counts_every_weight_and_both_moments():
    needs = planner.estimate(Options(light=True, ch=2, n_res=1, n_dis=4, img_size=32))
    from ugatit_train.networks.ugatit import Discriminator, Generator

    generator = Generator(CPU, 2, 1, 32, 3, True)
    discriminators = [Discriminator(CPU, 2, n) for n in (5, 3)]
    own = [sum(p.size for p in network.trainable_params()) for network in (generator, *discriminators)]
    norms = sum(p.size for p in generator.trainable_params() if p.name.endswith((".rho", "norm.gamma", "norm.beta")))
    assert needs.weights == 4 * 2 * (sum(own) - norms)
    assert needs.optimizer == 2 * needs.weights
    averaged = planner.estimate(Options(light=True, ch=2, n_res=1, n_dis=4, img_size=32, ema=0.999))
    assert needs.averages == 0 and averaged.total - needs.total == averaged.averages
    assert averaged.averages + 4 * 2 * sum(own[1:]) == needs.weights


@pytest.mark.parametrize("change", [{"img_size": 384}, {"batch_size": 2}, {"ch": 96}, {"light": False}, {"n_res": 6}])
def test_more_of_anything_takes_more(change):
    base = Options(light=True)
    more = dataclasses.replace(base, **change)
    assert planner.estimate(more).total > planner.estimate(base).total
    assert planner.estimate(more).step_flops > planner.estimate(base).step_flops


def test_a_run_that_does_not_fit_is_warned_of(monkeypatch):
    monkeypatch.setattr(planner, "device_bytes", lambda _: 4 * planner.GIB)
    words = planner.warning(Options())
    assert "GiB are needed, CPU has 4: give --light, --recompute, a smaller --img_size" in words and "\n" not in words
    assert planner.warning(Options(light=True, img_size=64, n_dis=5, ch=16)) == ""
    monkeypatch.setattr(planner, "device_bytes", lambda _: 64 * planner.GIB)
    monkeypatch.setattr(planner.memory, "available_bytes", lambda: 3 * planner.GIB)
    words = planner.warning(Options(light=True))
    assert "GiB are needed, CPU has 3.0 free of 64: end other programs, or give --recompute" in words
    small = Options(light=True, img_size=64, n_dis=5, ch=16, n_res=1)
    assert planner.warning(small) == "" and "CPU has 3.0 free" in planner.warning(small, processes=2)
    assert planner.warning(Options(device_target="Ascend", light=True), processes=8) == ""
    monkeypatch.undo()
    assert planner.device_bytes("CPU") > planner.GIB
    assert planner.device_bytes("Ascend") == 32 * planner.GIB
    assert planner.device_bytes("GPU") is None and planner.warning(Options(device_target="GPU")) == ""


def test_the_words():
    text = planner.describe(Options(light=True, iteration=100), 100, 200.0)
    assert "memory, estimated: " in text and "time, estimated: " in text and "for 100 steps" in text
    assert "not estimated for GPU" in planner.describe(Options(device_target="GPU"), 100, None)
    assert [planner.duration(s) for s in (59, 3700, 90061)] == ["1 min", "1 h 2 min", "1 d 1 h"]
    assert [planner.duration(s) for s in (3599, 7199, 86399)] == ["1 h 0 min", "2 h 0 min", "1 d 0 h"]
    assert [planner.duration(s) for s in (0, 29, 31)] == ["less than a minute", "less than a minute", "1 min"]


@pytest.mark.parametrize("device", ["CPU", "Ascend"])
def test_a_short_run_takes_less_than_a_minute(device):
    options = Options(device_target=device, light=True, img_size=64, n_dis=5, ch=16, n_res=1, iteration=2)
    text = planner.describe(options, 2, 200.0 if device == "CPU" else None)
    assert ", less than a minute for 2 steps" in text and "0 min" not in text


def test_what_is_said_of_a_card():
    """The full model at 256 px fits both cards; a step is projected for each chip that has the precision."""
    options = Options(device_target="Ascend", iteration=1000)
    text = planner.describe(options, 1000, None)
    assert 10 < planner.estimate(options).total / planner.GIB < 32 * planner.CARD_SHARE
    assert "\nmemory of a card: fits 32 GB narrowly, fits 64 GB (" in text and "not run on a card" in text
    light = dataclasses.replace(options, light=True)
    assert "memory of a card: fits 32 GB, fits 64 GB (" in planner.describe(light, None, None)
    first, second = (line for line in text.splitlines() if line.startswith("time, projected, never run on a card: "))
    assert "Ascend 910 in float16: " in first and "Ascend 910B in hf32: " in second
    assert re.search(
        r"convolutions \d+, casts \d+, other layers \d+, weights \d+, loss scale \d+, launches \d+ to \d+;", first
    )
    assert "for 1000 steps" in first and "640 ms a step" in text and "123 ms" in text
    assert planner.warning(options) == ""
    asked = planner.describe(dataclasses.replace(options, precision="float32", n_res=2), None, None)
    assert (
        "Ascend 910 in" not in asked and "Ascend 910B in float32" in asked and "counted for n_res 4, n_dis 6" in asked
    )
    # float16 keeps the discriminators' weights and moments until the generators' gradients are known to be finite
    layers = costs.networks(ch=64, n_res=4, n_dis=6, height=256, width=256, img_ch=3, light=False)
    d_weights = sum(4 * layer.weights for name, its in layers.items() if name.startswith("dis") for layer in its)
    hf32 = planner.estimate(dataclasses.replace(options, precision="hf32"))
    assert planner.estimate(options).gradients - hf32.gradients == 3 * d_weights
    large = dataclasses.replace(options, img_size=384)
    assert "memory of a card: does not fit 32 GB, fits 64 GB" in planner.describe(large, None, None)
    assert "Ascend's first 910 has 32: take a card of 64 GB, or give --light" in planner.warning(large)
    assert "card of 64" not in planner.warning(dataclasses.replace(options, img_size=768))
    assert "does not fit 64 GB" in planner.describe(dataclasses.replace(options, img_size=768), None, None)


def test_what_is_said_of_recompute_is_what_the_records_say():
    peaks = {entry["name"]: entry["median"] for entry in RECORD if entry["unit"] == "mib"}
    for size in (128, 256):
        name = f"light, {size} px, ch 64, batch 1"
        assert 0.18 < 1 - peaks[f"{name}, recompute True: peak"] / peaks[f"{name}: peak"] < 0.25
    [help] = [field.metadata["help"] for field in dataclasses.fields(Options) if field.name == "recompute"]
    assert "on the CPU a fifth less memory" in help
    assert "`--recompute true` (on the CPU a fifth less," in (RESULTS.parents[1] / "tools" / "TRAINING.md").read_text()
