"""PyTorch's files of weights: what is read, what is written, and that nothing in them is executed."""

import contextlib

import numpy as np
import pytest

from ugatit_train.exchange import torchfile

torch = pytest.importorskip("torch", reason="torch is not installed: its files are neither read nor written")


def test_what_is_written_is_read_again_and_leaves_no_partial_file(tmp_path):
    states = {"genA2B": {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}, "disGA": {"y": np.float32([0.5])}}
    torchfile.write(tmp_path / "a.pt", states)
    found = torchfile.read(tmp_path / "a.pt")
    assert found.keys() == states.keys()
    np.testing.assert_array_equal(found["genA2B"]["x"], states["genA2B"]["x"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_the_file_does_not_hold_its_name(tmp_path):
    for name in ("a.pt", "b.pt"):
        torchfile.write(tmp_path / name, {"genA2B": {"x": np.zeros(3, np.float32)}})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(tensors, file):
        file.write(b"half")
        raise RuntimeError("full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="full"):
        torchfile.write(tmp_path / "a.pt", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n<!DOCTYPE html>\n<html>", "is an HTML page, not the file: download the file itself"),
        (b"\xef\xbb\xbf<HTML>", "is an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "is an XML text, perhaps a server's error"),
        (b'{"message": "Not Found"}', "is a JSON text, perhaps a server's error"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
            "is a pointer of Git LFS, not the file",
        ),
        (b"/annex/objects/SHA256E-s9--ab.pt\n", "is a pointer of git-annex, not the file"),
        (b"\x1f\x8b\x08\x00", "is a compressed file: unpack it"),
        (b"", "is an empty file: copy or download it again"),
        (b'\x40\x00\x00\x00\x00\x00\x00\x00{"a":', "is a safetensors file"),
        (b"Not Found", "its first bytes are none of PyTorch's"),
        (b"PK\x03\x04" + bytes(99), "damaged, or its end is missing): copy or download it"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9", "damaged, or its end is missing"),
    ],
)
def test_what_is_no_file_of_pytorch_is_called_by_its_name(tmp_path, content, words):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(torchfile.TorchFileError) as caught:
        torchfile.read(tmp_path / "x.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'x.pt'}: ") and words in str(caught.value)


def test_a_cut_file_is_called_damaged(tmp_path):
    torch.save({f"layer {i}": torch.zeros(500) for i in range(12)}, tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    for length in (*range(4, len(data), len(data) // 16), len(data) - 1):
        (tmp_path / "x.pt").write_bytes(data[:length])
        with pytest.raises(torchfile.TorchFileError, match="damaged, or its end is missing"):
            torchfile.read(tmp_path / "x.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of making one
def test_a_program_is_called_one(tmp_path):
    torch.jit.script(torch.nn.Identity()).save(str(tmp_path / "x.pt"))
    with pytest.raises(torchfile.TorchFileError, match="is a TorchScript archive, a program: give the file of its"):
        torchfile.read(tmp_path / "x.pt")


def test_a_file_with_any_byte_wrong_is_read_or_refused(tmp_path):
    for new in (True, False):
        torch.save({"genA2B": {"x": torch.arange(9.0)}}, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
        good = (tmp_path / "a.pt").read_bytes()
        for at in range(0, len(good), 7):
            (tmp_path / "b.pt").write_bytes(good[:at] + bytes([good[at] ^ 0xA5]) + good[at + 1 :])
            with contextlib.suppress(torchfile.TorchFileError):
                torchfile.read(tmp_path / "b.pt")


def test_a_file_that_asks_for_code_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"fc.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(torchfile.TorchFileError, match="evil.pth: no PyTorch file of weights alone"):
        torchfile.read(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(torchfile.TorchFileError, match="text.pth: no PyTorch file of weights alone"):
        torchfile.read(tmp_path / "text.pth")
    with pytest.raises(torchfile.TorchFileError, match="none.pth: No such file"):
        torchfile.read(tmp_path / "none.pth")
