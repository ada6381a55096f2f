"""The unpaired loader: a position -> a batch of A and a batch of B.

Records are read by offset out of memory-mapped shards. Threads decode and crop them, a whole batch as one task,
straight into the batch's memory; where crops are mere copies, one compiled call makes a batch (`crops.py`). What a step
holds depends on (seed, step, global batch) alone.
"""

from __future__ import annotations

import collections
import operator
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ugatit_data.dataset.manifest import Dataset, read_dataset, read_manifest
from ugatit_data.dataset.mapped import lost
from ugatit_data.dataset.records import Records
from ugatit_data.errors import BadInputError, CorruptDatasetError, DataError, RejectedImageError
from ugatit_data.loading import order
from ugatit_data.loading.augment import Augmentation
from ugatit_data.loading.buffers import Buffers
from ugatit_data.loading.crops import Crops, can_copy
from ugatit_data.loading.options import LoaderOptions
from ugatit_data.loading.output import Output, image_shape
from ugatit_data.loading.threads import Task, Threads
from ugatit_data.pixels.geometry import Size

STATE_VERSION = 1

Batch = np.ndarray | tuple[np.ndarray, np.ndarray]


def open_loader(
    folder: str | os.PathLike,
    split: str = "train",
    *,
    batch_size: int = 1,
    img_size: Size = 256,
    layout: str = "uint8",
    domain: str | None = None,
    augment: bool | Augmentation = True,
    channels: int = 3,
    threads: int | None = None,
    prefetch: int = 2,
    seed: int = 1,
    start_step: int = 0,
    rank: int = 0,
    world: int = 1,
    check: str = "once",
    shuffle: bool | None = None,
    endless: bool | None = None,
) -> Loader:
    """Open a converted data set for reading; a context manager and an iterator of NumPy batches.

    Args:
        folder: what `ugatit convert` wrote.
        split: "train" or "test".
        batch_size: images per domain, step and rank; the global batch is batch_size * world.
        img_size: side of the delivered square, or (height, width), in pixels.
        layout: "uint8" gives (N, H, W, C), "float32" (N, C, H, W) in [-1, 1].
        domain: None gives pairs (a, b), "a" or "b" single arrays.
        augment: True is the paper's: random flip, resize to 30 pixels more, random crop. False resizes only. An
            `Augmentation` is one of your own.
        channels: 3 for RGB, 1 for BT.601 luma.
        threads: decoding threads, by default one per core that this process may use.
        prefetch: batches that are made ahead, per thread.
        seed: of order and augmentation, 0 to 2**64 - 1.
        start_step: the first step; batches are those of an uninterrupted run.
        rank, world: this process delivers slice `rank` of `world` of the global batch.
        check: record checksums at the "once" (first) read of each record, at "every" read, or "off".
        shuffle: whether every pass over a domain has an order of its own; False is the order of the keys.
        endless: whether pass follows pass; False ends after one, with a short last batch: of several ranks, some may
            be given a batch less. By default one domain with augment=False is read once, in the order of the keys, and
            all else is shuffled and endless.

    Sets OpenCV to one thread in this process: the parallelism is over batches. The shards' .db files are MindDataset's
    and are not read: `ugatit verify` names one that is missing or damaged.

    Raises:
        BadInputError: a wrong argument, no data set, no such split or domain in it, or endless=False for pairs of
            domains of unequal length, which have no common end.
        CorruptDatasetError: the data set was damaged after it was written; also raised while iterating.
    """
    options = LoaderOptions(
        split=split, batch_size=batch_size, img_size=img_size, layout=layout, domain=domain, augment=augment,
        shuffle=shuffle, endless=endless, channels=channels, threads=threads, prefetch=prefetch, seed=seed,
        start_step=start_step, rank=rank, world=world, check=check,
    )  # fmt: skip
    folder = Path(folder)
    dataset = read_dataset(folder)
    options.check_counts(folder, dataset)
    table = read_manifest(folder, dataset)
    records = {name: Records(folder, dataset, table, split, name, check) for name in options.domains}
    options.warn_if_enlarged(dataset.stored_size)
    cv2.setNumThreads(1)
    return Loader(records, dataset, options)


_loaders: weakref.WeakSet[Loader] = weakref.WeakSet()


def _in_forked_child() -> None:
    """The threads stayed in the parent: a loader would wait for them for ever."""
    for loader in list(_loaders):
        loader._leave_threads()


os.register_at_fork(after_in_child=_in_forked_child)


