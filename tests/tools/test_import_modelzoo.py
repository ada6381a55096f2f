"""From the model zoo's .ckpt to a run, a MINDIR or ONNX file and a picture, as a user does it."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the twin of the model zoo's generator is in PyTorch")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Its light generator of 32 pixels, written as its training writes one; and the twin's module."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    try:
        from mindspore import Parameter, Tensor, save_checkpoint
        from train.exchange import test_modelzoo as twin
    finally:
        sys.path.pop(0)
    path = tmp_path_factory.mktemp("zoo") / "selfie2anime_genA2B_params_latest.ckpt"
    arrays = twin.its_generator(light=True)
    listed = [{"name": f"generator.genA2B.{name}", "data": Parameter(Tensor(a))} for name, a in arrays.items()]
    save_checkpoint(listed, str(path))
    return path, arrays, twin


def test_a_run_and_an_exported_file_make_its_picture(tool, file, tmp_path):
    path, arrays, twin = file
    code, said, complaint = tool("import_modelzoo", tmp_path / "run", "--genA2B_ckpt", path, "--img_size", 32)
    assert (code, said, complaint) == (
        0, f"{tmp_path / 'run'}: genA2B, light, 32 px, ch 4, n_res 4; import.txt lists every array\n", "",
    )  # fmt: skip
    assert tool("import_modelzoo", tmp_path / "run", "--genA2B_ckpt", path)[0] == 2  # it exists
    # The export compares the file with MindSpore's network of the imported weights.
    arguments = ("--out", tmp_path / "out", "--export_file_format", "ONNX", "--size", 32)
    code, said, complaint = tool("export", "--genA2B_ckpt", path, *arguments)
    assert code == 0 and "on 5 random pictures it differs from the checkpoint by" in said, complaint
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["genA2B.onnx"]

    from ugatit_train.inference import models

    x = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "x.png"), x[..., ::-1])
    made = models.from_onnx(tmp_path / "out" / "genA2B.onnx")(x)
    expected, _ = twin.its_picture(arrays, (x / 127.5 - 1).transpose(2, 0, 1)[None].astype(np.float32), True, 1)
    assert np.abs(made - (expected[0].transpose(1, 2, 0) + 1) * 127.5).max() < 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import_modelzoo", "run"), "give --genA2B_ckpt, --genB2A_ckpt, or both"),
        (("import_modelzoo", "run", "--genB2A_ckpt", "FILE"), "holds genA2B, not genB2A: give it as --genA2B_ckpt"),
        (("export", "--genB2A_ckpt", "FILE", "--out", "out"), "holds genA2B, not genB2A: give it as --genA2B_ckpt"),
        (("export", "--genA2B_ckpt", "none.ckpt", "--out", "out"), "none.ckpt: no such folder"),
        (
            ("translate", "x.png", "--checkpoint", "FILE", "--out", "out"),
            "make a run of it with ugatit import_modelzoo",
        ),
        (("evaluate", "--checkpoint", "FILE", "--out", "out"), "make a run of it with ugatit import_modelzoo"),
    ],
)
def test_what_does_not_fit_is_refused(tool, file, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, complaint = tool(*(str(file[0]) if word == "FILE" else word for word in arguments))
    assert code == 2 and words in complaint and complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())
