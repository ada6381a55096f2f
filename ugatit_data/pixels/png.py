"""A PNG's picture, without what else is in the file.

libpng unpacks texts and profiles whether anyone wants them or not: a file of some MiB can take a gigabyte, or a minute.
It also writes to stderr what it thinks of them. So it is given the chunks that pixels are made of, and no others.
"""

from __future__ import annotations

import struct

import numpy as np

PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""The chunks that pixels are made of, but for those of an animation."""

_SIGNATURE = 8  # bytes


def only_picture(data: bytes | np.ndarray) -> bytes | np.ndarray:
    """The same PNG with the chunks of `PICTURE` alone; `data` itself, where it has no others or is cut short."""
    view = data.data if isinstance(data, np.ndarray) else memoryview(data)
    kept, at, kind, others = [view[:_SIGNATURE]], _SIGNATURE, b"", False
    while kind != b"IEND":
        if at + 8 > len(view):
            return data
        length, kind = struct.unpack_from(">I4s", view, at)
        end = at + 12 + length
        if kind in PICTURE:
            kept.append(view[at:end])
        else:
            others = True
        at = end
    return b"".join(kept) if others else data
