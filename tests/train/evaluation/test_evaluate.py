"""Evaluation: the pictures are translate's, from a folder and from a data set; the figures are right."""

import importlib
import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError, convert
from ugatit_train.evaluation import evaluate, features, kid, testpictures
from ugatit_train.inference import models, translate
from ugatit_train.pictures.files import find_pictures, read_picture
from ugatit_train.training import checkpoint

SMOKE = features.open_features(None)


@pytest.fixture(scope="module")
def from_folder(untrained_run, picture_folder, tmp_path_factory):
    """Both directions judged on a folder of pictures: (the result, its folder)."""
    out = tmp_path_factory.mktemp("evaluated") / "folder"
    return evaluate.evaluate(untrained_run, picture_folder, out, SMOKE), out


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no run and no checkpoint: give the folder of one"):
        evaluate.evaluate(tmp_path, None, tmp_path / "out", SMOKE)


@pytest.mark.parametrize("directions", [(), ("a2c",), ("a2b", "b")])
def test_a_direction_that_is_none_is_refused(picture_folder, tmp_path, directions):
    with pytest.raises(BadInputError, match=r"directions \(.*\): give some of \('a2b', 'b2a'\)"):
        evaluate.evaluate(tmp_path, picture_folder, tmp_path / "out", SMOKE, directions)


def test_every_picture_is_translated_and_the_bad_ones_are_named(from_folder):
    result, out = from_folder
    a2b = ["a2b/0.png", "a2b/2.png", "a2b/3.png", "a2b/4.png", "a2b/sub/1.png"]
    b2a = ["b2a/0.png", "b2a/2.png", "b2a/3.png", "b2a/sub/1.png"]
    assert files(out) == [*a2b, *b2a, "contact_sheet.png", "metrics.json"]
    assert sorted(result["problems"]) == ["testA/cut.png", "testA/text.jpg"] and result["img_ch"] == 3
    assert "truncated" in result["problems"]["testA/cut.png"]
    assert json.loads((out / "metrics.json").read_text()) == result
    for direction, count in (("a2b", 5), ("b2a", 4)):
        assert result[direction]["images"] == count
        assert result[direction]["build_s"] > result[direction]["image_s_median"] > 0


def test_the_pictures_are_those_of_translate(from_folder, untrained_run, picture_folder, tmp_path):
    _, out = from_folder
    for direction, domain in (("a2b", "testA"), ("b2a", "testB")):
        model = models.from_checkpoint(untrained_run, direction)
        outcomes = translate.translate(model, picture_folder / domain, tmp_path / direction)
        written = [path for outcome in outcomes for path in outcome.written]
        assert len(written) == len(list((out / direction).rglob("*.png")))
        for path in written:
            assert path.read_bytes() == (out / direction / path.relative_to(tmp_path / direction)).read_bytes()


def test_a_converted_data_set_gives_the_same(from_folder, untrained_run, picture_folder, tmp_path):
    convert(picture_folder, tmp_path / "dataset", workers=1)
    result = evaluate.evaluate(untrained_run, tmp_path / "dataset", tmp_path / "out", SMOKE, ("a2b",))
    before, out = from_folder
    assert result["problems"] == {}  # the conversion has left them out, and named them
    assert files(tmp_path / "out" / "a2b") == files(out / "a2b")
    for name in files(out / "a2b"):
        assert (tmp_path / "out" / "a2b" / name).read_bytes() == (out / "a2b" / name).read_bytes()
    for name in ("smoke_mmd", "smoke_mmd_identity", "legacy_mixed_smoke_mmd_x100", "better_than_identity"):
        assert result["a2b"][name] == before["a2b"][name]


def test_the_figures_can_be_computed_again_from_the_files(from_folder, picture_folder):
    result, out = from_folder
    assert result["metric"] == "smoke_mmd" and not any("kid" in name for name in result["a2b"])
    target = np.array([SMOKE.extract(x.pixels) for x in testpictures.read(picture_folder, "b", 32)])
    pictures = [cv2.imread(str(out / name), cv2.IMREAD_COLOR_RGB) for name in files(out) if name.startswith("a2b")]
    made = np.array([SMOKE.extract(picture) for picture in pictures])
    again = kid.kernel_distance(made, target)
    assert result["a2b"]["smoke_mmd"] == {"mean": again.mean, "std": again.std}
    assert result["a2b"]["subset_size"] == 2 and result["subsets"] == 100


