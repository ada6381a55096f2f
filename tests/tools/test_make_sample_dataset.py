"""The sample data set: the layout, that nothing overlaps, that it is the same every time, and the style."""

import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

COUNTED = ("trainA", "trainB", "testB", "chooseA", "chooseA_target")
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
    counts = {folder: sum(name.startswith(folder + "/") for name in found) for folder in COUNTED}
    assert counts == {"trainA": 12, "trainB": 12, "testB": 5, "chooseA": 5, "chooseA_target": 5}
    tool = load_tool("make_sample_dataset")
    ink = tool.ink
    names = [name for name in found if name.startswith("testA/")]
    assert len(names) == 5
    for name in names:
        image = pixels(found[name])
        target = pixels(found[name.replace("testA", "testA_target")])
        assert image.shape == target.shape == (48, 48, 3)
        # JPEG changes both a little; the input is several times as far away from the target
        restyled = np.abs(ink(image, tool.TEST_ZOOM).astype(int) - target).mean()
        assert restyled < 0.35 * np.abs(image.astype(int) - target).mean()


def test_the_seed_changes_the_images(run_tool, tmp_path):
    run_tool("make_sample_dataset", tmp_path / "one", *SMALL)
    run_tool("make_sample_dataset", tmp_path / "two", *SMALL, "--seed", 2)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


SHAPES = {"astronaut": (512, 512), "china": (427, 640), "hopper": (600, 512), "chelsea": (300, 451)}


def test_no_pixel_is_for_training_and_for_testing_or_choosing(load_tool):
    tool = load_tool("make_sample_dataset")
    shared = {folder: tool.regions(folder, SHAPES) for folder in tool.FOLDERS}
    assert shared["trainA"] == shared["trainB"] and set(shared["trainA"]) == set(SHAPES)
    assert shared["testA"] == shared["testB"]
    assert set(shared["testA"]) == {"astronaut", "china", "hopper"} and set(shared["chooseA"]) == {"chelsea"}
    for name, shape in SHAPES.items():
        painted = np.zeros(shape, int)
        for folder in ("trainA", "testA", "chooseA"):
            if name in shared[folder]:
                top, left, height, width = shared[folder][name]
                assert top >= 0 and left >= 0 and top + height <= shape[0] and left + width <= shape[1]
                painted[top : top + height, left : left + width] += 1
        assert painted.max() == 1 and painted.mean() > 0.99
        top, left, height, width = shared["trainA"][name]
        assert height * width == pytest.approx(2 / 3 * shape[0] * shape[1], rel=0.01)


def test_crops_stay_in_the_regions_of_their_folder(load_tool):
    """Paint what is kept from training: a crop that reached over would mix two values."""
    tool = load_tool("make_sample_dataset")
    photographs = {name: np.full((*shape, 3), 50, np.uint8) for name, shape in SHAPES.items()}
    for folder, value in (("testA", 100), ("chooseA", 150)):
        for name, (top, left, height, width) in tool.regions(folder, SHAPES).items():
            photographs[name][top : top + height, left : left + width] = value
    options = SimpleNamespace(size=32, train=40, test=20, seed=3)
    seen = list(tool.crops(photographs, options))
    assert len(seen) == 2 * 40 + 3 * 20
    values = {"trainA": 50, "trainB": 50, "testA": 100, "testB": 100, "chooseA": 150}
    for folder, _, image in seen:
        assert np.unique(image).tolist() == [values[folder]]
    names = [(folder, name) for folder, name, _ in seen]
    assert len(set(names)) == len(names)


def test_no_crop_is_in_both_domains(load_tool):
    tool = load_tool("make_sample_dataset")
    noise = {name: np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8) for name, shape in SHAPES.items()}
    seen = list(tool.crops(noise, SimpleNamespace(size=64, train=60, test=4, seed=1)))
    pictures = [image.tobytes() for _, _, image in seen]
    assert len(set(pictures)) == len(pictures)


def test_strokes_are_as_wide_in_a_part_of_a_picture_as_in_the_whole(load_tool):
    """The inner two thirds of a drawing are the drawing, at a zoom of 1.5, of the inner two thirds."""
    tool = load_tool("make_sample_dataset")
    whole = np.full((96, 96, 3), 200, np.uint8)
    whole[40:56, 40:56] = 60
    part = whole[16:80, 16:80]
    inner = tool.ink(whole)[16:80, 16:80]
    assert np.abs(tool.ink(part, tool.TEST_ZOOM).astype(int) - inner).max() <= 1
    assert np.abs(tool.ink(part).astype(int) - inner).max() > 50


def test_every_image_has_the_same_mean_colour_and_contrast(run_tool, tmp_path):
    """But for JPEG, and for what is clipped, which is much in a few pictures of night."""
    run_tool("make_sample_dataset", tmp_path / "out", *SMALL)
    found = [
        pixels(data) for name, data in files(tmp_path / "out").items() if name.split("/")[0] in ("trainA", "testA")
    ]
    means = np.stack([image.mean((0, 1)) for image in found])
    contrasts = np.stack([(image - mean).std() for image, mean in zip(found, means, strict=True)])
    assert np.abs(means - 112).max() < 10 and np.median(np.abs(means - 112)) < 1.5
    assert np.abs(contrasts - 56).max() < 30 and np.median(np.abs(contrasts - 56)) < 4


def test_white_balance_and_exposure_of_a_photograph_do_not_count(load_tool):
    even = load_tool("make_sample_dataset").even
    image = np.random.default_rng(0).integers(60, 140, (32, 32, 3)).astype(np.uint8)
    warm = np.rint(image * 0.8 + [40, 20, 0]).astype(np.uint8)
    assert np.abs(even(warm).astype(int) - even(image)).max() <= 2
    assert (even(np.full((8, 8, 3), 200, np.uint8)) == 112).all()


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


def test_without_a_photograph_the_extra_is_named(load_tool, tool, monkeypatch, tmp_path):
    monkeypatch.setattr(load_tool("make_sample_dataset").importlib.util, "find_spec", lambda name: None)
    code, _, complaint = tool("sample", tmp_path / "out")
    assert code == 2
    assert (
        complaint.startswith("ugatit sample: the photograph astronaut, which skimage carries")
        and "pip install 'ugatit[demo]'" in complaint
    )
    assert list(tmp_path.iterdir()) == []
