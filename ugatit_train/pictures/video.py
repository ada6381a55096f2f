"""Video files as sequences of pictures, read and written by OpenCV. Sound is left out."""

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
    """Every frame as uint8 (H, W, 3) RGB, upright. Raises RejectedImageError if no frame can be read."""
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
    """Frames per second and the approximate number of frames; 25 and 0 if the file does not say."""
    capture = cv2.VideoCapture(str(path))
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finally:
        capture.release()
    return rate if 0 < rate < 1000 else 25.0, max(0, int(count))


class Writer:
    """Writes an MP4 (MPEG-4) file of frames of one size; it appears complete, when it is closed, or not at all."""

    def __init__(self, path: Path, rate: float):
        self._path, self._rate = path, rate
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")  # OpenCV tells the format by the suffix
        self._video: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Append uint8 (H, W, 3) RGB; the format wants even sides, so an odd last row or column is left out.

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
        """End the file; remove it if it is not whole."""
        if self._video is not None:
            self._video.release()
        if whole:
            os.replace(self._partial, self._path)
        elif self._partial.is_file():
            self._partial.unlink()
