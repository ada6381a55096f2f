"""A MindRecord data engine for unpaired image-to-image translation."""

from ugatit_data.errors import (
    BadInputError,
    ConversionError,
    CorruptDatasetError,
    DataError,
    FormatVersionError,
    LockedError,
)
from ugatit_data.loading.loader import Loader, open_loader
from ugatit_data.loading.pipelines import as_mindspore_dataset, ascend_pipeline

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
