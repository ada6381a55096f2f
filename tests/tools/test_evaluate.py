"""What tools/evaluate.py refuses. Its work is tested in test_readme_evaluate.py and tests/train/evaluation."""

import os

import pytest


def test_phase_test_of_train_refuses_what_does_not_fit(run_tool, refused, no_mindspore, untrained_run, tmp_path):
    line = ("train", "--phase", "test", "--output_path", untrained_run)
    for arguments, words in (
        ((*line, "--light", "false"), "--phase test: the run in"),
        ((*line, "--compute_metrics"), "--compute_metrics needs --inception_ckpt_path"),
        (("train", "--compute_metrics", "--inception_ckpt_path", "x"), "--compute_metrics goes with --phase test"),
        (("train", "--phase", "test", "--output_path", tmp_path / "none"), "--phase test: no run in"),
        (line, "none: neither a data set with a test split nor a folder with testA and testB"),
    ):
        refused(run_tool(*arguments, env=no_mindspore), words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--checkpoint", "run"), ("--out",)),
        (("--checkpoint", "run", "--out", "new", "--feature", "x"), ("did you mean --features?",)),
        (("--checkpoint", "run", "--out", "new", "--direction", "ab"), ("'a2b', 'b2a', 'both'",)),
        (("--checkpoint", "none", "--out", "new"), ("none: no such folder", "--output_path")),
        (("--checkpoint", "run", "--out", "full"), ("full exists", "another --out")),
        (("--checkpoint", "run", "--out", "new"), ("run: no run and no checkpoint: give the folder of one",)),
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
    run_tool, refused, picture_folder, untrained_run, tmp_path
):
    (tmp_path / "run").mkdir()
    arguments = ("--out", tmp_path / "new", "--data_path", picture_folder)
    refused(run_tool("evaluate", "--checkpoint", tmp_path / "run", *arguments), "no checkpoint yet")
    done = run_tool("evaluate", "--checkpoint", untrained_run, *arguments, "--features", "none.ckpt")
    refused(done, "none.ckpt: no such file of an InceptionV3")
    assert os.listdir(tmp_path) == ["run"]
