"""The one compiled function: crops of raw records, checked, copied and mirrored, a batch in one call.

One call, for every one that lets go of the interpreter has to get it back, which among threads takes longer than to
copy an image. It reads and writes at bare addresses: whoever calls it has checked them (`records.py`, `crops.py`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numba
import numpy as np
import xxhash
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .errors import BadInputError

_AHEAD = 8  # rows that are fetched while one is copied
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)


@intrinsic
def _copy(typing, to, source, count):
    """Copy `count` bytes."""

    def code(context, builder, signature, values):
        to, source = (builder.inttoptr(value, _BYTE.as_pointer()) for value in values[:2])
        cgutils.raw_memcpy(builder, to, source, values[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), code


def _mirror(pixels: int) -> Callable:
    """Copy so many RGB pixels, three bytes each, in reverse order: one shuffle of a vector."""
    vector = ir.VectorType(_BYTE, 3 * pixels)
    order = [3 * pixel + channel for pixel in reversed(range(pixels)) for channel in range(3)]

    @intrinsic
    def mirror(typing, to, source):
        def code(context, builder, signature, values):
            to, source = (builder.inttoptr(value, vector.as_pointer()) for value in values)
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
            turned = builder.shuffle_vector(builder.load(source, align=1), ir.Constant(vector, ir.Undefined), mask)
            builder.store(turned, to, align=1)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp), code

    return mirror


_mirror_16, _mirror_1 = _mirror(16), _mirror(1)


@intrinsic
def _prefetch(typing, begin):
    """Have the 64 bytes around an address fetched into the second level of the cache; any address will do."""

    def code(context, builder, signature, values):
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read, second_level, data = (ir.Constant(number, value) for value in (0, 2, 1))
        builder.call(function, [builder.inttoptr(values[0], _BYTE.as_pointer()), read, second_level, data])
        return context.get_dummy_value()

    return types.void(types.intp), code


@intrinsic
def _digest(typing, function, begin, count):
    """XXH3-64 of `count` bytes, by the function at an address."""

    def code(context, builder, signature, values):
        kind = ir.FunctionType(_LONG, [_BYTE.as_pointer(), _LONG])
        begin = builder.inttoptr(values[1], _BYTE.as_pointer())
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), [begin, values[2]])

    return types.uint64(types.intp, types.intp, types.intp), code


def _fill(batch, picks, addresses, sums, due, keep_due, digest, side):
    row, wide = 3 * side, 3 * batch.shape[2]  # bytes
    to = np.int64(batch.ctypes.data)  # signed as all else: of mixed ones numba, as NumPy, makes floats
    for number in range(len(picks)):
        sample, flip = picks[number, 0], picks[number, 1]
        record = addresses[sample]
        if due[sample]:
            if _digest(digest, record, row * side) != sums[sample]:
                return number
            due[sample] = keep_due
        source = record + picks[number, 2]
        # What is fetched meanwhile: rows of this crop that come soon, or the next record, if it is checked as a whole.
        ahead = source + _AHEAD * row
        if number + 1 < len(picks) and due[picks[number + 1, 0]]:
            ahead = addresses[picks[number + 1, 0]]
        for _ in range(batch.shape[1]):
            for line in range(ahead, ahead + wide, 64):
                _prefetch(line)
            ahead += row
            if flip:
                pixel, left = to, source + wide
                while left - source >= 48:
                    left -= 48
                    _mirror_16(pixel, left)
                    pixel += 48
                while left > source:
                    left -= 3
                    _mirror_1(pixel, left)
                    pixel += 3
            else:
                _copy(to, source, wide)
            source += row
            to += wide
    return -1


def _array(of: types.Type, dimensions: int = 1, readonly: bool = True) -> types.Array:
    return types.Array(of, dimensions, "C", readonly=readonly)


_SIGNATURE = types.int64(
    *(_array(types.uint8, 4, readonly=False), _array(types.int64, 2)),
    *(_array(types.int64), _array(types.uint64), _array(types.uint8, readonly=False)),
    *(types.uint8, types.int64, types.int64),
)


@functools.cache
def compiled() -> Callable[..., int]:
    """fill(batch, picks, addresses, sums, due, keep_due, digest, side): fill `batch`, uint8 (N, h, w, 3), with crops.

    A row of `picks`, int64 (N, 3), is a record's number, whether it is to be mirrored, and where the crop begins in it,
    in bytes; the record is a square of `side` pixels at the address of that number in `addresses`, int64. Where `due`,
    uint8, is set, its XXH3-64, by the function at the address `digest`, is first compared with that in `sums`, uint64,
    and `due` becomes `keep_due`. Returns the number of the first image whose record differs, and -1 if none does.
    Compiled at the first call, and loaded from numba's cache in processes after that.

    Raises:
        BadInputError: numba is told to compile nothing.
    """
    if numba.config.DISABLE_JIT:
        raise BadInputError("NUMBA_DISABLE_JIT is set: crops of raw records are compiled by numba. Unset it.")
    try:
        return numba.njit(_SIGNATURE, nogil=True, cache=True)(_fill)
    except Exception:  # a cache that cannot be written, or is damaged; what else it may be is raised here
        return numba.njit(_SIGNATURE, nogil=True)(_fill)


def digest_address() -> int:
    """Where the xxhash package has its XXH3_64bits, the fastest that the processor can run; 0 if its build hides it."""
    library = ctypes.CDLL(xxhash._xxhash.__file__)
    for name in ("XXH3_64bits_dispatch", "XXH3_64bits"):
        if hasattr(library, name):
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    return 0
