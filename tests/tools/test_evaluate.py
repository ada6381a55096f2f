"""tools/evaluate.py as a user runs it: the README's commands, what it prints, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def inception_ckpt(tmp_path_factory):
    """An InceptionV3 of random weights as tools/import_inception.py would write it."""
    from ugatit_train import inception, inception_weights

    draw = np.random.default_rng(0)
    weights = {
        name: (draw.standard_normal(p.shape) * np.sqrt(2 / max(1, np.prod(p.shape[1:])))).astype(np.float32)
        for name, p in inception.Inception().parameters_and_names()
    }
    path = tmp_path_factory.mktemp("inception") / "inception.ckpt"
    inception_weights.save(weights, path)
    return path


def test_kid_with_inception_and_a_bad_picture_is_named(
    run_tool, untrained_run, test_pictures, inception_ckpt, tmp_path
):
    arguments = ("--checkpoint", untrained_run, "--out", "evaluated", "--data_path", test_pictures)
    done = run_tool("evaluate", *arguments, "--direction", "a2b", "--features", inception_ckpt, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    first, second = done.stderr.splitlines()
    assert "testA/cut.png: truncated" in first and first.endswith(": left out") and "testA/text.png" in second
    assert "a2b: 5 pictures, built in" in done.stdout
    assert "a2b: kid to testB" in done.stdout and "the untouched pictures'" in done.stdout
    result = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
    assert result["metric"] == "kid" and result["features"].startswith("inception.ckpt, sha256 ")
    assert set(result["a2b"]) >= {"kid", "kid_identity", "better_than_identity", "legacy_mixed_kid_x100"}
    assert sorted(os.listdir(tmp_path / "evaluated")) == ["a2b", "contact_sheet.png", "metrics.json"]


def test_the_launcher_and_the_runs_own_data(untrained_run, test_pictures, tmp_path):
    """tools/run_eval.sh; a run whose options name the data needs no --data_path."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(untrained_run / "checkpoints")
    saved = (untrained_run / "options.yaml").read_text()
    (run / "options.yaml").write_text(saved.replace("data_path: none", f"data_path: {test_pictures}"))
    script = Path(__file__).parents[2] / "tools" / "run_eval.sh"
    arguments = ["0", "--checkpoint", run, "--out", tmp_path / "out", "--direction", "b2a"]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(["bash", script, *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stderr  # of the two bad pictures in testA, which are the target here
    assert "b2a: smoke_mmd to testA" in done.stdout
    done = subprocess.run(["bash", script, "first"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and "Usage: tools/run_eval.sh DEVICE_ID" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--checkpoint", "run"), ("--out",)),
        (("--checkpoint", "run", "--out", "new", "--feature", "x"), ("did you mean --features?",)),
        (("--checkpoint", "run", "--out", "new", "--direction", "ab"), ("'a2b', 'b2a', 'both'",)),
        (("--checkpoint", "none", "--out", "new"), ("none: no such folder", "--output_path")),
        (("--checkpoint", "run", "--out", "full"), ("full exists", "another --out")),
        (("--checkpoint", "run", "--out", "new"), ("options.yaml: No such file",)),
        (("--checkpoint", "run", "--out", "new", "--data_path", "full"), ("full: neither a data set", "--data_path")),
    ],
)
def test_bad_input(run_tool, refused, tmp_path, no_mindspore, arguments, words):
    for folder in ("run", "full"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    refused(run_tool("evaluate", *arguments, cwd=tmp_path, env=no_mindspore), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_without_a_checkpoint_and_features_that_are_none(
    run_tool, refused, test_pictures, untrained_run, tmp_path
):
    (tmp_path / "run").mkdir()
    arguments = ("--out", tmp_path / "new", "--data_path", test_pictures)
    refused(run_tool("evaluate", "--checkpoint", tmp_path / "run", *arguments), "no checkpoint yet")
    done = run_tool("evaluate", "--checkpoint", untrained_run, *arguments, "--features", "none.ckpt")
    refused(done, "none.ckpt: no such file of an InceptionV3")
    assert os.listdir(tmp_path) == ["run"]
