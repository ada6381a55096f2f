"""Memory is used again, but never while anything refers to it."""

from __future__ import annotations

import collections
import threading
import weakref

import numpy as np

from ugatit_data.loading.buffers import _OURS, Buffers, _oldest


def test_what_it_relies_on_was_measured_in_this_python():
    """A free block has as many references as the measured one, a held one has more."""
    free, held = np.empty(3), np.empty(3)
    blocks, view = collections.deque([free, held]), held.view()
    del free, held
    assert _oldest(blocks)[1] == _OURS
    assert _oldest(blocks)[1] > _OURS
    assert view.size == 3


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


def test_a_block_of_another_shape_or_dtype_is_not_given_out():
    buffers = Buffers(2)
    buffers.empty((3, 4), np.float32)
    for shape, dtype in (((4, 3), np.float32), ((3, 4), np.uint8), ((3, 4), np.float32)):
        array = buffers.empty(shape, dtype)
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, dtype, True)


def test_memory_is_bounded_and_given_up_at_close():
    buffers = Buffers(2)
    held = [buffers.empty((10,), np.uint8) for _ in range(5)]
    addresses = [array.ctypes.data for array in held]
    assert len(set(addresses)) == 5
    blocks = [weakref.ref(array.base) for array in held]
    del held
    assert [block() is None for block in blocks] == [True, True, True, False, False]
    array = buffers.empty((10,), np.uint8)
    buffers.close()
    assert [block() is None for block in blocks].count(False) == 1
    array[:] = 1
    del array
    assert all(block() is None for block in blocks)


def test_threads_are_never_given_the_same_memory():
    buffers, wrong = Buffers(6), []

    def work(number):
        for _ in range(3000):
            array = buffers.empty((16,), np.int64)
            array[:] = number
            if (array != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
