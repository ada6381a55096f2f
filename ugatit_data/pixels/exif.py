"""EXIF's orientation, and nothing else of EXIF: no other tag is read, whatever it holds and wherever it points."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

ORIENTATION = 274
_CODES = {1: "B", 3: "H", 4: "I"}  # the types that writers give it
_SIGNATURE = b"Exif\0"  # and one more byte
_MOST = 1 << 20  # bytes of a compressed profile that are unpacked: the first directory lies at its beginning


def orientation(blocks: Sequence[bytes]) -> int:
    """1-8 out of a file's EXIF blocks, with or without the signature; 1 where they hold none that makes sense.

    A block that does not fit into one segment goes on in the next: so all are tried as one, then each alone. The first
    orientation that is found holds.
    """
    if not blocks:
        return 1
    bare = [_without_signature(block) for block in blocks]
    return next((found for exif in (b"".join(bare), *bare[1:]) if (found := _first(exif))), 1)


def from_profile(body: bytes, packed: bool) -> bytes:
    """The EXIF block of a PNG's text chunk "Raw profile type exif": hexadecimal, as ImageMagick writes it.

    `body` begins after the keyword's zero byte; `packed` says whether it is compressed. Empty where it makes no sense.
    """
    try:
        text = zlib.decompressobj().decompress(body[1:], _MOST) if packed else body[:_MOST]
        words = text.split(None, 2)  # the name, the length, the digits
        digits = b"".join(words[2].split())
        return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
    except (zlib.error, ValueError, IndexError):
        return b""


def _without_signature(block: bytes) -> bytes:
    at = 0
    while block.startswith(_SIGNATURE, at):  # some writers put it there twice
        at += len(_SIGNATURE) + 1
    return block[at:]


def _first(exif: bytes) -> int | None:
    """The orientation in the first directory, as far as that is there."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return None
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values = struct.unpack_from(order + "HHI", exif, at)
        if tag == ORIENTATION and kind in _CODES and values:
            (value,) = struct.unpack_from(order + _CODES[kind], exif, at + 8)
            return value if 1 <= value <= 8 else None
    return None
