"""Picture files: which are found, what their outputs are named, and what is written."""

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from ugatit_data import BadInputError
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.errors import RejectedImageError
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


@pytest.fixture
def linked(tmp_path):
    """A folder with a linked folder, a loop of links, a link that leads nowhere, a pipe and names in no order."""
    for name in ("s/trainA/own/x.png", "s/trainA/own-y.png", "elsewhere/deep/z.png", "s/trainB/x.png"):
        touch(tmp_path / name)
    folder = tmp_path / "s" / "trainA"
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "own" / "round").symlink_to(folder)
    (folder / "own" / "nowhere.png").symlink_to(tmp_path / "gone")
    (folder / ".hidden").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.png")
    touch(Path(os.fsdecode(os.fsencode(folder) + b"/b\xff.png")))
    return folder


def test_a_folder_gives_what_a_conversion_lists(linked):
    found = files.find_pictures(linked)
    keys = [entry.key for entry in FolderSource(linked.parent).entries()["train", "a"]]
    assert [os.fsencode(path.relative_to(linked)) for path in found] == keys
    assert keys == [b"b\xff.png", b"linked/deep/z.png", b"own-y.png", b"own/nowhere.png", b"own/x.png", b"pipe.png"]
    assert files.find_pictures(linked / "**" / "*.png") == found


def test_what_is_listed_and_is_no_file_is_named(linked):
    with pytest.raises(RejectedImageError, match="not a regular file"):
        files.read_picture(linked / "pipe.png")
    with pytest.raises(RejectedImageError, match="unreadable: No such file"):
        files.read_picture(linked / "own" / "nowhere.png")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path / "in" / "x.png")
    touch(tmp_path / "in" / "locked" / "y.png")
    scan = os.scandir

    def refusing(folder):
        if os.fsencode(folder).rstrip(b"/").endswith(b"locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(BadInputError, match="locked/?: Permission denied"):
        files.find_pictures(tmp_path / "in")


@pytest.mark.parametrize(
    ("pictures", "names"),
    [
        (["a.png", "a.heatmap.png"], ["a.png.png", "a.heatmap.png.png"]),
        (["a.png", "a.heatmap.jpg", "b.png"], ["a.png.png", "a.heatmap.jpg.png", "b.png"]),
        (["a.mp4", "a.heatmap.mov", "a.png"], ["a.mp4.mp4", "a.heatmap.mov.mp4", "a.png"]),
        (["a.jpg", "a.png/x.jpg"], ["a.jpg.png", "a.png/x.png"]),
        (["X.png", "x.jpg"], ["X.png.png", "x.jpg.png"]),
        (["e\u0301.png", "\u00e9.jpg"], ["e\u0301.png.png", "\u00e9.jpg.png"]),
        (["a", "a.heatmap"], ["a~ca978112.png", "a.heatmap~9c8a5bfc.png"]),
        (["sub/a.png", "a.heatmap.png"], ["sub/a.png", "a.heatmap.png"]),
    ],
)
def test_no_two_outputs_meet_with_heat_maps(pictures, names):
    assert [str(name) for name in files.output_names([Path(p) for p in pictures], Path(), [".heatmap"])] == names


def test_files_given_by_name_are_named_as_those_of_one_folder(tmp_path):
    for name in ("a.png", "a.heatmap.png", "x.png", "x.jpg"):
        (tmp_path / name).write_bytes(b"")
    given = [tmp_path / name for name in ("a.png", "a.heatmap.png", "x.png", "x.jpg")]
    together = dict(files.find_jobs([tmp_path], [".heatmap"]))
    assert dict(files.find_jobs(given, [".heatmap"])) == together
    assert len(set(together.values())) == 4
    assert files.find_jobs(given[:1], [".heatmap"]) == [(given[0], Path("a.png"))]


def test_outputs_of_two_sources_that_meet_are_refused(tmp_path):
    for name in ("one/a.png", "two/a.heatmap.png", "three/a.png/x.png"):
        touch(tmp_path / name)
    assert len(files.find_jobs([tmp_path / "one", tmp_path / "two"])) == 2
    with pytest.raises(BadInputError, match=r"one/a.png and .*two/a.heatmap.png would both become a.heatmap.png"):
        files.find_jobs([tmp_path / "one", tmp_path / "two"], [".heatmap"])
    with pytest.raises(BadInputError, match=r"one/a.png would become a file where a folder is needed, a.png"):
        files.find_jobs([tmp_path / "one", tmp_path / "three"])


def test_write_picture_keeps_rgb_and_leaves_no_partial_file(tmp_path):
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200
    files.write_picture(tmp_path / "x.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_COLOR_RGB), image)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with pytest.raises(BadInputError, match=r"name it \.png or \.jpg"):
        files.write_picture(tmp_path / "x.doc", image)
