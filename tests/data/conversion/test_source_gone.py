"""A source that goes away while it is listed or read ends the conversion; it is no reason to reject images."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from ugatit_data import BadInputError, ConversionError, convert, repair
from ugatit_data.conversion.convert import carry_out
from ugatit_data.conversion.plan import make_plan
from ugatit_data.conversion.sources import FolderSource
from ugatit_data.dataset.manifest import read_dataset, read_manifest


@pytest.fixture
def own(source, tmp_path):
    """A copy of the source to spoil."""
    return shutil.copytree(source, tmp_path / "own")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failing(monkeypatch, name, code, call):
    """From now on os.<call> of a path that ends with `name` fails."""
    real = getattr(os, call)

    def fail(path, *arguments, **options):
        if isinstance(path, bytes) and path.endswith(name):
            raise OSError(code, os.strerror(code), path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, call, fail)


@pytest.mark.parametrize("gone", ["a file", "a folder", "the source"])
def test_what_is_gone_since_the_listing_is_resumed_not_rejected(own, dataset, tmp_path, gone):
    out = tmp_path / "out"
    plan = make_plan(FolderSource(own), out, shards=2)
    lost = {"a file": own / "trainB" / "000.jpg", "a folder": own / "trainB", "the source": own}[gone]
    lost.rename(tmp_path / "elsewhere")
    with pytest.raises(ConversionError, match="train.*: No such file or directory. .* run the same command again"):
        carry_out(plan, out)
    assert not out.exists()
    (tmp_path / "elsewhere").rename(lost)
    report = convert(own, out, shards=2)
    assert not report.rejected and report.resumed_shards == (0 if gone == "the source" else 2)
    assert contents(out) == contents(dataset)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EMFILE])
def test_a_file_system_that_fails_ends_the_conversion(own, tmp_path, monkeypatch, code):
    failing(monkeypatch, b"trainB/000.jpg", code, "open")
    with pytest.raises(ConversionError, match=f"trainB/000.jpg: {os.strerror(code)}. The source has changed or fails"):
        convert(own, tmp_path / "out")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENAMETOOLONG])
def test_what_must_not_be_read_stays_a_row_of_the_ledger(own, tmp_path, monkeypatch, code):
    (own / "trainA" / "dangling.png").symlink_to("nowhere")
    (own / "trainA" / "under a file.png").symlink_to("000.jpg/x")
    (own / "trainA" / "loop.png").symlink_to("loop.png")
    failing(monkeypatch, b"trainB/000.jpg", code, "open")
    out = tmp_path / "out"
    convert(own, out)
    rows = read_manifest(out, read_dataset(out)).to_pylist()
    assert {row["key"]: row["reason"] for row in rows if row["reason"]} == {
        b"000.jpg": f"unreadable: {os.strerror(code)}",
        b"dangling.png": "unreadable: No such file or directory",
        b"under a file.png": "unreadable: Not a directory",
        b"loop.png": "unreadable: Too many levels of symbolic links",
    }


def test_a_link_whose_target_is_gone_since_the_listing_is_no_dangling_link(own, tmp_path):
    target = tmp_path / "mount"
    target.mkdir()
    (own / "trainA" / "000.jpg").rename(target / "000.jpg")
    (own / "trainA" / "000.jpg").symlink_to(target / "000.jpg")
    plan = make_plan(FolderSource(own), tmp_path / "out")
    shutil.rmtree(target)
    with pytest.raises(ConversionError, match="trainA/000.jpg: No such file or directory"):
        carry_out(plan, tmp_path / "out")


@pytest.mark.parametrize("call", ["scandir", "stat"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOENT])
def test_a_listing_is_whole_or_none(own, tmp_path, monkeypatch, code, call):
    """A folder that fails is neither a file that is rejected nor one that nobody misses."""
    failing(monkeypatch, b"trainA/deep/" if call == "scandir" else b"trainA", code, call)
    with pytest.raises(ConversionError, match=f"trainA.*: {os.strerror(code)}"):
        convert(own, tmp_path / "out")


def test_an_item_that_fails_while_it_is_listed_is_no_file(own, monkeypatch):
    real = os.scandir

    class Failing:
        """As an item whose stat fails; the folder `deep` below it would be lost."""

        name, path = b"deep", b"trainA/deep"

        def stat(self):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def is_symlink(self):
            return False

    class Items:
        def __init__(self, folder):
            self.items = real(folder)

        def __enter__(self):
            return iter([Failing() if item.name == b"deep" else item for item in self.items])

        def __exit__(self, *exception):
            self.items.close()

    monkeypatch.setattr(os, "scandir", Items)
    with pytest.raises(ConversionError, match="trainA/deep: Input/output error"):
        FolderSource(own).entries()


def test_a_folder_that_must_not_be_listed_is_bad_input(own, monkeypatch):
    failing(monkeypatch, b"trainA/deep/", errno.EACCES, "scandir")
    with pytest.raises(BadInputError, match="trainA/deep/: Permission denied. Allow reading it"):
        FolderSource(own).entries()


def test_repair_tells_a_source_that_fails_from_another_one(dataset, own, tmp_path, monkeypatch):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    shard = next(copy.glob("trainA-00000*.mindrecord"))
    shard.write_bytes(shard.read_bytes()[:-1])
    failing(monkeypatch, b"trainA/000.jpg", errno.EIO, "open")
    with pytest.raises(ConversionError, match="trainA/000.jpg: Input/output error. The source has changed or fails"):
        repair(copy, own)
