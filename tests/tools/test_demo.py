"""The demo's own decisions: what is held out, when it goes on, what it refuses. The training itself is tested apart."""

import json
import os
import re

import cv2
import numpy as np
import pytest

from ugatit_train.errors import UgatitError


def picture(path, seed=0, size=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def source(root, count_a=25, count_b=4):
    for i in range(count_a):
        picture(root / "trainA" / ("sub" if i % 3 else "") / f"a{i}.png", i)
    for i in range(count_b):
        picture(root / "trainB" / f"b{i}.png", 100 + i)
    return root


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tenth_is_held_out_by_the_keys_alone(load_tool, tmp_path):
    demo = load_tool("demo")
    data = source(tmp_path / "data")
    assert demo.check(data) is True
    demo.hold_out(data, tmp_path / "one")
    demo.hold_out(data, tmp_path / "two")
    one = tree(tmp_path / "one")
    assert one == tree(tmp_path / "two")
    held = {name.removeprefix("testA/") for name in one if name.startswith("testA/")}
    kept = {name.removeprefix("trainA/") for name in one if name.startswith("trainA/")}
    assert len(held) == 2
    assert held | kept == {name.removeprefix("trainA/") for name in tree(data) if name.startswith("trainA/")}
    assert not held & kept
    assert {name for name in one if name.startswith("trainB/")} == {f"trainB/b{i}.png" for i in range(4)}
    assert not (tmp_path / "one.partial").exists()

    (data / "trainA" / "a0.png").write_bytes(b"other contents, same key")
    demo.hold_out(data, tmp_path / "three")
    assert sorted(tree(tmp_path / "three")) == sorted(one)


def test_nothing_is_held_out_where_testA_is_given(load_tool, tmp_path):
    data = source(tmp_path / "data")
    picture(data / "testA" / "t.png")
    assert load_tool("demo").check(data) is False


def test_the_same_demo_goes_on_and_another_is_refused(load_tool, tmp_path, capsys):
    demo = load_tool("demo")
    assert demo.claim(tmp_path / "out", {"seed": 1}) is True
    assert demo.claim(tmp_path / "out", {"seed": 1}) is False
    assert "what is finished is kept" in capsys.readouterr().out
    with pytest.raises(demo.BadInputError, match="other settings"):
        demo.claim(tmp_path / "out", {"seed": 2})
    assert json.loads((tmp_path / "out" / "demo.json").read_text()) == {"seed": 1}


@pytest.mark.parametrize(("size", "n_dis"), [(24, 4), (44, 4), (48, 5), (64, 5), (92, 5), (96, 6), (256, 6), (512, 6)])
def test_fitting_n_dis_is_the_largest_that_the_options_allow(load_tool, size, n_dis):
    from ugatit_train.options.config import OptionError, Options

    assert load_tool("demo").fitting_n_dis(size) == n_dis
    Options(img_size=size, n_dis=n_dis)
    if n_dis < 6:
        with pytest.raises(OptionError):
            Options(img_size=size, n_dis=n_dis + 1)


def finished(out, target=True):
    """The pictures of a finished translation: outputs halfway between input and target."""
    for i in range(3):
        for folder, value in (("images/testA", 100), ("translated", 140), ("images/testA_target", 200)):
            if folder != "images/testA_target" or target:
                path = out / folder / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.full((32, 32, 3), value, np.uint8))
        cv2.imwrite(str(out / "translated" / f"{i}.heatmap.png"), np.zeros((32, 32, 3), np.uint8))


def test_the_ratio_and_the_sheet(load_tool, tmp_path):
    demo = load_tool("demo")
    finished(tmp_path)
    said = demo.told(demo.draw(tmp_path / "images", tmp_path / "translated", tmp_path / "sheet.png", 32))
    assert "input 100.00, translated 60.00; ratio 0.600" in said
    with_target = cv2.imread(str(tmp_path / "sheet.png"))
    inputs = [with_target[24 + 132 * row + 64, 132 * column + 64, 0] for row in range(2) for column in (0, 4)]
    assert inputs == [100, 100, 100, 255]  # three pictures: none is shown twice

    finished(tmp_path / "other", target=False)
    other = tmp_path / "other"
    said = demo.told(demo.draw(other / "images", other / "translated", tmp_path / "sheet.png", 32))
    assert said.startswith("no figures") and "testA_target" in said
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] < with_target.shape[1]


