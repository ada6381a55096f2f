"""Reads and writes PyTorch's files of weights, as NumPy arrays. Nothing in a file is executed."""

import errno
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.files import stands_in, write_whole
from ugatit_train.errors import UgatitError


class TorchFileError(UgatitError):
    """A file that is no PyTorch file of weights, or cannot be read here; the message is one line with the remedy."""

    exit_code = 2


def read(path: Path) -> Any:
    """What `torch.save` wrote: dictionaries, lists and plain values, with arrays in place of tensors.

    Raises:
        TorchFileError: PyTorch is not installed, or the file is missing, damaged, or holds more than tensors and plain
            containers (`weights_only`).
    """
    try:
        import torch
    except ImportError:
        raise TorchFileError(f"{path}: reading it needs PyTorch: pip install 'ugatit[torch]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is said below
            return _arrays(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # of a damaged pickle, any; of a cut file, one of a place before its beginning
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise TorchFileError(f"{path}: {error.strerror or error}: check the path") from None
        raise TorchFileError(f"{path}: {_why(path, str(error))}") from None


def _why(path: Path, error: str) -> str:
    """Why a file could not be read, and the remedy, by its first bytes and PyTorch's words."""
    if words := stands_in(path):
        return f"is {words}"
    with path.open("rb") as file:
        begin = file.read(16)
    if begin[8:10] == b'{"':
        return "is a safetensors file: load it with safetensors, and save the tensors with torch.save"
    if "TorchScript" in error:
        return "is a TorchScript archive, a program: give the file of its state_dict"
    if begin[:1] != b"\x80" and begin[:2] != b"PK":
        return "no PyTorch file of weights alone (its first bytes are none of PyTorch's): check the path"
    if "Unsupported global" in error or "GLOBAL" in error:
        return "no PyTorch file of weights alone (it asks for code to be run): give the file of a state_dict"
    return "no PyTorch file of weights alone (damaged, or its end is missing): copy or download it again"


def write(path: Path, states: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write several state_dicts, by their names, with `torch.save`; the file appears complete or not at all.

    Raises:
        TorchFileError: PyTorch is not installed.
        OSError: the file cannot be written.
    """
    try:
        import torch
    except ImportError:
        raise TorchFileError(f"{path}: writing it needs PyTorch: pip install 'ugatit[torch]'") from None
    tensors = {
        name: OrderedDict((key, torch.from_numpy(np.ascontiguousarray(array))) for key, array in state.items())
        for name, state in states.items()
    }

    def save(partial: Path) -> None:
        with partial.open("wb") as file:  # given a path, torch.save would write its name into the file
            torch.save(tensors, file)

    write_whole(path, save)


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_arrays(item) for item in value]
    if hasattr(value, "detach"):
        value = value.detach()
        value = value.dequantize() if value.is_quantized else value.to_dense()
        return value.float().numpy() if value.is_floating_point() else np.asarray(value)
    return value
