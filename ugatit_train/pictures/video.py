"""Video files as pictures in a row, read and written by OpenCV; sound is left out."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ugatit_data.errors import RejectedImageError

SUFFIXES = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"))


def is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def frames(path: Path) -> Iterator[np.ndarray]:
    """Every frame as uint8 (H, W, 3) RGB, upright. Raises RejectedImageError where there is none."""
    capture = cv2.VideoCapture(str(path))
    try:
        count = 0
        while True:
            read, frame = capture.read()
            if not read:
                break
            count += 1
            yield np.ascontiguousarray(frame[..., ::-1])
        if not count:
            raise RejectedImageError("no frame can be read")
    finally:
        capture.release()


def about(path: Path) -> tuple[float, int]:
    """Frames per second, and about how many; 25 and 0 where the file does not say."""
    capture = cv2.VideoCapture(str(path))
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    return rate if 0 < rate < 1000 else 25.0, max(0, int(count))


class Writer:
    """An MP4 (MPEG-4) file of frames of one size; it appears complete, when the writer is closed, or not at all."""

    def __init__(self, path: Path, rate: float):
        self._path, self._rate = path, rate
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._video: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Append uint8 (H, W, 3) RGB; an odd row or column at the edge is left out, which the format wants even.

        Raises:
            OSError: the file cannot be written.
        """
        high, wide = (size - size % 2 for size in frame.shape[:2])
        if self._video is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(self._partial), code, self._rate, (wide, high))
            if not self._video.isOpened():
                raise OSError(f"{self._path}: OpenCV cannot write this video: check the folder and the frames' size")
        self._video.write(np.ascontiguousarray(frame[:high, :wide, ::-1]))

    def close(self, *, whole: bool) -> None:
        """End the file; one that is not whole is removed."""
        if self._video is not None:
            self._video.release()
        if whole:
            os.replace(self._partial, self._path)
        elif self._partial.is_file():
            self._partial.unlink()
