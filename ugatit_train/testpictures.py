"""The test pictures of a domain, out of a converted data set or of the folders testA and testB of a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ugatit_data import BadInputError, open_loader
from ugatit_data.errors import RejectedImageError
from ugatit_data.geometry import Size
from ugatit_data.manifest import DATASET_FILE, read_dataset
from ugatit_train import translate


def count(data: Path, domain: str) -> int:
    """How many test pictures of a domain there are, readable or not, in a converted data set or a folder of pictures.

    Raises:
        BadInputError: `data` is neither.
        CorruptDatasetError: the data set was damaged.
    """
    if (data / DATASET_FILE).exists():
        return read_dataset(data).num_images("test", domain)
    folders = [data / f"test{name}" for name in "AB"]
    if not any(folder.is_dir() for folder in folders):
        raise BadInputError(
            f"{data}: neither a data set with a test split nor a folder with testA and testB: give another --data_path"
        )
    folder = folders["ab".index(domain)]
    return len(translate.find_pictures(folder)) if folder.is_dir() else 0


def read(data: Path, domain: str, size: Size) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Every test picture of a domain, in the order of its key: the name of its output file, and uint8 (H, W, 3) RGB.

    Instead of a picture that cannot be read comes the reason.

    Raises:
        BadInputError: `data` holds no such pictures.
        CorruptDatasetError: the data set was damaged.
    """
    if not (data / DATASET_FILE).exists():
        source = data / f"test{domain.upper()}"
        found = translate.find_pictures(source)
        for path, name in zip(found, translate.output_names(found, source), strict=True):
            try:
                yield name, translate.read_picture(path, size)
            except RejectedImageError as error:
                yield name, error.reason
        return
    with open_loader(data, "test", domain=domain, augment=False, batch_size=1, img_size=size) as loader:
        keys = [Path(os.fsdecode(key)) for key in loader.keys(domain)]
        for name, batch in zip(translate.output_names(keys, Path()), loader, strict=True):
            yield name, batch[0]