class Loader:
    """See `open_loader`. Not for use from several threads at once, nor in a forked process, nor to be pickled."""

    def __init__(self, records: dict[str, Records], dataset: Dataset, options: LoaderOptions):
        self.dataset_id = dataset.dataset_id
        self.num_a, self.num_b = (dataset.num_images(options.split, name) for name in order.DOMAINS)
        self.global_batch = options.batch_size * options.world
        self.seed = options.seed
        self._records, self._options = records, options
        self._batch_size, self._augmentation, self._shuffle = options.batch_size, options.augmentation, options.shuffled
        self._shape, self._dtype = image_shape(options.layout, options.channels, options.img_size)
        self._end = len(next(iter(records.values()))) if options.finite else None  # the position after the last
        self._step = options.start_step
        self._ahead = options.thread_count * options.prefetch
        self._ready: collections.deque[Task[Batch]] = collections.deque()
        self._own = threading.local()  # each thread's Output
        self._pool: Threads | None = Threads(options.thread_count, "ugatit-data")
        self._crops: Crops | None = None
        if dataset.stored_size is not None and can_copy(records, options, dataset.stored_size):
            self._crops = Crops(records, dataset.stored_size, options)
        self._buffers = Buffers(keep=2 * (self._ahead + 1) * (1 if self._crops else len(records)))
        self._process, self._forked = os.getpid(), False
        _loaders.add(self)

    @property
    def steps_per_epoch(self) -> int:
        """Steps until the larger of the opened domains has been seen once; in finite reading, rank 0's batches."""
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
        return tuple(self._picks(domain, operator.index(step))[0] for domain in self._records)

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
        self.seed, self._step = int(state["seed"]), int(state["step"])

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._pool is None:
            if self._forked:
                raise DataError(
                    f"the loader belongs to process {self._process}, and its threads stayed there when this one was "
                    "forked. Open one in each process that reads, with rank and world where they share the images."
                )
            raise ValueError("the loader is closed")
        while len(self._ready) < self._ahead and self._count(self._step + len(self._ready)):
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

    def __reduce__(self):
        raise TypeError(
            "a loader cannot be pickled or copied: it has threads and mapped files. Call open_loader in the process "
            "that reads; what `state()` gives can be pickled, and `restore` takes it."
        )

    def _leave_threads(self) -> None:
        """In a forked child, which has none of the threads that this loader began."""
        if self._pool is not None:
            self._ready.clear()
            self._pool.close.detach()  # to be ended where they are
            self._pool, self._forked = None, True

    def _drop_ready(self) -> None:
        for task in self._ready:
            task.cancel()
        self._ready.clear()

    def _positions(self, step: int) -> tuple[int, int]:
        start, stop = order.rank_positions(step, self._batch_size, self._options.rank, self._options.world)
        return (start, stop) if self._end is None else (min(start, self._end), min(stop, self._end))

    def _count(self, step: int) -> int:
        """How many images of each domain this rank is given at a step; none where a finite reading has ended."""
        if self._end is None:
            return self._batch_size
        start, stop = self._positions(step)
        return stop - start

    def _picks(self, domain: str, step: int) -> tuple[np.ndarray, ...]:
        """Sample ids of this rank at a step, and what the augmentation draws for each."""
        count = len(self._records[domain])
        return order.samples(self.seed, domain, count, *self._positions(step), self._augmentation, self._shuffle)

    def _make(self, step: int) -> Batch:
        try:
            if self._crops is not None:
                made = self._copy(self._crops, step)
            else:
                made = [self._fill(domain, *self._picks(domain, step)) for domain in self._records]
        finally:
            if lost:  # a mapped file became zeros, and with it the pixels; that also explains an error
                for records in self._records.values():
                    records.check_maps()
        return made[0] if len(made) == 1 else (made[0], made[1])

    def _copy(self, crops: Crops, step: int) -> list[np.ndarray]:
        count = self._count(step)
        images = len(self._records) * count
        batch = self._buffers.empty((images, *self._shape), self._dtype)
        crops.copy(batch, self.seed, step)
        return [batch[first : first + count] for first in range(0, images, count)]

    def _fill(self, domain: str, ids: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
        batch = self._buffers.empty((len(ids), *self._shape), self._dtype)
        records, options = self._records[domain], self._options
        if not hasattr(self._own, "output"):
            self._own.output = Output(options.layout, options.channels, options.img_size, self._augmentation.margin)
        output: Output = self._own.output
        for slot, sample, *values in zip(batch, *(array.tolist() for array in (ids, *drawn)), strict=True):
            try:
                image = records.image(sample, output.decoded)
            except RejectedImageError as error:
                raise CorruptDatasetError(f"{records.describe(sample)}: {error.reason}") from None
            pixels = output.pixels(slot)
            self._augmentation.make(image, pixels, output.memory, *values)
            output.finish(pixels, slot)
        return batch
