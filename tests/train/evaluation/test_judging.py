"""The judge of a training: which pictures, which figures, how long. The run that it judges: tests/train/training."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError, convert
from ugatit_train.evaluation import features, judging, kid, testpictures
from ugatit_train.options.config import Options
from ugatit_train.training import log, prospect
from ugatit_train.training.evaluations import Judging, describe, read_evaluations
from ugatit_train.training.log import MetricsError

SMOKE = features.smoke


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Twelve pictures in testA and five in testB, of other colours."""
    root = tmp_path_factory.mktemp("judged")
    random = np.random.default_rng(0)
    for folder, count, dark in (("trainA", 1, 0), ("trainB", 1, 0), ("testA", 12, 0), ("testB", 5, 128)):
        (root / "pictures" / folder).mkdir(parents=True)
        for i in range(count):
            picture = cv2.resize(random.integers(dark, 256, (5, 5, 3), np.uint8), (40, 40))
            cv2.imwrite(str(root / "pictures" / folder / f"{i:02d}.png"), picture)
    convert(root / "pictures", root / "dataset", workers=1)
    return Options(data_path=str(root / "dataset"), img_size=32, n_dis=4, eval_freq=1)


def as_they_are(x):
    return x


def vectors(options, domain, chosen):
    found = [each.pixels for each in testpictures.read(options.data_folder, domain, options.image_size)]
    return np.array([SMOKE(found[i]) for i in chosen])


def test_generators_that_copy_are_as_far_as_the_pictures_themselves(options):
    found = judging.open_judge(options)({"a2b": as_they_are, "b2a": as_they_are})
    assert (found["metric"], found["features"]) == ("smoke_mmd", "built in")
    expected = kid.kernel_distance(vectors(options, "a", range(12)), vectors(options, "b", range(5)))
    assert found["a2b"] == {
        "images": 12, "mean": expected.mean, "std": expected.std, "identity": expected.mean
    }  # fmt: skip
    assert found["b2a"]["images"] == 5 and found["b2a"]["mean"] == found["b2a"]["identity"] > 0


def test_a_generator_that_hits_the_target_is_nearer_than_the_pictures(options):
    target = [each.pixels for each in testpictures.read(options.data_folder, "b", options.image_size)]
    drawn = iter(judging.drawing.to_network(picture, 3) for picture in target * 3)
    found = judging.open_judge(options)({"a2b": lambda _: next(drawn), "b2a": as_they_are})
    assert found["a2b"]["mean"] < 0 < found["a2b"]["identity"]


def test_of_many_pictures_some_are_judged_from_all_of_them(options, monkeypatch):
    monkeypatch.setattr(judging, "PICTURES", 5)
    found = judging.open_judge(options)({"a2b": as_they_are, "b2a": as_they_are})
    chosen = vectors(options, "a", (0, 2, 4, 7, 9)), vectors(options, "b", range(5))
    assert found["a2b"]["images"] == 5 and found["a2b"]["mean"] == kid.kernel_distance(*chosen).mean


def test_what_takes_too_long_is_given_up(options, monkeypatch, caplog):
    monkeypatch.setattr(judging, "LONGEST_S", -1.0)
    assert judging.open_judge(options)({"a2b": as_they_are, "b2a": as_they_are}) is None
    assert "was given up: no more of it until the next start" in caplog.text


def test_what_it_could_not_judge_on_is_refused_before_the_run(options, tmp_path, monkeypatch):
    judging.check(options)
    with pytest.raises(features.FeaturesError, match="none.ckpt: no such file of an InceptionV3"):
        judging.check(dataclasses.replace(options, inception_ckpt_path=str(tmp_path / "none.ckpt")))
    monkeypatch.setattr(testpictures, "count", lambda _data, domain: 5 if domain == "a" else 1)
    with pytest.raises(BadInputError, match="dataset: 1 pictures in testB, two are the least .* leave --eval_freq out"):
        judging.train(options)
    judging.check(dataclasses.replace(options, eval_freq=None))


GOOD = (
    '{"step": 1, "metric": "kid", "features": "x", "a2b": {"images": 2, "mean": 0.1, "std": 0, "identity": 0.3}, '
    '"b2a": {"images": 2, "mean": 0.2, "std": 0, "identity": 0.4}, "evaluate_s": 2.04}\n'
)


def test_the_file_is_read_up_to_a_torn_line_and_a_wrong_one_is_named(tmp_path):
    path = tmp_path / "evaluations.jsonl"
    path.write_text(GOOD + GOOD[:50])
    [line] = read_evaluations(path)
    assert describe(line, True) == (
        "step 1: judged in 2.0 s: kid A to B 0.10000 (the pictures as they are: 0.30000), "
        "B to A 0.20000 (the pictures as they are: 0.40000): the best so far"
    )
    for bad in ("{}", '{"step": 1}', GOOD[:-2].replace("0.4", "null") + "}", GOOD.replace('"kid"', "1")[:-1], "[1]"):
        path.write_text(f"{GOOD}{bad}\n")
        with pytest.raises(MetricsError, match="evaluations.jsonl, line 2: no evaluation of a run: remove the line"):
            read_evaluations(path)
        assert len(read_evaluations(path, 1)) == 1


def test_with_an_inception_it_is_kid(options, tmp_path, monkeypatch):
    """Of a network that gives back a few of the pixels."""
    (tmp_path / "inception.onnx").write_bytes(b"weights")
    monkeypatch.setattr(features, "_opener", lambda _: lambda _, _cache: lambda x: x[:, :, ::60, ::60].reshape(1, -1))
    asked = dataclasses.replace(options, inception_ckpt_path=str(tmp_path / "inception.onnx"))
    found = judging.open_judge(asked)({"a2b": as_they_are, "b2a": as_they_are})
    assert found["metric"] == "kid" and found["features"].startswith("inception.onnx, sha256 ")
    assert found["a2b"]["mean"] == found["a2b"]["identity"] != 0


def test_the_best_checkpoint_is_saved_before_the_line_that_says_so(tmp_path):
    """A step with a line is not judged again: a run that died between the two would lose its best one."""
    figures = json.loads(GOOD)
    schedule = Options(img_size=32, n_dis=4, iteration=3, eval_freq=1).schedule(1)

    def full(step, line):
        raise OSError(28, "No space left on device")

    def judging_with(save_best):
        judge = lambda generators: {name: figures[name] for name in ("metric", "features", "a2b", "b2a")}  # noqa: E731
        return Judging(tmp_path, schedule, 1, {}, lambda: judge, save_best)

    with pytest.raises(OSError, match="No space"):
        judging_with(full).at(1)
    kept = []
    again = judging_with(lambda step, line: kept.append(step))
    again.at(1)
    again.at(1)
    assert kept == [1] and [line["step"] for line in read_evaluations(tmp_path / "evaluations.jsonl")] == [1]


def test_evaluations_behind_the_last_step_go_with_the_metrics(tmp_path):
    """Whether the run that goes on judges itself or not: they are of weights that it makes anew."""
    path = tmp_path / "evaluations.jsonl"
    path.write_text(GOOD + GOOD.replace('"step": 1', '"step": 2'))
    options = Options(img_size=32, n_dis=4, iteration=3)
    with log.reporting(tmp_path, options.schedule(1), 1, False, prospect.Pace(options, options.schedule(1))):
        assert path.read_text() == GOOD
