"""What a loader is asked for: names, ranges, and what they mean together."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ugatit_data.dataset.manifest import SPLITS, Dataset
from ugatit_data.dataset.records import CHECKS
from ugatit_data.errors import BadInputError
from ugatit_data.files import available_cores
from ugatit_data.loading import order
from ugatit_data.loading.augment import PAPER, WHOLE, Augmentation
from ugatit_data.loading.output import LAYOUTS
from ugatit_data.pixels.geometry import Size, sides


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """The arguments of `open_loader`, checked.

    Raises:
        BadInputError: an argument that is none of what its field allows.
    """

    split: str = "train"
    """"train" or "test"."""
    batch_size: int = 1
    """Images per domain, step and rank."""
    img_size: Size = 256
    """Side of the delivered square, or (height, width), in pixels."""
    layout: str = "uint8"
    """"uint8" or "float32": see `output`."""
    domain: str | None = None
    """"a" or "b"; None is both, as pairs."""
    augment: bool | Augmentation = True
    """True is the paper's, False is none."""
    shuffle: bool | None = None
    """Whether each pass has an order of its own; else it is that of the keys. None: see `shuffled`."""
    endless: bool | None = None
    """Whether pass follows pass; else there is one. None: see `finite`."""
    channels: int = 3
    """3 for RGB, 1 for luma."""
    threads: int | None = None
    """None is one per core that this process may use."""
    prefetch: int = 2
    """Batches that are made ahead, per thread."""
    seed: int = 1
    """0 to 2**64 - 1."""
    start_step: int = 0
    """The first step."""
    rank: int = 0
    """0 to world - 1."""
    world: int = 1
    """How many ranks share the global batch."""
    check: str = "once"
    """When a record's checksum is compared: at the first read ("once"), at "every" read, or never ("off")."""

    def __post_init__(self) -> None:
        def need(holds: bool, name: str, rule: str) -> None:
            if not holds:
                raise BadInputError(f"{name} {getattr(self, name)!r}: must be {rule}.")

        need(self.split in SPLITS, "split", f"one of {', '.join(SPLITS)}")
        need(self.domain in (None, *order.DOMAINS), "domain", "None, 'a' or 'b'")
        need(self.layout in LAYOUTS, "layout", f"one of {', '.join(LAYOUTS)}")
        need(self.channels in (1, 3), "channels", "1 or 3")
        need(self.check in CHECKS, "check", f"one of {', '.join(CHECKS)}")
        for name in ("batch_size", "prefetch", "start_step", "world", "rank", "seed", "threads", "img_size"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        for name, least in (("batch_size", 1), ("prefetch", 1), ("start_step", 0), ("world", 1)):
            value = getattr(self, name)
            need(isinstance(value, int) and value >= least, name, f"an integer of at least {least}")
        pair = self.img_size if isinstance(self.img_size, tuple) and len(self.img_size) == 2 else (self.img_size,)
        whole = all(isinstance(side, int) and side >= 1 for side in pair)
        need(whole, "img_size", "a side, or (height, width), from 1")
        threads = 1 if self.threads is None else self.threads
        need(isinstance(threads, int) and threads >= 1, "threads", "None or an integer of at least 1")
        need(isinstance(self.seed, int) and 0 <= self.seed < 1 << 64, "seed", "an integer from 0 to 2**64 - 1")
        need(isinstance(self.rank, int) and 0 <= self.rank < self.world, "rank", "an integer from 0 to world - 1")
        known = isinstance(self.augment, Augmentation) or _in(self.augment, (True, False))
        need(known, "augment", "True, False or an Augmentation")
        for name in ("shuffle", "endless"):
            need(_in(getattr(self, name), (None, True, False)), name, "None, True or False")

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains to open."""
        return order.DOMAINS if self.domain is None else (self.domain,)

    @property
    def augmentation(self) -> Augmentation:
        """What makes the pixels."""
        if isinstance(self.augment, Augmentation):
            return self.augment
        return PAPER if self.augment else WHOLE

    @property
    def shuffled(self) -> bool:
        """`shuffle`; where that is None, all but one domain without augmentation, which is read for evaluation."""
        return not self._evaluates if self.shuffle is None else self.shuffle

    @property
    def finite(self) -> bool:
        """Not `endless`; where that is None, only one domain without augmentation ends."""
        return self._evaluates if self.endless is None else not self.endless

    @property
    def _evaluates(self) -> bool:
        return self.domain is not None and not self.augment

    def check_counts(self, folder: Path, dataset: Dataset) -> None:
        """Raises BadInputError where a data set has no such images, or no end that pairs share."""
        counts = [dataset.num_images(self.split, name) for name in self.domains]
        for name, count in zip(self.domains, counts, strict=True):
            if count == 0:
                raise BadInputError(
                    f"{folder}: holds no {self.split}{name.upper()}. Convert a source that has it, or choose another "
                    "split."
                )
        if self.finite and len(set(counts)) > 1:
            raise BadInputError(
                f"endless=False: {folder} has {counts[0]} images in {self.split}A and {counts[1]} in {self.split}B, "
                'so pairs have no common end. Open one domain at a time (domain="a"), or leave endless out.'
            )

    def warn_if_enlarged(self, stored_size: int | None) -> None:
        """Warns the caller's caller where stored squares are smaller than what the augmentation begins with."""
        margin = self.augmentation.margin
        need = max(sides(self.img_size)) + margin
        if self.augment and stored_size is not None and need > stored_size:
            warnings.warn(
                f"images are stored at {stored_size} pixels and enlarged to img_size + {margin} = {need}. "
                f"Convert with --stored_size {need} for sharper ones.",
                stacklevel=3,
            )

    @property
    def thread_count(self) -> int:
        """`threads`, or one per core that this process may use."""
        return self.threads or available_cores()


def _plain(value: Any) -> Any:
    """An integer of NumPy's as Python's, for `state` goes into JSON; also in a tuple. All else as it is."""
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    return int(value) if isinstance(value, np.integer) else value


def _in(value: object, choices: tuple[object, ...]) -> bool:
    """Whether `value` is one of the choices; an array, which has no truth value, is none."""
    return not (isinstance(value, np.ndarray) and value.ndim) and value in choices
