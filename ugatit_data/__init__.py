"""A MindRecord data engine for unpaired image-to-image translation."""

from .errors import BadInputError, ConversionError, CorruptDatasetError, DataError, FormatVersionError, LockedError
from .loader import Loader, open_loader

__all__ = [
    "BadInputError",
    "ConversionError",
    "CorruptDatasetError",
    "DataError",
    "FormatVersionError",
    "Loader",
    "LockedError",
    "open_loader",
]
