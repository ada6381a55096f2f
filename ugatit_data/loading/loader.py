"""The unpaired loader: a position -> a batch of A and a batch of B.

Records are read by offset out of memory-mapped shards, decoded and cropped by OpenCV in threads, a whole batch as one
task, straight into the batch's memory; where crops are mere copies, by one compiled call a batch (`crops.py`). What a
step holds depends on (seed, step, global batch) alone.
"""

from __future__ import annotations

import collections
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ugatit_data.dataset.manifest import SPLITS, read_dataset, read_manifest
from ugatit_data.dataset.records import CHECKS, Records, encoding_of
from ugatit_data.errors import BadInputError, CorruptDatasetError, RejectedImageError
from ugatit_data.files import available_cores
from ugatit_data.loading import order
from ugatit_data.loading.augment import MARGIN, Output, batch_shape, cut, fit
from ugatit_data.loading.buffers import Buffers
from ugatit_data.loading.crops import Crops
from ugatit_data.loading.threads import Task, Threads
from ugatit_data.pixels.geometry import Size, sides

STATE_VERSION = 1
LAYOUTS = ("uint8", "float32")

Batch = np.ndarray | tuple[np.ndarray, np.ndarray]


def open_loader(
    folder: str | os.PathLike,
    split: str = "train",
    *,
    batch_size: int = 1,
    img_size: Size = 256,
    layout: str = "uint8",
    domain: str | None = None,
    augment: bool = True,
    channels: int = 3,
    threads: int | None = None,
    prefetch: int = 2,
    seed: int = 1,
    start_step: int = 0,
    rank: int = 0,
    world: int = 1,
    check: str = "once",
) -> Loader:
    """Open a converted data set for reading; a context manager and an iterator of NumPy batches.

    Args:
        folder: what tools/convert_dataset.py wrote.
        split: "train" or "test".
        batch_size: images per domain, step and rank; the global batch is batch_size * world.
        img_size: side of the delivered square, or (height, width). With `augment`, images are resized to 30 pixels
            more and cropped.
        layout: "uint8" gives (N, H, W, C), "float32" (N, C, H, W) in [-1, 1].
        domain: None gives pairs (a, b), "a" or "b" single arrays.
        augment: random flip and crop, and a shuffled order. One domain without it is read once, in key order, with a
            short last batch; everything else is endless.
        channels: 3 for RGB, 1 for BT.601 luma.
        threads: decoding threads, by default one per core that this process may use.
        prefetch: batches that are made ahead, per thread.
        seed: of order and augmentation, 0 to 2**64 - 1.
        start_step: the first step; batches are those of an uninterrupted run.
        rank, world: this process delivers slice `rank` of `world` of the global batch.
        check: record checksums at the "once" (first) read of each record, at "every" read, or "off".

    Sets OpenCV to one thread in this process: the parallelism is over batches. The shards' .db files are MindDataset's
    and are not read: one that is missing or damaged is named by tools/verify_dataset.py.

    Raises:
        BadInputError: a wrong argument, no data set, or no such split or domain in it.
        CorruptDatasetError: the data set was damaged after it was written; also raised while iterating.
    """
    _check_arguments(locals())
    folder = Path(folder)
    dataset = read_dataset(folder)
    wanted = order.DOMAINS if domain is None else (domain,)
    for name in wanted:
        if dataset.num_images(split, name) == 0:
            raise BadInputError(
                f"{folder}: holds no {split}{name.upper()}. Convert a source that has it, or choose another split."
            )
    table = read_manifest(folder, dataset)
    records = {name: Records(folder, dataset, table, split, name, check) for name in wanted}
    cv2.setNumThreads(1)
    return Loader(
        records,
        dataset_id=dataset.dataset_id,
        nums={name: dataset.num_images(split, name) for name in order.DOMAINS},
        stored_size=dataset.stored_size,
        raw=encoding_of(folder, dataset).contents == "pixels",
        batch_size=batch_size,
        img_size=img_size,
        layout=layout,
        augment=augment,
        channels=channels,
        threads=threads or available_cores(),
        prefetch=prefetch,
        seed=seed,
        start_step=start_step,
        rank=rank,
        world=world,
    )


