"""`mindspore.dataset` pipelines over a data set, for `Model.train`, sink mode and decoding on an Ascend card."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.commands import command
from ugatit_data.conversion.verify import verify
from ugatit_data.dataset.manifest import read_dataset
from ugatit_data.dataset.records import encoding_of
from ugatit_data.dataset.shards import COLUMN, mind_dataset
from ugatit_data.errors import BadInputError, CorruptDatasetError
from ugatit_data.files import allow_descriptors
from ugatit_data.loading import order
from ugatit_data.loading.augment import MARGIN, PAPER
from ugatit_data.loading.loader import Loader
from ugatit_data.loading.options import LoaderOptions
from ugatit_data.pixels.geometry import sides

_DESCRIPTORS = 2  # that each reader of MindDataset keeps for a shard, counted with 60 of them
_MORE_DESCRIPTORS = 32  # for a moment, for the .db files and its threads
Pipeline = Any  # a mindspore.dataset.Dataset: MindSpore is imported inside functions only


class _Epochs:
    """Each iteration is an epoch: the next `steps_per_epoch` batches of the loader."""

    def __init__(self, loader: Loader):
        self._loader = loader

    def __len__(self) -> int:
        return self._loader.steps_per_epoch

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in itertools.islice(self._loader, len(self)):
            yield batch if isinstance(batch, tuple) else (batch,)


def as_mindspore_dataset(loader: Loader) -> Pipeline:
    """A `mindspore.dataset` pipeline over an open loader: one column per domain, a row is a whole batch.

    An epoch is the loader's; a finite loader has one. MindSpore reads ahead, so `loader.state()` is ahead of the
    training: keep the number of trained steps, and open the loader with it as `start_step`.
    """
    import mindspore.dataset as ds

    names = list(loader.domains)
    return ds.GeneratorDataset(
        _Epochs(loader), names, shuffle=False, num_parallel_workers=1, python_multiprocessing=False
    )


def ascend_pipeline(
    folder: str | os.PathLike,
    split: str = "train",
    *,
    epoch: int,
    batch_size: int = 1,
    img_size: int = 256,
    seed: int = 1,
    rank: int = 0,
    world: int = 1,
    device: str = "Ascend",
) -> Pipeline:
    """One epoch as a MindDataset pipeline whose JPEGs and PNGs are decoded and resized by the card (DVPP).

    Columns `a` and `b`, uint8 (N, S, S, 3) RGB. Samples, flips and crops are `open_loader`'s at the same seed and
    steps; pixels differ by the card's decoder and resizer. MindDataset checks nothing and can die of a damaged file, so
    every shard is compared with its SHA-256 first. `device="CPU"` runs the same pipeline without a card.

    Raises:
        BadInputError: no data set, a split without both domains, or records that are no JPEGs and PNGs.
        CorruptDatasetError: a file differs from what was recorded.
        DataError: this process may not open so many shards.
    """
    import mindspore.dataset as ds

    options = LoaderOptions(split=split, batch_size=batch_size, img_size=img_size, seed=seed, rank=rank, world=world)
    if not isinstance(options.img_size, int):
        raise BadInputError(f"img_size {img_size!r}: must be the side of a square.")
    if not isinstance(epoch, int | np.integer) or epoch < 0:
        raise BadInputError(f"epoch {epoch!r}: must be an integer of at least 0.")
    folder, split = Path(folder), options.split
    dataset = read_dataset(folder)
    contents = encoding_of(folder, dataset).contents
    if contents == "pixels":
        raise BadInputError(
            f"{folder}: {dataset.encoding} records need no decoding. Use open_loader, which only copies them."
        )
    if contents != "file":
        raise BadInputError(f"{folder}: a card decodes JPEG and PNG, not {dataset.encoding!r}. Use open_loader.")
    counts = {domain: dataset.num_images(split, domain) for domain in order.DOMAINS}
    if not all(counts.values()):
        raise BadInputError(f"{folder}: {split} lacks a domain. Convert a source that has both.")
    for problem in verify(folder):
        raise CorruptDatasetError(f"{folder / problem.file}: {problem.what}. Run `{command('verify')} {folder}`.")
    steps = order.steps_per_epoch(counts["a"], counts["b"], options.batch_size * options.world)
    first = int(epoch) * steps
    branches = []
    descriptors = 0
    for domain in order.DOMAINS:
        files = [folder / shard.file for shard in dataset.shards[split][domain]]
        branch, readers = _branch(files, domain, counts[domain], range(first, first + steps), options, device)
        branches.append(branch)
        descriptors += _DESCRIPTORS * len(files) * readers
    allow_descriptors(descriptors + _MORE_DESCRIPTORS, f"{folder}: a MindDataset of all its shards")
    return ds.zip(tuple(branches))


def _branch(
    files: list[Path], domain: str, count: int, steps: range, options: LoaderOptions, device: str
) -> tuple[Pipeline, int]:
    """One domain's epoch of this rank, column `domain`; and how many readers it has."""
    import mindspore.dataset as ds
    from mindspore.dataset import vision

    batch_size, (img_size, _) = options.batch_size, sides(options.img_size)
    positions = [order.rank_positions(step, batch_size, options.rank, options.world) for step in steps]
    picks = [order.samples(options.seed, domain, count, start, stop, PAPER) for start, stop in positions]
    ids, flips, xs, ys = (np.concatenate(values) for values in zip(*picks, strict=True))
    records, readers = _in_order(files, ids)
    draws = ds.NumpySlicesDataset({"flip": flips, "x": xs, "y": ys}, shuffle=False, num_parallel_workers=1)
    side = img_size + MARGIN
    resized = [vision.Decode(), vision.Resize([side, side])]
    both = ds.zip((records, draws)).map([op.device(device) for op in resized], [COLUMN], num_parallel_workers=1)

    def crop(image: np.ndarray, flip: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        left = MARGIN - int(x) if flip else int(x)
        part = image[int(y) : int(y) + img_size, left : left + img_size]
        return np.ascontiguousarray(part[:, ::-1] if flip else part)

    cropped = both.map(crop, [COLUMN, "flip", "x", "y"], [domain], num_parallel_workers=1)
    return cropped.project([domain]).batch(batch_size, num_parallel_workers=1), readers


def _in_order(files: list[Path], ids: np.ndarray) -> tuple[Pipeline, int]:
    """The records `ids`, in this order, and how many readers that takes.

    A sampler gives each record once, so a repeated one starts another reader.
    """
    pieces: list[list[int]] = []
    piece: list[int] = []
    seen: set[int] = set()
    for sample in ids.tolist():
        if sample in seen:
            pieces.append(piece)
            piece, seen = [], set()
        piece.append(sample)
        seen.add(sample)
    readers = [mind_dataset(files, chosen) for chosen in [*pieces, piece]]
    joined = readers[0]
    for reader in readers[1:]:
        joined = joined.concat(reader)
    return joined, len(readers)
