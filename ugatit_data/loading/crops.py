"""Crops of raw records of just the right size: nothing is decoded or resized, so they are copied out of their shards.

By one compiled call a step, for all domains (`kernel.py`). A record that is to be checked is read once: its rows go
into its checksum and, while they lie in the cache, into the batch, which is dropped if the checksum differs.
"""

from __future__ import annotations

import functools
import logging

import numpy as np

from ugatit_data.dataset.records import Records
from ugatit_data.errors import CorruptDatasetError
from ugatit_data.loading import order
from ugatit_data.loading.augment import MARGIN

_log = logging.getLogger(__name__)
_PLANNED = 16  # steps at a time: one by one, after a batch has filled the processor's caches, each takes 30 us


class Crops:
    """The crops of the opened domains, step by step, for one rank.

    Raises:
        BadInputError: as `kernel.compiled`.
        CorruptDatasetError: a record is not as long as a square of the stored size.
    """

    def __init__(self, records: dict[str, Records], stored_size: int, batch_size: int, rank: int, world: int):
        from ugatit_data.loading import kernel  # numba: a quarter of a second that nothing else needs

        self._records = list(records.values())  # and with them the mapped files, whose addresses the kernel is given
        self._counts = tuple((domain, len(mine)) for domain, mine in records.items())
        self._share = (batch_size, rank, world)
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
        self._fill = kernel.compiled()
        self._known = (addresses, sums, due, check == "every", *digest, stored_size)

    def copy(self, batch: np.ndarray, seed: int, step: int) -> None:
        """Fill `batch`, uint8 (domains * N, h, w, 3), as `augment.cut` would with each record of a step.

        Raises:
            CorruptDatasetError: as `Records.place`.
        """
        picks = _plan(seed, self._counts, step // _PLANNED, *self._share)[step % _PLANNED]
        if self._check_before:
            for number in picks[:, 0].tolist():
                mine, sample = self._of(number)
                mine.place(sample)
        failed = self._fill(batch, picks, *self._known)
        if failed >= 0:
            mine, sample = self._of(picks[failed, 0])
            raise mine.damage(sample)

    def _of(self, number: int) -> tuple[Records, int]:
        """The domain and the sample id of a record."""
        domain = int(np.searchsorted(self._firsts, number, "right")) - 1
        return self._records[domain], int(number - self._firsts[domain])


@functools.lru_cache(maxsize=8)
def _plan(
    seed: int, counts: tuple[tuple[str, int], ...], chunk: int, batch_size: int, rank: int, world: int
) -> np.ndarray:
    """The `picks` of `kernel.compiled` for `_PLANNED` steps, int64 (steps, domains * N, 4)."""
    domains, first, images = [], 0, _PLANNED * world * batch_size
    for domain, count in counts:
        ids, flips, xs, ys = order.samples(seed, domain, count, chunk * images, (chunk + 1) * images, MARGIN)
        lefts = 3 * np.where(flips, MARGIN - xs, xs)
        picks = np.stack((first + ids, flips, ys, lefts), 1)
        domains.append(picks.reshape(_PLANNED, world, batch_size, 4)[:, rank])
        first += count
    return np.concatenate(domains, 1)
