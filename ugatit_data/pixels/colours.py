"""Colours that are no RGB made RGB, by the policy's rules."""

from __future__ import annotations

import numpy as np

_ROWS = 1 << 20  # pixels that are converted at once, so that wide intermediate numbers take little memory


def over_white(rgba: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """uint8 (H, W, 4) laid over white: (H, W, 3), rounded to nearest."""
    out = np.empty((*rgba.shape[:2], 3), np.uint8)
    for part in _parts(rgba.shape):
        alpha = rgba[part, :, 3:].astype(np.uint16)
        if premultiplied:
            out[part] = np.minimum(rgba[part, :, :3] + (255 - alpha), 255)
        else:  # (sum + 127) // 255, which is at most 65152, without a division and within uint16
            total = rgba[part, :, :3] * alpha + (255 * (255 - alpha) + 127)
            out[part] = (total + 1 + (total >> 8)) >> 8
    return out


def cmyk_to_rgb(cmyk: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 4), 255 is full ink -> (H, W, 3): (255 - ink) * (255 - black) / 255, rounded as Pillow does."""
    out = np.empty((*cmyk.shape[:2], 3), np.uint8)
    for part in _parts(cmyk.shape):
        light = 255 - cmyk[part, :, 3:].astype(np.int32)
        product = cmyk[part, :, :3] * light + 128
        out[part] = np.clip(light - (((product >> 8) + product) >> 8), 0, 255)
    return out


def _parts(shape: tuple[int, ...]) -> list[slice]:
    rows = max(_ROWS // max(shape[1], 1), 1)
    return [slice(begin, begin + rows) for begin in range(0, shape[0], rows)]
