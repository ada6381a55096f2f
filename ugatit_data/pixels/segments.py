"""A JPEG's segments: what its header says, where its picture data end, and the file without what does not belong.

Python walks them, so that nothing unchecked reaches a decoder. What libjpeg would warn of, though the pixels are right,
is taken out or set right here: libjpeg reports its first warning only, and that must not hide another.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import re
import struct

import numpy as np

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.exif import orientation

END_OF_IMAGE = b"\xff\xd9"

_BLOCK = 1 << 16  # bytes that are searched for a marker at once
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive: what libjpeg-turbo decodes
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
_ALONE_RUN = re.compile(rb"(?:\xff[\x01\xd0-\xd7][^\xff]*){1,4096}")  # and stray bytes; more would take memory
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_NO_PICTURE = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # segments of which a decoder needs nothing; 0xEE is Adobe's
_READ = _FRAMES | {0xE0, 0xE1, 0xE2, 0xEE, 0xDA}  # segments of which more than the length is read
_MOST_SCANS = 500  # each is a pass over the whole picture, however few bytes it takes; encoders write about ten


@dataclasses.dataclass(kw_only=True, slots=True)
class Segments:
    """What was found."""

    width: int
    height: int
    channels: int
    bits: int
    orientation: int
    icc: bool
    half_chroma: bool
    progressive: bool
    scans: list[tuple[int, int]]
    """In `clean`: where the data of each scan begin, and where they end."""
    whole: bool
    """Whether there is an end-of-image marker."""
    complete: bool
    """Whether the scans hold every coefficient of every component: libjpeg takes missing ones for zero in silence."""
    stray: int
    """How many bytes between segments belonged to none."""
    corrected: bool
    """Whether a value in a header was set right that no decoder heeds."""
    clean: bytes
    """The file without stray bytes, with corrected values; the same object where nothing was wrong."""


class _Walk:
    """The state of a walk over `data`."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 2
        self.frame: tuple[int, int, int, int] | None = None  # bits, height, width, channels
        self.progressive = False
        self.samplings = b""
        self.components = b""
        self.missing: dict[int, bytearray] = {}  # component -> for each coefficient, the lowest bits that are to come
        self.exif: list[bytes] = []
        self.icc = False
        self.scans: list[tuple[int, int]] = []
        self.drop: list[tuple[int, int]] = []  # begin and end of stray bytes
        self.fixes: list[tuple[int, bytes]] = []  # where, and what must stand there
        self.adobe: tuple[int, int] | None = None  # where its transform stands, and that

    def next_marker(self) -> int:
        """Go to the next marker, over what belongs to no segment; returns it."""
        data, begin = self.data, self.at
        if data[begin] == 0xFF and 0 < (marker := data[begin + 1]) < 0xFF:  # nearly always
            return marker
        found = _MARKER.search(data, begin)
        if not found:
            raise IndexError
        self.at = found.start()
        self.leave_out(begin, begin + len(data[begin : self.at].rstrip(b"\xff")))  # then come fill bytes
        return data[self.at + 1]

    def leave_out(self, begin: int, end: int) -> None:
        """Leave out the bytes of [begin, end), which belong to no segment."""
        if self.drop and self.drop[-1][1] == begin:
            begin = self.drop.pop()[0]
        if begin < end:
            self.drop.append((begin, end))

    def segment(self, marker: int) -> bytes:
        """The body of the segment at hand, which is passed."""
        data, begin = self.data, self.at + 4
        length = data[begin - 2] << 8 | data[begin - 1]
        self.at = end = begin - 2 + length
        if length < 2 or end > len(data):
            raise IndexError("a segment ends early")
        body = data[begin:end] if marker in _READ else b""
        if marker in _FRAMES:
            if self.frame:
                raise RejectedImageError("damaged jpeg: two frame headers")
            self.frame, self.progressive = struct.unpack_from(">BHHB", body), marker == 0xC2
            self.samplings = body[7::3]  # of each component, horizontal and vertical
            self.components = body[6::3]
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14 and body[5] != 1:
            self.fixes.append((begin + 5, b"\1"))
        elif marker == 0xE1 and body.startswith(b"Exif\0"):
            self.exif.append(body)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            self.icc = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            self.adobe = begin + 11, body[11]
        elif marker == 0xDA and not self.progressive and body[-3:] != b"\0\x3f\0":
            self.fixes.append((self.at - 3, b"\0\x3f\0"))
        return body

    def scan(self, body: bytes) -> bool:
        """Pass a scan's data; whether the file may end here, for it held everything."""
        data, begin = self.data, self.at
        if not self.frame:
            raise RejectedImageError("damaged jpeg: no frame header")
        if len(body) < 4 + 2 * body[0]:
            raise RejectedImageError("damaged jpeg: a scan's header ends early")
        usual = not self.progressive and body[0] == self.frame[3]  # one scan holds everything
        if not usual:
            self.at = _after_scan(data, begin)
        elif not (data.endswith(END_OF_IMAGE) and begin <= len(data) - 2):  # nearly always; a search takes 19 us
            # In these data no 0xFF stands before a 0xD9 but in the end marker.
            found = data.find(END_OF_IMAGE, begin)
            self.at = len(data) if found < 0 else found
        else:
            self.at = len(data) - 2
        if not usual:
            self._note_coefficients(body)
        self.scans.append((begin, self.at))
        if len(self.scans) > _MOST_SCANS:
            raise RejectedImageError(f"unsupported jpeg: more than {_MOST_SCANS} scans")
        return usual and self.at < len(data)

    def _note_coefficients(self, body: bytes) -> None:
        """Which coefficients one of several scans brings, and how far."""
        count = body[0]
        self.missing = self.missing or {component: bytearray(b"\xff" * 64) for component in self.components}
        first, last, bits = body[1 + 2 * count : 4 + 2 * count] if self.progressive else (0, 63, 0)
        for component in body[1 : 1 + 2 * count : 2]:
            if component in self.missing and first <= last < 64:
                self.missing[component][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)


