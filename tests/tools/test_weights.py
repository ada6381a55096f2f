"""--weights ema or raw, of the tools that take a run's generator: the average by default, and they say which."""

import json

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="module")
def averaged_run(write_run, tmp_path_factory):
    """`untrained_run`, with averages that are other weights."""
    folder = tmp_path_factory.mktemp("averaged") / "run"
    return write_run(folder, light=True, ch=4, n_res=1, n_dis=4, img_size=32, ema=0.9)


@pytest.fixture
def photo(tmp_path):
    coarse = np.random.default_rng(5).integers(0, 256, (4, 4, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), cv2.resize(coarse, (32, 32)))
    return tmp_path / "photo.png"


def test_translate_takes_the_average_and_says_so(tool, averaged_run, untrained_run, photo, tmp_path):
    made = {}
    for name, run, arguments, words in (
        ("average", averaged_run, [], "\nweights: ema, the average of the run's weights\n"),
        ("raw", averaged_run, ["--weights", "raw"], "\nweights: raw, the run's weights, no average\n"),
        ("plain", untrained_run, [], ""),
    ):
        code, said, complained = tool("translate", photo, "--checkpoint", run, "--out", tmp_path / name, *arguments)
        assert code == 0, complained
        assert said.endswith(words) and ("weights" in said) == (words != "")
        made[name] = cv2.imread(str(tmp_path / name / "photo.png"))
    assert (made["raw"] == made["plain"]).all() and (made["average"] != made["raw"]).any()


@pytest.mark.parametrize(("arguments", "taken"), [([], "ema"), (["--weights", "raw"], "raw")])
def test_evaluate_records_which(tool, averaged_run, picture_folder, tmp_path, arguments, taken):
    arguments = ["--data_path", picture_folder, "--direction", "a2b", "--out", tmp_path / "out", *arguments]
    _, said, _ = tool("evaluate", "--checkpoint", averaged_run, *arguments)
    assert f": step 3, weights {taken}\n" in said
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["weights"] == taken


def test_an_exported_file_has_the_average_and_cannot_give_the_weights(tool, averaged_run, photo, tmp_path):
    code, said, complained = tool(
        "export", "--checkpoint", averaged_run, "--out", tmp_path, "--export_file_format", "ONNX"
    )
    assert (code, complained) == (0, "") and said.endswith("\nweights: ema, the average of the run's weights\n")
    onnx = ["--onnx", tmp_path / "genA2B.onnx", "--out", tmp_path / "out"]
    code, _, complained = tool("translate", photo, *onnx, "--weights", "raw")
    assert code == 2 and "--weights raw: this file holds ema: export the other one" in complained
    assert tool("translate", photo, *onnx)[0] == 0


@pytest.mark.parametrize("name", ["translate", "evaluate", "export", "export_pytorch"])
def test_a_run_without_averages_is_refused_with_the_remedy(tool, untrained_run, photo, picture_folder, tmp_path, name):
    out = tmp_path / "out.pt"
    arguments = {
        "translate": [photo, "--checkpoint", untrained_run, "--out", out],
        "evaluate": ["--checkpoint", untrained_run, "--out", out, "--data_path", picture_folder],
        "export": ["--checkpoint", untrained_run, "--out", out],
        "export_pytorch": [untrained_run, out],
    }[name]
    code, said, complained = tool(name, *arguments, "--weights", "ema")
    assert (code, said.removeprefix("device: CPU\n")) == (2, "") and complained.count("\n") == 1
    assert "holds no averages, for its run has no --ema: give --weights raw, or leave --weights out" in complained
    assert not out.exists()
