"""Every command of the chapters Evaluate and Ascend 310 of tools/README.md, in their order, and what they leave."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data.commands import SCRIPTS

ROOT = Path(__file__).parents[2]
CHAPTERS = ("Evaluate", "Ascend 310")


def commands(chapter: str) -> list[list[str]]:
    """The words of each command in the chapter's blocks."""
    text = re.search(rf"^## {chapter}\n(.*?)^## ", (ROOT / "tools" / "README.md").read_text(), re.M | re.S)[1]
    blocks = "".join(re.findall(r"^```\n(.*?)^```", text, re.M | re.S)).replace("\\\n", " ")
    found = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    return [[f"tools/{SCRIPTS[words[1]]}", *words[2:]] if words[0] == "ugatit" else words for words in found]


@pytest.fixture(scope="module")
def ran(write_run, picture_folder, of_a_user, tmp_path_factory):
    """(The folder in which they ran, the finished process by the last word of each command)."""
    torch = pytest.importorskip("torch", reason="torch is not installed: no PyTorch weights to import")
    from ..train.inception_twin import random_twin

    folder = tmp_path_factory.mktemp("readme") / "a folder"
    run = write_run(folder / "runs" / "first", light=True, ch=4, n_res=1, n_dis=5, img_size=64)
    saved = (run / "options.yaml").read_text()
    (run / "options.yaml").write_text(saved.replace("data_path: none", f"data_path: {picture_folder}"))
    shutil.copytree(picture_folder / "testA", folder / "photos")
    torch.save(random_twin().state_dict(), folder / "pt_inception-2015-12-05-6726825d.pth")
    finished = {}
    for words in (words for chapter in CHAPTERS for words in commands(chapter)):
        interpreter = "bash" if words[0].endswith(".sh") else sys.executable
        done = subprocess.run(
            [interpreter, ROOT / words[0], *words[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=of_a_user(os.environ) | {"PYTHON": sys.executable},
        )
        finished[" ".join([Path(words[0]).name, *words[1:]])] = done
    return folder, finished


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.relative_to(folder).as_posix(): cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        for path in sorted(folder.rglob("*.*"))
    }


def test_each_ends_as_it_says(ran):
    _, finished = ran
    assert len(finished) == 7
    for command, done in finished.items():
        # two pictures of testA are bad: they are named, the rest is done, and the exit code tells
        reads_pictures = command.split()[0] not in ("import_inception.py", "export.py")
        assert done.returncode == (1 if reads_pictures else 0), (command, done.stderr)
        assert done.stderr.count("left out") == (2 if reads_pictures else 0), (command, done.stderr)
        assert not reads_pictures or re.search(r"cut\.png: .*truncated", done.stderr)


@pytest.mark.parametrize(
    ("place", "metric", "directions"),
    [
        ("evaluated", "smoke_mmd", ("a2b", "b2a")),
        ("evaluated_kid", "kid", ("a2b", "b2a")),
        ("evaluated_b2a", "smoke_mmd", ("b2a",)),
        ("runs/first/test", "smoke_mmd", ("a2b", "b2a")),
    ],
)
def test_what_evaluate_leaves(ran, place, metric, directions):
    folder, finished = ran
    assert sorted(os.listdir(folder / place)) == [*directions, "contact_sheet.png", "metrics.json"]
    result = json.loads((folder / place / "metrics.json").read_text())
    assert result["metric"] == metric
    assert result["features"].startswith("inception.ckpt, sha256 " if metric == "kid" else "built in")
    for direction in directions:
        count = {"a2b": 5, "b2a": 4}[direction]
        assert len(pictures(folder / place / direction)) == result[direction]["images"] == count
        for name in (metric, f"{metric}_identity", f"legacy_mixed_{metric}_x100"):
            assert np.isfinite(result[direction][name]["mean"]), name
        assert ("kid" in str(list(result[direction]))) == (metric == "kid")
    said = [done.stdout for command, done in finished.items() if place.split("/")[0] in command or "phase" in command]
    assert any(f"b2a: {metric} to testA {result['b2a'][metric]['mean']:.5f}" in text for text in said)


def test_the_310_path_gives_the_pictures_of_translate(ran, run_tool, tmp_path):
    folder, finished = ran
    assert sorted(os.listdir(folder / "bifile_in")) == ["0.bin", "2.bin", "3.bin", "4.bin", "sub_1.bin"]
    sizes = {path.name: path.stat().st_size for path in (folder / "result_Files").glob("sub_1_*")}
    assert sizes == {"sub_1_0.bin": 4 * 3 * 64 * 64, "sub_1_1.bin": 4 * 2, "sub_1_2.bin": 4 * 16 * 16}
    line = (folder / "time_Result" / "test_perform_static.txt").read_text().strip()
    assert line.startswith("NN inference cost average time: ") and line.endswith(" ms of infer_count 5")
    said = next(done.stdout for command, done in finished.items() if command.startswith("run_infer_310.sh"))
    assert f"MindSpore on the CPU (mindspore_lite is not installed): {line}" in said

    arguments = ("--bifile_outputdir", folder / "result_Files", "--img_size", 64, "--image_format", "png")
    assert run_tool("infer_310", "postprocess", *arguments, cwd=tmp_path).returncode == 0
    made, drawn = pictures(tmp_path / "infer_output_img"), pictures(folder / "infer_output_img")
    models = (("--mindir", folder / "exported" / "genA2B.mindir"), ("--checkpoint", folder / "runs" / "first"))
    for most, model in enumerate(models):  # the same file gives the same; the checkpoint's form may round another way
        out = tmp_path / f"translated{most}"
        run_tool("translate", folder / "photos", *model, "--out", out)
        expected = {name.replace("/", "_").replace(".png", "_0.png"): x for name, x in pictures(out).items()}
        assert sorted(made) == sorted(expected) and len(made) == 5
        for name, picture in expected.items():
            assert np.abs(made[name].astype(int) - picture).max() <= most
            jpeg = drawn[name.replace(".png", ".jpg")]
            assert (
                np.abs(jpeg.astype(int) - picture).mean() < 12
            )  # of 255, from JPEG alone: an untrained network gives noise

    arguments = ("--mindir_path", folder / "exported" / "genA2B.mindir", "--bifile_inputdir", folder / "bifile_in")
    done = run_tool("infer_310", "run", *arguments, "--img_size", 32, cwd=tmp_path)
    assert done.returncode == 2 and "genA2B.mindir: takes other pictures: give --img_size 64x64" in done.stderr

    again = ["bash", ROOT / "tools" / "run_infer_310.sh", folder / "exported" / "genA2B.mindir", "photos", "0"]
    done = subprocess.run(again, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "bifile_in exists, of an earlier run" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("run_infer_310.sh", ("a.mindir", "photos"), "give MINDIR_PATH, DATA_PATH and DEVICE_ID"),
        ("run_infer_310.sh", ("none.mindir", "photos", "0"), "none.mindir: no such file"),
    ],
)
def test_the_launchers_refuse(tmp_path, script, arguments, words):
    command = ["bash", ROOT / "tools" / script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and words in done.stderr
