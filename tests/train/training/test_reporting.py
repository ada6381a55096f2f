"""What a run shows: colours and sizes of its pictures, and a metrics file that survives kills."""

import json

import cv2
import numpy as np
import pytest

from ugatit_train import reporting


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def test_log_line_is_the_seeds():
    line = reporting.log_line(7, 1000, 0.66642, 3.2190554, 2914.113)
    assert line == "[   7/1000] time per iter: 0.666s, d_loss: 3.219055, g_loss: 2914.113"


def test_to_uint8_range_clipping_and_gray():
    values = np.array([-1, 1, 0, -3, 5], np.float32).reshape(1, 1, 1, 5)
    pixels = reporting.to_uint8(values)
    assert pixels.shape == (1, 1, 5, 3)
    assert pixels[0, 0, :, 0].tolist() == [0, 255, 128, 0, 255]
    assert (pixels == pixels[..., :1]).all()
    colour = np.zeros((2, 3, 4, 6), np.float32)
    colour[:, 0] = 1
    assert reporting.to_uint8(colour)[1, 2, 3].tolist() == [255, 128, 128]


def test_heatmap_is_normalised_per_image_and_upsampled():
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    drawn = reporting.heatmap_to_uint8(np.concatenate([ramp, ramp * 1000 - 7, np.ones_like(ramp)]), 16)
    assert drawn.shape == (3, 16, 16, 3) and drawn.dtype == np.uint8
    assert np.array_equal(drawn[0], drawn[1])
    first, last = drawn[0, 0, 0].tolist(), drawn[0, -1, -1].tolist()
    assert first[2] > 100 and first[0] == 0  # blue
    assert last[0] > 100 and last[2] == 0  # red
    assert (drawn[2] == drawn[0, 0, 0]).all()


def test_sample_grid_has_the_seeds_seven_rows_in_order():
    size, count = 8, 2
    rows = {}
    for i, name in enumerate(reporting.SAMPLE_ROWS):
        if name.startswith("heatmap"):
            rows[name] = np.random.default_rng(i).random((count, 1, 2, 2), np.float32)
        else:
            rows[name] = np.full((count, 3, size, size), i / 4 - 1, np.float32)
    grid = reporting.sample_grid(rows)
    assert grid.shape == (7 * size, count * size, 3)
    for i, name in enumerate(reporting.SAMPLE_ROWS):
        strip = grid[i * size : (i + 1) * size]
        expected = reporting.heatmap_to_uint8(rows[name], size) if "heatmap" in name else reporting.to_uint8(rows[name])
        assert np.array_equal(strip, np.concatenate(list(expected), axis=1)), name
    with pytest.raises(ValueError, match="no picture"):
        reporting.sample_grid({"heatmap_a2b": rows["heatmap_a2b"]})


def test_write_image_keeps_rgb_and_leaves_no_partial_file(tmp_path):
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200
    reporting.write_image(tmp_path / "x.png", image)
    assert np.array_equal(read(tmp_path / "x.png"), image)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with pytest.raises(ValueError, match=r"name it \.png or \.jpg"):
        reporting.write_image(tmp_path / "x.doc", image)


