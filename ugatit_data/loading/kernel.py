"""The one compiled function: crops of raw records, checked, copied and mirrored, a batch in one call.

One call, because each call releases the GIL, and among threads it takes longer to get that again than to copy an
image. It reads and writes at bare addresses, which its callers have checked (`records.py`, `crops.py`).
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

from ugatit_data.errors import BadInputError

_AHEAD, _AHEAD_TO = 12, 4  # rows that are fetched ahead of the one that is read, and of the one that is written
_HASHED = 4  # rows at a time: they stay in the first level of the cache until they are copied
STATE = 1024 + 64  # bytes; XXH3's state has 576 and begins at a multiple of 64
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


def _prefetch(write: int, level: int) -> Callable:
    """Have the 64 bytes around an address fetched into a level of the cache (3 is the first); any address will do."""

    @intrinsic
    def prefetch(typing, begin):
        def code(context, builder, signature, values):
            number = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), number, number, number])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
            how = (ir.Constant(number, value) for value in (write, level, 1))
            builder.call(function, [builder.inttoptr(values[0], _BYTE.as_pointer()), *how])
            return context.get_dummy_value()

        return types.void(types.intp), code

    return prefetch


_fetch, _fetch_to_write = _prefetch(0, 2), _prefetch(1, 3)


def _called(context, builder, signature, values):
    kind = ir.FunctionType(_LONG, [_LONG] * (len(values) - 1))
    return builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])


@intrinsic
def _call_1(typing, function, first):
    """What the function at an address makes of one argument."""
    return types.int64(types.intp, types.intp), _called


@intrinsic
def _call_3(typing, function, first, second, third):
    """What the function at an address makes of three arguments."""
    return types.int64(types.intp, types.intp, types.intp, types.intp), _called


def _fill(batch, picks, memory, addresses, sums, due, keep_due, reset, update, digest, side):
    row, wide, high = 3 * side, 3 * batch.shape[2], batch.shape[1]  # bytes, but for the last
    # Only the caller's arrays: numba frees one of our own once its address is taken, and others then write there.
    # Signed, as all else: where signed and unsigned meet, numba makes floats, as NumPy does.
    to, state = np.int64(batch.ctypes.data), np.int64(memory.ctypes.data)
    state += -state % 64
    for number in range(len(picks)):
        sample, flip, top, left = picks[number, 0], picks[number, 1], picks[number, 2], picks[number, 3]
        checked = due[sample]
        if checked:
            _call_1(reset, state)
        # To check a record takes all its rows, in whole; otherwise those of the crop are enough.
        first, last, begin, span = (0, side, 0, row) if checked else (top, top + high, left, wide)
        source = addresses[sample] + first * row
        for at in range(first, last):
            ahead = source + _AHEAD * row + begin
            for line in range(ahead, ahead + span, 64):
                _fetch(line)
            if checked and at % _HASHED == 0:
                _call_3(update, state, source, min(_HASHED, side - at) * row)
            if top <= at < top + high:
                ahead = to + _AHEAD_TO * wide
                for line in range(ahead, ahead + wide, 64):
                    _fetch_to_write(line)
                if flip:
                    pixel, end = to, source + left + wide
                    while pixel + 48 <= to + wide:
                        end -= 48
                        _mirror_16(pixel, end)
                        pixel += 48
                    while pixel < to + wide:
                        end -= 3
                        _mirror_1(pixel, end)
                        pixel += 3
                else:
                    _copy(to, source + left, wide)
                to += wide
            source += row
        if checked:
            if np.uint64(_call_1(digest, state)) != sums[sample]:
                return number
            due[sample] = keep_due
    return -1


def _array(of: types.Type, dimensions: int = 1, readonly: bool = True) -> types.Array:
    return types.Array(of, dimensions, "C", readonly=readonly)


_SIGNATURE = types.int64(
    *(_array(types.uint8, 4, readonly=False), _array(types.int64, 2), _array(types.uint8, readonly=False)),
    *(_array(types.int64), _array(types.uint64), _array(types.uint8, readonly=False)),
    *(types.uint8, types.int64, types.int64, types.int64, types.int64),
)


@functools.cache
def compiled() -> Callable[..., int]:
    """fill(batch, picks, memory, addresses, sums, due, keep_due, reset, update, digest, side), which makes a batch of
    crops.

    `batch` is uint8 (N, h, w, 3), a row of `picks`, int64 (N, 4), a record's number, whether it is to be mirrored, and
    where the crop begins in it: row, and byte in the row; a record is a square of `side` pixels at the address of that
    number in `addresses`, int64. Where `due`, uint8, is set, its XXH3-64 is compared with that in `sums`, uint64, by
    the `digest_addresses`, and `due` becomes `keep_due`; it is computed in `memory`, uint8 (STATE,), which no other
    call may use meanwhile. Returns the number of the first image whose record differs, which is where it stops, and -1
    if none does. The first call compiles it; later processes load it from numba's cache.

    Raises:
        BadInputError: numba is told to compile nothing.
    """
    if numba.config.DISABLE_JIT:
        raise BadInputError("NUMBA_DISABLE_JIT is set: crops of raw records are compiled by numba. Unset it.")
    try:
        return numba.njit(_SIGNATURE, nogil=True, cache=True)(_fill)
    except Exception:  # a cache that cannot be written, or is damaged; what else it may be is raised here
        return numba.njit(_SIGNATURE, nogil=True)(_fill)


def digest_addresses() -> tuple[int, int, int]:
    """Where the xxhash package has XXH3_64bits_reset, _update (the fastest that the processor can run) and _digest; of
    a build that hides them, zeros."""
    library = ctypes.CDLL(xxhash._xxhash.__file__)  # type: ignore[attr-defined]  # its stubs leave the extension out
    update = "XXH3_64bits_update_dispatch" if hasattr(library, "XXH3_64bits_update_dispatch") else "XXH3_64bits_update"
    names = ("XXH3_64bits_reset", update, "XXH3_64bits_digest")
    if not all(hasattr(library, name) for name in names):
        return 0, 0, 0
    reset, updating, digest = (ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names)
    return reset, updating, digest
