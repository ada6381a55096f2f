"""A MindRecord data engine for unpaired image-to-image translation: pictures -> data set -> batches.

    convert("photos", "dataset")                 a folder with trainA and trainB -> a data set
    verify("dataset"), repair("dataset", "photos")
    open_loader("dataset", batch_size=8)         a data set -> batches of A and B, as NumPy arrays

The names below stay; modules inside may move. README.md beside this file shows the way of a picture.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ugatit_data.errors import (
    BadInputError,
    ConversionError,
    CorruptDatasetError,
    DataError,
    FormatVersionError,
    LockedError,
)

if TYPE_CHECKING:
    from ugatit_data.conversion.convert import convert
    from ugatit_data.conversion.parquet import ParquetSource
    from ugatit_data.conversion.repair import repair
    from ugatit_data.conversion.verify import verify
    from ugatit_data.dataset.encodings import ENCODINGS, Encoding
    from ugatit_data.loading.augment import PAPER, Augmentation
    from ugatit_data.loading.loader import Loader, open_loader
    from ugatit_data.loading.pipelines import as_mindspore_dataset, ascend_pipeline

__version__ = "0.2.0"

__all__ = [
    "ENCODINGS",
    "PAPER",
    "Augmentation",
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

_HOMES = {
    "Augmentation": "ugatit_data.loading.augment",
    "ENCODINGS": "ugatit_data.dataset.encodings",
    "Encoding": "ugatit_data.dataset.encodings",
    "Loader": "ugatit_data.loading.loader",
    "PAPER": "ugatit_data.loading.augment",
    "ParquetSource": "ugatit_data.conversion.parquet",
    "as_mindspore_dataset": "ugatit_data.loading.pipelines",
    "ascend_pipeline": "ugatit_data.loading.pipelines",
    "convert": "ugatit_data.conversion.convert",
    "open_loader": "ugatit_data.loading.loader",
    "repair": "ugatit_data.conversion.repair",
    "verify": "ugatit_data.conversion.verify",
}


if not TYPE_CHECKING:  # a type checker would take every name for an offered one

    def __getattr__(name: str) -> Any:
        """An offered name, from the module where it lives (PEP 562): `ugatit --help` waits for no library."""
        if name not in _HOMES:
            raise AttributeError(f"module 'ugatit_data' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
