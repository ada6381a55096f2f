"""JPEG -> pixels by libjpeg-turbo's own interface: a quarter faster than through OpenCV, which has the same decoder.

The pixels are OpenCV's to the last bit (accurate integer DCT, smooth upsampling), for every sampling of the chroma.
"""

from __future__ import annotations

import re

import numpy as np
import simplejpeg

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.leftover import LOST, damage, data_end
from ugatit_data.pixels.pillow import pillow_rgb
from ugatit_data.pixels.segments import END_OF_IMAGE, Segments, without_others

_KEEP_BYTES = 16 << 20  # an image that needs more gets memory of its own, so that a thread does not hold it for ever
_ALIGN, _SHIFT = 64, 16
_WARNING = re.compile("Corrupt JPEG data|Inconsistent progression|Invalid SOS param|Warning: |Unknown Adobe")
_BEHIND = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_AHEAD = 16  # bytes that libjpeg may have read before it stopped, and does not count
_MORE = 4096  # bytes put behind picture data


class Scratch:
    """Memory for one decoded image at a time, used again for the next; for one thread.

    It begins 16 bytes after a multiple of 64: libjpeg-turbo writes rows that begin at a multiple of 32 past the cache
    (non-temporal stores), and the resize that follows has to wait for them.
    """

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)

    def pixels(self, height: int, width: int, channels: int = 3) -> np.ndarray:
        """uint8 (height, width, channels) with any contents: those of the image before, if it was not larger."""
        size = height * width * channels
        block = self._block
        if block.size < size:
            block = np.empty(size + _ALIGN + _SHIFT, np.uint8)
            block = block[-block.ctypes.data % _ALIGN + _SHIFT :]
            if size <= _KEEP_BYTES:
                self._block = block
        return block[:size].reshape(height, width, channels)


def decode_jpeg(data: bytes | np.ndarray, scratch: Scratch, strict: bool = True) -> np.ndarray | None:
    """uint8 (H, W, 3) RGB of a JPEG of three components, in `scratch`.

    None where the decoder cannot go on; if `strict`, also where it warns of anything. Without, such a file gets the
    pixels that libjpeg gives to everyone, OpenCV too.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    pixels = scratch.pixels(height, width)
    try:
        return simplejpeg.decode_jpeg(data, "RGB", buffer=pixels)
    except ValueError as error:
        # Only its words tell a warning, after which `pixels` are whole, from what is fatal. simplejpeg's strict=False
        # gives memory that nothing filled where a warning came first.
        return pixels if not strict and _WARNING.match(str(error)) else None


def decode_source(found: Segments, lenient: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """uint8 (H, W, 3) RGB of a JPEG that is to be converted, and notes on what was wrong with the file.

    Without a note nothing was. libjpeg fills in gray where data end early, and says so in a warning: such files are
    refused, or with `lenient` accepted with a note. What is left of them if libjpeg cannot go on is refused always.

    Raises:
        RejectedImageError: damaged, truncated or unsupported.
    """
    if found.channels not in (1, 3, 4) or found.bits != 8:
        raise RejectedImageError(f"unsupported jpeg: {found.channels} channels of {found.bits} bits")
    if not found.whole and not lenient:
        raise RejectedImageError("truncated jpeg: no end-of-image marker")
    if not found.complete and not lenient:
        raise RejectedImageError("damaged jpeg: scans are missing")
    notes = [f"stray bytes left out: {found.stray}"] if found.stray else []
    notes += ["header values corrected"] if found.corrected else []
    notes += [] if found.complete else ["damaged: scans are missing"]
    notes += [] if found.whole else ["truncated: no end-of-image marker"]
    space = {1: "GRAY", 3: "RGB", 4: "CMYK"}[found.channels]
    pixels, complaint = _decode(found.clean, found, space)
    if "subsampling level" in complaint:
        return _by_pillow(found, lenient, notes)
    if complaint:
        notes.append(_judged(complaint, found, pixels, space, lenient))
    if space == "CMYK":  # which of the two ways it is stored in, Pillow knows
        pixels = pillow_rgb(without_others(found.clean), "jpeg")
    if space == "GRAY":
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, 2)
    return pixels, tuple(notes)


def _decode(data: bytes, found: Segments, space: str) -> tuple[np.ndarray, str]:
    """uint8 (H, W, 1, 3 or 4) in `space`, and what libjpeg said first or last: nothing, where all is well."""
    pixels = Scratch().pixels(found.height, found.width, len(space) if space != "GRAY" else 1)
    try:
        return simplejpeg.decode_jpeg(data, space, buffer=pixels), ""
    except ValueError as error:
        return pixels, str(error).replace(",", ";")


def _judged(complaint: str, found: Segments, pixels: np.ndarray, space: str, lenient: bool) -> str:
    """The note on what libjpeg warns of. Raises RejectedImageError where the pixels may be wrong."""
    if not _WARNING.match(complaint):  # it could not go on
        raise RejectedImageError(f"damaged jpeg: {complaint}")
    behind = _BEHIND.fullmatch(complaint)
    if behind:  # the decoder had all it wanted before the picture data ended
        complaint, left = _left_over(found, pixels, space, int(behind[1]))
        if not complaint:
            return f"bytes left over behind the picture data: {left}"
    if not lenient:
        raise RejectedImageError(f"damaged jpeg: {complaint}")
    return f"damaged: {complaint}"


def _left_over(found: Segments, pixels: np.ndarray, space: str, count: int) -> tuple[str, int]:
    """What the bytes behind the picture data say about it, if that is bad, and how many there are: `count` or more."""

    def is_whole(data: bytes) -> bool:
        again, complaint = _decode(data, found, space)
        return (not complaint or _BEHIND.fullmatch(complaint) is not None) and np.array_equal(again, pixels)

    begin, clean = found.scans[-1][0], found.clean
    marker = clean.find(END_OF_IMAGE, begin)
    end = data_end(is_whole, clean, max(marker - count - _AHEAD, begin + 1), marker - count)
    _, complaint = _decode(clean[:end] + END_OF_IMAGE, found, space)
    if complaint:  # what is left over stands where a restart marker should be, and more of the picture is missing
        return LOST, marker - end
    return damage(is_whole, clean, begin, end, marker, found.progressive), marker - end


def _noise(size: int) -> bytes:
    """Bytes that may be picture data, and no marker; always the same."""
    return np.random.default_rng(0).integers(1, 255, size, np.uint8).tobytes()


def _restarts(scan: bytes) -> int:
    """How many restart markers a scan's data hold."""
    return len(re.findall(b"\xff[\xd0-\xd7]", scan))