def test_a_gray_model_is_judged_gray_against_gray(untrained_run, picture_folder, tmp_path, monkeypatch):
    """By a gray generator that gives back its input: it is the identity, and no nearer and no farther than that."""

    def copying(_folder, direction, **_):
        size = {"light": True, "img_size": (32, 32), "img_ch": 1, "size": None, "batch": None}
        signature = models.Signature(direction=direction, **size)
        return models.Model(run=lambda x: (x, x[:, :1, ::4, ::4]), signature=signature)

    monkeypatch.setattr(models, "from_checkpoint", copying)
    result = evaluate.evaluate(untrained_run, picture_folder, tmp_path / "out", SMOKE)
    gray = {
        domain: np.array(
            [
                SMOKE.extract(np.repeat(cv2.cvtColor(x.pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2))
                for x in testpictures.read(picture_folder, domain, 32)
                if x.pixels is not None
            ]
        )
        for domain in "ab"
    }
    expected = kid.kernel_distance(gray["a"], gray["b"])
    for name in ("smoke_mmd", "smoke_mmd_identity"):
        assert result["a2b"][name] == {"mean": expected.mean, "std": expected.std}
    assert result["img_ch"] == 1 and not result["a2b"]["better_than_identity"]
    inputs = cv2.imread(str(tmp_path / "out" / "contact_sheet.png"))[24:, 4:132].astype(int)
    assert (inputs == inputs[..., :1]).all()


def test_one_direction(untrained_run, picture_folder, tmp_path):
    result = evaluate.evaluate(str(untrained_run), str(picture_folder), str(tmp_path / "out"), directions=("b2a",))
    assert "a2b" not in result and files(tmp_path / "out")[0] == "b2a/0.png"
    which, first, second = evaluate.describe(result)
    assert which == f"{untrained_run / 'checkpoints' / 'step-00000003'}: step 3, weights raw" and result["step"] == 3
    assert first.startswith("b2a: 4 pictures, built in") and second.startswith("b2a: smoke_mmd to testA")
    assert cv2.imread(str(tmp_path / "out" / "contact_sheet.png")).shape == (24 + 4 * 132, 3 * 132 + 4, 3)


def test_without_a_target_there_are_pictures_and_no_distance(untrained_run, picture_folder, tmp_path):
    (tmp_path / "testA").symlink_to(picture_folder / "testA")
    result = evaluate.evaluate(untrained_run, tmp_path, tmp_path / "out", SMOKE, ("a2b",))
    assert result["a2b"]["images"] == 5 and "smoke_mmd" not in result["a2b"]
    assert evaluate.describe(result)[2] == (
        "a2b: no distance: 5 source and 0 target pictures: two of each are the least"
    )


@pytest.mark.parametrize(
    ("make", "directions", "words"),
    [
        ((), ("a2b",), "neither a data set with a test split nor a folder with testA and testB"),
        (("testB/x.png",), ("a2b", "b2a"), "no picture in testA, which a2b is judged on"),
        (("testA/x.png",), ("a2b", "b2a"), "no picture in testB, which b2a is judged on"),
    ],
)
def test_nothing_to_judge_on(tmp_path, make, directions, words):
    for name in make:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInputError, match=words):
        evaluate.check(tmp_path, directions)


def test_the_identity_loses_against_the_true_drawings_of_the_sample_data(tmp_path):
    """For the photographs of testA, the output of a perfect translation is known."""
    missing = [name for name in ("skimage", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing} not installed: no sample data")
    sample = importlib.import_module("tools.make_sample_dataset")
    assert sample.main([str(tmp_path / "s"), "--size", "64", "--train", "1", "--test", "80"]) == 0

    def vectors(folder: str) -> np.ndarray:
        pictures = find_pictures(tmp_path / "s" / folder)
        return np.array([SMOKE.extract(read_picture(path, 64)) for path in pictures])

    photographs, drawings, true = vectors("testA"), vectors("testB"), vectors("testA_target")
    perfect = evaluate.figures("smoke_mmd", photographs, drawings, true)
    assert perfect["better_than_identity"]
    identity, found = perfect["smoke_mmd_identity"], perfect["smoke_mmd"]
    assert identity["mean"] - identity["std"] > found["mean"] + found["std"]
    copied = evaluate.figures("smoke_mmd", photographs, drawings, photographs)
    assert copied["smoke_mmd"] == copied["smoke_mmd_identity"] and not copied["better_than_identity"]
    # The legacy figure judges the other way round.
    legacy = "legacy_mixed_smoke_mmd_x100"
    assert copied[legacy]["mean"] < perfect[legacy]["mean"]


def test_a_linked_folder_is_judged_like_a_converted_one(picture_folder, tmp_path):
    (tmp_path / "testA").mkdir()
    (tmp_path / "testA" / "linked").symlink_to(picture_folder / "testA")
    assert testpictures.count(tmp_path, "a") == 7
    found = sorted(str(picture.source.relative_to("linked")) for picture in testpictures.read(tmp_path, "a", 32))
    assert found == ["0.png", "2.png", "3.jpg", "4.png", "cut.png", "sub/1.jpg", "text.jpg"]


def test_a_target_that_is_there_and_empty_is_one_without_pictures(tmp_path):
    for name in ("testA", "testB"):
        (tmp_path / name).mkdir()
    (tmp_path / "testA" / "x.png").write_bytes(b"")
    assert [testpictures.count(tmp_path, domain) for domain in "ab"] == [1, 0]
    with pytest.raises(BadInputError, match="no picture in testB, which b2a is judged on"):
        evaluate.check(tmp_path, ("b2a",))


def test_too_few_pictures_are_said_and_json_knows_no_nan():
    two, one = np.eye(2, 75), np.eye(1, 75)
    assert "two of each are the least" in evaluate.figures("kid", one, two, one)["not_measured"]
    found = evaluate.figures("kid", two, two, two)
    assert found["legacy_mixed_kid_x100"]["std"] is None
    assert not math.isnan(found["kid"]["std"])
    json.dumps(found, allow_nan=False)
    assert evaluate.figures("kid", np.eye(30, 75), two, np.eye(30, 75))["legacy_mixed_kid_x100"] is None
