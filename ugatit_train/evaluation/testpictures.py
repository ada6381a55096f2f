"""The test pictures of a domain, from a converted data set or from a folder with testA and testB."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ugatit_data import BadInputError, open_loader
from ugatit_data.dataset.manifest import DATASET_FILE, read_dataset
from ugatit_data.errors import RejectedImageError
from ugatit_data.pixels.geometry import Size
from ugatit_train.pictures.files import output_names, pictures_below, read_picture


@dataclasses.dataclass(frozen=True)
class TestPicture:
    """A picture, uint8 (H, W, 3) RGB, or the reason why there is none."""

    source: Path  # relative to testA or testB
    output: Path  # relative to the output folder
    pixels: np.ndarray | None = None
    problem: str = ""


def count(data: Path, domain: str) -> int:
    """How many test pictures a domain has, readable or not, in a converted data set or a folder of pictures.

    Raises:
        BadInputError: `data` is neither of the two, or a folder in it cannot be read.
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
    return len(pictures_below(folder)) if folder.is_dir() else 0


def read(data: Path, domain: str, size: Size) -> Iterator[TestPicture]:
    """Every test picture of a domain at `size`, in the order of the keys.

    Raises:
        BadInputError: `data` holds no such pictures.
        CorruptDatasetError: the data set was damaged.
    """
    if not (data / DATASET_FILE).exists():
        root = data / f"test{domain.upper()}"
        found = pictures_below(root)
        for path, output in zip(found, output_names(found, root), strict=True):
            source = path.relative_to(root)
            try:
                yield TestPicture(source, output, read_picture(path, size))
            except RejectedImageError as error:
                yield TestPicture(source, output, problem=error.reason)
        return
    with open_loader(data, "test", domain=domain, augment=False, batch_size=1, img_size=size) as loader:
        keys = [Path(os.fsdecode(key)) for key in loader.keys(domain)]
        for source, output, batch in zip(keys, output_names(keys, Path()), loader, strict=True):
            yield TestPicture(source, output, batch[0])
