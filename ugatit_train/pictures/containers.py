"""How many bytes a video file says that it has. A file that was cut says more than there are."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

# The parts of an MP4 or MOV file that may stand at its top. What follows them is none of its own.
_BOXES = frozenset(b"ftyp styp moov moof mfra mdat free skip wide pnot uuid sidx meta emsg prft".split())
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def declared_bytes(file: BinaryIO) -> int:
    """The end of the last part that an MP4, MOV, AVI, Matroska, WebM, WMV or ASF file declares; 0 if it declares none.

    Raises:
        OSError: the file cannot be read.
    """
    end = 0
    for length in _lengths(file):
        end += length
    return end


def _lengths(file: BinaryIO) -> Iterator[int]:
    """The bytes of each part at the file's top, as long as it is known and declares a length."""
    start = 0
    while True:
        file.seek(start)
        length = _length(file.read(32))
        if not length:
            return
        yield length
        start += length
        if start >= 1 << 62:  # more than any file has, and than `seek` takes: its length is damaged
            return


def _length(head: bytes) -> int:
    """The bytes of the part that begins with `head`; 0 if it is none, or lasts to the file's end."""
    if head[4:8] in _BOXES:
        (length,) = struct.unpack(">I", head[:4])
        if length == 1 and len(head) >= 16:
            (length,) = struct.unpack(">Q", head[8:16])
        return length if length >= 8 else 0
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        (length,) = struct.unpack("<I", head[4:8])
        return 8 + length if 0 < length < 0xFFFFFFFF else 0
    if head[:16] in (_ASF_HEADER, _ASF_DATA) and len(head) >= 24:
        (length,) = struct.unpack("<Q", head[16:24])
        return length if length > 50 else 0  # a recording that did not end declares an empty one
    if head[:4] in (_EBML, _SEGMENT) and len(head) > 12:
        digits = 9 - head[4].bit_length()  # EBML: the zeros before the first one say how many bytes the number has
        length = int.from_bytes(head[4 : 4 + digits], "big") & ((1 << 7 * digits) - 1)
        return 4 + digits + length if length != (1 << 7 * digits) - 1 else 0
    return 0
