"""What the runtime settles for MindSpore, and how it reads its complaints."""

import os

import pytest

from ugatit_train import runtime


def test_mindspores_compile_cache_is_ignored_and_said_to_be(monkeypatch, caplog):
    """With it, a run with --lr 1e30 had the losses of the run before, with 1e-4: constants are not in its key."""
    monkeypatch.setenv("MS_COMPILER_CACHE_ENABLE", "1")
    runtime.setup("CPU")
    assert os.environ["MS_COMPILER_CACHE_ENABLE"] == "0"
    assert "MS_COMPILER_CACHE_ENABLE is ignored" in caplog.text
    caplog.clear()
    runtime.setup("CPU")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (
            RuntimeError(
                "\n- Memory not enough:\n----\nMemory isn't enough and alloc failed, kernel name: Default/Im2Col-op0"
                ", alloc size: 14112000000B.\n\n----\n- C++ Call Stack:\n----\nmindspore/x.cc:1 Run\n"
            ),
            "Memory isn't enough and alloc failed, kernel name: Default/Im2Col-op0, alloc size: 14112000000B",
        ),
        (RuntimeError("model.onnx: Failed to allocate memory for requested buffer of size 9"), "model.onnx: Failed to"),
        (MemoryError("Unable to allocate 7.5 GiB for an array"), "Unable to allocate 7.5 GiB for an array"),
        (MemoryError(), "out of memory"),
        (RuntimeError("For 'MatMul', the shapes differ"), None),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, found):
    said = runtime.lack_of_memory(error)
    assert said is None if found is None else said.startswith(found)
