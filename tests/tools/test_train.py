"""tools/train.py refuses bad input in one line, within a second or two: before MindSpore is imported."""

import errno
import json
import os
import re
import sys

import pytest

from ugatit_train.errors import UgatitError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--iteratoin", 3), ("--iteratoin: unknown option", "did you mean --iteration?")),
        (("--img_size", 66), ("--img_size 66 is not a multiple of 4", "64 or 68")),
        (("--genA2B_ckpt", "[1"), ("--genA2B_ckpt [1", "tools/export.py")),
        (("--ch", "many"), ("--ch many", "whole number")),
        (("--config", "none.yaml"), ("none.yaml", "No such file")),
        (("--data_path", "none"), ("none: no such data set", "tools/convert_dataset.py")),
        (("--dataset", "none"), ("dataset/none: no such data set",)),
        (("--output_path", "none", "--resume"), ("no run in none",)),
    ],
)
def test_bad_input(run_tool, refused, no_mindspore, tmp_path, arguments, words):
    before = sorted(tmp_path.rglob("*"))
    refused(run_tool("train", *arguments, cwd=tmp_path, env=no_mindspore), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_copy_that_cannot_be_written(run_tool, refused, no_mindspore, tmp_path):
    (tmp_path / "file").touch()
    line = ("train", "--enable_modelarts", "--data_url", "s3://bucket/data", "--data_path", "file/x/y")
    refused(run_tool(*line, cwd=tmp_path, env=no_mindspore), "file/x: Not a directory: check the path")


def test_pictures_in_place_of_a_data_set(run_tool, refused, no_mindspore, pictures):
    refused(run_tool("train", "--data_path", pictures, env=no_mindspore), f"tools/convert_dataset.py {pictures} OUT")


def test_a_data_set_of_another_format_version(run_tool, refused, no_mindspore, dataset, tmp_path):
    body = json.loads((dataset / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps(body | {"version": body["version"] + 1}))
    found = run_tool("train", "--data_path", tmp_path, env=no_mindspore)
    refused(found, "dataset.json", f"format version {body['version'] + 1}", "Convert the images again")


def test_a_damaged_data_set(run_tool, refused, no_mindspore, dataset, tmp_path):
    (tmp_path / "dataset.json").write_text((dataset / "dataset.json").read_text().replace('"rows": 4', '"rows": 5'))
    refused(run_tool("train", "--data_path", tmp_path, env=no_mindspore), "dataset.json: damaged", "Restore the file")


def test_an_output_that_exists(run_tool, refused, no_mindspore, dataset, tmp_path):
    arguments = ("--data_path", dataset, "--output_path", tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("x")
    refused(run_tool("train", *arguments, env=no_mindspore), "exists and is not empty: give another --output_path")
    (tmp_path / "run" / "options.yaml").write_text("ch: 8\n")
    refused(run_tool("train", *arguments, env=no_mindspore), "give --resume to go on")
    (tmp_path / "file").write_text("x")
    refused(run_tool("train", *arguments[:3], tmp_path / "file", env=no_mindspore), "is a file")
    refused(run_tool("train", *arguments[:3], tmp_path / "file" / "run", env=no_mindspore), "file: is a file")
    assert (tmp_path / "run" / "mine").read_text() == "x"


def test_a_run_that_saved_nothing_can_be_begun_again(tool, dataset, tmp_path, monkeypatch):
    """By the same command; one that has saved, and what a user has put there, stay as they are."""
    from ugatit_train.options import config, saved
    from ugatit_train.training import loop, runfolder

    run = tmp_path / "run"
    trained = []
    monkeypatch.setattr(loop, "train", lambda options, _: trained.append(options))
    line = ("train", "--data_path", dataset, "--output_path", run, "--light", "--ch", 2, "--img_size", 32, "--n_dis", 4)
    (run / "checkpoints" / "step-00000001.partial").mkdir(parents=True)
    saved.save(config.Options(), run / "options.yaml")
    for name in ("train.log", "index.html", "metrics.jsonl", "metrics.jsonl.partial", "evaluations.jsonl"):
        (run / name).write_text("")
    assert tool(*line)[0] == 0 and len(trained) == 1
    options = config.Options(output_path=str(run))
    with pytest.raises(config.OptionError, match="exists and is not empty"):
        runfolder.check(options, anew=False)  # where no lock can tell that another training is at work there
    with pytest.raises(UgatitError, match="no checkpoint yet: leave --resume out, and it begins anew"):
        runfolder.resume(config.Options(output_path=str(run), resume=True), 1, "id", {})
    for there in (run / "notes.txt", *(run / "checkpoints" / name for name in ("step-00000001", "best-00000001"))):
        there.mkdir()
        code, _, complaint = tool(*line)
        assert code == 2 and "exists and is not empty: give --resume to go on with its run, or" in complaint
        there.rmdir()
    assert len(trained) == 1


def test_an_output_that_cannot_be_written(tool, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    code, _, complaint = tool("train", "--data_path", dataset, "--output_path", tmp_path / "a" / "run")
    assert code == 2
    assert complaint == f"ugatit train: {tmp_path}: is not writable for this user: give another --output_path\n"


def test_a_full_disk_names_the_run_and_the_remedy(tool, dataset, tmp_path, monkeypatch):

    def no_space(_options, _open_judge):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # what a write, unlike an open, raises

    from ugatit_train.training import loop

    monkeypatch.setattr(loop, "train", no_space)
    small = ("--light", "--ch", 2, "--img_size", 32, "--n_dis", 4)  # fits wherever the tests run
    code, _, complaint = tool("train", "--data_path", dataset, "--output_path", tmp_path / "run", *small)
    assert code == 1
    assert complaint == (
        f"ugatit train: {tmp_path / 'run'}: No space left on device: "
        "when that is mended, --resume goes on from the last checkpoint\n"
    )


def test_dry_run_prints_the_resolved_options_and_makes_nothing(run_tool, no_mindspore, dataset, tmp_path):
    run = ("--data_path", dataset, "--output_path", tmp_path / "run")
    arguments = (*run, "--light", "--epoch", 2, "--ch", 8, "--dry_run")
    done = run_tool("train", *arguments, env=no_mindspore)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# device: CPU\n")
    assert "light: true\n" in done.stdout and "epoch: 2\n" in done.stdout
    assert re.search(r"^# memory, estimated: \d+\.\d GiB \(weights ", done.stdout, re.MULTILINE)
    assert re.search(r"^# time, estimated: \d+\.\d\d s a step, .* for 8 steps ", done.stdout, re.MULTILINE)
    too_large = run_tool("train", *arguments, "--img_size", 4096, env=no_mindspore)
    assert too_large.returncode == 0
    assert too_large.stderr.count("\n") == 1 and "GiB are needed, CPU has" in too_large.stderr
    assert not (tmp_path / "run").exists()


def test_dry_run_warns_of_a_run_that_is_meant_for_a_card(tool, dataset, tmp_path):
    line = ("train", "--data_path", dataset, "--output_path", tmp_path / "run", "--dry_run")
    code, said, complaint = tool(*line)  # the paper's million steps
    assert code == 0 and "# time, estimated: " in said
    assert re.search(
        r"^ugatit train: on this CPU this run takes \d+ days: it is meant for a card", complaint, re.MULTILINE
    )
    assert "meant for a card" not in tool(*line, "--light", "--img_size", 64, "--n_dis", 5, "--iteration", 100)[2]


def test_dry_run_checks_the_schedule_against_the_data_set(run_tool, refused, no_mindspore, dataset):
    arguments = ("--data_path", dataset, "--decay_epoch", 3, "--iteration", 11, "--dry_run")  # 4 images: step 12
    refused(run_tool("train", *arguments, env=no_mindspore), "--decay_epoch 3 is step 12, after the last step 11")
    done = run_tool("train", *arguments, "--distributed", "true", env=no_mindspore)
    assert done.returncode == 0, done.stderr


def test_help_is_a_manual(run_tool, no_mindspore):
    done = run_tool("train", "--help", env=no_mindspore)
    assert done.returncode == 0
    for words in ("Examples:", "--n_dis", "Exit code", "multiples of 4"):
        assert words in " ".join(done.stdout.split())


def test_the_block_works(run_tool, no_mindspore):
    """The premise of the tests above: with `no_mindspore`, an import of MindSpore fails."""
    import subprocess

    command = [sys.executable, "-c", "import mindspore"]
    assert (
        b"mindspore was imported" in subprocess.run(command, env=no_mindspore, capture_output=True, check=False).stderr
    )