def walk(data: bytes) -> Segments:
    """Walk a JPEG's segments.

    Raises:
        RejectedImageError: a damaged or unsupported header.
        struct.error, IndexError: the header ends early.
    """
    state, whole = _Walk(data), False
    try:
        while not whole:
            whole = _step(state)
    except (struct.error, IndexError):
        if not state.scans:
            raise
        data = data[: state.scans[-1][1]]
        state.drop = [(begin, end) for begin, end in state.drop if end <= len(data)]
        state.fixes = [(at, value) for at, value in state.fixes if at + len(value) <= len(data)]
    if state.frame is None or not state.scans:
        raise RejectedImageError(f"damaged jpeg: no {'picture' if state.frame else 'frame header'}")
    bits, height, width, channels = state.frame
    if state.adobe and channels in (3, 4) and state.adobe[1] not in (0, channels // 4 + 1):
        state.fixes.append((state.adobe[0], bytes([channels // 4 + 1])))  # libjpeg takes others for YCbCr or YCCK too
    clean = _corrected(data, state.fixes, state.drop)

    return Segments(
        width=width,
        height=height,
        channels=channels,
        bits=bits,
        orientation=orientation(state.exif),
        icc=state.icc,
        half_chroma=len(set(state.samplings)) > 1,
        progressive=state.progressive,
        scans=_moved(state.scans, state.drop) if state.drop else state.scans,
        whole=whole,
        complete=not any(map(any, state.missing.values())),
        stray=sum(end - begin for begin, end in state.drop),
        corrected=bool(state.fixes),
        clean=clean if whole else clean + END_OF_IMAGE,
    )


def _step(state: _Walk) -> bool:
    """Pass a marker and what belongs to it; whether the picture ended."""
    marker = state.next_marker()
    if marker == 0xD9:
        return True
    if marker == 0xD8:
        raise RejectedImageError("damaged jpeg: begins twice")
    if marker in _OTHER_FRAMES:
        raise RejectedImageError("unsupported jpeg: lossless, hierarchical or arithmetic coding")
    run = _ALONE_RUN.match(state.data, state.at) if marker in _ALONE else None
    if run:  # they mean nothing here, and Pillow stumbles over them
        state.leave_out(*run.span())
        state.at = run.end()
        return False
    body = state.segment(marker)
    return marker == 0xDA and state.scan(body)


def _moved(scans: list[tuple[int, int]], drop: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Scans in the file without what is dropped."""
    ends = [end for _, end in drop]
    gone = [0, *itertools.accumulate(end - begin for begin, end in drop)]

    def moved(at: int) -> int:
        return at - gone[bisect.bisect_right(ends, at)]

    return [(moved(begin), moved(end)) for begin, end in scans]


def _corrected(data: bytes, fixes: list[tuple[int, bytes]], drop: list[tuple[int, int]]) -> bytes:
    if fixes:
        changed = bytearray(data)
        for at, value in fixes:
            changed[at : at + len(value)] = value
        data = bytes(changed)
    if drop:
        kept = zip([0, *(end for _, end in drop)], [*(begin for begin, _ in drop), len(data)], strict=True)
        data = b"".join([data[begin:end] for begin, end in kept])
    return data


def without_others(clean: bytes) -> bytes:
    """A clean file without the segments of its header that say nothing of the picture.

    Pillow reads EXIF where it finds no resolution elsewhere, and keeps every tag.
    """
    kept, at = [clean[:2]], 2
    while True:
        while clean[at + 1] == 0xFF:
            at += 1
        marker, end = clean[at + 1], at + 2 + (clean[at + 2] << 8 | clean[at + 3])
        if marker == 0xDA:
            return b"".join([*kept, clean[at:]])
        if marker not in _NO_PICTURE:
            kept.append(clean[at:end])
        at = end


def _after_scan(data: bytes, at: int) -> int:
    """Where the marker is that ends the entropy-coded data which begins at `at`, or where the file ends.

    In that data 0xFF is followed by 0 (stuffing), a restart marker or another 0xFF (fill).
    """
    values = np.frombuffer(data, np.uint8)
    for begin in range(at, len(data) - 1, _BLOCK):
        block = values[begin : begin + _BLOCK + 1]
        marks = np.flatnonzero(block[:-1] == 0xFF)
        following = block[marks + 1]
        ends = marks[(following != 0) & (following != 0xFF) & (following & 0xF8 != 0xD0)]
        if len(ends):
            return begin + int(ends[0])
    return len(data)
