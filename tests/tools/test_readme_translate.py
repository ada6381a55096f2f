"""Every command of the chapters of tools/README.md on translation, export and PyTorch's checkpoints, in their order."""

import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the README's checkpoint of PyTorch not made")
pytest.importorskip("av", reason="PyAV is not installed: the README's video not made")

TESTS = Path(__file__).parents[1]
README = (TESTS.parent / "tools" / "README.md").read_text()
CHAPTERS = ("Translating pictures", "Exporting", "Checkpoints of the PyTorch implementation")


def text_of(chapter):
    return re.search(rf"^## {re.escape(chapter)}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE).group(1)


def commands(chapter):
    blocks = re.findall(r"```\n(.*?)```", text_of(chapter), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory, dataset):
    """A folder with what the commands name: a checkpoint of PyTorch, a run, photographs, a video, a data set."""
    from ugatit_train.exchange import pytorch, torchfile
    from ugatit_train.pictures import videofile

    sys.path.insert(0, str(TESTS))
    try:
        from train import torch_twin
    finally:
        sys.path.remove(str(TESTS))
    root = tmp_path_factory.mktemp("readme")
    file = root / "selfie2anime_params_latest.pt"
    networks = torch_twin.random_networks(torch_twin.Generator, torch_twin.TwinDiscriminator, light=True, n_res=1)
    torch_twin.save(networks, file)
    pytorch.save_run(pytorch.from_pytorch(torchfile.read(file), 32), root / "runs" / "first")
    draw = np.random.default_rng(0)
    (root / "photos" / "deep").mkdir(parents=True)
    pictures = {
        "photo.jpg": (40, 50),
        "photos/a.png": (32, 32),
        "photos/deep/b.png": (33, 70),
        "photos/c.jpg": (32, 32),
    }
    for name, (high, wide) in pictures.items():
        cv2.imwrite(str(root / name), cv2.resize(draw.integers(0, 256, (4, 4, 3), np.uint8), (wide, high)))
    with videofile.Writer(root / "clip.mp4", 5) as clip:
        for _ in range(3):
            clip.write(draw.integers(0, 256, (32, 48, 3), np.uint8))
        clip.finish()
    (root / "dataset").symlink_to(dataset)
    return root


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_commands_of_the_chapter(tool, place, monkeypatch, chapter):
    monkeypatch.chdir(place)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # the tools set it, in this process: pytest is to put it back
    found = commands(chapter)
    assert len(found) >= 4
    for command in found:
        program, name, *arguments = shlex.split(command, comments=True)
        assert program == "ugatit"
        code, _, complaint = tool(name, *arguments)
        assert code == 0, (command, complaint)


def test_what_they_have_written(place):
    """After the commands: runs by themselves it would find nothing, and says so."""
    out = place / "translated"
    if not (out / "imported").exists():
        pytest.skip("the commands were not run before: run the whole file")
    assert {path.name for path in (out / "one").iterdir()} == {
        "photo.png", "photo.heatmap.png", "photo.side_by_side.png"
    }  # fmt: skip
    assert {path.name for path in (out / "all").rglob("*.*")} == {"a.png", "b.png", "c.png", "clip.mp4"}
    shapes = {"whole/deep/b.png": (33, 70), "tiles/deep/b.png": (33, 70), "large/c.png": (96, 64)}
    shapes |= {"onnx/deep/b.png": (32, 32), "mindir/deep/b.png": (33, 70)}
    for name, shape in shapes.items():
        assert cv2.imread(str(out / name)).shape[:2] == shape, name
    assert len(torch.load(place / "back_params_0000000.pt", weights_only=True)) == 6


def test_the_lines_for_your_own_code_give_the_picture_of_translate(tool, place, tmp_path, monkeypatch):
    if not (place / "exported" / "genA2B.onnx").exists():
        pytest.skip("the commands were not run before: run the whole file")
    (tmp_path / "exported").symlink_to(place / "exported")
    monkeypatch.chdir(tmp_path)
    shapes = [(40, 50), (20, 70), (32, 32), (12, 9)]  # larger, wider and lower, of the training's size, smaller
    Path("photos").mkdir()
    for i, (high, wide) in enumerate(shapes):
        coarse = np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)
        cv2.imwrite(f"photos/{i}.jpg", cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_NEAREST))
    code, _, complaint = tool("translate", "photos", "--checkpoint", place / "runs" / "first", "--out", "translated")
    assert code == 0, complaint
    [lines] = re.findall(r"```python\n(.*?)```", text_of("ONNX in your own code"), re.DOTALL)
    for i in range(len(shapes)):
        Path("photo.jpg").write_bytes(Path(f"photos/{i}.jpg").read_bytes())
        exec(lines, {})
        made, expected = (cv2.imread(name).astype(int) for name in ("translated.png", f"translated/{i}.png"))
        assert made.shape == expected.shape == (32, 32, 3) and expected.std() > 1
        assert np.abs(made - expected).max() <= 1, shapes[i]
