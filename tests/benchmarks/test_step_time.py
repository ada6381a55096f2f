"""The benchmarks of real steps run, tiny, and leave records with all of their samples; savings are compared fairly."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import pytest

from ugatit_train.forms import CPU

from .conftest import BENCHMARKS

SHAPE = ("--sizes", 24, "--ch", 2, "--n_res", 1, "--n_dis", 4)


class OneOfOurs:
    """Stands for `step_time.Worker`: all that ask for ours get one real process, for compiling its step takes long."""

    def __init__(self, true, data):
        self.true, self.data, self.worker, self.asked, self.shape = true, data, None, [], None

    def __call__(self, implementation, options, shape, tree=None):
        if implementation != "ours":
            return self.true(implementation, options, shape, tree)
        self.asked.append(options)
        shape = shape | {"data": self.data}
        if self.worker is None:
            self.worker, self.shape = self.true("ours", {"use_global_norm": True}, shape), shape
        assert shape == self.shape
        return Lent(self.worker)


class Lent:
    """A worker that goes on after it is closed."""

    def __init__(self, worker):
        self.worker, self.ask = worker, worker.ask

    @property
    def skipped(self):
        return self.worker.skipped

    def close(self):
        pass


@pytest.fixture(scope="module")
def one_of_ours(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        step_time, pictures = map(importlib.import_module, ("step_time", "pictures"))
        data = pictures.dataset(tmp_path_factory.mktemp("pictures"), step_time.IMAGES, 24, "original")
    made = OneOfOurs(step_time.Worker, str(data))
    yield made
    if made.worker:
        made.worker.close()


@pytest.fixture
def asked(one_of_ours, load, monkeypatch):
    """Has both benchmarks take the one process; the options that they asked for."""
    for name in ("step_time", "memory"):
        monkeypatch.setattr(load(name), "Worker", one_of_ours)
    one_of_ours.asked.clear()
    return one_of_ours.asked


def test_step_time(run_here, asked):
    """Ours beside a peer; without torch, the peer is recorded as skipped."""
    written, said = run_here("step_time", *SHAPE, "--rounds", 2, "--ceiling_scale", 0.05)
    found = {entry["name"]: entry for entry in written["results"]}
    assert asked == [{}]
    assert len(found["24 px: ours"]["samples"]) == 2
    assert found["24 px: ours, first step"]["median"] > found["24 px: ours"]["median"]
    assert found["24 px: ours, peak memory"]["median"] > 300
    assert len(found["24 px: ours, data wait"]["samples"]) == 2
    assert len(found["24 px: ceiling, sgemm"]["samples"]) == 3
    assert found["24 px: ceiling, copy"]["median"] > 0.1
    if importlib.util.find_spec("torch"):
        assert len(found["24 px: torch"]["samples"]) == len(found["24 px: ours / torch"]["samples"]) == 2
        assert found["24 px: ours / floor"]["median"] > 1
    else:
        assert found["24 px: torch"]["skipped"] == "torch is not installed"
        assert found["24 px: ceiling, convolution"]["skipped"] == "torch is not installed"
    assert "| 24 px: ours |" in said


def test_memory(run_here, asked, tmp_path):
    """The memory benchmark leaves a record; a further run adds to it."""
    out = tmp_path / "records" / "memory.json"
    out.parent.mkdir()
    kept = {"name": "light, 8 px: peak", "unit": "mib", "samples": [1], "median": 1, "low": 1, "high": 1}
    out.write_text(json.dumps({"results": [kept], "options": {}, "commit": "1234"}))
    written, _ = run_here("memory", "--add", *SHAPE, "--options", "use_global_norm=true")
    assert asked == [{"use_global_norm": True}]
    first, peak, ratio, step, of_step = written["results"]
    assert first == {"commit": "1234"} | kept
    assert peak["name"] == "light, 24 px, ch 2, batch 1, n_res 1, use_global_norm True: peak"
    assert peak["tags"]["options"]["use_global_norm"] is True
    assert peak["median"] > 300
    assert 0.75 < ratio["median"] < 1.25
    assert len(step["samples"]) == 3 and step["median"] > 0 and of_step["median"] > 0
    assert step["tags"]["sgemm_gflop_per_s"] > 1


def test_each_saving_is_one_form_of_the_cpu_and_has_another_in_its_place(load):
    step_time = load("step_time")
    for change in step_time.SAVINGS.values():
        other = dataclasses.replace(CPU, **change)
        assert [f.name for f in dataclasses.fields(CPU) if getattr(CPU, f.name) != getattr(other, f.name)] == [*change]


class StandIn:
    """A worker whose n-th step takes n times its pace; the pace depends on the implementation."""

    started = []

    def __init__(self, implementation, options, shape, tree=None):
        changed = options.get("forms", {})
        self.pace = 3.0 if "tiles" in changed else 2.0 if "cam" in changed else 1.0
        self.steps, self.skipped = 0, None
        self.is_probe = implementation == "ceilings"
        self.started.append(changed or implementation)

    def ask(self, steps):
        if self.is_probe:
            return {"sgemm": 100.0, "convolution": 100.0, "copy": 10.0}
        taken = [self.pace * (self.steps + i + 1) for i in range(steps)]
        self.steps += steps
        return {"seconds": taken, "waits": [0.001] * steps, "losses": [1.0, 2.0], "peak_mib": 100.0}

    def close(self):
        pass


def test_savings_are_compared_in_turn_with_ours(load, monkeypatch, tmp_path, capsys):
    step_time = load("step_time")
    monkeypatch.setattr(step_time, "Worker", StandIn)
    shape = ["--sizes", "32", "--n_dis", "4", "--rounds", "3", "--implementations", "ours"]
    wanted = ["--savings", "winograd", "folded CAM"]
    assert step_time.main([*shape, *wanted, "--out", str(tmp_path / "r.json")]) == 0
    assert StandIn.started == ["ceilings", "ours", {"tiles": False}, {"cam": "doubled"}]
    results = {entry["name"]: entry for entry in json.loads((tmp_path / "r.json").read_text())["results"]}
    assert results["32 px: ours"]["samples"] == [2, 3, 4, 5, 6, 7, 8, 9, 10]  # alone, then beside each; the first apart
    plain = results["32 px: ours without winograd"]["samples"]
    assert plain == [6, 9, 12]
    assert results["32 px: ours without winograd / ours"]["samples"] == [6 / 5, 9 / 6, 12 / 7]
    assert results["32 px: ours without folded CAM / ours"]["samples"] == [4 / 8, 6 / 9, 8 / 10]
    with pytest.raises(SystemExit):
        step_time.main([*shape, "--savings", "nothing"])
    assert "--savings 'nothing': give some of winograd" in capsys.readouterr().err
