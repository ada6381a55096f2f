"""The demo's record: what a finished demo says of itself, as a table; the READMEs' figures of it are its own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from .conftest import BENCHMARKS

FIGURES = {
    "seconds": {"sample data": 2.0, "train": 400.0},
    "difference, input": 40.0,
    "difference, translated": 20.0,
    "ratio": 0.5,
    "ratio, change of colour": 0.4,
    "edges, translated": 0.61,
    "edges, input": 0.83,
    "edges, change of colour": 0.84,
}


@pytest.fixture
def demo(load):
    return load("demo")


def finished(command, **_):
    """In place of the demo: leaves the files that the real one leaves."""
    out = command[command.index("--out") + 1]
    run = Path(out) / "run"
    run.mkdir(parents=True)
    (run.parent / "figures.json").write_text(json.dumps(FIGURES))
    steps = [(1, 37.4, 5.0), (2, 0.0, 0.3), (3, 0.0, 0.5), (4, 0.0, 0.4)]
    lines = [{"step": n, "d_loss": 1, "compile_s": c, "step_s": s, "data_wait_s": 1e-4} for n, c, s in steps]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return SimpleNamespace(returncode=0)


def test_the_record_is_that_of_a_finished_demo(demo, load, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        patched.setattr(demo, "subprocess", SimpleNamespace(run=finished))
        assert demo.main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "demo.json")]) == 0
    record = json.loads((tmp_path / "demo.json").read_text())
    found = {entry["name"]: entry["median"] for entry in record["results"]}
    assert found.pop("all") < 60
    assert found == {
        **{name: value for name, value in FIGURES.items() if name != "seconds"},
        **{"stage: sample data": 2.0, "stage: train": 400.0, "compilation": 37.4},
        **{"a step, median": 0.4, "a step, fastest": 0.3, "data wait of a step": 0.1},
    }
    assert record["data"]["training"]["n_res"] == 1 and record["measured"]
    [entry] = [entry for entry in record["results"] if entry["name"] == "all"]
    entry["median"] = 524.4
    table = load("tables").of(record)
    assert "| ratio | 0.500 (the best affine change of colour: 0.400) |" in table
    assert "| 400 s / 8 min 44 s |" in table and "| 0.40 s (fastest 0.30 s; wait for data 0.10 ms) |" in table


def test_a_demo_that_fails_leaves_no_record(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "subprocess", SimpleNamespace(run=lambda *_, **__: SimpleNamespace(returncode=2)))
    assert demo.main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "demo.json")]) == 2
    assert not (tmp_path / "demo.json").exists()


def test_a_folder_that_is_there_is_not_measured_as_new(demo, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        demo.main(["--work", str(tmp_path)])
    assert ended.value.code == 2 and "exists: remove it, or give another --work" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["demo", "learning"])
def test_a_record_is_of_the_demo_of_today(demo, name):
    """Another option of the demo changes its figures: measure again."""
    record = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())
    tool = demo.demo
    assert record["data"]["training"] == tool.training(tool.settings_of(tool.parser().parse_args([])))
