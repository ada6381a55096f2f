"""The work of every peer of the loader, and its steps by OpenCV, for peers without operations of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Work:
    """The work that every candidate does."""

    batch_size: int
    img_size: int
    threads: int

    @property
    def resized(self) -> int:
        return self.img_size + 30


def listed(source: Path, name: str) -> list[Path]:
    """The files of a domain's folder."""
    return sorted((source / name).iterdir())


def augment(image: np.ndarray, work: Work, random: np.random.Generator) -> np.ndarray:
    """Flip, resize and crop a decoded picture, uint8 HWC."""
    if random.random() < 0.5:
        image = cv2.flip(image, 1)
    image = cv2.resize(image, (work.resized, work.resized))
    x, y = random.integers(0, work.resized - work.img_size + 1, 2)
    return image[y : y + work.img_size, x : x + work.img_size]


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 HWC -> float32 CHW in [-1, 1]."""
    return np.ascontiguousarray((image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))


def decode_cv2(data: bytes, work: Work, random: np.random.Generator) -> np.ndarray:
    """A file's bytes -> float32 CHW in [-1, 1], flipped, resized and cropped, all by OpenCV."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return to_float(augment(image, work, random))


def forever(make: Callable[[], Iterator]) -> Iterator:
    """The items of one iterator after another, without end."""
    while True:
        yield from make()