def _check_arguments(given: dict) -> None:
    def need(holds: bool, name: str, rule: str) -> None:
        if not holds:
            raise BadInputError(f"{name} {given[name]!r}: must be {rule}.")

    need(given["split"] in SPLITS, "split", f"one of {', '.join(SPLITS)}")
    need(given["domain"] in (None, *order.DOMAINS), "domain", "None, 'a' or 'b'")
    need(given["layout"] in LAYOUTS, "layout", f"one of {', '.join(LAYOUTS)}")
    need(given["channels"] in (1, 3), "channels", "1 or 3")
    need(given["check"] in CHECKS, "check", f"one of {', '.join(CHECKS)}")
    for name, least in (("batch_size", 1), ("prefetch", 1), ("start_step", 0), ("world", 1)):
        need(isinstance(given[name], int) and given[name] >= least, name, f"an integer of at least {least}")
    size = given["img_size"]
    pair = size if isinstance(size, tuple) and len(size) == 2 else (size,)
    need(all(isinstance(side, int) and side >= 1 for side in pair), "img_size", "a side, or (height, width), from 1")
    need(given["threads"] is None or given["threads"] >= 1, "threads", "None or at least 1")
    need(isinstance(given["seed"], int) and 0 <= given["seed"] < 1 << 64, "seed", "an integer from 0 to 2**64 - 1")
    need(
        isinstance(given["rank"], int) and 0 <= given["rank"] < given["world"], "rank", "an integer from 0 to world - 1"
    )


