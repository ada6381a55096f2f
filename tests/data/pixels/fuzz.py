#!/usr/bin/env python3
"""Fuzz the decoding policy: files of every format with mutated headers and bodies, decoded twice and compared.

`PYTHONPATH=. python tests/data/pixels/fuzz.py --seconds 3600` for an hour; the suite runs it for some seconds
(test_fuzz.py). It works in a process of its own, which is the one that may crash: before each file its
number is written to stdout, and `mutated(number)` makes the file again.

What must hold: pixels or RejectedImageError with a reason; no signal; the same again at the second decoding; memory
that is bounded, in Python as in the decoders, by the limit of address space that is set.
"""

from __future__ import annotations

import argparse
import collections
import io
import itertools
import resource
import struct
import subprocess
import sys
import time
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.policy import decode

MEMORY = 6 << 30  # of address space: the policy's 178 megapixels, as samples, RGBA and RGB at once, and the libraries
SECONDS = 60  # of a core, for one file: 178 megapixels with alpha take some
EDGES = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
)


def picture(high: int, wide: int, channels: int) -> np.ndarray:
    random = np.random.default_rng(high * wide + channels)
    coarse = random.integers(0, 256, (5, 6, channels), np.uint8)
    return cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_CUBIC).reshape(high, wide, channels)


def written(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def seeds() -> list[bytes]:
    """A file of each kind that the policy decodes; 24 x 20 pixels and EXIF where the format has it."""
    rgb, rgba = (Image.fromarray(picture(20, 24, channels)) for channels in (3, 4))
    exif = Image.Exif()
    exif[274], exif[271] = 6, "a maker"
    files = [
        written(rgb, "JPEG", exif=exif),
        written(rgb, "JPEG", progressive=True, quality=95),
        written(rgb, "JPEG", restart_marker_blocks=1, subsampling=0),
        written(rgb.convert("L"), "JPEG"),
        written(rgb.convert("CMYK"), "JPEG"),
        written(rgb, "PNG", exif=exif),
        written(rgba, "PNG"),
        written(rgb.convert("P"), "PNG", transparency=bytes(range(256))),
        written(rgb.convert("1"), "PNG"),
        written(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)]),
        cv2.imencode(".png", picture(20, 24, 4).astype(np.uint16) * 257)[1].tobytes(),
        written(rgb, "WEBP", exif=exif),
        written(rgba, "WEBP", lossless=True),
        written(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)]),
        *(written(image, "BMP") for image in (rgb, rgba, rgb.convert("P"), rgb.convert("1"))),
        *(written(rgb, "TIFF", compression=name, exif=exif) for name in (None, "tiff_lzw", "tiff_adobe_deflate")),
        *(written(rgb, "TIFF", compression=name) for name in ("packbits", "jpeg")),
        *(written(rgb.convert("1"), "TIFF", compression=name) for name in ("group3", "group4", "tiff_ccitt")),
        *(written(rgb.convert(mode), "TIFF", compression="tiff_lzw") for mode in ("P", "CMYK", "LA", "I;16")),
        written(rgb, "TIFF", tiffinfo={284: 2}),
    ]
    runs = b"".join(bytes([5, value, 0, 3, 1, 2, 3, 0]) for value in range(60)) + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, 24, 20, 1, 8, 1, len(runs), 0, 0, 0, 0)
    start = 54 + 1024
    return [*files, struct.pack("<2sIHHI", b"BM", start + len(runs), 0, 0, start) + head + bytes(range(256)) * 4 + runs]


def mutated(number: int) -> bytes:
    """File `number`: always the same."""
    random = np.random.default_rng(number)
    files = seeds()
    data = bytearray(files[number % len(files)])
    for _ in range(int(random.integers(1, 5))):
        head = random.random() < 0.6
        at = int(random.integers(min(len(data), 250) if head else len(data)))
        match int(random.integers(9)):
            case 0:
                data[at] ^= 1 << int(random.integers(8))
            case 1:
                data[at] = int(random.integers(256))
            case 2 | 3:
                size = int(random.choice([1, 2, 4]))
                value = int(random.choice(EDGES)) % (1 << 8 * size)
                data[at : at + size] = value.to_bytes(size, "little" if random.random() < 0.5 else "big")
            case 4:
                del data[at : at + int(random.integers(1, 40))]
            case 5:
                data[at:at] = random.bytes(int(random.integers(1, 40)))
            case 6:
                other = int(random.integers(len(data)))
                data[at:at] = data[other : other + int(random.integers(1, 200))]
            case 7:
                size = int(random.integers(1, 200))
                data[at : at + size] = bytes([int(random.choice([0, 255, 128]))]) * len(data[at : at + size])
            case 8:
                other = files[int(random.integers(len(files)))]
                data[at:] = other[at:]
        if not data:
            data = bytearray(b"\0")
    return _right_sums(bytes(data)) if random.random() < 0.8 else bytes(data)


def _right_sums(data: bytes) -> bytes:
    """A PNG with right checksums again, so that more than the checksums is tried."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + data[at:]


def outcome(data: bytes, lenient: bool) -> tuple:
    """What the policy does with a file: a tuple that must be the same each time."""
    try:
        decoded = decode(data, lenient)
    except RejectedImageError as error:
        assert error.reason, "no reason"
        return ("rejected", error.reason)
    pixels = decoded.pixels
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, (pixels.dtype, pixels.shape)
    return (decoded.plain, decoded.notes, pixels.shape, zlib.crc32(pixels))


def spoil_memory() -> None:
    """Fill some freed memory with another pattern each time: pixels that nobody wrote would show it."""
    spoil_memory.value = (getattr(spoil_memory, "value", 0) + 37) % 256  # type: ignore[attr-defined]
    blocks = [np.full(1 << size, spoil_memory.value, np.uint8) for size in range(8, 21)]  # type: ignore[attr-defined]
    del blocks


def work(first: int, seconds: float) -> None:
    """Try files from `first` on; the last line of stdout names the one at hand."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    cv2.setNumThreads(1)
    counts: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + seconds
    for number in itertools.count(first):
        if time.monotonic() > end:
            break
        print(number, flush=True)
        data, began = mutated(number), time.process_time()
        lenient = number % 3 == 0
        once = outcome(data, lenient)
        spoil_memory()
        again = outcome(data, lenient)
        assert once == again, f"file {number}: {once} and then {again}"
        assert time.process_time() - began < 2 * SECONDS, f"file {number}: {time.process_time() - began:.0f} s"
        assert "MemoryError" not in str(once), f"file {number}: {once}"
        counts["rejected" if once[0] == "rejected" else "noted" if once[1] else "accepted"] += 1
        if "the decoder failed" in str(once):
            counts["unforeseen: " + once[1][:70]] += 1
    print("done", number, dict(counts), f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB at most")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.first, options.seconds)
        return 0
    command = [sys.executable, str(Path(__file__).resolve()), "--work", "--first", str(options.first)]
    done = subprocess.run([*command, "--seconds", str(options.seconds)], capture_output=True, text=True)
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    if done.returncode:
        print(f"exit {done.returncode} at file {last}: fuzz.mutated({last})\n{done.stderr[-3000:]}")
        return 1
    print(last)
    return 0


if __name__ == "__main__":
    sys.exit(main())
