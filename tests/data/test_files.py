"""Writing a file whole: what stands there while it is written, and after it failed; locks; digests."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from ugatit_data import DataError, files


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("content", [b"ab", "ab", lambda path: path.write_bytes(b"ab")])
def test_a_file_appears_with_its_contents(tmp_path, content, durable):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    files.write_whole(path, content, durable=durable)
    assert path.read_bytes() == b"ab"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half(partial):
        partial.write_bytes(b"a")
        raise error

    with pytest.raises(type(error)) as raised:
        files.write_whole(path, half)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    if isinstance(error, OSError):
        assert raised.value.filename == str(path)


@pytest.mark.parametrize("stem", ["x" * 255, "\u00e9" * 127 + "x", "x" * 248])
def test_a_name_as_long_as_it_can_be(tmp_path, stem):
    assert len(os.fsencode(files.partial_path(tmp_path / stem).name)) <= 255
    files.write_whole(tmp_path / stem, b"ab")
    assert os.listdir(tmp_path) == [stem] and (tmp_path / stem).read_bytes() == b"ab"


def test_names_that_are_shortened_stay_different_and_utf_8():
    assert files.fitting_name("x" * 251, ".png") == "x" * 251 + ".png"
    assert files.fitting_name("abcdefghijklm", ".png", 16) == "abc~ff10304f.png"
    names = {files.fitting_name("\u00e9" * 126 + last, ".png") for last in "ab"}
    assert len(names) == 2 and all(len(name.encode()) in (254, 255) for name in names)
    assert len(os.fsencode(files.fitting_name("\udcff" * 300, ".png"))) == 255  # bytes that are no UTF-8


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none/file"):
        files.write_whole(tmp_path / "none" / "file", b"")


def test_a_lock_keeps_others_out_until_its_owner_is_gone(tmp_path):
    code = f"import os; from ugatit_data.files import lock; print(lock(os.open({str(tmp_path)!r}, os.O_RDONLY)))"
    other = [sys.executable, "-c", code]
    mine = os.open(tmp_path, os.O_RDONLY)
    assert files.lock(mine)
    assert subprocess.check_output(other, text=True) == "False\n"
    os.close(mine)
    assert subprocess.check_output(other, text=True) == "True\n"


def test_digests(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 1_000_000)
    assert files.sha256_file(tmp_path / "file") == files.sha256_hex(b"abc" * 1_000_000)
    assert files.sha256_hex(b"abc").startswith("ba7816bf8f01cfea")  # FIPS 180-2, example 1
    assert files.canonical({"b": [1, "\u00e4"], "a": None}) == b'{"a":null,"b":[1,"\\u00e4"]}'


@pytest.mark.parametrize("hard", [1024, -1])
def test_descriptors_are_allowed_up_to_the_hard_limit_which_is_named(monkeypatch, hard):
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    files.allow_descriptors(10, "x")
    assert asked == []
    files.allow_descriptors(500, "x")
    (((soft, kept),)) = asked
    assert kept == hard and (soft == hard if hard > 0 else 1500 < soft < 1600), "and room for other files"
    if hard == -1:
        files.allow_descriptors(5000, "x")
        return
    with pytest.raises(
        DataError, match=r"x: takes 5000 open files, this process may have 1024. Run `ulimit -n 50\d\d`"
    ):
        files.allow_descriptors(5000, "x")
