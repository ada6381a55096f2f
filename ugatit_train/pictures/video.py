"""Video files as sequences of pictures, read by PyAV (FFmpeg): upright, with square pixels, each with its time.

The policy is that of pictures: what is damaged or cut is refused with the reason, not shown in part. That is seen where
the file declares its length, or the decoder notices: an MPEG stream (.mpg) does not tell where it ends. HDR is read as
it is, without tone mapping.
"""

import contextlib
import itertools
import math
import os
import stat
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.errors import RejectedImageError
from ugatit_data.files import place_holder
from ugatit_data.pixels.colours import over_white
from ugatit_data.pixels.geometry import MAX_PIXELS, resize
from ugatit_train.pictures.containers import declared_bytes

SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"))

SD_HEIGHT = 576  # lines of standard definition, at most

_US = Fraction(1, 1_000_000)  # the unit of a container's times
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED


def is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def pyav() -> Any:
    """The module `av`. Raises RejectedImageError, with the way to install it."""
    try:
        import av
    except ImportError as error:
        raise RejectedImageError(f"a video needs PyAV ({error}): pip install 'ugatit[video]'") from None
    return av


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What FFmpeg or the file system refuses in here is this video's fault: RejectedImageError with the reason."""
    av = pyav()
    try:
        yield
    except av.FFmpegError as error:
        raise RejectedImageError(f"damaged, or no video: {error.strerror}") from None
    except OSError as error:
        raise RejectedImageError(f"unreadable: {error.strerror}") from None


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """An open `av` container. A file, not a name, is given to it: names may be no UTF-8, or look like a protocol.

    A list of other files or addresses (a playlist) may not open them: it is no video.
    """
    with reading():
        av = pyav()
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RejectedImageError("not a regular file")
            there, declared = file.seek(0, 2), declared_bytes(file)
            if there == 0:
                raise RejectedImageError("empty file")
            file.seek(0)
            if words := place_holder(file.read(512)):
                raise RejectedImageError(words)
            if declared > there:
                raise RejectedImageError(f"truncated: {there} bytes, where {declared} are declared")
            file.seek(0)
            with av.open(file, metadata_errors="replace", options={"protocol_whitelist": "none"}) as container:
                yield container


def pictures_of(container: Any) -> Any:
    """The stream of a container's pictures. Raises RejectedImageError if it has none that can be decoded."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & type(stream.disposition).attached_pic:
        raise RejectedImageError("it holds no moving pictures")
    if stream.codec_context is None:
        raise RejectedImageError("FFmpeg has no decoder for it")
    return stream


def start_of(container: Any) -> Fraction:
    """The time in seconds at which a container's first stream starts: times are counted from there."""
    return (container.start_time or 0) * _US


def about(path: Path) -> tuple[Fraction, float]:
    """Frames per second and the approximate number of frames.

    25 and inf if the file does not say; 25 and 0 if it is no video that can be opened.
    """
    try:
        with open_container(path) as container:
            stream = pictures_of(container)
            rate = stream.guessed_rate or stream.average_rate or Fraction(25)
            return rate, stream.frames or round((container.duration or 0) * _US * rate) or math.inf
    except RejectedImageError:
        return Fraction(25), 0


def frames(path: Path) -> Generator[tuple[Fraction, np.ndarray], None, None]:
    """Every frame as it is shown, upright, of square pixels, of one size: its time in seconds, and uint8 (H, W, 3) RGB.

    Raises:
        RejectedImageError: the file cannot be read as a video, is cut or damaged, or PyAV is missing.
    """
    _check_end(path)
    with open_container(path) as container:
        stream, start = pictures_of(container), start_of(container)
        period = 1 / (stream.guessed_rate or Fraction(25))
        size: tuple[int, int] | None = None
        time: Fraction | None = None
        turn: tuple[int, bytes] | None = None  # what FFmpeg says in short, and the matrix
        for frame in _decoded(container, stream):
            # Asked of few frames: one that was asked for its side data is freed by the garbage collector only.
            if turn is None or turn[0] != frame.rotation:
                matrix = frame.side_data.get("DISPLAYMATRIX")
                turn = frame.rotation, bytes(matrix) if matrix else b""
            if frame.pts is not None:
                last, time = time, frame.pts * stream.time_base - start
                if last is not None and time < last - 1:
                    raise RejectedImageError(f"damaged: after {_seconds(last)} the times go back to {_seconds(time)}")
            else:
                time = Fraction(0) if time is None else time + period
            pixels = _upright(_square(frame, stream.sample_aspect_ratio or Fraction(1)), turn[1])
            size = size or (pixels.shape[0], pixels.shape[1])
            yield time, resize(pixels, size)  # players, too, keep the size that a video begins with
        if time is None:
            raise RejectedImageError("no frame can be read")


