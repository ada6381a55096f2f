"""Writes a video: frames as H.264 in an MP4 file, at the times that they had, with the sound of their video."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.errors import RejectedImageError
from ugatit_data.files import partial_path
from ugatit_train.pictures.video import SD_HEIGHT, open_container, pictures_of, pyav, reading, start_of

_COPIED = frozenset(("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"))  # what players expect in an MP4 file
_RATES = frozenset((48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000))  # Hz, of AAC
_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
_FINEST = Fraction(1, 1_000_000)  # s: MP4 and x264 count ticks in 32 bits


class Writer:
    """Writes an MP4 file of frames of one size; it appears complete, by `finish`, or not at all.

    A context manager: a file that is not finished when it is left is removed. With `source` it gets the sound of that
    video, and keeps its frames' times; without one the frames follow each other at `rate` a second.
    """

    def __init__(self, path: Path, rate: Fraction | float, source: Path | None = None):
        self._path, self._rate, self._source = path, Fraction(rate), source
        self._opened = contextlib.ExitStack()
        self._file: Any = None
        self._last = -1  # in ticks

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_) -> None:
        self._opened.close()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()  # before the container, which would write its end into it
            partial_path(self._path).unlink(missing_ok=True)

    def write(self, frame: np.ndarray, time: Fraction | None = None) -> None:
        """Append uint8 (H, W, 3) RGB, shown from `time` in seconds on.

        The format wants even sides, so an odd last row or column is left out.

        Raises:
            RejectedImageError: FFmpeg cannot write such frames, or the sound of the source is damaged.
            OSError: the file cannot be written.
        """
        high, wide = (size - size % 2 for size in frame.shape[:2])
        with self._writing():
            if self._file is None:
                self._open(high, wide)
            pixels = np.ascontiguousarray(frame[:high, :wide])
            picture = self._av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=self._colours, dst_color_range="MPEG", threads=1
            )
            self._last = max(self._last + 1, 0 if time is None else round(time / self._tick))
            picture.pts, picture.time_base = self._last, self._tick
            self._add_pictures(picture)
            self._add_sound(self._last * self._tick)

    def finish(self) -> None:
        """End the file and give it its name. Raises as `write`."""
        with self._writing():
            self._add_pictures(None)
            self._add_sound(None)
            self._container.close()
            self._file.close()  # a full disk may show here only
            os.replace(partial_path(self._path), self._path)
            self._file = None

    def _open(self, high: int, wide: int) -> None:
        if min(high, wide) < 2:
            raise RejectedImageError(f"frames of {wide} x {high} pixels: a video needs 2 x 2")
        self._av, source = pyav(), None
        if self._source:
            source = self._opened.enter_context(open_container(self._source))
        self._tick = max(_FINEST, pictures_of(source).time_base if source else 1 / self._rate)
        self._file = partial_path(self._path).open("wb")
        self._container = self._av.open(self._file, "w", format="mp4")
        # No B-frames: MP4 measures a track by the order of decoding, and would end a video of variable rate too early.
        self._stream = self._container.add_stream("libx264", rate=self._rate, options={"crf": "18", "bf": "0"})
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt, context.time_base = wide, high, "yuv420p", self._tick
        # The matrix that players take for the size if they do not look; it is said, too. All 1: BT.709, limited range.
        self._colours, context.colorspace = ("itu709", 1) if high > SD_HEIGHT else ("itu601", 6)
        context.color_primaries = context.color_trc = context.color_range = 1
        self._sound = _Sound(source, self._container) if source else None

    def _add_pictures(self, picture: Any) -> None:
        for packet in self._stream.encode(picture):
            packet.duration = packet.duration or 1  # a last frame that lasts no tick would not be shown
            self._container.mux(packet)

    def _add_sound(self, time: Fraction | None) -> None:
        for packet in self._sound.until(time) if self._sound else ():
            self._container.mux(packet)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        av = pyav()
        try:
            yield
        except (av.FFmpegError, ValueError) as error:  # ValueError: an encoder that this FFmpeg lacks, odd sound
            raise RejectedImageError(f"FFmpeg cannot write it: {getattr(error, 'strerror', None) or error}") from None
        except OSError as error:
            if error.filename is None:
                error.filename = str(self._path)  # the system names none when a disk is full
            raise


class _Sound:
    """All sound of an open video, for an output: as it is where MP4 takes it, else as AAC."""

    def __init__(self, source: Any, out: Any):
        self._start = start_of(source)
        self._out = {stream.index: self._stream(stream, out) for stream in source.streams.audio}
        self._packets = source.demux(*source.streams.audio) if self._out else iter(())
        self._next: Any = None  # read, but later than what was asked for

    @staticmethod
    def _stream(stream: Any, out: Any) -> Any:
        if stream.codec_context is None:
            raise RejectedImageError("FFmpeg has no decoder for its sound")
        if stream.codec_context.codec.canonical_name in _COPIED:
            return out.add_stream_from_template(stream)
        channels = stream.layout.nb_channels
        made = out.add_stream("aac", rate=stream.rate if stream.rate in _RATES else 48000, bit_rate=96_000 * channels)
        # By the number: that is all that some files tell.
        made.codec_context.layout = _LAYOUTS[min(channels, len(_LAYOUTS)) - 1]
        return made

    def until(self, time: Fraction | None) -> Iterator[Any]:
        """The packets up to `time` in seconds, to be written; up to the end for None. Raises RejectedImageError."""
        while True:
            with reading():
                packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                break
            if time is not None and packet.dts is not None and packet.dts * packet.time_base - self._start > time:
                self._next = packet
                break
            yield from self._made(packet)

    def _made(self, packet: Any) -> Iterator[Any]:
        out = self._out[packet.stream.index]
        copied = packet.stream.codec_context.codec.canonical_name in _COPIED
        if packet.is_corrupt:
            raise RejectedImageError("truncated, or damaged: a part of its sound cannot be read as a whole")
        if copied:
            if packet.size:
                shift = round(self._start / packet.time_base)
                packet.pts, packet.dts = (None if at is None else at - shift for at in (packet.pts, packet.dts))
                packet.stream = out
                yield packet
            return
        with reading():
            frames = packet.decode()
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._start / frame.time_base)
            yield from out.encode(frame)
        if not packet.size:
            yield from out.encode()
