"""Memory is used again, but never while anything refers to it."""

from __future__ import annotations

import numpy as np

from ugatit_data.buffers import Buffers


def test_a_dropped_block_is_used_again():
    buffers = Buffers(2)
    array = buffers.empty((3, 4), np.float32)
    address = array.ctypes.data
    del array
    assert buffers.empty((3, 4), np.float32).ctypes.data == address


def test_a_block_in_use_is_not():
    buffers = Buffers(8)
    array = buffers.empty((3, 4), np.float32)
    address = array.ctypes.data
    views = {
        "slice": array[1:],
        "transposed": array.T,
        "reshaped": array.reshape(-1)[::2],
        "other": array.view(np.uint8),
    }
    del array
    while views:
        assert buffers.empty((3, 4), np.float32).ctypes.data != address
        views.popitem()
    assert buffers.empty((3, 4), np.float32).ctypes.data == address


def test_a_tensor_holds_its_block():
    import mindspore as ms

    buffers = Buffers(8)
    tensor = ms.Tensor.from_numpy(buffers.empty((2, 3), np.float32))
    tensor.asnumpy()[:] = 7
    reshaped = tensor.reshape(6)
    del tensor
    for _ in range(4):
        buffers.empty((2, 3), np.float32)[:] = 0
    assert (reshaped.asnumpy() == 7).all()


def test_free_memory_is_bounded_and_given_up_at_close():
    buffers = Buffers(2)
    held = [buffers.empty((10,), np.uint8) for _ in range(5)]
    del held
    assert len(buffers._free) == 2
    held = buffers.empty((10,), np.uint8)
    buffers.close()
    del held
    assert buffers._free == []
