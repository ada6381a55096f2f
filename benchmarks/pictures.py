"""Pictures for the benchmarks, without a download: noise with the falling spectrum of photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ugatit_data import convert


def photograph(seed: int, side: int) -> np.ndarray:
    """A colour picture with a photograph's spectrum, uint8 (side, side, 3)."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    falling = 1 / np.maximum(frequency, 1 / side) ** 1.6
    planes = []
    for contrast in (1.0, 0.25, 0.25):  # luma and two chromas: colour varies less
        noise = random.standard_normal((2, *falling.shape)) * falling
        plane = np.fft.irfft2(noise[0] + 1j * noise[1], (side, side))
        planes.append(128 + 55 * contrast * plane / plane.std())
    return cv2.cvtColor(np.clip(np.dstack(planes), 0, 255).astype(np.uint8), cv2.COLOR_YCrCb2BGR)


def make_source(root: Path, count: int, side: int = 256) -> int:
    """Write folders trainA and trainB with `count` JPEGs each, quality 92; returns their total bytes."""
    total = 0
    for domain, name in enumerate(("trainA", "trainB")):
        (root / name).mkdir(parents=True)
        kept = []
        for index in range(count):
            if index < 500:  # the others repeat these, which costs decoders the same
                image = photograph(2 * index + domain, side)
                kept.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
            data = kept[index % len(kept)]
            (root / name / f"{index:06d}.jpg").write_bytes(data)
            total += len(data)
    return total


def dataset(root: Path, count: int, side: int, encoding: str) -> Path:
    """A data set under `root` with `count` pictures of `side` for each domain, stored 30 pixels larger for crops."""
    source, out = root / f"source{side}_{count}", root / f"{encoding}{side}_{count}"
    if not source.exists():
        make_source(source, count, side)
    if not out.exists():
        convert(source, out, encoding=encoding, stored_size=side + 30)
    return out
