"""Drawn pictures: colours, sizes, positions; and the conversions from and to a network's range."""

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError
from ugatit_train.pictures import drawing
from ugatit_train.training import log


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def test_to_network_range_and_luma():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = 255
    picture[0, 1] = (255, 0, 0)
    x = drawing.to_network(picture, 3)
    assert x.shape == (1, 3, 2, 2) and x.dtype == np.float32
    assert x[0, :, 0, 0].tolist() == [1, 1, 1] and x[0, :, 0, 1].tolist() == [1, -1, -1]
    gray = drawing.to_network(picture, 1)
    assert gray.shape == (1, 1, 2, 2)
    assert gray[0, 0, 0, 1] == pytest.approx(2 * 0.299 - 1, abs=0.005)


def test_to_uint8_range_clipping_and_gray():
    values = np.array([-1, 1, 0, -3, 5], np.float32).reshape(1, 1, 1, 5)
    pixels = drawing.to_uint8(values)
    assert pixels.shape == (1, 1, 5, 3)
    assert pixels[0, 0, :, 0].tolist() == [0, 255, 128, 0, 255]
    assert (pixels == pixels[..., :1]).all()
    colour = np.zeros((2, 3, 4, 6), np.float32)
    colour[:, 0] = 1
    assert drawing.to_uint8(colour)[1, 2, 3].tolist() == [255, 128, 128]


def test_heatmap_is_normalised_per_image_and_upsampled():
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    drawn = drawing.heatmap_to_uint8(np.concatenate([ramp, ramp * 1000 - 7, np.ones_like(ramp)]), 16)
    assert drawn.shape == (3, 16, 16, 3) and drawn.dtype == np.uint8
    assert np.array_equal(drawn[0], drawn[1])
    first, last = drawn[0, 0, 0].tolist(), drawn[0, -1, -1].tolist()
    assert first[2] > 100 and first[0] == 0  # blue
    assert last[0] > 100 and last[2] == 0  # red
    assert (drawn[2] == drawn[0, 0, 0]).all()


def test_sample_grid_has_the_seeds_seven_rows_in_order():
    size, count = 8, 2
    rows = {}
    for i, name in enumerate(drawing.SAMPLE_ROWS):
        if name.startswith("heatmap"):
            rows[name] = np.random.default_rng(i).random((count, 1, 2, 2), np.float32)
        else:
            rows[name] = np.full((count, 3, size, size), i / 4 - 1, np.float32)
    grid = drawing.sample_grid(rows)
    assert grid.shape == (7 * size, count * size, 3)
    for i, name in enumerate(drawing.SAMPLE_ROWS):
        strip = grid[i * size : (i + 1) * size]
        expected = drawing.heatmap_to_uint8(rows[name], size) if "heatmap" in name else drawing.to_uint8(rows[name])
        assert np.array_equal(strip, np.concatenate(list(expected), axis=1)), name
    with pytest.raises(ValueError, match="no picture"):
        drawing.sample_grid({"heatmap_a2b": rows["heatmap_a2b"]})


def test_contact_sheet_places_the_pictures(tmp_path):
    red, blue = np.zeros((64, 64, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    drawing.contact_sheet([[red, blue], [blue, red]], ["input", "a rather long title for this"], tmp_path / "s.png", 32)
    sheet = read(tmp_path / "s.png")
    assert sheet.shape == (24 + 2 * 36, 2 * 36 + 4, 3)
    centres = [[sheet[24 + 36 * j + 16, 4 + 36 * i + 16].tolist() for i in range(2)] for j in range(2)]
    assert centres == [[[255, 0, 0], [0, 0, 255]], [[0, 0, 255], [255, 0, 0]]]
    assert (sheet[:24] < 128).any()  # the titles
    drawing.contact_sheet([[red, blue], [blue, None]], ["a", "b"], tmp_path / "odd.png", 32)
    assert read(tmp_path / "odd.png")[24 + 36 : 24 + 68, 4 + 36 : 4 + 68].min() == 255
    with pytest.raises(ValueError, match="equal columns"):
        drawing.contact_sheet([[red], [blue, red]], ["a", "b"], tmp_path / "t.png")


def test_loss_curves_draw_every_loss_once(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    panels = []
    add = Figure.add_subplot
    monkeypatch.setattr(Figure, "add_subplot", lambda self, *where: panels.append(add(self, *where)) or panels[-1])
    with log.Metrics(tmp_path / "m.jsonl") as metrics:
        for step in range(1, 91):
            metrics.write(
                step, {"d_loss": 4 / step, "g_loss": 9, "cam_a2b": -1, "lr": 1e-4, "step_s": 1, "data_wait_s": 0}
            )
    drawing.loss_curves(log.read_metrics(tmp_path / "m.jsonl"), tmp_path / "curves.png")
    picture = read(tmp_path / "curves.png")
    assert picture.shape[1] == 800 and picture.std() > 10
    assert [axes.get_title() for axes in panels] == ["d loss", "g loss", "cam a2b"]
    raw, smooth = panels[0].get_lines()
    assert len(raw.get_xdata()) == 90 and len(smooth.get_xdata()) == 88
    assert smooth.get_xydata()[0].tolist() == pytest.approx([3, (4 + 2 + 4 / 3) / 3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "m.jsonl"]


def test_loss_curves_of_nothing_are_refused(tmp_path):
    (tmp_path / "m.jsonl").write_text("")
    with pytest.raises(BadInputError, match="no step to draw: train first"):
        drawing.loss_curves(log.read_metrics(tmp_path / "m.jsonl"), tmp_path / "curves.png")