def _check_end(path: Path) -> None:
    """Raises RejectedImageError if the last packet ends before the time that the file declares."""
    with open_container(path) as container:
        ends: dict[int, Fraction] = {}  # of each stream, in seconds
        for packet in container.demux():
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
        kinds, stream = set(container.format.name.split(",")), pictures_of(container)
        if "mov" in kinds and stream.duration:
            start = (stream.start_time or 0) * stream.time_base
            _compare(ends.get(stream.index, start) - start, stream.duration * stream.time_base)
        elif kinds & {"matroska", "asf"} and container.duration:  # of other kinds FFmpeg guesses
            _compare(max(ends.values(), default=Fraction(0)) - start_of(container), container.duration * _US)


def _compare(found: Fraction, declared: Fraction) -> None:
    if declared - found > max(Fraction(1, 4), declared / 50):  # s; some files round
        raise RejectedImageError(f"truncated: {_seconds(found)} of the {_seconds(declared)} that are declared")


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The `av` frames. Raises RejectedImageError where one is damaged, though FFmpeg would show something."""
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise RejectedImageError(f"too large: {context.width} x {context.height} pixels, the limit is {MAX_PIXELS}")
    if context.name == "mjpeg":
        context.options = {"err_detect": "explode"}  # else it fills in gray, and says nothing of it
    # An empty packet would end the decoding: some files hold one where a frame was left out.
    packets = (packet for packet in container.demux(stream) if packet.size)
    for packet in itertools.chain(packets, [None]):
        if packet and packet.is_corrupt:
            raise RejectedImageError("truncated, or damaged: a part of it cannot be read as a whole")
        for frame in context.decode(packet):
            if frame.is_corrupt:
                at = _seconds((frame.pts or 0) * stream.time_base)
                raise RejectedImageError(f"damaged: the frame at {at} cannot be decoded as a whole")
            yield frame


def _square(frame: Any, aspect: Fraction) -> np.ndarray:
    """The pixels of an `av` frame, made square: the side that is short is stretched, so that none is lost."""
    high, wide = frame.height, frame.width
    high, wide = (high, round(wide * aspect)) if aspect > 1 else (round(high / aspect), wide)
    if high * wide > MAX_PIXELS:
        raise RejectedImageError(f"too large: shown as {wide} x {high} pixels, the limit is {MAX_PIXELS}")
    alpha = any(part.is_alpha for part in frame.format.components)
    # Where a file does not name its matrix, high definition has BT.709's and all else BT.601's.
    colours = "itu709" if frame.colorspace == _UNSPECIFIED and frame.height > SD_HEIGHT else None
    pixels = frame.reformat(format="rgba" if alpha else "rgb24", src_colorspace=colours, threads=1).to_ndarray()
    return resize(over_white(pixels) if alpha else pixels, (high, wide))


def _upright(pixels: np.ndarray, matrix: bytes) -> np.ndarray:
    """Pixels turned and mirrored by a display matrix, FFmpeg's nine int32: x' = a x + c y, y' = b x + d y."""
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist() if matrix else (1, 0, 0, 0, 1)
    straight, turned = abs(a) + abs(d), abs(b) + abs(c)
    if 100 * min(straight, turned) > max(straight, turned):
        raise RejectedImageError("turned by an angle that is no quarter: turn it upright with a video editor")
    if turned > straight:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _seconds(time: Fraction | float) -> str:
    return f"{float(time):.2f} s"
