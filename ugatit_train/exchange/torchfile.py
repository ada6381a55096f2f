"""Reads and writes PyTorch's files of weights, as NumPy arrays. Nothing in a file is executed."""

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.files import write_whole
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
        return _arrays(torch.load(path, map_location="cpu", weights_only=True))
    except OSError as error:
        raise TorchFileError(f"{path}: {error.strerror or error}: check the path") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        asks = "it asks for code to be run" if "Unsupported" in str(error) or "GLOBAL" in str(error) else "damaged"
        raise TorchFileError(f"{path}: no PyTorch file of weights alone ({asks}): give a state_dict's file") from None


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
        return value.float().numpy() if value.is_floating_point() else np.asarray(value)
    return value
