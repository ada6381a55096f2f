"""A MindRecord data engine for unpaired image-to-image translation."""

from .errors import BadInputError, ConversionError, CorruptDatasetError, DataError, FormatVersionError, LockedError
from .loader import Loader, open_loader
from .pipelines import as_mindspore_dataset, ascend_pipeline

__all__ = [
    "BadInputError",
    "ConversionError",
    "CorruptDatasetError",
    "DataError",
    "FormatVersionError",
    "Loader",
    "LockedError",
    "as_mindspore_dataset",
    "ascend_pipeline",
    "open_loader",
]
