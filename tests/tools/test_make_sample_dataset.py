"""The sample data set: the layout, that nothing overlaps, that it is the same every time, and the style."""

import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

SMALL = ("--size", 48, "--train", 12, "--test", 5)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pixels(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


def test_layout_determinism_and_targets(run_tool, load_tool, tmp_path):
    for name in ("one", "two"):
        done = run_tool("make_sample_dataset", tmp_path / name, *SMALL)
        assert (done.returncode, done.stderr) == (0, "")
    found = files(tmp_path / "one")
    assert found == files(tmp_path / "two")
    counts = {folder: sum(name.startswith(folder + "/") for name in found) for folder in ("trainA", "trainB", "testB")}
    assert counts == {"trainA": 12, "trainB": 12, "testB": 5}
    ink = load_tool("make_sample_dataset").ink
    names = [name for name in found if name.startswith("testA/")]
    assert len(names) == 5
    for name in names:
        image = pixels(found[name])
        target = pixels(found[name.replace("testA", "testA_target")])
        assert image.shape == target.shape == (48, 48, 3)
        # JPEG changes both a little; the input is several times as far away from the target
        restyled = np.abs(ink(image).astype(int) - target).mean()
        assert restyled < 0.35 * np.abs(image.astype(int) - target).mean()


def test_the_seed_changes_the_images(run_tool, tmp_path):
    run_tool("make_sample_dataset", tmp_path / "one", *SMALL)
    run_tool("make_sample_dataset", tmp_path / "two", *SMALL, "--seed", 2)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


@pytest.mark.parametrize("seed", range(5))
def test_regions_of_the_four_folders_do_not_share_a_pixel(load_tool, seed):
    tool = load_tool("make_sample_dataset")
    shapes = {"astronaut": (512, 512), "chelsea": (300, 451), "rocket": (427, 640)}
    shared = tool.regions(shapes, seed)
    painted = {name: np.zeros(shape, int) for name, shape in shapes.items()}
    for folder in tool.FOLDERS:
        assert {region[0] for region in shared[folder]} == set(shapes)  # every photograph in every folder
        for photograph, top, left, height, width in shared[folder]:
            assert top >= 0 and left >= 0
            assert top + height <= shapes[photograph][0] and left + width <= shapes[photograph][1]
            painted[photograph][top : top + height, left : left + width] += 1
    assert all(count.max() == 1 for count in painted.values())


def test_crops_stay_in_the_regions_of_their_folder(load_tool):
    """Paint every region with the number of its folder: a crop that reached over would mix numbers."""
    tool = load_tool("make_sample_dataset")
    shapes = {"one": (512, 512), "two": (300, 451)}
    photographs = {name: np.zeros((*shape, 3), np.uint8) for name, shape in shapes.items()}
    for number, folder in enumerate(tool.FOLDERS, start=1):
        for photograph, top, left, height, width in tool.regions(shapes, 3)[folder]:
            photographs[photograph][top : top + height, left : left + width] = 50 * number
    options = SimpleNamespace(size=32, train=40, test=40, seed=3)
    seen = list(tool.crops(photographs, options))
    assert len(seen) == 160
    for folder, _, image in seen:
        assert np.unique(image).tolist() == [50 * (1 + tool.FOLDERS.index(folder))]
    names = [(folder, name) for folder, name, _ in seen]
    assert len(set(names)) == len(names)


def test_ink_is_a_function_of_the_image_and_visible(load_tool):
    ink = load_tool("make_sample_dataset").ink
    ramp = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (96, 96, 3))
    drawn = ink(ramp)
    assert drawn.dtype == np.uint8 and drawn.shape == ramp.shape
    assert np.array_equal(drawn, ink(ramp.copy()))
    assert len(np.unique(drawn[48, :, 1])) < 20  # flat tones, not a ramp
    lightness = [ink(np.full((96, 96, 3), value, np.uint8)).mean() for value in (20, 60, 110, 160, 220)]
    assert all(a < b for a, b in itertools.pairwise(lightness))
    square = np.full((96, 96, 3), 200, np.uint8)
    square[32:64, 32:64] = 60
    assert ink(square).min() < 60  # an ink line along the edge
    assert ink(np.full((96, 96, 3), 60, np.uint8)).min() > 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("OUT",)),
        (("out", "--size", 3), ("--size", "3 is not a whole number from 16")),
        (("out", "--train", 0), ("--train", "0 is not a whole number from 1")),
        (("out", "--test", "many"), ("--test", "many")),
        (("out", "--seeds", 3), ("--seeds: unknown option: did you mean --seed?",)),
        (("out", "more"), ("more",)),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run_tool, refused, tmp_path, arguments, words):
    refused(run_tool("make_sample_dataset", *arguments, cwd=tmp_path), *words)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_exists_is_left_alone(run_tool, refused, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    refused(run_tool("make_sample_dataset", tmp_path / "out", *SMALL), "exists", "remove it")
    assert files(tmp_path) == {"out/mine": b"x"}


def test_without_scikit_image_the_extra_is_named(load_tool, tool, monkeypatch, tmp_path):
    monkeypatch.setattr(load_tool("make_sample_dataset").importlib.util, "find_spec", lambda name: None)
    code, _, complaint = tool("sample", tmp_path / "out")
    assert code == 2
    assert complaint.startswith("ugatit sample: ") and "pip install 'ugatit[demo]'" in complaint
    assert list(tmp_path.iterdir()) == []
