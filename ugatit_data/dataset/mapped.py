"""Files as read-only memory: no descriptor is kept for one, and one that is cut short meanwhile ends no process.

Python's mmap keeps a descriptor as long as its memory lives (before 3.13), and a data set of 1,000 shards would need as
many. So the C library is asked itself.

Where the system cannot bring a page, as of a file that was cut short or whose disk fails, it sends SIGBUS, of which a
process dies without a word. On 64-bit Linux that is caught for the memory here: it is zeros from that page on, and
`lost` has its address. Whoever reads must look there before the bytes are believed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import weakref
from pathlib import Path

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value

_sizes: dict[int, int] = {}  # address -> bytes
lost: set[int] = set()
"""Addresses of the mappings that are no longer what their file was. Empty, as long as all is well."""


def map_file(path: Path) -> np.ndarray:
    """The whole file as uint8 (bytes,), mapped read-only: pages are read when they are touched.

    Raises:
        OSError: it cannot be read, is empty, or the system has no room for another mapping.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address == _FAILED:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))
    _sizes[address] = size
    _catch_bus_errors()
    return np.asarray(_Mapping(address, size))


def is_lost(mapped: np.ndarray) -> bool:
    """Whether what `map_file` gave is no longer what the file was: then what was read of it may be zeros."""
    return mapped.ctypes.data in lost


class _Mapping:
    """What an array of mapped memory belongs to: the memory lives as long as a view of it does."""

    def __init__(self, address: int, size: int):
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (size,), "data": (address, True)}
        # Not at the interpreter's exit: a thread may be reading then.
        weakref.finalize(self, _unmap, address, size).atexit = False


def _unmap(address: int, size: int) -> None:
    del _sizes[address]
    lost.discard(address)
    _libc.munmap(address, size)


class _Action(ctypes.Structure):
    """`struct sigaction` of 64-bit Linux."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_ADDRESS_AT = 16  # in `siginfo_t`: where it happened
_SA_SIGINFO, _MAP_FIXED = 4, 0x10  # Linux's numbers, which the modules signal and mmap do not have
_before = _Action()  # who is asked where it is not our memory
_passed_on = False


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def _on_bus_error(number: int, info: int, context: int) -> None:
    """Runs in the thread that read. On return it reads again: from zeros, or to die as it would have."""
    global _passed_on
    try:
        at = ctypes.c_size_t.from_address(info + _ADDRESS_AT).value
        if any(_replace(begin, size, at) for begin, size in list(_sizes.items()) if begin <= at < begin + size):
            return
    except BaseException:  # whatever it is: to return now would be an endless loop
        _passed_on = True
    _libc.sigaction(number, ctypes.byref(_Action() if _passed_on else _before), None)  # an empty one is the default
    _passed_on = True


def _replace(begin: int, size: int, at: int) -> bool:
    """Put zeros in place of a mapping's pages from the one that holds the address `at`; whether that was possible."""
    page = at - at % mmap.PAGESIZE
    how = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
    lost.add(begin)
    return _libc.mmap(page, begin + size - page, mmap.PROT_READ, how, -1, 0) == page


def _catch_bus_errors() -> None:
    """Be the one whom SIGBUS goes to; others, such as faulthandler, may have taken our place meanwhile."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return
    now, mine = _Action(), ctypes.cast(_on_bus_error, ctypes.c_void_p).value
    _libc.sigaction(signal.SIGBUS, None, ctypes.byref(now))
    if now.handler != mine:
        ctypes.memmove(ctypes.byref(_before), ctypes.byref(now), ctypes.sizeof(_Action))
        _libc.sigaction(signal.SIGBUS, ctypes.byref(_Action(handler=mine, flags=_SA_SIGINFO)), None)
