"""Writes a safetensors file one tensor at a time; the safetensors library reads it.

Its own `save_file` takes all arrays at once, which doubles a full model's memory.
Format: 8 bytes, little-endian, the header's length; the JSON header, padded with spaces to a multiple of 8; the data
(https://github.com/huggingface/safetensors, README, "Format").
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ugatit_data.files import fsync

_TYPES = {"float32": "F32", "int32": "I32"}


def write(path: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]], get: Callable[[str], np.ndarray]) -> str:
    """Writes `path` to the disk (fsync) and gives its SHA-256.

    `shapes` is name -> (shape, dtype "float32" or "int32"); `get(name)` gives an array.
    """
    header: dict[str, dict] = {}
    end = 0
    for name, (shape, dtype) in shapes.items():
        start, end = end, end + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        header[name] = {"dtype": _TYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            file.write(part)
            digest.update(part)
        for name, (shape, dtype) in shapes.items():
            array = get(name)
            assert array.shape == shape, f"{path.name}: {name} has shape {array.shape}, not {shape}"
            array = np.ascontiguousarray(array, dtype)
            file.write(array.data)
            digest.update(array.data)
    fsync(path)
    return digest.hexdigest()
