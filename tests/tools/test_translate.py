"""tools/translate.py refuses bad input in one line, before MindSpore is imported. Its work is tested in tests/train."""

import importlib.util
import math
import os

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photo.png",), ("required: --out",)),
        (("photo.png", "--out", "new"), ("one of the arguments --checkpoint --mindir --onnx is required",)),
        (("photo.png", "--onnx", "no.onnx", "--out", "new"), ("no.onnx: no such file",)),
        (("photo.png", "--onnx", "photo.png", "--out", "new"), ("photo.png: is an empty file", "again")),
        (("photo.png", "--onnx", "no.onnx", "--out", "new", "--size", "255"), ("255 is not a size such as 256",)),
        (("photo.png", "--onnx", "a", "--out", "new", "--tiles", "--keep_size"), ("not allowed with",)),
        (("*.jpg", "--onnx", "a", "--out", "new"), ("*.jpg: matches no file",)),
        (("photo.png", "--checkpoint", "run", "--out", "new", "--directoin", "a2b"), ("did you mean --direction?",)),
        (("photo.png", "--checkpoint", "run", "--out", "new", "--direction", "ab"), ("'a2b', 'b2a'",)),
        (("none.png", "--checkpoint", "run", "--out", "new"), ("none.png: no such picture or folder",)),
        (("empty", "--checkpoint", "run", "--out", "new"), ("empty: holds no file",)),
        (("photo.png", "--checkpoint", "none", "--out", "new"), ("none: no such folder", "--output_path")),
        (("photo.png", "--checkpoint", "run", "--out", "full"), ("full exists", "another --out")),
        (("photo.png", "--checkpoint", "run", "--out", "photo.png"), ("photo.png exists",)),
    ],
)
def test_bad_input(run_tool, refused, tmp_path, no_mindspore, arguments, words):
    (tmp_path / "photo.png").write_bytes(b"")
    for folder in ("empty", "run", "full"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    before = sorted(os.listdir(tmp_path))
    refused(run_tool("translate", *arguments, cwd=tmp_path, env=no_mindspore), *words)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "full" / "mine").read_text() == "x"


def test_a_folder_without_a_checkpoint(run_tool, refused, tmp_path, no_mindspore):
    (tmp_path / "photo.png").write_bytes(b"")
    (tmp_path / "run").mkdir()
    arguments = (tmp_path / "photo.png", "--checkpoint", tmp_path / "run", "--out", tmp_path / "new")
    refused(run_tool("translate", *arguments), "run/checkpoints: no checkpoint yet: give the folder of a run that")
    assert not (tmp_path / "new").exists()


def test_openvino_needs_no_mindspore_and_is_said(run_tool, untrained_run, no_mindspore, picture_folder, tmp_path):
    pytest.importorskip("openvino")
    arguments = ("--checkpoint", untrained_run, "--out", tmp_path / "out", "--heatmap")
    done = run_tool("translate", picture_folder / "testA" / "0.png", *arguments, env=no_mindspore)
    assert done.returncode == 0, done.stderr
    device, engine, *_ = done.stdout.splitlines()
    assert device == "device: CPU" and engine.startswith("engine: openvino ")
    assert engine.endswith(" (auto: 100 pictures or fewer)")
    assert sorted(os.listdir(tmp_path / "out")) == ["0.heatmap.png", "0.png"]


def test_an_engine_that_does_not_fit(tool, untrained_run, picture_folder, tmp_path):
    line = ("translate", picture_folder / "testA" / "0.png", "--out", tmp_path / "new", "--engine", "openvino")
    said = (
        "--engine is for --checkpoint; an ONNX file runs by onnxruntime, a MINDIR file by MindSpore: "
        "leave --engine out\n"
    )
    assert tool(*line, "--onnx", "x.onnx")[::2] == (2, f"ugatit translate: {said}")
    complaint = tool(*line, "--checkpoint", untrained_run, "--device_target", "Ascend")[2]
    assert complaint.startswith("ugatit translate: --engine openvino: runs on the CPU")
    assert not (tmp_path / "new").exists()


def test_why_auto_takes_mindspore(write_run, tmp_path, monkeypatch):
    from tools import opening, translate

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    run = write_run(tmp_path / "run", img_size=256, light=True, ch=2, n_res=1, n_dis=4)
    for pictures, more, why in (
        (101, [], "many pictures"),
        (math.inf, [], "a video of unknown length"),
        (1, ["--tiles"], "--tiles"),
    ):
        options = translate.parser().parse_args(["x.png", "--out", "y", "--checkpoint", str(run), *more])
        assert opening.choose_engine(options, pictures) == ("mindspore", f"auto: {why}")


def test_weights_too_large_for_another_engine_are_mindspores_and_it_is_said(
    tool, untrained_run, picture_folder, tmp_path, monkeypatch
):
    pytest.importorskip("openvino")
    from ugatit_train.exchange import engines

    monkeypatch.setattr(engines, "ONE_FILE", 1000)
    line = ("translate", picture_folder / "testA" / "0.png", "--checkpoint", untrained_run, "--out", tmp_path / "new")
    assert "engine: mindspore " in (said := tool(*line)[1]) and "(auto: the weights are too large for openvino)" in said
    code, _, complaint = tool(*line[:-1], tmp_path / "other", "--engine", "openvino")
    assert code == 2 and complaint.endswith("2 are the most: give --engine mindspore\n")
