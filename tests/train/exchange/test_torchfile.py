"""PyTorch's files of weights: what is read, what is written, and that nothing in them is executed."""

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
