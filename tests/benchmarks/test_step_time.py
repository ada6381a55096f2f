"""The step benchmark runs, tiny, and leaves a record with all of its samples; its parts do what they say."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ugatit_train.forms import CPU

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_step_time(tmp_path):
    """Ours beside a peer that is there, or is recorded as skipped where torch is not installed."""
    out = tmp_path / "records" / "step_time.json"
    shape = ("--sizes", 24, "--ch", 2, "--n_res", 1, "--n_dis", 4, "--rounds", 2)
    command = [sys.executable, BENCHMARKS / "step_time.py", "--out", out, *shape, "--ceiling_scale", 0.05]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written["benchmark"] == "step_time"
    results = {entry["name"]: entry for entry in written["results"]}
    assert len(results["24 px: ours"]["samples"]) == 2
    assert results["24 px: ours, first step"]["median"] > results["24 px: ours"]["median"]
    assert results["24 px: ours, peak memory"]["median"] > 300
    assert len(results["24 px: ours, data wait"]["samples"]) == 2
    assert len(results["24 px: ceiling, sgemm"]["samples"]) == 3
    assert results["24 px: ceiling, copy"]["median"] > 0.1
    if importlib.util.find_spec("torch"):
        assert len(results["24 px: torch"]["samples"]) == len(results["24 px: ours / torch"]["samples"]) == 2
        assert results["24 px: ours / floor"]["median"] > 1
    else:
        assert results["24 px: torch"]["skipped"] == "torch is not installed"
        assert results["24 px: ceiling, convolution"]["skipped"] == "torch is not installed"
    assert "| 24 px: ours |" in done.stdout


def test_each_saving_is_one_form_of_the_cpu_and_has_another_in_its_place(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    step_time = importlib.import_module("step_time")
    for change in step_time.SAVINGS.values():
        other = dataclasses.replace(CPU, **change)
        assert [f.name for f in dataclasses.fields(CPU) if getattr(CPU, f.name) != getattr(other, f.name)] == [*change]


class StandIn:
    """A worker whose steps take what its implementation says, and the n-th step n times as long."""

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


def test_savings_are_compared_in_turn_with_ours(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    step_time = importlib.import_module("step_time")
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