def _by_pillow(found: Segments, lenient: bool, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """A JPEG whose sampling simplejpeg does not know: by Pillow, which hears no warnings.

    Data that end early are found by putting others behind them: they would be taken for the missing ones.
    """
    clean = without_others(found.clean)
    less = len(found.clean) - len(clean)  # all of it before the first scan
    scans = [(begin - less, end - less) for begin, end in found.scans]
    pixels = pillow_rgb(clean, "jpeg")

    def is_whole(data: bytes) -> bool:
        try:
            return np.array_equal(pillow_rgb(data, "jpeg"), pixels)
        except RejectedImageError:
            return False

    def is_whole_before(data: bytes) -> bool:
        """Behind the end Pillow takes zeros for data; so ones must do too."""
        return is_whole(data) and is_whole(data[: -len(END_OF_IMAGE)] + b"\xfe" * _AHEAD + END_OF_IMAGE)

    complaint, longer = "", clean
    for begin, file_end in reversed(scans):
        marker = min(file_end, clean.find(END_OF_IMAGE, begin))  # Pillow reads no further than the first end marker
        restart = b"\xff" + bytes([0xD0 + _restarts(clean[begin:marker]) % 8])  # the next, if the file has any
        longer = longer[:marker] + _noise(_MORE) + restart + _noise(_MORE) + longer[marker:]
    if not is_whole(longer):
        complaint = "the picture data end early"
    else:
        begin = scans[-1][0]
        marker = clean.find(END_OF_IMAGE, begin)
        if is_whole_before(clean[: marker - 1] + END_OF_IMAGE):
            end = data_end(is_whole_before, clean, begin + 1, marker - 1)
            complaint = damage(is_whole_before, clean, begin, end, marker, found.progressive)
            notes += [] if complaint else [f"bytes left over behind the picture data: {marker - end}"]
    if complaint and not lenient:
        raise RejectedImageError(f"damaged jpeg: {complaint}")
    return pixels, (*notes, f"damaged: {complaint}") if complaint else tuple(notes)
