"""Crops of raw records of just the right size: nothing is decoded or resized, so they are copied out of their shards.

One compiled call a step copies them, for all domains (`kernel.py`). A record that is to be checked is read once: its
rows go into its checksum and, while the cache holds them, into the batch, which is dropped if the checksum differs.
"""

from __future__ import annotations

import functools
import logging

import numpy as np

from ugatit_data.dataset.records import Records
from ugatit_data.errors import BadInputError, CorruptDatasetError
from ugatit_data.loading import order
from ugatit_data.loading.augment import Augmentation
from ugatit_data.loading.options import LoaderOptions
from ugatit_data.pixels.geometry import sides

_log = logging.getLogger(__name__)
_STEPS = 16  # are planned together: planned alone, between batches that fill the caches, each takes 30 us


def can_copy(records: dict[str, Records], options: LoaderOptions, stored_size: int | None) -> bool:
    """Whether the batches are mere copies out of the records."""
    size = options.img_size
    return (
        all(mine.encoding.contents == "pixels" for mine in records.values())
        and options.augmentation.crops is not None
        and all(side + options.augmentation.margin == stored_size for side in sides(size))
        and (options.layout, options.channels) == ("uint8", 3)
    )


class Crops:
    """The crops of the opened domains, step by step, for one rank.

    Raises:
        BadInputError: as `kernel.compiled`.
        CorruptDatasetError: a record is not as long as a square of the stored size.
    """

    def __init__(self, records: dict[str, Records], stored_size: int, options: LoaderOptions):
        from ugatit_data.loading import kernel  # numba: a quarter of a second that nothing else needs

        self._records = list(records.values())  # and with them the mapped files, whose addresses the kernel is given
        self._counts = tuple((domain, len(mine)) for domain, mine in records.items())
        self._augmentation, self._shuffle = options.augmentation, options.shuffled
        self._share = (options.batch_size, options.rank, options.world)
        self._firsts = np.cumsum([0, *map(len, self._records)])  # the domains' records are numbered in one go
        lengths, addresses, sums = (
            np.concatenate([getattr(mine, name) for mine in self._records]) for name in ("lengths", "addresses", "sums")
        )
        wrong = np.flatnonzero(lengths != 3 * stored_size**2)
        if wrong.size:
            mine, sample = self._of(wrong[0])
            raise CorruptDatasetError(
                f"{mine.describe(sample)}: {mine.lengths[sample]} bytes are no {stored_size} x {stored_size} pixels. "
                "Convert the images again."
            )
        check, digest = self._records[0].check, kernel.digest_addresses()
        self._check_before = check != "off" and not all(digest)
        if self._check_before:
            _log.warning("this build of xxhash exports no XXH3_64bits: records are checked one by one, which is slower")
        due = np.full(len(sums), check != "off" and not self._check_before, np.uint8)
        self._fill, self._state = kernel.compiled(), kernel.STATE
        self._known = (addresses, sums, due, check == "every", *digest, stored_size)

    def copy(self, batch: np.ndarray, seed: int, step: int) -> None:
        """Fill `batch`, uint8 (domains * N, h, w, 3), with the crops of a step.

        N is the batch size; it may be less, for the last step of a finite reading: of each domain the first N.

        Raises:
            BadInputError: the augmentation's crops leave the records.
            CorruptDatasetError: as `Records.place`.
        """
        chunk, within = divmod(step, _STEPS)
        picks = _picks(seed, self._counts, chunk, self._augmentation, self._shuffle, *self._share)[within]
        if len(batch) < len(picks):
            domains = len(self._records)
            firsts = picks.reshape(domains, -1, 4)[:, : len(batch) // domains]
            picks = np.ascontiguousarray(firsts.reshape(-1, 4))
        if self._check_before:
            for number in picks[:, 0].tolist():
                mine, sample = self._of(number)
                mine.place(sample)
        failed = self._fill(batch, picks, np.empty(self._state, np.uint8), *self._known)
        if failed >= 0:
            mine, sample = self._of(picks[failed, 0])
            raise mine.damage(sample)

    def _of(self, number: int) -> tuple[Records, int]:
        """The domain and the sample id of a record."""
        domain = int(np.searchsorted(self._firsts, number, "right")) - 1
        return self._records[domain], int(number - self._firsts[domain])


@functools.lru_cache(maxsize=8)
def _picks(
    seed: int, counts: tuple[tuple[str, int], ...], chunk: int, augmentation: Augmentation, shuffle: bool,
    batch_size: int, rank: int, world: int,
) -> np.ndarray:  # fmt: skip
    """The `picks` of `kernel.compiled` for `_STEPS` steps, int64 (steps, domains * N, 4)."""
    assert augmentation.crops is not None, "as can_copy has seen"
    domains, first, images = [], 0, _STEPS * world * batch_size
    for domain, count in counts:
        start, stop = chunk * images, (chunk + 1) * images
        ids, *drawn = order.samples(seed, domain, count, start, stop, augmentation, shuffle)
        flips, lefts, tops = augmentation.crops(*drawn)
        corners = np.stack((lefts, tops))
        if corners.min() < 0 or corners.max() > augmentation.margin:  # the kernel would read beyond the record
            raise BadInputError(f"augmentation: its crops begin outside of 0..{augmentation.margin}. Mend `crops`.")
        picks = np.stack((first + ids, flips, tops, 3 * lefts), 1).astype(np.int64, copy=False)
        domains.append(picks.reshape(_STEPS, world, batch_size, 4)[:, rank])
        first += count
    return np.concatenate(domains, 1)
