"""Translation with a known function in the generator's place: what is read, what is written, what is reported."""

import errno
import os
import resource
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError
from ugatit_train.inference import models, translate
from ugatit_train.pictures import drawing, files, video, videofile

SIZE = 16


def invert(x):
    """A generator whose output is known: the negative, and a heat map that grows from left to right."""
    assert x.shape[0] == 1 and x.shape[2:] == (SIZE, SIZE) and x.dtype == np.float32
    assert x.min() >= -1 and x.max() <= 1
    return -x, np.broadcast_to(np.arange(4, dtype=np.float32), (1, 1, 4, 4))


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image[..., ::-1])[1].tobytes())


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def noise(seed=0, shape=(SIZE, SIZE, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def model_of(function, size=None, img_ch=3, batch=None):
    signature = models.Signature(
        direction="a2b", light=size is None, img_size=(SIZE, SIZE), img_ch=img_ch, size=size, batch=batch
    )
    return models.Model(run=function, signature=signature)


def run(source, out, img_ch=3, **options):
    return translate.translate(model_of(invert, img_ch=img_ch), source, out, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "batch 0: give at least 1"),
        ({"size": (4, 8)}, r"size \(4, 8\): give \(height, width\), multiples of 4 from 8"),
        ({"size": (16, 30)}, "multiples of 4"),
    ],
)
def test_a_size_or_a_batch_that_no_network_takes_is_refused(tmp_path, options, words):
    write(tmp_path / "in.png", noise())
    with pytest.raises(BadInputError, match=words):
        run(tmp_path / "in.png", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_one_picture(tmp_path):
    write(tmp_path / "in.png", noise())
    (outcome,) = run(tmp_path / "in.png", tmp_path / "out")
    assert outcome.written == (tmp_path / "out" / "in.png",)
    assert np.array_equal(read(tmp_path / "out" / "in.png"), 255 - noise())


def test_heatmap_and_side_by_side(tmp_path):
    write(tmp_path / "in.png", noise())
    run(str(tmp_path / "in.png"), str(tmp_path / "out"), heatmap=True, side_by_side=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["in.heatmap.png", "in.png", "in.side_by_side.png"]
    heat = drawing.heatmap_to_uint8(invert(np.zeros((1, 3, SIZE, SIZE), np.float32))[1], SIZE)[0]
    assert np.array_equal(read(tmp_path / "out" / "in.heatmap.png"), heat)
    together = np.concatenate([noise(), heat, 255 - noise()], axis=1)
    assert np.array_equal(read(tmp_path / "out" / "in.side_by_side.png"), together)


def test_a_gray_models_input_is_shown_gray(tmp_path):
    """As the network sees it: beside a colour picture its output would seem to have lost something."""
    write(tmp_path / "in.png", noise())
    run(tmp_path / "in.png", tmp_path / "out", side_by_side=True, img_ch=1)
    together = read(tmp_path / "out" / "in.side_by_side.png")
    gray = cv2.cvtColor(noise(), cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    assert np.array_equal(together, np.concatenate([gray, 255 - gray], axis=1))


def test_what_stands_in_a_pictures_or_a_videos_place_is_called_by_its_name(tmp_path):
    (tmp_path / "in").mkdir()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for name, data in (("a.png", pointer), ("b.mp4", pointer), ("c.jpg", b"\n<!DOCTYPE html><html>")):
        (tmp_path / "in" / name).write_bytes(data)
    problems = {outcome.source.name: outcome.problem for outcome in run(tmp_path / "in", tmp_path / "out")}
    assert problems == {
        "a.png": "not an image: a pointer of Git LFS, not the file: `git lfs pull` it",
        "b.mp4": "a pointer of Git LFS, not the file: `git lfs pull` it",
        "c.jpg": "not an image: an HTML page, not the file: download the file itself",
    }


def test_any_size_and_orientation_and_gray(tmp_path):
    from PIL import Image

    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20] = 250  # light above, dark below
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(upright[::-1, ::-1]).save(tmp_path / "turned.png", exif=exif)
    (outcome,) = run(tmp_path / "turned.png", tmp_path / "out")
    made = read(outcome.written[0])
    assert made.shape == (SIZE, SIZE, 3)
    assert made[:7].max() < 10 and made[9:].min() > 245  # the negative of the upright picture

    (outcome,) = run(tmp_path / "turned.png", tmp_path / "gray", img_ch=1)
    assert np.array_equal(read(outcome.written[0]), made)


def test_a_bad_picture_is_named_and_the_rest_goes_on(tmp_path):
    write(tmp_path / "in" / "a.png", noise(1))
    (tmp_path / "in" / "b.jpg").write_bytes(b"not a picture")
    write(tmp_path / "in" / "c.jpg", noise(2))
    (tmp_path / "in" / ".hidden").write_text("left out")
    outcomes = run(tmp_path / "in", tmp_path / "out")
    assert [outcome.source.name for outcome in outcomes] == ["a.png", "b.jpg", "c.jpg"]
    assert [bool(outcome.problem) for outcome in outcomes] == [False, True, False]
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "c.png"]


def test_subfolders_and_equal_stems_keep_apart(tmp_path):
    names = ["x.jpg", "x.png", "y.png", "sub/y.png", "sub/z.jpg"]
    for name in names:
        write(tmp_path / "in" / name, noise())
    written = {
        str(path.relative_to(tmp_path / "out")) for o in run(tmp_path / "in", tmp_path / "out") for path in o.written
    }
    assert written == {"x.jpg.png", "x.png.png", "y.png", "sub/y.png", "sub/z.png"}


def test_a_heat_map_never_takes_another_pictures_name(tmp_path):
    write(tmp_path / "in" / "a.png", noise(1))
    write(tmp_path / "in" / "a.heatmap.png", noise(2))
    outcomes = run(tmp_path / "in", tmp_path / "out", heatmap=True)
    written = [path for outcome in outcomes for path in outcome.written]
    assert sorted(path.name for path in written) == sorted(os.listdir(tmp_path / "out")) and len(set(written)) == 4
    made = {outcome.source.name: read(outcome.written[0]) for outcome in outcomes}
    assert np.array_equal(made["a.png"], 255 - noise(1)) and np.array_equal(made["a.heatmap.png"], 255 - noise(2))


def test_names_as_long_as_they_can_be(tmp_path):
    stems = ["x" * 251, "é" * 125 + "y", "x" * 250 + "z"]
    for i, stem in enumerate(stems):
        write(tmp_path / "in" / f"{stem}.png", noise(i))
    outcomes = run(tmp_path / "in", tmp_path / "out", heatmap=True)
    assert [len(outcome.written) for outcome in outcomes] == [2, 2, 2] and len(os.listdir(tmp_path / "out")) == 6
    for outcome in outcomes:
        i = stems.index(outcome.source.stem)
        assert outcome.written[0].name == f"{stems[i]}.png" and outcome.written[1].name.endswith(".heatmap.png")
        assert np.array_equal(read(outcome.written[0]), 255 - noise(i))


@pytest.mark.parametrize("out", ["in", "link"])
def test_no_output_replaces_a_source(tmp_path, out):
    write(tmp_path / "in" / "a.png", noise(1))
    write(tmp_path / "in" / "b.jpg", noise(2))
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(BadInputError, match="a.png: its output would replace the source .*a.png: give another folder"):
        run(tmp_path / "in", tmp_path / out)
    assert sorted(os.listdir(tmp_path / "in")) == ["a.png", "b.jpg"]
    assert np.array_equal(read(tmp_path / "in" / "a.png"), noise(1))
    (outcome,) = run(tmp_path / "in" / "b.jpg", tmp_path / "in")  # replaces none
    assert outcome.written == (tmp_path / "in" / "b.png",)


def test_a_linked_folder_is_translated_and_what_is_no_file_is_named(tmp_path):
    write(tmp_path / "elsewhere" / "a.png", noise(1))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    problems = {o.source.name: o.problem for o in run(tmp_path / "in", tmp_path / "out")}
    assert problems == {
        "a.png": "", "nowhere.png": "unreadable: No such file or directory", "pipe.png": "not a regular file"
    }  # fmt: skip
    assert np.array_equal(read(tmp_path / "out" / "linked" / "a.png"), 255 - noise(1))


@pytest.mark.parametrize("fault", [errno.ENAMETOOLONG, errno.EFBIG])
def test_an_output_that_a_file_system_refuses_is_named_and_the_rest_goes_on(tmp_path, monkeypatch, fault):
    refuse(monkeypatch, "b.png", fault)
    for i, name in enumerate("abc"):
        write(tmp_path / "in" / f"{name}.png", noise(i))
    outcomes = run(tmp_path / "in", tmp_path / "out")
    assert [outcome.problem for outcome in outcomes] == ["", f"cannot be written: {os.strerror(fault)}", ""]
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "c.png"]


