"""What a source lists, and under which keys."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from ugatit_data import BadInputError, open_loader
from ugatit_data.conversion.sources import FolderSource, read_regular
from ugatit_data.dataset.manifest import read_dataset, read_manifest
from ugatit_data.errors import RejectedImageError

NAMES = [b"with space.jpg", "ünï.jpg".encode(), b"new\nline.jpg", b"semi;colon.jpg", b"bad\xff\xfe.jpg", b"wrong.png"]


@pytest.fixture
def odd(source, tmp_path):
    """A source with odd names, and the same name in two folders."""
    root = shutil.copytree(source, tmp_path / "odd")
    picture = (root / "trainA" / "000.jpg").read_bytes()
    for name in [*NAMES, b"one/same.jpg", b"two/same.jpg"]:
        path = os.path.join(os.fsencode(root / "trainA"), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:  # noqa: PTH123  Path takes no bytes
            file.write(picture)
    return root


def test_odd_names_survive_conversion(odd, tmp_path, convert_folder):
    out = convert_folder(odd, tmp_path / "out", workers=1, shards=3)
    rows = read_manifest(out, read_dataset(out)).to_pylist()
    keys = [row["key"] for row in rows if (row["split"], row["domain"]) == ("train", "a")]
    assert set(keys) >= {*NAMES, b"one/same.jpg", b"two/same.jpg"}
    assert keys == sorted(keys)
    with open_loader(out, img_size=32, domain="a", augment=False) as loader:
        assert loader.keys("a") == keys
        assert len(list(loader)) == len(keys)


def test_keys_are_sorted_by_bytes_over_folders(tmp_path):
    for name in ("trainA/b/1", "trainA/a/2", "trainA/a", "trainA/b-c", "trainB/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(b"x")
    listed = FolderSource(tmp_path).entries()
    assert [entry.key for entry in listed["train", "a"]] == [b"a/2", b"b-c", b"b/1"]


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "trainA" / "inner").mkdir(parents=True)
    (tmp_path / "trainB").mkdir()
    (tmp_path / "trainB" / "x").write_bytes(b"x")
    (tmp_path / "trainA" / "inner" / "x").write_bytes(b"x")
    (tmp_path / "trainA" / "inner" / "up").symlink_to(tmp_path / "trainA")
    keys = [entry.key for entry in FolderSource(tmp_path).entries()["train", "a"]]
    assert keys == [b"inner/x"]


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "trainA").mkdir()
    source = FolderSource(tmp_path)
    os.mkfifo(tmp_path / "trainA" / "pipe")
    with pytest.raises(RejectedImageError, match="not a regular file"):
        source.read("train", "a", b"pipe")
    with pytest.raises(FileNotFoundError):
        source.read("train", "a", b"vanished")
    (tmp_path / "trainA" / "round").symlink_to("round")
    with pytest.raises(RejectedImageError, match="unreadable: Too many levels of symbolic links"):
        source.read("train", "a", b"round")
    with pytest.raises(RejectedImageError, match="not a regular file|unreadable"):
        source.read("train", "a", b".")


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(BadInputError, match="no such folder. Pass the folder that holds trainA"):
        FolderSource(tmp_path / "nothing").entries()


def test_a_test_folder_that_is_none_is_named(tmp_path):
    """Left out in silence it would be a split that nobody misses."""
    for name in ("trainA", "trainB"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"x")
    (tmp_path / "testA").symlink_to("moved")
    with pytest.raises(BadInputError, match="testA: no folder, or a link that leads nowhere. Mend or remove it"):
        FolderSource(tmp_path).entries()


@pytest.mark.parametrize("code", [errno.ENXIO, errno.EOPNOTSUPP])
def test_a_socket_is_a_row_on_every_system(tmp_path, monkeypatch, code):
    """Linux says the one, macOS the other."""

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RejectedImageError, match=f"unreadable: {os.strerror(code)}"):
        read_regular(os.fsencode(tmp_path / "socket"))