def test_contact_sheet_places_the_pictures(tmp_path):
    red, blue = np.zeros((64, 64, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    reporting.contact_sheet(
        [[red, blue], [blue, red]], ["input", "a rather long title for this"], tmp_path / "s.png", 32
    )
    sheet = read(tmp_path / "s.png")
    assert sheet.shape == (24 + 2 * 36, 2 * 36 + 4, 3)
    centres = [[sheet[24 + 36 * j + 16, 4 + 36 * i + 16].tolist() for i in range(2)] for j in range(2)]
    assert centres == [[[255, 0, 0], [0, 0, 255]], [[0, 0, 255], [255, 0, 0]]]
    assert (sheet[:24] < 128).any()  # the titles
    with pytest.raises(ValueError, match="equal columns"):
        reporting.contact_sheet([[red], [blue, red]], ["a", "b"], tmp_path / "t.png")


def test_metrics_of_an_interrupted_run_equal_those_of_a_whole_one(tmp_path):
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"

    def run(path, done, stop):
        with reporting.Metrics(path, done) as metrics:
            for step in range(done + 1, stop + 1):
                metrics.write(step, {"d_loss": np.float32(0.1 * step), "lr": 1e-4})

    run(whole, 0, 9)
    run(broken, 0, 6)
    with broken.open("a") as file:
        file.write('{"step": 7, "d_lo')  # killed in the middle of a write
    run(broken, 4, 9)  # the last checkpoint was at step 4
    assert broken.read_bytes() == whole.read_bytes()
    steps = reporting.read_metrics(whole)
    assert [line["step"] for line in steps] == list(range(1, 10))
    assert np.float32(steps[2]["d_loss"]) == np.float32(0.1 * 3)  # all digits


def test_a_line_is_readable_as_soon_as_it_is_written(tmp_path):
    metrics = reporting.Metrics(tmp_path / "m.jsonl")
    metrics.write(1, {"g_loss": 2})
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"step": 1, "g_loss": 2.0}
    metrics.close()


def test_a_new_run_begins_with_an_empty_file(tmp_path):
    with reporting.Metrics(tmp_path / "m.jsonl") as metrics:
        metrics.write(1, {"g_loss": 2})
    with reporting.Metrics(tmp_path / "m.jsonl"):
        assert reporting.read_metrics(tmp_path / "m.jsonl") == []


@pytest.mark.parametrize("text", ['{"step": 1}\nnoise\n{"step": 3}\n', '{"loss": 1}\n', "[1]\n"])
def test_a_broken_line_is_named(tmp_path, text):
    (tmp_path / "m.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"m\.jsonl, line \d: not a step"):
        reporting.read_metrics(tmp_path / "m.jsonl")


def test_loss_curves_draw_every_loss_once(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    panels = []
    add = Figure.add_subplot
    monkeypatch.setattr(Figure, "add_subplot", lambda self, *where: panels.append(add(self, *where)) or panels[-1])
    with reporting.Metrics(tmp_path / "m.jsonl") as metrics:
        for step in range(1, 91):
            metrics.write(
                step, {"d_loss": 4 / step, "g_loss": 9, "cam_a2b": -1, "lr": 1e-4, "step_s": 1, "data_wait_s": 0}
            )
    reporting.loss_curves(tmp_path / "m.jsonl", tmp_path / "curves.png")
    picture = read(tmp_path / "curves.png")
    assert picture.shape[1] == 800 and picture.std() > 10
    assert [axes.get_title() for axes in panels] == ["d loss", "g loss", "cam a2b"]
    raw, smooth = panels[0].get_lines()
    assert len(raw.get_xdata()) == 90 and len(smooth.get_xdata()) == 88
    assert smooth.get_xydata()[0].tolist() == pytest.approx([3, (4 + 2 + 4 / 3) / 3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "m.jsonl"]


def test_loss_curves_of_nothing_are_refused(tmp_path):
    (tmp_path / "m.jsonl").write_text("")
    with pytest.raises(ValueError, match="holds no step: train first"):
        reporting.loss_curves(tmp_path / "m.jsonl", tmp_path / "curves.png")


def test_tensorboard_events_hold_every_value(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed: pip install 'ugatit[tensorboard]'")
    from tensorboardX.proto.event_pb2 import Event

    with reporting.Events(tmp_path / "tensorboard", 4) as events:
        events.write(5, {"d_loss": np.float32(0.25), "lr": 1e-4})
    data, found, at = next((tmp_path / "tensorboard").iterdir()).read_bytes(), [], 0
    while at < len(data):  # TFRecord: length, its checksum, an event, its checksum
        length = int.from_bytes(data[at : at + 8], "little")
        found.append(Event.FromString(data[at + 12 : at + 12 + length]))
        at += length + 16
    values = {v.tag: (event.step, v.simple_value) for event in found for v in event.summary.value}
    assert values == {"d_loss": (5, 0.25), "lr": (5, pytest.approx(1e-4))}
    assert [event.step for event in found if event.session_log.status] == [
        5
    ]  # what was done before is dropped from here