def test_a_full_disk_ends_the_work_and_leaves_no_partial_file(tmp_path, monkeypatch):
    refuse(monkeypatch, "b.png", errno.ENOSPC)
    for i, name in enumerate("abc"):
        write(tmp_path / "in" / f"{name}.png", noise(i))
    with pytest.raises(OSError, match="No space left on device.*b.png"):
        run(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["a.png"]


def refuse(monkeypatch, name, fault):
    """A stand-in for a disk that takes half of the file `name`."""
    whole = Path.write_bytes

    def half(path, data):
        if path.name == name + ".partial":
            whole(path, data[: len(data) // 2])
            raise OSError(fault, os.strerror(fault))
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", half)


@pytest.mark.parametrize(("made", "words"), [(False, "no such picture or folder"), (True, "holds no file")])
def test_nothing_to_translate(tmp_path, made, words):
    if made:
        (tmp_path / "in").mkdir()
    with pytest.raises(BadInputError, match=words):
        run(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_ways_to_a_size(tmp_path):
    write(tmp_path / "in.png", noise(shape=(20, 24, 3)))
    ways = {"none": {}, "size": {"size": (8, 12)}, "keep": {"keep_size": True}, "tiles": {"tiles": True}}
    seen = {}
    for kind, size in {"any": None, "one": (SIZE, SIZE)}.items():
        for way, options in ways.items():
            recorder = Recorder()
            (outcome,) = translate.translate(model_of(recorder, size), tmp_path / "in.png", tmp_path / "out", **options)
            seen[kind, way] = {shape[2:] for shape in recorder.shapes}, read(outcome.written[0]).shape[:2]
    one = {(SIZE, SIZE)}
    assert seen == {
        ("any", "none"): (one, (SIZE, SIZE)), ("one", "none"): (one, (SIZE, SIZE)),
        ("any", "size"): ({(8, 12)}, (8, 12)), ("one", "size"): (one, (8, 12)),
        ("any", "keep"): ({(20, 24)}, (20, 24)), ("one", "keep"): (one, (20, 24)),
        ("any", "tiles"): (one, (20, 24)), ("one", "tiles"): (one, (20, 24)),
    }  # fmt: skip


def test_two_ways_to_a_size_are_refused(tmp_path):
    write(tmp_path / "in.png", noise())
    with pytest.raises(BadInputError, match="give one of them"):
        run(tmp_path / "in.png", tmp_path / "out", keep_size=True, tiles=True)
    assert not (tmp_path / "out").exists()


def test_another_batch_than_the_model_takes_is_refused(tmp_path):
    write(tmp_path / "in.png", noise())
    with pytest.raises(models.ModelError, match="--batch 4: this file takes 1: leave --batch out"):
        translate.translate(model_of(invert, batch=1), tmp_path / "in.png", tmp_path / "out", batch=4)
    assert not (tmp_path / "out").exists()


class Recorder:
    """The negative of pictures of any size; remembers the shapes that it was given."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x):
        self.shapes.append(x.shape)
        return -x, x[:, :1, ::4, ::4]


def test_batches_hold_pictures_of_one_shape_and_every_picture_comes_back(tmp_path):
    sizes = [(16, 24), (8, 8), (16, 24), (16, 24), (8, 8), (40, 12), (16, 24)]
    for i, size in enumerate(sizes):
        write(tmp_path / "in" / f"{i}.png", noise(i, (*size, 3)))
    recorder, counted = Recorder(), []
    outcomes = translate.translate(
        model_of(recorder), tmp_path / "in", tmp_path / "out", keep_size=True, batch=2, progress=counted.append
    )
    assert len(outcomes) == len(sizes) == sum(counted)
    assert sorted(shape[0] for shape in recorder.shapes) == [1, 2, 2, 2]
    for i, size in enumerate(sizes):
        assert np.array_equal(read(tmp_path / "out" / f"{i}.png"), 255 - noise(i, (*size, 3)))


def test_no_more_than_four_batches_wait(tmp_path):
    for i in range(30):
        write(tmp_path / "in" / f"{i:02d}.png", noise(i, (8 + 4 * i, 8, 3)))  # thirty shapes: no batch ever fills
    recorder, calls = Recorder(), []
    outcomes = translate.translate(
        model_of(recorder), tmp_path / "in", tmp_path / "out", keep_size=True, batch=2,
        report=lambda outcome: calls.append((outcome, len(recorder.shapes))),
    )  # fmt: skip
    assert calls[0][1] == 1
    assert [outcome for outcome, _ in calls] == outcomes and len(outcomes) == 30


def video_of(path, frames, rate=10):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'ugatit[dev]'")
    path.parent.mkdir(exist_ok=True)
    with videofile.Writer(path, rate) as writer:
        for frame in frames:
            writer.write(frame)
        writer.finish()


def test_a_video_keeps_its_frames_rate_and_order(tmp_path):
    frames = [np.full((48, 64, 3), value, np.uint8) for value in (20, 80, 140, 200, 235)]
    video_of(tmp_path / "in" / "clip.mp4", frames)
    write(tmp_path / "in" / "still.png", noise())
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video")
    whole = (tmp_path / "in" / "clip.mp4").read_bytes()
    (tmp_path / "in" / "cut.mp4").write_bytes(whole[:-1])
    jobs = files.find_jobs([tmp_path / "in"])
    assert files.count_images(jobs) == 6
    counted = []
    outcomes = {
        outcome.source.name: outcome
        for outcome in translate.translate(
            model_of(Recorder()),
            tmp_path / "in",
            tmp_path / "out",
            keep_size=True,
            batch=2,
            side_by_side=True,
            progress=counted.append,
        )
    }
    assert sum(counted) == 6
    assert outcomes["broken.mp4"].problem == "damaged, or no video: Invalid data found when processing input"
    assert outcomes["cut.mp4"].problem == f"truncated: {len(whole) - 1} bytes, where {len(whole)} are declared"
    assert sorted(os.listdir(tmp_path / "out")) == [
        "clip.mp4", "clip.side_by_side.mp4", "still.png", "still.side_by_side.png"
    ]  # fmt: skip
    assert video.about(tmp_path / "out" / "clip.mp4") == (10.0, 5)
    times, made = zip(*video.frames(tmp_path / "out" / "clip.mp4"), strict=True)
    assert times == tuple(Fraction(i, 10) for i in range(5))
    assert [frame.shape for frame in made] == [(48, 64, 3)] * 5
    assert np.abs(np.array([frame.mean() for frame in made]) - 255 + [20, 80, 140, 200, 235]).max() < 4


def test_an_interrupted_video_leaves_no_file(tmp_path):
    video_of(tmp_path / "clip.mp4", [np.zeros((16, 16, 3), np.uint8)] * 4)
    calls = []

    def interrupted(x):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return invert(x)

    with pytest.raises(KeyboardInterrupt):
        translate.translate(model_of(interrupted), tmp_path / "clip.mp4", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_an_output_folder_that_takes_no_video(tmp_path):
    video_of(tmp_path / "clip.mp4", [np.zeros((16, 16, 3), np.uint8)])
    (tmp_path / "out" / "clip.mp4.partial").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="clip.mp4.partial"):
        run(tmp_path / "clip.mp4", tmp_path / "out")


@pytest.mark.parametrize("limit", [0, 500, 4000])
def test_a_video_that_the_disk_does_not_take_whole_is_named_and_leaves_nothing(tmp_path, limit):
    video_of(tmp_path / "in" / "clip.mp4", list(np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        outcomes = translate.translate(
            model_of(Recorder()), tmp_path / "in", tmp_path / "out", keep_size=True, heatmap=True
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [outcome.problem for outcome in outcomes] == ["cannot be written: File too large"]
    assert outcomes[0].written == () and os.listdir(tmp_path / "out") == []


def test_a_full_disk_ends_the_work_with_the_videos_name(tmp_path):
    video_of(tmp_path / "in" / "a.mp4", [noise(0, (48, 64, 3))] * 3)
    video_of(tmp_path / "in" / "b.mp4", [noise(0, (48, 64, 3))] * 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.mp4.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: .*b\.mp4"):
        translate.translate(model_of(Recorder()), tmp_path / "in", tmp_path / "out", keep_size=True)
    assert os.listdir(tmp_path / "out") == ["a.mp4"]


def test_without_pyav_pictures_are_translated_and_videos_are_named(tmp_path, monkeypatch):
    video_of(tmp_path / "in" / "a.mp4", [noise()] * 2)
    write(tmp_path / "in" / "b.png", noise())
    monkeypatch.setitem(sys.modules, "av", None)
    b, a = run(tmp_path / "in", tmp_path / "out")
    assert b.written == (tmp_path / "out" / "b.png",) and "pip install 'ugatit[video]'" in a.problem
    with pytest.raises(BadInputError, match="a.mp4: a video needs PyAV"):
        run(tmp_path / "in" / "a.mp4", tmp_path / "new")
    assert not (tmp_path / "new").exists()
