"""Object storage, on a local S3 server, and through a stand-in of ModelArts' moxing with its documented calls."""

import resource
import shutil
import sys
import types
from pathlib import Path

import pytest

from ugatit_data import BadInputError
from ugatit_data.storage import Mirror, StorageError, open_storage

FILES = {"a.txt": b"one", "deep/er/b name.bin": bytes(range(256)) * 9000, "deep/empty": b""}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "here"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class FakeMoxing:
    """moxing.file: exists, copy, copy_parallel, remove; obs:// lies in a folder."""

    def __init__(self, root: Path):
        self.root = root

    def at(self, path: str) -> Path:
        return self.root / path.removeprefix("obs://") if path.startswith("obs://") else Path(path)

    def exists(self, path):
        return self.at(path).exists()

    def copy(self, source, target):
        self.at(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.at(source), self.at(target))

    def copy_parallel(self, source, target):
        shutil.copytree(self.at(source), self.at(target), dirs_exist_ok=True)

    def remove(self, path):
        self.at(path).unlink()


@pytest.fixture(params=["s3", "moxing"])
def storage(request, tmp_path, monkeypatch):
    """An empty folder of object storage."""
    if request.param == "moxing":
        monkeypatch.setitem(sys.modules, "moxing", types.SimpleNamespace(file=FakeMoxing(tmp_path / "obs")))
        return open_storage("obs://bucket/my run")
    return open_storage("s3://bucket/my run", request.getfixturevalue("s3_server"))


def test_a_folder_comes_back_as_it_was_sent(storage, folder, tmp_path):
    assert Mirror(folder, storage, "a.txt").push() == 3
    storage.copy_in(tmp_path / "back")
    assert contents(tmp_path / "back") == FILES


def test_a_push_sends_what_changed_and_removes_what_went(storage, folder, tmp_path):
    mirror = Mirror(folder, storage, "a.txt")
    mirror.push()
    assert mirror.push() == 0
    (folder / "deep" / "empty").write_bytes(b"now full")
    (folder / "a.txt").unlink()
    (folder / "half.partial").write_bytes(b"not yet")
    assert mirror.push() == 1
    (folder / "half.partial").unlink()
    storage.copy_in(tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)


def test_the_voucher_is_sent_last_and_goes_first(folder, monkeypatch):
    done = []

    class Recorded:
        url = "s3://bucket"

        def put(self, path, name):
            done.append(("put", name))

        def remove(self, name):
            done.append(("remove", name))

    mirror = Mirror(folder, Recorded(), "a.txt")
    mirror.push()
    shutil.rmtree(folder)
    folder.mkdir()
    mirror.push()
    names = ["deep/empty", "deep/er/b name.bin"]
    assert done[:3] == [("put", name) for name in [*names, "a.txt"]]
    assert done[3:] == [("remove", name) for name in ["a.txt", *names]]


def test_what_comes_back_changed_is_named(tmp_path, folder, monkeypatch):
    class Flipping(FakeMoxing):
        def copy(self, source, target):
            super().copy(source, target)
            if str(target).startswith("obs://"):
                data = bytearray(self.at(target).read_bytes())
                data[-1] ^= 1
                self.at(target).write_bytes(data)

    monkeypatch.setitem(sys.modules, "moxing", types.SimpleNamespace(file=Flipping(tmp_path / "obs")))
    with pytest.raises(
        StorageError, match=r"obs://bucket/run/a.txt: sha256 \w+... came back, 7692c3ad3540... was sent"
    ):
        open_storage("obs://bucket/run").put(folder / "a.txt", "a.txt")


def test_what_is_not_there(storage, tmp_path):
    with pytest.raises(StorageError, match="://bucket/my run: holds nothing: check the URL"):
        storage.copy_in(tmp_path / "back")
    storage.remove("never sent")


def test_no_server(tmp_path, folder):
    with pytest.raises(StorageError, match=r"s3://bucket/run/a.txt: .*check the URL, the endpoint and the credentials"):
        open_storage("s3://bucket/run", "http://127.0.0.1:9").put(folder / "a.txt", "a.txt")


def test_a_disk_of_this_machine_that_is_full_is_not_the_storages_fault(s3_server, folder, tmp_path):
    storage = open_storage("s3://bucket/run", s3_server)
    Mirror(folder, storage, "a.txt").push()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError) as caught:
            storage.copy_in(tmp_path / "back")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    at = f"{tmp_path / 'back'}: File too large: a fault of this machine, not of s3://bucket/run: "
    assert str(caught.value).startswith(at)
    with pytest.raises(StorageError, match="gone: No such file or directory: a fault of this machine"):
        storage.put(folder / "gone", "gone")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://x/y", "http://x/y: not a URL of object storage: give s3://BUCKET/FOLDER"),
        ("s3://", "not a URL"),
        ("/a/folder", "not a URL"),
        ("obs://bucket/x", "moxing is not installed, and no endpoint is set: set S3_ENDPOINT"),
    ],
)
def test_bad_urls(url, words):
    with pytest.raises(BadInputError) as caught:
        open_storage(url)
    assert words in str(caught.value)


def test_another_package_named_moxing_is_not_taken_for_huaweis(monkeypatch):
    monkeypatch.setitem(sys.modules, "moxing", types.SimpleNamespace())
    with pytest.raises(BadInputError, match="moxing is not installed"):
        open_storage("obs://bucket/x")
