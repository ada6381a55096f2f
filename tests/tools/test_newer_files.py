"""A checkpoint that a later version wrote ends each tool that reads one with exit 2 and one line, not a traceback."""

import json
import shutil

import cv2
import numpy as np
import pytest

from ugatit_train.training import checkpoint


@pytest.fixture
def newer_run(untrained_run, tmp_path):
    """newer_run(change) -> a run whose `checkpoint.json` is changed, digest included."""

    def make(change):
        run = tmp_path / "run"
        shutil.copytree(untrained_run, run)
        [file] = run.glob("checkpoints/step-*/checkpoint.json")
        body = json.loads(file.read_text())
        del body["digest"]
        change(body)
        body["digest"] = checkpoint.sha256_hex(checkpoint.canonical(body))
        file.write_text(json.dumps(body))
        return run

    return make


def one_option_more(body):
    body["options"]["sharpness"] = 1.5


def a_value_of_later(body):
    body["options"]["padding"] = "circular"


def no_options(body):
    body["options"] = None


def no_step(body):
    del body["step"]


def another_folder(body):
    body["files"] = {"../genA2B.safetensors": {"bytes": 1, "sha256": ""}}


def a_list(body):
    body["files"]["genA2B.safetensors"] = []


def a_text(body):
    body["format_version"] = "1"


def a_later_version(body):
    body["format_version"] = 2


@pytest.mark.parametrize("name", ["translate", "evaluate", "export", "export_pytorch"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (one_option_more, "checkpoint.json: unknown option sharpness: use the version of ugatit that wrote it"),
        (a_value_of_later, "checkpoint.json: --padding circular: give reflect or zero"),
        (
            a_later_version,
            "checkpoint.json: format version 2, this program reads 1: use the version of ugatit that",
        ),
    ],
)
def test_a_file_of_a_later_version_is_refused_in_one_line(tool, newer_run, tmp_path, name, change, words):
    run, out = newer_run(change), tmp_path / "out"
    cv2.imwrite(str(tmp_path / "testA.png"), np.zeros((32, 32, 3), np.uint8))
    for domain in ("testA", "testB"):
        (tmp_path / "pictures" / domain).mkdir(parents=True)
        shutil.copy(tmp_path / "testA.png", tmp_path / "pictures" / domain)
    arguments = {
        "translate": ("translate", tmp_path / "testA.png", "--checkpoint", run, "--out", out),
        "evaluate": ("evaluate", "--checkpoint", run, "--data_path", tmp_path / "pictures", "--out", out),
        "export": ("export", "--checkpoint", run, "--out", out, "--export_file_format", "ONNX"),
        "export_pytorch": ("export_pytorch", run, tmp_path / "out.pt"),
    }[name]
    code, said, complaint = tool(*arguments)
    assert (code, said) == (2, "")
    assert complaint.count("\n") == 1 and words in complaint
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (no_options, "options"),
        (no_step, "step"),
        (another_folder, "../genA2B.safetensors"),
        (a_list, "genA2B.safetensors"),
        (a_text, "format_version"),
    ],
)
def test_what_a_matching_digest_says_nothing_of_is_checked(tool, newer_run, tmp_path, change, name):
    """Such as `"options": null`: whoever writes the digest may write anything."""
    run = newer_run(change)
    [folder] = run.glob("checkpoints/step-*")
    with pytest.raises(checkpoint.CheckpointError) as caught:
        checkpoint.read_meta(folder)
    assert str(caught.value) == (
        f"{folder}/checkpoint.json: {name} is missing or not as this program writes it: give another checkpoint"
    )
    code, _, complaint = tool("export_pytorch", run, tmp_path / "out.pt")
    assert code == 2 and complaint.endswith(
        "every checkpoint is damaged: give the folder of a run that has saved one\n"
    )


def test_a_checkpoint_without_the_state_of_its_data_is_no_start(untrained_run):
    from ugatit_train.options import config
    from ugatit_train.training import runfolder

    options = config.Options(load_path=str(untrained_run), resume=True)
    with pytest.raises(checkpoint.CheckpointError, match=r"says not where its data stood \(dataset_id\)"):
        runfolder.resume(options, 1, "id", {})