class Loader:
    """See `open_loader`. Not for use from several threads at once."""

    def __init__(
        self,
        records: dict[str, Records],
        *,
        dataset_id: str,
        nums: dict[str, int],
        stored_size: int | None,
        raw: bool,
        batch_size: int,
        img_size: Size,
        layout: str,
        augment: bool,
        channels: int,
        threads: int,
        prefetch: int,
        seed: int,
        start_step: int,
        rank: int,
        world: int,
    ):
        self.dataset_id = dataset_id
        self.num_a, self.num_b = nums["a"], nums["b"]
        self.global_batch = batch_size * world
        self.seed = seed
        self._records = records
        self._batch_size, self._rank, self._world = batch_size, rank, world
        self._img_size, self._layout, self._channels, self._augment = img_size, layout, channels, augment
        self._finite = len(records) == 1 and not augment
        self._step = start_step
        self._ahead = threads * prefetch
        self._ready: collections.deque[Task] = collections.deque()
        self._own = threading.local()  # each thread's scratch memory
        self._pool: Threads | None = Threads(threads, "ugatit-data")
        exact = all(side + MARGIN == stored_size for side in sides(img_size))
        copies = raw and augment and exact and (layout, channels) == ("uint8", 3)
        self._crops = Crops(records, stored_size, batch_size, rank, world) if copies else None
        self._buffers = Buffers(keep=2 * (self._ahead + 1) * (1 if copies else len(records)))
        if augment and stored_size is not None and max(sides(img_size)) + MARGIN > stored_size:
            _warn_enlarged(max(sides(img_size)), stored_size)

    @property
    def steps_per_epoch(self) -> int:
        """Steps until the larger of the opened domains has been seen once; in finite reading, the number of batches."""
        counts = [len(records) for records in self._records.values()]
        return order.steps_per_epoch(counts[0], counts[-1], self.global_batch)

    @property
    def domains(self) -> tuple[str, ...]:
        """The opened domains, in the order of a batch."""
        return tuple(self._records)

    def keys(self, domain: str) -> list[bytes]:
        """The keys of a domain's images, by sample id."""
        return self._records[domain].keys()

    def sample_ids(self, step: int) -> tuple[np.ndarray, ...]:
        """The sample ids, int64 (N,) per opened domain, that this rank is given at a step."""
        return tuple(self._picks(domain, step)[0] for domain in self._records)

    def state(self) -> dict:
        """Where the next batch comes from; `restore` takes it."""
        return {
            "version": STATE_VERSION,
            "dataset_id": self.dataset_id,
            "seed": self.seed,
            "step": self._step,
            "global_batch": self.global_batch,
        }

    def restore(self, state: dict) -> None:
        """Go on where another loader's `state` was taken: the next batches are the ones that it would have given.

        Raises:
            BadInputError: the state belongs to another data set, global batch or version.
        """
        for name, mine in (
            ("version", STATE_VERSION),
            ("dataset_id", self.dataset_id),
            ("global_batch", self.global_batch),
        ):
            if state.get(name) != mine:
                raise BadInputError(
                    f"loader state: its {name} is {state.get(name)!r}, this loader's is {mine!r}. "
                    "Open the data set and the batch size that the state was taken with."
                )
        self._drop_ready()
        self.seed, self._step = state["seed"], state["step"]

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._pool is None:
            raise ValueError("the loader is closed")
        while len(self._ready) < self._ahead and not self._ends_before(self._step + len(self._ready)):
            self._ready.append(self._pool.submit(self._make, self._step + len(self._ready)))
        if not self._ready:
            raise StopIteration
        try:
            batch = self._ready.popleft().result()
        except BaseException:  # an error, or Ctrl-C while waiting: the next call tries the same step again
            self._drop_ready()
            raise
        self._step += 1
        return batch

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; further reading raises. Batches that were delivered stay valid."""
        if self._pool is not None:
            self._drop_ready()
            self._pool.close()
            self._pool = None
            self._buffers.close()

    def _drop_ready(self) -> None:
        for task in self._ready:
            task.cancel()
        self._ready.clear()

    def _ends_before(self, step: int) -> bool:
        if not self._finite:
            return False
        start, _ = order.rank_positions(step, self._batch_size, self._rank, self._world)
        return start >= len(next(iter(self._records.values())))

    def _picks(self, domain: str, step: int) -> tuple[np.ndarray, ...]:
        """Sample ids, flips and the crops' corners x and y of this rank at a step."""
        count = len(self._records[domain])
        start, stop = order.rank_positions(step, self._batch_size, self._rank, self._world)
        if self._finite:
            ids = np.arange(min(start, count), min(stop, count))
            return ids, np.zeros(len(ids), bool), np.zeros_like(ids), np.zeros_like(ids)
        return order.samples(self.seed, domain, count, start, stop, MARGIN)

    def _make(self, step: int) -> Batch:
        if self._crops is not None:
            made = self._copy(step)
        else:
            made = tuple(self._fill(domain, *self._picks(domain, step)) for domain in self._records)
        return made[0] if len(made) == 1 else made

    def _copy(self, step: int) -> tuple[np.ndarray, ...]:
        count = self._batch_size
        images = len(self._records) * count
        batch = self._buffers.empty(*batch_shape(self._layout, self._channels, images, self._img_size))
        self._crops.copy(batch, self.seed, step)
        return tuple(batch[first : first + count] for first in range(0, images, count))

    def _fill(self, domain: str, ids: np.ndarray, *draws: np.ndarray) -> np.ndarray:
        batch = self._buffers.empty(*batch_shape(self._layout, self._channels, len(ids), self._img_size))
        records = self._records[domain]
        if not hasattr(self._own, "output"):
            self._own.output = Output(self._layout, self._channels, self._img_size)
        output = self._own.output
        for place, sample, flip, x, y in zip(batch, *(values.tolist() for values in (ids, *draws)), strict=True):
            try:
                image = records.image(sample, output.decoded)
            except RejectedImageError as error:
                raise CorruptDatasetError(f"{records.describe(sample)}: {error.reason}") from None
            pixels = output.pixels(place)
            if self._augment:
                cut(image, pixels, flip, x, y, output.scratch)
            else:
                fit(image, pixels)
            output.finish(pixels, place)
        return batch


def _warn_enlarged(img_size: int, stored_size: int) -> None:
    need = img_size + MARGIN
    warnings.warn(
        f"images are stored at {stored_size} pixels and enlarged to img_size + {MARGIN} = {need}. "
        f"Convert with --stored_size {need} for sharper ones.",
        stacklevel=4,
    )
