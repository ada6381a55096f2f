"""Picture files: which are found, what their outputs are named, and what is written."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError
from ugatit_train.pictures import files


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_globs_lists_and_collisions(tmp_path):
    for name in ("one/x.png", "one/deep/y.png", "one/.hidden.png", "two/x.png"):
        touch(tmp_path / name)
    found = files.find_pictures(tmp_path / "one" / "**" / "*.png")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["one/deep/y.png", "one/x.png"]
    names = files.output_names(found, tmp_path / "one" / "**" / "*.png")
    assert [str(name) for name in names] == ["deep/y.png", "x.png"]
    assert len(files.find_jobs([tmp_path / "one", tmp_path / "one" / "x.png"])) == 2
    three = [Path("x.jpg"), Path("x.jpg.png"), Path("x.png"), Path("x.mp4"), Path("deep/x.jpg")]
    names = files.output_names(three, Path())
    assert [str(name) for name in names] == ["x.jpg.png", "x.jpg.png.png", "x.png.png", "x.mp4", "deep/x.png"]
    with pytest.raises(BadInputError, match="one/x.png and .*two/x.png would both become x.png"):
        files.find_jobs([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(BadInputError, match="matches no file"):
        files.find_jobs([tmp_path / "*.jpg"])


def test_write_picture_keeps_rgb_and_leaves_no_partial_file(tmp_path):
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200
    files.write_picture(tmp_path / "x.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_COLOR_RGB), image)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with pytest.raises(BadInputError, match=r"name it \.png or \.jpg"):
        files.write_picture(tmp_path / "x.doc", image)
