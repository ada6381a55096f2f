"""What tools/evaluate.py refuses. Its work is tested in test_readme_evaluate.py and tests/train/evaluation."""

import os
import shutil

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


def test_a_full_folder_names_the_option_that_the_tool_has(tool, untrained_run, picture_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("of an earlier one")
    data, said = ("--data_path", picture_folder), f"{out} exists and is not an empty folder: give another "
    code, _, complaint = tool("evaluate", "--checkpoint", untrained_run, *data, "--out", out)
    assert (code, complaint) == (2, f"ugatit evaluate: {said}--out\n")
    line = ("--phase", "test", "--output_path", untrained_run, *data, "--eval_outputdir", out)
    code, _, complaint = tool("train", *line)
    assert (code, complaint) == (2, f"ugatit train: {said}--eval_outputdir\n")


def test_pictures_without_a_test_folder_are_refused_with_the_remedy(tool, untrained_run, picture_folder, tmp_path):
    shutil.copytree(picture_folder / "testA", tmp_path / "pictures" / "testA")
    line = ("--checkpoint", untrained_run, "--data_path", tmp_path / "pictures", "--out", tmp_path / "out")
    code, _, complaint = tool("evaluate", *line)
    assert code == 2 and complaint == (
        f"ugatit evaluate: {tmp_path / 'pictures'}: holds no picture in testB, which b2a is judged on: "
        "give a folder with pictures in testA and testB as --data_path\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", [".", "checkpoints/step-00000003"])
def test_a_relative_data_set_says_what_it_was_relative_to(tool, untrained_run, tmp_path, monkeypatch, part):
    from ugatit_train.options import arguments, saved

    run = tmp_path / "run"
    shutil.copytree(untrained_run, run)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    saved.save(arguments.load(run / "options.yaml"), run / "options.yaml")  # with data_path none
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    was = f"(the run was started in {tmp_path / 'project'}, and its data set was {tmp_path / 'project' / 'none'})"
    said = f"none: no such data set here {was}: give it as --data_path\n"
    assert tool("evaluate", "--checkpoint", run / part, "--out", "out")[::2] == (2, f"ugatit evaluate: {said}")
    if part == ".":
        assert tool("train", "--output_path", run, "--resume")[::2] == (2, f"ugatit train: {said}")
        assert tool("train", "--output_path", run, "--phase", "test")[::2] == (2, f"ugatit train: {said}")
        assert was not in tool("train", "--output_path", run, "--resume", "--data_path", "other")[2]


def test_an_evaluation_that_failed_can_be_given_again(tool, untrained_run, picture_folder, tmp_path, monkeypatch):
    from ugatit_train.evaluation import evaluate

    line = ("evaluate", "--checkpoint", untrained_run, "--data_path", picture_folder, "--out", tmp_path / "out")
    codes = []
    for error in (MemoryError(), OSError(28, "No space left on device", "a2b/1.png")):

        def fail(_checkpoint, _data, out, *_, error=error, **__):
            (out / "a2b").mkdir()
            (out / "a2b" / "0.png").write_text("whole")
            raise error

        monkeypatch.setattr(evaluate, "evaluate", fail)
        code, _, complaint = tool(*line)
        codes.append(code)
        assert f"the pictures in {tmp_path / 'out'} are whole; given again, it begins anew" in complaint
    assert codes == [1, 1]


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