def test_the_figures_stand_beside_what_colour_alone_can_do(load_tool):
    """Made pictures that are the change of colour without the true lines."""
    inputs = np.random.default_rng(1).integers(0, 120, (2, 32, 32, 3), np.uint8)
    made = 250 - inputs
    true = made.copy()
    true[:, :, 15] = 20  # a line
    demo = load_tool("demo")
    said = demo.told(load_tool("demoresult").compared(inputs, made, true))
    figures = re.search(r"affine .*: ([\d.]+)\n.*translated ([\d.]+), input ([\d.]+), change of colour ([\d.]+)", said)
    colour, translated, before, coloured = map(float, figures.groups())
    assert 0 < colour < 0.3
    assert translated == before and abs(coloured - before) < 0.05 and before < 0.9


def test_minutes_are_steps_and_the_message_says_how_long(load_tool):
    demo = load_tool("demo")
    read = demo.parser().parse_args
    assert demo.settings_of(read(["--minutes", "60"]))["iteration"] == 60 * demo.STEPS_PER_MINUTE
    settings = demo.settings_of(read([]))
    assert settings["iteration"] == demo.STEPS
    own, sample = demo.expectation(settings, own=True), demo.expectation(settings, own=False)
    assert own.startswith(sample) and "MINUTES=60" in own and f"{demo.STEPS} training steps" in sample
    assert "minutes" not in demo.expectation(settings | {"ch": 8}, own=True)  # not measured: nothing is promised


def test_the_trainings_options_are_options_of_a_run(load_tool):
    from ugatit_train.options.config import Options

    demo = load_tool("demo")
    Options(**demo.training(demo.settings_of(demo.parser().parse_args([]))))


def test_a_picture_that_could_not_be_translated_is_left_out(load_tool, tmp_path):
    demo = load_tool("demo")
    finished(tmp_path)
    (tmp_path / "translated" / "1.png").unlink()
    demo.draw(tmp_path / "images", tmp_path / "translated", tmp_path / "sheet.png", 32)
    for path in (tmp_path / "translated").iterdir():
        path.unlink()
    with pytest.raises(UgatitError, match="not one of its 3 pictures"):
        demo.draw(tmp_path / "images", tmp_path / "translated", tmp_path / "sheet.png", 32)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, ("no such folder",)),
        (lambda root: root.mkdir(), ("trainA", "no such folder")),
        (lambda root: source(root, count_b=0), ("trainB", "no such folder")),
        (lambda root: (source(root, count_b=0), (root / "trainB").mkdir()), ("trainB", "empty")),
        (lambda root: source(root, count_a=1), ("holds one picture",)),
    ],
)
def test_bad_data_leaves_nothing_behind(run_tool, refused, tmp_path, make, words):
    make(tmp_path / "data")
    before = os.listdir(tmp_path)
    refused(run_tool("demo", "--data", tmp_path / "data", "--out", tmp_path / "out"), *words)
    assert os.listdir(tmp_path) == before


def test_data_without_a_readable_picture_leaves_nothing_behind(run_tool, tmp_path):
    source(tmp_path / "data")
    for path in (tmp_path / "data" / "trainB").iterdir():
        path.write_bytes(b"not a picture")
    done = run_tool("demo", "--data", tmp_path / "data", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "trainB" in done.stderr, done.stderr
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--itertion", 3), ("did you mean --iteration?",)),
        (("--minutes", 3, "--iteration", 4), ("--iteration", "--minutes")),
        (("--img_size", 66), ("not a multiple of 4",)),
        (("--out", "file"), ("file exists and is no demo",)),
    ],
)
def test_bad_options(run_tool, refused, tmp_path, arguments, words):
    (tmp_path / "file").write_text("x")
    refused(run_tool("demo", *arguments, cwd=tmp_path), *words)
    assert os.listdir(tmp_path) == ["file"]
