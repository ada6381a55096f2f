"""A MindRecord data engine for unpaired image-to-image translation: pictures -> data set -> batches.

    convert("photos", "dataset")                 a folder with trainA and trainB -> a data set
    verify("dataset"), repair("dataset", "photos")
    open_loader("dataset", batch_size=8)         a data set -> batches of A and B, as NumPy arrays

The names below stay; modules inside may move. README.md beside this file shows the way of a picture.
"""

from ugatit_data.conversion.convert import convert
from ugatit_data.conversion.parquet import ParquetSource
from ugatit_data.conversion.repair import repair
from ugatit_data.conversion.verify import verify
from ugatit_data.dataset.encodings import ENCODINGS, Encoding
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

__version__ = "0.1.0"

__all__ = [
    "ENCODINGS",
    "BadInputError",
    "ConversionError",
    "CorruptDatasetError",
    "DataError",
    "Encoding",
    "FormatVersionError",
    "Loader",
    "LockedError",
    "ParquetSource",
    "as_mindspore_dataset",
    "ascend_pipeline",
    "convert",
    "open_loader",
    "repair",
    "verify",
]
