"""The benchmark of translation runs, tiny: every implementation has its samples, and the table names the best."""

from __future__ import annotations

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
