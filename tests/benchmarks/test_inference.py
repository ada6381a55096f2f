"""The benchmark of translation runs, tiny: every implementation has its samples, and the table names the best."""

from __future__ import annotations

import argparse
import json

import pytest


def test_engines_and_peers_take_turns_in_one_record(load, tmp_path, capsys):
    for package in ("openvino", "onnxruntime"):
        pytest.importorskip(package)
    tiny = ("--sizes", "32", "--batches", "2", "--ch", "2", "--n_res", "1", "--rounds", "2", "--commands", "0")
    out = tmp_path / "record.json"
    implementations = ("--implementations", "openvino", "onnxruntime")
    assert load("inference").main([*tiny, *implementations, "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    found = {entry["name"]: entry for entry in record["results"]}
    names = [
        f"32 px, batch 2: {name}{what}"
        for name in ("openvino", "onnxruntime")
        for what in ("", ", first call", " / best")
    ]
    assert list(found) == names and all(len(found[name]["samples"]) == 2 for name in names[::3])
    assert min(found[name]["median"] for name in names[2::3]) == 1
    assert found[names[0]]["median"] < found[names[1]]["median"], "the first call builds the network"
    table = load("tables").of(record)
    assert "| seconds a call, x the best | openvino | onnxruntime |" in table and table.count("**") == 2


def test_a_number_of_commands_below_0_is_refused(load, capsys):
    with pytest.raises(SystemExit):
        load("inference").main(["--commands", "-2"])
    assert "--commands: -2: give 0 or more" in capsys.readouterr().err


def test_the_peers_pictures_are_ours(load, tmp_path):
    import numpy as np

    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    worker, run = load("inference_worker"), load("inference").write_run(tmp_path / "run", 2, 1, 32)
    asked = {"ch": 2, "n_res": 1, "size": 16, "threads": 1}
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    made = [opener(name, run, asked)(x) for opener, name in ((worker._torch, "torch"), (worker._ours, "onnxruntime"))]
    for one, other in zip(*made, strict=True):
        assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()


class Mortal:
    """Stands for `step_time.Worker`: torch dies on its third call."""

    def __init__(self, implementation, options, shape, tree=None):
        self.left, self.skipped = (2 if options["of"] == "torch" else 9), None

    def ask(self, steps):
        self.left -= 1
        self.skipped = None if self.left >= 0 else "its process ended with -9: "
        return {} if self.skipped else {"seconds": [float(self.left)] * steps}

    def close(self):
        pass


def test_a_worker_that_dies_leaves_the_others_figures(load, tmp_path, monkeypatch):
    inference = load("inference")
    monkeypatch.setattr(load("step_time"), "Worker", Mortal)
    options = argparse.Namespace(implementations=["openvino", "torch"], rounds=3, ch=2, n_res=1, threads=1)
    found = {entry["name"]: entry for entry in inference.measure(tmp_path, 32, 2, options)}
    assert found["32 px, batch 2: openvino"]["samples"] == [7, 6, 5]
    assert found["32 px, batch 2: openvino / best"]["samples"] == [1]
    assert found["32 px, batch 2: torch"]["skipped"] == "its process ended with -9: "
    assert len(found) == 4


def test_a_process_that_died_between_two_calls_is_said(load, tmp_path, monkeypatch):
    step_time = load("step_time")
    says = ["{'ready': 0}", "{'seconds': [1]}"]
    lines = [f"print(json.dumps({says[0]}), flush=True)", "sys.stdin.readline()", f"print(json.dumps({says[1]}))"]
    (tmp_path / "step_worker.py").write_text("\n".join(["import json, sys", *lines, "sys.exit('no memory')"]))
    monkeypatch.setattr(step_time, "HERE", tmp_path)
    worker = step_time.Worker("generator", {}, {})
    assert worker.ask(1) == {"seconds": [1]}
    worker.process.wait(30)
    assert worker.ask(1) == {} and worker.skipped == "its process ended with 1: no memory"
    worker.close()


def test_a_command_that_fails_is_in_the_record(load, tmp_path, monkeypatch):
    inference = load("inference")
    monkeypatch.setattr(inference, "TRANSLATE", tmp_path / "translate.py")
    (tmp_path / "translate.py").write_text("import sys\nif 'openvino' in sys.argv: sys.exit('openvino: no such file')")
    options = argparse.Namespace(implementations=["mindspore", "openvino", "torch"], commands=2, sizes=[32])
    mindspore, openvino = inference.commands(tmp_path / "run", tmp_path, options)
    assert len(mindspore["samples"]) == 2
    assert openvino["name"].endswith("the whole command: openvino")
    assert openvino["skipped"] == "the command ended with 1: openvino: no such file"
