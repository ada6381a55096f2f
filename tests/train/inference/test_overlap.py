"""Reading, network and writing of a video at the same time: order, bytes and errors of one after the other."""

import contextlib
import os
import threading

import numpy as np
import pytest

from ugatit_data.errors import RejectedImageError
from ugatit_train.inference import models, overlap, translate
from ugatit_train.pictures import drawing, video, videofile

COUNT = 12


def model_of(function):
    signature = models.Signature(direction="a2b", light=True, img_size=(32, 48), img_ch=3, size=None, batch=None)
    return models.Model(run=function, signature=signature)


def invert(x):
    return -x, x[:, :1, ::4, ::4]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'ugatit[dev]'")
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with videofile.Writer(path, 10) as writer:
        for frame in np.random.default_rng(0).integers(0, 256, (COUNT, 32, 48, 3), np.uint8):
            writer.write(frame)
        writer.finish()
    return path


def run(clip, out, function=invert, **options):
    (outcome,) = translate.translate(model_of(function), clip, out, keep_size=True, **options)
    return outcome


def test_the_bytes_are_those_of_one_stage_after_the_other(clip, tmp_path):
    one_by_one = tmp_path / "one.mp4"
    with videofile.Writer(one_by_one, video.about(clip)[0], clip) as writer:
        for time, frame in video.frames(clip):
            writer.write(drawing.to_uint8(invert(drawing.to_network(frame, 3))[0])[0], time)
        writer.finish()
    counted = []
    for batch in (1, 5):
        outcome = run(clip, tmp_path / str(batch), batch=batch, heatmap=True, progress=counted.append)
        assert [path.name for path in outcome.written] == ["clip.mp4", "clip.heatmap.mp4"]
        assert outcome.written[0].read_bytes() == one_by_one.read_bytes()
        assert outcome.frames == COUNT and outcome.seconds > 0
    assert counted == [1] * 2 * COUNT


def test_the_network_runs_while_frames_are_read_and_written(clip, tmp_path, monkeypatch):
    """Inside the network's third call the fourth frame comes, and the second one is written."""
    was_read, was_written, seen = threading.Event(), threading.Event(), []
    frames, write = video.frames, videofile.Writer.write

    def reading(path):
        for i, frame in enumerate(frames(path)):
            if i == 3:
                was_read.set()
            yield frame

    def writing(writer, frame, time):
        write(writer, frame, time)
        if round(time * 10) == 1:
            was_written.set()

    def network(x):
        seen.append(len(seen) + 1)
        if len(seen) == 3:
            assert was_read.wait(20) and was_written.wait(20)
        return invert(x)

    monkeypatch.setattr(video, "frames", reading)
    monkeypatch.setattr(videofile.Writer, "write", writing)
    assert run(clip, tmp_path / "out", network).problem == ""


def test_a_whole_batch_is_read_while_the_network_runs(clip, tmp_path, monkeypatch):
    frames, was_read = video.frames, threading.Event()

    def reading(path):
        yield from frames(path)
        was_read.set()

    def network(x):
        assert was_read.wait(20)
        return invert(x)

    monkeypatch.setattr(video, "frames", reading)
    assert run(clip, tmp_path / "out", network, batch=COUNT // 2 + 1).problem == ""


def test_a_write_that_fails_is_told_before_a_later_frame_that_is_damaged(clip, tmp_path, monkeypatch):
    frames, write = video.frames, videofile.Writer.write

    def damaged(path):
        for i, frame in enumerate(frames(path)):
            if i == 2:
                raise RejectedImageError("damaged: the third frame")
            yield frame

    def full(writer, frame, time):
        if time:
            raise OSError(28, "No space left on device", "clip.mp4")
        write(writer, frame, time)

    monkeypatch.setattr(video, "frames", damaged)
    assert run(clip, tmp_path / "out").problem == "damaged: the third frame"
    monkeypatch.setattr(videofile.Writer, "write", full)
    with pytest.raises(OSError, match="No space left"):
        run(clip, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_few_items_are_made_ahead_and_leaving_early_closes_their_maker():
    made, closed = [], []

    def items():
        try:
            for i in range(100):
                made.append(i)
                yield i
        finally:
            closed.append(len(made))

    before = threading.active_count()
    with contextlib.closing(overlap.ahead(items())) as ahead:
        assert [next(ahead) for _ in range(10)] == list(range(10))
    assert closed == [len(made)] and 10 <= len(made) <= 10 + overlap.AHEAD
    assert threading.active_count() == before


def test_calls_that_are_not_made_after_a_failure_are_not_counted():
    called, done = [], []

    def full(i):
        called.append(i)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), overlap.Behind(full, lambda: done.append(1), batch=10) as behind:
        for i in range(10):
            behind.call(i)
    assert (called, done) == ([0], [])


def test_calls_behind_stop_at_the_first_that_fails_and_few_wait():
    called, done, gate = [], [], threading.Event()

    def function(i):
        gate.wait(20)
        called.append(i)
        if i == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"), overlap.Behind(function, lambda: done.append(1)) as behind:
        for i in range(overlap.AHEAD):
            behind.call(i)  # waits for none
        assert called == []
        gate.set()
    assert called == [0, 1, 2] and len(done) == 2
    with pytest.raises(KeyboardInterrupt), overlap.Behind(function, lambda: done.append(1)) as behind:
        gate.clear()
        for i in range(overlap.AHEAD):
            behind.call(10 + i)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt
    assert called[3:] in ([10], []) and len(done) == 2
